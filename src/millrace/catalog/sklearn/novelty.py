"""LocalOutlierFactor: how much sparser a row's neighbourhood is than those of its neighbours.

Semantics matched: ``sklearn/neighbors/_lof.py`` of scikit-learn 1.9.1 with ``novelty=True``; neighbours
as in `millrace.catalog.sklearn.neighbors`.

Exactness: with a tree the same bits, but for the order in which equally near neighbours are added, and
the roots of ``minkowski``. By brute force distances come from products; see `_state_bounds`.

Missing values: NaN and infinities are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from millrace.catalog.registry import Context, Decline, Example, Outputs, converts, vector
from millrace.catalog.sklearn._examples import spelled
from millrace.catalog.sklearn._pairwise import distance_bound, in_place
from millrace.catalog.sklearn.neighbors import (
    WHY_POWERS,
    WHY_PRODUCTS,
    WHY_TIES,
    Search,
    example_rows,
    of_neighbours,
    search,
)
from millrace.ir.build import Value


@converts("sklearn.neighbors.LocalOutlierFactor")
def local_outlier_factor(model: Any, x: Value, context: Context) -> Outputs:
    """The mean density around its neighbours over that around the row, negative; -1 below `offset_`."""
    if not model.novelty:
        raise Decline("without novelty=True it scores only the rows that it was fitted on")
    found = search(model, x, by_distance=True)
    k = int(model.n_neighbors_)
    far, at = found.nearest(x, k, type(model).__name__)
    far = far.cast_like(x.cast("float"))
    farthest = np.asarray(model._distances_fit_X_)[found.order, k - 1]
    densities = np.asarray(model._lrd)[found.order]
    found.require_settled(k, np.column_stack([farthest, densities]))
    reached = far.combine("maximum", of_neighbours(farthest, at))
    mean = in_place(reached.reduce("mean"), "add", 1e-10)
    density = _one(mean) / mean
    ratios = of_neighbours(densities, at) / density
    scores = -ratios.reduce("mean")
    decision = in_place(scores, "subtract", model.offset_)
    below = decision < np.float64(0.0)
    _state_bounds(context, found, k, float(farthest.min()), float(model.offset_))
    return {
        "predict": vector(below.where(np.int64(-1), np.int64(1))),
        "decision_function": vector(decision),
        "score_samples": vector(scores),
    }


def _one(x: Value) -> Value:
    return x.scalar(1.0)


def _state_bounds(context: Context, found: Search, k: int, nearest: float, offset: float) -> None:
    """Means of `k` positive numbers move by less than ``2 k`` units in the last place with their order.

    By brute force a distance is off by d (`distance_bound`); as none counts as less than the distance
    `nearest` of some fitted row to its last neighbour, a mean of them moves by ``d / nearest`` of itself.
    """
    ulp, eps = 4 * k, 2.0**-52
    context.bound(ulp, ulp * eps * abs(offset), WHY_TIES)
    if found.metric == "minkowski":
        context.bound(32 + ulp, 32 * eps * abs(offset), WHY_POWERS)
    if found.brute and found.metric == "sqeuclidean":
        units, absolute = distance_bound(found.points)
        share = absolute / max(nearest, 1e-10)
        context.bound(2 * units + int(share / eps), 2 * share * abs(offset), WHY_PRODUCTS)


# -- examples ------------------------------------------------------------------------------


def _fitted(n_features: int = 3, kind: str = "float64", **params: Any) -> tuple[Any, Any]:
    from sklearn.neighbors import LocalOutlierFactor

    rows, asked, _ = example_rows(n_features, kind)
    return LocalOutlierFactor(novelty=True, **params).fit(rows), asked


def examples() -> Iterator[Example]:
    """Each metric and way to search; brute force by products."""
    for params in (
        {},
        {"n_neighbors": 5, "contamination": 0.1},
        {"metric": "manhattan", "algorithm": "ball_tree", "kind": "frame"},
        {"p": 3, "contamination": 0.2, "n_neighbors": 7},
        {"kind": "float32"},
        {"algorithm": "brute", "metric": "cityblock"},
        {"n_features": 17},
    ):
        words = spelled(params, " ")
        products = "n_features" in params
        yield Example(
            f"LocalOutlierFactor{words}",
            partial(_fitted, **params),
            ulp=10000 if products else 128,
            absolute=1e-6 if products else 1e-5 if params.get("kind") == "float32" else 1e-12,
            why=WHY_PRODUCTS if products else WHY_TIES,
        )
    yield Example("LocalOutlierFactor cosine", partial(_fitted, metric="cosine"), native=False)
