"""How single columns depend on the target: moments by class, and co-moments with numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from millrace.statistics.base import Batch, Statistic, check_finite, codes_of
from millrace.statistics.classes import distinct
from millrace.statistics.moments import ColumnMoments, Moments, two_sum

_ROWS = 2048
"""Rows that are centred at once, so that the copy stays in the cache."""


@dataclass(frozen=True)
class MomentsByClass:
    """The answer of `ByClass`: sorted labels, and the moments of the rows of each."""

    classes: np.ndarray
    moments: tuple[ColumnMoments, ...]


@dataclass(frozen=True)
class ByClass(Statistic[MomentsByClass, MomentsByClass]):
    """Moments of the columns in each class of the target; dense or CSR, without weights.

    NaN and infinities are refused, missing labels too.

    Attributes
    ----------
    who : str
        The estimator's class, for the error.
    """

    who: str = field(default="", compare=False)

    def of(self, batch: Batch) -> MomentsByClass:
        check_finite(batch, self.who)
        classes = distinct(batch.y, batch.first)
        codes = codes_of(batch.y, classes)
        one = Moments(who=self.who)
        found = [one.of(Batch(batch.first, batch.matrix[codes == k])) for k in range(len(classes))]
        return MomentsByClass(classes, tuple(found))

    def merge(self, left: MomentsByClass, right: MomentsByClass) -> MomentsByClass:
        classes = np.unique(np.concatenate([left.classes, right.classes]))
        found: list[ColumnMoments | None] = [None] * len(classes)
        for part in (left, right):
            for at, new in zip(codes_of(part.classes, classes), part.moments, strict=True):
                old = found[at]
                found[at] = new if old is None else Moments().merge(old, new)
        return MomentsByClass(classes, tuple(m for m in found if m is not None))

    def finish(self, state: MomentsByClass) -> MomentsByClass:
        return MomentsByClass(state.classes, tuple(Moments().finish(m) for m in state.moments))


@dataclass(frozen=True)
class CoMoments:
    """The answer of `WithTarget`.

    Attributes
    ----------
    moments : ColumnMoments
        Of the columns.
    y_mean, y_rest, y_m2 : float
        Mean of the target, what it has no digits for, and the sum of squared deviations.
    products : numpy.ndarray of float64
        Sums of products of deviations of each column and the target (n_features,).
    """

    moments: ColumnMoments
    y_mean: float
    y_rest: float
    y_m2: float
    products: np.ndarray


@dataclass(frozen=True)
class WithTarget(Statistic[CoMoments, CoMoments]):
    """Co-moments of each column with a target of numbers; dense or CSR, without weights.

    Attributes
    ----------
    who : str
        The estimator's class, for the error. NaN and infinities are refused.
    """

    who: str = field(default="", compare=False)

    def of(self, batch: Batch) -> CoMoments:
        found = Moments(allow_nan=False, who=self.who).of(
            Batch(batch.first, batch.X, rows=batch.rows)
        )
        y, X = batch.target, batch.matrix
        mean = float(y.mean())
        gaps = y - mean
        rest = float(gaps.mean())
        gaps = gaps - rest
        if batch.is_sparse:
            products = gaps @ X - found.mean * gaps.sum()
        else:
            products = np.zeros(X.shape[1])
            for at in range(0, len(X), _ROWS):
                products += gaps[at : at + _ROWS] @ (X[at : at + _ROWS] - found.mean)
        return CoMoments(found, mean, rest, float(gaps @ gaps), np.asarray(products))

    def merge(self, left: CoMoments, right: CoMoments) -> CoMoments:
        n, m = left.moments.n_rows, right.moments.n_rows
        part = n * (m / (n + m))
        gap = (right.y_mean - left.y_mean) + (right.y_rest - left.y_rest)
        mean, rest = two_sum(np.asarray(left.y_mean), np.asarray(left.y_rest + gap * (m / (n + m))))
        columns = right.moments.mean - left.moments.mean
        columns = columns + (right.moments.rest - left.moments.rest)
        return CoMoments(
            Moments().merge(left.moments, right.moments),
            float(mean),
            float(rest),
            left.y_m2 + right.y_m2 + gap * gap * part,
            left.products + right.products + columns * gap * part,
        )

    def finish(self, state: CoMoments) -> CoMoments:
        return state
