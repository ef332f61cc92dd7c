"""Reading Parquet: only the column chunks that are asked for, a row group at a time."""

# pyarrow ships no types.
# pyright: reportUnknownParameterType=false

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

_BUFFER = 1 << 20
"""Bytes that are read at once from each column."""


class ParquetReader:
    """A Parquet file."""

    n_rows: int | None

    def __init__(self, path: Path) -> None:
        self._path = path
        self._n_read: int | None = None
        with pq.ParquetFile(path) as file:
            self.schema = file.schema_arrow
            self.n_rows = file.metadata.num_rows

    def read(self, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        """Batches that do not cross row groups."""
        self._n_read = 0
        # Arrow's default is to fetch all row groups at once, for the sake of remote files.
        with pq.ParquetFile(self._path, pre_buffer=False, buffer_size=_BUFFER) as file:
            for batch in file.iter_batches(batch_size=rows, columns=list(columns)):
                self._n_read += batch.num_rows
                yield batch.select(list(columns))

    def fraction_read(self) -> float | None:
        """By rows."""
        return None if self._n_read is None else self._n_read / max(self.n_rows or 0, 1)
