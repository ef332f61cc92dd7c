"""XGBoost's trees as flat arrays, all trees at once.

Semantics matched: ``src/predictor/cpu_predictor.cc``, ``src/predictor/predict_fn.h``,
``src/common/categorical.h`` and ``src/gbm/gbtree.cc`` of XGBoost 3.2. A row goes left where
``x < threshold``, both float32. A missing value follows the default direction. A categorical split
sends its listed categories right and all else left: so its children stand exchanged here, where
listed categories go left.

The margins start at the base margin, and the trees are added one by one in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.catalog.xgboost.model import Model
from millrace.ir.arrays import Array, offsets
from millrace.ir.ops import Forest

Ints = npt.NDArray[np.int64]
Float32s = npt.NDArray[np.float32]


class _Nodes:
    """The nodes of some trees, one tree after another, without those that pruning left behind.

    Attributes
    ----------
    start : int64 (n_trees + 1,)
        First node of each tree.
    tree, id : int64 (n_nodes,)
        The tree of each node, and its number there in the source.
    is_leaf : bool (n_nodes,)
    """

    def __init__(self, trees: list[dict[str, Any]]) -> None:
        self.trees = trees
        self.saved_start = offsets([len(tree["left_children"]) for tree in trees])
        saved_tree = np.repeat(np.arange(len(trees)), np.diff(self.saved_start))
        self.kept = self._reached(saved_tree)
        self.tree = saved_tree[self.kept]
        self.id = self.kept - self.saved_start[self.tree]
        self.start = offsets(np.bincount(self.tree, minlength=len(trees)))
        self.is_leaf = self.all("left_children", np.int64) < 0

    def _joined(self, key: str, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        return np.concatenate([np.asarray(tree[key], dtype) for tree in self.trees])

    def all(self, key: str, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """What each node holds under a key."""
        return self._joined(key, dtype)[self.kept]

    def _reached(self, tree: Ints) -> Ints:
        """Positions, among the saved nodes, of those below a root."""
        left, right = (self._joined(f"{side}_children", np.int64) for side in ("left", "right"))
        reached = np.zeros(len(tree), dtype=bool)
        level = self.saved_start[:-1]
        while len(level):
            reached[level] = True
            level = level[left[level] >= 0]
            first = self.saved_start[tree[level]]
            level = np.concatenate([first + left[level], first + right[level]])
        return np.flatnonzero(reached)

    def child(self, side: str) -> Ints:
        """The left or right child of each node, counted from the first node of its tree."""
        number = self.all(f"{side}_children", np.int64)
        at = np.where(self.is_leaf, 0, self.saved_start[self.tree] + number)
        moved = np.searchsorted(self.kept, at) - self.start[self.tree]
        return np.where(self.is_leaf, -1, moved)

    def categories(self) -> tuple[Ints, Ints, Ints]:
        """The set of each node (-1: numeric), the first member of each set, and the members."""
        n_sets = [len(tree["categories_nodes"]) for tree in self.trees]
        at = np.repeat(self.saved_start[:-1], n_sets) + self._joined("categories_nodes", np.int64)
        position = np.full(self.saved_start[-1], -1, dtype=np.int64)
        position[at] = np.arange(len(at))
        sizes = self._joined("categories_sizes", np.int64)
        return position[self.kept], offsets(sizes), self._joined("categories", np.int64)

    def leaf_values(self) -> Float32s:
        """What each leaf holds: (n_leaves, 1), or (n_leaves, n_groups) for vector leaves."""
        width = int(self.trees[0]["tree_param"]["size_leaf_vector"])
        if width <= 1:
            return self.all("split_conditions", np.float32)[self.is_leaf].reshape(-1, 1)
        rows = [np.asarray(t["leaf_weights"], np.float32).reshape(-1, width) for t in self.trees]
        first = offsets([len(r) for r in rows])[self.tree]
        row = first + self.all("right_children", np.int64)  # where a leaf keeps its row
        return np.concatenate(rows)[row[self.is_leaf]]


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
    is_leaf = nodes.is_leaf
    position, set_start, set_member = nodes.categories()
    exchanged = position >= 0
    left, right = nodes.child("left"), nodes.child("right")
    feature = nodes.all("split_indices", np.int64)
    threshold = nodes.all("split_conditions", np.float64)
    default_left = nodes.all("default_left", bool) ^ exchanged
    return Forest(
        start=Array(nodes.start),
        feature=Array(np.where(is_leaf, -1, feature), "int32"),
        threshold=Array(np.where(is_leaf | exchanged, 0.0, threshold)),
        left=Array(np.where(exchanged, right, left), "int32"),
        right=Array(np.where(exchanged, left, right), "int32"),
        leaf=Array(np.where(is_leaf, np.cumsum(is_leaf) - 1, -1), "int32"),
        value=Array(weigh(nodes.leaf_values(), nodes.tree[is_leaf]), "float32"),
        target=Array(model.body["tree_info"][:n_trees], "int32"),
        leaf_id=Array(nodes.id[is_leaf]),
        n_outputs=model.n_groups,
        base=Array(base, "float32"),
        missing=Array(~is_leaf, "uint8"),
        default_left=Array(~is_leaf & default_left),
        category=Array(np.where(is_leaf, -1, position), "int32"),
        set_start=Array(set_start),
        set_member=Array(set_member, "int64"),
        operator="<",
    )
