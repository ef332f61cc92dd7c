"""Scikit-learn's trees as flat arrays, and what every family of tree models does with the sums.

Semantics matched: ``sklearn/tree/_tree.pyx`` of scikit-learn 1.9. A row is read as float32 and goes
left where ``x <= threshold``, compared in float64; a NaN follows the node's ``missing_go_to_left``.
Everything here works on the arrays of all trees at once, without a loop over nodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.catalog.registry import (
    Decline,
    Outputs,
    SparseValue,
    list_of,
    vector,
)
from millrace.ir.arrays import Array, Text, offsets
from millrace.ir.build import Value
from millrace.ir.ops import Forest

Ints = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Nodes:
    """The nodes of many trees, one tree after another, without the values of the leaves.

    Attributes
    ----------
    start : int64 (n_trees + 1,)
        First node of each tree.
    feature : int32 (n_nodes,)
        Input column of a split, anything at a leaf.
    threshold : float64 (n_nodes,)
    left, right : int32 (n_nodes,)
        Children, counted from the first node of the tree; anything at a leaf.
    missing_left : bool (n_nodes,)
        Whether a NaN goes left.
    is_leaf : bool (n_nodes,)
    category : int32 (n_nodes,), optional
        Position of the category set of a split, -1 at a numeric one.
    sets : bool (n_sets, n_categories), optional
        Which categories go left.
    """

    start: Ints
    feature: Ints
    threshold: Floats
    left: Ints
    right: Ints
    missing_left: Bools
    is_leaf: Bools
    category: Ints | None = None
    sets: Bools | None = None

    @property
    def tree_of_node(self) -> Ints:
        """The tree of each node (n_nodes,)."""
        return np.repeat(np.arange(len(self.start) - 1), np.diff(self.start))


def _joined(arrays: Iterable[npt.NDArray[Any]], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    return np.concatenate(list(arrays), dtype=dtype, casting="unsafe")


def read_nodes(trees: Sequence[Any], columns: Sequence[Ints] | None = None) -> Nodes:
    """The nodes of ``tree_`` objects.

    Parameters
    ----------
    trees : sequence of sklearn.tree._tree.Tree
    columns : sequence of int arrays (n_tree_features,), optional
        The input columns that each tree was fitted on, where it did not see all of them.
    """
    left = _joined((t.children_left for t in trees), np.int32)
    nodes = Nodes(
        start=offsets([t.node_count for t in trees]),
        feature=_joined((t.feature for t in trees), np.int32),
        threshold=_joined((t.threshold for t in trees), np.float64),
        left=left,
        right=_joined((t.children_right for t in trees), np.int32),
        missing_left=_joined((t.missing_go_to_left for t in trees), np.bool_),
        is_leaf=left < 0,
    )
    if columns is not None:
        split = np.flatnonzero(~nodes.is_leaf)
        own = nodes.feature[split]
        nodes.feature[split] = np.stack(columns)[nodes.tree_of_node[split], own]
    return nodes


def read_leaves(trees: Sequence[Any], nodes: Nodes) -> Floats:
    """The values of ``tree_`` objects at their leaves: (n_leaves, n_outputs * max_n_classes)."""
    values = np.concatenate([t.value for t in trees])
    return values.reshape(len(values), -1)[nodes.is_leaf]


def forest(
    nodes: Nodes,
    value: Floats,
    base: Floats,
    target: npt.ArrayLike | None = None,
) -> Forest:
    """A forest from nodes and the values of their leaves.

    Parameters
    ----------
    nodes : Nodes
    value : float64 (n_leaves, n_values)
        In the order of the leaves among the nodes.
    base : float64 (n_outputs,)
        Where the sums start.
    target : int array-like (n_trees,), optional
        First output that each tree adds to; 0 for all by default.
    """
    n_nodes, n_trees = len(nodes.is_leaf), len(nodes.start) - 1
    leaf = np.full(n_nodes, -1, dtype=np.int32)
    leaf[nodes.is_leaf] = np.arange(len(value))
    split = ~nodes.is_leaf
    missing_left = nodes.missing_left & split
    at = np.flatnonzero(nodes.is_leaf)
    category = np.full(n_nodes, -1) if nodes.category is None else nodes.category
    sets = np.zeros((0, 0), dtype=bool) if nodes.sets is None else nodes.sets
    return Forest(
        start=Array(nodes.start, np.int64),
        feature=Array(np.where(split, nodes.feature, -1), np.int32),
        threshold=Array(np.where(split, nodes.threshold, 0.0), np.float64),
        left=Array(np.where(split, nodes.left, -1), np.int32),
        right=Array(np.where(split, nodes.right, -1), np.int32),
        leaf=Array(leaf),
        value=Array(value, np.float64),
        target=Array(np.zeros(n_trees) if target is None else target, np.int32),
        leaf_id=Array(at - nodes.start[nodes.tree_of_node[at]], np.int64),
        n_outputs=len(base),
        base=Array(base, np.float64),
        # A NaN compares as false, so it already goes right where nothing else is said.
        missing=Array(missing_left, np.uint8),
        default_left=Array(missing_left),
        category=Array(category, np.int32),
        set_start=Array(offsets(sets.sum(axis=1)), np.int64),
        set_member=Array(np.nonzero(sets)[1], np.int64),
    )


def validated(model: Any, x: Value) -> Value:
    """The rows as ``validate_data(dtype=float32)`` hands them on.

    NaN passes where the tags allow it and the rows are not sparse.
    """
    allow_nan = bool(model.__sklearn_tags__().input_tags.allow_nan)
    allow_nan = allow_nan and not isinstance(x, SparseValue)
    return x.cast("float32").guard(type(model).__name__, allow_nan=allow_nan)


def labels(classes: npt.NDArray[Any]) -> Array | Text:
    """The table that turns class numbers into labels of the same dtype."""
    if classes.dtype.kind in "biuf":
        return Array(classes)
    if classes.dtype.kind == "U":
        return Text(tuple(classes.tolist()), str(classes.dtype))
    if classes.dtype.kind == "O" and all(isinstance(c, str) for c in classes):
        return Text(tuple(str(c) for c in classes))
    raise Decline(f"its class labels ({classes.dtype}) are neither all numbers nor all strings")


def class_columns(n_classes: Sequence[int], stride: int) -> list[list[int]]:
    """For each output, where its classes stand in a row of `stride` values per output."""
    return [[k * stride + c for c in range(n)] for k, n in enumerate(n_classes)]


def classifier_outputs(model: Any, proba: Value) -> Outputs:
    """Predictions from the probabilities of all outputs side by side.

    Parameters
    ----------
    model : a fitted tree or forest classifier
        Of one output, or of several (multi-label): then probabilities are returned as lists.
    proba : Value (n_samples, n_classes of all outputs)
    """
    if model.n_outputs_ == 1:
        return {
            "predict": vector(proba.reduce("argmax").gather(labels(model.classes_))),
            "predict_proba": proba,
            "predict_log_proba": proba.apply("log"),
        }
    if len({c.dtype for c in model.classes_}) > 1:
        raise Decline("the labels of its outputs have different dtypes")
    ends = np.cumsum([len(c) for c in model.classes_])
    parts = [
        proba.take(range(end - len(c), end)) for c, end in zip(model.classes_, ends, strict=True)
    ]
    decoded = [
        part.reduce("argmax").gather(labels(c))
        for part, c in zip(parts, model.classes_, strict=True)
    ]
    return {
        "predict": proba.builder.concat(decoded),
        "predict_proba": list_of(parts),
        "predict_log_proba": list_of([part.apply("log") for part in parts]),
    }
