"""Forests as ``TreeEnsemble`` (ai.onnx.ml 5): the same branch for every value, and the same sums.

A tree ensemble has one dtype for rows, thresholds and results. It is float32 where rows and leaf values
are, with each threshold moved to the float32 beside it that splits all float32 values alike, and
float64 otherwise.

What a node of an ensemble cannot ask is asked beforehand: a column in which zeros count as missing is a
copy with NaN for them, and a column of categories is a copy with whole numbers, -1 for what is in no
set and one past the largest member for what is missing.

Leaf values are added tree by tree, the base first, as the source does. A leaf of several values stands
for as many trees; where that would be too many nodes, the ensemble only finds the leaves, and a loop
adds up their values.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.backends.onnx.graph import ML, Refused, Tensor, concat, onnx_type, tensor_proto
from millrace.ir.ops import Forest

Numbers = npt.NDArray[Any]

ZERO = float(np.float32(1e-35))
"""What counts as zero where zeros are missing."""

LESS_OR_EQUAL, LESS, MEMBER = 0, 1, 6
"""Modes of a node in ai.onnx.ml 5."""

MOST_NODES = 200_000
"""Nodes up to which a leaf of several values is written as several trees."""

_NARROW = ("float32", "float16", "bool", "int8", "uint8", "int16", "uint16")
"""Dtypes whose values are all exact in float32."""

_ORDER = (
    "Sums over trees are in the order of the source where the runtime uses one thread for a row; with "
    "more, the last bits may differ."
)


@dataclass(frozen=True)
class _Nodes:
    """The splits and leaves of a forest, each numbered by itself.

    Attributes
    ----------
    split, leaf : positions in the arrays of the forest
    number : for every node its number among the splits, or among the leaves
    root : node of each tree
    tree_of_leaf : tree of each leaf
    """

    split: Numbers
    leaf: Numbers
    number: Numbers
    root: Numbers
    tree_of_leaf: Numbers

    @classmethod
    def of(cls, forest: Forest) -> _Nodes:
        is_split = forest.feature.values >= 0
        split, leaf = np.flatnonzero(is_split), np.flatnonzero(~is_split)
        number = np.empty(len(is_split), np.int64)
        number[split], number[leaf] = np.arange(len(split)), np.arange(len(leaf))
        start = forest.start.values
        tree = np.searchsorted(start, leaf, side="right") - 1
        return cls(split, leaf, number, start[:-1], tree)


def tree_sums(x: Tensor, forest: Forest) -> Tensor:
    """`Trees`: the sums of the leaf values."""
    if forest.linear is not None:
        raise Refused(
            "its leaves hold linear models, which no operator of ONNX has",
            "Fit the model without linear leaves, or export it with to_c",
        )
    nodes = _Nodes.of(forest)
    if not len(nodes.split):
        return x.graph.constant(_constant_sums(forest, nodes))
    dtype = str(forest.value.dtype)
    copies = forest.value.shape[1]
    compute = "float32" if x.dtype in _NARROW and dtype == "float32" else "float64"
    if compute != dtype or (copies > 1 and copies * len(nodes.number) > MOST_NODES):
        return _loop_of_sums(x, forest, nodes)
    x.graph.note(_ORDER)
    return _ensemble(x, forest, nodes, compute, _Ends.of(forest, nodes))


def leaves(x: Tensor, forest: Forest) -> Tensor:
    """`Leaves`: the source's name of the leaf of each tree."""
    nodes = _Nodes.of(forest)
    names = forest.leaf_id.values[forest.leaf.values[nodes.leaf]]
    if not len(nodes.split):
        return x.graph.constant(names.astype(np.int64))
    return _reached(x, forest, nodes, names).to("int64")


def _reached(x: Tensor, forest: Forest, nodes: _Nodes, names: Numbers) -> Tensor:
    """A whole number for the leaf of each tree, as a float."""
    small = bool((np.abs(names) < 2**24).all())
    compute = "float32" if x.dtype in _NARROW and small else "float64"
    return _ensemble(x, forest, nodes, compute, _Ends(names, nodes.tree_of_leaf, forest.n_trees))


def _constant_sums(forest: Forest, nodes: _Nodes) -> Numbers:
    """The sums of a forest of which every tree is one leaf."""
    sums = forest.base.values.copy()
    for tree, leaf in zip(nodes.tree_of_leaf, forest.leaf.values[nodes.leaf], strict=True):
        first = int(forest.target.values[tree])
        sums[first : first + forest.value.shape[1]] += forest.value.values[leaf]
    return sums


@dataclass(frozen=True)
class _Ends:
    """What the leaves add to which target: those of the forest, copy after copy, then lonely ones.

    A lonely leaf is a tree by itself: it stands for a target that no tree of the forest adds to.
    """

    weight: Numbers
    target: Numbers
    n_targets: int
    copies: int = 1
    n_lonely: int = 0

    @classmethod
    def of(cls, forest: Forest, nodes: _Nodes) -> _Ends:
        """A copy of the leaves for each value, with the base in the first tree of every target."""
        copies = range(forest.value.shape[1])
        weight = forest.value.values[forest.leaf.values[nodes.leaf]].T.ravel()
        first = forest.target.values[nodes.tree_of_leaf]
        target = np.concatenate([first + j for j in copies])
        tree = np.concatenate([nodes.tree_of_leaf + j * forest.n_trees for j in copies])
        base = forest.base.values
        lonely = sorted(set(range(forest.n_outputs)) - set(target.tolist()))
        for k in set(np.flatnonzero(base).tolist()) - set(lonely):
            own = target == k
            start = own & (tree == tree[own].min())
            weight[start] = base[k] + weight[start]
        weight, target = np.append(weight, base[lonely]), np.append(target, lonely)
        return cls(weight, target.astype(np.int64), forest.n_outputs, len(copies), len(lonely))


# -- the ensemble --------------------------------------------------------------------------
def _ensemble(x: Tensor, forest: Forest, nodes: _Nodes, compute: str, ends: _Ends) -> Tensor:
    """One node that adds what the leaves add, in the dtype `compute`."""
    block, splits = _asked(x.whole(), forest, nodes, compute)
    branches = _branches(forest, nodes, ends)
    copies = ends.copies
    more = len(branches["nodes_truenodeids"]) - copies * len(nodes.split)
    threshold = _padded(splits.threshold, copies, more).astype(compute)
    mode = _padded(splits.mode, copies, more).astype(np.uint8)
    attributes: dict[str, Any] = {
        "aggregate_function": 1,
        "n_targets": ends.n_targets,
        "nodes_featureids": _padded(splits.feature, copies, more).tolist(),
        "nodes_modes": tensor_proto(mode, "modes"),
        "nodes_splits": tensor_proto(threshold, "splits"),
        "leaf_targetids": ends.target.tolist(),
        "leaf_weights": tensor_proto(ends.weight.astype(compute), "weights"),
        **branches,
    }
    if splits.missing_left.any():
        tracks = _padded(splits.missing_left.astype(np.int64), copies, more)
        attributes["nodes_missing_value_tracks_true"] = tracks.tolist()
    if splits.members:
        members = np.array(splits.members * copies, compute)
        attributes["membership_values"] = tensor_proto(members, "members")
    name = x.graph.op("TreeEnsemble", block.name, domain=ML, post_transform=0, **attributes)
    return Tensor(x.graph, name, compute, ends.n_targets)


def _padded(values: Numbers, copies: int, more: int) -> Numbers:
    return np.append(np.tile(values, copies), np.zeros(more, values.dtype))


def _branches(forest: Forest, nodes: _Nodes, ends: _Ends) -> dict[str, list[int]]:
    """Where each node leads; a tree that is one leaf is a node with twice the same leaf."""
    copies, lonely = ends.copies, ends.n_lonely
    n_splits, n_leaves = len(nodes.split), len(nodes.leaf)
    first = np.repeat(nodes.root, np.diff(forest.start.values))[nodes.split]
    is_leaf = forest.feature.values < 0
    stumps = nodes.number[nodes.root[is_leaf[nodes.root]]]
    ids: dict[str, list[Numbers]] = {"true": [], "false": []}
    leafs: dict[str, list[Numbers]] = {"true": [], "false": []}
    for branch, child in (("true", forest.left), ("false", forest.right)):
        at = first + child.values[nodes.split]
        for copy in range(copies):
            shift = np.where(is_leaf[at], n_leaves, n_splits) * copy
            ids[branch].append(nodes.number[at] + shift)
            leafs[branch].append(is_leaf[at].astype(np.int64))
        own = [stumps + n_leaves * c for c in range(copies)]
        alone = np.concatenate([*own, copies * n_leaves + np.arange(lonely)])
        ids[branch].append(alone)
        leafs[branch].append(np.ones(len(alone), np.int64))
    return {
        "tree_roots": _roots(nodes, is_leaf, copies, lonely),
        "nodes_truenodeids": np.concatenate(ids["true"]).tolist(),
        "nodes_trueleafs": np.concatenate(leafs["true"]).tolist(),
        "nodes_falsenodeids": np.concatenate(ids["false"]).tolist(),
        "nodes_falseleafs": np.concatenate(leafs["false"]).tolist(),
    }


def _roots(nodes: _Nodes, is_leaf: Numbers, copies: int, lonely: int) -> list[int]:
    """The root of each tree, copy after copy: in the order in which they are added."""
    n_splits, alone = len(nodes.split), is_leaf[nodes.root]
    stump = np.cumsum(alone) - 1
    roots: list[int] = []
    for copy in range(copies):
        at_end = copies * n_splits + copy * int(alone.sum()) + stump
        roots += np.where(alone, at_end, nodes.number[nodes.root] + copy * n_splits).tolist()
    end = copies * (n_splits + int(alone.sum()))
    return [*roots, *range(end, end + lonely)]


# -- what a node asks ----------------------------------------------------------------------
@dataclass(frozen=True)
class _Splits:
    """The question of each split; `members` of all sets one after another, NaN after each set."""

    feature: Numbers
    threshold: Numbers
    mode: Numbers
    missing_left: Numbers
    members: list[float]


def _asked(x: Tensor, forest: Forest, nodes: _Nodes, compute: str) -> tuple[Tensor, _Splits]:
    """The block that the ensemble reads, and the question of each split about it."""
    at = nodes.split
    feature = forest.feature.values[at].astype(np.int64)
    rule, left = forest.missing.values[at], forest.default_left.values[at].astype(bool)
    threshold = forest.threshold.values[at].astype(np.float64)
    less = forest.operator == "<"
    nan_is_zero = threshold > 0 if less else threshold >= 0
    missing_left = np.where(rule == 3, nan_is_zero, left & (rule != 0))
    category = forest.category.values[at]
    mode = np.where(category >= 0, MEMBER, LESS if less else LESS_OR_EQUAL)
    if compute == "float32":
        threshold = _beside(threshold, less)
    x = x.to(compute)
    blocks, moved, members = [x], feature.copy(), dict[int, list[float]]()
    for copy, own in _copies(x, forest, feature, rule, category):
        moved[own] = sum(b.width for b in blocks)
        blocks.append(copy.block)
        for split in own[category[own] >= 0]:
            to_left = bool(left[split]) and rule[split] in (1, 2)
            members[int(split)] = copy.members(forest, int(category[split]), to_left)
    empty = [split for split, values in members.items() if not values]
    mode[empty], threshold[empty] = LESS_OR_EQUAL, -2.0  # below every code
    missing_left[category >= 0] = False
    threshold[mode == MEMBER] = 0.0
    flat = [v for s in sorted(members) if members[s] for v in (*members[s], np.nan)]
    return concat(blocks), _Splits(moved, threshold, mode, missing_left, flat)


def _beside(threshold: Numbers, less: bool) -> Numbers:
    """The float32 that splits all float32 values as the float64 does."""
    with np.errstate(over="ignore"):
        near = threshold.astype(np.float32)
    wide = near.astype(np.float64)
    if less:
        moved = np.where(wide < threshold, np.nextafter(near, np.float32(np.inf)), near)
    else:
        moved = np.where(wide > threshold, np.nextafter(near, np.float32(-np.inf)), near)
    return moved.astype(np.float64)


@dataclass(frozen=True)
class _Copy:
    """A column as some splits want it; `missing` is the code of a missing category."""

    block: Tensor
    missing: int = 0

    def members(self, forest: Forest, category: int, missing_left: bool) -> list[float]:
        """The codes that go left."""
        start = forest.set_start.values
        own = forest.set_member.values[start[category] : start[category + 1]]
        members = own.astype(np.float64).tolist()
        return [*members, float(self.missing)] if missing_left else members


def _copies(
    x: Tensor, forest: Forest, feature: Numbers, rule: Numbers, category: Numbers
) -> Iterator[tuple[_Copy, Numbers]]:
    """The copies of columns that splits need, and which splits those are."""
    wants = {
        (int(f), int(r), bool(c >= 0))
        for f, r, c in zip(feature, rule, category, strict=True)
        if c >= 0 or r == 2
    }
    for f, r, categorical in sorted(wants):
        own = np.flatnonzero((feature == f) & (rule == r) & ((category >= 0) == categorical))
        column = x.take([f])
        missing = column.isnan() if r else None
        if r == 2:
            missing = column.isnan() | (abs(column) <= ZERO)
        if not categorical:
            assert missing is not None
            yield _Copy(missing.where(np.nan, column)), own
            continue
        most = _largest_member(forest, category[own])
        inside = (column > -1) & (column < most + 1)
        codes = inside.where(abs(column).apply("Floor"), -1)
        if missing is not None:
            codes = missing.where(0 if r == 3 else most + 1, codes)
        yield _Copy(codes, most + 1), own


def _largest_member(forest: Forest, category: Numbers) -> int:
    start, member = forest.set_start.values, forest.set_member.values
    return max(int(member[start[c] : start[c + 1]].max(initial=0)) for c in set(category.tolist()))


# -- many values a leaf --------------------------------------------------------------------
def _loop_of_sums(x: Tensor, forest: Forest, nodes: _Nodes) -> Tensor:
    """Find the leaves, then add up their rows of values tree by tree."""
    from onnx import helper

    graph = x.graph
    reached = _reached(x, forest, nodes, np.arange(len(nodes.leaf))).to("int64")
    dtype = str(forest.value.dtype)
    table = np.zeros((len(nodes.leaf), forest.n_outputs), dtype)
    values = forest.value.values[forest.leaf.values[nodes.leaf]]
    first = forest.target.values[nodes.tree_of_leaf]
    for j in range(values.shape[1]):
        table[np.arange(len(table)), first + j] = values[:, j]
    rows = graph.array(table)
    sums = graph.constant(forest.base.values).whole()
    prefix = graph.fresh("Loop")
    names = {n: f"{prefix}_{n}" for n in ("tree", "go", "sums", "leaf", "added", "going", "total")}
    body = helper.make_graph(
        [
            helper.make_node("Gather", [reached.name, names["tree"]], [names["leaf"]], axis=1),
            helper.make_node("Gather", [rows, names["leaf"]], [names["added"]], axis=0),
            helper.make_node("Add", [names["sums"], names["added"]], [names["total"]]),
            helper.make_node("Identity", [names["go"]], [names["going"]]),
        ],
        f"{prefix}_body",
        [
            helper.make_tensor_value_info(names["tree"], onnx_type("int64"), []),
            helper.make_tensor_value_info(names["go"], onnx_type("bool"), []),
            helper.make_tensor_value_info(names["sums"], onnx_type(dtype), [None, sums.width]),
        ],
        [
            helper.make_tensor_value_info(names["going"], onnx_type("bool"), []),
            helper.make_tensor_value_info(names["total"], onnx_type(dtype), [None, sums.width]),
        ],
    )
    count = graph.array(np.array(forest.n_trees))
    name = graph.op("Loop", count, "", sums.name, body=body)
    return Tensor(graph, name, dtype, forest.n_outputs)
