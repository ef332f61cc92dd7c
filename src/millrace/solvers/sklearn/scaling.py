"""StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler; VarianceThreshold's moments are the same.

One sweep each (`Moments`), which is shared by all that ask for the same columns; RobustScaler asks for
order statistics (`order_statistics`).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from millrace.solvers.registry import Decline, Example, solves
from millrace.solvers.rows import Rows
from millrace.solvers.sklearn._working import (
    Asking,
    float_dtype,
    is_sparse,
    learned,
    library,
    working_copy,
)
from millrace.statistics.moments import ColumnMoments, Moments
from millrace.statistics.quantiles import percentiles


@solves("sklearn.preprocessing.StandardScaler", weight=True)
def standard_scaler(estimator: Any, rows: Rows) -> Asking:
    """Mean and population variance; constant columns are found by scikit-learn's own bound."""
    from sklearn.preprocessing._data import _handle_zeros_in_scale, _is_constant_feature

    work = working_copy(estimator)
    sparse = is_sparse(rows.head)
    if sparse and work.with_mean:
        raise ValueError(
            "Cannot center sparse matrices: pass `with_mean=False` instead. See docstring for "
            "motivation and alternatives."
        )
    found: ColumnMoments = yield rows.ask(Moments(who="StandardScaler"))
    with_moments = work.with_std or (work.with_mean and not sparse)
    # The counts have the dtype of the branch that scikit-learn takes.
    if rows.weighted:
        dtype = np.dtype(np.float64) if with_moments else float_dtype(rows.head)
    else:
        dtype = np.dtype(np.float64 if with_moments else np.int64)
    seen = (found.weight if rows.weighted else found.present).astype(dtype)
    seen = seen[0] if seen.max() == seen.min() else seen
    mean, variance = found.mean, found.variance
    attributes = {
        "n_samples_seen_": seen,
        "mean_": mean if with_moments else None,
        "var_": variance if work.with_std else None,
        "scale_": None,
    }
    if work.with_std:
        constant = _is_constant_feature(variance, mean, seen)
        attributes["scale_"] = _handle_zeros_in_scale(np.sqrt(variance), constant_mask=constant)
    return attributes


@solves("sklearn.preprocessing.MinMaxScaler")
def min_max_scaler(estimator: Any, rows: Rows) -> Asking:
    """A clone fitted on the two rows of least and greatest values."""
    if is_sparse(rows.head):
        raise TypeError(
            "MinMaxScaler does not support sparse input. Consider using MaxAbsScaler instead."
        )
    return (yield from _from_extremes(estimator, rows))


@solves("sklearn.preprocessing.MaxAbsScaler")
def max_abs_scaler(estimator: Any, rows: Rows) -> Asking:
    """A clone fitted on the two rows of least and greatest values."""
    return (yield from _from_extremes(estimator, rows))


def _from_extremes(estimator: Any, rows: Rows) -> Asking:
    work = working_copy(estimator)
    found: ColumnMoments = yield rows.ask(Moments(who=type(estimator).__name__))
    two = np.array([found.least, found.greatest], float_dtype(rows.head))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)
        work.fit(two)
    work.n_samples_seen_ = found.n_rows
    return learned(work)


@solves("sklearn.preprocessing.RobustScaler")
def robust_scaler(estimator: Any, rows: Rows) -> Asking:
    """Exact percentiles over all rows, interpolated as ``numpy.nanpercentile`` does."""
    from scipy import stats
    from sklearn.preprocessing._data import _handle_zeros_in_scale

    work = working_copy(estimator)
    q_min, q_max = work.quantile_range
    if not 0 <= q_min <= q_max <= 100:
        raise ValueError(f"Invalid quantile range: {work.quantile_range}")
    if is_sparse(rows.head):
        if work.with_centering:
            raise ValueError(
                "Cannot center sparse matrices: use `with_centering=False` instead. See docstring "
                "for motivation and alternatives."
            )
        raise Decline("order statistics of sparse rows are not collected")
    points = np.array([50.0, q_min, q_max])
    found = yield from percentiles(rows, points, "RobustScaler")
    middle, low, high = found.astype(float_dtype(rows.head))
    scale = None
    if work.with_scaling:
        scale = _handle_zeros_in_scale(high - low, copy=False)
        if work.unit_variance:
            scale = scale / (stats.norm.ppf(q_max / 100.0) - stats.norm.ppf(q_min / 100.0))
    return {"center_": middle if work.with_centering else None, "scale_": scale}


def _numbers(missing: bool = False, sparse: bool = False, dtype: str = "f8") -> Any:
    rng = np.random.default_rng(11)
    X = rng.normal([0, 1e6, -3, 5, 0], [1, 1, 1e-3, 100, 0], (400, 5)).astype(dtype)
    if missing:
        X[rng.random(X.shape) < 0.1] = np.nan
    if sparse:
        import scipy.sparse as sp

        X[rng.random(X.shape) < 0.6] = 0
        return sp.csr_matrix(X)
    return X


def examples() -> Iterator[Example]:
    """Every switch, with missing values, constant columns, a large mean, and sparse rows."""
    p = library("sklearn.preprocessing")

    def case(name: str, estimator: Any, **given: Any) -> Example:
        weight = given.pop("weight", False)
        return Example(
            name, lambda: (estimator, _numbers(**given), None), weight=weight, rtol=1e-6, atol=1e-9
        )

    yield case("StandardScaler", p.StandardScaler(), weight=True)
    yield case("StandardScaler, missing", p.StandardScaler(), missing=True, weight=True)
    yield case("StandardScaler, mean only", p.StandardScaler(with_std=False), missing=True)
    yield case("StandardScaler, neither", p.StandardScaler(with_std=False, with_mean=False))
    yield case(
        "StandardScaler, sparse", p.StandardScaler(with_mean=False), sparse=True, weight=True
    )
    yield case(
        "StandardScaler, sparse, neither",
        p.StandardScaler(with_mean=False, with_std=False),
        sparse=True,
    )
    yield case("MinMaxScaler", p.MinMaxScaler())
    yield case(
        "MinMaxScaler, range", p.MinMaxScaler(feature_range=(-1, 3), clip=True), missing=True
    )
    yield case("MaxAbsScaler", p.MaxAbsScaler(), missing=True)
    yield case("MaxAbsScaler, sparse", p.MaxAbsScaler(), sparse=True)
    yield case("RobustScaler", p.RobustScaler())
    yield case("RobustScaler, missing", p.RobustScaler(), missing=True)
    yield case(
        "RobustScaler, range", p.RobustScaler(quantile_range=(5.0, 85.0), unit_variance=True)
    )
    yield case("RobustScaler, no scaling", p.RobustScaler(with_scaling=False))
    yield case("RobustScaler, no centering", p.RobustScaler(with_centering=False))
