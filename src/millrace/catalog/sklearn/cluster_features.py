"""Agglomerated columns: each group of columns pooled to one.

Semantics matched: ``sklearn/cluster/_feature_agglomeration.py`` of scikit-learn 1.9.1. The mean of a
group is a sum in float64 in the order of the columns, over their number.

Exactness: the same bits. Missing values: NaN and infinities are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from millrace.catalog.registry import Context, Decline, Example, Outputs, converts
from millrace.catalog.sklearn._examples import as_frame
from millrace.ir.build import Value


@converts("sklearn.cluster.FeatureAgglomeration")
def feature_agglomeration(model: Any, x: Value, context: Context) -> Outputs:
    """The mean, largest, smallest or median value of each group of columns.

    Declines: every other ``pooling_func``, which is a function of its own.
    """
    pool = _POOLS.get(model.pooling_func)
    if pool is None:
        raise Decline("its pooling_func is none of numpy's mean, max, min and median")
    x = x.cast("numeric").guard("FeatureAgglomeration")
    groups = [np.flatnonzero(model.labels_ == label) for label in np.unique(model.labels_)]
    return {"transform": x.builder.concat([pool(x.take(g)) for g in groups])}


def _mean(group: Value) -> Value:
    """``numpy.bincount`` adds the columns to 0.0, one after another."""
    total = group.cast("float64").accumulate("add").column(group.width - 1)
    return (total + np.zeros(1)) / np.full(1, float(group.width))


def _median(group: Value) -> Value:
    """The mean of the middle one or two of the sorted values."""
    middle = group.width // 2
    first = middle if group.width % 2 else middle - 1
    order = group.arg_sort()
    return group.pick_along(order.take(range(first, middle + 1))).reduce("mean")


_POOLS: dict[Any, Any] = {
    np.mean: _mean,
    np.median: _median,
    np.max: lambda group: group.reduce("max"),
    np.min: lambda group: group.reduce("min"),
}


# -- examples ------------------------------------------------------------------------------


def _fitted(dtype: str, frame: bool, params: dict[str, Any]) -> tuple[Any, Any]:
    from sklearn.cluster import FeatureAgglomeration

    rng = np.random.default_rng(0)
    X = rng.normal(0, 3, (60, 3))[:, np.arange(14) % 3] + rng.normal(0, 1, (60, 14))
    X = X.round(2).astype(dtype)
    X[0] = 0
    if frame:
        X = as_frame(X)
    return FeatureAgglomeration(**params).fit(X), X


def examples() -> Iterator[Example]:
    """Each pooling function on each dtype, and one that is not native."""
    for dtype in ("float64", "float32", "int64"):
        for pool in (np.mean, np.max, np.min, np.median):
            params = {"n_clusters": 4, "pooling_func": pool}
            name = f"FeatureAgglomeration {dtype} {pool.__name__}"
            yield Example(name, partial(_fitted, dtype, pool is np.max, params))
    yield Example(
        "FeatureAgglomeration many", partial(_fitted, "float64", False, {"n_clusters": 12})
    )
    params = {"n_clusters": 3, "pooling_func": np.ptp}
    yield Example(
        "FeatureAgglomeration ptp", partial(_fitted, "float64", False, params), native=False
    )
