"""What each objective of XGBoost makes of the margins: ``ObjFunction::PredTransform``.

Semantics matched: ``src/objective/*.cu`` and ``src/common/math.h`` of XGBoost 3.2, all in float32.

Exactness: identity, logistic and hinge outputs have the source's bits (``expit`` calls the same
``expf`` of the C library). Where the source calls ``expf`` alone, its result is taken from the
float64 exponential, which is the correctly rounded one; ``expf`` misses that rarely, by one place.
`ulp` says how far the predictions may be then.
"""

from __future__ import annotations

from functools import reduce
from operator import add

import numpy as np

from millrace.catalog.registry import Decline
from millrace.ir.build import Value

_IDENTITY = frozenset(
    {
        "reg:squarederror",
        "reg:linear",
        "reg:squaredlogerror",
        "reg:pseudohubererror",
        "reg:absoluteerror",
        "reg:quantileerror",
        "binary:logitraw",
        "rank:ndcg",
        "rank:pairwise",
        "rank:map",
    }
)
_EXPONENTIAL = frozenset(
    {
        "count:poisson",
        "reg:gamma",
        "reg:tweedie",
        "survival:cox",
        "survival:aft",
    }
)
_LARGEST_POWER = np.float32(88.7)
"""``Sigmoid`` raises e to no higher power, lest it overflow."""


WHY = "the C library's expf is not always correctly rounded"


def ulp(objective: str) -> int:
    """By how many places the predictions may miss the source's."""
    return 1 if objective in _EXPONENTIAL else 3 if objective == "multi:softprob" else 0


def _exp(x: Value) -> Value:
    return x.cast("float64").apply("exp").cast("float32")


def softmax(margin: Value) -> Value:
    """``common::Softmax``: float32 exponentials and quotients, their sum in float64 in order."""
    power = _exp(margin - margin.reduce("max"))
    wide = power.cast("float64")
    total = reduce(add, (wide.column(k) for k in range(wide.width)))
    return power / total.cast("float32")


def transform(objective: str, margin: Value) -> Value:
    """The predictions from the margins.

    Raises
    ------
    Decline
        The objective is not one of XGBoost 3.2's.
    """
    if objective in ("binary:logistic", "reg:logistic"):
        return margin.combine("maximum", -_LARGEST_POWER).apply("expit")
    if objective == "multi:softprob":
        return softmax(margin)
    if objective == "multi:softmax":
        return margin.reduce("argmax").cast("float32")
    if objective == "binary:hinge":
        return (margin > np.float32(0)).where(np.float32(1), np.float32(0))
    if objective in _EXPONENTIAL:
        return _exp(margin)
    if objective in _IDENTITY:
        return margin
    raise Decline(f"what its objective {objective!r} does with the margins is not known")
