"""Columns as bytes: where their bins begin, and every value's bin.

`RowSample` and `Targets` are asked for in a first sweep. From the sample come the edges of the bins
(`quantile_edges`); `BinnedCache` then writes every column once, one byte a value, into an array that is
kept in memory or mapped from a file. Histogram trees are grown from that array alone.
"""

# pyarrow ships no types.
# pyright: reportUnknownParameterType=false, reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from millrace.errors import FitError
from millrace.statistics.base import Batch, Statistic, check_finite, codes_of
from millrace.statistics.classes import distinct
from millrace.statistics.mapped import Store

BINS = 256
"""Bins of a column: at most 255 of values, and one of missing ones."""

_BLOCK = 4096
"""Rows of a sparse batch that are made dense at a time."""


@dataclass(frozen=True)
class TargetRows:
    """The answer of `Targets`.

    Attributes
    ----------
    y : numpy.ndarray
        float64, or positions in `classes` of the least unsigned dtype (n_samples,); (n_samples,
        n_targets) of a target of several columns.
    classes : numpy.ndarray, optional
        The sorted labels.
    weight : numpy.ndarray of float64, optional
    rows : numpy.ndarray of int64, optional
        The number of every row, ascending, where they are not 0, 1, 2 ...
    """

    y: np.ndarray
    classes: np.ndarray | None
    weight: np.ndarray | None
    rows: np.ndarray | None

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return len(self.y)


_Part = tuple[int, "np.ndarray | None", np.ndarray, "np.ndarray | None", "np.ndarray | None"]
"""First row number, all of them if they do not follow it one by one, target, labels, weights."""


@dataclass(frozen=True)
class Targets(Statistic[tuple[_Part, ...], TargetRows]):
    """The target of every row, and its weight: 8 bytes a number, 1 or 2 a label, 8 more a weight.

    Attributes
    ----------
    labels : bool
        Whether the target is labels of classes; else numbers, which must be finite.
    """

    labels: bool

    def of(self, batch: Batch) -> tuple[_Part, ...]:
        rows = None if batch.rows is None else np.array(batch.rows)
        first = batch.first if rows is None else int(rows[0])
        weight = None if batch.weight is None else np.array(batch.weight)
        if getattr(batch.y, "ndim", 1) == 2 or not self.labels:
            y = batch.target
            finite = np.isfinite(y).reshape(len(y), -1).all(axis=1)
            if not finite.all():
                at = int(np.argmin(finite))
                number = int(batch.row_numbers()[at])
                if np.isinf(y[at]).any():
                    raise FitError.non_finite_target(number)
                raise FitError.missing_target(number, int((~finite).sum()))
            return ((first, rows, np.array(y), None, weight),)
        classes = distinct(batch.y, batch.first)
        codes = codes_of(batch.y, classes).astype(_positions_in(classes))
        return ((first, rows, codes, classes, weight),)

    def merge(self, left: tuple[_Part, ...], right: tuple[_Part, ...]) -> tuple[_Part, ...]:
        return left + right

    def finish(self, state: tuple[_Part, ...]) -> TargetRows:
        parts = sorted(state, key=lambda p: p[0])
        classes = None
        if parts[0][3] is None:
            y = np.concatenate([p[2] for p in parts])
        else:
            every = [p[3] for p in parts if p[3] is not None]
            classes = np.unique(np.concatenate(every))
            own = [codes_of(c, classes).astype(_positions_in(classes)) for c in every]
            y = np.concatenate([of[p[2]] for p, of in zip(parts, own, strict=True)])
        weights = [p[4] for p in parts if p[4] is not None]
        weight = np.concatenate(weights) if weights else None
        return TargetRows(y, classes, weight, _numbers_of(parts))


def _positions_in(classes: np.ndarray) -> np.dtype[Any]:
    """The least dtype that positions in an array fit in."""
    return np.min_scalar_type(max(len(classes) - 1, 0))


def _numbers_of(parts: list[_Part]) -> np.ndarray | None:
    """The numbers of the rows of all parts, ascending; None where they are 0, 1, 2 ..."""
    n_rows = 0
    for first, rows, y, _, _ in parts:
        if first != n_rows or (rows is not None and rows[-1] - first != len(rows) - 1):
            break
        n_rows += len(y)
    else:
        return None
    return np.concatenate(
        [np.arange(p[0], p[0] + len(p[2])) if p[1] is None else p[1] for p in parts]
    )


@dataclass(frozen=True)
class SampledRows:
    """The answer of `RowSample`.

    Attributes
    ----------
    rows : numpy.ndarray of int64
        Their numbers, ascending (n_rows,).
    X : numpy.ndarray
        Their values (n_rows, n_features).
    n_samples : int
        How many rows there are in all.
    """

    rows: np.ndarray
    X: np.ndarray
    n_samples: int


_Drawn = tuple[tuple[tuple[np.ndarray, np.ndarray, np.ndarray], ...], int]
"""Priority, number and values of the rows that are kept, in parts; and how many rows were seen."""


@dataclass(frozen=True)
class RowSample(Statistic[_Drawn, SampledRows]):
    """Some of the rows: all of them where they are few, else a random choice or those that are named.

    The choice depends on row numbers alone (those with the lowest hash), not on batches or threads.

    Attributes
    ----------
    who : str
        Class name of the estimator, for messages.
    size : int
        The most rows.
    single : bool
        Whether values are rounded to float32, as trees do.
    allow_nan : bool
        Whether values may be missing.
    allow_inf : bool
        Whether they may be infinite.
    chosen : numpy.ndarray of int64, optional
        The numbers of the rows that are wanted, ascending.
    n_rows : int, optional
        How many rows there are, where that is known and all of them are asked for: those that cannot be
        in the sample are then left out at once, by a bound that holds but for a chance below 1e-8 (the
        sample is then a few rows smaller, and the same on every run).
    """

    who: str
    size: int = 200_000
    single: bool = False
    allow_nan: bool = True
    allow_inf: bool = False
    chosen: np.ndarray | None = field(default=None)
    n_rows: int | None = None

    def of(self, batch: Batch) -> _Drawn:
        _check(batch, self.who, self.single, self.allow_nan, self.allow_inf)
        numbers_here, X = batch.row_numbers(), batch.matrix
        kept, rank = None, np.zeros(len(batch), np.uint64)
        if self.chosen is not None:
            at = np.searchsorted(numbers_here, self.chosen)
            at = at[at < len(batch)]
            kept = np.unique(at[np.isin(numbers_here[at], self.chosen)])
        else:
            rank = _hashed(numbers_here)
            kept = self._likely(batch, rank)
        if kept is not None:
            rank, numbers_here, X = rank[kept], numbers_here[kept], X[kept]
        X = X.toarray() if batch.is_sparse else X
        X = X.astype(np.float32 if self.single else X.dtype)
        return ((rank, np.array(numbers_here), X),), len(batch)

    def _likely(self, batch: Batch, rank: np.ndarray) -> np.ndarray | None:
        """The rows of a batch that may be in the sample; None for all."""
        kept = np.arange(len(batch))
        if batch.rows is None:  # of some rows alone, the numbers do not tell how many came before
            seen = np.maximum(batch.row_numbers() + 1, self.n_rows or 0)
            share = (self.size + 6.0 * np.sqrt(self.size) + 10.0) / seen
            kept = np.flatnonzero((share >= 1.0) | (rank <= np.minimum(share, 1.0) * 2.0**64))
        if len(kept) > self.size:
            kept = kept[np.sort(np.argpartition(rank[kept], self.size)[: self.size])]
        return kept if len(kept) < len(batch) else None

    def merge(self, left: _Drawn, right: _Drawn) -> _Drawn:
        parts = left[0] + right[0]
        if self.chosen is None and sum(len(p[0]) for p in parts) > 2 * self.size:
            parts = (self._kept(parts),)
        return parts, left[1] + right[1]

    def _kept(self, parts: tuple[Any, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The parts as one, of `size` rows at most."""
        rank, blocks = np.concatenate([p[0] for p in parts]), [p[2] for p in parts]
        rows = np.concatenate([p[1] for p in parts])
        if self.chosen is None and len(rank) > self.size:
            kept = np.sort(np.argpartition(rank, self.size)[: self.size])
            rank, rows = rank[kept], rows[kept]
            ends = np.cumsum([len(b) for b in blocks])
            places = np.split(kept, np.searchsorted(kept, ends[:-1]))
            starts = ends - [len(b) for b in blocks]
            blocks = [b[at - s] for b, at, s in zip(blocks, places, starts, strict=True)]
        return rank, rows, np.concatenate(blocks)

    def finish(self, state: _Drawn) -> SampledRows:
        _, rows, X = self._kept(state[0])
        if (rows[1:] < rows[:-1]).any():
            order = np.argsort(rows, kind="stable")
            rows, X = rows[order], X[order]
        return SampledRows(rows, X, state[1])


def _check(batch: Batch, who: str, single: bool, allow_nan: bool, allow_inf: bool) -> None:
    """Refuse what the estimator refuses; float32 makes infinities of large values."""
    try:
        matrix = batch.matrix
    except TypeError as error:
        raise FitError.not_numeric(who, str(error)) from error
    if not allow_inf:
        check_finite(batch, who, allow_nan=allow_nan)
        values = matrix.data if batch.is_sparse else matrix
        largest = np.finfo(np.float32).max
        if single and values.dtype == np.float64 and (np.abs(values) > largest).any():
            raise FitError(f"{who} takes float32; a value of X is too large for it.")


def _hashed(rows: np.ndarray) -> np.ndarray:
    """A fixed pseudo-random uint64 for every row number (SplitMix64)."""
    z = rows.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


Spread: TypeAlias = Callable[[Callable[[int, int], None], int, int], None]
"""``(work, n, block)``: calls ``work(first, stop)`` for all blocks, as `runtime.pool.spread` does."""


def in_turn(work: Callable[[int, int], None], n: int, block: int) -> None:
    """All blocks on this thread."""
    for first in range(0, n, block):
        work(first, min(first + block, n))


def quantile_edges(
    X: np.ndarray, max_bins: int = BINS - 1, spread: Spread = in_turn
) -> list[np.ndarray]:
    """Where the bins of every column end: at midpoints between neighbouring values.

    Parameters
    ----------
    X : numpy.ndarray of float32 or float64 (n_samples, n_features)
        NaN is missing.
    max_bins : int
    spread : callable
        How the columns are shared out.

    Returns
    -------
    list of numpy.ndarray of float64
        Of each column at most ``max_bins - 1`` ascending edges. A column of at most `max_bins` distinct
        values has one bin for each; another has bins of about equally many rows.
    """
    found: list[Any] = [None] * X.shape[1]

    def one(j: int, _: int) -> None:
        found[j] = _edges(np.sort(X[:, j]), max_bins)

    spread(one, X.shape[1], 1)
    return found


def _edges(ordered: np.ndarray, max_bins: int) -> np.ndarray:
    ordered = ordered[: np.searchsorted(ordered, np.nan)].astype(np.float64)
    if not len(ordered):
        return np.empty(0)
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    values = ordered[starts]
    last = np.arange(len(values) - 1)
    if len(values) > max_bins:
        cuts = np.arange(1, max_bins) * len(ordered) // max_bins
        last = np.unique(np.searchsorted(starts, cuts - 1, side="right") - 1)
        last = last[last < len(values) - 1]
    return values[last] / 2.0 + values[last + 1] / 2.0


IN_MEMORY = 1 << 30
"""Bytes of binned columns that are kept in memory where no budget is given."""


def span_of(batch: Batch, rows: np.ndarray | None) -> tuple[int, int]:
    """First and last place of the rows of a batch among all rows.

    Parameters
    ----------
    batch : Batch
    rows : numpy.ndarray of int64, optional
        The numbers of all rows, ascending, where they are not 0, 1, 2 ...

    Raises
    ------
    FitError
        They do not lie side by side.
    """
    places = batch.row_numbers()
    if rows is not None:
        places = np.searchsorted(rows, places)
    first, stop = int(places[0]), int(places[-1]) + 1
    if stop - first != len(batch):
        raise FitError("The rows of a batch do not lie side by side in the table.")
    return first, stop


@dataclass(frozen=True)
class Filled:
    """The state of `BinnedCache`: which rows were written, not the rows.

    Attributes
    ----------
    spans : tuple of (int, int)
        First and last place of rows that were written.
    written : tuple of (numpy.ndarray, numpy.ndarray)
        Places and bins (n_features, n_places) of rows that are not in the array: those of a state that
        was pickled, since the array of the process that pickled it is gone.
    low, high : numpy.ndarray of float32 (n_features, 256)
        Extremes of the values in every bin; inf and -inf where there are none.
    store : Store
        Where they were written.
    """

    spans: tuple[tuple[int, int], ...]
    written: tuple[tuple[np.ndarray, np.ndarray], ...]
    low: np.ndarray
    high: np.ndarray
    store: Store | None

    def __reduce__(self) -> Any:
        own = self.written
        if self.store is not None and self.spans:
            at = np.concatenate([np.arange(a, b) for a, b in self.spans])
            own = (*own, (at, self.store.get()[:, at]))
        return Filled, ((), own, self.low, self.high, None)


@dataclass(frozen=True)
class Binned:
    """The answer of `BinnedCache`.

    Attributes
    ----------
    codes : numpy.ndarray of uint8 (n_features, n_samples)
        Feature-major; perhaps a memory map.
    edges : numpy.ndarray of float64 (n_features, 256)
        Filled up with +inf. Bin i has the values ``edges[i - 1] < x <= edges[i]``.
    low, high : numpy.ndarray of float32 (n_features, 256)
        Least and greatest value of each bin, rounded to float32; inf and -inf where there is none.
    """

    codes: np.ndarray
    edges: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class BinnedCache(Statistic[Filled, Binned]):
    """Every value's bin, one byte each.

    Rows are written to their place by row number, so a sweep may bring them in any order.

    Attributes
    ----------
    who : str
        Class name of the estimator, for messages.
    edges : tuple of numpy.ndarray
        Ascending edges of each column, 255 at most.
    n_samples : int
    memory : int
        Bytes up to which the array is kept in memory; beyond, it is mapped from a file.
    rows : numpy.ndarray of int64, optional
        The numbers of all rows, ascending, where they are not 0, 1, 2 ...
    missing : int
        The bin of NaN.
    single : bool
        Whether values are rounded to float32 first; then the extremes of the bins are found as well.
    """

    who: str
    edges: tuple[np.ndarray, ...]
    n_samples: int
    memory: int
    rows: np.ndarray | None = None
    missing: int = BINS - 1
    single: bool = False
    store: Store = field(init=False, repr=False, compare=False)
    table: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        table = np.full((len(self.edges), BINS), np.inf)
        for own, edges in zip(table, self.edges, strict=True):
            own[: len(edges)] = edges
        object.__setattr__(self, "table", table)
        object.__setattr__(self, "store", Store((len(self.edges), self.n_samples), self.memory))

    def of(self, batch: Batch) -> Filled:
        from millrace.statistics.kernels.histograms import fill_bins, widen

        low = np.full(self.table.shape, np.inf, np.float32)
        high = np.full(self.table.shape, -np.inf, np.float32)
        codes = self.store.get()
        first, stop = span_of(batch, self.rows)
        for start in range(0, len(batch), _BLOCK if batch.is_sparse else len(batch)):
            X = batch.matrix[start : start + _BLOCK].toarray() if batch.is_sparse else batch.matrix
            fill_bins(X, self.table, self.missing, self.single, first + start, codes)
            if self.single:
                widen(X, codes, first + start, self.missing, low, high)
        self.store.let_go()
        return Filled(((first, stop),), (), low, high, self.store)

    def merge(self, left: Filled, right: Filled) -> Filled:
        return Filled(
            left.spans + right.spans,
            left.written + right.written,
            np.minimum(left.low, right.low),
            np.maximum(left.high, right.high),
            left.store or right.store,
        )

    def finish(self, state: Filled) -> Binned:
        codes = self.store.get()
        count = sum(b - a for a, b in state.spans)
        for places, columns in state.written:
            codes[:, places] = columns
            count += len(places)
        if count != self.n_samples:
            raise FitError(
                f"{self.who}: the table had {self.n_samples:,} rows in one sweep and {count:,} in "
                f"the next; it must not change during a fit."
            )
        return Binned(codes, self.table, state.low, state.high)
