"""The data of one fit: a table, its target and weights, cut into chunks at fixed row numbers."""

# pyarrow ships no types.
# pyright: reportUnknownParameterType=false, reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from millrace.data import Table
from millrace.data.prefetch import prefetch
from millrace.data.splits import Folds
from millrace.errors import FitError
from millrace.solvers.rows import Rows, Source
from millrace.statistics.base import Columns, digest
from millrace.statistics.collect import frame

HEAD = 200
"""Rows that solvers see beforehand: for dtypes and column selectors, never for statistics."""

CHUNK_BYTES = 16 << 20
"""Size of one chunk as float64: large enough that Python's share is small."""

FEWEST_CHUNKS = 16
"""A table in memory is cut into so many chunks at least, for threads to share."""

_FEWEST, _MOST = 1 << 10, 1 << 18


@dataclass(frozen=True)
class Chunk:
    """Consecutive rows of the table.

    Attributes
    ----------
    first : int
    X : numpy.ndarray, CSR matrix or Columns
    y, weight : array, optional
    fold : numpy.ndarray of int8, optional
    rows : numpy.ndarray of int64, optional
        Row numbers, where some rows were left out.
    """

    first: int
    X: Any
    y: Any
    weight: np.ndarray | None
    fold: np.ndarray | None
    rows: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.X) if isinstance(self.X, Columns) else int(self.X.shape[0])

    def only(self, where: np.ndarray) -> Chunk:
        """The rows of a mask."""
        positions = np.flatnonzero(where)
        X = self.X.rows(positions) if isinstance(self.X, Columns) else self.X[positions]
        return Chunk(
            self.first,
            X,
            None if self.y is None else _taken(self.y, positions),
            None if self.weight is None else self.weight[positions],
            None,
            self.first + positions.astype(np.int64),
        )


def _taken(values: Any, positions: np.ndarray) -> Any:
    if isinstance(values, np.ndarray):
        return values[positions]
    return values.take(pa.array(positions))


@dataclass(frozen=True)
class Data:
    """A table with the parts that its columns play.

    Attributes
    ----------
    table : Table
    features : tuple of str
    target : str, tuple of str, numpy.ndarray or None
        Column(s), or the values themselves.
    weight : str, numpy.ndarray or None
    folds : Folds, optional
    chunk_rows : int
    memory : int, optional
        The budget of the call in bytes.
    """

    table: Table
    features: tuple[str, ...]
    target: Any = None
    weight: Any = None
    folds: Folds | None = None
    chunk_rows: int = 1 << 16
    memory: int | None = None

    @property
    def n_rows(self) -> int | None:
        return self.table.n_rows

    @cached_property
    def read_columns(self) -> list[str]:
        """What has to be read of the table."""
        parts = (self.features, self.target, self.weight, self.folds.key if self.folds else None)
        return list(dict.fromkeys(c for part in parts for c in _columns_of(part)))

    def rows(self, path: str = "") -> Rows:
        """All rows, as the first step of a pipeline sees them."""
        return Rows(
            Source(self.features),
            names=self.features if self.table.named else None,
            head=self.head,
            weighted=self.weight is not None,
            target=self.target is not None,
            n_rows=self.n_rows,
            memory=self.memory,
            path=path,
        )

    @cached_property
    def head(self) -> Any:
        """The first rows as scikit-learn would see them."""
        if self.table.matrix is not None:
            return self.table.matrix[:HEAD]
        with closing(self.table.batches(list(self.features), HEAD)) as batches:  # type: ignore[type-var]
            for batch in batches:
                return frame(Columns(tuple(batch.schema.names), tuple(batch.columns)))
        raise FitError.empty_table(self.table.describe_source())

    def chunks(self, start: int = 0) -> Generator[Chunk]:
        """All chunks in order, from the row `start` (a multiple of the chunk size) on."""
        if self.table.matrix is not None:
            yield from self._slices(start)
            return
        batches = self.table.batches(self.read_columns, self.chunk_rows, start)
        first = start
        with closing(batches if self.table.in_memory else prefetch(batches, 2)) as ahead:  # type: ignore[type-var]
            for batch in ahead:
                yield self._chunk(first, batch)
                first += batch.num_rows

    def deal(self, stop: int) -> None:
        """Deal the rows before `stop` to their folds, where that of a row depends on those before it."""
        if self.folds is None or self.folds.n_dealt >= stop:
            return
        first, only = int(self.folds.n_dealt), replace(self, features=(), weight=None)
        if not only.read_columns:  # the target is not of the table
            self.folds.of(first, stop - first, None, self.target[first:stop])
            return
        with closing(self.table.batches(only.read_columns, self.chunk_rows, first)) as batches:  # type: ignore[type-var]
            for batch in batches:
                if first >= stop:
                    return
                only._chunk(first, batch)
                first += batch.num_rows

    def _slices(self, start: int) -> Generator[Chunk]:
        matrix: Any = self.table.matrix
        for first in range(start, matrix.shape[0], self.chunk_rows):
            stop = min(first + self.chunk_rows, matrix.shape[0])
            y = None if self.target is None else self.target[first:stop]
            weight = None if self.weight is None else self.weight[first:stop]
            fold = None
            if self.folds is not None:
                fold = self.folds.of(first, stop - first, None, y)
            yield Chunk(first, matrix[first:stop], y, weight, fold)

    def _chunk(self, first: int, batch: pa.RecordBatch) -> Chunk:
        n, names = batch.num_rows, batch.schema.names
        at = {name: i for i, name in enumerate(names)}

        def part(of: Any) -> Any:
            if of is None:
                return None
            if isinstance(of, str):
                return batch.column(at[of])
            if isinstance(of, tuple):
                return Columns(of, tuple(batch.column(at[c]) for c in of)).matrix()
            return of[first : first + n]

        y, weight = part(self.target), part(self.weight)
        if weight is not None:
            weight = np.asarray(weight, np.float64)
        fold = None if self.folds is None else self.folds.of(first, n, batch, y)
        X = Columns(self.features, tuple(batch.column(at[c]) for c in self.features))
        return Chunk(first, X, y, weight, fold)

    def identity(self) -> dict[str, str]:
        """What a checkpoint compares: part -> fingerprint."""
        return {
            "the data": self.table.identity(),
            "the columns": digest([self.features, self.target, self.weight]),
            "the folds": digest(repr(self.folds)),
            "the chunk size": str(self.chunk_rows),
        }


def check_target(y: Any, first: int) -> None:
    """Refuse a target with missing or infinite values.

    Raises
    ------
    FitError
        With the row.
    """
    if isinstance(y, (pa.Array, pa.ChunkedArray)):
        if y.null_count:
            missing = y.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
            raise FitError.missing_target(first + int(np.argmax(missing)), int(missing.sum()))
        if not pa.types.is_floating(y.type):
            return
        y = y.to_numpy(zero_copy_only=False)
    if y.dtype.kind != "f" or np.isfinite(y.sum()):
        return
    missing = np.isnan(y).reshape(len(y), -1).any(axis=1)
    if missing.any():
        raise FitError.missing_target(first + int(np.argmax(missing)), int(missing.sum()))
    infinite = np.isinf(y).reshape(len(y), -1).any(axis=1)
    if infinite.any():
        raise FitError.non_finite_target(first + int(np.argmax(infinite)))


def make_data(
    table: Table, target: Any, weight: Any, folds: Folds | None, budget: int | None
) -> Data:
    """Give the columns of a table their parts and choose the size of chunks.

    Raises
    ------
    FitError
        The target or weight is not in the table or has another length.
    """
    names = table.schema.names
    target, weight = _part(table, target, "target"), _part(table, weight, "weight")
    taken = {c for part in (target, weight) for c in _columns_of(part)}
    if folds is not None and folds.key is not None:
        if folds.key not in names:
            raise FitError.no_target(folds.key, names)
        taken.add(folds.key)
    features = tuple(n for n in names if n not in taken)
    rows = chunk_rows(len(features), table.n_rows, budget)
    return Data(table, features, target, weight, folds, rows, budget)


def chunk_rows(n_features: int, n_rows: int | None, budget: int | None) -> int:
    """Rows of a chunk, a power of two. The number of threads has no say: it must not change a bit."""
    size = CHUNK_BYTES if budget is None else min(CHUNK_BYTES, budget // 64)
    rows = max(size // (8 * max(n_features, 1)), 1)
    if n_rows is not None:
        rows = min(rows, max(n_rows // FEWEST_CHUNKS, 1))
    return min(max(1 << (rows.bit_length() - 1), _FEWEST), _MOST)


def _columns_of(part: Any) -> tuple[str, ...]:
    """The columns that a part names; none where it is values."""
    return (part,) if isinstance(part, str) else part if isinstance(part, tuple) else ()


def _part(table: Table, part: Any, what: str) -> Any:
    """A column name, a tuple of names, an array of one value a row, or None."""
    if part is None:
        return None
    names = table.schema.names
    if isinstance(part, str) or _is_names(part, names):
        wanted: Sequence[str] = [part] if isinstance(part, str) else part
        for name in wanted:
            if name not in names:
                raise FitError.no_target(name, names)
        if table.matrix is not None:
            at = [names.index(n) for n in wanted]
            raise FitError.of_matrix(what, at)
        return part if isinstance(part, str) else tuple(part)
    values = part.to_numpy() if hasattr(part, "to_numpy") else np.asarray(part)
    if what == "weight":
        values = np.asarray(values, np.float64)
    if table.n_rows is not None and len(values) != table.n_rows:
        raise FitError.lengths(what, len(values), table.n_rows)
    return values


def _is_names(part: Any, names: Sequence[str]) -> bool:
    """Whether a list names columns; else it holds values."""
    return isinstance(part, (list, tuple)) and bool(part) and set(map(str, part)) <= set(names)
