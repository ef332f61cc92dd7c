"""A table file that is read batch by batch."""

# pyarrow ships no types.
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from millrace.data.formats import format_of
from millrace.errors import FileInputError, MissingColumnsError

MISSING = (
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
)  # fmt: skip
"""Cells of a CSV file that are null: empty ones, and what `pandas.read_csv` takes as missing."""


@dataclass(frozen=True)
class CsvOptions:
    """What a CSV file does not say about itself.

    Attributes
    ----------
    delimiter : str, optional
        Between cells; by default what the file's name says (comma, or tab for ``.tsv``).
    header : bool
        Whether the first line holds the names; else they are x0, x1 ...
    missing : tuple of str
        Cells that are null, quoted or not.
    types : mapping of str to pyarrow.DataType
        Types of some columns. Those of the others follow from the first block of the file.
    """

    delimiter: str | None = None
    header: bool = True
    missing: tuple[str, ...] = MISSING
    types: Mapping[str, pa.DataType] = field(default_factory=dict)


class Reader(Protocol):
    """One file format: the schema, the number of rows where it is known, and its batches."""

    schema: pa.Schema
    n_rows: int | None

    def read(self, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        """Batches of any size with these columns, in this order; one pass over the file."""
        ...

    def fraction_read(self) -> float | None:
        """How much of the file the latest `read` has taken, where the format tells."""
        ...


class Table:
    """A table in a file.

    Attributes
    ----------
    path : Path
    schema : pyarrow.Schema
        Names and types of all columns.
    n_rows : int, optional
        None where only reading tells (CSV, Arrow streams).
    """

    def __init__(self, path: Path, reader: Reader) -> None:
        self.path = path
        self.schema = reader.schema
        self.n_rows = reader.n_rows
        self._reader = reader

    def batches(
        self, columns: Sequence[str] | None = None, rows: int = 65536
    ) -> Iterator[pa.RecordBatch]:
        """Read the file from its start.

        Parameters
        ----------
        columns : sequence of str, optional
            Only these are read, in this order; all by default.
        rows : int
            Rows of a batch; the last one may have fewer.

        Raises
        ------
        MissingColumnsError
            At once, where a column is not in the file.
        FileInputError
            While reading, where the file is damaged or a cell has not the type of its column.
        """
        names = self.schema.names
        wanted = list(names if columns is None else columns)
        if missing := [c for c in wanted if c not in names]:
            raise MissingColumnsError.of(missing, names)
        if twice := [c for c in wanted if names.count(c) > 1]:
            raise FileInputError.unreadable(self.path, f"column {twice[0]!r} stands there twice")
        if rows < 1 or not wanted:
            raise ValueError("batches() needs at least one column and one row a batch")
        return self._batches(wanted, rows)

    def fraction_read(self) -> float | None:
        """How much of the file the latest `batches` has taken (0 to 1), where that is known."""
        return self._reader.fraction_read()

    def _batches(self, columns: list[str], rows: int) -> Iterator[pa.RecordBatch]:
        with reading(self.path):
            yield from rebatch(self._reader.read(columns, rows), rows)


@contextmanager
def reading(path: object) -> Generator[None]:
    """Tell errors of the file system and of Arrow as `FileInputError`."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileInputError.unreadable(path, "there is no such file") from error
    except OSError as error:
        raise FileInputError.unreadable(path, error.strerror or _one_line(error)) from error
    except (pa.ArrowException, UnicodeError) as error:
        raise FileInputError.unreadable(path, _one_line(error)) from error


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".")


def rebatch(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of exactly `rows`; the last one may have fewer, none is empty."""
    held: list[pa.RecordBatch] = []
    n_held = 0
    for batch in batches:
        start = 0
        while n_held + batch.num_rows - start >= rows:
            stop = start + rows - n_held
            yield _joined([*held, batch.slice(start, stop - start)])
            held, n_held, start = [], 0, stop
        if start < batch.num_rows:
            held.append(batch.slice(start))
            n_held += batch.num_rows - start
    if held:
        yield _joined(held)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)


def open_table(path: str | os.PathLike[str], csv: CsvOptions | None = None) -> Table:
    """Open a table file; its name tells the format.

    Parameters
    ----------
    path : path-like
        CSV, Parquet or Arrow IPC; see `millrace.data`.
    csv : CsvOptions, optional

    Raises
    ------
    FileInputError
        The file is absent, damaged, or has another format than its name says.
    """
    format = format_of(path)
    path = Path(path)
    with reading(path):
        if path.is_dir():
            raise FileInputError.unreadable(path, "it is a folder; name a single file")
        reader: Any
        match format.layout:
            case "csv":
                from millrace.data.csv import CsvReader

                reader = CsvReader(path, format, csv or CsvOptions())
            case "parquet":
                from millrace.data.parquet import ParquetReader

                reader = ParquetReader(path)
            case "arrow":
                from millrace.data.arrow import ArrowReader

                reader = ArrowReader(path)
        return Table(path, reader)
