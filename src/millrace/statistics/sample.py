"""A uniform sample of the rows that does not depend on threads, batches or chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from millrace.statistics.base import Batch, Columns, Statistic, numbers
from millrace.statistics.collect import Collected, labels, stacked

BLOCK_ROWS = 1 << 14

SALT = np.uint64(0x2545F4914F6CDD1D)


@dataclass(frozen=True)
class Kept:
    """Rows that may be in the sample, in the order of their numbers.

    Attributes
    ----------
    orders : tuple of numpy.ndarray of uint64
        For each batch, the hash of the number of every row; none where all rows are kept anyway.
    batches : tuple of Batch
    n_rows : int
        How many rows they were chosen from.
    weight : float
        Sum of the weights of those.
    """

    orders: tuple[np.ndarray, ...]
    batches: tuple[Batch, ...]
    n_rows: int
    weight: float


@dataclass(frozen=True)
class Sampled:
    """The answer of `Sample`.

    Attributes
    ----------
    batch : Batch
        The rows, in the order of the table; X is a matrix or CSR, or columns where `Sample.raw`.
    n_rows : int
        How many rows there are in all.
    weight : float
        Sum of the weights of all rows; `n_rows` where they have none.
    """

    batch: Batch
    n_rows: int
    weight: float

    @property
    def complete(self) -> bool:
        """Whether it holds every row."""
        return len(self.batch) == self.n_rows

    def collected(self) -> Collected:
        """The rows as an estimator would be given them."""
        batch = self.batch
        return Collected(stacked([batch.X]), labels(batch.y), batch.weight)


@dataclass(frozen=True)
class Sample(Statistic[Kept, Sampled]):
    """The `most` rows whose numbers have the smallest hashes: each set of rows is equally likely.

    Rows that cannot be among them are left out early, by a bound that holds but for a chance below
    1e-8; the sample is then a few rows smaller, and the same on every run.

    Attributes
    ----------
    most : int
        Rows to keep; all, where there are no more.
    n_rows : int, optional
        How many rows there are, where that is known.
    raw : bool
        Keep the columns of a table as they are; else they are made a matrix of numbers.
    """

    most: int
    n_rows: int | None = None
    raw: bool = False

    def of(self, batch: Batch) -> Kept:
        weight = float(len(batch)) if batch.weight is None else float(batch.weight.sum())
        if not self.raw and self.n_rows is not None and self.n_rows <= self.most:
            return Kept((), (taken(batch, slice(None)),), len(batch), weight)
        numbers = batch.row_numbers()
        seen = max(int(numbers[-1]) + 1, self.n_rows or 0)  # there are as many rows at least
        share = (self.most + 6.0 * np.sqrt(self.most) + 10.0) / seen
        bound = np.uint64(min(share, 1.0) * float(2**64 - 2048))
        order, where = _below(numbers, bound)
        return Kept((order,), (taken(batch, where, self.raw),), len(batch), weight)

    def merge(self, left: Kept, right: Kept) -> Kept:
        orders, batches = left.orders + right.orders, left.batches + right.batches
        most = self.most if self.raw else 2 * self.most  # choosing costs more than keeping a few
        if sum(map(len, orders)) > most:
            orders, batches = self._smallest(orders, batches)
        return Kept(orders, batches, left.n_rows + right.n_rows, left.weight + right.weight)

    def finish(self, state: Kept) -> Sampled:
        _, batches = self._smallest(state.orders, state.batches)
        return Sampled(joined(batches), state.n_rows, state.weight)

    def _smallest(
        self, orders: tuple[np.ndarray, ...], batches: tuple[Batch, ...]
    ) -> tuple[tuple[np.ndarray, ...], tuple[Batch, ...]]:
        """The `most` rows with the smallest hashes."""
        if sum(map(len, orders)) <= self.most:
            return orders, batches
        # no two rows have one hash: it can be undone
        last = np.partition(np.concatenate(orders), self.most - 1)[self.most - 1]
        chosen = [np.flatnonzero(o <= last) for o in orders]
        left = [
            (o[w], taken(b, w, self.raw)) for o, b, w in zip(orders, batches, chosen, strict=True)
        ]
        return tuple(o for o, _ in left), tuple(b for _, b in left)


def _below(numbers: np.ndarray, bound: np.uint64) -> tuple[np.ndarray, np.ndarray]:
    """The hashes up to a bound, and where they are; block by block, which stay in the cache."""
    orders, places = [], []
    for first in range(0, len(numbers), BLOCK_ROWS):
        order = hashed(numbers[first : first + BLOCK_ROWS])
        where = np.flatnonzero(order <= bound)
        orders.append(order[where])
        places.append(where + first)
    return np.concatenate(orders), np.concatenate(places)


def hashed(numbers: np.ndarray) -> np.ndarray:
    """A hash of every row number: uint64, the finalizer of SplitMix64 (Steele et al., 2014).

    The salt makes it independent of the hash by which `data.splits` deals rows into folds: a sample of
    rows with small hashes of that kind would be of one fold.
    """
    z = numbers.astype(np.uint64)
    z *= np.uint64(0x9E3779B97F4A7C15)
    z += SALT
    shifted = np.empty_like(z)
    for bits, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        np.right_shift(z, np.uint64(bits), out=shifted)
        z ^= shifted
        z *= np.uint64(factor)
    np.right_shift(z, np.uint64(31), out=shifted)
    z ^= shifted
    return z


def taken(batch: Batch, where: np.ndarray | slice, raw: bool = False) -> Batch:
    """Some rows of a batch, X as a matrix of its own unless `raw`."""
    rows, names = batch.row_numbers()[where], batch.names
    if isinstance(batch.X, Columns):
        names = batch.X.names
        X = batch.X.rows(where) if raw else _matrix_of(batch, where)
    else:
        X = batch.matrix[where]
        X = X.copy() if isinstance(where, slice) else X
    weight = None if batch.weight is None else batch.weight[where]
    return Batch(batch.first, X, _values(batch.y, where), weight, rows, names)


def _matrix_of(batch: Batch, where: np.ndarray | slice) -> np.ndarray:
    """Some rows of columns as a matrix, without one of all rows."""
    try:
        arrays = [numbers(a, n) for a, n in zip(batch.X.arrays, batch.X.names, strict=True)]
    except TypeError:
        return batch.matrix[where]  # raises with the first cell that is no number
    return Columns(batch.X.names, tuple(a[where] for a in arrays)).matrix()


def below(blocks: list[Any]) -> Any:
    """Blocks one below the other; columns stay columns."""
    if not isinstance(blocks[0], Columns):
        return stacked(blocks)
    arrays = zip(*(b.arrays for b in blocks), strict=True)
    return Columns(blocks[0].names, tuple(_concatenated(a) for a in arrays))


def _concatenated(arrays: tuple[Any, ...]) -> Any:
    if isinstance(arrays[0], np.ndarray):
        return np.concatenate(arrays)
    whole = [a.combine_chunks() if isinstance(a, pa.ChunkedArray) else a for a in arrays]
    if pa.types.is_dictionary(whole[0].type):  # of batches with words of their own
        whole = pa.chunked_array(whole).unify_dictionaries().chunks
    return pa.concat_arrays(whole)


def _values(y: Any, where: np.ndarray | slice) -> Any:
    values = labels(y)
    return None if values is None else values[where]


def joined(batches: Sequence[Batch]) -> Batch:
    """Batches one below the other."""
    if len(batches) == 1:
        return batches[0]
    first, weights = batches[0], [b.weight for b in batches]
    return Batch(
        first.first,
        below([b.X for b in batches]),
        None if first.y is None else np.concatenate([b.y for b in batches]),
        None if weights[0] is None else np.concatenate([w for w in weights if w is not None]),
        np.concatenate([b.row_numbers() for b in batches]),
        first.names,
    )
