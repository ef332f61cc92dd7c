"""The trials of k-means++: which rows lie nearer to a new centre than to all chosen ones.

Codes of 16 bits leave out the rows that cannot; the distances of the others are worked out in float64.
"""

# Kernels are not Python: Numba gives them their types.
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false

from __future__ import annotations

import numpy as np

from millrace.solvers.resident.kernels.coded_tile import ROWS, coded_below
from millrace.solvers.resident.kernels.lloyd import fused, inner
from millrace.statistics.kernels.score_tile import fetch_row

BLOCK = 512
"""Rows that are compared at a time."""


@fused
def try_seeds(
    rows, codes, squares, centers, starts, unit, off, reach, ulps, tried, closest, weight,
    gains, counts, found, distances,
):  # fmt: skip
    """Compare all rows with some new centres, at most sixteen.

    Parameters
    ----------
    rows, codes, squares, centers, starts, unit, off, reach, ulps
        As in `lloyd.assign_coded`, where nothing is subtracted from the rows.
    tried : as `rows`, of (n_trials, n_features)
    closest : as `rows`, of (n_samples,)
        Squared distances from the centres chosen so far.
    weight : float64 of (n_samples,), or empty for ones
    gains : float64 of (n_trials,)
        Receives by how much the sums of the squared distances fall.
    counts : int64 of (n_trials,)
        Receives how many rows are nearer to it.
    found, distances : int32 and as `rows`, of (n_trials, n_samples)
        Receive these rows and their distances.
    """
    n, names = len(closest), np.uint16((1 << len(tried)) - 1)
    limits, below = np.empty(BLOCK, np.int32), np.empty(BLOCK, np.uint16)
    places = np.empty(BLOCK + 1, np.int64)
    for first in range(0, n, BLOCK):
        size = min(BLOCK, n - first)
        _limit(closest[first : first + size], squares[first:], unit, off, reach, ulps, limits)
        part = codes[first : first + size]
        whole = size - size % ROWS
        for at in range(0, whole, ROWS):
            coded_below(part, at, centers, starts, 0, limits, below)
        below[whole:size] = names
        near = 0
        for i in range(size):
            places[near] = i
            near += (below[i] & names) != 0
        for k in range(near):
            fetch_row(rows, first + places[k])
        for k in range(near):
            at, left = first + places[k], below[places[k]]
            times = weight[at] if len(weight) else 1.0
            for c in range(len(tried)):
                if left >> c & 1:
                    q = counts[c]
                    found[c, q], distances[c, q] = at, _distance(rows[at], tried[c])
                    away = np.float64(closest[at]) - np.float64(distances[c, q])
                    gains[c] += times * max(away, 0.0)
                    counts[c] += away > 0.0


@inner
def _limit(closest, squares, unit, off, reach, ulps, limits):
    """The least half score in codes that cannot be nearer."""
    for i in range(len(closest)):
        square = squares[i]
        score = (np.float32(closest[i]) * np.float32(1.0 + 1e-6) - square) / unit
        score += ulps * (square + reach) / unit + np.float32(off + 1)
        limits[i] = np.int32(min(max(score, np.float32(-2e9)), np.float32(2e9)))


@fused
def distances_from(rows, center, out):
    """Squared distances of the rows from one centre: (n_samples,)."""
    for i in range(len(rows)):
        out[i] = _distance(rows[i], center)


@inner
def _distance(row, center):
    p = len(row)
    whole = p - p % 4
    a = b = c = d = 0.0
    for j in range(0, whole, 4):
        a += _square(row[j], center[j])
        b += _square(row[j + 1], center[j + 1])
        c += _square(row[j + 2], center[j + 2])
        d += _square(row[j + 3], center[j + 3])
    for j in range(whole, p):
        a += _square(row[j], center[j])
    return (a + b) + (c + d)


@inner
def _square(value, other):
    away = np.float64(value) - np.float64(other)
    return away * away
