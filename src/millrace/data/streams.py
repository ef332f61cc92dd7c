"""Sources that other libraries compute: Arrow streams and datasets, polars lazy frames, DuckDB."""

# pyarrow ships no types, and polars and DuckDB are optional.
# pyright: reportUnknownParameterType=false, reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import pyarrow as pa

from millrace.data.source import Source, conform, one_line, plain_schema, without_first
from millrace.data.where import Where
from millrace.errors import FileInputError

_AHEAD = 4
"""Batches that a dataset may read ahead."""

_REPLAY = 16 << 20
"""Bytes of a stream that are kept, so that looking at its first rows does not use it up."""


class Stream(Source):
    """A stream that can be read once: a RecordBatchReader, or what exports an Arrow stream.

    The first megabytes can be read again and again. Once a read has gone further, a second read asks
    for a new stream, and where there is none it raises.
    """

    def __init__(self, source: Any) -> None:
        self._source = source
        self._reader = _reader(source)
        self.schema = plain_schema(self._reader.schema)
        kind = type(source)
        self.name = f"a {kind.__module__.split('.')[0]} {kind.__name__}"
        self._kept: list[pa.RecordBatch] = []
        self._size = 0
        self._used_up = False

    def read(self, columns: Sequence[str], rows: int, start: int = 0) -> Iterator[pa.RecordBatch]:
        """The kept batches, then the others."""
        schema = pa.schema([self.schema.field(c) for c in columns])
        if self._used_up:
            self._renew()
        return without_first(self._read(schema), start)

    def _read(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        at = 0
        while True:
            if at < len(self._kept):
                batch = self._kept[at]
            else:
                if self._used_up:  # by another read that began at the same time
                    raise FileInputError.one_pass(self.name)
                try:
                    batch = self._reader.read_next_batch()
                except StopIteration:
                    return
                self._keep(batch)
            at += 1
            yield conform(batch.select(schema.names), schema)
            if self._used_up and at > len(self._kept):
                yield from self._others(schema)
                return

    def _others(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        for batch in self._reader:
            yield conform(batch.select(schema.names), schema)

    def _keep(self, batch: pa.RecordBatch) -> None:
        self._size += batch.nbytes
        if self._size <= _REPLAY:
            self._kept.append(batch)
        else:
            self._kept, self._used_up = [], True

    def _renew(self) -> None:
        if isinstance(self._source, pa.RecordBatchReader):
            raise FileInputError.one_pass(self.name)
        try:
            reader = _reader(self._source)
            first = reader.read_next_batch()
        except (StopIteration, pa.ArrowException, RuntimeError, ValueError) as error:
            raise FileInputError.one_pass(self.name) from error
        self._reader = pa.RecordBatchReader.from_batches(reader.schema, _chained(first, reader))
        self._kept, self._size, self._used_up = [], 0, False

    def fingerprint(self) -> Iterable[object]:
        """The kind of the stream only: its rows cannot be looked at beforehand."""
        yield self.name


def _reader(source: Any) -> pa.RecordBatchReader:
    if isinstance(source, pa.RecordBatchReader):
        return source
    try:
        return pa.RecordBatchReader.from_stream(source)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise FileInputError.not_a_table(f"a {type(source).__name__}", str(error)) from error


def _chained(first: pa.RecordBatch, rest: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield first
    yield from rest


@contextmanager
def _told(name: str, module: str, error: str) -> Generator[None]:
    """Tell an error of another library as `FileInputError`."""
    try:
        yield
    except getattr(import_module(module), error) as raised:
        raise FileInputError.unreadable(name, one_line(raised)) from raised


class Dataset(Source):
    """A pyarrow Dataset; `where` goes down to its files."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        self._filter: Any = None
        self.schema = plain_schema(dataset.schema)
        self.name = f"a pyarrow {type(dataset).__name__}"
        kind = getattr(getattr(dataset, "format", None), "default_extname", None)
        if kind in ("parquet", "arrow", "ipc", "feather"):
            self.n_rows = dataset.count_rows()

    def read(self, columns: Sequence[str], rows: int, start: int = 0) -> Iterator[pa.RecordBatch]:
        """In the order of the dataset; files before `start` are read and dropped."""
        schema = pa.schema([self.schema.field(c) for c in columns])
        scanner = self._dataset.scanner(
            columns=list(columns),
            filter=self._filter,
            batch_size=rows,
            batch_readahead=_AHEAD,
            fragment_readahead=1,
        )
        for batch in without_first(scanner.to_batches(), start):
            yield conform(batch, schema)

    def push(self, where: Where) -> None:
        """Let the dataset leave out files and row groups."""
        self._filter = where.expression

    def fingerprint(self) -> Iterable[object]:
        """The dataset's files, where it has some."""
        yield from getattr(self._dataset, "files", [self.name])


class LazyFrame(Source):
    """A polars LazyFrame, run anew for every read by the streaming engine."""

    def __init__(self, frame: Any) -> None:
        self._frame = frame
        empty = frame.collect_schema().to_frame()
        self.schema = plain_schema(empty.to_arrow().schema)
        self.name = "a polars LazyFrame"

    def read(self, columns: Sequence[str], rows: int, start: int = 0) -> Iterator[pa.RecordBatch]:
        """In the order of the query; rows before `start` are read and dropped."""
        schema = pa.schema([self.schema.field(c) for c in columns])
        frames = self._frame.select(list(columns)).collect_batches(
            chunk_size=rows, maintain_order=True
        )
        batches = (b for f in frames for b in f.to_arrow().to_batches())
        with _told(self.name, "polars.exceptions", "PolarsError"):
            for batch in without_first(batches, start):
                yield conform(batch, schema)

    def push(self, where: Where) -> None:
        """Let polars filter, which may pass the condition on to files."""
        if (condition := where.polars()) is not None:
            self._frame = self._frame.filter(condition)

    def fingerprint(self) -> Iterable[object]:
        """The query."""
        yield self._frame.explain(optimized=False)


class DuckDB(Source):
    """A DuckDB relation, or the answer of a query, computed anew for every read."""

    def __init__(self, relation: Any, text: str) -> None:
        self._relation = relation
        with relation.limit(0).to_arrow_reader() as reader:
            self.schema = plain_schema(reader.schema)
        self._text = text
        self.name = "a DuckDB relation"

    def read(self, columns: Sequence[str], rows: int, start: int = 0) -> Iterator[pa.RecordBatch]:
        """In the order of the relation; rows before `start` are computed and dropped."""
        schema = pa.schema([self.schema.field(c) for c in columns])
        names = ", ".join('"' + c.replace('"', '""') + '"' for c in columns)
        with (
            _told(self.name, "duckdb", "Error"),
            self._relation.project(names).to_arrow_reader(rows) as reader,
        ):
            for batch in without_first(reader, start):
                yield conform(batch, schema)

    def push(self, where: Where) -> None:
        """Let DuckDB filter, which may pass the condition on to files."""
        if (condition := where.duckdb()) is not None:
            self._relation = self._relation.filter(condition)

    def fingerprint(self) -> Iterable[object]:
        """The query."""
        yield self._text
