"""Generalised linear models: a matrix product and the inverse of a link.

Semantics matched: ``sklearn/linear_model/_glm/glm.py`` and ``sklearn/_loss/link.py`` of scikit-learn
1.9.1. Rows are converted to float64 unless they are float32.

Exactness: the product within its rounding (see `linear`). ``exp`` turns an absolute rounding of the score
into a relative one: while the terms of the score stay below 745 in sum, beyond which ``exp`` leaves the
range of float64, that is at most ``2 * n_features * 745`` units in the last place.

Missing values: NaN and infinities are refused.
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
    converts,
    handed_on,
    in_container_of,
    vector,
)
from millrace.catalog.sklearn._examples import fitted
from millrace.catalog.sklearn.linear import (
    WIDE,
    example_rows,
    linear_scores,
)
from millrace.ir.arrays import dense_array
from millrace.ir.build import Value

LARGEST_SCORE = 745
"""Where ``exp`` of its negative is 0 in float64."""

_WHY = "exp makes the rounding of a matrix product relative"


@converts(
    "sklearn.linear_model.PoissonRegressor",
    "sklearn.linear_model.GammaRegressor",
    "sklearn.linear_model.TweedieRegressor",
)
def generalized_linear_model(model: Any, x: Value, context: Context) -> Outputs:
    """``predict``: the score, or ``exp`` of it where the link is the logarithm.

    Within ``2 * n_features * 745`` units in the last place for the logarithm, see above.
    """
    scores = linear_scores(model, _float(x), context)
    match type(model._base_loss.link).__name__:
        case "IdentityLink":
            return {"predict": vector(scores)}
        case "LogLink":
            context.bound(2 * LARGEST_SCORE * model.n_features_in_, 0.0, _WHY)
            return {"predict": vector(scores.apply("exp"))}
        case link:
            raise Decline(f"its link is {link}")


def _float(x: Value) -> Value:
    """The rows as floats, still known as sparse where they are."""
    return handed_on(in_container_of(x, x.cast("float")))


# -- examples ------------------------------------------------------------------------------


def _fitted(name: str, kind: str, **params: Any) -> tuple[Any, Any]:
    import sklearn.linear_model

    rows = example_rows(kind, n_features=4)
    X = dense_array(rows).astype(np.float64)
    y = np.exp(0.2 * X[:, 0] - 0.1 * X[:, 1]) + 0.1
    return fitted(getattr(sklearn.linear_model, name)(max_iter=30, **params), rows, y)


def examples() -> Iterator[Example]:
    """Both links, each family, each kind of rows, with and without an intercept."""
    for name in ("PoissonRegressor", "GammaRegressor", "TweedieRegressor"):
        power: dict[str, Any] = {"power": 1.5} if name == "TweedieRegressor" else {}
        for kind in ("float64", "float32", "int64", "frame", "csr"):
            n_features = 5 if kind == "frame" else 4
            bound: dict[str, Any] = {"ulp": 2 * LARGEST_SCORE * n_features, "why": _WHY}
            yield Example(f"{name} {kind}", partial(_fitted, name, kind, **power), **bound)
        made = partial(_fitted, name, "float64", fit_intercept=False, **power)
        yield Example(f"{name} no intercept", made, ulp=2 * LARGEST_SCORE * 4, why=_WHY)
    for kind in ("float64", "csr"):
        made = partial(_fitted, "TweedieRegressor", kind, power=0)
        yield Example(f"TweedieRegressor identity {kind}", made, **WIDE)
