"""Two hundred pipelines drawn from the registry compile, and verify against their source."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import ClassifierMixin, RegressorMixin, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.experimental import enable_halving_search_cv, enable_iterative_imputer  # noqa: F401
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, TargetEncoder

import millrace as mr
from millrace.catalog import registered
from tests.conformance.cases import quiet

N_PIPELINES = 200
N_ROWS = 120
WORDS = ["mill", "race", "water", "wheel", "stone", "river", "grain"]
SMALL = {
    "n_estimators": 4,
    "max_iter": 30,
    "n_components": 2,
    "n_clusters": 3,
    "random_state": 0,
    "max_depth": 4,
    "verbose": False,
    "iterations": 4,
    "verbosity": 0,
    "n_jobs": 1,
    "allow_writing_files": False,
    "n_quantiles": 20,
    "cv": 2,
}
NEEDS_MORE = ("estimator", "estimators", "transformer_list", "transformers", "steps", "dictionary")
"""Parameters of classes that are made of other objects, which the conformance suite has examples of."""


NOT_DRAWN = ("Encoder", "Dummy", "DummyClassifier", "DummyRegressor")
"""Encoders have their place in `preparation`; a dummy reads no column, so refuses no cell of one."""


@cache
def classes(kind: type, module: str = "") -> tuple[type, ...]:
    """The converted classes of one kind that can be built without another object."""
    found = []
    for name in registered():
        path, _, cls_name = name.rpartition(".")
        if path.split(".")[0] in ("sklearn", "lightgbm", "xgboost", "catboost") and module in path:
            cls = getattr(importlib.import_module(path), cls_name)
            if issubclass(cls, kind) and not set(NEEDS_MORE) & set(parameters(cls)):
                found.append(cls)
    return tuple(c for c in found if not c.__name__.endswith(NOT_DRAWN))


def parameters(cls: type) -> list[str]:
    try:
        with quiet():
            return list(cls()._get_param_names())
    except (TypeError, AttributeError):
        return ["estimator"]


def made(cls: type) -> Any:
    """An estimator with few trees, iterations and components."""
    known = set(parameters(cls))
    with quiet():
        return cls(**{k: v for k, v in SMALL.items() if k in known})


def table(rng: np.random.Generator) -> tuple[pd.DataFrame, bool]:
    """Numbers of some dtype, words and texts; perhaps with missing cells."""
    dtype = str(rng.choice(["float64", "float32", "int64"]))
    numbers = pd.DataFrame(rng.normal(3, 2, (N_ROWS, 4)).astype(dtype), columns=list("abcd"))
    missing = dtype != "int64" and bool(rng.random() < 0.5)
    if missing:
        numbers = numbers.mask(rng.random(numbers.shape) < 0.1)
    numbers["city"] = pd.Series(rng.choice(["Bern", "Oslo", "Riga"], N_ROWS), dtype=object)
    numbers["text"] = [" ".join(rng.choice(WORDS, rng.integers(1, 6))) for _ in range(N_ROWS)]
    return numbers, missing


def preparation(rng: np.random.Generator, missing: bool) -> ColumnTransformer:
    """Two transformers of numbers, an encoder of words and perhaps counts of terms."""
    numeric = [made(c) for c in rng.choice(classes(TransformerMixin, "preprocessing"), 2)]
    encoder = [OneHotEncoder(handle_unknown="ignore"), OrdinalEncoder(), TargetEncoder(cv=2)][
        rng.integers(0, 3)
    ]
    imputer = [SimpleImputer(strategy="median")] if missing else []
    parts: list[Any] = [
        ("numbers", make_pipeline(*imputer, *numeric), list("abcd")),
        ("city", encoder, ["city"]),
    ]
    if rng.random() < 0.4:
        parts.append(("text", TfidfVectorizer(), "text"))
    return ColumnTransformer(parts, sparse_threshold=float(rng.choice([0.0, 0.3, 1.0])))


def target(rng: np.random.Generator, X: Any, classify: bool) -> Any:
    score = np.asarray(
        X["a"] if isinstance(X, pd.DataFrame) else X[:, [0]].toarray().ravel(), float
    )
    score = np.nan_to_num(score) + rng.normal(0, 0.5, N_ROWS)
    if not classify:
        return np.abs(score) + 0.1
    edges = np.quantile(score, [0.5] if rng.random() < 0.5 else [0.3, 0.6])
    codes = np.searchsorted(edges, score)
    return np.array(["low", "middle", "high"])[codes] if rng.random() < 0.5 else codes


def drawn(rng: np.random.Generator) -> tuple[Any, Any, Any]:
    """An unfitted pipeline, rows and a target."""
    classify = bool(rng.random() < 0.6)
    models = classes(ClassifierMixin if classify else RegressorMixin)
    model = made(models[rng.integers(0, len(models))])
    steps: list[Any] = []
    if rng.random() < 0.2:
        X: Any = sp.random(N_ROWS, 30, 0.2, "csr", random_state=int(rng.integers(1000)))
        X = X.astype(str(rng.choice(["float64", "float32"])))
        steps = [made(c) for c in rng.choice(classes(TransformerMixin, "preprocessing"), 1)]
    else:
        X, missing = table(rng)
        steps.append(preparation(rng, missing))
    if rng.random() < 0.4:
        module = str(rng.choice(["decomposition", "feature_selection", "kernel_approximation"]))
        steps.append(made(rng.choice(classes(TransformerMixin, module))))
    return (
        Pipeline([(f"s{i}", s) for i, s in enumerate([*steps, model])]),
        X,
        target(rng, X, classify),
    )


def fitted(seed: int) -> tuple[Any, Any]:
    """The first pipeline that scikit-learn itself can fit and that predicts on its own rows."""
    rng = np.random.default_rng(seed)
    for _ in range(50):
        pipeline, X, y = drawn(rng)
        try:
            with quiet():
                pipeline.fit(X, y).predict(X)
                return pipeline, X
        except Exception:
            continue
    raise AssertionError("fifty draws, and none can be fitted")


@pytest.mark.parametrize("seed", range(N_PIPELINES))
def test_compiles_and_verifies(seed: int) -> None:
    pipeline, X = fitted(seed)
    with quiet():
        model = mr.compile(pipeline, sample=X[:60], verify=False)
        report = model.verify(X[:60], seconds=0.1, raise_on_difference=False)
    assert report, f"{pipeline}\n{report}"
