"""The best split of one feature at one node.

Candidates are judged as in scikit-learn 1.9's ``_splitter.pyx``: by ascending value, and the first of
equals wins. What replaces the sorting of a node's values depends on its rows: many are added up in a
histogram, few are sorted by their bins.
"""

# Kernels are not Python: Numba gives them their types.
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false

from __future__ import annotations

import numpy as np

from millrace.statistics.kernels.criteria import judge, sides, tally
from millrace.statistics.kernels.histograms import (
    MISSING,
    ROW,
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


@within
def draw(state):
    """The next number of scikit-learn's ``our_rand_r``, below 2**31."""
    s = np.uint32(1) if state[0] == 0 else state[0]
    s = np.uint32(s ^ np.uint32(s << np.uint32(13)))
    s = np.uint32(s ^ np.uint32(s >> np.uint32(17)))
    s = np.uint32(s ^ np.uint32(s << np.uint32(5)))
    state[0] = s
    return np.int64(s) % np.int64(2147483648)


@within
def best_of(column, low, high, held, rule, work, start, end, best):
    """The best split of one feature.

    Parameters
    ----------
    column : uint8 (n_rows,)
        The bins of the feature.
    low, high : float32 (256,)
        Of the feature; see `Table`.
    start, end : int
        The rows of the node.
    best : float
        The proxy that is to be beaten.

    Returns
    -------
    tuple
        Whether the feature is constant, the proxy (`best` if nothing beats it), the last bin on the left,
        the first bin on the right (-1: only missing values), missing_left.
    """
    n, bins = end - start, work.pad.bins
    if n <= FEW:
        first, last = _sort(column, held.records, start, n, work.pad.keys)
        if last != MISSING:
            if is_one(low, high, first, last):
                return True, best, np.int64(-1), np.int64(-1), False
            if (
                n == 2 and best > -np.inf
            ):  # equal to the split that was found, and the first one wins
                return False, best, np.int64(-1), np.int64(-1), False
            present = _tally_sorted(rule, work, held, start, n)
            value, before, after, left = _greatest(
                low, high, rule, work, present - 1, present, n, best
            )
            return False, value, before, after, left
    n_bins = histogram(column, held, start, end, rule, work)
    missing = bins[n_bins - 1] == MISSING
    present = n_bins - 1 if missing else n_bins
    if present == 0 or (not missing and is_one(low, high, bins[0], bins[n_bins - 1])):
        clear(rule, work, n_bins)
        return True, best, np.int64(-1), np.int64(-1), False
    value, before, after, side = best, np.int64(-1), np.int64(-1), False
    for search in range(2 if missing else 1):  # missing values on the right, then on the left
        tally(rule, work, -search, present)
        n_candidates = present if missing and search == 0 else present - 1
        v, b, a, left = _greatest(low, high, rule, work, n_candidates, present, n, value)
        if v > value:
            value, before, after = v, b, a
            side = search == 1 if missing else left
    clear(rule, work, n_bins)
    return False, value, before, after, side


@within
def is_one(low, high, first, last):
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
        if allowed(rule, work, k, n_rows):
            found, before, after = pad.value[k], here, then
            more_left = 2.0 * pad.n_left[k] > n_rows
    return found, before, after, more_left


@within
def allowed(rule, work, k, n_rows):
    """Whether both sides of the k-th candidate are large enough."""
    w_left, n_left = work.pad.w_left[k], work.pad.n_left[k]
    return (
        n_left >= rule.min_samples_leaf
        and n_rows - n_left >= rule.min_samples_leaf
        and w_left >= rule.min_weight_leaf
        and work.pad.w_node[0] - w_left >= rule.min_weight_leaf
    )
