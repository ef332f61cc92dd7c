"""Reading Arrow IPC files (Feather version 2 is one) and streams.

They are read, not mapped: mapped pages count as memory of the process.
"""

# pyarrow ships no types.
# pyright: reportUnknownParameterType=false

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from millrace.data.source import without_first

_FILE_MAGIC = b"ARROW1"


class ArrowReader:
    """An Arrow IPC file, or an IPC stream in a file.

    Attributes
    ----------
    path : Path
    schema : pyarrow.Schema
    n_rows : int, optional
        None for a stream.
    size : int
    """

    row_bytes: float | None = None

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = path.stat().st_size
        with path.open("rb") as file:
            self._is_stream = file.read(len(_FILE_MAGIC)) != _FILE_MAGIC
        self._n_read: int | None = None
        with self._open(None) as reader:
            self.schema = reader.schema
            self.n_rows: int | None = None if self._is_stream else reader.count_rows()

    def read(self, columns: Sequence[str], rows: int, start: int = 0) -> Iterator[pa.RecordBatch]:
        """The batches of the file; other columns are not read, nor are batches before `start`."""
        self._n_read = start
        first = 0
        if start and not self._is_stream:
            first, start = self._skipped(start)
        with self._open([self.schema.get_field_index(c) for c in columns]) as reader:
            batches: Iterator[pa.RecordBatch] = (
                reader
                if self._is_stream
                else (reader.get_batch(i) for i in range(first, reader.num_record_batches))
            )
            for batch in without_first(batches, start):
                yield batch.select(list(columns))
                self._n_read += batch.num_rows

    def fraction_read(self) -> float | None:
        """By rows; None for a stream."""
        if self._n_read is None or self.n_rows is None:
            return None
        return self._n_read / max(self.n_rows, 1)

    def _skipped(self, start: int) -> tuple[int, int]:
        """The batch that holds the row `start`, and how many of its rows come before."""
        with self._open([0]) as reader:
            for i in range(reader.num_record_batches):
                size = reader.get_batch(i).num_rows
                if start < size:
                    return i, start
                start -= size
            return reader.num_record_batches, 0

    @contextmanager
    def _open(self, fields: list[int] | None) -> Generator[pa.RecordBatchReader]:
        options = pa.ipc.IpcReadOptions(included_fields=fields)
        opening = pa.ipc.open_stream if self._is_stream else pa.ipc.open_file
        with pa.OSFile(str(self.path)) as source, opening(source, options=options) as reader:
            yield reader
