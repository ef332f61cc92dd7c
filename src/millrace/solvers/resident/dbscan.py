"""DBSCAN on a tree of points, in memory that does not grow with the number of neighbours.

Semantics matched: ``sklearn/cluster/_dbscan.py`` and ``sklearn/neighbors/_binary_tree.pxi.tp`` of
scikit-learn 1.9.1. A point is core if its neighbours, itself among them, weigh at least ``min_samples``.
Core points near each other share a cluster; clusters are numbered by their first core point; another
point goes to the first cluster that has a core point near it, or is noise.

The method is that of Ester et al. (KDD 1996), with leaves of 16 points in place of single ones: counting
ends once a leaf has enough, and nodes whose points are known to share a cluster are passed over (Gan and
Tao, SIGMOD 2015, do so for cells of a grid). Sets are kept as a forest, one a thread.

Exactness: the same labels. Two points are neighbours where the sum of the squared differences is not
above ``eps**2`` in float64, but scikit-learn's tree also decides for whole nodes, by distances that round
otherwise. So pairs whose distance is ``eps`` up to rounding are left open, and where one of them could
change a label, the fit is declined. There are none where coordinates are whole multiples of a power of
two (counts, pixels), on which all of this is exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from millrace.solvers.registry import Decline, Example, resident
from millrace.solvers.resident._point_tree import (
    LANES,
    AnyArray,
    Floats,
    PointTree,
    point_tree,
)

_TREE_COLUMNS = 15
"""With more columns scikit-learn's brute force is faster than any tree."""

_RELATIVE = 1e-13
"""Squares and sums of 15 terms, and a root and its square, round by less."""

_MOST_DOUBTS = 4096
"""Pairs that may be kept open."""

_LARGEST, _LEAST = 1e150, 1e-140
"""Between these no square overflows, or loses digits."""


WHY_ROUNDING = "some points are as far from each other as `eps`, up to rounding"


@dataclass(frozen=True)
class _Reach:
    """What is near: a squared distance up to `near` surely, one above `far` surely not."""

    near: float
    far: float


@resident("sklearn.cluster.DBSCAN", weight=True)
def dbscan(estimator: Any, X: Any, y: Any, sample_weight: Any) -> dict[str, Any]:
    """Labels, core points and their positions."""
    estimator._validate_params()
    reach = _reach(estimator, X)
    weight, rounding = _weights(sample_weight, X)
    if weight is not None and reach.near < reach.far and (weight < 0).any():
        raise Decline("some of its weights are negative, which hides pairs that are up to rounding")
    tree = point_tree(X.astype(np.float64, copy=False))
    core = _core_slots(tree, reach, weight, float(estimator.min_samples), rounding)
    label = np.full(len(tree.rows), -1)
    if core.any():
        _number_core(tree, reach, core, label)
        _attach_border(tree, reach, core, label)
    slots = tree.slots()
    indices = np.flatnonzero(core[slots])
    components = X[indices].copy() if len(indices) else np.empty((0, X.shape[1]))
    return {
        "core_sample_indices_": indices,
        "labels_": label[slots],
        "components_": components,
    }


def _reach(estimator: Any, X: Any) -> _Reach:
    """Which distances are near; declines what is not covered."""
    if hasattr(X, "toarray"):
        raise Decline("rows are sparse")
    euclidean = estimator.metric in ("euclidean", "l2") or (
        estimator.metric == "minkowski" and estimator.p == 2
    )
    if not euclidean or estimator.metric_params:
        raise Decline("its metric is not the Euclidean distance")
    n, n_columns = X.shape
    tree = "kd_tree" if estimator.algorithm == "auto" else estimator.algorithm
    few = estimator.algorithm == "auto" and n // 2 <= 5  # NearestNeighbors asks for 5
    if tree == "brute" or few or n == 0 or not 0 < n_columns <= _TREE_COLUMNS:
        raise Decline("scikit-learn compares all pairs of so few rows, or of so many columns")
    if n > 2**30:
        raise Decline("there are too many rows")
    largest, eps = float(np.abs(X).max()), float(estimator.eps)
    if not max(largest, eps) < _LARGEST or eps < _LEAST:
        raise Decline("some values are not finite, or their squares are not")
    if tree == "kd_tree" and _on_lattice(X, eps):
        return _Reach(eps * eps, eps * eps)
    slack = 0.0
    if tree == "ball_tree":  # the difference of the distance to a centre and a radius
        slack = (n_columns + 10) * 2.0**-51 * largest * np.sqrt(n_columns)
    near, far = max(eps - slack, 0.0) ** 2, (eps + slack) ** 2
    return _Reach(near * (1 - _RELATIVE), far * (1 + _RELATIVE))


def _on_lattice(X: Any, eps: float) -> bool:
    """Whether all squared distances are exact, and none but ``eps**2`` is as near to it as rounding.

    That is so where coordinates and `eps` are multiples of a power of two, and few enough of them.
    """
    unit = 1.0
    head = X[:64]
    while unit > 2.0**-20 and not (_multiples(head, unit) and _multiples(eps, unit)):
        unit /= 2
    if not (_multiples(eps, unit) and _multiples(head, unit) and _multiples(X, unit)):
        return False
    spans = np.ptp(X.astype(np.float64, copy=False), axis=0)
    return float(np.sum(spans * spans) + eps * eps) < 2.0**50 * unit * unit


def _multiples(values: Any, unit: float) -> bool:
    steps = np.asarray(values, np.float64) / unit
    return bool(np.all(steps == np.rint(steps)))


def _weights(sample_weight: Any, X: Any) -> tuple[Floats | None, float]:
    """Weights in float64, and by which part of them their sums may be rounded: 0 where they are exact."""
    if sample_weight is None:
        return None, 0.0
    weight = np.asarray(sample_weight)
    digits = 2.0**23 if weight.dtype == X.dtype == np.float32 else 2.0**52
    weight = weight.astype(np.float64)
    if weight.shape != (len(X),) or not np.isfinite(weight).all():
        raise Decline("its weights are not one finite number a row")
    scaled = weight * 2.0**16
    if (scaled == np.rint(scaled)).all() and np.abs(scaled).sum() < digits:
        return weight, 0.0
    if (weight < 0).any():
        raise Decline("some of its weights are negative, and sums of them are rounded")
    return weight, 4.0 * len(X) / digits


def _core_slots(
    tree: PointTree, reach: _Reach, weight: Floats | None, needed: float, rounding: float
) -> AnyArray:
    """Which slots hold core points (16 n_leaves,)."""
    from millrace.statistics.kernels.density import count_near

    own = tree.of_slots(np.ones(tree.rows.max() + 1) if weight is None else weight, 0.0)
    total = tree.of_nodes(own.reshape(-1, LANES).sum(axis=1), np.add)
    least, most = np.empty((2, len(own)))
    stops = np.inf if (own < 0).any() else needed * (1 + rounding)
    surely, hardly = needed * (1 + rounding), needed * (1 - rounding)

    def count(first: int, stop: int) -> None:
        count_near(
            tree.tiles, tree.lower, tree.upper, own, total, reach.near, reach.far, stops,
            first, stop, least, most,
        )  # fmt: skip
        part = slice(first * LANES, stop * LANES)
        doubtful = (least[part] < surely) & (most[part] >= hardly)
        if (doubtful & (tree.rows[part] >= 0)).any():
            raise Decline(WHY_ROUNDING)

    probed = -(-tree.n_leaves // 32)
    count(0, probed)
    if probed < tree.n_leaves:
        tree.spread(count, probed)
    return (least >= needed) & (tree.rows >= 0)


def _number_core(tree: PointTree, reach: _Reach, core: AnyArray, label: AnyArray) -> None:
    """Join core points that are near each other, and number their sets in `label`."""
    from millrace.statistics.kernels.density import find, join_near, merge_sets, number_sets

    by_leaf = core.reshape(-1, LANES)
    first_lane = np.arange(len(by_leaf)) * LANES + by_leaf.argmax(axis=1)
    leaf_some = np.where(by_leaf.any(axis=1), first_lane, -1).astype(np.int32)
    some = tree.of_nodes(leaf_some, lambda left, right: np.where(left >= 0, left, right))
    idle: list[_Sets] = []
    made: list[_Sets] = []

    def join(first: int, stop: int) -> None:
        if idle:
            sets = idle.pop()
        else:
            made.append(sets := _Sets.of(tree))
        sets.n_doubts = join_near(
            tree.tiles, tree.lower, tree.upper, core, some, reach.near, reach.far, first, stop,
            sets.parent, sets.same, sets.doubts, sets.n_doubts,
        )  # fmt: skip
        idle.append(sets)

    tree.spread(join)
    parent = made[0].parent
    for sets in made[1:]:
        merge_sets(parent, sets.parent)
    for sets in made:
        if sets.n_doubts > _MOST_DOUBTS or any(
            find(parent, one) != find(parent, other) for one, other in sets.doubts[: sets.n_doubts]
        ):
            raise Decline(WHY_ROUNDING)
    number_sets(parent, core, tree.slots(), np.full(len(core), -1), label)


@dataclass
class _Sets:
    """What one thread joins; see `millrace.statistics.kernels.density.join_near`."""

    parent: AnyArray
    same: AnyArray
    doubts: AnyArray
    n_doubts: int = 0

    @staticmethod
    def of(tree: PointTree) -> _Sets:
        slots = np.arange(len(tree.rows), dtype=np.int32)
        doubts = np.empty((_MOST_DOUBTS, 2), np.int32)
        return _Sets(slots, np.zeros(2 * tree.n_leaves, np.bool_), doubts)


def _attach_border(tree: PointTree, reach: _Reach, core: AnyArray, label: AnyArray) -> None:
    """Label what is near a core point."""
    from millrace.statistics.kernels.density import attach_near

    none = np.iinfo(np.int64).max
    least = np.where(core, label, none).reshape(-1, LANES).min(axis=1)
    lowest = tree.of_nodes(least, np.minimum)

    def attach(first: int, stop: int) -> None:
        if attach_near(
            tree.tiles, tree.lower, tree.upper, core, label, lowest, reach.near, reach.far,
            first, stop,
        ):  # fmt: skip
            raise Decline(WHY_ROUNDING)

    tree.spread(attach)


# -- examples ------------------------------------------------------------------------------


def _blobs(n_features: int = 3, kind: str = "float64", **params: Any) -> tuple[Any, Any, None]:
    from sklearn.cluster import DBSCAN

    rng = np.random.default_rng(n_features)
    centres = rng.uniform(-4, 4, (5, n_features))
    spread = rng.uniform(0.1, 0.9, (5, 1, 1))
    X = (centres[:, None] + spread * rng.normal(size=(5, 90, n_features))).reshape(-1, n_features)
    rng.shuffle(X)
    if kind == "lattice":
        X = np.rint(2 * X) / 2
    return DBSCAN(**params), X.astype("float32" if kind == "float32" else "float64"), None


_CASES: tuple[dict[str, Any], ...] = (
    {"eps": 0.5},
    {"eps": 0.35, "min_samples": 3, "kind": "float32"},
    {"eps": 1.0, "kind": "lattice", "min_samples": 12},
    {"eps": 1.5, "kind": "lattice", "n_features": 2, "min_samples": 40},
    {"eps": 0.05, "n_features": 2, "algorithm": "ball_tree"},
    {"eps": 1.1, "n_features": 6, "metric": "minkowski", "p": 2},
    {"eps": 0.02, "n_features": 1, "algorithm": "kd_tree", "min_samples": 4},
    {"eps": 1e-3},
    {"eps": 100.0, "leaf_size": 3},
    {"eps": 9.0, "n_features": 20},
    {"eps": 0.5, "metric": "manhattan"},
)
"""The last two are left to scikit-learn."""


def examples() -> Iterator[Example]:
    """Sparse and dense clusters, lattices, one cluster, none, and what is not covered."""
    for params in _CASES:
        words = " ".join(f"{name}={value}" for name, value in params.items())
        yield Example(f"DBSCAN {words}", partial(_blobs, **params), weight=True)
