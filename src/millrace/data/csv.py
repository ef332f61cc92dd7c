"""Reading CSV: types from the first block, then block after block."""

# pyarrow ships no types.
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
from pyarrow import csv

from millrace.data.formats import Format
from millrace.data.table import CsvOptions
from millrace.errors import FileInputError

_BLOCK = 4 << 20
"""Bytes of one block: what types are read from, and a bound for the length of one row."""


class CsvReader:
    """A CSV file.

    A column has the type of its cells in the first block: integer, float, boolean, else text. Dates
    stay text, and a column without a value there is float64, as with `pandas.read_csv`. A later
    cell of another type is an error, never a guess.
    """

    n_rows: int | None = None

    def __init__(self, path: Path, format: Format, options: CsvOptions) -> None:
        self._path = path
        self._compression = format.compression
        self._options = options
        self._delimiter = options.delimiter or format.delimiter
        self._size = path.stat().st_size
        self._file: pa.NativeFile | None = None
        self._names: list[str] | None = None
        if self._size == 0:
            raise FileInputError.unreadable(path, "it is empty")
        with self._open(None) as reader:
            found = reader.schema
        if not options.header:  # the count of columns was not known
            self._names = [f"x{i}" for i in range(len(found))]
            found = pa.schema(zip(self._names, found.types, strict=True))
        self.schema = pa.schema([(f.name, self._type(f)) for f in found])

    def read(self, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        """Blocks of the file; the cells of other columns are not converted."""
        n_read = 0
        with self._open(columns) as reader:
            while True:
                try:
                    batch = reader.read_next_batch()
                except StopIteration:
                    return
                except pa.ArrowInvalid as error:
                    raise self._unreadable(error, n_read) from error
                n_read += batch.num_rows
                yield batch

    def fraction_read(self) -> float | None:
        """By bytes, compressed ones where the file is."""
        if self._file is None:
            return None
        return 1.0 if self._file.closed else self._file.tell() / self._size

    def _type(self, column: pa.Field) -> pa.DataType:
        if column.name in self._options.types:
            return self._options.types[column.name]
        if pa.types.is_temporal(column.type):
            return pa.string()
        return pa.float64() if pa.types.is_null(column.type) else column.type

    @contextmanager
    def _open(self, columns: Sequence[str] | None) -> Generator[csv.CSVStreamingReader]:
        """A new pass; without `columns` types are found, else they are those of the schema."""
        unnamed = not self._options.header
        types = self._options.types
        if columns is not None:
            types = {name: self.schema.field(name).type for name in columns}
        with pa.OSFile(str(self._path)) as file:
            self._file = file
            stream = (
                pa.CompressedInputStream(file, self._compression) if self._compression else file
            )
            with csv.open_csv(
                stream,
                csv.ReadOptions(
                    block_size=_BLOCK,
                    column_names=self._names,
                    autogenerate_column_names=unnamed and self._names is None,
                ),
                csv.ParseOptions(delimiter=self._delimiter, newlines_in_values=True),
                csv.ConvertOptions(
                    column_types=dict(types),
                    include_columns=list(columns) if columns is not None else None,
                    null_values=list(self._options.missing),
                    strings_can_be_null=True,
                ),
            ) as reader:
                yield reader

    def _unreadable(self, error: pa.ArrowInvalid, n_read: int) -> FileInputError:
        """Name the column that Arrow numbers, and the type that the first block gave it."""
        message = " ".join(str(error).split())
        found = re.match(
            r"In CSV column #(\d+): (?:Row #(\d+): )?CSV conversion error to \w+: (.*)", message
        )
        where = f"after row {n_read}"
        if found is None:
            return FileInputError.unreadable(self._path, f"{message} ({where})")
        column = self.schema.field(int(found[1]))
        return FileInputError.unreadable(
            self._path,
            f"column {column.name!r} is {column.type} by the first rows, but "
            f"{f'in line {found[2]}' if found[2] else where} it holds an {found[3]}; "
            f"clean the cell or give the column another type",
        )
