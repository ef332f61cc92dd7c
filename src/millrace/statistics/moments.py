"""Moments of every column: how many values, their mean, spread and extremes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from millrace.statistics.base import Batch, Statistic, check_finite

_NO_WEIGHT = np.empty(0)

_BLOCK_BYTES = 1 << 17
"""Bytes of the rows that are read twice: well inside the L2 cache."""


@dataclass(frozen=True)
class ColumnMoments:
    """The answer of `Moments`; every array is of (n_features,) and float64 unless said otherwise.

    Attributes
    ----------
    n_rows : int
    sum_weights : float
        Over all rows; the number of rows where they have no weights.
    weight : numpy.ndarray
        Sum of the weights of the values that are present.
    mean : numpy.ndarray
        NaN where no value is present.
    m2 : numpy.ndarray
        Weighted sum of squared deviations from the mean.
    least, greatest : numpy.ndarray
        Extremes of the values that are present, whatever their weight; NaN where there is none.
    present : numpy.ndarray of int64
        Values that are not missing.
    rest : numpy.ndarray
        What the mean has no digits for: the difference of two means is that of both parts.
    """

    n_rows: int
    sum_weights: float
    weight: np.ndarray
    mean: np.ndarray
    m2: np.ndarray
    least: np.ndarray
    greatest: np.ndarray
    present: np.ndarray
    rest: np.ndarray

    @property
    def missing(self) -> np.ndarray:
        """Missing values: int64 of (n_features,)."""
        return self.n_rows - self.present

    @property
    def variance(self) -> np.ndarray:
        """Weighted population variance; NaN where no value is present."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.m2 / self.weight


@dataclass(frozen=True)
class Moments(Statistic[ColumnMoments, ColumnMoments]):
    """Counts, means, squared deviations and extremes of the columns, NaN left out.

    Dense or CSR, weighted or not. float32 rows are summed in float64. Within a batch the mean is
    corrected by a second pass over blocks of rows, and batches are joined by the formula of Chan, Golub
    and LeVeque (1983) with means of two parts, so that the variance keeps 12 digits whatever the mean.

    Attributes
    ----------
    allow_nan : bool
        Whether NaN means missing; refused otherwise. Infinities are refused always.
    who : str
        The estimator's class, for the error.
    """

    allow_nan: bool = True
    who: str = field(default="", compare=False)

    def of(self, batch: Batch) -> ColumnMoments:
        X = batch.matrix
        weight = _NO_WEIGHT if batch.weight is None else np.ascontiguousarray(batch.weight, "f8")
        out = _sparse(X, weight) if batch.is_sparse else _dense(X, weight)
        present = out[5].astype(np.int64)
        # Infinite extremes or sums tell that a cell is to be refused; only then it is looked for.
        some = present > 0
        extremes = out[3:5, some]
        if not np.isfinite(extremes).all() or not (self.allow_nan or (present == len(batch)).all()):
            check_finite(batch, self.who, allow_nan=self.allow_nan)
        total = float(len(batch)) if batch.weight is None else float(weight.sum())
        return ColumnMoments(
            len(batch), total, out[0], out[1], out[2], out[3], out[4], present, out[6]
        )

    def merge(self, left: ColumnMoments, right: ColumnMoments) -> ColumnMoments:
        weight = left.weight + right.weight
        with np.errstate(invalid="ignore", divide="ignore"):
            part = np.where(weight > 0, right.weight / weight, 0.0)
        delta = (right.mean - left.mean) + (right.rest - left.rest)
        # The side of the larger weight is the base, so that an empty side changes nothing.
        first = part <= 0.5
        base, rest = np.where(first, left.mean, right.mean), np.where(first, left.rest, right.rest)
        mean, rest = two_sum(base, rest + np.where(first, delta * part, -delta * (1.0 - part)))
        m2 = left.m2 + right.m2 + delta * delta * (left.weight * part)
        return ColumnMoments(
            left.n_rows + right.n_rows,
            left.sum_weights + right.sum_weights,
            weight,
            mean,
            m2,
            np.minimum(left.least, right.least),
            np.maximum(left.greatest, right.greatest),
            left.present + right.present,
            rest,
        )

    def finish(self, state: ColumnMoments) -> ColumnMoments:
        none = state.present == 0
        mean, rest = two_sum(state.mean, state.rest)
        return ColumnMoments(
            state.n_rows,
            state.sum_weights,
            state.weight,
            np.where(state.weight > 0, mean, np.nan),
            state.m2,
            np.where(none, np.nan, state.least),
            np.where(none, np.nan, state.greatest),
            state.present,
            rest,
        )


def two_sum(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rounded sum, and what rounding left of it (Knuth)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _dense(X: np.ndarray, weight: np.ndarray) -> np.ndarray:
    from millrace.statistics.kernels import moments as kernels

    out = np.empty((7, X.shape[1]))
    rows = max(_BLOCK_BYTES // max(X.itemsize * X.shape[1], 1), 16)
    kernels.dense(np.ascontiguousarray(X), weight, rows, out)
    return out


def _sparse(X: Any, weight: np.ndarray) -> np.ndarray:
    from millrace.statistics.kernels import moments as kernels

    data = X.data if X.data.dtype in (np.float32, np.float64) else X.data.astype(np.float64)
    out = np.empty((7, X.shape[1]))
    kernels.sparse(data, X.indices, X.indptr, weight, out)
    return out
