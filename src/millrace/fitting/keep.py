"""What is kept of a table between sweeps, so that a slow source is read once.

Text formats and compressed columns cost far more to read than to use. The first sweep therefore leaves
the columns behind as they are in memory: in memory while they are few, else in a spool file.
"""

# pyarrow ships no types.
# pyright: reportUnknownParameterType=false, reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import pyarrow as pa

from millrace.data import Table
from millrace.data.spool import Spool
from millrace.errors import FileInputError
from millrace.fitting.budget import give_back

IN_MEMORY = 128 << 20
"""Bytes of batches that are kept in memory where no budget is given."""


class KeptTable:
    """A table that is read from its source once, and then from what the first read left.

    It has the attributes of `Table` that a fit uses. What is kept answers the columns and rows that the
    first complete read asked for, as the sweeps of one fit do; others are read from the source.
    """

    def __init__(self, table: Table, budget: int | None) -> None:
        self._table = table
        self._most = IN_MEMORY if budget is None else min(IN_MEMORY, budget // 8)
        if budget is not None and (table.n_rows or 0) * table.nbytes_of_row() > self._most:
            self._most = 0  # it will not stay in memory: from the first batch on, take none
        self._frugal = budget is not None
        self._kept: list[pa.RecordBatch] = []
        self._spool: Spool | None = None
        self._complete: tuple[tuple[str, ...], int] | None = None
        self.schema = table.schema
        self.n_rows = table.n_rows
        self.named = table.named
        self.matrix: Any = table.matrix
        self.in_memory = table.in_memory

    def batches(
        self, columns: Sequence[str], rows: int, start: int = 0
    ) -> Iterator[pa.RecordBatch]:
        """Batches as of `Table.batches`."""
        if self._frugal:
            give_back()
        if self._complete == (tuple(columns), rows):
            if self._spool is not None:
                return self._spool.batches(start // rows)
            return iter(self._kept[start // rows :])
        if start or self._table.in_memory or self._complete is not None:
            return self._table.batches(columns, rows, start)
        return self._first(columns, rows)

    def identity(self) -> str:
        """The fingerprint of the table."""
        return self._table.identity()

    def describe_source(self) -> str:
        """The table, in a few words."""
        return self._table.describe_source()

    def close(self) -> None:
        """Give memory and files back."""
        if self._spool is not None:
            self._spool.close()
        self._kept, self._spool, self._complete = [], None, None

    def _first(self, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        """The first read, which leaves everything behind; where there is no room, nothing."""
        self.close()
        keeping, size, n_rows, whole = True, 0, 0, False
        try:
            with closing(self._table.batches(columns, rows)) as batches:  # type: ignore[type-var]
                for batch in batches:
                    n_rows += batch.num_rows
                    size += batch.nbytes
                    if keeping:
                        try:
                            self._keep(batch, size)
                        except FileInputError:  # the disk is full: read the source again
                            keeping = False
                            self.close()
                    yield batch
                    del batch
            whole = True
        finally:
            if not whole:
                self.close()
        if self._frugal:
            give_back()  # pages of the file that were decoded here
        self.n_rows = n_rows
        self._complete = (tuple(columns), rows) if keeping else None

    def _keep(self, batch: pa.RecordBatch, size: int) -> None:
        if self._spool is None and size <= self._most:
            self._kept.append(batch)
            return
        if self._spool is None:
            self._spool = Spool(None, batch.schema)
            for before in self._kept:
                self._spool.append(before)
            self._kept = []
        self._spool.append(batch)
