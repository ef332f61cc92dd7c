"""Sums over the rows of each class."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(nogil=True, cache=True)
def class_sums(X, codes, weight, seen, shift, sums, squares):  # type: ignore[no-untyped-def]
    """Add ``w (x - shift)`` and ``w (x - shift)**2`` to the row of each class.

    Parameters
    ----------
    X : float32 or float64 (n_rows, n_features)
    codes : int64 (n_rows,)
    weight : float64 (n_rows,) or (0,)
        Empty for weights of one.
    seen : bool (n_classes,)
        Which classes have a shift; the first row of a class becomes its shift.
    shift, sums, squares : float64 (n_classes, n_features)
    """
    n_features = X.shape[1]
    for row in range(X.shape[0]):
        k = codes[row]
        if not seen[k]:
            seen[k] = True
            for j in range(n_features):
                shift[k, j] = X[row, j]
        w = weight[row] if weight.shape[0] else 1.0
        for j in range(n_features):
            apart = np.float64(X[row, j]) - shift[k, j]
            scaled = w * apart
            sums[k, j] += scaled
            squares[k, j] += scaled * apart


@numba.njit(nogil=True, cache=True)
def category_sums(column, codes, weight, counts):  # type: ignore[no-untyped-def]
    """Add the weight of every row to ``counts[class, category]``.

    Parameters
    ----------
    column, codes : int64 (n_rows,)
    weight : float64 (n_rows,) or (0,)
    counts : float64 (n_classes, n_categories)
    """
    for row in range(column.shape[0]):
        counts[codes[row], column[row]] += weight[row] if weight.shape[0] else 1.0
