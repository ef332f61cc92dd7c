"""Rows of any size that suit an estimator, for the benchmarks of acceleration."""

from __future__ import annotations

import importlib
import inspect
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, Literal, TypeAlias

import numpy as np

from millrace.accel.plain import reads_target

Kind: TypeAlias = Literal[
    "numbers", "positive", "counts", "classes", "blobs", "targets", "words", "codes", "missing"
]

_KINDS: dict[str, Kind] = {
    **dict.fromkeys(("PoissonRegressor", "GammaRegressor", "TweedieRegressor"), "positive"),
    **dict.fromkeys(("MultinomialNB", "ComplementNB", "BernoulliNB"), "counts"),
    **dict.fromkeys(("TfidfTransformer", "SkewedChi2Sampler", "AdditiveChi2Sampler"), "counts"),
    **dict.fromkeys(("LatentDirichletAllocation", "NMF", "MiniBatchNMF"), "counts"),
    **dict.fromkeys(("MultiTaskLasso", "MultiTaskElasticNet"), "targets"),
    **dict.fromkeys(("MultiTaskLassoCV", "MultiTaskElasticNetCV", "CCA"), "targets"),
    **dict.fromkeys(("PLSRegression", "PLSCanonical", "PLSSVD"), "targets"),
    **dict.fromkeys(("OneHotEncoder", "OrdinalEncoder", "TargetEncoder"), "words"),
    **dict.fromkeys(("SimpleImputer", "MissingIndicator", "KNNImputer"), "missing"),
    **dict.fromkeys(("IterativeImputer",), "missing"),
    **dict.fromkeys(("KMeans", "MiniBatchKMeans", "BisectingKMeans", "DBSCAN"), "blobs"),
    **dict.fromkeys(("HDBSCAN", "OPTICS", "MeanShift", "GaussianMixture", "Birch"), "blobs"),
    "CategoricalNB": "codes",
}

_LEFT_OUT = {
    *("Pipeline", "ColumnTransformer", "FeatureUnion", "TransformedTargetRegressor"),
    *(
        "LabelEncoder",
        "LabelBinarizer",
        "MultiLabelBinarizer",
        "CountVectorizer",
        "TfidfVectorizer",
    ),
    *("HashingVectorizer", "DictVectorizer", "FeatureHasher", "IsotonicRegression"),
    *("SGDClassifier", "SGDRegressor", "SGDOneClassSVM", "Perceptron", "MLPClassifier"),
    *("PassiveAggressiveClassifier", "PassiveAggressiveRegressor", "MLPRegressor"),
    *(
        "MiniBatchKMeans",
        "TfidfTransformer",
        "GridSearchCV",
        "RandomizedSearchCV",
        "FrozenEstimator",
    ),
    *("PLSRegression", "PLSCanonical", "CCA", "HalvingGridSearchCV", "HalvingRandomSearchCV"),
}
"""Composites, whose steps have doors of their own; what takes no table; what would lack attributes that
hold a value for each row, or look for no missing values; and what is fitted by other epochs or batches
than scikit-learn's, so that faster would mean less."""

_NEEDED: dict[str, dict[str, Any]] = {
    "SparseRandomProjection": {"n_components": 10},
    "GaussianRandomProjection": {"n_components": 10},
    "SelectKBest": {"k": 3},
    "SelectFromModel": {},
}


def classes_with_solvers() -> list[type]:
    """Every class of scikit-learn that has a solver, streamed or resident, and a fit of its own."""
    from millrace.solvers import registered
    from millrace.solvers.registry import _REGISTRY

    names = sorted({*registered(), *_REGISTRY.residents})
    return [found(name) for name in names if is_measured(name)]


def classes_with_converters() -> list[type]:
    """Every converted class of scikit-learn that can be made without arguments."""
    from millrace.catalog.registry import registered

    return [found(name) for name in registered() if is_measured(name)]


def is_measured(name: str) -> bool:
    """Whether a class may have doors of its own."""
    return name.startswith("sklearn.") and name.rpartition(".")[2] not in _LEFT_OUT


def found(name: str) -> type:
    """A class by its public name."""
    import sklearn.experimental.enable_iterative_imputer  # noqa: F401

    module, _, own = name.rpartition(".")
    return getattr(importlib.import_module(module), own)


def made(cls: type, **params: Any) -> Any:
    """An estimator with default parameters, seeded.

    Raises
    ------
    TypeError
        It cannot be made without others.
    """
    seeded = "random_state" in inspect.signature(cls).parameters
    given = {**_NEEDED.get(cls.__name__, {}), **({"random_state": 0} if seeded else {}), **params}
    return cls(**given)


def rows_for(estimator: Any, n: int, columns: int, seed: int = 0) -> tuple[Any, Any]:
    """``(X, y)`` of the kind that suits an estimator; y is None where it reads none."""
    tags = estimator.__sklearn_tags__()
    kind = _KINDS.get(type(estimator).__name__)
    if kind is None:
        kind = "numbers" if tags.estimator_type == "regressor" else "classes"
    X, y = _MAKERS[kind](np.random.default_rng(seed), n, columns)
    return X, (y if reads_target(estimator) else None)


def _numbers(rng: np.random.Generator, n: int, columns: int) -> tuple[Any, Any]:
    X = rng.standard_normal((n, columns))
    weights = rng.standard_normal(columns) * (np.arange(columns) % 2)
    return X, X @ weights + np.sin(3.0 * X[:, 0]) + rng.standard_normal(n)


def _positive(rng: np.random.Generator, n: int, columns: int) -> tuple[Any, Any]:
    X, y = _numbers(rng, n, columns)
    return X, np.exp(0.3 * y / y.std())


def _counts(rng: np.random.Generator, n: int, columns: int) -> tuple[Any, Any]:
    y = rng.integers(0, 3, n)
    return rng.poisson(1.0 + rng.random((3, columns))[y] * 3.0).astype(np.float64), y


def _classes(rng: np.random.Generator, n: int, columns: int) -> tuple[Any, Any]:
    X, y = _numbers(rng, n, columns)
    y = y / y.std() + 0.3 * X[:, 0] * X[:, -1] + 0.5 * rng.standard_normal(n)
    return X, (y > 0).astype(np.int64)


def _blobs(rng: np.random.Generator, n: int, columns: int) -> tuple[Any, Any]:
    y = rng.integers(0, 8, n)
    return rng.standard_normal((n, columns)) + 3.0 * rng.standard_normal((8, columns))[y], y


def _targets(rng: np.random.Generator, n: int, columns: int) -> tuple[Any, Any]:
    X = rng.standard_normal((n, columns))
    return X, X @ rng.standard_normal((columns, 3)) + rng.standard_normal((n, 3))


def _words(rng: np.random.Generator, n: int, columns: int) -> tuple[Any, Any]:
    import pandas as pd

    words = np.array([f"word {i}" for i in range(50)])
    made = {f"c{j}": words[rng.integers(0, 5 + j % 40, n)] for j in range(columns)}
    return pd.DataFrame(made).astype("str"), rng.standard_normal(n)


def _codes(rng: np.random.Generator, n: int, columns: int) -> tuple[Any, Any]:
    y = rng.integers(0, 3, n)
    return rng.binomial(6, 0.2 + 0.2 * y[:, None], (n, columns)).astype(np.float64), y


def _missing(rng: np.random.Generator, n: int, columns: int) -> tuple[Any, Any]:
    X = rng.standard_normal((n, columns))
    X[rng.random(X.shape) < 0.05] = np.nan
    return X, None


_MAKERS: dict[str, Callable[..., tuple[Any, Any]]] = {
    "numbers": _numbers,
    "positive": _positive,
    "counts": _counts,
    "classes": _classes,
    "blobs": _blobs,
    "targets": _targets,
    "words": _words,
    "codes": _codes,
    "missing": _missing,
}


@cache
def quiet() -> None:
    """Benchmarks are no place for warnings of convergence."""
    warnings.simplefilter("ignore")
