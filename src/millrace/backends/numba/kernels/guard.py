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


CHUNK = 1024
"""Cells that are looked at between two looks at the outcome."""


@numba.njit(nogil=True, cache=True)
def all_below(bits, rest, least):  # type: ignore[no-untyped-def]
    """Whether the magnitudes of floats, given by their bits, are all below `least`.

    The magnitudes of floats stand in the order of their bits: below those of infinity all are finite.

    Parameters
    ----------
    bits : int64 or int32 (n_cells,)
    rest : the same dtype
        All bits but the sign.
    least : the same dtype
    """
    for first in range(0, len(bits), CHUNK):
        part = bits[first : first + CHUNK]
        largest = rest & 0
        for i in range(len(part)):
            largest = max(largest, part[i] & rest)
        if largest >= least:
            return False
    return True
