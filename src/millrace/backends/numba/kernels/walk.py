"""Trees of any size: rows walk from node to node, eight at a time.

A node is one 64-bit word: the plane it reads (16 bits), the rank it compares with (16 bits) and
its left child (32 bits); the right child is the next node. A leaf is its own left child and
compares with a rank that nothing exceeds, so rows that have arrived stay where they are.

Limit: one node visit is two dependent loads (node, plane); eight walks overlap them.

Where ranks or planes do not fit in 16 bits, the same walk runs on values: the node's bound is a
float in an array of its own, and the word holds plane and left child in 32 bits each.
"""

from __future__ import annotations

import numba
import numpy as np

_LOW = np.uint64(0xFFFF)
_LOW32 = np.uint64(0xFFFFFFFF)
_S16 = np.uint64(16)
_S32 = np.uint64(32)
WALKS = 8


@numba.njit(nogil=True, cache=True, inline="always")
def _by_rank(node, planes, row_stride, row):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    value = np.uint64(planes[(node & _LOW) * row_stride + row])
    return (node >> _S32) + np.uint64(value > ((node >> _S16) & _LOW))


@numba.njit(nogil=True, cache=True, inline="always")
def _by_value(node, bound, planes, row_stride, row):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    value = planes[(node >> _S32) * row_stride + row]
    return (node & _LOW32) + np.uint64(not value <= bound)


@numba.njit(nogil=True, cache=True)
def _walk_ranks(nodes, bounds, planes, row_stride, row, root, at):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Walk rows ``row : row + 8`` from the root to their leaves, whose positions go to `at`."""
    s = np.uint64(row_stride)
    r0 = np.uint64(row)
    r1, r2, r3 = r0 + np.uint64(1), r0 + np.uint64(2), r0 + np.uint64(3)
    r4, r5, r6, r7 = r0 + np.uint64(4), r0 + np.uint64(5), r0 + np.uint64(6), r0 + np.uint64(7)
    a0 = a1 = a2 = a3 = a4 = a5 = a6 = a7 = np.uint64(root)
    while True:
        b0 = _by_rank(nodes[a0], planes, s, r0)
        b1 = _by_rank(nodes[a1], planes, s, r1)
        b2 = _by_rank(nodes[a2], planes, s, r2)
        b3 = _by_rank(nodes[a3], planes, s, r3)
        b4 = _by_rank(nodes[a4], planes, s, r4)
        b5 = _by_rank(nodes[a5], planes, s, r5)
        b6 = _by_rank(nodes[a6], planes, s, r6)
        b7 = _by_rank(nodes[a7], planes, s, r7)
        moved = (a0 ^ b0) | (a1 ^ b1) | (a2 ^ b2) | (a3 ^ b3)
        moved |= (a4 ^ b4) | (a5 ^ b5) | (a6 ^ b6) | (a7 ^ b7)
        a0, a1, a2, a3, a4, a5, a6, a7 = b0, b1, b2, b3, b4, b5, b6, b7
        if moved == np.uint64(0):
            break
    at[0], at[1], at[2], at[3] = a0, a1, a2, a3
    at[4], at[5], at[6], at[7] = a4, a5, a6, a7


@numba.njit(nogil=True, cache=True)
def _walk_values(nodes, bounds, planes, row_stride, row, root, at):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """`_walk_ranks` on values."""
    s = np.uint64(row_stride)
    r0 = np.uint64(row)
    r1, r2, r3 = r0 + np.uint64(1), r0 + np.uint64(2), r0 + np.uint64(3)
    r4, r5, r6, r7 = r0 + np.uint64(4), r0 + np.uint64(5), r0 + np.uint64(6), r0 + np.uint64(7)
    a0 = a1 = a2 = a3 = a4 = a5 = a6 = a7 = np.uint64(root)
    while True:
        b0 = _by_value(nodes[a0], bounds[a0], planes, s, r0)
        b1 = _by_value(nodes[a1], bounds[a1], planes, s, r1)
        b2 = _by_value(nodes[a2], bounds[a2], planes, s, r2)
        b3 = _by_value(nodes[a3], bounds[a3], planes, s, r3)
        b4 = _by_value(nodes[a4], bounds[a4], planes, s, r4)
        b5 = _by_value(nodes[a5], bounds[a5], planes, s, r5)
        b6 = _by_value(nodes[a6], bounds[a6], planes, s, r6)
        b7 = _by_value(nodes[a7], bounds[a7], planes, s, r7)
        moved = (a0 ^ b0) | (a1 ^ b1) | (a2 ^ b2) | (a3 ^ b3)
        moved |= (a4 ^ b4) | (a5 ^ b5) | (a6 ^ b6) | (a7 ^ b7)
        a0, a1, a2, a3, a4, a5, a6, a7 = b0, b1, b2, b3, b4, b5, b6, b7
        if moved == np.uint64(0):
            break
    at[0], at[1], at[2], at[3] = a0, a1, a2, a3
    at[4], at[5], at[6], at[7] = a4, a5, a6, a7


@numba.njit(nogil=True, cache=True)
def walk_sums(nodes, bounds, by_value, planes, row_stride, n_rows, root, leaf, value, target, sums):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Add every tree's leaf values to ``sums`` (n_outputs, rows), tree by tree.

    Parameters
    ----------
    nodes : uint64 (n_nodes,)
    bounds : float (n_nodes,), or empty where ranks are compared
    planes : flat; plane p, row i at ``p * row_stride + i``; readable up to a multiple of 8 rows
    root : int64 (n_trees + 1,)
    leaf : int32 (n_nodes,)
        Row of `value` at a leaf.
    value : float32 or float64 (n_leaves, n_values)
    target : int32 (n_trees,)
    sums : dtype of value (n_outputs, >= n_rows rounded up to 8)
    """
    at = np.empty(WALKS, np.uint64)
    n_values = value.shape[1]
    block_rows = 256
    for first in range(0, n_rows, block_rows):
        for tree in range(len(root) - 1):
            for row in range(first, min(first + block_rows, n_rows), WALKS):
                if by_value:
                    _walk_values(nodes, bounds, planes, row_stride, row, root[tree], at)
                else:
                    _walk_ranks(nodes, bounds, planes, row_stride, row, root[tree], at)
                for k in range(n_values):
                    for i in range(WALKS):
                        sums[target[tree] + k, row + i] += value[leaf[at[i]], k]


@numba.njit(nogil=True, cache=True)
def walk_leaves(nodes, bounds, by_value, planes, row_stride, n_rows, root, leaf, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The row of `value` that each sample reaches in each tree: ``out`` int64 (n_rows, n_trees)."""
    at = np.empty(WALKS, np.uint64)
    for row in range(0, n_rows, WALKS):
        for tree in range(len(root) - 1):
            if by_value:
                _walk_values(nodes, bounds, planes, row_stride, row, root[tree], at)
            else:
                _walk_ranks(nodes, bounds, planes, row_stride, row, root[tree], at)
            for i in range(min(WALKS, n_rows - row)):
                out[row + i, tree] = leaf[at[i]]
