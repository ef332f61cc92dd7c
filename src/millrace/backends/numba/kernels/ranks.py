"""Raw columns to planes: each value becomes its rank among the thresholds of its column.

``x <= t[j]`` holds exactly when fewer than ``j + 1`` thresholds are smaller than x, so after this
one search per value all splits are comparisons of small integers. Missing values get the rank that
sends them where they belong.

Limit: one search costs about log2(thresholds) dependent L1 loads; 32 are in flight.
"""

from __future__ import annotations

import numba
import numpy as np

from millrace.backends.numba.kernels.vectors import SEARCH_LANES, count_among, count_below, load_at

SHORT_BYTES = 256
"""Tables of up to 64 float32 or 32 float64 are compared with whole: faster than searching."""

TINY = float(np.float32(1e-35))
"""What counts as zero where zero is missing: LightGBM's kZeroThreshold."""


@numba.njit(nogil=True, cache=True)
def rank_columns(
    address,
    stride,
    table_at,
    half,
    size,
    nan_rank,
    zero_missing,
    table,
    which,
    n_rows,
    planes,
    row_stride,
):  # type: ignore[no-untyped-def]
    """Fill the planes ``which`` from columns given by memory address.

    Parameters
    ----------
    address, stride : int64 (n_planes,)
        Where each plane's source column starts, and the bytes from row to row.
    table_at, half, size, nan_rank : int64 (n_planes,); zero_missing : bool (n_planes,)
        See `QuantizedForest`.
    table : float32 or float64
        Thresholds, in the dtype of the columns.
    which : int64
        The planes to fill.
    n_rows : int
    planes : uint8 or uint16, flat
    row_stride : int
        Elements from one plane to the next.
    """
    values = np.empty(SEARCH_LANES, table.dtype)
    ranks = np.empty(SEARCH_LANES, planes.dtype)
    like = table[0]
    short = SHORT_BYTES // table.itemsize
    for k in range(len(which)):
        plane = which[k]
        where, step = address[plane], stride[plane]
        for row in range(0, n_rows, SEARCH_LANES):
            m = min(SEARCH_LANES, n_rows - row)
            for i in range(m):
                values[i] = load_at(where + (row + i) * step, like)
            if zero_missing[plane]:
                for i in range(m):
                    if abs(values[i]) <= TINY:
                        values[i] = np.nan
            full = m == SEARCH_LANES
            out, out_at = (planes, plane * row_stride + row) if full else (ranks, 0)
            if size[plane] <= short:
                count_among(
                    table, table_at[plane], size[plane], values, out, out_at, nan_rank[plane]
                )
            else:
                count_below(
                    table, table_at[plane], half[plane], values, out, out_at, nan_rank[plane]
                )
            if not full:
                for i in range(m):
                    planes[plane * row_stride + row + i] = ranks[i]


@numba.njit(nogil=True, cache=True)
def member_planes(codes, lut, source, which, n_rows, planes, row_stride):  # type: ignore[no-untyped-def]
    """Fill category planes: 1 where the code's category sends the row right.

    Parameters
    ----------
    codes : int32 (n_sources, n_rows)
    lut : uint8 (n_category_planes, width)
    source : int64 (n_category_planes,)
        Row of `codes`.
    which : int64 (n_category_planes,)
        The plane that each fills.
    """
    for k in range(len(which)):
        out = which[k] * row_stride
        row_codes = codes[source[k]]
        table = lut[k]
        for i in range(n_rows):
            planes[out + i] = table[row_codes[i]]


@numba.njit(nogil=True, cache=True, inline="always")
def category_code(value, members, rule):  # type: ignore[no-untyped-def]
    """The position of a number (float64) in ascending `members`; see `number_codes`."""
    other = len(members)
    if rule == 3 and np.isnan(value):
        value = 0.0
    if (rule != 0 and np.isnan(value)) or (rule == 2 and abs(value) <= TINY):
        return other + 1
    if np.isnan(value) or value <= -1.0 or value >= 9.2e18:
        return other
    sought = np.int64(value)
    low, high = 0, other
    while low < high:
        middle = (low + high) >> 1
        if members[middle] < sought:
            low = middle + 1
        else:
            high = middle
    return low if low < other and members[low] == sought else other


@numba.njit(nogil=True, cache=True)
def number_codes(address, stride, n_rows, like, members, rule, out):  # type: ignore[no-untyped-def]
    """Numeric categories to positions in `members` (see `Forest.category` for the rules).

    ``len(members)`` stands for any other value, ``len(members) + 1`` for a missing one.
    """
    for i in range(n_rows):
        value = np.float64(load_at(address + i * stride, like))
        out[i] = category_code(value, members, rule)
