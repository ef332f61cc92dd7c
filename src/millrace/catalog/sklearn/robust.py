"""Regressors that are fitted on the rows that agree with each other: they answer by an inner one.

Semantics matched: ``sklearn/linear_model/_ransac.py`` of scikit-learn 1.9.1. Exactness and missing values
are those of the inner estimator; `RANSACRegressor` itself lets NaN and infinities pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from millrace.catalog.registry import (
    Context,
    Example,
    Outputs,
    converts,
    handed_on,
    in_container_of,
)
from millrace.catalog.sklearn._examples import fitted
from millrace.catalog.sklearn.linear import WIDE, example_rows
from millrace.ir.arrays import dense_array
from millrace.ir.build import Value


@converts("sklearn.linear_model.RANSACRegressor")
def ransac_regressor(model: Any, x: Value, context: Context) -> Outputs:
    """``predict``: the answer of the estimator that was fitted on the inliers."""
    rows = handed_on(in_container_of(x, x.cast("numeric")))
    return {"predict": context.convert(model.estimator_, rows, "estimator")["predict"]}


# -- examples ------------------------------------------------------------------------------


def _fitted(inner: str, kind: str, targets: int = 0, *, missing: bool = False) -> tuple[Any, Any]:
    from sklearn.linear_model import HuberRegressor, RANSACRegressor, Ridge
    from sklearn.tree import DecisionTreeRegressor

    rows = example_rows(kind)
    X = dense_array(rows).astype(np.float64)
    y = X @ np.random.default_rng(1).normal(0, 1, (X.shape[1], max(1, targets)))
    y[::9] += 50
    if missing:
        rows[3::7, 1] = np.nan
    estimator = {
        "": None,
        "Ridge": Ridge(),
        "Huber": HuberRegressor(),
        "tree": DecisionTreeRegressor(max_depth=3, random_state=0),
    }[inner]
    # Without a seed of its own the tree would draw from the generator of the search.
    model = RANSACRegressor(estimator, random_state=0, min_samples=0.3, max_trials=8)
    return fitted(model, rows, y if targets else y[:, 0])


def examples() -> Iterator[Example]:
    """Inner estimators that are linear and that are not, one and more targets, each kind of rows."""
    for kind in ("float64", "float32", "int64", "frame", "csr"):
        bound: dict[str, Any] = WIDE | ({"absolute": 2e-4} if kind == "float32" else {})
        yield Example(f"RANSACRegressor {kind}", partial(_fitted, "", kind), **bound)
    yield Example(
        "RANSACRegressor Ridge targets=2", partial(_fitted, "Ridge", "float64", 2), **WIDE
    )
    yield Example("RANSACRegressor Huber", partial(_fitted, "Huber", "float64"), **WIDE)
    yield Example("RANSACRegressor tree", partial(_fitted, "tree", "float64", missing=True))
