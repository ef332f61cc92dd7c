"""What stands beside the cells of a CSR matrix: numbers of their columns, or of their rows.

NumPy's `take` would write all indices once more, as int64, before it begins.
"""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(nogil=True, cache=True)
def of_columns(row, indices):  # type: ignore[no-untyped-def]
    """``row[indices]``: the number of each cell's column, (n_cells,) of the dtype of `row`."""
    out = np.empty(len(indices), row.dtype)
    for i in range(len(indices)):
        out[i] = row[indices[i]]
    return out


@numba.njit(nogil=True, cache=True)
def of_rows(column, indptr):  # type: ignore[no-untyped-def]
    """``numpy.repeat(column, numpy.diff(indptr))``: the number of each cell's row."""
    out = np.empty(indptr[-1] - indptr[0], column.dtype)
    at = 0
    for i in range(len(column)):
        for _ in range(indptr[i + 1] - indptr[i]):
            out[at] = column[i]
            at += 1
    return out
