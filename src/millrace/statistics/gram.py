"""Products of all columns with each other, about their means: what least squares needs to know of rows.

With ``z = (x, y)`` a row of features and targets, ``w`` its weight (1 without weights)::

    mean    = sum(w z) / sum(w)
    scatter = sum(w (z - mean) (z - mean)')

A batch is summed about the mean of a few of its own rows ``c``, spread evenly, and corrected to its own
mean afterwards: by Cauchy's inequality ``(mean - c)**2 <= variance * n / n_spread``, so whatever the
order and the offset of the rows, at most log10(2048) digits of 16 are lost there and less than one as a
rule. Batches are joined by the formula of Chan, Golub and LeVeque (1983), which loses none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from millrace.errors import FitError
from millrace.statistics.base import Batch, Statistic, check_finite

WIDEST = 4096
"""Most columns of a Gram matrix (128 MiB)."""

_BLOCK_CELLS = 1 << 17  # a megabyte of float64: it stays in the L2 cache
_BLOCK_ROWS = 4096
_SPREAD = 128
_MOSTLY_STORED = 0.5


@dataclass(frozen=True)
class CrossMoments:
    """The answer of `Gram`: second moments of features and targets about their means, in float64.

    Attributes
    ----------
    rows : int
        How many there were.
    weight : float
        Sum of their weights; `rows` without weights.
    shift, apart : numpy.ndarray of float64
        (n_features + n_targets,) The mean is their sum; apart from its offset it has more digits.
    scatter : numpy.ndarray of float64
        Sum of weighted products about the mean, symmetric: (n_features + n_targets,) squared.
    n_features : int
    flat : bool
        Whether the target is one-dimensional (or there is none).
    dtype : numpy.dtype
        float32 where every batch was, else float64: what scikit-learn would compute in.
    sparse : bool
        Whether X was CSR.
    """

    rows: int
    weight: float
    shift: np.ndarray
    apart: np.ndarray
    scatter: np.ndarray
    n_features: int
    flat: bool
    dtype: np.dtype[Any]
    sparse: bool

    @cached_property
    def mean(self) -> np.ndarray:
        """Weighted mean: (n_features + n_targets,)."""
        return self.shift + self.apart

    @property
    def n_targets(self) -> int:
        """Columns of the target."""
        return len(self.shift) - self.n_features

    @property
    def x_mean(self) -> np.ndarray:
        """(n_features,)"""
        return self.mean[: self.n_features]

    @property
    def y_mean(self) -> np.ndarray:
        """(n_targets,)"""
        return self.mean[self.n_features :]

    @cached_property
    def about_zero(self) -> np.ndarray:
        """Sum of weighted products of the columns as they are, not about the mean."""
        return self.scatter + np.outer(self.mean, self.mean) * self.weight

    def xx(self, centred: bool = True) -> np.ndarray:
        """Products of the features: (n_features, n_features)."""
        p = self.n_features
        return (self.scatter if centred else self.about_zero)[:p, :p]

    def xy(self, centred: bool = True) -> np.ndarray:
        """Products of features and targets: (n_features, n_targets)."""
        p = self.n_features
        return (self.scatter if centred else self.about_zero)[:p, p:]

    def yy(self, centred: bool = True) -> np.ndarray:
        """Products of the targets: (n_targets, n_targets)."""
        p = self.n_features
        return (self.scatter if centred else self.about_zero)[p:, p:]


def merged(left: CrossMoments, right: CrossMoments) -> CrossMoments:
    """The moments of the rows of both."""
    weight = left.weight + right.weight
    share = right.weight / weight if weight else 0.0
    apart = (right.shift - left.shift) + (right.apart - left.apart)
    scaled = apart * np.sqrt(left.weight * share)
    return CrossMoments(
        left.rows + right.rows,
        weight,
        left.shift,
        left.apart + apart * share,
        left.scatter + right.scatter + np.outer(scaled, scaled),
        left.n_features,
        left.flat,
        np.result_type(left.dtype, right.dtype),
        left.sparse or right.sparse,
    )


@dataclass(frozen=True)
class Gram(Statistic[CrossMoments, CrossMoments]):
    """Second moments of [X, y] about the mean; dense of any float dtype or CSR, weighted.

    Sums are float64 whatever the dtype of X, so float32 input loses nothing. Relative rounding error of
    an entry, against the product of the norms of its two centred columns: below 1e-13 for a million
    rows. A CSR matrix is never made dense; its columns that are stored in most rows are shifted like
    dense ones, the others are summed as they are (there, mean**2 is below the second moment).

    Attributes
    ----------
    target : bool
        Whether the target is among the columns.
    centre, basis : numpy.ndarray of float64, optional
        (n_features,) and (n_features, n_directions): the moments are those of ``(x - centre) @ basis``
        in place of x.
    who : str
        The estimator that refuses what is not finite; not part of the question.

    Raises
    ------
    FitError
        NaN or an infinity in X or y; a negative weight; more than `WIDEST` columns.
    """

    target: bool = True
    centre: Any = None
    basis: Any = None
    who: str = field(default="The Gram matrix", compare=False)

    def declines(self, n_features: int | None) -> str | None:
        if self.basis is not None or n_features is None or n_features <= WIDEST:
            return None
        return f"more than {WIDEST:,} columns have no Gram matrix here"

    def of(self, batch: Batch) -> CrossMoments:
        X = batch.matrix
        y = self._targets(batch)
        root = _root(batch.weight)
        if X.shape[1] + y.shape[1] > WIDEST:
            raise FitError.at(
                "", self.who, f"more than {WIDEST:,} columns have no Gram matrix here"
            )
        with np.errstate(invalid="ignore", over="ignore"):
            if self.basis is None and batch.is_sparse:
                shift, sums = _of_csr(X, y, batch.weight)
            else:
                shift, sums = self._of_blocks(X, y, root)
        if not np.isfinite(sums).all():
            check_finite(batch, self.who)
            _check_target(y, batch)
        flat = not self.target or is_flat(batch.y)
        dtype = X.dtype if X.dtype == np.float32 else np.dtype(np.float64)
        n_features = sums.shape[0] - 1 - y.shape[1]
        kind = (n_features, flat, np.dtype(dtype), batch.is_sparse)
        return about_mean(shift, sums, len(batch), kind)

    def merge(self, left: CrossMoments, right: CrossMoments) -> CrossMoments:
        return merged(left, right)

    def finish(self, state: CrossMoments) -> CrossMoments:
        return state

    def _targets(self, batch: Batch) -> np.ndarray:
        """The targets as a matrix of float64."""
        if not self.target:
            return np.empty((len(batch), 0))
        y = batch.target
        return y if y.ndim == 2 else y[:, None]

    def _of_blocks(
        self, X: Any, y: np.ndarray, root: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The shift, and sums of the products of (z - shift, 1), over blocks of rows."""
        from millrace.statistics.kernels.pairs import shifted_rows

        none = np.empty(0)
        width = int(X.shape[1] if self.basis is None else self.basis.shape[1])
        shift = np.zeros(width + y.shape[1])
        shift[width:] = spread(y).mean(axis=0)
        if self.basis is None:
            shift[:width] = spread(X).mean(axis=0, dtype=np.float64)
        sums = np.zeros((len(shift) + 1, len(shift) + 1))
        product = np.empty_like(sums)
        step = int(np.clip(_BLOCK_CELLS // len(sums), 128, _BLOCK_ROWS))
        buffer = np.empty((min(step, X.shape[0]), len(sums)))
        for first in range(0, X.shape[0], step):
            rows = buffer[: min(step, X.shape[0] - first)]
            here = slice(first, first + len(rows))
            weight = none if root is None else root[here]
            shifted_rows(self._turned(X[here]), y[here], shift, weight, rows)
            np.matmul(rows.T, rows, out=product)  # NumPy calls dsyrk for this
            sums += product
        return shift, sums

    def _turned(self, block: Any) -> Any:
        """A block of X in the basis that was asked for."""
        if self.basis is None:
            return block
        dense = block.toarray() if hasattr(block, "toarray") else block
        return (dense - self.centre) @ self.basis


def is_flat(y: Any) -> bool:
    """Whether a target has one dimension."""
    return not isinstance(y, np.ndarray) or y.ndim == 1


def spread(rows: np.ndarray) -> np.ndarray:
    """A few rows, spread evenly."""
    return rows[:: max(1, len(rows) // _SPREAD)]


def _root(weight: np.ndarray | None) -> np.ndarray | None:
    if weight is None:
        return None
    if weight.min() < 0:
        raise FitError("Sample weights must not be negative; found one below zero.")
    return np.sqrt(weight)


def _check_target(y: np.ndarray, batch: Batch) -> None:
    bad = ~np.isfinite(y).all(axis=1)
    if not bad.any():
        return
    row = int(batch.row_numbers()[np.argmax(bad)])
    if np.isnan(y).any():
        raise FitError.missing_target(row, int(np.isnan(y).any(axis=1).sum()))
    raise FitError.non_finite_target(row)


def _of_csr(X: Any, y: np.ndarray, weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """As `_of_blocks`, from the stored cells only."""
    from millrace.statistics.kernels.pairs import csr_pairs

    X = X if X.has_canonical_format else _canonical(X)
    n_features = X.shape[1]
    stored = np.bincount(X.indices, minlength=n_features)
    totals = np.bincount(X.indices, X.data, n_features)
    shifted = np.flatnonzero(stored > _MOSTLY_STORED * X.shape[0])
    shift = np.zeros(n_features + y.shape[1])
    shift[shifted] = totals[shifted] / stored[shifted]
    shift[n_features:] = spread(y).mean(axis=0)
    extra = np.column_stack([y - shift[n_features:], np.ones(len(y))])
    sums = np.zeros((len(shift) + 1, len(shift) + 1))
    weights = np.empty(0) if weight is None else weight
    csr_pairs(
        X.data,
        X.indices,
        X.indptr,
        0,
        X.shape[0],
        shift[:n_features],
        shifted,
        extra,
        weights,
        sums,
    )
    lower = np.tril_indices(len(sums), -1)
    sums[lower] = sums.T[lower]
    return shift, sums


def _canonical(X: Any) -> Any:
    X = X.copy()
    X.sum_duplicates()
    return X


def about_mean(
    shift: np.ndarray, sums: np.ndarray, rows: int, kind: tuple[int, bool, np.dtype[Any], bool]
) -> CrossMoments:
    """Moments about the mean from sums about the shift; the last row of `sums` holds plain sums."""
    weight = float(sums[-1, -1])
    apart = sums[-1, :-1] / weight if weight else np.zeros(len(shift))
    scaled = apart * np.sqrt(weight)
    scatter = sums[:-1, :-1] - np.outer(scaled, scaled)
    return CrossMoments(rows, weight, shift, apart, scatter, *kind)


@dataclass(frozen=True)
class GramOfFolds(Statistic[dict[int, CrossMoments], tuple[CrossMoments, ...]]):
    """One `CrossMoments` for each of some consecutive folds of rows.

    Attributes
    ----------
    gram : Gram
    ends : tuple of int
        Where each fold ends, counted in rows of the stream.
    starts : dict of int to int, optional
        Place in the stream of the batch that begins with this row number, from `RowPlaces`; None where
        row numbers are places.
    part : tuple of (int or None, int or None)
        Of the rows: ``left_out`` and ``only``. Places belong to one part; so two parts must not be asked
        for as one, which would be answered from rows in another order.

    Notes
    -----
    The moments of "all but fold k" are to be merged from the others: subtraction would cancel. Folds
    beyond the last row answer as the last one that has rows: a rehearsal reads the first rows only.
    """

    gram: Gram
    ends: tuple[int, ...]
    starts: dict[int, int] | None = None
    part: tuple[int | None, int | None] = (None, None)

    def declines(self, n_features: int | None) -> str | None:
        return self.gram.declines(n_features)

    def of(self, batch: Batch) -> dict[int, CrossMoments]:
        first = int(batch.row_numbers()[0]) if self.starts is not None else batch.first
        place = first if self.starts is None else self.starts[first]
        cuts = np.clip(np.array((0, *self.ends)) - place, 0, len(batch))
        return {
            fold: self.gram.of(_part(batch, int(a), int(b)))
            for fold, (a, b) in enumerate(zip(cuts[:-1], cuts[1:], strict=True))
            if b > a
        }

    def merge(
        self, left: dict[int, CrossMoments], right: dict[int, CrossMoments]
    ) -> dict[int, CrossMoments]:
        both = {k: merged(left[k], right[k]) for k in left.keys() & right.keys()}
        return {**left, **right, **both}

    def finish(self, state: dict[int, CrossMoments]) -> tuple[CrossMoments, ...]:
        return tuple(state.get(k, state[max(state)]) for k in range(len(self.ends)))


def _part(batch: Batch, first: int, last: int) -> Batch:
    if (first, last) == (0, len(batch)):
        return batch
    here = slice(first, last)
    return Batch(
        batch.first + first,
        batch.matrix[here],
        None if batch.y is None else batch.y[here],
        None if batch.weight is None else batch.weight[here],
        None if batch.rows is None else batch.rows[here],
    )


@dataclass(frozen=True)
class RowPlaces(Statistic[tuple[tuple[int, int], ...], dict[int, int]]):
    """Where in the stream each batch begins, by the number of its first row: for rows with gaps.

    The answer also holds the number of rows, under the key -1.

    Attributes
    ----------
    part : tuple of (int or None, int or None)
        As of `GramOfFolds`.
    """

    part: tuple[int | None, int | None] = (None, None)

    def of(self, batch: Batch) -> tuple[tuple[int, int], ...]:
        return ((int(batch.row_numbers()[0]), len(batch)),)

    def merge(
        self, left: tuple[tuple[int, int], ...], right: tuple[tuple[int, int], ...]
    ) -> tuple[tuple[int, int], ...]:
        return left + right

    def finish(self, state: tuple[tuple[int, int], ...]) -> dict[int, int]:
        places: dict[int, int] = {}
        place = 0
        for first, length in state:
            places[first] = place
            place += length
        return {**places, -1: place}
