"""Whole decision trees over binned rows: depth first, or the best leaf first.

Twins of ``DepthFirstTreeBuilder`` and ``BestFirstTreeBuilder`` in scikit-learn 1.9's ``_tree.pyx``, down
to the order in which leaves of equal improvement leave the heap. Depth first, a subtree is finished
before the next begins: once it is small enough, its bins are copied, to stay in the cache.
"""

# Kernels are not Python: Numba gives them their types.
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false

from __future__ import annotations

import numpy as np

from millrace.statistics.kernels.criteria import impurity, totals
from millrace.statistics.kernels.growth import divide, gather, search
from millrace.statistics.kernels.histograms import MISSING, inner, jit, within, without_counting

_EPSILON = np.finfo(np.float64).eps
_LEAF, _NONE = -1, -2

_WORTH = 32
"""Rows from which those of a node are gathered; with fewer, little is left of the tree."""

# A node that waits is a row of six numbers: start, end, depth, parent, whether it is the left child, and
# the number of features known to be constant. A leaf that might be split is one of node, start, end, pos,
# depth, and whether it must stay a leaf.


@inner
def _put(row, a, b, c, d, e, f):
    row[0], row[1], row[2], row[3], row[4], row[5] = a, b, c, d, e, f


@within
def _open(held, rule, work, nodes, values, at, row, inherited):
    """Begin the node of the rows that wait in `row`, as a leaf.

    Returns
    -------
    tuple
        Whether it must stay a leaf, its sum of w y y, its impurity.
    """
    start, end, depth, parent = row[0], row[1], row[2], row[3]
    weight, square = totals(held, start, end, rule, work.total)
    work.pad.w_node[0] = weight
    here = inherited
    if parent < 0:
        here = impurity(rule.kind, work.total, weight, square, held, start, end)
    elif row[4] == 1:
        nodes[parent].left_child = at
    else:
        nodes[parent].right_child = at
    n = end - start
    for c in range(values.shape[1]):
        values[at, c] = work.total[c] / weight
    nodes[at].impurity = here
    nodes[at].n_node_samples = n
    nodes[at].weighted_n_node_samples = weight
    _make_leaf(nodes, at)
    stays = (
        depth >= rule.max_depth
        or n < rule.min_samples_split
        or n < 2 * rule.min_samples_leaf
        or weight < 2 * rule.min_weight_leaf
        or here <= _EPSILON
    )
    return stays, square, here


@inner
def _make_leaf(nodes, at):
    nodes[at].left_child = _LEAF
    nodes[at].right_child = _LEAF
    nodes[at].feature = _NONE
    nodes[at].threshold = _NONE


@inner
def _make_inner(nodes, at, split):
    nodes[at].feature = split.feature
    nodes[at].threshold = split.threshold
    nodes[at].missing_go_to_left = split.missing_left


@without_counting
def grow_depth_first(table, held, rule, work, nodes, values, waiting, impurities):
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
    waiting, impurities : int64 (n_nodes + 1, 6), float64 (n_nodes + 1,)
        For use here.

    Returns
    -------
    tuple of int
        Number of nodes, greatest depth.
    """
    _put(waiting[0], 0, len(held.records), 0, -1, 0, 0)
    impurities[0] = np.inf
    n_waiting, count, deepest, gathered = 1, np.int64(0), np.int64(-1), np.int64(0)
    while n_waiting > 0:
        n_waiting -= 1
        row = waiting[n_waiting]
        start, end, depth, known = row[0], row[1], row[2], row[5]
        stays, square, here = _open(
            held, rule, work, nodes, values, count, row, impurities[n_waiting]
        )
        deepest = max(deepest, depth)
        if not stays:
            if start >= gathered and _WORTH <= end - start <= table.local.shape[1]:
                gather(table, held, start, end)
                gathered = end
            local = start < gathered
            codes = table.local if local else table.codes
            found = search(local, table, held, rule, work, start, end, known)
            split = divide(codes, table, held, rule, work, start, end, square, here, found)
            if split.pos < end and split.improvement + _EPSILON >= rule.min_impurity_decrease:
                _make_inner(nodes, count, split)
                n_known = split.n_constant
                _put(waiting[n_waiting], split.pos, end, depth + 1, count, 0, n_known)
                impurities[n_waiting] = split.impurity_right
                _put(waiting[n_waiting + 1], start, split.pos, depth + 1, count, 1, n_known)
                impurities[n_waiting + 1] = split.impurity_left
                n_waiting += 2
        count += 1
    return count, deepest


@inner
def _exchange(heap, gains, i, j):
    gains[i], gains[j] = gains[j], gains[i]
    for k in range(heap.shape[1]):
        heap[i, k], heap[j, k] = heap[j, k], heap[i, k]


@inner
def _rise(heap, gains, at):
    """Move an entry of a heap up to its place, as ``std::push_heap`` does."""
    while at > 0 and gains[(at - 1) // 2] < gains[at]:
        _exchange(heap, gains, at, (at - 1) // 2)
        at = (at - 1) // 2


@inner
def _sink(heap, gains, n):
    """Move the greatest of n entries to the end of the heap, as ``std::pop_heap`` does.

    The last entry goes down to the bottom by the greater children, and up again.
    """
    _exchange(heap, gains, 0, n - 1)
    at, child = 0, 1
    while child < n - 1:
        if child + 1 < n - 1 and not gains[child + 1] < gains[child]:
            child += 1
        _exchange(heap, gains, at, child)
        at, child = child, 2 * child + 1
    _rise(heap, gains, at)


@inner
def _enter(table, held, rule, work, nodes, values, at, row, inherited, entry, below):
    """Make a node and its split, and the entry of it that the heap takes.

    Returns
    -------
    float
        The improvement of its split; 0 of a leaf.
    """
    start, end, depth = row[0], row[1], row[2]
    stays, square, here = _open(held, rule, work, nodes, values, at, row, inherited)
    below[0] = below[1] = here
    _put(entry, at, start, end, end, depth, 1)
    if stays:
        return 0.0
    found = search(False, table, held, rule, work, start, end, np.int64(0))
    split = divide(table.codes, table, held, rule, work, start, end, square, here, found)
    if split.pos >= end or split.improvement + _EPSILON < rule.min_impurity_decrease:
        return 0.0
    _make_inner(nodes, at, split)
    below[0], below[1] = split.impurity_left, split.impurity_right
    _put(entry, at, start, end, split.pos, depth, 0)
    return split.improvement


@jit
def grow_best_first(table, held, rule, work, nodes, values, heap, gains, below):
    """Grow a tree of at most ``rule.max_leaf_nodes`` leaves; as `grow_depth_first`.

    Parameters
    ----------
    heap, gains : int64 (n_nodes + 2, 6), float64 (n_nodes + 2,)
        For use here.
    below : float64 (n_nodes + 2, 2)
        For use here: impurities on the left and on the right of every node.
    """
    left_to_split, n_heap = rule.max_leaf_nodes - 1, 0
    count, deepest = np.int64(0), np.int64(-1)
    pending, inherited = np.empty((2, 6), np.int64), np.empty(2)
    _put(pending[0], 0, len(held.records), 0, -1, 0, 0)
    inherited[0] = np.inf
    n_pending = 1
    while n_pending > 0:
        for k in range(n_pending):
            gains[n_heap + k] = _enter(
                table, held, rule, work, nodes, values, count,
                pending[k], inherited[k], heap[n_heap + k], below[count],
            )  # fmt: skip
            count += 1
        for _ in range(n_pending):
            n_heap += 1
            _rise(heap, gains, n_heap - 1)
        n_pending = 0
        while n_heap > 0 and n_pending == 0:
            _sink(heap, gains, n_heap)
            n_heap -= 1
            top = heap[n_heap]
            node, start, end, pos, depth = top[0], top[1], top[2], top[3], top[4]
            deepest = max(deepest, depth)
            if top[5] == 1 or left_to_split <= 0:
                _make_leaf(nodes, node)
                continue
            left_to_split -= 1
            _put(pending[0], start, pos, depth + 1, node, 1, 0)
            _put(pending[1], pos, end, depth + 1, node, 0, 0)
            inherited[0], inherited[1] = below[node, 0], below[node, 1]
            n_pending = 2
    return count, deepest


@without_counting
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
