"""Manifolds: new rows among the rows of the fit.

Semantics matched: ``sklearn/manifold/_isomap.py`` of scikit-learn 1.9.1.

Exactness: the neighbours are those of a tree, whose distances are sums of differences; the embedding is
that of `decomposition_kernel`, with its bound. Where the last neighbour and the next row of the fit are
equally far, the source takes the one that its tree meets first, here the earlier row is taken; objects
whose own rows stand so fall back. Missing values: NaN and infinities are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial, reduce
from typing import Any

import numpy as np

from millrace.catalog.registry import (
    BLAS_ORDER,
    Context,
    Decline,
    Example,
    Outputs,
    SparseValue,
    converts,
)
from millrace.catalog.sklearn._examples import as_frame
from millrace.ir.arrays import Array
from millrace.ir.build import Value
from millrace.ir.ops import Metric, Nearest

_METRICS: dict[str, Metric] = {
    "euclidean": "euclidean",
    "manhattan": "cityblock",
    "cityblock": "cityblock",
}


@converts("sklearn.manifold.Isomap")
def isomap(model: Any, x: Value, context: Context) -> Outputs:
    """The shortest ways from a row to all rows of the fit, through its neighbours, embedded as a kernel.

    Declines: neighbours within a radius, metrics but euclidean and manhattan, neighbours found by brute
    force (their distances come from products), rows at equal distances, sparse matrices.
    """
    neighbors = model.nbrs_
    metric = _METRICS.get(str(neighbors.effective_metric_))
    if model.n_neighbors is None:
        raise Decline("it looks for all neighbours within a radius")
    if isinstance(x, SparseValue):
        raise Decline("it looks for the neighbours of sparse rows")
    if metric is None or neighbors._fit_method not in ("kd_tree", "ball_tree"):
        raise Decline(
            f"it looks for neighbours by {neighbors._fit_method!r} and {neighbors.effective_metric_!r}"
        )
    rows = x.cast("float").guard("Isomap")
    points = np.asarray(neighbors._fit_X, np.float64)
    k = int(model.n_neighbors)
    if _has_ties(points, k, metric):
        raise Decline("rows of its fit are equally far from one another, and its tree chooses")
    found = rows.then(Nearest(Array(points), k, metric))
    ways = _shortest_ways(found, np.asarray(model.dist_matrix_), k)
    if not hasattr(model, "feature_names_in_"):  # the source keeps the dtype of arrays only
        ways = ways.cast_like(rows)
    kernel = ways.apply("square") * ways.scalar(-0.5)
    return {"transform": context.value(model.kernel_pca_, kernel, "kernel_pca")}


def _has_ties(points: Any, k: int, metric: Metric) -> bool:
    """Whether some row of the fit has two others at the distance of its last neighbour."""
    from scipy.spatial.distance import cdist

    some = points[:: 1 + len(points) // 256]
    name = "cityblock" if metric == "cityblock" else "euclidean"
    far = np.sort(cdist(some, points, name), axis=1)
    last = far[:, k - 1 : k + 2]
    return bool((np.diff(last, axis=1) <= 1e-12 * last[:, 1:]).any())


def _shortest_ways(found: Value, ways: Any, k: int) -> Value:
    """The least of (distance to a neighbour + its distance to each row of the fit): (n, n_fit)."""
    positions = found.take(range(k, 2 * k)).cast("int64")
    table = Array(ways)
    through = [positions.column(j).gather(table) + found.column(j) for j in range(k)]
    return reduce(lambda least, other: least.combine("minimum", other), through)


@converts("sklearn.manifold.LocallyLinearEmbedding")
def locally_linear_embedding(model: Any, x: Value, context: Context) -> Outputs:
    """Nothing natively: ``transform`` solves a system of equations for each row.

    Declines: always.
    """
    raise Decline("it solves a system of equations for each row")


# -- examples ------------------------------------------------------------------------------


def _fitted(name: str, dtype: str, frame: bool, params: dict[str, Any]) -> tuple[Any, Any]:
    import sklearn.manifold

    X = np.random.default_rng(0).normal(0, 1, (50, 4)).round(3).astype(dtype)
    if frame:
        X = as_frame(X)
    return getattr(sklearn.manifold, name)(**params).fit(X), X


def examples() -> Iterator[Example]:
    """Each metric and dtype; what is not native falls back."""
    cases: list[tuple[str, bool, dict[str, Any]]] = [
        ("float64", False, {}),
        ("float32", False, {"n_neighbors": 7}),
        ("float64", True, {"n_components": 3, "p": 1}),
        ("float64", False, {"n_neighbors": 3, "neighbors_algorithm": "ball_tree"}),
    ]
    for dtype, frame, params in cases:
        words = " ".join(f"{k}={v}" for k, v in params.items())
        narrow = dtype == "float32"
        yield Example(
            f"Isomap {dtype} {words}{' frame' if frame else ''}".strip(),
            partial(_fitted, "Isomap", dtype, frame, params),
            ulp=1 << 14 if narrow else 1024,
            absolute=1e-3 if narrow else 1e-11,
            why=BLAS_ORDER,
        )
    for name, params in [
        ("Isomap", {"neighbors_algorithm": "brute"}),
        ("Isomap", {"metric": "chebyshev"}),
        ("LocallyLinearEmbedding", {"random_state": 0}),
    ]:
        words = " ".join(str(v) for v in params.values())
        yield Example(
            f"{name} {words}", partial(_fitted, name, "float64", False, params), native=False
        )
