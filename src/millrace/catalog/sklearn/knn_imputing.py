"""Imputation from the nearest training rows.

Semantics matched: ``sklearn/impute/_knn.py`` of scikit-learn 1.9.1 and its ``nan_euclidean_distances``.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.catalog.registry import Context, Decline, Example, Outputs, SparseValue, converts
from millrace.catalog.sklearn._examples import as_frame
from millrace.catalog.sklearn.imputing import _missing
from millrace.ir.arrays import Array
from millrace.ir.build import Value
from millrace.ir.ops import ImputeNearest

_WHY = "distances are products of BLAS, which does not fix the order of additions"


@converts("sklearn.impute.KNNImputer")
def knn_imputer(imputer: Any, x: Value, context: Context) -> Outputs:
    """Missing cells become the mean of that column over the nearest training rows that have it.

    Exactness: distances are computed from products as in the source, in float64 (the source takes
    float32 where training rows and rows both are). Two training rows whose distances differ by less
    than the rounding of these products may change places among the neighbours. The mean itself is
    within ``8 * n_neighbors`` ulp, or that many eps of the largest training value; with
    ``weights="distance"`` within ``1e-6`` of it, as small distances feel the rounding most. Missing
    values: what ``missing_values`` names; other NaN, and infinities, are refused.

    Declines: metrics other than ``nan_euclidean``, callable weights, and weights by distance of an
    imputer fitted on float32, whose weights magnify the rounding of its distances.
    """
    if isinstance(x, SparseValue):
        raise Decline("its input is a sparse matrix")
    if imputer.metric != "nan_euclidean":
        raise Decline("its metric is a function of its own")
    if imputer.weights not in ("uniform", "distance", None):
        raise Decline("its weights are a function of its own")
    if imputer.weights == "distance" and imputer._fit_X.dtype != np.float64:
        raise Decline("its weights magnify the rounding of its float32 distances")
    missing = _missing(imputer.missing_values)
    x = x.cast("float").guard("KNNImputer", allow_nan=missing.allow_nan)
    mask = missing.mask(x)
    rows = x if missing.rule == "nan" else mask.where(np.array([np.nan], np.float32), x)
    points = np.where(imputer._mask_fit_X, np.nan, imputer._fit_X.astype(np.float64))
    context.bound(*knn_bound(imputer, points), _WHY)
    fill = _means(imputer)
    op = ImputeNearest(
        Array(points),
        int(imputer.n_neighbors),
        imputer.weights or "uniform",
        Array(fill, "float64"),
    )
    filled = rows.then(op).cast_like(x)
    valid = np.asarray(imputer._valid_mask, bool)
    if imputer.keep_empty_features:
        zero = x.builder.constant(np.zeros(1)).cast_like(x)
        blocks = [x.builder.constant(valid).where(filled, zero)] if not valid.all() else [filled]
    else:
        blocks = [filled.take(np.flatnonzero(valid))]
    if imputer.add_indicator and len(imputer.indicator_.features_):
        blocks.append(mask.take(imputer.indicator_.features_))
    return {"transform": x.builder.concat(blocks)}


def _means(imputer: Any) -> npt.NDArray[Any]:
    """What a row gets that has no column in common with any training row; 0 for empty columns."""
    means = np.ma.array(imputer._fit_X, mask=imputer._mask_fit_X).mean(axis=0)
    return np.ma.filled(means, 0.0)


def knn_bound(imputer: Any, points: npt.NDArray[Any]) -> tuple[int, float]:
    """How far a filled cell may be off: ulp, and absolute as the donors' values may cancel."""
    largest = float(np.nanmax(np.abs(points), initial=0.0))
    eps = float(np.finfo(imputer._fit_X.dtype).eps)
    steps = 8 * int(imputer.n_neighbors)
    slack = 1e-6 if imputer.weights == "distance" else 0.0
    return steps, largest * max(steps * eps, slack)


# -- examples ------------------------------------------------------------------------------


def _fitted(
    dtype: str = "float64", frame: bool = False, empty: bool = False, **params: Any
) -> tuple[Any, Any]:
    from sklearn.impute import KNNImputer

    rng = np.random.default_rng(0)
    X = rng.normal(0, 3, (60, 5)) * [1, 2, 1, 3, 1]
    hole = params.get("missing_values", np.nan)
    X[rng.random(X.shape) < 0.2] = hole
    X[3] = hole
    if empty:
        X[:40, 2] = hole
    X = X.astype(dtype)
    rows: Any = X
    if frame:
        rows = as_frame(X)
    return KNNImputer(**params).fit(rows[:40]), rows


def examples() -> Iterator[Example]:
    """Both weights, each dtype, indicators, other marks of missing cells, empty columns."""
    bound: dict[str, Any] = {"ulp": 40, "absolute": 1e-12, "why": _WHY}
    loose: dict[str, Any] = {"ulp": 40, "absolute": 1e-5, "why": _WHY}
    for weights in ("uniform", "distance"):
        how = bound if weights == "uniform" else loose
        yield Example(f"{weights}", partial(_fitted, weights=weights), **how)
    yield Example("uniform float32", partial(_fitted, "float32"), **loose)
    for k in (1, 3, 100):
        yield Example(f"n_neighbors={k}", partial(_fitted, n_neighbors=k), **bound)
    yield Example("frame indicator", partial(_fitted, frame=True, add_indicator=True), **bound)
    yield Example("missing=-7", partial(_fitted, missing_values=-7, add_indicator=True), **bound)
    for keep in (False, True):
        yield Example(
            f"empty column keep={keep}",
            partial(_fitted, empty=True, keep_empty_features=keep),
            **bound,
        )
    yield Example("distance float32", partial(_fitted, "float32", weights="distance"), native=False)
    yield Example("callable weights", partial(_fitted, weights=_nearness), native=False)


def _nearness(distances: Any) -> Any:
    return 1.0 / (1.0 + distances)
