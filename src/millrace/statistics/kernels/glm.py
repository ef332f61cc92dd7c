"""Weighted Gram of sparse rows."""

# Kernels are not Python: Numba gives them their types.
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false

from __future__ import annotations

from typing import Any

from numba import njit

jit: Any = njit(nogil=True, cache=True)


@jit
def add_sparse_gram(indptr, indices, data, weight, constant, out):
    """Add ``A.T @ diag(weight) @ A`` to the upper triangle of `out`; A is CSR and a constant column.

    The constant column stands last where `out` is one wider than the matrix.

    Parameters
    ----------
    indptr, indices, data : arrays of a CSR matrix (n_samples, n_features)
    weight : float64 of (n_samples,)
    constant : float
        Value of the constant column.
    out : float64 of (n_features, n_features) or one more either way
    """
    last = out.shape[0] - 1
    for i in range(indptr.shape[0] - 1):
        w = weight[i]
        if w == 0.0:
            continue
        stop = indptr[i + 1]
        for a in range(indptr[i], stop):
            row = indices[a]
            value = w * data[a]
            for b in range(a, stop):
                column = indices[b]
                if row <= column:
                    out[row, column] += value * data[b]
                else:
                    out[column, row] += value * data[b]
            if constant != 0.0:
                out[row, last] += value * constant
        if constant != 0.0:
            out[last, last] += w * constant * constant
