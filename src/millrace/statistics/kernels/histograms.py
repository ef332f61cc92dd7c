"""From values to bins, and from binned rows to histograms.

A bin is a byte. Bin ``i`` of a column holds the values ``edges[i - 1] < x <= edges[i]``; missing values
have a bin of their own. Columns are feature-major: all bytes of a column lie side by side.
"""

# Kernels are not Python: Numba gives them their types.
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

MISSING = 255
"""The bin of missing values in forests."""

BINS = 256

_FEW = 512
"""Rows up to which the bins that occur are noted in a mask; above, all bins are looked at."""

_TILE = 256
"""Rows of a matrix that are binned column by column while they are in the cache."""


_njit: Any = njit
_intrinsic: Any = intrinsic

jit: Any = _njit(nogil=True, cache=True)

inner: Any = _njit(nogil=True, cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""Compiles what only other kernels call: without the wrapper that Python would need."""


@_intrinsic
def lowest_bit(typingctx: Any, word: Any) -> Any:
    """Position of the lowest bit that is set in a uint64, which must not be zero."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), codegen


@inner
def bin_of(value, edges):
    """How many of 255 ascending edges are less than `value` (which is not NaN)."""
    at = np.uint64(0)
    step = np.uint64(128)
    while step > np.uint64(0):
        at += step * np.uint64(edges[at + step - np.uint64(1)] < value)  # no branch to mispredict
        step >>= np.uint64(1)
    return at


@jit
def fill_bins(X, edges, missing, single, first, codes):
    """Write the bins of the rows of X into the columns of `codes`, from row `first` on.

    Parameters
    ----------
    X : float32 or float64 (n_samples, n_features)
    edges : float64 (n_features, 256)
        Ascending, filled up with +inf.
    missing : int
        The bin of NaN.
    single : bool
        Whether values are rounded to float32 first, as scikit-learn's trees do.
    codes : uint8 (n_features, n_rows)
    """
    n_samples, n_features = X.shape
    for start in range(0, n_samples, _TILE):
        stop = min(start + _TILE, n_samples)
        for j in range(n_features):
            own = edges[j]
            column = codes[j]
            for i in range(start, stop):
                value = np.float64(np.float32(X[i, j])) if single else np.float64(X[i, j])
                if value != value:
                    column[first + i] = missing
                else:
                    column[first + i] = bin_of(value, own)


@jit
def widen(X, codes, first, missing, low, high):
    """Widen ``low[j, b]`` and ``high[j, b]`` (float32) to the values of X in bin b of column j."""
    n_samples, n_features = X.shape
    for start in range(0, n_samples, _TILE):
        stop = min(start + _TILE, n_samples)
        for j in range(n_features):
            for i in range(start, stop):
                b = codes[j, first + i]
                if b != missing:
                    value = np.float32(X[i, j])
                    if value < low[j, b]:
                        low[j, b] = value
                    if value > high[j, b]:
                        high[j, b] = value


@inner
def _add(cell, at, classes, target, weight):
    """Add one row to the cell of its bin: class weights, or (w y, w); the number of rows last."""
    if classes > 0:
        cell[at + np.uint64(target)] += weight
        cell[at + np.uint64(classes)] += 1.0
    else:
        cell[at] += weight * target
        cell[at + np.uint64(1)] += weight
        cell[at + np.uint64(2)] += 1.0


@inner
def histogram(column, samples, y, w, start, end, classes, cells, bins, mask):
    """Add up the rows ``samples[start:end]`` by their bin, and list the bins that occur.

    Parameters
    ----------
    column : uint8 (n_rows,)
        The bins of one feature.
    samples : int32 or int64 (n_samples,)
        Row numbers; `y` (class codes, or float64) and `w` (weights) stand in the same order.
    classes : int
        Number of classes; 0 for regression.
    cells : float64, flat, zero on entry
        Of each bin: the weights of every class, or the sums of w y and w; then the number of rows.
    bins : uint8 (256,)
        Receives the bins that occur, ascending.
    mask : uint64 (4,)
        For use here.

    Returns
    -------
    int
        How many bins occur.
    """
    stride = np.uint64(classes + 1 if classes > 0 else 3)
    found = 0
    if end - start <= _FEW:
        mask[:] = 0
        for i in range(start, end):
            b = np.uint64(column[samples[i]])
            _add(cells, b * stride, classes, y[i], w[i])
            mask[b >> np.uint64(6)] |= np.uint64(1) << (b & np.uint64(63))
        for k in range(4):
            word = mask[k]
            while word != np.uint64(0):
                bins[found] = np.uint64(64 * k) + lowest_bit(word)
                found += 1
                word &= word - np.uint64(1)
    else:
        for i in range(start, end):
            b = np.uint64(column[samples[i]])
            _add(cells, b * stride, classes, y[i], w[i])
        for b in range(BINS):
            if cells[np.uint64(b) * stride + stride - np.uint64(1)] > 0.0:
                bins[found] = b
                found += 1
    return found
