"""Reading JSON lines: one object a line, types found once."""

# pyarrow ships no types.
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from pyarrow import json

from millrace.data.formats import Format
from millrace.data.source import common, one_line
from millrace.data.text import Block, LineReader
from millrace.errors import FileInputError

_SAMPLE = 4 << 20
_SPOT = 1 << 18


class JsonReader(LineReader):
    """A file of JSON objects, one a line.

    The columns and their types are those of the objects in the first block: integer, float, boolean,
    text, and lists and structures of them. Texts stay texts also where they look like dates. A column
    that is null there is float64. A key that appears only later is left out; an object without a key
    has null there. A later value of another type is an error.
    """

    def __init__(self, path: Path, format: Format) -> None:
        super().__init__(path, format.compression)
        with self.open() as stream:
            begin = stream.read(_SAMPLE)
        if len(begin) == _SAMPLE:
            begin = begin[: begin.rfind(b"\n") + 1] or begin
        if not begin.strip():
            raise FileInputError.unreadable(path, "it has no line")
        try:
            found = _parsed(begin, None).schema
        except pa.ArrowInvalid as error:
            self.schema = pa.schema([])
            raise self.unreadable(error, 0) from error
        types = {f.name: _type(f.type) for f in found}
        for spot in self.spots(_SPOT):
            try:
                seen = _parsed(spot, None).schema
            except pa.ArrowInvalid:  # told with its row when it is read
                continue
            for f in seen:
                if f.name in types:
                    types[f.name] = common(types[f.name], _type(f.type)) or types[f.name]
        self.schema = pa.schema(
            [(n, pa.float64() if pa.types.is_null(t) else t) for n, t in types.items()]
        )

    def retype(self, schema: pa.Schema) -> None:
        """Read columns with these types, which other files of the same table have."""
        self.schema = pa.schema([(f.name, schema.field(f.name).type) for f in self.schema])

    def parse(self, columns: Sequence[str], first: bool, block: Block) -> list[pa.RecordBatch]:
        """The rows of a block."""
        if block.is_blank:
            return []
        schema = pa.schema([self.schema.field(c) for c in columns])
        return _parsed(block.lines, schema).select(list(columns)).to_batches()

    def unreadable(self, error: pa.ArrowInvalid, block_rows: int) -> FileInputError:
        """Name the column and its type, and the row."""
        message = one_line(error)
        row = re.search(r" in row (\d+)$", message)
        number = None if row is None else block_rows + int(row[1])
        found = re.search(r"Column\(/(.*?)(?:/.*)?\) changed from \w+ to (\w+)", message)
        if found is None or found[1] not in self.schema.names:
            if row is not None:
                message = message.removesuffix(row[0])
            where = f"after row {block_rows}" if number is None else f"in row {number}"
            return FileInputError.unreadable(self.path, f"{message} ({where})")
        kind = self.schema.field(found[1]).type
        return FileInputError.bad_cell(self.path, found[1], kind, number, f"a {found[2]}")


def _parsed(block: bytes | memoryview, schema: pa.Schema | None) -> pa.Table:
    return json.read_json(
        pa.BufferReader(pa.py_buffer(block)),
        json.ReadOptions(use_threads=False, block_size=len(block) + 1),
        json.ParseOptions(
            explicit_schema=schema,
            unexpected_field_behavior="infer" if schema is None else "ignore",
        ),
    )


def _type(kind: pa.DataType) -> pa.DataType:
    return pa.string() if pa.types.is_temporal(kind) else kind
