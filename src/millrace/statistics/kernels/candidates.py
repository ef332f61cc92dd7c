"""The best split of one feature at one node, or one drawn at random.

Candidates are judged as in scikit-learn 1.9's ``_splitter.pyx``: by ascending value, and the first of
equals wins. What replaces the sorting of a node's values depends on its rows: many are added up in a
histogram, few are sorted by their bins, and a random split needs no more than the extremes of the bins
and the sums on its left.
"""

# Kernels are not Python: Numba gives them their types.
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from millrace.statistics.kernels.criteria import judge, sides, tally
from millrace.statistics.kernels.histograms import (
    MISSING,
    ROW,
    bin_of,
    class_of,
    clear,
    histogram,
    weight_of,
    within,
)

FEW = 24
"""Rows up to which sorting them takes less time than a histogram."""

_SAME = np.float32(1e-7)
"""Values nearer than this are one value (``FEATURE_THRESHOLD``)."""

_overload: Any = overload
_WITHIN = {"error_model": "numpy", "_nrt": False, "forceinline": True}

# A split is its proxy, the last bin on the left, the first bin on the right (-1: only missing values, or
# unknown), whether missing values go left, and the threshold of a random one.


@within
def draw(state):
    """The next number of scikit-learn's ``our_rand_r``, below 2**31."""
    s = np.uint32(1) if state[0] == 0 else state[0]
    s = np.uint32(s ^ np.uint32(s << np.uint32(13)))
    s = np.uint32(s ^ np.uint32(s >> np.uint32(17)))
    s = np.uint32(s ^ np.uint32(s << np.uint32(5)))
    state[0] = s
    return np.int64(s) % np.int64(2147483648)


def split_of(random, column, low, high, edges, held, rule, work, start, end, best):
    """The best or a random split of one feature, by the type of `random`: only one is compiled.

    Parameters
    ----------
    random : int or None
        None: the best one.
    column : uint8 (n_rows,)
        The bins of the feature.
    low, high, edges : (256,)
        Of the feature; see `Table`.
    start, end : int
        The rows of the node.
    best : float
        The proxy that is to be beaten.

    Returns
    -------
    tuple
        Whether the feature is constant; then the split. Its proxy is `best` where none beats it.
    """
    raise NotImplementedError


@_overload(split_of, jit_options=_WITHIN)
def _split_by_type(random, column, low, high, edges, held, rule, work, start, end, best):
    return _best_of if isinstance(random, types.NoneType) else _random_of


def _best_of(random, column, low, high, edges, held, rule, work, start, end, best):
    n, bins = end - start, work.pad.bins
    if n <= FEW:
        first, last = _sort(column, held.records, start, n, work.pad.keys)
        if last != MISSING:
            if _is_one(low, high, first, last):
                return True, best, np.int64(-1), np.int64(-1), False, 0.0
            present = _tally_sorted(rule, work, held, start, n)
            value, before, after, left = _greatest(
                low, high, rule, work, present - 1, present, n, best
            )
            return False, value, before, after, left, 0.0
    n_bins = histogram(column, held, start, end, rule, work)
    missing = bins[n_bins - 1] == MISSING
    present = n_bins - 1 if missing else n_bins
    if present == 0 or (not missing and _is_one(low, high, bins[0], bins[n_bins - 1])):
        clear(rule, work, n_bins)
        return True, best, np.int64(-1), np.int64(-1), False, 0.0
    value, before, after, side = best, np.int64(-1), np.int64(-1), False
    for search in range(2 if missing else 1):  # missing values on the right, then on the left
        tally(rule, work, -search, present)
        n_candidates = present if missing and search == 0 else present - 1
        v, b, a, left = _greatest(low, high, rule, work, n_candidates, present, n, value)
        if v > value:
            value, before, after = v, b, a
            side = search == 1 if missing else left
    clear(rule, work, n_bins)
    return False, value, before, after, side, 0.0


@within
def _is_one(low, high, first, last):
    """Whether all values from one bin to another are taken as equal."""
    return first == last or high[last] <= np.float32(low[first] + _SAME)


@within
def _sort(column, records, start, n, keys):
    """Sort few rows by their bins into `keys`, a bin and a place each; the first and the last bin."""
    for i in range(n):
        key = (np.int64(column[records[np.uint64(start + i)] & ROW]) << 8) | i
        at = i
        while at > 0 and np.int64(keys[at - 1]) > key:
            keys[at] = keys[at - 1]
            at -= 1
        keys[at] = key
    return np.int64(keys[0]) >> 8, np.int64(keys[n - 1]) >> 8


@within
def _tally_sorted(rule, work, held, start, n):
    """As `tally`, of rows that `_sort` sorted; returns how many bins occur."""
    pad, left = work.pad, work.left
    for c in range(len(left)):
        left[c] = 0.0
    weight, found, before = 0.0, np.int64(0), np.int64(pad.keys[0]) >> 8
    for i in range(n):
        key = np.int64(pad.keys[i])
        at, b = np.uint64(start + (key & 255)), key >> 8
        if b != before:
            pad.bins[found], pad.w_left[found], pad.n_left[found] = before, weight, i
            sides(rule, left, work.total, weight, work, found)
            found, before = found + 1, b
        if rule.n_classes == 0:
            w = held.real[at, 0]
            left[0] += w * held.real[at, 1]
        else:
            record = held.records[at]
            w = np.float64(weight_of(record)) if rule.counted else held.real[at, 0]
            left[class_of(record, rule.counted)] += w
        weight += w
    pad.bins[found] = before
    return found + 1


@within
def _greatest(low, high, rule, work, n_candidates, present, n_rows, best):
    """The candidate of the greatest proxy, if it beats `best`.

    Returns
    -------
    tuple
        Its proxy, last bin left, first bin right, and whether more rows go left.
    """
    pad = work.pad
    found, before, after, more_left = best, np.int64(-1), np.int64(-1), False
    judge(rule.kind, work, np.int64(0), np.int64(n_candidates))
    for k in range(n_candidates):
        if not pad.value[k] > found:
            continue
        then, here = np.int64(-1), np.int64(pad.bins[k])
        if k + 1 < present:
            then = np.int64(pad.bins[k + 1])
            if low[then] <= np.float32(high[here] + _SAME):
                continue
        if _allowed(rule, work, k, n_rows):
            found, before, after = pad.value[k], here, then
            more_left = 2.0 * pad.n_left[k] > n_rows
    return found, before, after, more_left


@within
def _allowed(rule, work, k, n_rows):
    w_left, n_left = work.pad.w_left[k], work.pad.n_left[k]
    return (
        n_left >= rule.min_samples_leaf
        and n_rows - n_left >= rule.min_samples_leaf
        and w_left >= rule.min_weight_leaf
        and work.pad.w_node[0] - w_left >= rule.min_weight_leaf
    )


def _random_of(random, column, low, high, edges, held, rule, work, start, end, best):
    first, last, missing = _extremes(column, held.records, start, end)
    if last < 0 or (not missing and _is_one(low, high, first, last)):
        return True, best, np.int64(-1), np.int64(-1), False, 0.0
    least, greatest = np.float64(low[first]), np.float64(high[last])
    threshold = (greatest - least) * np.float64(draw(work.pad.state)) / 2147483647.0 + least
    side = missing and draw(work.pad.state) % 2 == 1
    if threshold == greatest:
        threshold = least
    threshold, cut = _between_bins(low, high, edges, first, last, threshold)
    _tally_left(column, rule, work, held, start, end, cut, side)
    if not _allowed(rule, work, 0, end - start):
        return False, best, np.int64(-1), np.int64(-1), False, threshold
    judge(rule.kind, work, np.int64(0), np.int64(1))
    if not missing:
        side = 2.0 * work.pad.n_left[0] > end - start
    return False, work.pad.value[0], cut, np.int64(-1), side, threshold


@within
def _extremes(column, records, start, end):
    """The first and the last bin (-1: none) of some rows, and whether there are missing values."""
    first, last, most = np.uint8(255), np.uint8(0), np.uint8(0)
    for i in range(np.uint64(start), np.uint64(end)):
        b = column[records[i] & ROW]
        first, most = min(first, b), max(most, b)
        last = max(last, np.uint8(b + np.uint8(1)))  # that of missing values is 0
    return np.int64(first), np.int64(last) - 1, most == MISSING


@within
def _between_bins(low, high, edges, first, last, threshold):
    """A threshold that parts no bin, and the last bin that it sends left.

    One that lies within a bin moves to the nearer of its edges, but not beyond the node's values.
    """
    b = np.int64(bin_of(threshold, edges))
    if high[b] <= threshold:
        return threshold, b
    if low[b] > threshold:
        return threshold, b - 1
    up = b == first or (b < last and threshold - low[b] >= high[b] - threshold)
    return (edges[b], b) if up else (edges[b - 1], b - 1)


@within
def _tally_left(column, rule, work, held, start, end, cut, side):
    """As `tally`, of the one candidate that sends bins up to `cut` left."""
    left, most = work.left, np.uint8(cut)
    for c in range(len(left)):
        left[c] = 0.0
    weight = n = 0.0
    for i in range(np.uint64(start), np.uint64(end)):
        record = held.records[i]
        b = column[record & ROW]
        goes = b <= most or (side and b == MISSING)
        if rule.n_classes == 0:
            w = held.real[i, 0] if goes else 0.0
            left[0] += w * held.real[i, 1]
        else:
            w = np.float64(weight_of(record)) if rule.counted else held.real[i, 0]
            w = w if goes else 0.0
            left[class_of(record, rule.counted)] += w
        weight += w
        n += np.float64(goes)
    work.pad.w_left[0], work.pad.n_left[0] = weight, n
    sides(rule, left, work.total, weight, work, 0)
