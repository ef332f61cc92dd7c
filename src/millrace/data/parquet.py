"""Reading Parquet: only the column chunks that are asked for, a row group at a time."""

# pyarrow ships no types.
# pyright: reportUnknownParameterType=false

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from millrace.data.source import without_first

_BUFFER = 1 << 17
"""Bytes that are read at once from each column: of forty columns five megabytes."""


class ParquetReader:
    """A Parquet file.

    Attributes
    ----------
    path : Path
    schema : pyarrow.Schema
    n_rows : int
        Of the row groups that `prune` left.
    row_bytes : float
    size : int
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = path.stat().st_size
        self._n_read: int | None = None
        with pq.ParquetFile(path) as file:
            self.schema = file.schema_arrow
            meta = file.metadata
            groups = [meta.row_group(i) for i in range(meta.num_row_groups)]
            self._groups = [(i, g.num_rows) for i, g in enumerate(groups)]
            self.n_rows: int | None = meta.num_rows
            self.row_bytes: float | None = sum(g.total_byte_size for g in groups) / max(
                meta.num_rows, 1
            )

    def prune(self, condition: Any) -> None:
        """Leave out row groups of which the statistics say that no row meets a condition."""
        from pyarrow import dataset
        from pyarrow.fs import LocalFileSystem

        fragment = dataset.ParquetFileFormat().make_fragment(str(self.path), LocalFileSystem())
        left = {g.id for g in fragment.subset(condition, schema=self.schema).row_groups}
        self._groups = [(i, n) for i, n in self._groups if i in left]
        self.n_rows = sum(n for _, n in self._groups)

    def read(self, columns: Sequence[str], rows: int, start: int = 0) -> Iterator[pa.RecordBatch]:
        """Batches that do not cross row groups; whole groups before `start` are not read."""
        groups = list(self._groups)
        self._n_read = start
        while groups and start >= groups[0][1]:
            start -= groups.pop(0)[1]
        if groups:
            yield from without_first(self._read([i for i, _ in groups], columns, rows), start)

    def _read(
        self, groups: list[int], columns: Sequence[str], rows: int
    ) -> Iterator[pa.RecordBatch]:
        # Arrow's default is to fetch all row groups at once, for the sake of remote files.
        with pq.ParquetFile(self.path, pre_buffer=False, buffer_size=_BUFFER) as file:
            for batch in file.iter_batches(rows, row_groups=groups, columns=list(columns)):
                yield batch.select(list(columns))
                self._n_read = (self._n_read or 0) + batch.num_rows

    def fraction_read(self) -> float | None:
        """By rows."""
        return None if self._n_read is None else min(self._n_read / max(self.n_rows or 0, 1), 1.0)
