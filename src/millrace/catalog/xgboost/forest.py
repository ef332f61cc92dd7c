"""XGBoost's trees as flat arrays, all trees at once.

Semantics matched: ``src/predictor/cpu_predictor.cc``, ``predict_fn.h``, ``src/common/categorical.h`` and
``src/gbm/gbtree.cc`` of XGBoost 3.2. A row goes left where ``x < threshold``, both float32. A missing
value follows the default direction. A categorical split sends its listed categories right and
all else left: so its children stand exchanged here, where listed categories go left.

The margins start at the base margin, and the trees are added one by one in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.catalog.xgboost.model import Model
from millrace.ir.arrays import Array
from millrace.ir.ops import Forest

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Float32s = npt.NDArray[np.float32]


def _offsets(counts: Any) -> Ints:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


class _Nodes:
    """The nodes of some trees; ``joined(key)`` is one array over all of them."""

    def __init__(self, trees: list[dict[str, Any]]) -> None:
        self.trees = trees
        self.start = _offsets([len(tree["left_children"]) for tree in trees])
        self.tree = np.repeat(np.arange(len(trees)), np.diff(self.start))
        self.id = np.arange(len(self.tree)) - self.start[self.tree]
        self.is_leaf = self.joined("left_children", np.int64) < 0

    def joined(self, key: str, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        return np.concatenate([np.asarray(tree[key], dtype) for tree in self.trees])

    def reached(self) -> Bools:
        """Nodes below a root; pruning leaves deleted nodes behind."""
        reached = np.zeros(len(self.tree), dtype=bool)
        level = self.start[:-1]
        children = [self.joined(f"{side}_children", np.int64) for side in ("left", "right")]
        while len(level):
            reached[level] = True
            level = level[~self.is_leaf[level]]
            level = np.concatenate([self.start[self.tree[level]] + c[level] for c in children])
        return reached

    def categories(self) -> tuple[Ints, Ints, Ints]:
        """The set of each node (-1: numeric), the first member of each set, and the members."""
        at = [tree["categories_nodes"] for tree in self.trees]
        n_sets = [len(nodes) for nodes in at]
        position = np.full(len(self.tree), -1, dtype=np.int64)
        first = np.repeat(self.start[:-1], n_sets)
        position[first + self.joined("categories_nodes", np.int64)] = np.arange(sum(n_sets))
        sizes = self.joined("categories_sizes", np.int64)
        return position, _offsets(sizes), self.joined("categories", np.int64)

    def leaf_values(self) -> Float32s:
        """What each leaf holds: (n_leaves, 1), or (n_leaves, n_groups) for vector leaves."""
        width = int(self.trees[0]["tree_param"]["size_leaf_vector"])
        if width <= 1:
            return self.joined("split_conditions", np.float32)[self.is_leaf].reshape(-1, 1)
        rows = self.joined("leaf_weights", np.float32).reshape(-1, width)
        n_leaves = np.bincount(self.tree[self.is_leaf], minlength=len(self.trees))
        row = self.joined("right_children", np.int64) + _offsets(n_leaves)[self.tree]
        return rows[row[self.is_leaf]]


def categorical_features(model: Model) -> set[int]:
    """The columns that some categorical split reads."""
    return {
        int(tree["split_indices"][node])
        for tree in model.body["trees"]
        for node in tree["categories_nodes"]
    }


def forest(
    model: Model, n_trees: int, base: Float32s, weigh: Callable[[Float32s, Ints], Float32s]
) -> Forest:
    """The first trees of a model; a leaf's name is its node number, as ``pred_leaf`` gives it.

    Parameters
    ----------
    model : Model
    n_trees : int
        At least 1.
    base : float32 (n_groups,)
    weigh : callable
        From the values of all leaves (n_leaves, n_values) and the tree of each leaf to what
        the leaves add to the margins (dart).
    """
    nodes = _Nodes(model.body["trees"][:n_trees])
    keep = nodes.reached()
    renumbered = np.cumsum(keep) - 1
    position, set_start, set_member = nodes.categories()
    inner, exchanged = keep & ~nodes.is_leaf, position[keep] >= 0
    start = _offsets(np.bincount(nodes.tree[keep], minlength=n_trees))
    first = renumbered[nodes.start[nodes.tree]]

    def child(side: str) -> Ints:
        at = nodes.start[nodes.tree] + nodes.joined(f"{side}_children", np.int64)
        moved = renumbered[np.where(inner, at, 0)] - first
        return np.where(inner, moved, -1)[keep]

    left, right = child("left"), child("right")
    is_leaf = nodes.is_leaf[keep]
    default_left = nodes.joined("default_left", bool)[keep]
    value = weigh(nodes.leaf_values(), nodes.tree[nodes.is_leaf])[keep[nodes.is_leaf]]
    target = np.asarray(model.body["tree_info"][:n_trees], np.int32)
    return Forest(
        start=Array(start),
        feature=Array(np.where(is_leaf, -1, nodes.joined("split_indices", np.int64)[keep]), "int32"),
        threshold=Array(np.where(is_leaf | exchanged, 0.0,
                                 nodes.joined("split_conditions", np.float64)[keep])),
        left=Array(np.where(exchanged, right, left), "int32"),
        right=Array(np.where(exchanged, left, right), "int32"),
        leaf=Array(np.where(is_leaf, np.cumsum(is_leaf) - 1, -1), "int32"),
        value=Array(value, "float32"),
        target=Array(target),
        leaf_id=Array(nodes.id[keep][is_leaf]),
        n_outputs=model.n_groups,
        base=Array(base, "float32"),
        missing=Array(np.where(is_leaf, 0, 1), "uint8"),
        default_left=Array(~is_leaf & (default_left ^ exchanged)),
        category=Array(np.where(is_leaf, -1, position[keep]), "int32"),
        set_start=Array(set_start),
        set_member=Array(set_member, "int64"),
        operator="<",
    )
