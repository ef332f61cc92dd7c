"""What goes into a Gram matrix: shifted rows as float64, and pairs of stored cells."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(nogil=True, cache=True)
def shifted_rows(X, y, shift, root, out):  # type: ignore[no-untyped-def]
    """Write ``root * (x - shift, y - shift, 1)`` of every row to `out`, in one pass.

    Parameters
    ----------
    X : float32 or float64 (n_rows, n_features)
    y : float64 (n_rows, n_targets)
    shift : float64 (n_features + n_targets,)
    root : float64 (n_rows,) or (0,)
        Empty for ones.
    out : float64 (n_rows, n_features + n_targets + 1)
    """
    n_features = X.shape[1]
    n_targets = y.shape[1]
    for row in range(X.shape[0]):
        for j in range(n_features):
            out[row, j] = np.float64(X[row, j]) - shift[j]
        for j in range(n_targets):
            out[row, n_features + j] = y[row, j] - shift[n_features + j]
        out[row, n_features + n_targets] = 1.0
        if root.shape[0]:
            for j in range(n_features + n_targets + 1):
                out[row, j] *= root[row]


@numba.njit(nogil=True, cache=True)
def csr_pairs(data, indices, indptr, first, last, shift, shifted, extra, weight, out):  # type: ignore[no-untyped-def]
    """Add ``w * z z'`` of every row to the upper triangle of `out`, z = (x - shift, extra).

    Parameters
    ----------
    data, indices, indptr
        A CSR matrix with one cell a column in each row.
    first, last : int
        The rows.
    shift : float64 (n_features,)
        Zero but for the columns that are mostly stored.
    shifted : int64 (n_shifted,)
        The columns whose shift is not zero: a cell that is not stored counts there as ``-shift``.
    extra : float64 (n_rows, n_extra)
        Dense columns to the right of x: the targets and a one.
    weight : float64 (n_rows,) or (0,)
        Empty for weights of one.
    out : float64 (n_features + n_extra, n_features + n_extra)
    """
    n_features = shift.shape[0]
    n_extra = extra.shape[1]
    stored = np.full(n_features, -1, np.int64)
    at = np.empty(n_features + n_extra, np.int64)
    value = np.empty(n_features + n_extra, np.float64)
    for row in range(first, last):
        n = 0
        for k in range(indptr[row], indptr[row + 1]):
            column = indices[k]
            stored[column] = row
            at[n] = column
            value[n] = np.float64(data[k]) - shift[column]
            n += 1
        for column in shifted:
            if stored[column] != row:
                at[n] = column
                value[n] = -shift[column]
                n += 1
        for k in range(n_extra):
            at[n] = n_features + k
            value[n] = extra[row, k]
            n += 1
        w = weight[row] if weight.shape[0] else 1.0
        for a in range(n):
            scaled = w * value[a]
            for b in range(n):
                if at[a] <= at[b]:
                    out[at[a], at[b]] += scaled * value[b]
