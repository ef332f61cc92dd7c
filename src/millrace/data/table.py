"""A table that is read batch by batch."""

# pyarrow ships no types.
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from millrace.data.options import CsvOptions
from millrace.data.rebatch import rebatch
from millrace.data.source import Source, reading, width_of
from millrace.errors import FileInputError, MissingColumnsError

__all__ = ["CsvOptions", "Table", "open_table", "rebatch"]


class Table:
    """Rows of one schema that can be read batch by batch, again and again.

    Made by `scan` and `open_table`.

    Attributes
    ----------
    schema : pyarrow.Schema
        Names and types of all columns; those of a matrix are x0, x1 ...
    n_rows : int, optional
        None where only reading tells (CSV, JSON lines, streams, filtered rows).
    named : bool
        Whether the columns have names of their own: not those of a matrix.
    matrix : numpy.ndarray or CSR matrix, optional
        The rows themselves, where the source is one.
    in_memory : bool
        A second read costs nothing.
    path : Path, optional
        Where the table is one file.
    """

    def __init__(self, source: Source, columns: Sequence[str] | None = None) -> None:
        self._source = source
        names = source.schema.names
        chosen = list(names if columns is None else columns)
        _check_columns(chosen, names, source.name)
        self.schema: pa.Schema = source.schema
        if columns is not None:
            self.schema = pa.schema([source.schema.field(c) for c in chosen])
        self.n_rows = source.n_rows
        self.named = source.named
        self.matrix: Any = source.matrix
        self.in_memory = source.in_memory
        self.path = source.path
        self._n_read: int | None = None

    def batches(
        self, columns: Sequence[str] | None = None, rows: int = 65536, start: int = 0
    ) -> Iterator[pa.RecordBatch]:
        """Read the table.

        Parameters
        ----------
        columns : sequence of str, optional
            Only these are read, in this order; all by default.
        rows : int
            Rows of a batch; the last one may have fewer.
        start : int
            The first row, a multiple of `rows`. Files that can (Parquet, Arrow) skip what comes before,
            others read and drop it.

        Yields
        ------
        pyarrow.RecordBatch

        Raises
        ------
        MissingColumnsError
            At once, where a column is not in the table.
        FileInputError
            While reading, where a file is damaged or a cell has not the type of its column.
        """
        names = self.schema.names
        wanted = list(names if columns is None else columns)
        _check_columns(wanted, names, self._source.name)
        if rows < 1 or not wanted:
            raise ValueError("batches() needs at least one column and one row a batch")
        if start < 0 or start % rows:
            raise ValueError(f"start has to be a multiple of rows ({rows}), got {start}")
        return self._batches(wanted, rows, start)

    def _batches(self, columns: list[str], rows: int, start: int) -> Iterator[pa.RecordBatch]:
        self._n_read = start
        with reading(self._source.name):
            for batch in rebatch(self._source.read(columns, rows, start), rows):
                yield batch
                self._n_read += batch.num_rows

    def fraction_read(self) -> float | None:
        """How much of the table the latest `batches` has taken (0 to 1), where that is known."""
        found = self._source.fraction_read()
        if found is None and self._n_read is not None and self.n_rows is not None:
            return min(self._n_read / max(self.n_rows, 1), 1.0)
        return found

    def identity(self) -> str:
        """A fingerprint: the same for the same data in another process, found without reading it.

        Files are told by name, size and time of change; rows in memory by their number, types and a
        sample; queries by their text. What cannot be looked at, such as a stream, has the fingerprint
        of its schema.
        """
        found = hashlib.blake2b(digest_size=16)
        for part in (*self._source.fingerprint(), str(self.schema.remove_metadata())):
            found.update(repr(part).encode())
        return found.hexdigest()

    def nbytes_of_row(self) -> int:
        """Bytes that a row takes in memory, roughly where there are texts; at least 1."""
        estimate = sum(width_of(t) for t in self.schema.types)
        if self._source.row_bytes is not None:
            whole = sum(width_of(t) for t in self._source.schema.types)
            estimate *= max(self._source.row_bytes / max(whole, 1.0), 1.0)
        return max(int(estimate), 1)

    def describe_source(self) -> str:
        """The table in a few words, for messages."""
        return self._source.name

    def __repr__(self) -> str:
        rows = "rows not counted yet" if self.n_rows is None else f"{self.n_rows:,} rows"
        return f"<Table {self._source.name}: {len(self.schema)} columns, {rows}>"


def _check_columns(wanted: Sequence[str], names: list[str], owner: str) -> None:
    if missing := [c for c in wanted if c not in names]:
        raise MissingColumnsError.of(missing, names)
    if wanted != names and (twice := [c for c in wanted if names.count(c) > 1]):
        raise FileInputError.unreadable(owner, f"column {twice[0]!r} stands there twice")


def open_table(path: str | os.PathLike[str], csv: CsvOptions | None = None) -> Table:
    """Open a table file; its name tells the format.

    Parameters
    ----------
    path : path-like
        CSV, Parquet, Arrow IPC or JSON lines; see `millrace.data`.
    csv : CsvOptions, optional

    Raises
    ------
    FileInputError
        The file is absent, damaged, or has another format than its name says.
    """
    from millrace.data.files import Files

    return Table(Files([(Path(path), {})], csv or CsvOptions()))
