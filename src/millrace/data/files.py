"""One table in one file or many: which files, the columns that they share, one after the other."""

# pyarrow ships no types.
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

from millrace.data.formats import READABLE, format_of
from millrace.data.options import CsvOptions
from millrace.data.source import Source, common, conform, plain_schema, reading
from millrace.data.where import Where
from millrace.errors import FileInputError

_NULL = "__HIVE_DEFAULT_PARTITION__"
_PATTERN = re.compile(r"[*?\[]")


def found_files(given: str | os.PathLike[str]) -> list[tuple[Path, dict[str, str]]]:
    """The files that a path stands for, in the order of their names.

    Parameters
    ----------
    given : path-like
        A file, a folder (searched to its depths; names that begin with ``.`` or ``_`` are left out)
        or a pattern with ``*``, ``?``, ``[]`` or ``**``.

    Returns
    -------
    list of (Path, dict)
        Each with what the ``key=value`` folders below the given folder or pattern say.

    Raises
    ------
    FileInputError
        There is no such file, or no table file among them.
    """
    path = Path(given)
    if path.is_dir():
        files = [p for p in sorted(path.rglob("*")) if _is_table(p, path)]
        if not files:
            raise FileInputError.no_files(path, "this folder has no table file", READABLE)
        return [(p, _keys(p.relative_to(path).parts[:-1])) for p in files]
    if path.exists() or not _PATTERN.search(os.fspath(given)):
        return [(path, {})]
    fixed = [bool(_PATTERN.search(part)) for part in path.parts].index(True)
    matching = [Path(p) for p in sorted(glob.glob(os.fspath(given), recursive=True))]
    files = [f for m in matching for f in (found_files(m) if m.is_dir() else [(m, {})])]
    if not files:
        raise FileInputError.no_files(given, "no file matches this pattern", READABLE)
    return [(p, _keys(p.parts[fixed:-1])) for p, _ in files]


def _is_table(path: Path, folder: Path) -> bool:
    parts = path.relative_to(folder).parts
    if not path.is_file() or any(p.startswith((".", "_")) for p in parts):
        return False
    try:
        format_of(path, read=True)
    except FileInputError:
        return False
    return True


def _keys(folders: Sequence[str]) -> dict[str, str]:
    return dict(f.split("=", 1) for f in folders if "=" in f and not f.startswith("="))


def reader_of(path: Path, csv: CsvOptions) -> Any:
    """The reader of one file, by its name.

    Raises
    ------
    FileInputError
        The file is absent, damaged, or has another format than its name says.
    """
    format = format_of(path, read=True)
    with reading(path):
        if path.is_dir():
            raise FileInputError.unreadable(path, "it is a folder; name a single file")
        match format.layout:
            case "csv":
                from millrace.data.csv import CsvReader

                return CsvReader(path, format, csv)
            case "json":
                from millrace.data.jsonl import JsonReader

                return JsonReader(path, format)
            case "parquet":
                from millrace.data.parquet import ParquetReader

                return ParquetReader(path)
            case "arrow":
                from millrace.data.arrow import ArrowReader

                return ArrowReader(path)


class Files(Source):
    """Files with the same columns, read one after the other.

    Columns are matched by name. Numbers of different types become the type that holds both; other
    differences are errors.

    Parameters
    ----------
    files : sequence of (Path, dict of str)
        Each with the values of its folders' keys.
    csv : CsvOptions
    """

    def __init__(self, files: Sequence[tuple[Path, dict[str, str]]], csv: CsvOptions) -> None:
        self._readers = [reader_of(path, csv) for path, _ in files]
        self._keys = _typed_keys(files)
        own = self._common_schema()
        key_fields = [f for f in self._keys.schema if f.name not in own.names]
        self._key_names = [f.name for f in key_fields]
        self.schema = pa.schema([*own, *key_fields])
        self._now: int | None = None
        counts = [r.n_rows for r in self._readers]
        self.n_rows = None if None in counts else sum(counts)
        self.row_bytes = self._readers[0].row_bytes
        self.path = files[0][0] if len(files) == 1 else None
        self.name = str(files[0][0])
        if len(files) > 1:
            self.name = f"{len(files)} files ({files[0][0].name} ...)"

    def read(self, columns: Sequence[str], rows: int, start: int = 0) -> Iterator[pa.RecordBatch]:
        """The batches of all files; files before `start` that know their rows are not opened."""
        schema = pa.schema([self.schema.field(c) for c in columns])
        for i, reader in enumerate(self._readers):
            if reader.n_rows is not None and start >= reader.n_rows:
                start -= reader.n_rows
                continue
            self._now = i
            skip = start if reader.n_rows is not None else 0
            start -= skip
            with reading(reader.path):
                n_read = skip
                for found in self._read_file(i, columns, rows, skip):
                    batch = self._conformed(found, schema, reader, n_read)
                    n_read += batch.num_rows
                    if start < batch.num_rows:
                        yield batch.slice(start) if start else batch
                    start = max(start - batch.num_rows, 0)
        self._now = len(self._readers)

    def _read_file(
        self, i: int, columns: Sequence[str], rows: int, start: int
    ) -> Iterator[pa.RecordBatch]:
        reader = self._readers[i]
        own = [c for c in columns if c not in self._key_names]
        for batch in reader.read(own or reader.schema.names[:1], rows, start):
            if len(own) == len(columns):
                yield batch
                continue
            arrays = [
                _repeated(self._keys.column(c)[i], batch.num_rows)
                if c in self._key_names
                else batch.column(c)
                for c in columns
            ]
            yield pa.RecordBatch.from_arrays(arrays, list(columns))

    def _conformed(
        self, batch: pa.RecordBatch, schema: pa.Schema, reader: Any, n_read: int
    ) -> pa.RecordBatch:
        try:
            return conform(batch, schema)
        except pa.ArrowInvalid as error:
            for field in schema:
                row = _first_misfit(batch.column(field.name), field.type)
                if row is not None:
                    value = repr(batch.column(field.name)[row].as_py())
                    raise FileInputError.bad_cell(
                        reader.path, field.name, field.type, n_read + row, value
                    ) from error
            raise

    def fraction_read(self) -> float | None:
        """By the files' sizes."""
        if self._now is None:
            return None
        if len(self._readers) == 1:
            return self._readers[0].fraction_read()
        sizes = [r.size for r in self._readers]
        done = float(sum(sizes[: self._now]))
        if self._now < len(sizes):
            done += sizes[self._now] * (self._readers[self._now].fraction_read() or 0.0)
        return done / max(sum(sizes), 1)

    def fingerprint(self) -> Iterable[object]:
        """Name, size and time of change of every file."""
        for reader in self._readers:
            seen = os.stat(reader.path)
            yield str(reader.path), seen.st_size, seen.st_mtime_ns

    def push(self, where: Where) -> None:
        """Leave out files and row groups that cannot have a row of a condition."""
        from pyarrow import dataset
        from pyarrow.fs import LocalFileSystem

        condition = where.expression
        kept: list[int] = []
        for i, reader in enumerate(self._readers):
            given: Any = dataset.scalar(True)
            for name in self._key_names:
                value = self._keys.column(name)[i]
                if value.is_valid:
                    given = given & (dataset.field(name) == value)
            form = dataset.ParquetFileFormat()
            fragment = form.make_fragment(str(reader.path), LocalFileSystem(), given)
            one = dataset.FileSystemDataset([fragment], self.schema, form)
            if not list(one.get_fragments(filter=condition)):
                continue
            kept.append(i)
        self._readers = [copy(self._readers[i]) for i in kept]
        self._keys = self._keys.take(pa.array(kept, pa.int64()))
        for reader in self._readers:
            if hasattr(reader, "prune") and not set(where.columns) & set(self._key_names):
                reader.prune(condition)
        self.n_rows = None

    def _common_schema(self) -> pa.Schema:
        """The columns of the first file, with types that hold the values of all files."""
        first = self._readers[0]
        schema = plain_schema(first.schema)
        if len(self._readers) == 1:
            return schema
        types = dict(zip(schema.names, schema.types, strict=True))
        for reader in self._readers[1:]:
            other = plain_schema(reader.schema)
            if sorted(other.names) != sorted(types):
                missing = [n for n in types if n not in other.names]
                extra = [n for n in other.names if n not in types]
                raise FileInputError.other_columns(reader.path, missing, extra, first.path)
            for f in other:
                wide = common(types[f.name], f.type)
                if wide is None:
                    raise FileInputError.other_type(
                        reader.path, f.name, f.type, types[f.name], first.path
                    )
                types[f.name] = wide
        schema = pa.schema(list(types.items()))
        for reader in self._readers:
            if hasattr(reader, "retype"):
                reader.retype(schema)
        return schema


def _typed_keys(files: Sequence[tuple[Path, dict[str, str]]]) -> pa.RecordBatch:
    """The folders' keys, one row a file: integers where all values are, else texts."""
    names = list(dict.fromkeys(k for _, keys in files for k in keys))
    columns: list[pa.Array] = []
    for name in names:
        if absent := [path for path, keys in files if name not in keys]:
            why = f"it is in no folder {name}=..., but other files of the table are"
            raise FileInputError.unreadable(absent[0], why)
        texts = [unquote(keys[name]) for _, keys in files]
        values = pa.array([None if t == _NULL else t for t in texts], pa.string())
        try:
            columns.append(values.cast(pa.int64()))
        except pa.ArrowInvalid:
            columns.append(values)
    return pa.RecordBatch.from_arrays(columns, names)


def _repeated(value: pa.Scalar, n: int) -> pa.Array:
    return pa.repeat(value, n) if value.is_valid else pa.nulls(n, value.type)


def _first_misfit(column: pa.Array, kind: pa.DataType) -> int | None:
    """The first row whose value has no place in a type, by halving."""
    if _fits(column, kind):
        return None
    low, high = 0, len(column)
    while high - low > 1:
        middle = (low + high) // 2
        if _fits(column.slice(low, middle - low), kind):
            low = middle
        else:
            high = middle
    return low


def _fits(column: pa.Array, kind: pa.DataType) -> bool:
    try:
        column.cast(kind)
    except pa.ArrowInvalid:
        return False
    return True


def files_of(given: Iterable[Any], csv: CsvOptions) -> Files:
    """The table of several paths, folders or patterns."""
    return Files([file for one in given for file in found_files(one)], csv)
