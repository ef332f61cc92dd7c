"""What each objective of LightGBM makes of the scores: ``ObjectiveFunction::ConvertOutput``.

Semantics matched: ``src/objective/*.hpp`` of LightGBM 4.7, all in float64.

Exactness: identity, square and logistic outputs have the source's bits (``expit`` calls the same
``exp`` of the C library). ``exp`` itself is NumPy's, which may differ from the C library's in the
last place: `ULP` says how far the predictions may be then.
"""

from __future__ import annotations

from functools import reduce
from operator import add

import numpy as np

from millrace.catalog.lightgbm.text import ModelText
from millrace.catalog.registry import Decline
from millrace.ir.build import Value

_IDENTITY = frozenset(
    {
        "",
        "custom",
        "none",
        "regression",
        "regression_l1",
        "huber",
        "fair",
        "quantile",
        "mape",
        "lambdarank",
        "rank_xendcg",
    }
)
_EXPONENTIAL = frozenset({"poisson", "gamma", "tweedie"})

ULP = {"poisson": 1, "gamma": 1, "tweedie": 1, "cross_entropy_lambda": 2, "multiclass": 4}
"""Objectives whose predictions may miss the source's bits, and by how many places."""
WHY = "NumPy's exp and the C library's may differ in the last place"


def softmax(score: Value) -> Value:
    """``Common::Softmax``: ``exp(x - max)`` divided by its sum, which is added class by class."""
    power = (score - score.reduce("max")).apply("exp")
    return power / reduce(add, (power.column(k) for k in range(power.width)))


def convert_output(model: ModelText, score: Value) -> Value:
    """The predictions from the (averaged) scores.

    Raises
    ------
    Decline
        The objective is not one of LightGBM 4.7's.
    """
    name, options = model.objective
    if name in ("binary", "multiclassova"):
        return (score * np.float64(options["sigmoid"])).apply("expit")
    if name == "multiclass":
        return softmax(score)
    if name == "cross_entropy":
        return score.apply("expit")
    if name == "cross_entropy_lambda":
        return score.apply("exp").apply("log1p")
    if name in _EXPONENTIAL:
        return score.apply("exp")
    if name in _IDENTITY:
        return score.apply("sign") * score * score if "sqrt" in options else score
    raise Decline(f"what its objective {name!r} does with the scores is not known")
