"""Does a matrix hold only values that the source accepts? One pass, no temporary arrays."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(nogil=True, cache=True)
def all_pass(matrix, positions, low, high, allow_nan):  # type: ignore[no-untyped-def]
    """Whether ``low <= x <= high`` in all columns at `positions`; NaN passes if `allow_nan`."""
    for row in range(matrix.shape[0]):
        refused = 0
        for k in range(len(positions)):
            value = matrix[row, positions[k]]
            outside = not (low[k] <= value <= high[k])
            refused += outside and not (allow_nan and np.isnan(value))
        if refused:
            return False
    return True
