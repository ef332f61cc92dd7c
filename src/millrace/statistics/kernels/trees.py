"""Whole decision trees over binned rows: depth first, or the best leaf first.

Twins of ``DepthFirstTreeBuilder`` and ``BestFirstTreeBuilder`` in scikit-learn 1.9's ``_tree.pyx``, down
to the order in which leaves of equal improvement leave the heap.
"""

# Kernels are not Python: Numba gives them their types.
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false

from __future__ import annotations

import numpy as np

from millrace.statistics.kernels.growth import impurity, no_split, split_node, totals
from millrace.statistics.kernels.histograms import MISSING, inner, jit

_EPSILON = np.finfo(np.float64).eps
_LEAF, _NONE = -1, -2

# A node that waits is a row of six numbers: start, end, depth, parent, whether it is the left child, and
# the number of features known to be constant. A leaf that might be split is one of node, start, end, pos,
# depth, and whether it must stay a leaf.


@inner
def _put(row, a, b, c, d, e, f):
    row[0], row[1], row[2], row[3], row[4], row[5] = a, b, c, d, e, f


@inner
def _got(row):
    return row[0], row[1], row[2], row[3], row[4], row[5]


@inner
def _add(nodes, at, parent, is_left, is_leaf, split, impurity_here, n, weight):
    node = nodes[at]
    node.impurity = impurity_here
    node.n_node_samples = n
    node.weighted_n_node_samples = weight
    if parent >= 0:
        if is_left:
            nodes[parent].left_child = at
        else:
            nodes[parent].right_child = at
    if is_leaf:
        _make_leaf(nodes, at)
    else:
        node.feature = split.feature
        node.threshold = split.threshold
        node.missing_go_to_left = split.missing_left


@inner
def _make_leaf(nodes, at):
    nodes[at].left_child = _LEAF
    nodes[at].right_child = _LEAF
    nodes[at].feature = _NONE
    nodes[at].threshold = _NONE


@inner
def _visit(
    table, held, rule, work, nodes, values, at, start, end, depth, parent, is_left, known, inherited
):
    """Make the node of the rows ``start:end``, split them if they can be split.

    Returns
    -------
    tuple
        Whether it is a leaf, its impurity, and the split.
    """
    weight, square = totals(held, start, end, rule.n_classes, work.total)
    here = inherited
    if parent < 0:
        here = impurity(rule.kind, work.total, weight, square, held, start, end)
    n = end - start
    is_leaf = (
        depth >= rule.max_depth
        or n < rule.min_samples_split
        or n < 2 * rule.min_samples_leaf
        or weight < 2 * rule.min_weight_leaf
        or here <= _EPSILON
    )
    for c in range(values.shape[1]):
        values[at, c] = work.total[c] / weight
    if is_leaf:
        split = no_split(end, known)
        _add(nodes, at, parent, is_left, True, split, here, n, weight)
        return True, here, split
    split = split_node(table, held, rule, work, start, end, weight, square, here, known)
    is_leaf = split.pos >= end or split.improvement + _EPSILON < rule.min_impurity_decrease
    _add(nodes, at, parent, is_left, is_leaf, split, here, n, weight)
    return is_leaf, here, split


@jit
def grow_depth_first(table, held, rule, work, nodes, values):
    """Grow a tree depth first.

    Parameters
    ----------
    table : Table
    held : Held
        The rows of the tree; reordered.
    rule : Rule
    work : Work
    nodes : structured array of ``sklearn.tree._tree.NODE_DTYPE``, zero
        Receives the nodes; long enough for all of them.
    values : float64 (n_nodes, n_classes) or (n_nodes, 1)
        Receives class shares, or means.

    Returns
    -------
    tuple of int
        Number of nodes, greatest depth.
    """
    waiting, impurities = np.empty((64, 6), np.int64), np.empty(64)
    _put(waiting[0], 0, len(held.samples), 0, -1, 0, 0)
    impurities[0] = np.inf
    n_waiting, count, deepest = 1, np.int64(0), np.int64(-1)
    while n_waiting > 0:
        n_waiting -= 1
        start, end, depth, parent, is_left, known = _got(waiting[n_waiting])
        is_leaf, _, split = _visit(
            table, held, rule, work, nodes, values, count,
            start, end, depth, parent, is_left == 1, known, impurities[n_waiting],
        )  # fmt: skip
        deepest = max(deepest, depth)
        if not is_leaf:
            if n_waiting + 2 > len(waiting):
                waiting = np.concatenate((waiting, np.empty_like(waiting)))
                impurities = np.concatenate((impurities, np.empty_like(impurities)))
            _put(waiting[n_waiting], split.pos, end, depth + 1, count, 0, split.n_constant)
            impurities[n_waiting] = split.impurity_right
            _put(waiting[n_waiting + 1], start, split.pos, depth + 1, count, 1, split.n_constant)
            impurities[n_waiting + 1] = split.impurity_left
            n_waiting += 2
        count += 1
    return count, deepest


@inner
def _rise(heap, gains, at):
    """Move an entry of a heap up to its place, as ``std::push_heap`` does."""
    gain, entry = gains[at], heap[at].copy()
    while at > 0 and gains[(at - 1) // 2] < gain:
        above = (at - 1) // 2
        gains[at] = gains[above]
        heap[at] = heap[above]
        at = above
    gains[at] = gain
    heap[at] = entry


@inner
def _sink(heap, gains, n):
    """Move the greatest of n entries to the end of the heap, as ``std::pop_heap`` does."""
    first, first_gain = heap[0].copy(), gains[0]
    entry, gain = heap[n - 1].copy(), gains[n - 1]
    at, child = 0, 0
    while child < (n - 2) // 2:
        child = 2 * (child + 1)
        if gains[child] < gains[child - 1]:
            child -= 1
        gains[at], heap[at] = gains[child], heap[child]
        at = child
    if (n - 1) % 2 == 0 and n > 1 and child == (n - 3) // 2:
        child = 2 * child + 1
        gains[at], heap[at] = gains[child], heap[child]
        at = child
    gains[at], heap[at] = gain, entry
    if n > 1:
        _rise(heap, gains, at)
    gains[n - 1], heap[n - 1] = first_gain, first


@jit
def grow_best_first(table, held, rule, work, nodes, values):
    """Grow a tree of at most ``rule.max_leaf_nodes`` leaves; as `grow_depth_first`."""
    room = 2 * rule.max_leaf_nodes + 1
    heap, gains = np.empty((room, 6), np.int64), np.empty(room)
    impurities = np.empty((room, 2))  # left and right, by node
    left_to_split, n_heap = rule.max_leaf_nodes - 1, 0
    count, deepest = np.int64(0), np.int64(-1)
    pending = np.empty((2, 6), np.int64)
    inherited = np.empty(2)
    _put(pending[0], 0, len(held.samples), 0, -1, 0, 0)
    inherited[0] = np.inf
    n_pending = 1
    while True:
        for k in range(n_pending):
            start, end, depth, parent, is_left, _ = _got(pending[k])
            is_leaf, here, split = _visit(
                table, held, rule, work, nodes, values, count,
                start, end, depth, parent, is_left == 1, np.int64(0), inherited[k],
            )  # fmt: skip
            pos = end if is_leaf else split.pos
            _put(heap[n_heap + k], count, start, end, pos, depth, 1 if is_leaf else 0)
            gains[n_heap + k] = 0.0 if is_leaf else split.improvement
            impurities[count, 0] = here if is_leaf else split.impurity_left
            impurities[count, 1] = here if is_leaf else split.impurity_right
            count += 1
        for _ in range(n_pending):
            n_heap += 1
            _rise(heap, gains, n_heap - 1)
        n_pending = 0
        while n_heap > 0 and n_pending == 0:
            _sink(heap, gains, n_heap)
            n_heap -= 1
            node, start, end, pos, depth, stays = _got(heap[n_heap])
            deepest = max(deepest, depth)
            if stays == 1 or left_to_split <= 0:
                _make_leaf(nodes, node)
                continue
            left_to_split -= 1
            _put(pending[0], start, pos, depth + 1, node, 1, 0)
            _put(pending[1], pos, end, depth + 1, node, 0, 0)
            inherited[:] = impurities[node]
            n_pending = 2
        if n_pending == 0:
            return count, deepest


@jit
def leaves(codes, rows, nodes, cuts, out):
    """The leaf that each of some binned rows comes to.

    Parameters
    ----------
    codes : uint8 (n_features, n_rows)
    rows : int (n_asked,)
    nodes
        Of a tree.
    cuts : uint8 (n_nodes,)
        The last bin that each node sends left.
    out : int64 (n_asked,)
    """
    for i in range(len(rows)):
        at = 0
        while nodes[at].left_child != _LEAF:
            b = codes[nodes[at].feature, rows[i]]
            left = nodes[at].missing_go_to_left != 0 if b == MISSING else b <= cuts[at]
            at = nodes[at].left_child if left else nodes[at].right_child
        out[i] = at
