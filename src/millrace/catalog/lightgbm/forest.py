"""LightGBM's trees as flat arrays, all trees at once.

Semantics matched: ``include/LightGBM/tree.h`` (``NumericalDecision``, ``CategoricalDecision``,
``Predict``) and ``src/c_api.cpp`` (``RowPairFunctionFromDenseMatric``) of LightGBM 4.7. A row goes
left where ``x <= threshold`` in float64.

- missing type *none*: NaN is read as 0.0;
- missing type *zero*: NaN and values within ``ZERO`` of 0 follow the default direction;
- missing type *NaN*: NaN follows the default direction;
- a categorical split sends the listed categories left; the value is truncated towards zero, and
  NaN, negative and unlisted categories go right.

Before any of this the C API reads every value of a dense table within ``ZERO`` of 0 as 0.0. For
numeric splits that is the same as moving a threshold in that range to its edge, which costs
nothing per row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.catalog.lightgbm.text import ModelText, Trees
from millrace.ir.arrays import Array, offsets
from millrace.ir.ops import Forest, LinearLeaves

Ints = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.float64]

ZERO = float(np.float32(1e-35))
"""``kZeroThreshold``: a float32 constant that is compared in float64."""

_CATEGORICAL = 1
_DEFAULT_LEFT = 2
_MISSING_RULE = np.array([3, 2, 1, 3], dtype=np.uint8)
"""`Forest.missing` of the missing types none, zero and NaN (0, 1 and 2)."""


@dataclass(frozen=True)
class _Layout:
    """Where the nodes of each tree go: first its splits, then its leaves, in the source's order.

    Attributes
    ----------
    n_leaves : int64 (n_trees,)
    start : int64 (n_trees + 1,)
    split_at, leaf_at : int64 (n_splits,), (n_leaves,)
        Positions of all splits and of all leaves among the nodes.
    split_tree, leaf_tree : int64
        The tree of each split and of each leaf.
    """

    n_leaves: Ints
    start: Ints
    split_at: Ints
    leaf_at: Ints
    split_tree: Ints
    leaf_tree: Ints

    def nodes(self, fill: Any, dtype: str, *, splits: Any = None, leaves: Any = None) -> Array:
        """An array over all nodes from one over all splits or one over all leaves."""
        values = np.full(int(self.start[-1]), fill, dtype)
        if splits is not None:
            values[self.split_at] = splits
        if leaves is not None:
            values[self.leaf_at] = leaves
        return Array(values)


def _layout(n_leaves: Ints) -> _Layout:
    trees = np.arange(len(n_leaves))
    start = offsets(2 * n_leaves - 1)
    split_tree = np.repeat(trees, n_leaves - 1)
    leaf_tree = np.repeat(trees, n_leaves)
    split_rank = np.arange(len(split_tree)) - offsets(n_leaves - 1)[split_tree]
    leaf_rank = np.arange(len(leaf_tree)) - offsets(n_leaves)[leaf_tree]
    return _Layout(
        n_leaves,
        start,
        start[split_tree] + split_rank,
        start[leaf_tree] + n_leaves[leaf_tree] - 1 + leaf_rank,
        split_tree,
        leaf_tree,
    )


def _thresholds(threshold: Floats) -> Floats:
    """Thresholds that take raw values as the source takes values with tiny ones set to 0.0."""
    edge = np.where(threshold < 0, np.nextafter(-ZERO, -np.inf), ZERO)
    return np.where(np.abs(threshold) <= ZERO, edge, threshold)


def _category_sets(trees: Trees) -> tuple[Ints, Ints, Ints]:
    """First set of each tree, first member of each set, and the members.

    The text holds each set as 32-bit words of a bit set.
    """
    n_sets = trees.ints("num_cat")
    boundaries = trees.ints("cat_boundaries")
    is_end = np.ones(len(boundaries), dtype=bool)
    is_end[offsets((n_sets + 1)[n_sets > 0])[:-1]] = False
    n_words = np.diff(boundaries, prepend=0)[is_end]
    words = trees.ints("cat_threshold").astype("<u4")
    bits = np.unpackbits(words.view(np.uint8), bitorder="little").reshape(-1, 32)
    word, bit = np.nonzero(bits)
    set_of_word = np.repeat(np.arange(len(n_words)), n_words)
    member = (word - offsets(n_words)[set_of_word[word]]) * 32 + bit
    n_members = np.bincount(set_of_word[word], minlength=len(n_words))
    return offsets(n_sets), offsets(n_members), member


def _children(trees: Trees, layout: _Layout) -> tuple[Ints, Ints]:
    """Left and right child of each split; the source gives leaf number i as ~i."""
    n_splits = layout.n_leaves[layout.split_tree] - 1
    left, right = (
        np.where(child >= 0, child, n_splits + ~child)
        for child in (trees.ints("left_child"), trees.ints("right_child"))
    )
    return left, right


def _linear_leaves(trees: Trees, layout: _Layout, value: Floats) -> LinearLeaves | None:
    """The models of linear trees; a leaf of any other tree is its value without terms."""
    is_linear = trees.ints("is_linear").astype(bool)
    if not is_linear.any():
        return None
    of_linear = is_linear[layout.leaf_tree]
    intercept = value.copy()
    intercept[of_linear] = trees.floats("leaf_const")
    n_terms = np.zeros(len(value), dtype=np.int64)
    n_terms[of_linear] = trees.ints("num_features")
    return LinearLeaves(
        Array(intercept),
        Array(offsets(n_terms)),
        Array(trees.ints("leaf_features"), "int32"),
        Array(trees.floats("leaf_coeff")),
    )


def forest(model: ModelText, *, tiny_is_zero: bool = True) -> Forest:
    """All trees of a model; leaves are named by their number in the tree, as ``pred_leaf`` does.

    Parameters
    ----------
    model : ModelText
    tiny_is_zero : bool
        Whether values within ``ZERO`` of 0 are read as 0.0: in dense tables.
    """
    trees = model.trees
    layout = _layout(trees.ints("num_leaves"))
    decision = trees.ints("decision_type")
    is_categorical = (decision & _CATEGORICAL) > 0
    missing = np.where(is_categorical, 0, _MISSING_RULE[(decision >> 2) & 3])
    threshold = trees.floats("threshold")
    compared = _thresholds(threshold) if tiny_is_zero else threshold
    first_set, set_start, set_member = _category_sets(trees)
    chosen = np.where(is_categorical, threshold, 0).astype(np.int64) + first_set[layout.split_tree]
    left, right = _children(trees, layout)
    value = trees.floats("leaf_value")
    number = np.arange(len(value))
    return Forest(
        start=Array(layout.start),
        feature=layout.nodes(-1, "int32", splits=trees.ints("split_feature")),
        threshold=layout.nodes(0.0, "float64", splits=np.where(is_categorical, 0.0, compared)),
        left=layout.nodes(-1, "int32", splits=left),
        right=layout.nodes(-1, "int32", splits=right),
        leaf=layout.nodes(-1, "int32", leaves=number),
        value=Array(value[:, None]),
        target=Array(np.arange(len(trees)) % model.n_outputs, "int32"),
        leaf_id=Array(number - offsets(layout.n_leaves)[layout.leaf_tree]),
        n_outputs=model.n_outputs,
        base=Array(np.zeros(model.n_outputs)),
        missing=layout.nodes(0, "uint8", splits=missing),
        default_left=layout.nodes(False, "bool", splits=(decision & _DEFAULT_LEFT) > 0),
        category=layout.nodes(-1, "int32", splits=np.where(is_categorical, chosen, -1)),
        set_start=Array(set_start),
        set_member=Array(set_member, "int64"),
        linear=_linear_leaves(trees, layout, value),
    )
