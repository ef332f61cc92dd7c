"""Reading CSV: types are found once, then blocks are parsed by Arrow in several threads."""

# pyarrow ships no types.
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv

from millrace.data.formats import Format
from millrace.data.options import CsvOptions
from millrace.data.source import common, one_line
from millrace.data.text import Block, LineReader, Rest
from millrace.errors import FileInputError

_SAMPLE = 4 << 20
"""Bytes at the beginning that types are read from."""

_SPOT = 1 << 18
"""Bytes of each of the places further on that are looked at too."""

_BAD_CELL = re.compile(r"In CSV column #(\d+): (?:Row #\d+: )?CSV conversion error to .*?: (.*)")
_STREAM_BLOCK = 1 << 20
_LONG_BLOCK = 64 << 20


class CsvReader(LineReader):
    """A CSV file.

    A column has the type of its cells in the first block: integer, float, boolean, else text. Dates
    stay text, and a column without a value there is float64, as with `pandas.read_csv`. Three places
    further on are looked at as well: integers become floats where there are floats. A later cell of
    another type is an error, never a guess.
    """

    def __init__(self, path: Path, format: Format, options: CsvOptions) -> None:
        super().__init__(path, format.compression)
        self._options = options
        self._missing = list(options.missing)
        self._has_words = False  # until a block is found that holds one for missing
        self._delimiter = options.delimiter or format.delimiter
        if len(self._delimiter.encode()) == 1:
            self.quoted = self._delimiter.encode()
        self._names: list[str] | None = None
        self._all_names: list[str] = []
        try:
            found = self._first_schema()
        except pa.ArrowInvalid as error:
            raise self.unreadable(error, 0) from error
        if not options.header:  # the count of columns was not known
            self._names = [f"x{i}" for i in range(len(found))]
            found = pa.schema(zip(self._names, found.types, strict=True))
        self._all_names = list(found.names)
        types = self._seen_further(found.types)
        self.schema = pa.schema(
            [(name, self._type(name, t)) for name, t in zip(found.names, types, strict=True)]
        )

    def retype(self, schema: pa.Schema) -> None:
        """Read columns with these types, which other files of the same table have."""
        self.schema = pa.schema([(f.name, schema.field(f.name).type) for f in self.schema])

    def parse(self, columns: Sequence[str], first: bool, block: Block) -> list[pa.RecordBatch]:
        """The rows of a block."""
        if block.is_blank:
            return []
        if not self._has_words and self._are_numbers(columns):
            # Comparing every cell with every word for missing costs a sixth of the time.
            try:
                found = self._parsed(columns, first, block, [w for w in self._missing if not w])
                if all(map(_is_finite, found)):
                    return found
            except pa.ArrowInvalid:
                pass
        found = self._parsed(columns, first, block, self._missing)
        self._has_words = True
        return found

    def _parsed(
        self, columns: Sequence[str], first: bool, block: Block, missing: list[str]
    ) -> list[pa.RecordBatch]:
        return csv.read_csv(
            pa.BufferReader(pa.py_buffer(block.lines)),
            self._read_options(first, block.size + 1, use_threads=False),
            self._parse_options(has_quotes=block.has_quotes),
            self._convert_options(columns, missing),
        ).to_batches()

    def _are_numbers(self, columns: Sequence[str]) -> bool:
        """Whether only numbers are read, and no word for missing is one."""
        kinds = [self.schema.field(c).type for c in columns]
        numbers = all(pa.types.is_integer(t) or pa.types.is_floating(t) for t in kinds)
        return numbers and not any(map(_is_number, self._missing))

    def parse_rest(self, columns: Sequence[str], first: bool, rest: Rest) -> Iterator[Any]:
        """By Arrow's streaming reader, which sees every cell and knows where quotes end."""
        size = _LONG_BLOCK if b"\n" not in rest.begin else _STREAM_BLOCK
        with csv.open_csv(
            pa.PythonFile(rest, "r"),
            self._read_options(first, size, use_threads=True),
            self._parse_options(),
            self._convert_options(columns, self._missing),
        ) as reader:
            yield from reader

    def unreadable(self, error: pa.ArrowInvalid, block_rows: int) -> FileInputError:
        """Name the column that Arrow numbers, and the type that the first block gave it."""
        message = one_line(error)
        row = re.search(r"Row #(\d+): ", message)
        number = None if row is None else block_rows + self._row_in_block(int(row[1]), block_rows)
        found = _BAD_CELL.match(message)
        if found is None or not self._all_names:
            if row is not None:
                message = message.replace(row[0], "")
            where = f"after row {block_rows}" if number is None else f"in row {number}"
            return FileInputError.unreadable(self.path, f"{message} ({where})")
        name = self._all_names[int(found[1])]
        return FileInputError.bad_cell(
            self.path, name, self.schema.field(name).type, number, f"an {found[2]}"
        )

    def _row_in_block(self, counted: int, block_rows: int) -> int:
        """Arrow counts lines from 1, and the header too where the block begins with it."""
        return counted - 1 - (block_rows == 0 and self._options.header)

    def _first_schema(self) -> pa.Schema:
        options = csv.ConvertOptions(
            column_types=dict(self._options.types),
            null_values=self._missing,
            strings_can_be_null=True,
        )
        with (
            self.open() as stream,
            csv.open_csv(
                stream,
                self._read_options(first=True, size=_SAMPLE, use_threads=False),
                self._parse_options(),
                options,
            ) as reader,
        ):
            return reader.schema

    def _seen_further(self, types: list[pa.DataType]) -> list[pa.DataType]:
        """Types wide enough for some rows further on as well, where both are numbers."""
        for spot in self.spots(_SPOT):
            try:
                seen = csv.read_csv(
                    pa.BufferReader(spot),
                    csv.ReadOptions(column_names=self._all_names, use_threads=False),
                    self._parse_options(),
                    csv.ConvertOptions(null_values=self._missing),
                ).schema
            except pa.ArrowInvalid:  # told with its row when it is read
                continue
            types = [
                common(a, b) or a if not pa.types.is_temporal(b) else common(a, pa.string()) or a
                for a, b in zip(types, seen.types, strict=True)
            ]
        return types

    def _type(self, name: str, found: pa.DataType) -> pa.DataType:
        if name in self._options.types:
            return self._options.types[name]
        if pa.types.is_temporal(found):
            return pa.string()
        return pa.float64() if pa.types.is_null(found) else found

    def _read_options(self, first: bool, size: int, *, use_threads: bool) -> csv.ReadOptions:
        names = self._names if first else self._all_names
        return csv.ReadOptions(
            block_size=size,
            use_threads=use_threads,
            column_names=names,
            autogenerate_column_names=names is None and not self._options.header,
        )

    def _parse_options(self, has_quotes: bool = True) -> csv.ParseOptions:
        # Looking for line ends within quotes costs a quarter of the time.
        return csv.ParseOptions(delimiter=self._delimiter, newlines_in_values=has_quotes)

    def _convert_options(self, columns: Sequence[str], missing: list[str]) -> csv.ConvertOptions:
        return csv.ConvertOptions(
            column_types={name: self.schema.field(name).type for name in columns},
            include_columns=list(columns),
            null_values=missing,
            strings_can_be_null=True,
        )


def _is_number(word: str) -> bool:
    """Whether a word for missing would be read as a finite number."""
    try:
        return bool(np.isfinite(float(word)))
    except ValueError:
        return False


def _is_finite(batch: pa.RecordBatch) -> bool:
    """Whether no cell may have been a word for NaN: missing cells are told from those."""
    floats = [c for c in batch.columns if pa.types.is_floating(c.type)]
    with np.errstate(over="ignore", invalid="ignore"):
        return all(np.isfinite(c.drop_null().to_numpy().sum()) for c in floats)
