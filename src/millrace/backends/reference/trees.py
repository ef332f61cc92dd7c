"""Decision trees, one node level at a time over all rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.ir.ops import Forest

ZERO = float(np.float32(1e-35))
"""LightGBM's kZeroThreshold: 1e-35 as a float32."""

Block = npt.NDArray[Any]


def leaf_rows(forest: Forest, block: Block) -> npt.NDArray[np.int64]:
    """Row of `forest.value` that each sample reaches in each tree: (n_samples, n_trees)."""
    reached = np.empty((len(block), forest.n_trees), dtype=np.int64)
    for tree in range(forest.n_trees):
        first = int(forest.start.values[tree])
        node = np.full(len(block), first, dtype=np.int64)
        rows = np.arange(len(block))
        while len(rows):
            rows = rows[forest.feature.values[node[rows]] >= 0]
            at = node[rows]
            value = block[rows, forest.feature.values[at]].astype(np.float64)
            left = _goes_left(forest, at, value)
            node[rows] = first + np.where(left, forest.left.values[at], forest.right.values[at])
        reached[:, tree] = forest.leaf.values[node]
    return reached


def _goes_left(forest: Forest, node: Block, value: Block) -> npt.NDArray[np.bool_]:
    rule = forest.missing.values[node]
    nan = np.isnan(value)
    missing = (nan & ((rule == 1) | (rule == 2))) | ((rule == 2) & (np.abs(value) <= ZERO))
    value = np.where(nan & (rule == 3), 0.0, value)
    threshold = forest.threshold.values[node]
    left = value <= threshold if forest.operator == "<=" else value < threshold
    for row in np.flatnonzero(forest.category.values[node] >= 0):
        left[row] = _in_set(forest, int(forest.category.values[node[row]]), float(value[row]))
    return np.where(missing, forest.default_left.values[node], left)


def _in_set(forest: Forest, position: int, value: float) -> bool:
    if not np.isfinite(value) or value <= -1.0:
        return False
    start, stop = forest.set_start.values[position : position + 2]
    return bool((forest.set_member.values[start:stop] == int(value)).any())


def tree_sums(forest: Forest, block: Block) -> Block:
    """`Trees`: the base and then every tree's leaf values, added one by one."""
    reached = leaf_rows(forest, block)
    sums = np.repeat(forest.base.values[None, :], len(block), axis=0)
    for tree in range(forest.n_trees):
        target = int(forest.target.values[tree])
        added = _leaf_values(forest, reached[:, tree], block)
        sums[:, target : target + added.shape[1]] += added
    return sums


def _leaf_values(forest: Forest, leaf: npt.NDArray[np.int64], block: Block) -> Block:
    values = forest.value.values[leaf]
    if forest.linear is None:
        return values
    linear = forest.linear
    values = values.copy()
    for row, position in enumerate(leaf):
        terms = slice(*(int(i) for i in linear.start.values[position : position + 2]))
        features = block[row, linear.feature.values[terms]].astype(np.float64)
        if not np.isnan(features).any():
            total = float(linear.intercept.values[position])
            for coefficient, feature in zip(linear.coef.values[terms], features, strict=True):
                total += float(coefficient) * float(feature)
            values[row, 0] = total
    return values
