"""A balanced tree of points: every leaf a tile of at most 16 of them, every node a box.

Nodes are numbered as in a heap: node i has the children 2 i and 2 i + 1, the root is node 1, and the
leaves are the nodes ``n_leaves`` to ``2 n_leaves - 1``, from left to right. A node is split in halves at
the median of the column in which its box is widest. The *slot* of a point is ``16 * leaf + lane``.
"""

# Kernels are not Python: Numba gives them their types.
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

LANES = 16
"""Points of a leaf, side by side: four vectors of four columns, two of eight."""

DEEPEST = 64
"""Nodes that can wait while one way down is followed: more than a tree has levels."""

jit: Any = njit(nogil=True, cache=True)
inlined: Any = njit(nogil=True, cache=True)


@jit
def _bound(points, order, start, stop, lower, upper):
    """The box of ``points[order[start:stop]]``."""
    for c in range(points.shape[1]):
        lower[c], upper[c] = np.inf, -np.inf
    for i in range(start, stop):
        row = order[i]
        for c in range(points.shape[1]):
            lower[c] = min(lower[c], points[row, c])
            upper[c] = max(upper[c], points[row, c])


@jit
def _select(keys, order, first, last, middle):
    """Reorder ``first:last + 1`` so that no key before `middle` is above one from there on."""
    while first < last:
        a, b, c = keys[first], keys[(first + last) // 2], keys[last]
        pivot = max(min(a, b), min(max(a, b), c))
        i, j = first, last
        while i <= j:
            while keys[i] < pivot:
                i += 1
            while keys[j] > pivot:
                j -= 1
            if i <= j:
                keys[i], keys[j] = keys[j], keys[i]
                order[i], order[j] = order[j], order[i]
                i += 1
                j -= 1
        if middle <= j:
            last = j
        elif middle >= i:
            first = i
        else:
            return


@jit
def split_below(points, order, keys, bounds, lower, upper, root, depth):
    """Split a node and what is below it, `depth` levels deep.

    Parameters
    ----------
    points : float64 (n, n_columns)
        Finite.
    order : int64 (n,)
        The points, node by node; reordered.
    keys : float64 (n,)
        Room.
    bounds : int64 (2 n_leaves, 2)
        Where the points of each node begin and end in `order`; known for `root`, filled in below it.
    lower, upper : float64 (2 n_leaves, n_columns)
        The boxes; filled in.
    root, depth : int
    """
    for level in range(depth + 1):
        for node in range(root << level, (root + 1) << level):
            start, stop = bounds[node, 0], bounds[node, 1]
            _bound(points, order, start, stop, lower[node], upper[node])
            if level == depth:
                continue
            column = np.argmax(upper[node] - lower[node])
            for i in range(start, stop):
                keys[i] = points[order[i], column]
            middle = (start + stop + 1) // 2
            _select(keys, order, start, stop - 1, middle)
            bounds[2 * node, 0], bounds[2 * node, 1] = start, middle
            bounds[2 * node + 1, 0], bounds[2 * node + 1, 1] = middle, stop


@jit
def fill_tiles(points, order, bounds, tiles, rows):
    """Lay the points of the leaves side by side.

    Parameters
    ----------
    points, order, bounds : as for `split_below`
    tiles : float64 (n_leaves, n_columns, 16)
        Receives them, filled up with infinities.
    rows : int64 (16 n_leaves,)
        Receives which point is in each slot, -1 in those that are empty.
    """
    n_leaves = tiles.shape[0]
    for leaf in range(n_leaves):
        start = bounds[n_leaves + leaf, 0]
        size = bounds[n_leaves + leaf, 1] - start
        for lane in range(LANES):
            row = order[start + lane] if lane < size else -1
            rows[leaf * LANES + lane] = row
            for c in range(points.shape[1]):
                tiles[leaf, c, lane] = points[row, c] if row >= 0 else np.inf


@inlined
def box_distances(lower, upper, one, other):
    """The squares of the least and of the largest distance of points in two boxes."""
    least, largest = 0.0, 0.0
    for c in range(lower.shape[1]):
        below, above = lower[one, c] - upper[other, c], lower[other, c] - upper[one, c]
        gap = max(below, above, 0.0)
        span = max(-below, -above)
        least += gap * gap
        largest += span * span
    return least, largest


@inlined
def lane_distances(tiles, leaf, other, lane, squares):
    """The squared distances of the points of a leaf to one point of another (16,)."""
    for j in range(LANES):
        squares[j] = 0.0
    for c in range(tiles.shape[1]):
        cell = tiles[other, c, lane]
        for j in range(LANES):
            gap = tiles[leaf, c, j] - cell
            squares[j] += gap * gap
