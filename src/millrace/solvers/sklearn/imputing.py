"""SimpleImputer and MissingIndicator.

A clone is fitted on rows of all missing, extreme and most frequent values, for the dtypes, the indicator
and the errors; the fill values are those of all rows: means from moments, medians from exact order
statistics, the most frequent value from counts (the least one of several, as in scikit-learn).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace.solvers.registry import Decline, Example, solves
from millrace.solvers.rows import Rows
from millrace.solvers.sklearn._values import stand_in
from millrace.solvers.sklearn._working import (
    Asking,
    float_dtype,
    is_sparse,
    learned,
    library,
    working_copy,
)
from millrace.statistics.categories import Counted, Distinct, Presence
from millrace.statistics.moments import ColumnMoments, Moments
from millrace.statistics.quantiles import percentiles


@solves("sklearn.impute.SimpleImputer")
def simple_imputer(estimator: Any, rows: Rows) -> Asking:
    """The fill value of every column, over its present cells."""
    work = working_copy(estimator)
    if callable(work.strategy):
        raise Decline("its strategy is a function of all values of a column")
    if is_sparse(rows.head):
        return (yield from _sparse(work, rows))
    plain = isinstance(work.missing_values, float) and np.isnan(work.missing_values)
    if plain and work.strategy in ("mean", "median"):
        return (yield from _numeric(work, rows))
    few = plain and work.strategy == "constant"
    ask = Presence("SimpleImputer") if few else Distinct(plain, "SimpleImputer")
    counted: tuple[Counted, ...] = yield rows.ask(ask)
    values = stand_in(counted, rows.head, rows.names)
    if work.strategy in ("mean", "median"):
        return _by_counts(work, values, counted)
    work.fit(values)
    if work.strategy == "most_frequent":
        missing = _missing(values, work)
        cells = values.to_numpy() if hasattr(values, "iloc") else values
        for j, one in enumerate(counted):
            found = _most_frequent(cells[:, j], missing[:, j], one, work.keep_empty_features)
            work.statistics_[j] = found
    return learned(work)


def _numeric(work: Any, rows: Rows) -> Asking:
    """Means or medians of columns of numbers with NaN."""
    who = "SimpleImputer"
    if work.strategy == "mean":
        found: ColumnMoments = yield rows.ask(Moments(who=who))
        values, missing = found.mean, found.missing
        empty = found.present == 0
    else:
        # The moments tell which columns have missing cells; both ride in the first sweeps.
        points = np.array([50.0])
        values = (yield from percentiles(rows, points, who))[0]
        missing = (yield rows.ask(Moments(who=who))).missing if work.add_indicator else None
        empty = np.isnan(values)
    dtype = float_dtype(rows.head)
    sample = np.zeros((2, len(values)), dtype)
    if missing is not None:
        sample[0, missing > 0] = np.nan
    sample[:, empty] = np.nan
    work.fit(sample)
    filled = np.where(empty, 0.0 if work.keep_empty_features else np.nan, values)
    work.statistics_ = filled.astype(work.statistics_.dtype)
    return learned(work)


def _missing(values: Any, work: Any) -> np.ndarray:
    """Which cells of the stand-in count as missing."""
    from sklearn.impute._base import _get_mask

    cells = values.to_numpy() if hasattr(values, "iloc") else values
    return np.asarray(_get_mask(cells, work.missing_values))


def _most_frequent(column: Any, missing: np.ndarray, one: Counted, keep: bool) -> Any:
    """The value of most rows; of several the least, by value or else by its text."""
    from sklearn.impute._base import _safe_min

    counts = one.complete()[1]
    present = ~missing[: len(counts)]
    if not present.any():
        return 0 if keep else np.nan
    kept = np.flatnonzero(present)
    best = kept[counts[kept] == counts[kept].max()]
    candidates = column[best]
    return candidates[0] if len(best) == 1 else _safe_min(list(candidates))


def _by_counts(work: Any, values: Any, counted: tuple[Counted, ...]) -> dict[str, Any]:
    """Means or medians from distinct values, where another value than NaN means missing."""
    work.fit(values)
    cells = np.asarray(values, np.float64)
    missing = _missing(values, work)
    for j, one in enumerate(counted):
        counts = one.complete()[1]
        kept = np.flatnonzero(~missing[: len(counts), j])
        if not len(kept):
            continue
        order = kept[np.argsort(cells[kept, j], kind="stable")]
        numbers, times = cells[order, j], counts[order]
        if work.strategy == "mean":
            centre = numbers[0]
            work.statistics_[j] = centre + ((numbers - centre) @ times) / times.sum()
        else:
            reached, n = np.cumsum(times), times.sum()
            low, high = (
                numbers[np.searchsorted(reached, r, "right")] for r in ((n - 1) // 2, n // 2)
            )
            work.statistics_[j] = low + (high - low) / 2 if low != high else low
    return learned(work)


def _sparse(work: Any, rows: Rows) -> Asking:
    """Means of sparse columns: cells that are not stored are zeros."""
    import scipy.sparse as sp

    if work.strategy != "mean" or not np.isnan(work.missing_values):
        raise Decline("sparse rows are imputed by the mean of cells that are not NaN only")
    found: ColumnMoments = yield rows.ask(Moments(who="SimpleImputer"))
    sample = np.zeros((2, len(found.mean)), float_dtype(rows.head))
    sample[0, found.missing > 0] = np.nan
    sample[:, found.present == 0] = np.nan
    work.fit(sp.csr_matrix(sample))
    # A column of zeros alone has no stored cell, which scikit-learn takes for an empty one.
    empty = np.isnan(found.mean)
    work.statistics_ = np.where(empty, 0.0 if work.keep_empty_features else np.nan, found.mean)
    return learned(work)


@solves("sklearn.impute.MissingIndicator")
def missing_indicator(estimator: Any, rows: Rows) -> Asking:
    """Which columns have a missing cell."""
    work = working_copy(estimator)
    if is_sparse(rows.head):
        raise Decline("missing cells of sparse rows are not counted")
    plain = isinstance(work.missing_values, float) and np.isnan(work.missing_values)
    ask = Presence("MissingIndicator") if plain else Distinct(False, "MissingIndicator")
    counted: tuple[Counted, ...] = yield rows.ask(ask)
    return learned(work.fit(stand_in(counted, rows.head, rows.names)))


@dataclass(frozen=True)
class _Case:
    missing: Any = np.nan
    words: bool = False
    empty: bool = False


def _cells(case: _Case) -> Any:
    import pandas as pd

    rng = np.random.default_rng(2)
    X = rng.integers(0, 7, (160, 3)) * 1.5 + [0, 1e6, -4]
    X[rng.random(X.shape) < 0.15] = case.missing
    X[:, 1] = np.where(X[:, 1] == case.missing, 1e6, np.nan_to_num(X[:, 1], nan=1e6))
    if case.empty:
        X[:, 2] = np.nan
    if not case.words:
        return X
    words = rng.choice(["x", "y", "z"], 160).astype(object)
    words[rng.random(160) < 0.2] = np.nan
    return pd.DataFrame({"w": words, "v": rng.permutation(words)})


def examples() -> Iterator[Example]:
    """Every strategy, other marks for missing, empty columns, words, indicators."""
    import scipy.sparse as sp

    impute = library("sklearn.impute")
    SimpleImputer, MissingIndicator = impute.SimpleImputer, impute.MissingIndicator

    def case(name: str, estimator: Any, **given: Any) -> Example:
        return Example(name, lambda: (estimator, _cells(_Case(**given)), None))

    for strategy in ("mean", "median", "most_frequent", "constant"):
        made = {"strategy": strategy}
        yield case(f"SimpleImputer, {strategy}", SimpleImputer(**made))
        yield case(
            f"SimpleImputer, {strategy}, indicator", SimpleImputer(add_indicator=True, **made)
        )
        yield case(
            f"SimpleImputer, {strategy}, empty kept",
            SimpleImputer(keep_empty_features=True, **made),
            empty=True,
        )
        yield case(
            f"SimpleImputer, {strategy}, -1", SimpleImputer(missing_values=-1, **made), missing=-1
        )
    for strategy in ("most_frequent", "constant"):
        yield case(
            f"SimpleImputer, words, {strategy}", SimpleImputer(strategy=strategy), words=True
        )
    filled = SimpleImputer(strategy="constant", fill_value="none")
    yield case("SimpleImputer, words, filled", filled, words=True)
    yield case("MissingIndicator", MissingIndicator())
    yield case("MissingIndicator, all", MissingIndicator(features="all"))
    yield case("MissingIndicator, words", MissingIndicator(), words=True)
    yield case("MissingIndicator, -1", MissingIndicator(missing_values=-1), missing=-1)

    def sparse() -> Any:
        X = _cells(_Case())
        X[X == 0] = 0
        return SimpleImputer(), sp.csr_matrix(X), None

    yield Example("SimpleImputer, sparse", sparse)
