"""NearestCentroid: the class whose mean, or median, is nearest.

Semantics matched: ``sklearn/neighbors/_nearest_centroid.py`` and the mixin that it shares with
``discriminant_analysis.py``, of scikit-learn 1.9.1. Where all classes are equally probable the nearest
centroid is taken as it is; else, and for scores, columns are divided by their deviation within the
classes and the logarithms of the priors are added.

Exactness: Manhattan distances are the same bits. Euclidean ones come from products, whose order of
additions BLAS does not fix: a label can differ where two centroids are as near up to that rounding, and
scores have the bound of `_state_bound`. Missing values: NaN and infinities are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from millrace.catalog.registry import Context, Example, Outputs, converts, vector
from millrace.catalog.sklearn._examples import spelled
from millrace.catalog.sklearn._forest import labels
from millrace.catalog.sklearn._pairwise import (
    DISTANCE_WHY,
    Points,
    distance_bound,
    euclidean_distances,
    manhattan_distances,
    nearest_point,
)
from millrace.catalog.sklearn.linear import checked
from millrace.catalog.sklearn.neighbors import example_rows, example_targets
from millrace.ir.build import Value


@converts("sklearn.neighbors.NearestCentroid")
def nearest_centroid(model: Any, x: Value, context: Context) -> Outputs:
    """The class of the nearest centroid, or of the highest score where priors differ."""
    rows = checked(x, type(model).__name__)
    table = labels(model.classes_)
    equal = np.isclose(model.class_prior_, 1 / len(model.classes_)).all()
    outputs: dict[str, Any] = {}
    if not equal or hasattr(model, "decision_function"):
        scores = _scores(model, rows, context)
        outputs["predict"] = vector(scores.reduce("argmax").gather(table))
        if hasattr(model, "decision_function"):
            outputs |= _derived(scores)
    if equal:
        outputs["predict"] = vector(_nearest(model, rows).gather(table))
    return outputs


def _nearest(model: Any, rows: Value) -> Value:
    """``pairwise_distances_argmin(rows, centroids_)``."""
    if model.metric == "euclidean":
        return nearest_point(rows, model.centroids_)
    return manhattan_distances(rows.cast("float64"), model.centroids_).reduce("argmin")


def _scores(model: Any, rows: Value, context: Context) -> Value:
    """``_decision_function``: the negative squared distances and twice the logarithms of the priors."""
    deviation = np.where(model.within_class_std_dev_ != 0, model.within_class_std_dev_, 1.0)
    centroids = model.centroids_ / deviation
    scaled = rows.cast("float64") / deviation
    if model.metric == "euclidean":
        distances = euclidean_distances(scaled, centroids)
        _state_bound(context, centroids)
    else:
        distances = manhattan_distances(scaled, centroids)
    return -distances.apply("square") + 2.0 * np.log(model.class_prior_)


def _derived(scores: Value) -> Outputs:
    """Margins and probabilities from the scores."""
    two = scores.width == 2
    decision = vector(scores.column(1) - scores.column(0)) if two else scores
    likelihood = scores - scores.reduce("max")
    log_proba = likelihood - likelihood.apply("exp").reduce("sum").apply("log")
    return {
        "decision_function": decision,
        "predict_log_proba": log_proba,
        "predict_proba": log_proba.apply("exp"),
    }


def _state_bound(context: Context, centroids: Points) -> None:
    """Scores are squares: twice the units of `distance_bound`, and the square of what it says near 0.

    Differences of scores lose what the distances have in common, at most four times as much.
    """
    ulp, absolute = distance_bound(centroids)
    context.bound(2 * ulp, 16 * absolute**2, DISTANCE_WHY)


# -- examples ------------------------------------------------------------------------------


def _fitted(targets: str, kind: str = "float64", **params: Any) -> tuple[Any, Any]:
    from sklearn.neighbors import NearestCentroid

    rows, asked, signal = example_rows(kind=kind)
    return NearestCentroid(**params).fit(rows, example_targets(targets, signal)), asked


def examples() -> Iterator[Example]:
    """Both metrics, priors, shrunken centroids, frames, float32 and sparse rows."""
    for targets, params in (
        ("text", {}),
        ("binary", {"kind": "frame"}),
        ("text", {"priors": [0.2, 0.2, 0.6], "kind": "float32"}),
        ("binary", {"priors": [0.3, 0.7], "shrink_threshold": 0.5}),
        ("text", {"kind": "csr"}),
        ("text", {"metric": "manhattan"}),
        ("text", {"metric": "manhattan", "priors": [0.2, 0.2, 0.6]}),
    ):
        words = spelled(params, " ")
        yield Example(
            f"NearestCentroid {targets}{words}",
            partial(_fitted, targets, **params),
            ulp=4000,
            absolute=1e-10,
            why=DISTANCE_WHY,
        )
