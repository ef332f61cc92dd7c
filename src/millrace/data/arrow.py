"""Reading Arrow IPC files (Feather version 2 is one) and streams, mapped into memory."""

# pyarrow ships no types.
# pyright: reportUnknownParameterType=false

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

_FILE_MAGIC = b"ARROW1"


class ArrowReader:
    """An Arrow IPC file, or an IPC stream in a file."""

    n_rows: int | None

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as file:
            self._is_stream = file.read(len(_FILE_MAGIC)) != _FILE_MAGIC
        self._n_read: int | None = None
        with self._open(None) as reader:
            self.schema = reader.schema
            self.n_rows = None if self._is_stream else reader.count_rows()

    def read(self, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        """The batches of the file; buffers of other columns are not decompressed."""
        self._n_read = 0
        with self._open([self.schema.get_field_index(c) for c in columns]) as reader:
            n_batches = None if self._is_stream else reader.num_record_batches
            for batch in reader if n_batches is None else map(reader.get_batch, range(n_batches)):
                self._n_read += batch.num_rows
                yield batch.select(list(columns))

    def fraction_read(self) -> float | None:
        """By rows; None for a stream."""
        if self._n_read is None or self.n_rows is None:
            return None
        return self._n_read / max(self.n_rows, 1)

    @contextmanager
    def _open(self, fields: list[int] | None) -> Generator[pa.RecordBatchReader]:
        options = pa.ipc.IpcReadOptions(included_fields=fields)
        source = pa.memory_map(str(self._path))
        opening = pa.ipc.open_stream if self._is_stream else pa.ipc.open_file
        with source, opening(source, options=options) as reader:
            yield reader
