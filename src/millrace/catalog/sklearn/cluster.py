"""Clusterings: distances to centres, and the nearest centre.

Semantics matched: ``sklearn/cluster/_kmeans.py``, ``_k_means_lloyd.pyx``, ``_bisect_k_means.py``,
``_birch.py``, ``_mean_shift.py`` and ``_affinity_propagation.py`` of scikit-learn 1.9.1.

Exactness: all distances come from products, which are BLAS's, in no fixed order of additions. A label can
differ only where a row is as near to two centres within that rounding. ``transform`` holds the bound of
`_pairwise.distance_bound`: near a centre a distance is the root of a difference of large sums.
Missing values: NaN and infinities are refused. The k-means classes label rows of their own float dtype
only and refuse others, as their compiled code does.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from millrace.catalog.registry import (
    Context,
    Decline,
    Example,
    Outputs,
    SparseValue,
    converts,
    vector,
)
from millrace.catalog.sklearn._examples import as_csr, as_frame
from millrace.catalog.sklearn._pairwise import (
    DISTANCE_WHY,
    Points,
    dense_points,
    euclidean_distances,
    nearest_point,
    require_dtype,
    state_distance_bound,
)
from millrace.ir.arrays import Array
from millrace.ir.build import Value


def _offsets(rows: Value, centers: Points) -> Value:
    """``|c|**2 - 2 x c``: the squared distance but for the length of the row, as k-means compares it."""
    products = rows @ (-2.0 * centers.T).astype(centers.dtype)
    return products + np.einsum("ij,ij->i", centers, centers)


@converts("sklearn.cluster.KMeans", "sklearn.cluster.MiniBatchKMeans")
def k_means(model: Any, x: Value, context: Context) -> Outputs:
    """``predict``: the nearest centre (int32); ``transform``: the distances to all of them."""
    owner = type(model).__name__
    centers = model.cluster_centers_
    rows = x.cast("float").guard(owner)
    state_distance_bound(context, centers)
    offsets = _offsets(require_dtype(rows, centers.dtype, owner), centers)
    return {
        "predict": vector(offsets.reduce("argmin").cast("int32")),
        "transform": euclidean_distances(rows, centers),
    }


@converts("sklearn.cluster.BisectingKMeans")
def bisecting_k_means(model: Any, x: Value, context: Context) -> Outputs:
    """``predict``: down the tree of bisections, each to the nearer centre; ``transform`` as k-means."""
    centers = model.cluster_centers_
    rows = x.cast("float").guard("BisectingKMeans")
    state_distance_bound(context, centers)
    return {
        "predict": vector(_bisected(model, rows)),
        "transform": euclidean_distances(rows, centers),
    }


def _bisected(model: Any, rows: Value) -> Value:
    """Labels (n, 1) int32 from all comparisons at once."""
    splits = _splits(model._bisecting_tree)

    def label(node: Any) -> Value:
        return rows.builder.constant(np.full(1, node.label, np.int32))

    if not splits:
        only = label(model._bisecting_tree)
        return rows.reduce("sum").is_missing().where(only, only)
    pairs = [child.center for node in splits for child in (node.left, node.right)]
    centers = np.vstack(pairs)
    if hasattr(model, "_X_mean"):
        centers += model._X_mean
    offsets = _offsets(require_dtype(rows, centers.dtype, "BisectingKMeans"), centers)
    count = 2 * len(splits)
    to_right = offsets.take(range(1, count, 2)) < offsets.take(range(0, count, 2))
    labels: dict[int, Value] = {}
    for position in reversed(range(len(splits))):
        node = splits[position]
        left, right = (labels.get(id(c)) or label(c) for c in (node.left, node.right))
        labels[id(node)] = to_right.column(position).where(right, left)
    return labels[id(model._bisecting_tree)]


def _splits(root: Any) -> list[Any]:
    """The inner nodes of a tree of bisections, parents before children."""
    found, waiting = [], [root]
    while waiting:
        node = waiting.pop()
        if node.left is not None:
            found.append(node)
            waiting += [node.left, node.right]
    return found


def _nearest(x: Value, rows: Value, centers: Any, norms: Any = None) -> Value:
    """``pairwise_distances_argmin``: of two sparse or two dense inputs, or of one of each."""
    points = dense_points(centers)
    if isinstance(x, SparseValue) == hasattr(centers, "toarray"):
        return nearest_point(rows, points, norms)
    return euclidean_distances(rows, points).reduce("argmin")


@converts("sklearn.cluster.Birch")
def birch(model: Any, x: Value, context: Context) -> Outputs:
    """``predict``: the label of the nearest subcluster; ``transform``: the distances to all."""
    centers = model.subcluster_centers_
    rows = x.cast("numeric").guard("Birch").cast("float")
    state_distance_bound(context, centers)
    nearest = _nearest(x, rows, centers, model._subcluster_norms)
    return {
        "predict": vector(nearest.gather(Array(model.subcluster_labels_))),
        "transform": euclidean_distances(rows, centers),
    }


@converts("sklearn.cluster.MeanShift", "sklearn.cluster.AffinityPropagation")
def nearest_center(model: Any, x: Value, context: Context) -> Outputs:
    """``predict``: the nearest centre (int64).

    Declines: affinity propagation on precomputed affinities (it cannot predict) or without a centre.
    """
    centers = getattr(model, "cluster_centers_", None)
    if centers is None or centers.shape[0] == 0:
        raise Decline("it has no cluster centres")
    rows = x.cast("numeric").guard(type(model).__name__).cast("float")
    return {"predict": vector(_nearest(x, rows, centers))}


# -- examples ------------------------------------------------------------------------------


def _rows(dtype: str, container: str) -> Any:
    """Five groups of rows of four columns, apart enough to be told apart."""
    rng = np.random.default_rng(0)
    X = rng.normal(0, 3, (5, 4))[np.arange(80) % 5] * 2 + rng.normal(0, 1, (80, 4))
    X = X.round(2).astype(dtype)
    if container == "frame":
        return as_frame(X)
    if container == "csr":
        return as_csr(X, 2)
    return X


def _fitted(name: str, dtype: str, container: str, params: dict[str, Any]) -> tuple[Any, Any]:
    import sklearn.cluster

    X = _rows(dtype, container)
    return getattr(sklearn.cluster, name)(**params).fit(X), X


def examples() -> Iterator[Example]:
    """Each class fitted on each dtype and container."""
    k_means_params = {"n_clusters": 4, "random_state": 0, "n_init": 1}
    bisecting = {"n_clusters": 5, "random_state": 0}
    cases: list[tuple[str, str, str, dict[str, Any]]] = [
        ("KMeans", "float64", "array", k_means_params),
        ("KMeans", "float32", "array", k_means_params),
        ("KMeans", "int64", "frame", k_means_params),
        ("KMeans", "float64", "csr", k_means_params),
        ("KMeans", "float64", "array", {**k_means_params, "algorithm": "elkan"}),
        ("MiniBatchKMeans", "float64", "frame", k_means_params),
        ("BisectingKMeans", "float64", "array", bisecting),
        ("BisectingKMeans", "float32", "array", {**bisecting, "n_clusters": 3}),
        ("BisectingKMeans", "float64", "array", {**bisecting, "n_clusters": 1}),
        ("BisectingKMeans", "float64", "csr", bisecting),
        ("Birch", "float64", "array", {"threshold": 2.5, "n_clusters": 3}),
        ("Birch", "float32", "array", {"threshold": 2.5, "n_clusters": None}),
        ("Birch", "float64", "csr", {"threshold": 2.5, "n_clusters": 3}),
        ("MeanShift", "float64", "frame", {"bandwidth": 4.0}),
        ("MeanShift", "float32", "array", {"bandwidth": 4.0}),
        ("AffinityPropagation", "float64", "array", {"random_state": 0}),
        ("AffinityPropagation", "float32", "array", {"random_state": 0}),
        ("AffinityPropagation", "float64", "csr", {"random_state": 0}),
    ]
    for name, dtype, container, params in cases:
        words = " ".join(f"{k}={v}" for k, v in params.items() if k not in ("random_state",))
        yield Example(
            f"{name} {dtype} {container} {words}".strip(),
            partial(_fitted, name, dtype, container, params),
            ulp=512,
            absolute=3e-6,
            why=DISTANCE_WHY,
        )
