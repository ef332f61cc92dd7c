"""Trees of any size: rows walk from node to node, sixteen at a time.

A node is one 64-bit word, see `vectors.walk_rows`; the planes lie in tiles of 16 rows, so that all
that the walks read is a few cache lines, and the place of a row in its tile costs nothing. The first
levels of a large tree are not walked but stepped through by the cursor (`kernels.cursor`), for which
63 splits cost less than two visits.

Limit: a visit is two dependent loads (node, plane) and five other operations; the walks overlap
the loads, so about 1.5 cycles per visit remain while a tree fits in the second-level cache.
"""

from __future__ import annotations

import numba
import numpy as np

from millrace.backends.numba.kernels.ranks import TINY
from millrace.backends.numba.kernels.vectors import LANES, TILE, WALKS, advance, walk_rows

NAN_RIGHT, NAN_LEFT, ZERO_RIGHT, ZERO_LEFT, NAN_IS_ZERO = range(5)
"""The rules by which a plane sends missing values; with the ZERO rules zero is missing, too."""


@numba.njit(nogil=True, cache=True, inline="always")
def ruled(value, how):  # type: ignore[no-untyped-def]
    """A value as the splits of a plane with this rule for missing values see it."""
    if how == NAN_IS_ZERO:
        return 0.0 if np.isnan(value) else value
    missing = np.isnan(value)
    if how != NAN_LEFT:
        missing = missing or abs(value) <= TINY
    if not missing:
        return value
    return np.nan if how == ZERO_RIGHT else -np.inf


@numba.njit(nogil=True, cache=True, inline="always")
def leaf_number(nodes, bounds, at):  # type: ignore[no-untyped-def]
    """The number of a leaf in its tree, which it keeps where a split keeps its rank or bound."""
    if len(bounds):
        return np.int64(bounds[at])
    return np.int64((nodes[at] >> np.uint64(16)) & np.uint64(0xFFFF))


@numba.njit(nogil=True, cache=True)
def walk_sums(
    nodes,
    bounds,
    tiles,
    tile_size,
    by_plane,
    plane_stride,
    n_rows,
    root,
    top_start,
    top_plane,
    top_rank,
    top_here,
    top_there,
    entry_start,
    entry,
    leaf_start,
    value,
    target,
    sums,
):  # type: ignore[no-untyped-def]
    """Add every tree's leaf values to ``sums`` (n_outputs, n_rows), tree by tree.

    Parameters
    ----------
    nodes : uint64 (n_nodes,)
    bounds : float (n_nodes,), or empty where ranks are compared
    tiles : flat, plane p of row i at ``i // 16 * tile_size + 16 * p + i % 16``
    by_plane : flat, plane p at ``p * plane_stride``; the same cells, for the top
    root : int64 (n_trees + 1,)
    top_start, top_plane, top_rank, top_here, top_there
        Splits of the top of each tree, as `cursor_sums` takes them; none for small trees.
    entry_start : int64 (n_trees,); entry : uint32
        The nodes below the top, from left to right: where the walks start.
    leaf_start : int64 (n_trees,)
        Row of `value` of each tree's leftmost leaf.
    value : float32 or float64 (n_leaves, n_values)
    target : int32 (n_trees,)
    sums : dtype of value (n_outputs, n_rows rounded up to 256)
    """
    at = np.empty(WALKS, np.uint64)
    begin = np.empty(-(-n_rows // LANES) * LANES, np.uint32)
    cursor = np.empty(LANES, by_plane.dtype)
    n_values, apart, one = np.uint64(value.shape[1]), np.uint64(sums.shape[1]), np.uint64(1)
    values, totals = value.reshape(-1), sums.reshape(-1)
    for tree in range(len(root) - 1):
        to = np.uint64(target[tree]) * apart
        if top_start[tree] == top_start[tree + 1]:
            begin[:] = root[tree]
        else:
            for first in range(0, n_rows, LANES):
                cursor[:] = 0
                advance(
                    by_plane[first:],
                    plane_stride,
                    top_plane,
                    top_rank,
                    top_here,
                    top_there,
                    top_start[tree],
                    top_start[tree + 1],
                    cursor,
                )
                for i in range(LANES):
                    begin[first + i] = entry[np.uint64(entry_start[tree]) + np.uint64(cursor[i])]
        for first in range(0, n_rows, WALKS):
            for i in range(WALKS):
                at[i] = begin[first + i]
            walk_rows(nodes, bounds, tiles, first // TILE * tile_size + first % TILE, at)
            for i in range(WALKS):
                where = np.uint64(leaf_start[tree] + leaf_number(nodes, bounds, at[i])) * n_values
                out = to + np.uint64(first + i)
                for _ in range(n_values):
                    totals[out] += values[where]
                    where += one
                    out += apart


@numba.njit(nogil=True, cache=True)
def walk_leaves(nodes, bounds, tiles, tile_size, n_rows, root, leaf_start, out):  # type: ignore[no-untyped-def]
    """The row of `value` that each sample reaches in each tree: ``out`` int64 (n_rows, n_trees)."""
    at = np.empty(WALKS, np.uint64)
    for tree in range(len(root) - 1):
        for first in range(0, n_rows, WALKS):
            at[:] = root[tree]
            walk_rows(nodes, bounds, tiles, first // TILE * tile_size + first % TILE, at)
            for i in range(min(WALKS, n_rows - first)):
                out[first + i, tree] = leaf_start[tree] + leaf_number(nodes, bounds, at[i])
