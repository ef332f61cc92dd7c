"""Histogram gradient boosting: scikit-learn's own trees and loop, over columns binned in a sweep.

The same bits as scikit-learn's for any number of rows: the same rows are drawn for the edges of the bins
and for early stopping, and its own code grows the trees from the bytes. The rows themselves are never
held; per row there are the bytes, and about 24 bytes for each tree of an iteration.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from millrace.runtime.pool import get_threads
from millrace.solvers.registry import Decline, Example, solves
from millrace.solvers.rows import Rows
from millrace.solvers.sklearn._trees import Steps, cache_memory
from millrace.solvers.sklearn.tree import few_values
from millrace.statistics.binned import (
    Binned,
    BinnedCache,
    RowSample,
    SampledRows,
    TargetRows,
    Targets,
)
from millrace.statistics.mapped import Store

_DRAWN = 200_000
"""Rows from which scikit-learn finds the edges (`_BinMapper.subsample`)."""

_BUSY = 1.25
"""Load of a core from which a machine counts as busy: more than our own threads leave behind."""


@solves(
    "sklearn.ensemble.HistGradientBoostingClassifier",
    "sklearn.ensemble.HistGradientBoostingRegressor",
    weight=True,
)
def hist_gradient_boosting(estimator: Any, rows: Rows) -> Steps:
    """Boosting from two sweeps; three above 200,000 rows; one more where features are categorical."""
    from sklearn.base import clone, is_classifier
    from sklearn.metrics import check_scoring

    estimator._validate_params()
    if hasattr(rows.head, "indptr"):
        raise Decline("it takes no sparse rows")
    if estimator.warm_start and getattr(estimator, "_predictors", None):
        raise Decline("warm_start=True adds to trees that are there already")
    who = type(estimator).__name__
    work: Any = clone(estimator)
    rows, known = yield from _numeric(work, rows)
    target, drawn = yield [
        rows.ask(Targets(is_classifier(estimator))),
        rows.ask(RowSample(who, size=_DRAWN, allow_inf=True)),
    ]
    _check_one_target(target)
    plan = _plan(work, estimator, target)
    if plan.chosen is not None:
        drawn = yield rows.ask(RowSample(who, allow_inf=True, chosen=np.unique(plan.chosen)))
    mapper = _mapper(work, plan, target, drawn, known)
    cache = BinnedCache(
        who,
        tuple(np.asarray(t, np.float64) for t in mapper.bin_thresholds_),
        target.n_samples,
        cache_memory(rows),
        target.rows,
        missing=mapper.missing_values_bin_idx_,
    )
    binned: Binned = yield rows.ask(cache)
    learned = _boost(work, plan, target, mapper, _Columns(binned.codes, cache_memory(rows)))
    if learned.get("_scorer") is not None:
        learned["_scorer"] = check_scoring(estimator, estimator.scoring)
    return learned


def _check_one_target(target: TargetRows) -> None:
    if target.y.ndim == 2 and target.y.shape[1] > 1:
        raise Decline("it has one target")


def _numeric(work: Any, rows: Rows) -> Generator[Any, Any, tuple[Rows, list[Any] | None]]:
    """The rows with categories as numbers, in the order of ``_preprocess_X``; and the known numbers."""
    from functools import partial

    from sklearn.compose import ColumnTransformer
    from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder
    from sklearn.utils import check_array
    from sklearn.utils.validation import _check_categorical_features

    work.n_features_in_ = rows.width
    if rows.names is not None:
        work.feature_names_in_ = np.asarray(rows.names, dtype=object)
    categorical = _check_categorical_features(rows.head, work.categorical_features)
    work.is_categorical_, work._preprocessor = categorical, None
    work._is_categorical_remapped = None
    if categorical is None:
        return rows, None
    encoder = OrdinalEncoder(
        categories="auto",
        handle_unknown="use_encoded_value",
        unknown_value=np.nan,
        encoded_missing_value=np.nan,
        dtype=np.float64,
    )
    kinds: Any = [np.float64]
    checked = FunctionTransformer(partial(check_array, dtype=kinds, ensure_all_finite=False))
    both = ColumnTransformer(
        [("encoder", encoder, categorical), ("numerical", checked, ~categorical)]
    )
    both.set_output(transform="default")
    fitted = yield rows.unweighted().fit(both, "preprocessor")  # encoders take no weights
    work._preprocessor = fitted.estimator
    known = work._check_categories()
    work._is_categorical_remapped = np.zeros(len(categorical), dtype=bool)
    work._is_categorical_remapped[fitted.estimator.output_indices_["encoder"]] = True
    return replace(fitted.rows, weighted=rows.weighted), known


@dataclass(frozen=True)
class _Plan:
    """What scikit-learn's ``fit`` will draw.

    Attributes
    ----------
    seed : int
        ``_random_seed``.
    generator : numpy.random.RandomState
        Stands where ``fit`` will find it.
    train : numpy.ndarray, optional
        Places of the rows that are trained on, in its order; None for all.
    chosen : numpy.ndarray, optional
        Numbers of the rows that give the edges, with repetitions; None for all of `train`.
    weight : numpy.ndarray, optional
        Weights of the rows that give the edges.
    """

    seed: Any
    generator: np.random.RandomState
    train: np.ndarray | None
    chosen: np.ndarray | None
    weight: np.ndarray | None


def _plan(work: Any, estimator: Any, target: TargetRows) -> _Plan:
    """Draw ahead what ``fit`` draws; the generator of the user goes on as by ``fit`` itself."""
    from sklearn.model_selection import train_test_split
    from sklearn.utils import check_random_state

    own = check_random_state(estimator.random_state)
    later = np.random.RandomState()
    later.set_state(own.get_state())
    seed = own.randint(np.iinfo(np.uint32).max, dtype="u8")
    own.randint(np.iinfo(np.uint32).max, dtype="u8")  # the seed of the features
    n, y = target.n_samples, target.y.astype(np.float64)
    weight = work._finalize_sample_weight(target.weight, y)
    stops = n > 10_000 if work.early_stopping == "auto" else work.early_stopping
    train: Any = None
    if stops and work.validation_fraction is not None:
        stratify = y if target.classes is not None else None
        fraction = work.validation_fraction
        train, _ = train_test_split(
            np.arange(n), test_size=fraction, stratify=stratify, random_state=seed
        )
        n = len(train)
        weight = None if weight is None else weight[train]
    if n <= _DRAWN:
        return _Plan(seed, later, train, None, weight)
    share = None if weight is None else weight / np.sum(weight)
    places = check_random_state(seed).choice(n, _DRAWN, p=share, replace=True)
    places = places if train is None else train[places]
    chosen = places if target.rows is None else target.rows[places]
    return _Plan(seed, later, train, chosen, None)


def _mapper(work: Any, plan: _Plan, target: TargetRows, drawn: SampledRows, known: Any) -> Any:
    """The fitted ``_BinMapper``."""
    from sklearn.ensemble._hist_gradient_boosting.binning import _BinMapper

    mapper = _BinMapper(
        n_bins=work.max_bins + 1,
        is_categorical=work._is_categorical_remapped,
        known_categories=known,
        random_state=plan.seed,
        n_threads=_openmp_threads(),
    )
    X = drawn.X
    if plan.chosen is not None:
        X = X[np.searchsorted(drawn.rows, plan.chosen)]
    elif plan.train is not None:
        places = plan.train if target.rows is None else target.rows[plan.train]
        X = X[np.searchsorted(drawn.rows, places)]
    return mapper.fit(X, sample_weight=plan.weight)


def _openmp_threads() -> int:
    """Threads for scikit-learn's loops: Millrace's, and fewer where other processes keep the cores busy.

    OpenMP's threads spin while they wait for one another. If one of them has no core, the others wait for
    it in every loop, and two threads are several times slower than one.
    """
    from sklearn.utils._openmp_helpers import _openmp_effective_n_threads

    wanted = min(get_threads(), _openmp_effective_n_threads())
    try:
        waiting = os.getloadavg()[0] / (os.cpu_count() or 1)
    except (AttributeError, OSError):
        return wanted
    return wanted if waiting <= _BUSY else max(1, int(wanted / waiting))


class _Bytes(np.ndarray):
    """Binned rows whose comparison with a bin is only asked column by column: no matrix of booleans."""

    def __eq__(self, other: Any) -> Any:  # type: ignore[override]
        return _Occurrence(self.view(np.ndarray), other)


@dataclass(frozen=True)
class _Occurrence:
    codes: np.ndarray
    bin: int

    def any(self, axis: int) -> np.ndarray:
        """Whether the bin occurs in each column."""
        return np.asarray([(column == self.bin).any() for column in self.codes.T])


class _Columns:
    """Stands for X in scikit-learn's ``fit``: rows by number, gathered when they are needed."""

    def __init__(self, codes: np.ndarray, memory: int, rows: np.ndarray | None = None) -> None:
        self.codes, self.memory, self.rows = codes, memory, rows
        self.shape = (codes.shape[1] if rows is None else len(rows), len(codes))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> _Columns:
        rows = key[0] if isinstance(key, tuple) else key
        return _Columns(self.codes, self.memory, np.asarray(rows))

    def for_training(self) -> np.ndarray:
        """Column-major uint8 (n_samples, n_features)."""
        if self.rows is None:
            return self.codes.T.view(_Bytes)
        out = Store((self.shape[1], self.shape[0]), self.memory).get()
        for own, column in zip(out, self.codes, strict=True):
            np.take(column, self.rows, out=own)
        return out.T.view(_Bytes)

    def for_prediction(self) -> np.ndarray:
        """Row-major uint8 (n_samples, n_features)."""
        return np.ascontiguousarray(self.codes[:, self.rows].T)


class _Fed:
    """Mixed into the estimator: its ``fit``, fed with rows that are binned already."""

    def _preprocess_X(self, X: Any, *, reset: bool) -> Any:
        return (X, None) if reset else X

    def _bin_data(self, X: _Columns, sample_weight: Any, is_training_data: bool) -> np.ndarray:
        if not is_training_data:
            return X.for_prediction()
        self._bin_mapper = self.mapper  # type: ignore[attr-defined]
        return X.for_training()


def _boost(
    work: Any, plan: _Plan, target: TargetRows, mapper: Any, columns: _Columns
) -> dict[str, Any]:
    from threadpoolctl import threadpool_limits

    cls = type(work)
    fed = type(cls.__name__, (_Fed, cls), {})(**work.get_params(deep=False))
    vars(fed).update(vars(work))
    fed.random_state, fed.mapper = plan.generator, mapper
    y = target.y if target.classes is None else target.classes[target.y]
    with threadpool_limits(_openmp_threads(), user_api="openmp"):
        fed.fit(columns, y.reshape(-1), sample_weight=target.weight)
    # Stopping by a score leaves the bound method that it had patched, which a class has anyway.
    left_out = {"mapper", "_raw_predict", *work.get_params(deep=False)}
    return {name: value for name, value in vars(fed).items() if name not in left_out}


def examples() -> Iterator[Example]:
    """Losses, early stopping, categories, missing values and weights."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    def of(cls: Any, kind: str, missing: bool = False, **params: Any) -> Any:
        settings = {"max_iter": 8, "random_state": 3, "min_samples_leaf": 5, **params}
        return lambda: (cls(**settings), *few_values(kind, missing))

    def continuous() -> Any:
        X = np.random.default_rng(1).standard_normal((300, 4))
        return (
            HistGradientBoostingRegressor(max_iter=5, max_bins=32, random_state=0),
            X,
            X[:, 0] + X[:, 1] ** 2,
        )

    def frame() -> Any:
        import pandas as pd

        X, y = few_values("binary", True)
        table = pd.DataFrame(X, columns=list("abcdef"))
        words = np.array(["low", "mid", "top"])[np.digitize(np.nan_to_num(X[:, 1]), [-3, 3])]
        table.insert(2, "word", pd.Categorical(words))
        return HistGradientBoostingClassifier(max_iter=5, random_state=0), table, y

    classifier, regressor = HistGradientBoostingClassifier, HistGradientBoostingRegressor
    stop = {"early_stopping": True, "n_iter_no_change": 2, "max_iter": 20}
    cases: list[tuple[str, Any, str, bool, dict[str, Any]]] = [
        ("binary", classifier, "binary", True, {}),
        ("many", classifier, "many", False, {"max_leaf_nodes": 5}),
        ("balanced", classifier, "many", False, {"class_weight": "balanced", "l2_regularization": 1.0}),
        ("stopped", classifier, "binary", False, stop),
        ("stopped by score", classifier, "many", False, {**stop, "scoring": "accuracy"}),
        ("own score", classifier, "binary", True, {**stop, "scoring": None, "validation_fraction": 50}),
        ("squares", regressor, "number", True, {"max_features": 0.5}),
        ("stopped", regressor, "number", False, {**stop, "validation_fraction": None}),
        ("absolute", regressor, "number", False, {"loss": "absolute_error"}),
        ("quantile", regressor, "number", False, {"loss": "quantile", "quantile": 0.8}),
        ("poisson", regressor, "count", True, {"loss": "poisson"}),
        ("monotonic", regressor, "number", False, {"monotonic_cst": [1, 0, 0, -1, 0, 0]}),
        ("interactions", regressor, "number", False, {"interaction_cst": "pairwise"}),
        ("categories", regressor, "number", True, {"categorical_features": [2, 3]}),
    ]  # fmt: skip
    for name, cls, kind, missing, params in cases:
        yield Example(f"{cls.__name__} {name}", of(cls, kind, missing, **params), weight=missing)
    yield Example("HistGradientBoostingRegressor continuous", continuous)
    yield Example("HistGradientBoostingClassifier words", frame)
