"""Exact order statistics of columns larger than memory, in two or three sweeps.

The first sweep counts the values between splitters. The intervals that hold a wanted rank are then
collected and sorted if they fit into memory, or split again. Intervals are split by *keys*, the bits of
a float64 as an unsigned integer in the order of the numbers, so splitting ends at the latest with
intervals of one number, however the values are distributed. Where all values fit, they are collected
at once.

`sketches.KLL` is the approximate alternative; no solver uses it.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from millrace.statistics.base import Batch, Statistic, check_finite

BUFFER_BYTES = 64 << 20
"""Values that are kept for one request."""

_SPLITTERS = 1023
"""Splitters a column and sweep; a power of two less one, as the kernel's search wants it."""

_TOP = np.uint64((1 << 64) - 1)
"""The key above all numbers; as a number it is a NaN, which no value reaches."""

_BOTTOM = np.uint64((1 << 52) - 1)
"""The key of minus infinity."""


def keys_of(values: np.ndarray) -> np.ndarray:
    """The keys of float64 numbers (see the module): uint64 of the same shape."""
    bits = (np.asarray(values, np.float64) + 0.0).view(np.uint64)
    return bits ^ np.where(bits >> np.uint64(63), _TOP, np.uint64(1 << 63))


def numbers_of(keys: np.ndarray) -> np.ndarray:
    """The float64 numbers of keys."""
    sign = np.uint64(1 << 63)
    return (keys ^ np.where(keys & sign, sign, _TOP)).view(np.float64)


@dataclass(frozen=True)
class SortedColumns:
    """The answer of `Sorted`: the values of every column that are not NaN, sorted."""

    columns: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Sorted(Statistic[tuple[np.ndarray, ...], SortedColumns]):
    """All values of every column, sorted; for few rows only.

    Attributes
    ----------
    allow_nan : bool
        Whether NaN is left out; refused otherwise.
    who : str
        The estimator's class, for the error.
    """

    allow_nan: bool = True
    who: str = field(default="", compare=False)

    def of(self, batch: Batch) -> tuple[np.ndarray, ...]:
        check_finite(batch, self.who, allow_nan=self.allow_nan)
        X = batch.matrix.toarray() if batch.is_sparse else batch.matrix
        return tuple(np.sort(c[~np.isnan(c)].astype(np.float64)) for c in X.T)

    def merge(
        self, left: tuple[np.ndarray, ...], right: tuple[np.ndarray, ...]
    ) -> tuple[np.ndarray, ...]:
        return tuple(np.concatenate(pair) for pair in zip(left, right, strict=True))

    def finish(self, state: tuple[np.ndarray, ...]) -> SortedColumns:
        return SortedColumns(tuple(np.sort(column, kind="stable") for column in state))


@dataclass(frozen=True)
class Between(Statistic[np.ndarray, np.ndarray]):
    """How many values of each column lie between splitters: int64 of (n_features, n_splitters + 1).

    Attributes
    ----------
    splitters : numpy.ndarray of uint64
        Sorted keys (n_features, 2 ** k - 1), filled up with the greatest key. Count i is of the values
        with i splitters at or below them.
    allow_nan, who
        As in `Sorted`.
    """

    splitters: np.ndarray
    allow_nan: bool = True
    who: str = field(default="", compare=False)

    def of(self, batch: Batch) -> np.ndarray:
        from millrace.statistics.kernels import orders

        check_finite(batch, self.who, allow_nan=self.allow_nan)
        p, n = self.splitters.shape
        counts = np.zeros((p, n + 1), np.int64)
        orders.count(_dense(batch), numbers_of(self.splitters), counts)
        return counts

    def merge(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return left + right

    def finish(self, state: np.ndarray) -> np.ndarray:
        return state


@dataclass(frozen=True)
class Within(Statistic[tuple[np.ndarray, ...], SortedColumns]):
    """The values of each column in some intervals, sorted.

    Attributes
    ----------
    bounds : numpy.ndarray of uint64
        Sorted keys (n_features, 2 ** k - 1): begin and end of the first interval, of the second ...,
        filled up with the greatest key. Ends are not included.
    """

    bounds: np.ndarray

    def of(self, batch: Batch) -> tuple[np.ndarray, ...]:
        from millrace.statistics.kernels import orders

        X, bounds = _dense(batch), numbers_of(self.bounds)
        out: list[np.ndarray] = []
        for j in range(len(self.bounds)):
            if self.bounds[j, 0] == _TOP:
                out.append(np.empty(0))
                continue
            values = np.empty(orders.gather(X, bounds, j, False, np.empty(0)))
            orders.gather(X, bounds, j, True, values)
            out.append(values)
        return tuple(out)

    def merge(
        self, left: tuple[np.ndarray, ...], right: tuple[np.ndarray, ...]
    ) -> tuple[np.ndarray, ...]:
        return tuple(np.concatenate(pair) for pair in zip(left, right, strict=True))

    def finish(self, state: tuple[np.ndarray, ...]) -> SortedColumns:
        return SortedColumns(tuple(np.sort(column) for column in state))


def _dense(batch: Batch) -> np.ndarray:
    X = batch.matrix.toarray() if batch.is_sparse else batch.matrix
    return np.ascontiguousarray(X)


def percentiles(
    rows: Any, points: np.ndarray, who: str, *, allow_nan: bool = True, method: str = "linear"
) -> Generator[Any, Any, np.ndarray]:
    """Percentiles of every column of `rows`, as ``numpy.nanpercentile`` gives them.

    A generator: ``found = yield from percentiles(rows, points, who)``.

    Parameters
    ----------
    rows : millrace.solvers.Rows
        Dense rows, whose width is known.
    points : numpy.ndarray of float64
        From 0 to 100 (n_points,).
    who : str
        The estimator's class, for errors.
    allow_nan : bool
    method : {"linear", "inverted_cdf", "averaged_inverted_cdf"}

    Returns
    -------
    numpy.ndarray of float64
        (n_points, n_features); NaN for a column without values. Exact: the order statistics are those
        of all rows, interpolated by numpy's formula.
    """
    fractions = np.asarray(points, np.float64) / 100.0
    if rows.n_rows is not None and 8 * rows.n_rows * rows.width <= BUFFER_BYTES:
        found: SortedColumns = yield rows.ask(Sorted(allow_nan, who))
        at = [_places(len(c), fractions, method) for c in found.columns]
        picked = [c[r] if len(c) else None for c, (r, _) in zip(found.columns, at, strict=True)]
    else:
        splitters = _from_head(rows.head, rows.width)
        counts: np.ndarray = yield rows.ask(Between(splitters, allow_nan, who))
        at = [_places(int(n), fractions, method) for n in counts.sum(axis=1)]
        picked = yield from _by_ranks(rows, splitters, counts, [ranks for ranks, _ in at])
    out = np.full((len(fractions), len(at)), np.nan)
    for j, (values, (_, part)) in enumerate(zip(picked, at, strict=True)):
        if values is not None:
            out[:, j] = _between(values[: len(part)], values[len(part) :], part)
    return out


def _places(n: int, fractions: np.ndarray, method: str) -> tuple[np.ndarray, np.ndarray]:
    """Ranks below and above (one after the other), and how far between: numpy's definitions."""
    if method == "linear":
        virtual = fractions * (n - 1)
        low = np.floor(virtual)
        part = virtual - low
    else:
        # numpy's "inverted_cdf" and "averaged_inverted_cdf" (Hyndman and Fan's first and second).
        virtual = n * fractions - 1
        low = np.floor(virtual)
        even = 0.5 if method == "averaged_inverted_cdf" else 0.0
        part = np.where(virtual == low, even, 1.0)
    low = low.astype(np.int64)
    ranks = np.concatenate([low, low + 1])
    return np.clip(ranks, 0, max(n - 1, 0)), part


def _between(low: np.ndarray, high: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Interpolation as numpy does it, exact at both ends."""
    gap = high - low
    return np.where(part >= 0.5, high - gap * (1 - part), low + gap * part)


def head_numbers(head: Any) -> np.ndarray:
    """The first rows as float64 (n_rows, n_features); NaN for what is no number."""
    if not hasattr(head, "iloc"):
        return np.array(head, np.float64)
    import pandas as pd

    found: list[Any] = [pd.to_numeric(c, errors="coerce") for _, c in head.items()]
    return np.column_stack([column.to_numpy(np.float64, na_value=np.nan) for column in found])


def _from_head(head: Any, width: int) -> np.ndarray:
    """First splitters, from the first rows: each distinct value and the next number above it."""
    values = head_numbers(head)
    out = np.full((width, _SPLITTERS), _TOP)
    for j in range(width):
        keys = np.unique(keys_of(values[:, j][np.isfinite(values[:, j])]))
        keys = np.unique(np.concatenate([keys, keys + np.uint64(1)]))
        if len(keys) > _SPLITTERS:
            keys = keys[np.linspace(0, len(keys) - 1, _SPLITTERS).astype(int)]
        out[j, : len(keys)] = keys
    return out


@dataclass
class _Search:
    """What is left to find in one column: intervals of keys, each with the values below it."""

    begin: np.ndarray
    end: np.ndarray
    below: np.ndarray
    inside: np.ndarray

    @classmethod
    def of(cls, splitters: np.ndarray, counts: np.ndarray, ranks: np.ndarray) -> _Search:
        """The intervals between splitters that hold wanted ranks."""
        ends = np.concatenate([[_BOTTOM], splitters, [_TOP]])
        reached = np.cumsum(counts)
        chosen = np.unique(np.searchsorted(reached, ranks, side="right"))
        return cls(ends[chosen], ends[chosen + 1], (reached - counts)[chosen], counts[chosen])

    @property
    def open(self) -> np.ndarray:
        """Which intervals hold more than one number."""
        return self.end - self.begin > 1

    def chosen(self, which: np.ndarray) -> _Search:
        return _Search(self.begin[which], self.end[which], self.below[which], self.inside[which])


def _by_ranks(
    rows: Any, splitters: np.ndarray, counts: np.ndarray, ranks: list[np.ndarray]
) -> Generator[Any, Any, list[np.ndarray | None]]:
    """The values of wanted ranks, column by column; None for a column without values."""
    empty = counts.sum(axis=1) == 0
    searches = [
        _Search.of(s, c, r[:0] if none else r)
        for s, c, r, none in zip(splitters, counts, ranks, empty, strict=True)
    ]
    while 8 * sum(int(s.inside[s.open].sum()) for s in searches) > BUFFER_BYTES:
        finer = _finer(searches)
        counted: np.ndarray = yield rows.ask(Between(finer))
        searches = [
            _narrowed(search, line, seen, wanted)
            for search, line, seen, wanted in zip(searches, finer, counted, ranks, strict=True)
        ]
    bounds = _bounds([s.chosen(s.open) for s in searches])
    held: SortedColumns = yield rows.ask(Within(bounds))
    return [
        None if none else _values(search, column, wanted)
        for search, column, wanted, none in zip(searches, held.columns, ranks, empty, strict=True)
    ]


def _finer(searches: list[_Search]) -> np.ndarray:
    """Splitters that cut every open interval into equal parts by keys."""
    most = max(int(s.open.sum()) for s in searches)
    n_splitters = max(_SPLITTERS, (1 << (8 * most).bit_length()) - 1)
    out = np.full((len(searches), n_splitters), _TOP)
    for j, search in enumerate(searches):
        wanted = search.chosen(search.open)
        if not len(wanted.begin):
            continue
        parts = n_splitters // len(wanted.begin) - 2
        cuts: list[np.ndarray] = []
        for begin, end in zip(wanted.begin.tolist(), wanted.end.tolist(), strict=True):
            step = max((end - begin) // (parts + 1), 1)
            cuts.append(np.array([*range(begin, end, step)[: parts + 1], end], np.uint64))
        keys = np.unique(np.concatenate(cuts))
        out[j, : len(keys)] = keys
    return out


def _narrowed(
    search: _Search, splitters: np.ndarray, counts: np.ndarray, ranks: np.ndarray
) -> _Search:
    if not search.open.any():
        return search
    closed = search.chosen(~search.open)
    opened = search.chosen(search.open)
    inside = ranks[_holds(opened, ranks)]
    found = _Search.of(splitters, counts, inside)
    parts = zip(
        (closed.begin, closed.end, closed.below, closed.inside),
        (found.begin, found.end, found.below, found.inside),
        strict=True,
    )
    joined = _Search(*(np.concatenate(pair) for pair in parts))
    return joined.chosen(np.argsort(joined.below, kind="stable"))


def _holds(search: _Search, ranks: np.ndarray) -> np.ndarray:
    """Which ranks lie in the intervals."""
    at = np.searchsorted(search.below, ranks, side="right") - 1
    return (at >= 0) & (ranks < (search.below + search.inside)[np.maximum(at, 0)])


def _bounds(searches: list[_Search]) -> np.ndarray:
    """Intervals as `Within` takes them."""
    longest = max((2 * len(s.begin) for s in searches), default=1)
    width = (1 << max(longest, 1).bit_length()) - 1
    out = np.full((len(searches), width), _TOP)
    for j, search in enumerate(searches):
        ends = np.column_stack([search.begin, search.end]).ravel()
        # Neighbours that touch are one interval.
        inner = np.flatnonzero(ends[1:-1:2] == ends[2::2]) * 2 + 1 if len(ends) > 2 else []
        ends = np.delete(ends, np.concatenate([inner, np.add(inner, 1)]).astype(int))
        out[j, : len(ends)] = ends
    return out


def _values(search: _Search, held: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """The values of ranks: single numbers from their interval, others from those collected."""
    at = np.searchsorted(search.below, ranks, side="right") - 1
    single = ~search.open
    skipped = np.cumsum(np.where(single, 0, search.inside)) - np.where(single, 0, search.inside)
    out = numbers_of(search.begin[at])
    from_held = ~single[at]
    places = skipped[at] + ranks - search.below[at]
    out[from_held] = held[places[from_held]]
    return out
