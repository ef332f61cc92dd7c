"""A CatBoost model read from its JSON form: where its splits look and what its trees are."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.catalog.registry import Decline
from millrace.ir.arrays import Array
from millrace.ir.ops import Forest

_WHOLE_DEPTH = 8
"""Symmetric trees up to this depth keep all their nodes, level by level; in deeper ones branches
whose leaves are all equal (most of them are empty) are cut."""

_MOST_NODES = 30_000_000
"""About a gigabyte of nodes: past it a model is left to CatBoost, which keeps a symmetric tree in
`depth` nodes."""


@dataclass(frozen=True)
class Features:
    """Where the splits of a model look: columns of one block, the numbers first.

    Attributes
    ----------
    numbers : tuple of int
        Columns of the input that some split compares with a border.
    nan_right : tuple of bool
        Whether a missing value of that column goes right.
    categories : tuple of (int, tuple of int)
        Columns of the input with one-hot splits, and the hashes that are split on.
    number_slot, category_slot : dict
        Upstream's feature index -> column of the block; for categories the first of them.
    """

    numbers: tuple[int, ...]
    nan_right: tuple[bool, ...]
    categories: tuple[tuple[int, tuple[int, ...]], ...]
    number_slot: Mapping[int, int]
    category_slot: Mapping[int, int]

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> Features:
        """Read ``features_info``."""
        floats = [f for f in info.get("float_features") or () if f.get("borders")]
        ones = [f for f in info.get("categorical_features") or () if f.get("values")]
        first = len(floats)
        category_slot = {}
        for feature in ones:
            category_slot[feature["feature_index"]] = first
            first += len(feature["values"])
        return cls(
            tuple(f["flat_feature_index"] for f in floats),
            tuple(f["has_nans"] and f["nan_value_treatment"] == "AsTrue" for f in floats),
            tuple((f["flat_feature_index"], tuple(f["values"])) for f in ones),
            {f["feature_index"]: slot for slot, f in enumerate(floats)},
            category_slot,
        )

    def split(self, split: Mapping[str, Any]) -> tuple[int, float]:
        """Column of the block and border: a row goes right where the column is greater."""
        if split["split_type"] == "FloatFeature":
            return self.number_slot[split["float_feature_index"]], split["border"]
        if split["split_type"] != "OneHotFeature":
            raise Decline(f"it splits on {split['split_type']} features")
        slot = self.category_slot[split["cat_feature_index"]]
        _, values = self.categories[list(self.category_slot).index(split["cat_feature_index"])]
        return slot + values.index(split["value"]), 0.5


def read(model: Any) -> dict[str, Any]:
    """The model as CatBoost writes it to JSON."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.json")
        model.save_model(str(path), format="json")
        return json.loads(path.read_text(encoding="utf-8"))


def refuse(document: Mapping[str, Any]) -> None:
    """Raise `Decline` for what the primitives cannot say."""
    info = document["features_info"]
    for key, what in (
        ("ctrs", "target statistics of categorical features"),
        ("text_features", "text features"),
        ("embedding_features", "embedding features"),
    ):
        if info.get(key):
            raise Decline(f"it uses {what}")
    if not document.get("oblivious_trees") and not document.get("trees"):
        raise Decline("it has no trees")


class _Nodes:
    """The arrays of a `Forest` while trees are added."""

    def __init__(self, features: Features) -> None:
        self.features = features
        self.start = [0]
        self.parts: list[npt.NDArray[np.float64]] = []
        self.values: list[npt.NDArray[np.float64]] = []
        self.names: list[npt.NDArray[np.int64]] = []
        self.n_leaves = 0

    def add(
        self,
        nodes: npt.NDArray[np.float64],
        values: npt.NDArray[np.float64],
        names: npt.NDArray[np.int64],
    ) -> None:
        """Add one tree.

        Parameters
        ----------
        nodes : (n_nodes, 5)
            Columns: feature, threshold, left, right, leaf; -1 where there is none.
        values : (n_leaves, n_outputs)
        names : (n_leaves,)
            What ``calc_leaf_indexes`` calls the leaves.
        """
        nodes[nodes[:, 4] >= 0, 4] += self.n_leaves
        self.parts.append(nodes)
        self.values.append(values)
        self.names.append(names)
        self.n_leaves += len(values)
        self.start.append(self.start[-1] + len(nodes))
        if self.start[-1] > _MOST_NODES:
            raise Decline(f"its trees, written out, have more than {_MOST_NODES:,} nodes")

    def forest(self) -> Forest:
        """All trees; sums start at zero."""
        nodes = np.concatenate(self.parts)
        values = np.concatenate(self.values)
        feature = nodes[:, 0].astype(np.int32)
        split = feature >= 0
        right = np.array([*self.features.nan_right, False], dtype=bool)
        is_number = split & (feature < len(self.features.numbers))
        nan_right = right[np.where(is_number, feature, -1)]
        return Forest(
            start=Array(self.start, "int64"),
            feature=Array(feature),
            threshold=Array(np.where(split, nodes[:, 1], 0.0)),
            left=Array(nodes[:, 2].astype(np.int32)),
            right=Array(nodes[:, 3].astype(np.int32)),
            leaf=Array(nodes[:, 4].astype(np.int32)),
            value=Array(values),
            target=Array(np.zeros(len(self.parts), np.int32)),
            leaf_id=Array(np.concatenate(self.names)),
            n_outputs=values.shape[1],
            base=Array(np.zeros(values.shape[1])),
            missing=Array(is_number.astype(np.uint8)),
            default_left=Array(is_number & ~nan_right),
            category=Array(np.full(len(nodes), -1, np.int32)),
        )


def read_forest(document: Mapping[str, Any], features: Features) -> Forest:
    """All trees of a model."""
    nodes = _Nodes(features)
    for tree in document.get("oblivious_trees") or ():
        splits = [features.split(s) for s in tree.get("splits") or ()]
        values = np.array(tree["leaf_values"], np.float64).reshape(1 << len(splits), -1)
        nodes.add(*(_symmetric if len(splits) <= _WHOLE_DEPTH else _cut)(splits, values))
    for tree in document.get("trees") or ():
        nodes.add(*_asymmetric(tree, features))
    return nodes.forest()


Tree = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.int64]]


def _symmetric(splits: Sequence[tuple[int, float]], values: npt.NDArray[np.float64]) -> Tree:
    """A whole tree, level by level: the children of node i are 2i + 1 and 2i + 2.

    Bit d of a leaf's index is split d, so with the last split at the root the leaves stand from
    left to right in the order of their indices.
    """
    depth = len(splits)
    inner = (1 << depth) - 1
    nodes = np.full((inner + len(values), 5), -1.0)
    for level, (feature, border) in enumerate(reversed(splits)):
        nodes[(1 << level) - 1 : (2 << level) - 1, :2] = feature, border
    nodes[:inner, 2] = 2 * np.arange(inner) + 1
    nodes[:inner, 3] = 2 * np.arange(inner) + 2
    nodes[inner:, 4] = np.arange(len(values))
    return nodes, values, np.arange(len(values))


def _cut(splits: Sequence[tuple[int, float]], values: npt.NDArray[np.float64]) -> Tree:
    """A deep tree without the splits below which all leaves have the same values (bit by bit).

    Such a branch becomes one leaf with the name of its first.
    """
    bits = values.view(np.int64)
    same = [np.ones(len(values), bool)]  # same[h][i]: the leaves below node i at height h are equal
    for height in range(len(splits)):
        step = 1 << height
        first, second = bits[:: 2 * step], bits[step :: 2 * step]
        same.append(same[-1][::2] & same[-1][1::2] & (first == second).all(axis=1))
    rows: list[list[float]] = [[]]
    leaves: list[int] = []
    waiting = [(0, len(splits), 0)]
    while waiting:
        position, height, index = waiting.pop()
        if same[height][index]:
            rows[position] = [-1, -1, -1, -1, len(leaves)]
            leaves.append(index << height)
            continue
        rows[position] = [*splits[height - 1], len(rows), len(rows) + 1, -1]
        waiting += [(len(rows), height - 1, 2 * index), (len(rows) + 1, height - 1, 2 * index + 1)]
        rows += [[], []]
    return np.array(rows, dtype=np.float64), values[leaves], np.array(leaves, dtype=np.int64)


def _asymmetric(tree: Mapping[str, Any], features: Features) -> Tree:
    """A tree of nested nodes; leaves are named from left to right."""
    rows: list[list[float]] = [[]]
    values: list[npt.NDArray[np.float64]] = []
    waiting = [(0, tree)]
    while waiting:
        position, node = waiting.pop()
        if "split" not in node:
            rows[position] = [-1, -1, -1, -1, len(values)]
            values.append(np.atleast_1d(np.array(node["value"], np.float64)))
            continue
        rows[position] = [*features.split(node["split"]), len(rows), len(rows) + 1, -1]
        waiting += [(len(rows) + 1, node["right"]), (len(rows), node["left"])]
        rows += [[], []]
    return np.array(rows, dtype=np.float64), np.stack(values), np.arange(len(values))
