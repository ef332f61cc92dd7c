"""Clusters of dense points: neighbours counted, core points joined, border points attached.

All walk a `point_tree` from a leaf outwards, first to what is near. A squared distance up to `near` is
surely that of neighbours, one above `far` surely not; what is between is counted as a *doubt*, and only
where it could change the answer.
"""

# Kernels are not Python: Numba gives them their types.
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from millrace.statistics.kernels.point_tree import (
    DEEPEST,
    LANES,
    box_distances,
    inlined,
    lane_distances,
)

jit: Any = njit(nogil=True, cache=True)


@jit
def count_near(tiles, lower, upper, weight, total, near, far, enough, first, stop, least, most):
    """The weight of the neighbours of each point, the point itself among them.

    Parameters
    ----------
    tiles, lower, upper : as for `point_tree`
    weight : float64 (16 n_leaves,)
        Of each slot, 0 in empty ones.
    total : float64 (2 n_leaves,)
        The weight of each node.
    near, far : float
        Squared distances, see above.
    enough : float
        Counting ends where all points of a leaf have as much; infinite where weights are negative.
    first, stop : int
        The leaves whose points are counted.
    least, most : float64 (16 n_leaves,)
        Receive the weight of those surely near, and of those that may be.
    """
    n_leaves = tiles.shape[0]
    waiting, squares = np.empty(DEEPEST, np.int64), np.empty(LANES)
    low, high = np.empty(LANES), np.empty(LANES)
    for leaf in range(first, stop):
        low[:], high[:] = 0.0, 0.0
        node = up = waiting[0] = n_leaves + leaf
        n_waiting, done = 1, False
        while not done:
            while n_waiting and not done:
                n_waiting -= 1
                other = waiting[n_waiting]
                gap, span = box_distances(lower, upper, node, other)
                if gap > far:
                    continue
                if span <= near:
                    low += total[other]
                    high += total[other]
                elif other < n_leaves:
                    waiting[n_waiting], waiting[n_waiting + 1] = 2 * other, 2 * other + 1
                    n_waiting += 2
                    continue
                else:
                    _add_leaf(tiles, leaf, other - n_leaves, weight, near, far, squares, low, high)
                done = _all_have(low, tiles, leaf, enough)
            if up == 1:
                break
            waiting[0], n_waiting = up ^ 1, 1
            up >>= 1
        least[leaf * LANES : (leaf + 1) * LANES] = low
        most[leaf * LANES : (leaf + 1) * LANES] = high


@inlined
def _add_leaf(tiles, leaf, other, weight, near, far, squares, low, high):
    """Add the weights of the points of another leaf that are near."""
    for lane in range(LANES):
        if tiles[other, 0, lane] == np.inf:
            break
        lane_distances(tiles, leaf, other, lane, squares)
        own = weight[other * LANES + lane]
        for j in range(LANES):
            low[j] += own if squares[j] <= near else 0.0
            high[j] += own if squares[j] <= far else 0.0


@inlined
def _all_have(low, tiles, leaf, enough):
    """Whether no point of a leaf has less than enough."""
    lowest = np.inf
    for lane in range(LANES):
        if tiles[leaf, 0, lane] != np.inf:
            lowest = min(lowest, low[lane])
    return lowest >= enough


# -- joining -------------------------------------------------------------------------------
@jit
def find(parent, slot):
    """The slot that stands for the set of this one."""
    while parent[slot] != slot:
        parent[slot] = parent[parent[slot]]
        slot = parent[slot]
    return slot


@inlined
def _join(parent, one, other):
    one, other = find(parent, one), find(parent, other)
    if one < other:
        parent[other] = one
    else:
        parent[one] = other


@jit
def join_near(
    tiles, lower, upper, core, some, near, far, first, stop, parent, same, doubts, n_doubts
):
    """Join the core points that are near each other.

    Parameters
    ----------
    tiles, lower, upper, near, far, first, stop : as for `count_near`
        Each leaf from `first` on meets those on its right.
    core : bool (16 n_leaves,)
    some : int32 (2 n_leaves,)
        The slot of one core point of each node, -1 where it has none.
    parent : int32 (16 n_leaves,)
        The sets, as a forest; sets are joined in place.
    same : bool (2 n_leaves,)
        Nodes whose core points are known to be in one set; updated.
    doubts : int32 (most, 2)
        Receives pairs of core points of different sets that may be near.
    n_doubts : int
        How many there are.

    Returns
    -------
    int
        How many there are now, also where there is no room for them.
    """
    n_leaves = tiles.shape[0]
    waiting, squares = np.empty(DEEPEST, np.int64), np.empty(LANES)
    for leaf in range(first, stop):
        node = up = n_leaves + leaf
        if some[node] < 0:
            continue
        n_waiting, waiting[0] = 1, node
        while True:
            while n_waiting:
                n_waiting -= 1
                other = waiting[n_waiting]
                if some[other] < 0:
                    continue
                gap, span = box_distances(lower, upper, node, other)
                if gap > far or _joined(parent, same, some, node, other, n_leaves):
                    continue
                if span <= near:
                    _join_all(parent, same, core, some, node, other, n_leaves)
                elif other < n_leaves:
                    waiting[n_waiting], waiting[n_waiting + 1] = 2 * other + 1, 2 * other
                    n_waiting += 2
                else:
                    n_doubts = _join_leaves(
                        tiles,
                        leaf,
                        other - n_leaves,
                        core,
                        near,
                        far,
                        squares,
                        parent,
                        doubts,
                        n_doubts,
                    )
                    _mark_leaf(parent, same, core, some, node, n_leaves)
                    _mark_leaf(parent, same, core, some, other, n_leaves)
            while up > 1 and up % 2 == 1:
                up >>= 1
            if up == 1:
                break
            waiting[0], n_waiting = up + 1, 1
            up >>= 1
    return n_doubts


@inlined
def _joined(parent, same, some, node, other, n_leaves):
    """Whether the core points of two nodes are known to be in one set."""
    if not same[other] and other < n_leaves:
        left, right = 2 * other, 2 * other + 1
        if (some[left] < 0 or same[left]) and (some[right] < 0 or same[right]):
            same[other] = (
                some[left] < 0
                or some[right] < 0
                or find(parent, some[left]) == find(parent, some[right])
            )
    return same[node] and same[other] and find(parent, some[node]) == find(parent, some[other])


@jit
def _join_all(parent, same, core, some, node, other, n_leaves):
    """All core points of a leaf and of another node are near each other."""
    for place in (node, other):
        if same[place] and place != node:
            _join(parent, some[node], some[place])
            continue
        first, stop = place, place + 1
        while first < n_leaves:
            first, stop = 2 * first, 2 * stop
        for slot in range((first - n_leaves) * LANES, (stop - n_leaves) * LANES):
            if core[slot]:
                _join(parent, some[node], slot)
        same[place] = True


@jit
def _join_leaves(tiles, leaf, other, core, near, far, squares, parent, doubts, n_doubts):
    """Join the core points of two leaves that are near each other."""
    for lane in range(LANES):
        slot = other * LANES + lane
        if not core[slot]:
            continue
        lane_distances(tiles, leaf, other, lane, squares)
        for j in range(LANES):
            mine = leaf * LANES + j
            if not squares[j] <= far or not core[mine]:
                continue
            if squares[j] <= near:
                _join(parent, mine, slot)
            elif find(parent, mine) != find(parent, slot):
                if n_doubts < len(doubts):
                    doubts[n_doubts, 0], doubts[n_doubts, 1] = mine, slot
                n_doubts += 1
    return n_doubts


@jit
def _mark_leaf(parent, same, core, some, node, n_leaves):
    """Note whether the core points of a leaf are in one set."""
    if same[node]:
        return
    first, root = (node - n_leaves) * LANES, find(parent, some[node])
    for slot in range(first, first + LANES):
        if core[slot] and find(parent, slot) != root:
            return
    same[node] = True


@jit
def merge_sets(parent, other):
    """Join what is joined in another forest."""
    for slot in range(len(parent)):
        if other[slot] != slot:
            _join(parent, slot, other[slot])


@jit
def number_sets(parent, core, slots, code, label):
    """Number the sets of core points by their first row.

    Parameters
    ----------
    parent, core : as for `join_near`
    slots : int64 (n,)
        The slot of each row.
    code : int64 (16 n_leaves,)
        Room, filled with -1.
    label : int64 (16 n_leaves,)
        Receives the number of each core point.
    """
    found = 0
    for slot in slots:
        if core[slot]:
            root = find(parent, slot)
            if code[root] < 0:
                code[root] = found
                found += 1
            label[slot] = code[root]


@jit
def attach_near(tiles, lower, upper, core, label, lowest, near, far, first, stop):
    """Give points that are not core the least label of the core points near them.

    Parameters
    ----------
    tiles, lower, upper, near, far, first, stop : as for `count_near`
    core : bool (16 n_leaves,)
    label : int64 (16 n_leaves,)
        Of core points; receives that of the others, or -1.
    lowest : int64 (2 n_leaves,)
        The least label of a core point in each node, the largest integer where there is none.

    Returns
    -------
    int
        The number of points whose label is in doubt.
    """
    n_leaves, none = tiles.shape[0], np.iinfo(np.int64).max
    waiting, squares = np.empty(DEEPEST, np.int64), np.empty(LANES)
    sure, perhaps = np.empty(LANES, np.int64), np.empty(LANES, np.int64)
    n_doubts = 0
    for leaf in range(first, stop):
        worst = np.int64(-1)
        for j in range(LANES):
            open_ = tiles[leaf, 0, j] != np.inf and not core[leaf * LANES + j]
            sure[j] = perhaps[j] = none if open_ else -1
            worst = max(worst, sure[j])
        node = up = waiting[0] = n_leaves + leaf
        n_waiting = 1
        while worst >= 0:
            while n_waiting:
                n_waiting -= 1
                other = waiting[n_waiting]
                if lowest[other] >= worst:
                    continue
                gap, span = box_distances(lower, upper, node, other)
                if gap > far:
                    continue
                if span > near and other < n_leaves:
                    waiting[n_waiting], waiting[n_waiting + 1] = 2 * other, 2 * other + 1
                    n_waiting += 2
                    continue
                worst = _take_lowest(
                    tiles, leaf, other - n_leaves, span <= near, lowest[other], core, label,
                    near, far, squares, sure, perhaps,
                )  # fmt: skip
            if up == 1:
                break
            waiting[0], n_waiting = up ^ 1, 1
            up >>= 1
        for j in range(LANES):
            if perhaps[j] >= 0:
                n_doubts += sure[j] != perhaps[j]
                label[leaf * LANES + j] = -1 if sure[j] == none else sure[j]
    return n_doubts


@inlined
def _take_lowest(
    tiles, leaf, other, all_near, lowest, core, label, near, far, squares, sure, perhaps
):
    """Lower the labels of a leaf to those of another's core points; the largest that is left."""
    if all_near:
        for j in range(LANES):
            sure[j], perhaps[j] = min(sure[j], lowest), min(perhaps[j], lowest)
    else:
        for lane in range(LANES):
            slot = other * LANES + lane
            if not core[slot]:
                continue
            lane_distances(tiles, leaf, other, lane, squares)
            for j in range(LANES):
                if squares[j] <= near:
                    sure[j] = min(sure[j], label[slot])
                if squares[j] <= far:
                    perhaps[j] = min(perhaps[j], label[slot])
    return sure.max()
