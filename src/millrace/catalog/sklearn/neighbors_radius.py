"""Neighbours within a radius: RadiusNeighborsClassifier and RadiusNeighborsRegressor.

Semantics matched: ``sklearn/neighbors/_classification.py`` and ``_regression.py`` of scikit-learn 1.9.1;
distances as in `millrace.catalog.sklearn.neighbors`, compared before their root is taken.

Exactness: counts are exact. Sums of weights and of targets are products here, whose order of additions
BLAS does not fix, and the source adds neighbours in the order in which it finds them. A fitted row whose
distance is the radius up to rounding may be on the other side of it by brute force (from products), and
for ``minkowski``, whose powers the source compares.

Missing values: NaN and infinities are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.catalog.registry import (
    BLAS_ORDER,
    Context,
    Decline,
    Example,
    Outputs,
    converts,
    list_of,
    vector,
)
from millrace.catalog.sklearn._examples import spelled
from millrace.catalog.sklearn._forest import labels
from millrace.catalog.sklearn.neighbors import Search, fitted_neighbors, search, weights_kind
from millrace.ir.build import Value


def _weights(far: Value, inside: Value, by_distance: bool) -> Value:
    """What each fitted row weighs: 1, or one over its distance; nothing outside.

    Where some neighbours are at distance 0, these weigh 1 and others nothing.
    """
    if not by_distance:
        return inside.cast("float64")
    near = inside.where(far, np.float64(np.inf))
    here = near.equals(np.float64(0.0))
    inverse = far.builder.constant(np.float64(1.0)) / near
    return here.reduce("any").where(here, inverse)


def _require_one_way(model: Any, found: Search) -> None:
    """Decline where the source reads arrays otherwise than data frames and float32.

    Brute force counts the neighbours of an array for one output without looking whether it is finite, and
    takes the label of outliers for the number of a class.
    """
    if not found.brute or model.weights != "uniform" or model.outputs_2d_:
        return
    if model.outlier_label is not None:
        raise Decline("brute force labels outliers in arrays otherwise than in data frames")
    if found.metric == "chebyshev" or (model.metric == "minkowski" and model.p == np.inf):
        raise Decline("brute force takes rows with NaN in arrays, and refuses them in data frames")


@converts("sklearn.neighbors.RadiusNeighborsClassifier")
def radius_neighbors_classifier(model: Any, x: Value, context: Context) -> Outputs:
    """The votes of the fitted rows within the radius; without any, `outlier_label` or an error."""
    by_distance = weights_kind(model)
    found = search(model, x, by_distance=by_distance)
    _require_one_way(model, found)
    owner = type(model).__name__
    far, inside = found.within(x, model.radius, owner)
    some = inside.reduce("any")
    if model.outlier_label_ is None:
        inside = inside.require(some, owner, f"no neighbour within the radius {model.radius}")
    weights = _weights(far, inside, by_distance)
    if by_distance:
        found.state_bound(context, len(found.points), 1.0)
        context.bound(4 * len(found.points), 0.0, BLAS_ORDER)
    classes = model.classes_ if model.outputs_2d_ else [model.classes_]
    targets = np.asarray(model._y).reshape(len(found.points), -1)[found.order]
    predicted: list[Value] = []
    probabilities: list[Value] = []
    for k, own in enumerate(classes):
        outlier = None if model.outlier_label_ is None else model.outlier_label_[k]
        proba = _probabilities(weights, some, targets[:, k], own, outlier)
        probabilities.append(proba)
        predicted.append(_predicted(proba, own, outlier))
    if not model.outputs_2d_:
        return {"predict": vector(predicted[0]), "predict_proba": probabilities[0]}
    return {"predict": x.builder.concat(predicted), "predict_proba": list_of(probabilities)}


def _probabilities(
    weights: Value, some: Value, targets: npt.NDArray[Any], classes: npt.NDArray[Any], outlier: Any
) -> Value:
    """The votes of one output, divided by their sum; of a row without neighbours all for its label."""
    votes = weights @ np.eye(len(classes))[targets]
    at = [] if outlier is None else np.flatnonzero(classes == outlier)
    if len(at) == 1:
        votes = some.where(votes, np.eye(len(classes))[at[0]])
    total = votes.reduce("sum")
    one = np.float64(1.0)
    return votes / total.equals(np.float64(0.0)).where(one, total)


def _predicted(proba: Value, classes: npt.NDArray[Any], outlier: Any) -> Value:
    """The most probable class, or the label of outliers where none is probable."""
    best = proba.reduce("argmax")
    if outlier is None:
        return best.gather(labels(classes))
    none = proba.equals(np.float64(0.0)).reduce("all")
    code = none.where(np.int64(len(classes)), best)
    return code.gather(labels(np.append(classes, outlier)))


@converts("sklearn.neighbors.RadiusNeighborsRegressor")
def radius_neighbors_regressor(model: Any, x: Value, context: Context) -> Outputs:
    """The mean of the targets of the fitted rows within the radius; NaN where there are none."""
    by_distance = weights_kind(model)
    found = search(model, x, by_distance=by_distance)
    targets = np.asarray(model._y)
    if targets.dtype != np.float64:
        raise Decline("its answer for rows without neighbours is NaN in the dtype of its targets")
    far, inside = found.within(x, model.radius, type(model).__name__)
    weights = _weights(far, inside, by_distance)
    n_points = len(found.points)
    largest = float(np.abs(targets).max())
    context.bound(8, 4 * n_points * 2.0**-52 * largest, BLAS_ORDER)
    if by_distance:
        found.state_bound(context, n_points, 2 * largest)
    total = weights.reduce("sum")
    means = (weights @ targets.reshape(n_points, -1)[found.order]) / total
    return {"predict": vector(means) if targets.ndim == 1 else means}


# -- examples ------------------------------------------------------------------------------

_CLASSIFIERS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("text", {"radius": 9.0}),
    ("text", {"radius": 1.0, "outlier_label": "most_frequent"}),
    ("text", {"radius": 1.1, "outlier_label": "odd", "weights": "distance"}),
    ("text", {"radius": 9.0, "p": 1, "weights": "distance", "algorithm": "ball_tree"}),
    ("binary", {"radius": 1.5, "metric": "chebyshev", "outlier_label": 1}),
    ("binary", {"radius": 12.0, "algorithm": "brute"}),
    ("binary", {"radius": 12.0, "algorithm": "brute", "weights": "distance", "outlier_label": 7}),
    ("outputs", {"radius": 1.0, "outlier_label": [1, 7]}),
    ("outputs", {"radius": 1.0, "outlier_label": [1, 8], "weights": "distance", "kind": "frame"}),
    ("text", {"radius": 9.0, "kind": "float32"}),
)
_REGRESSORS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("number", {"radius": 1.0}),
    ("number", {"radius": 2.0, "weights": "distance"}),
    ("number", {"radius": 3.0, "p": 3, "kind": "frame"}),
    ("numbers", {"radius": 1.5, "metric": "manhattan", "weights": "distance"}),
    ("number", {"radius": 2.0, "algorithm": "brute", "weights": "distance"}),
)


def examples() -> Iterator[Example]:
    """Each way to weigh and to treat rows without neighbours, and what is not native."""
    for name, cases in (
        ("RadiusNeighborsClassifier", _CLASSIFIERS),
        ("RadiusNeighborsRegressor", _REGRESSORS),
    ):
        for targets, params in cases:
            words = spelled(params, " ")
            made = partial(fitted_neighbors, name, targets, **params)
            exact = name.endswith("Classifier") and "weights" not in params
            loose = "brute" in words and "distance" in words
            yield Example(
                f"{name} {targets}{words}",
                made,
                ulp=0 if exact else 512,
                absolute=0.0 if exact else 1e-5 if loose else 1e-12,
                why="" if exact else BLAS_ORDER,
            )
    params = {"radius": 1.0, "algorithm": "brute", "outlier_label": 1}
    made = partial(fitted_neighbors, "RadiusNeighborsClassifier", "binary", **params)
    yield Example("RadiusNeighborsClassifier brute outlier_label=1", made, native=False)
    made = partial(fitted_neighbors, "RadiusNeighborsRegressor", "count", radius=1.0)
    yield Example("RadiusNeighborsRegressor count", made, native=False)
