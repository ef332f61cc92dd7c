"""A forest in the form that the kernels run: every split is ``plane > rank``.

A *plane* is one column of the input read under one rule for missing values. Its values are replaced
by their ranks among the thresholds that the forest compares that column with, which is exact
(``x <= t[j]`` if and only if at most j thresholds are smaller than x) and makes all that follows
arithmetic on bytes. A category split becomes a plane of its own: 1 where the set sends the
row right, with rank 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.backends.numba.kernels.vectors import TILE
from millrace.backends.numba.kernels.walk import (
    NAN_IS_ZERO,
    NAN_LEFT,
    NAN_RIGHT,
    ZERO_LEFT,
    ZERO_RIGHT,
)
from millrace.ir.arrays import offsets
from millrace.ir.ops import Forest

Ints = npt.NDArray[np.integer]
Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Planes:
    """How the planes are filled.

    Attributes
    ----------
    column : int64 (n_planes,)
        Source column of each numeric plane; the category planes follow the numeric ones.
    rule : int64 (n_planes,)
        ``NAN_RIGHT`` ... ``NAN_IS_ZERO``.
    table : float (sum of padded lengths,)
        Thresholds of each plane, ascending, padded with +inf to ``2 * half - 1``.
    table_at, half, size, nan_rank : int64 (n_planes,)
        Where each table starts, half of its padded size rounded up, and its entries.
    zero_missing : bool (n_planes,)
    members : tuple of int64 arrays
        The categories of each coded column, ascending.
    coded_column, coded_rule : tuple of int
        Which column each of them belongs to and its `Forest.missing` rule.
    lut : uint8 (n_category_planes, longest members + 2)
    lut_source : int64 (n_category_planes,)
    """

    column: Ints
    rule: Ints
    table: Floats
    table_at: Ints
    half: Ints
    size: Ints
    nan_rank: Ints
    zero_missing: npt.NDArray[np.bool_]
    members: tuple[Ints, ...]
    coded_column: tuple[int, ...]
    coded_rule: tuple[int, ...]
    lut: npt.NDArray[np.uint8]
    lut_source: Ints

    @property
    def n_numeric(self) -> int:
        return len(self.column)

    @property
    def n_planes(self) -> int:
        return len(self.column) + len(self.lut)


@dataclass(frozen=True)
class CursorSplits:
    """Splits that are stepped through, parents first: see `kernels.cursor`.

    Attributes
    ----------
    start : int64 (n_trees + 1,)
    plane : uint32; rank, here, there : dtype of the planes (n_splits,)
    """

    start: Ints
    plane: Ints
    rank: Ints
    here: Ints
    there: Ints


TOP_LEVELS = 6
"""Levels of a large tree that are stepped through before the walk."""


@dataclass(frozen=True)
class QuantizedForest:
    """Planes, nodes and leaves, ready for the kernels.

    Attributes
    ----------
    planes : Planes
    plane_dtype : numpy dtype
        uint8 or uint16 where ranks are compared, the column dtype where values are.
    by_value : bool
    depth, n_leaves : int64 (n_trees,)
        Of each tree.
    root : int64 (n_trees + 1,); nodes : uint64; bounds : float
        The walk's nodes: see `kernels.walk`.
    has_cursor : bool
        Whether `splits` are whole trees; else they are the first levels of each, and the walk goes on
        from ``entry[entry_start[tree] + cursor]``.
    splits : CursorSplits
    entry_start : int64 (n_trees,); entry : uint32
    leaf_start : int64 (n_trees,)
    value : float (n_leaves, n_values)
        Leaf values, the leaves of each tree from left to right.
    leaf_row : int64 (n_leaves,)
        Row of the source forest's `value` for each of them.
    """

    planes: Planes
    plane_dtype: np.dtype[Any]
    by_value: bool
    n_leaves: Ints
    root: Ints
    nodes: npt.NDArray[np.uint64]
    bounds: Floats
    has_cursor: bool
    splits: CursorSplits
    entry_start: Ints
    entry: npt.NDArray[np.uint32]
    leaf_start: Ints
    value: Floats
    leaf_row: Ints


def as_less_equal(threshold: Floats, operator: str, dtype: np.dtype[Any]) -> Floats:
    """The thresholds t' in `dtype` with ``x <= t'`` exactly where ``x <operator> t`` in float64."""
    with np.errstate(
        over="ignore"
    ):  # beyond the largest float32 lies infinity, which is right here
        rounded = threshold.astype(dtype)
    down = dtype.type(-np.inf)
    too_high = rounded.astype(np.float64) > threshold
    if operator == "<":
        too_high |= rounded.astype(np.float64) == threshold
    return np.where(too_high, np.nextafter(rounded, down), rounded)


def quantize(
    forest: Forest,
    dtype: np.dtype[Any],
    cursor_leaves: int = 256,
    by_value: bool = False,
) -> QuantizedForest:
    """Prepare a forest for columns of this dtype (float32 or float64).

    Parameters
    ----------
    forest : Forest
    dtype : float32 or float64
    cursor_leaves : int
        The cursor form is made when no tree has more leaves than this.
    by_value : bool
        Compare values also where ranks would do.
    """
    split = forest.feature.values >= 0
    numeric = split & (forest.category.values < 0)
    planes, plane, rank, bound = _numeric_planes(forest, np.flatnonzero(numeric), dtype)
    planes = _with_categories(planes, forest, plane, rank, bound, np.flatnonzero(split & ~numeric))
    highest = max(int(rank.max(initial=0)), int(planes.nan_rank.max(initial=0)))
    by_value |= max(highest, _most_nodes(forest)) > 0xFFFF
    by_value |= (planes.n_planes + 1) * TILE > 0xFFFF
    rank_dtype = np.dtype(np.uint8 if highest <= 0xFF else np.uint16)
    plane_dtype = dtype if by_value else rank_dtype
    if by_value:
        bound = bound.astype(dtype)

    tree, depth = _depths(forest)
    leaves, first_leaf = _leaf_order(forest, tree, depth, ~split)
    position = _walk_order(forest, tree, depth)
    nodes, bounds = _pack(
        forest, tree, position, first_leaf, plane, rank, bound, by_value, planes.n_planes
    )
    leaf_start = offsets(leaves[forest.start.values[:-1]])
    at_leaf = np.flatnonzero(~split)
    in_order = leaf_start[tree[at_leaf]] + first_leaf[at_leaf]
    leaf_row = np.empty(len(at_leaf), np.int64)
    leaf_row[in_order] = forest.leaf.values[at_leaf]
    n_leaves = np.diff(leaf_start)
    limit = min(cursor_leaves, np.iinfo(rank_dtype).max + 1)
    has_cursor = not by_value and int(n_leaves.max(initial=0)) <= limit
    entry_start, entry = np.zeros(forest.n_trees, np.int64), np.empty(0, np.uint32)
    stepped = split
    if not has_cursor:
        stepped = split & (depth < TOP_LEVELS) & (not by_value)
        bottom = ~stepped & (depth <= TOP_LEVELS)
        leaves, first_leaf = _leaf_order(forest, tree, depth, bottom)
        bottom &= _reached(forest, tree, depth, stepped)
        entry_start = offsets(np.bincount(tree[bottom], minlength=forest.n_trees))
        entry = np.empty(int(entry_start[-1]), np.uint32)
        entry[entry_start[tree[bottom]] + first_leaf[bottom]] = position[bottom]
    splits = _cursor_splits(
        forest, tree, depth, stepped, leaves, first_leaf, plane, rank, rank_dtype
    )
    return QuantizedForest(
        planes,
        plane_dtype,
        by_value,
        n_leaves,
        forest.start.values.astype(np.int64),
        nodes,
        bounds,
        has_cursor,
        splits,
        entry_start[: forest.n_trees].astype(np.int64),
        entry,
        leaf_start[:-1],
        np.ascontiguousarray(forest.value.values[leaf_row]),
        leaf_row,
    )


def _reached(
    forest: Forest, tree: Ints, depth: Ints, stepped: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Roots, and children of splits that are stepped through."""
    reached = depth == 0
    parents = np.flatnonzero(stepped)
    base = forest.start.values[tree[parents]]
    reached[base + forest.left.values[parents]] = True
    reached[base + forest.right.values[parents]] = True
    return reached


def _cursor_splits(
    forest: Forest,
    tree: Ints,
    depth: Ints,
    stepped: npt.NDArray[np.bool_],
    leaves: Ints,
    first_leaf: Ints,
    plane: Ints,
    rank: Ints,
    dtype: np.dtype[Any],
) -> CursorSplits:
    splits = np.flatnonzero(stepped)
    splits = splits[np.lexsort((depth[splits], tree[splits]))]
    start = offsets(np.bincount(tree[splits], minlength=forest.n_trees))
    here = first_leaf[splits]
    there = here + leaves[forest.start.values[tree[splits]] + forest.left.values[splits]]
    return CursorSplits(
        start.astype(np.int64),
        plane[splits].astype(np.uint32),
        rank[splits].astype(dtype),
        here.astype(dtype),
        there.astype(dtype),
    )


def _numeric_planes(
    forest: Forest, nodes: Ints, dtype: np.dtype[Any]
) -> tuple[Planes, Ints, Ints, Floats]:
    """The planes of the numeric splits, and plane, rank and bound of every node."""
    missing = forest.missing.values[nodes].astype(np.int64)
    left = forest.default_left.values[nodes].astype(np.int64)
    rule = np.choose(
        missing,
        [
            np.full(len(nodes), NAN_RIGHT),
            NAN_RIGHT + left,
            ZERO_RIGHT + left,
            np.full(len(nodes), NAN_IS_ZERO),
        ],
    )
    key = forest.feature.values[nodes].astype(np.int64) * 8 + rule
    keys, of_node = np.unique(key, return_inverse=True)
    bound = as_less_equal(forest.threshold.values[nodes], forest.operator, dtype) + dtype.type(0)
    order = np.lexsort((bound, of_node))
    of_sorted, sorted_bound = of_node[order], bound[order]
    new_plane = np.append(True, of_sorted[1:] != of_sorted[:-1])[: len(order)]
    new_value = new_plane | np.append(True, sorted_bound[1:] != sorted_bound[:-1])[: len(order)]
    distinct = np.cumsum(new_value) - 1
    first = np.searchsorted(of_node[order][new_value], np.arange(len(keys)))
    count = np.diff(np.append(first, int(new_value.sum())))
    rank = np.zeros(len(forest.feature), np.int64)
    rank[nodes[order]] = distinct - first[of_node[order]]
    plane = np.zeros(len(forest.feature), np.int64)
    plane[nodes] = of_node
    bounds = np.zeros(len(forest.feature), np.float64)
    bounds[nodes] = bound
    table, table_at, half = _padded(bound[order][new_value], first, count, dtype)
    rules = keys % 8
    zero_rank = np.array(
        [
            int(np.searchsorted(bound[order][new_value][f : f + c], 0.0, side="left"))
            for f, c in zip(first, count, strict=True)
        ],
        np.int64,
    ).reshape(-1)
    nan_rank = np.where((rules == NAN_LEFT) | (rules == ZERO_LEFT), 0, count)
    nan_rank = np.where(rules == NAN_IS_ZERO, zero_rank, nan_rank)
    zero_missing = (rules == ZERO_RIGHT) | (rules == ZERO_LEFT)
    none = np.empty((0, 2), np.uint8)
    planes = Planes(
        keys // 8,
        rules,
        table,
        table_at,
        half,
        count.astype(np.int64),
        nan_rank,
        zero_missing,
        (),
        (),
        (),
        none,
        np.empty(0, np.int64),
    )
    return planes, plane, rank, bounds


def _padded(
    distinct: Floats, first: Ints, count: Ints, dtype: np.dtype[Any]
) -> tuple[Floats, Ints, Ints]:
    """Each plane's thresholds padded with +inf to one less than a power of two."""
    half = np.array([1 << (max(int(c), 1).bit_length() - 1) for c in count], np.int64)
    table_at = offsets(2 * half - 1)
    table = np.full(max(int(table_at[-1]), 1), np.inf, dtype)
    target = np.repeat(table_at[:-1] - first, count).astype(np.int64) + np.arange(len(distinct))
    table[target] = distinct
    return table, table_at[:-1], half


def _with_categories(
    planes: Planes, forest: Forest, plane: Ints, rank: Ints, bound: Floats, nodes: Ints
) -> Planes:
    """Add one plane for each distinct category split; `plane`, `rank`, `bound` are filled in."""
    if not len(nodes):
        return planes
    members = [
        forest.set_member.values[a:b]
        for a, b in zip(forest.set_start.values[:-1], forest.set_start.values[1:], strict=True)
    ]
    coders: dict[tuple[int, int], set[int]] = {}
    for node in nodes:
        key = (int(forest.feature.values[node]), int(forest.missing.values[node]))
        coders.setdefault(key, set()).update(members[forest.category.values[node]].tolist())
    known = {key: np.array(sorted(found), np.int64) for key, found in coders.items()}
    source = {key: i for i, key in enumerate(known)}
    width = max(len(v) for v in known.values()) + 2
    seen: dict[tuple[int, bytes], int] = {}
    rows: list[npt.NDArray[np.uint8]] = []
    sources: list[int] = []
    for node in nodes:
        key = (int(forest.feature.values[node]), int(forest.missing.values[node]))
        right = np.ones(width, np.uint8)
        right[np.searchsorted(known[key], members[forest.category.values[node]])] = 0
        right[len(known[key]) + 1] = not forest.default_left.values[node]
        identity = (source[key], right.tobytes())
        if identity not in seen:
            seen[identity] = len(rows)
            rows.append(right)
            sources.append(source[key])
        plane[node], rank[node], bound[node] = planes.n_numeric + seen[identity], 0, 0.5
    return Planes(
        planes.column,
        planes.rule,
        planes.table,
        planes.table_at,
        planes.half,
        planes.size,
        planes.nan_rank,
        planes.zero_missing,
        tuple(known.values()),
        tuple(k[0] for k in known),
        tuple(k[1] for k in known),
        np.stack(rows),
        np.array(sources, np.int64),
    )


def _depths(forest: Forest) -> tuple[Ints, Ints]:
    """Tree and depth of every node."""
    start = forest.start.values
    tree = np.repeat(np.arange(forest.n_trees), np.diff(start))
    depth = np.zeros(len(tree), np.int64)
    level = start[:-1][np.diff(start) > 0]
    while len(level):
        level = level[forest.feature.values[level] >= 0]
        base = start[tree[level]]
        children = np.concatenate(
            [base + forest.left.values[level], base + forest.right.values[level]]
        )
        depth[children] = np.tile(depth[level] + 1, 2)
        level = children
    return tree, depth


def _leaf_order(
    forest: Forest, tree: Ints, depth: Ints, is_leaf: npt.NDArray[np.bool_]
) -> tuple[Ints, Ints]:
    """Leaves below every node, and the leftmost of them, counted from the left of its tree.

    `is_leaf` may cut the trees off: what lies below such a node does not count.
    """
    start = forest.start.values
    leaves = is_leaf.astype(np.int64)
    inner = (forest.feature.values >= 0) & ~is_leaf
    by_depth = np.argsort(depth, kind="stable")
    edges = np.searchsorted(depth[by_depth], np.arange(int(depth.max(initial=0)) + 2))
    levels = [by_depth[a:b] for a, b in zip(edges[:-1], edges[1:], strict=True)]
    levels = [nodes[inner[nodes]] for nodes in levels]
    for nodes in reversed(levels):
        base = start[tree[nodes]]
        leaves[nodes] = (
            leaves[base + forest.left.values[nodes]] + leaves[base + forest.right.values[nodes]]
        )
    first = np.zeros(len(tree), np.int64)
    for nodes in levels:
        base = start[tree[nodes]]
        left, right = base + forest.left.values[nodes], base + forest.right.values[nodes]
        first[left] = first[nodes]
        first[right] = first[nodes] + leaves[left]
    return leaves, first


def _walk_order(forest: Forest, tree: Ints, depth: Ints) -> Ints:
    """New position of every node: breadth first within its tree, siblings side by side."""
    start = forest.start.values
    splits = np.flatnonzero(forest.feature.values >= 0)
    splits = splits[np.lexsort((depth[splits], tree[splits]))]
    base = start[tree[splits]]
    before = np.searchsorted(tree[splits], np.arange(forest.n_trees))
    pair = base + 1 + 2 * (np.arange(len(splits)) - before[tree[splits]])
    position = np.empty(len(tree), np.int64)
    position[start[:-1][np.diff(start) > 0]] = start[:-1][np.diff(start) > 0]
    position[base + forest.left.values[splits]] = pair
    position[base + forest.right.values[splits]] = pair + 1
    return position


def _most_nodes(forest: Forest) -> int:
    return int(np.diff(forest.start.values).max(initial=0))


def _pack(
    forest: Forest,
    tree: Ints,
    position: Ints,
    first_leaf: Ints,
    plane: Ints,
    rank: Ints,
    bound: Floats,
    by_value: bool,
    n_planes: int,
) -> tuple[npt.NDArray[np.uint64], Floats]:
    """The words of the walk, in the new order.

    A leaf reads the plane after the last one, which is all zero, and so is never left; where a split
    keeps its rank or bound, a leaf keeps its number in the tree.
    """
    split = forest.feature.values >= 0
    left = position.copy()
    at = np.flatnonzero(split)
    left[at] = position[forest.start.values[tree[at]] + forest.left.values[at]]
    source = np.where(split, plane, n_planes).astype(np.uint64) * np.uint64(TILE)
    nodes = np.empty(len(tree), np.uint64)
    if by_value:
        nodes[position] = (source << np.uint64(32)) | left.astype(np.uint64)
        bounds = np.empty(len(tree), bound.dtype)
        bounds[position] = np.where(split, bound, first_leaf.astype(bound.dtype))
        return nodes, bounds
    word = source | (np.where(split, rank, first_leaf).astype(np.uint64) << np.uint64(16))
    nodes[position] = word | (left.astype(np.uint64) << np.uint64(32))
    return nodes, np.empty(0, np.float64)
