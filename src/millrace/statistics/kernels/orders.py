"""Counting values between splitters, and collecting those in chosen intervals.

Columns are taken one by one through a block of rows: the splitters of one column stay in the L1 cache,
and the steps of 512 binary searches go on side by side, without branches, in vectors. Splitters are
filled up to a power of two less one with NaN, which no value reaches. NaN cells are left out.

Limit: one gathered load a value and step.
"""

from __future__ import annotations

import numba
import numpy as np
from numba import types

_F4 = types.Array(types.float32, 2, "C", readonly=True)
_F8 = types.Array(types.float64, 2, "C", readonly=True)
_COUNTS = types.Array(types.int64, 2, "C")
_VALUES = types.Array(types.float64, 1, "C")
_PLACES = types.Array(types.int64, 1, "C")

_BLOCK = 512


@numba.njit(nogil=True, cache=True, inline="always")
def _search(X, splitters, j, start, n, values, places):
    """How many splitters of column j are at most each value of the rows from `start` on."""
    for i in range(n):
        values[i] = np.float64(X[start + i, j])
        places[i] = 0
    line = splitters[j]
    step = (len(line) + 1) // 2
    while step > 0:
        for i in range(n):
            at = places[i]
            places[i] = at + step if line[at + step - 1] <= values[i] else at
        step //= 2


@numba.njit([types.void(_F4, _F8, _COUNTS), types.void(_F8, _F8, _COUNTS)], nogil=True, cache=True)
def count(X, splitters, counts):
    """Add to counts[j, k] the values of column j with k splitters at or below them."""
    values, places = np.empty(_BLOCK), np.empty(_BLOCK, np.int64)
    for start in range(0, X.shape[0], _BLOCK):
        n = min(_BLOCK, X.shape[0] - start)
        for j in range(X.shape[1]):
            _search(X, splitters, j, start, n, values, places)
            for i in range(n):
                counts[j, places[i]] += 1 if values[i] == values[i] else 0


@numba.njit(
    [types.int64(x, _F8, types.int64, types.boolean, _VALUES) for x in (_F4, _F8)],
    nogil=True,
    cache=True,
)
def gather(X, bounds, j, fill, found):
    """Values of column j in the intervals [bounds[0], bounds[1]), [bounds[2], bounds[3]) ...

    Returns how many there are; without `fill` they are only counted.
    """
    values, places = np.empty(_BLOCK), np.empty(_BLOCK, np.int64)
    at = 0
    for start in range(0, X.shape[0], _BLOCK):
        n = min(_BLOCK, X.shape[0] - start)
        _search(X, bounds, j, start, n, values, places)
        for i in range(n):
            if places[i] % 2 == 1 and values[i] == values[i]:
                if fill:
                    found[at] = values[i]
                at += 1
    return at
