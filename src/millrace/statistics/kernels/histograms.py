"""From values to bins, and from binned rows to histograms.

A bin is a byte. Bin ``i`` of a column holds the values ``edges[i - 1] < x <= edges[i]``; missing values
have a bin of their own. Columns are feature-major: all bytes of a column lie side by side.

The rows of a tree are words of 64 bits (see `histogram`). Where their weights are whole numbers, a
histogram is of whole numbers too, one addition a row.
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

ROW_BITS = 40
"""Bits of the row number in a record; see `histogram`."""

ROW = np.uint64((1 << ROW_BITS) - 1)

_TO_CLASS, _TO_WEIGHT = np.uint64(ROW_BITS), np.uint64(48)
_CLASS = np.uint64(255)
_HALF = np.uint64(32)
_LOW_HALF = np.uint64((1 << 32) - 1)

_FEW = 128
"""Rows up to which the bins that occur are noted in a mask; above, all bins are looked at."""

_TILE = 256
"""Rows of a matrix that are binned column by column while they are in the cache."""


_njit: Any = njit
_intrinsic: Any = intrinsic

jit: Any = _njit(nogil=True, cache=True, error_model="numpy")

inner: Any = _njit(
    nogil=True,
    cache=True,
    error_model="numpy",
    no_cpython_wrapper=True,
    no_cfunc_wrapper=True,
    _nrt=False,
)
"""Compiles what only other kernels call: as `without_counting`, without the wrapper for Python too."""


within: Any = _njit(
    nogil=True,
    cache=True,
    error_model="numpy",
    no_cpython_wrapper=True,
    no_cfunc_wrapper=True,
    forceinline=True,
    _nrt=False,
)
"""As `inner`, into the body of its caller: a call with a `Work` and a `Held` passes eighty words."""


without_counting: Any = _njit(nogil=True, cache=True, error_model="numpy", _nrt=False)
"""As `jit`, of kernels that make no arrays: without the counting of references."""


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


@without_counting
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


@without_counting
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
def class_of(record, counted):
    """The class of a record."""
    at = record >> _TO_CLASS
    return at & _CLASS if counted else at


@inner
def weight_of(record):
    """The weight of a record that is counted."""
    return record >> _TO_WEIGHT


@inner
def halves(cell):
    """Weight and number of rows of a cell that is counted."""
    return np.float64(cell & _LOW_HALF), np.float64(cell >> _HALF)


@inner
def histogram(column, held, start, end, rule, work):
    """Add up the rows ``start:end`` by their bin, and list the bins that occur.

    Parameters
    ----------
    column : uint8 (n_rows,)
        The bins of one feature.
    held : Held
        A record has the row number in its lowest 40 bits; above them the class. If rows are counted,
        the class has 8 bits, and the weight the highest 16.
    rule : Rule
    work : Work
        ``counts`` or ``sums`` receive the histogram, and must be zero on entry. If rows are counted, a
        cell is a bin and a class: the number of rows in the upper half, their weight in the lower one.
        Else a bin has the weights of every class, or the sums of w y and w; then the number of rows.

    Returns
    -------
    int
        How many bins occur; they stand in ``work.pad.bins``, ascending.
    """
    records, real, counts, sums = held.records, held.real, work.counts, work.sums
    classes = np.uint64(rule.n_classes)
    if rule.counted:
        for i in range(np.uint64(start), np.uint64(end)):
            r = records[i]
            at = np.uint64(column[r & ROW]) * classes + ((r >> _TO_CLASS) & _CLASS)
            counts[at] += (np.uint64(1) << _HALF) + (r >> _TO_WEIGHT)
    elif rule.n_classes > 0:
        for i in range(np.uint64(start), np.uint64(end)):
            r = records[i]
            at = np.uint64(column[r & ROW]) * (classes + np.uint64(1))
            sums[at + (r >> _TO_CLASS)] += real[i, 0]
            sums[at + classes] += 1.0
    else:
        for i in range(np.uint64(start), np.uint64(end)):
            at = np.uint64(column[records[i] & ROW]) * np.uint64(3)
            sums[at] += real[i, 0] * real[i, 1]
            sums[at + np.uint64(1)] += real[i, 0]
            sums[at + np.uint64(2)] += 1.0
    if end - start <= _FEW:
        return _bins_of_rows(column, records, start, end, work)
    return _bins_of_cells(rule, work)


@inner
def _bins_of_rows(column, records, start, end, work):
    mask, bins, found = work.pad.mask, work.pad.bins, 0
    for k in range(4):
        mask[k] = 0
    for i in range(np.uint64(start), np.uint64(end)):
        b = np.uint64(column[records[i] & ROW])
        mask[b >> np.uint64(6)] |= np.uint64(1) << (b & np.uint64(63))
    for k in range(4):
        word = mask[k]
        while word != np.uint64(0):
            bins[found] = np.uint64(64 * k) + lowest_bit(word)
            found += 1
            word &= word - np.uint64(1)
    return found


@inner
def _bins_of_cells(rule, work):
    counts, sums, bins, found = work.counts, work.sums, work.pad.bins, 0
    classes = np.uint64(rule.n_classes)
    for b in range(np.uint64(BINS)):
        if rule.counted:
            any_row = np.uint64(0)
            for c in range(classes):
                any_row |= counts[b * classes + c]
            occurs = any_row != np.uint64(0)
        elif rule.n_classes > 0:
            occurs = sums[b * (classes + np.uint64(1)) + classes] > 0.0
        else:
            occurs = sums[b * np.uint64(3) + np.uint64(2)] > 0.0
        bins[found] = b
        found += np.int64(occurs)
    return found


@inner
def clear(rule, work, n_bins):
    """Make the cells of the bins that occur zero again."""
    classes = np.uint64(rule.n_classes)
    stride = classes + np.uint64(1) if rule.n_classes > 0 else np.uint64(3)
    for k in range(n_bins):
        b = np.uint64(work.pad.bins[k])
        if rule.counted:
            for c in range(classes):
                work.counts[b * classes + c] = np.uint64(0)
        else:
            for c in range(stride):
                work.sums[b * stride + c] = 0.0
