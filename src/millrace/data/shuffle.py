"""Rows in another order, for solvers that learn from one row after the other."""

# pyarrow ships no types.
# pyright: reportUnknownParameterType=false

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from millrace.data.table import rebatch


def shuffled(
    batches: Iterable[pa.RecordBatch], seed: int, buffer_rows: int = 1 << 18
) -> Iterator[pa.RecordBatch]:
    """Permute the rows within windows of the table.

    Parameters
    ----------
    batches : iterable of pyarrow.RecordBatch
    seed : int
        Another seed, another order: pass the number of the epoch.
    buffer_rows : int
        Rows of one window; as many are held in memory, twice.

    Yields
    ------
    pyarrow.RecordBatch
        Of the size of the first batch; the last of a window may be smaller.

    Notes
    -----
    The order depends on `seed`, `buffer_rows` and the rows, not on how they were cut into batches. A
    row never leaves its window: rows that are sorted by class stay sorted beyond it.
    """
    rows = 0

    def noted() -> Iterator[pa.RecordBatch]:
        nonlocal rows
        for batch in batches:
            rows = rows or batch.num_rows
            yield batch

    for number, window in enumerate(rebatch(noted(), buffer_rows)):
        order = np.random.default_rng([seed, number]).permutation(window.num_rows)
        for first in range(0, window.num_rows, rows):
            yield window.take(pa.array(order[first : first + rows]))
