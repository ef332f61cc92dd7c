"""Column moments of one batch: counts, mean, sum of squared deviations, extremes.

Rows are taken in blocks that stay in the L2 cache. Each block is read twice, once for its means and once
for the deviations from them, and joined to the blocks before it by Chan's formula. A mean is kept as the
sum of two numbers, the second for what the first has no digits for: the difference of two means, of
which the formula takes the square, then costs no digits of the variance however large they are. NaN is
missing; the loops over columns have no branches and become vector instructions.

Limit: reading the rows once from memory.
"""

from __future__ import annotations

import numba
import numpy as np
from numba import types

_F4 = types.Array(types.float32, 2, "C", readonly=True)
_F8 = types.Array(types.float64, 2, "C", readonly=True)
_CELLS = types.Array(types.float64, 1, "C", readonly=True)
_OUT = types.Array(types.float64, 2, "C")

WEIGHT, MEAN, M2, LEAST, GREATEST, PRESENT, REST = range(7)
"""Rows of the result: sum of weights, mean, weighted squared deviations, extremes, present values, and
what is to be added to the mean."""


@numba.njit(nogil=True, cache=True, inline="always")
def _two_sum(a, b):
    """The rounded sum, and what rounding left of it (Knuth)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


@numba.njit(
    [types.void(_F4, _CELLS, types.int64, _OUT), types.void(_F8, _CELLS, types.int64, _OUT)],
    nogil=True,
    cache=True,
)
def dense(X, weight, block_rows, out):
    """Moments of a C-ordered matrix (n, p) into `out` (7, p); `weight` of no length means ones."""
    n, p = X.shape
    sums, counts, present = np.empty(p), np.empty(p), np.empty(p)
    deviations, squares = np.empty(p), np.empty(p)
    least, greatest = np.empty(p), np.empty(p)
    out[:] = 0.0
    out[LEAST] = np.inf
    out[GREATEST] = -np.inf
    weighted = len(weight) > 0
    for start in range(0, n, block_rows):
        stop = min(start + block_rows, n)
        sums[:] = 0.0
        counts[:] = 0.0
        present[:] = 0.0
        least[:] = np.inf
        greatest[:] = -np.inf
        for i in range(start, stop):
            w = weight[i] if weighted else 1.0
            for j in range(p):
                x = np.float64(X[i, j])
                here = x == x
                counts[j] += w if here else 0.0
                present[j] += 1.0 if here else 0.0
                sums[j] += w * x if here else 0.0
                least[j] = x if x < least[j] else least[j]
                greatest[j] = x if x > greatest[j] else greatest[j]
        for j in range(p):
            sums[j] = sums[j] / counts[j] if counts[j] > 0.0 else 0.0
            deviations[j] = 0.0
            squares[j] = 0.0
        for i in range(start, stop):
            w = weight[i] if weighted else 1.0
            for j in range(p):
                x = np.float64(X[i, j])
                d = x - sums[j] if x == x else 0.0
                deviations[j] += w * d
                squares[j] += w * d * d
        for j in range(p):
            if counts[j] > 0.0:
                # What rounding left of the mean, and its part of the squares.
                off = deviations[j] / counts[j]
                square = squares[j] - deviations[j] * off
                total = out[WEIGHT, j] + counts[j]
                delta = (sums[j] - out[MEAN, j]) + (off - out[REST, j])
                out[M2, j] += square + delta * delta * (out[WEIGHT, j] / total) * counts[j]
                if out[WEIGHT, j] == 0.0:
                    out[MEAN, j], out[REST, j] = sums[j], off
                else:
                    move = out[REST, j] + delta * (counts[j] / total)
                    out[MEAN, j], out[REST, j] = _two_sum(out[MEAN, j], move)
                out[WEIGHT, j] = total
            out[PRESENT, j] += present[j]
            out[LEAST, j] = min(out[LEAST, j], least[j])
            out[GREATEST, j] = max(out[GREATEST, j], greatest[j])


_DATA4 = types.Array(types.float32, 1, "C", readonly=True)
_DATA8 = types.Array(types.float64, 1, "C", readonly=True)
_I4 = types.Array(types.int32, 1, "C", readonly=True)
_I8 = types.Array(types.int64, 1, "C", readonly=True)


@numba.njit(
    [
        types.void(data, index, index, _CELLS, _OUT)
        for data in (_DATA4, _DATA8)
        for index in (_I4, _I8)
    ],
    nogil=True,
    cache=True,
)
def sparse(data, indices, indptr, weight, out):
    """Moments of CSR rows into `out` (7, p): cells that are not stored are zeros."""
    p = out.shape[1]
    n = len(indptr) - 1
    weighted = len(weight) > 0
    stored, missing_weight = np.zeros(p), np.zeros(p)
    present, missing, deviations = np.zeros(p), np.zeros(p), np.zeros(p)
    total = 0.0
    out[:] = 0.0
    out[LEAST] = np.inf
    out[GREATEST] = -np.inf
    for i in range(n):
        w = weight[i] if weighted else 1.0
        total += w
        for k in range(indptr[i], indptr[i + 1]):
            j, x = indices[k], np.float64(data[k])
            if x == x:
                stored[j] += w
                present[j] += 1.0
                out[MEAN, j] += w * x
                out[LEAST, j] = min(out[LEAST, j], x)
                out[GREATEST, j] = max(out[GREATEST, j], x)
            else:
                missing[j] += 1.0
                missing_weight[j] += w
    for j in range(p):
        count = total - missing_weight[j]
        out[WEIGHT, j] = count
        out[PRESENT, j] = n - missing[j]
        out[MEAN, j] = out[MEAN, j] / count if count > 0.0 else 0.0
        if present[j] + missing[j] < n:
            out[LEAST, j] = min(out[LEAST, j], 0.0)
            out[GREATEST, j] = max(out[GREATEST, j], 0.0)
            # The squares of the zeros that are not stored.
            out[M2, j] = max(count - stored[j], 0.0) * out[MEAN, j] * out[MEAN, j]
    for j in range(p):
        # Deviations of the zeros that are not stored.
        deviations[j] = -max(out[WEIGHT, j] - stored[j], 0.0) * out[MEAN, j]
    for i in range(n):
        w = weight[i] if weighted else 1.0
        for k in range(indptr[i], indptr[i + 1]):
            j, x = indices[k], np.float64(data[k])
            if x == x:
                d = x - out[MEAN, j]
                deviations[j] += w * d
                out[M2, j] += w * d * d
    for j in range(p):
        if out[WEIGHT, j] > 0.0:
            out[REST, j] = deviations[j] / out[WEIGHT, j]
            out[M2, j] = max(out[M2, j] - deviations[j] * out[REST, j], 0.0)
