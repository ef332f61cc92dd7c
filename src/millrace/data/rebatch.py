"""Batches of a fixed number of rows, whatever sizes a reader gives."""

# pyarrow ships no types.
# pyright: reportUnknownParameterType=false, reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

_FEW = 8
"""Only batches of which more than this part of the rows is there get room of their own: less may be all
there is, and memory that is touched for nothing is slow."""


class _Room:
    """The columns of one batch as they fill: numbers without missing ones.

    One piece of memory, which NumPy asks the system to give in huge pages: the faults of small ones cost
    more than the copy. A part that comes is copied while it is in the cache, and can then be forgotten.
    """

    def __init__(self, schema: pa.Schema, rows: int) -> None:
        self._schema = schema
        dtypes = [np.dtype(t.to_pandas_dtype()) for t in schema.types]
        widths = np.cumsum([0, *(-(-rows * d.itemsize // 64) * 64 for d in dtypes)])
        memory = np.empty(int(widths[-1]) + 64, np.uint8)
        aligned = memory[-memory.ctypes.data % 64 :]
        self._columns = [
            aligned[start : start + rows * dtype.itemsize].view(dtype)
            for start, dtype in zip(widths, dtypes, strict=False)
        ]
        self._n_rows = 0

    def add(self, batch: pa.RecordBatch) -> None:
        stop = self._n_rows + batch.num_rows
        for column, part in zip(self._columns, batch.columns, strict=True):
            column[self._n_rows : stop] = part.to_numpy()
        self._n_rows = stop

    def batch(self) -> pa.RecordBatch:
        """What has come, without a copy."""
        n = self._n_rows
        arrays = [
            pa.Array.from_buffers(f.type, n, [None, pa.py_buffer(c[:n])], 0)
            for f, c in zip(self._schema, self._columns, strict=True)
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=self._schema)


class _Held:
    """Parts of the next batch."""

    def __init__(self, rows: int) -> None:
        self.n_rows = 0
        self._rows = rows
        self._parts: list[pa.RecordBatch] = []
        self._room: _Room | None = None

    def add(self, part: pa.RecordBatch) -> None:
        self.n_rows += part.num_rows
        if self._room is not None and not _is_plain(part):
            self._parts, self._room = [self._room.batch()], None
        if self._room is not None:
            self._room.add(part)
            return
        self._parts.append(part)
        if self.n_rows * _FEW >= self._rows and len(self._parts) > 1:
            self._move()

    def _move(self) -> None:
        """From parts to room, where they are all of plain numbers."""
        if all(_is_plain(p) for p in self._parts):
            self._room = _Room(self._parts[0].schema, self._rows)
            for part in self._parts:
                self._room.add(part)
            self._parts = []

    def taken(self) -> pa.RecordBatch:
        """One batch of all parts; then there are none."""
        if self._room is not None:
            batch = self._room.batch()
        else:
            batch = self._parts[0] if len(self._parts) == 1 else pa.concat_batches(self._parts)
        self.n_rows, self._parts, self._room = 0, [], None
        return batch


def rebatch(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of exactly `rows`; the last one may have fewer, none is empty."""
    held = _Held(rows)
    for batch in batches:
        start = 0
        while held.n_rows + batch.num_rows - start >= rows:
            stop = start + rows - held.n_rows
            held.add(batch.slice(start, stop - start))
            yield held.taken()
            start = stop
        if start < batch.num_rows:
            held.add(batch.slice(start))
    if held.n_rows:
        yield held.taken()


def _is_plain(batch: pa.RecordBatch) -> bool:
    """Whether there are only numbers, none of them missing."""
    return all(
        not c.null_count and (pa.types.is_integer(c.type) or pa.types.is_floating(c.type))
        for c in batch.columns
    )
