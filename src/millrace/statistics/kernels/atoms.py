"""Rows as numbers, marks for missing cells and codes of levels, and their products."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(nogil=True, cache=True)
def atom_rows(X, y, shift, marked, codes, out, by_level, pairs):  # type: ignore[no-untyped-def]
    """Write ``(x - shift or 0, is missing, y - shift, 1)`` of every row, and sum it by level.

    Parameters
    ----------
    X : float64 (n_rows, n_numbers)
        NaN is missing: zero in `out`.
    y : float64 (n_rows, n_targets)
    shift : float64 (n_numbers + n_targets,)
    marked : int64 (n_marked,)
        The columns of X that get a mark.
    codes : int64 (n_rows, n_words)
        The level of every column of words, counted over all columns.
    out : float64 (n_rows, n_numbers + n_marked + n_targets + 1)
    by_level : float64 (n_levels, n_numbers + n_marked + n_targets + 1)
        Added to: the sums of `out` over the rows of each level.
    pairs : float64 (n_levels, n_levels)
        Added to: the rows that have both levels, below the diagonal.
    """
    n_numbers = X.shape[1]
    first_target = n_numbers + marked.shape[0]
    width = out.shape[1]
    for row in range(X.shape[0]):
        for j in range(n_numbers):
            value = X[row, j]
            out[row, j] = 0.0 if np.isnan(value) else value - shift[j]
        for k in range(marked.shape[0]):
            out[row, n_numbers + k] = 1.0 if np.isnan(X[row, marked[k]]) else 0.0
        for j in range(y.shape[1]):
            out[row, first_target + j] = y[row, j] - shift[n_numbers + j]
        out[row, width - 1] = 1.0
        for a in range(codes.shape[1]):
            level = codes[row, a]
            for j in range(width):
                by_level[level, j] += out[row, j]
            for b in range(a):
                pairs[level, codes[row, b]] += 1.0
