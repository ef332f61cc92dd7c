"""Partial dependence of trees: every grid point with the trees' own sums, in their own order.

scikit-learn walks each tree once for each grid point. Here a tree is walked once for all of them: at a
split on a target feature the points part, at any other split all of them go both ways. Each point meets
the same leaves in the same order with the same weights, so the sums have the same bits. Points that
stay together lie side by side, with their sums, so that a leaf is added to all of them in a few
instructions.

Semantics are those of ``sklearn/tree/_tree.pyx`` (``Tree.compute_partial_dependence``) and
``sklearn/ensemble/_hist_gradient_boosting/_predictor.pyx`` of scikit-learn 1.9.
"""

# Kernels are not Python: Numba gives them their types.
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from millrace.backends.numba.kernels.vectors import load_at

_load: Any = load_at
_jit: Any = njit(nogil=True, cache=True)
_I8, _U4, _U1, _F8 = np.int64(0), np.uint32(0), np.uint8(0), np.float64(0)

SIZE, LEFT, RIGHT, FEATURE, THRESHOLD, WEIGHT, VALUE, LEAF = range(8)
"""Places in a layout: the bytes of a node, and where in them its fields are; no `LEAF` in a wide one."""


@_jit
def _child(node, offset, wide):
    if wide:
        return _load(node + offset, _I8)
    return np.int64(_load(node + offset, _U4))


@_jit
def _weight(node, offset, wide):
    if wide:
        return _load(node + offset, _F8)
    return np.float64(_load(node + offset, _U4))


@_jit
def _parted(points, sums, grid, target, threshold, first, stop):
    """Bring the points that go left to the front, each with its sum; where the others begin."""
    middle = first
    for k in range(first, stop):
        point = points[k]
        if grid[point, target] <= threshold:
            points[middle], points[k] = point, points[middle]
            sums[middle], sums[k] = sums[k], sums[middle]
            middle += 1
    return middle


@_jit
def _target_of(feature, targets):
    for k in range(len(targets)):
        if targets[k] == feature:
            return k
    return -1


@njit("boolean(int64[::1], int64[::1], int64[::1], int64[::1], boolean, float64[:, ::1], int64[::1],"
      " float64[::1])", nogil=True, cache=True)  # fmt: skip
def add_dependence(nodes, sizes, values, layout, wide, grid, targets, out):
    """Add the partial dependence of some trees.

    Parameters
    ----------
    nodes, sizes, values : int64 (n_trees,)
        Addresses of the nodes, their number, and the address of one float64 value for each where that is
        not part of the node.
    layout : int64 (8,)
    wide : bool
        Whether children are int64, -1 at leaves, and weights float64; else both are uint32 and there is a
        byte that says what is a leaf.
    grid : float64 (n_points, n_targets)
    targets : int64 (n_targets,)
        Numbers of the features.
    out : float64 (n_points,)

    Returns
    -------
    bool
        Whether the weights of all nodes are shares of those of their parents; scikit-learn refuses trees
        in which they do not add up, and nothing may be made of `out` then.
    """
    deepest = sizes.max()
    points, sums = np.arange(len(grid)), out.copy()
    node_of, weight_of = np.empty(deepest, np.int64), np.empty(deepest)
    first_of, stop_of = np.empty(deepest, np.int64), np.empty(deepest, np.int64)
    for tree in range(len(nodes)):
        node_of[0], weight_of[0], first_of[0], stop_of[0] = 0, 1.0, 0, len(grid)
        n_waiting = 1
        while n_waiting > 0:
            n_waiting -= 1
            at, weight = node_of[n_waiting], weight_of[n_waiting]
            first, stop = first_of[n_waiting], stop_of[n_waiting]
            node = nodes[tree] + at * layout[SIZE]
            left = _child(node, layout[LEFT], wide)
            if (left == -1) if wide else (_load(node + layout[LEAF], _U1) != 0):
                at_values = values[tree] + 8 * at if wide else node + layout[VALUE]
                part = weight * _load(at_values, _F8)
                for k in range(first, stop):
                    sums[k] += part
                continue
            right = _child(node, layout[RIGHT], wide)
            target = _target_of(_load(node + layout[FEATURE], _I8), targets)
            left_weight, right_weight, middle, after = weight, weight, first, stop
            if target >= 0:
                threshold = _load(node + layout[THRESHOLD], _F8)
                middle = after = _parted(points, sums, grid, target, threshold, first, stop)
            else:
                below = nodes[tree] + left * layout[SIZE]
                share = _weight(below, layout[WEIGHT], wide) / _weight(node, layout[WEIGHT], wide)
                if not 0.0 <= share <= 1.0:
                    return False
                left_weight, right_weight = weight * share, weight * (1 - share)
            if after > first:
                node_of[n_waiting], weight_of[n_waiting] = left, left_weight
                first_of[n_waiting], stop_of[n_waiting] = first, after
                n_waiting += 1
            if stop > middle:
                node_of[n_waiting], weight_of[n_waiting] = right, right_weight
                first_of[n_waiting], stop_of[n_waiting] = middle, stop
                n_waiting += 1
    for k in range(len(grid)):
        out[points[k]] = sums[k]
    return True
