"""Random forests with everything that the IR allows, and rows that stand on their boundaries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from hypothesis import strategies as st

from millrace.ir import Array, Builder, Column, Forest, LinearLeaves, Program

SPECIAL = np.array(
    [
        0.0,
        -0.0,
        1.0,
        -1.0,
        1e-35,
        -1e-35,
        2e-35,
        5e-324,
        1e-45,
        0.1,
        np.float32(0.1),
        np.pi,
        3.4e38,
        1e39,
        -1e300,
        np.inf,
        -np.inf,
    ]
)
"""Numbers at which float32, float64 and the rule "zero is missing" part ways."""


@dataclass(frozen=True)
class Shape:
    """What a random forest looks like."""

    seed: int
    n_trees: int = 3
    n_leaves: int = 8
    n_features: int = 3
    n_outputs: int = 1
    vector_leaves: bool = False
    categories: bool = False
    linear: bool = False
    value_dtype: Literal["float32", "float64"] = "float64"
    operator: Literal["<=", "<"] = "<="
    pool: int = 12
    """How many different thresholds there are: few of them repeat often."""


SHAPES = st.builds(
    Shape,
    seed=st.integers(0, 2**32 - 1),
    n_trees=st.integers(1, 6),
    n_leaves=st.integers(1, 40),
    n_features=st.integers(1, 5),
    n_outputs=st.integers(1, 3),
    vector_leaves=st.booleans(),
    categories=st.booleans(),
    value_dtype=st.sampled_from(["float32", "float64"]),
    operator=st.sampled_from(["<=", "<"]),
    pool=st.sampled_from([1, 3, 12, 400]),
)


def random_forest(shape: Shape) -> Forest:
    """A forest of this shape; the same one for the same shape."""
    rng = np.random.default_rng(shape.seed)
    pool = np.concatenate([SPECIAL, rng.normal(size=max(0, shape.pool - len(SPECIAL)))])
    if shape.operator == "<":  # nothing is smaller than -inf: the grammar of programs forbids it
        pool = pool[pool != -np.inf]
    pool = rng.permutation(pool)[: shape.pool]
    trees = [
        _random_tree(rng, int(rng.integers(1, shape.n_leaves + 1))) for _ in range(shape.n_trees)
    ]
    left, right = (np.concatenate([t[side] for t in trees]) for side in (0, 1))
    split = left >= 0
    n_nodes, n_leaves = len(split), int((~split).sum())
    n_values = shape.n_outputs if shape.vector_leaves else 1
    sets = _random_sets(rng) if shape.categories else []
    in_set = split & (rng.random(n_nodes) < 0.4) if sets else np.zeros(n_nodes, bool)
    leaf = np.full(n_nodes, -1)
    leaf[~split] = rng.permutation(n_leaves)
    scale = 10.0 ** rng.integers(
        -8, 8, (n_leaves, n_values)
    )  # so that the order of additions shows
    value = (rng.normal(size=(n_leaves, n_values)) * scale).astype(shape.value_dtype)
    return Forest(
        start=Array(np.cumsum([0, *(len(t[0]) for t in trees)]), "int64"),
        feature=Array(np.where(split, rng.integers(0, shape.n_features, n_nodes), -1), "int32"),
        threshold=Array(np.where(split, rng.choice(pool, n_nodes), 0.0), "float64"),
        left=Array(left, "int32"),
        right=Array(right, "int32"),
        leaf=Array(leaf, "int32"),
        value=Array(value),
        target=Array(
            np.zeros(shape.n_trees)
            if shape.vector_leaves
            else rng.integers(0, shape.n_outputs, shape.n_trees),
            "int32",
        ),
        leaf_id=Array(rng.permutation(n_leaves) * 3 + 1, "int64"),
        n_outputs=shape.n_outputs,
        base=Array(rng.normal(size=shape.n_outputs), shape.value_dtype),
        missing=Array(np.where(split, rng.integers(0, 4, n_nodes), 0), "uint8"),
        default_left=Array(split & (rng.random(n_nodes) < 0.5), "bool"),
        category=Array(np.where(in_set, rng.integers(0, max(1, len(sets)), n_nodes), -1), "int32"),
        set_start=Array(np.cumsum([0, *(len(s) for s in sets)]), "int64"),
        set_member=Array(np.concatenate([*sets, []]), "int64"),
        operator=shape.operator,
        linear=_random_linear(rng, n_leaves, shape.n_features) if shape.linear else None,
    )


def _random_tree(rng: np.random.Generator, n_leaves: int) -> tuple[np.ndarray, np.ndarray]:
    """Children of every node, -1 at leaves; the nodes behind the root stand in random order."""
    left, right = np.full(2 * n_leaves - 1, -1), np.full(2 * n_leaves - 1, -1)
    leaves = [0]
    for split in range(n_leaves - 1):
        node = leaves.pop(int(rng.integers(len(leaves))))
        left[node], right[node] = 2 * split + 1, 2 * split + 2
        leaves += [2 * split + 1, 2 * split + 2]
    place = np.concatenate([[0], 1 + rng.permutation(len(left) - 1)])
    moved = [np.full(len(left), -1), np.full(len(left), -1)]
    for old, new in zip((left, right), moved, strict=True):
        new[place] = np.where(old >= 0, place[old], -1)
    return moved[0], moved[1]


def _random_sets(rng: np.random.Generator) -> list[np.ndarray]:
    members = [0, 1, 2, 3, 7, 31, 32, 300, 70_000]
    sizes = rng.integers(0, len(members), 4)
    return [np.sort(rng.choice(members, size, replace=False)) for size in sizes]


def _random_linear(rng: np.random.Generator, n_leaves: int, n_features: int) -> LinearLeaves:
    sizes = rng.integers(0, n_features + 1, n_leaves)
    terms = [rng.choice(n_features, size, replace=False) for size in sizes]
    return LinearLeaves(
        intercept=Array(rng.normal(size=n_leaves)),
        start=Array(np.cumsum([0, *sizes]), "int64"),
        feature=Array(np.concatenate([*terms, []]), "int32"),
        coef=Array(rng.normal(size=int(sizes.sum()))),
    )


def program(forest: Forest, n_features: int, dtype: str, kind: str) -> Program:
    """A program of nothing but the forest: its sums or its leaves."""
    builder = Builder([Column(f"x{i}") for i in range(n_features)])
    table = builder.table
    value = table.trees(forest) if kind == "sums" else table.leaves(forest)
    builder.output(kind, value)
    return builder.program().bound((dtype,) * n_features)


def boundary_rows(forest: Forest, n_features: int, dtype: str, n_rows: int, seed: int) -> Any:
    """Cells on thresholds, on their neighbours, on categories and beside them, and odd numbers."""
    rng = np.random.default_rng(seed)
    columns = []
    with np.errstate(over="ignore"):
        for feature in range(n_features):
            at = forest.threshold.values[forest.feature.values == feature].astype(dtype)
            near = [np.nextafter(at, np.array(to, dtype)) for to in (np.inf, -np.inf)]
            codes = forest.set_member.values
            odd = np.array([*SPECIAL, np.nan, -0.5, -1.0, 0.5, 3e9, 1e19])
            cells = np.concatenate([at, *near, codes, codes + 0.5, odd, rng.normal(size=8)]).astype(
                dtype
            )
            columns.append(rng.choice(cells, n_rows))
    return np.stack(columns, axis=1)
