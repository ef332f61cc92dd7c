"""Outliers by the Mahalanobis distance from a robust Gaussian.

Semantics matched: ``sklearn/covariance/_elliptic_envelope.py`` and ``mahalanobis`` in
``_empirical_covariance.py`` of scikit-learn 1.9.1, which asks ``scipy.spatial.distance.cdist``. All of it
is float64, whatever the dtype of the rows.

Exactness: SciPy adds up the quadratic form cell by cell, here the product with the precision matrix
is left to BLAS. With n columns the squared distance is off by ``2 (n + 2) eps`` times the sum of its
absolute terms, which is at most the condition of the precision matrix times the squared distance
itself. A label can differ only where the decision value is that close to 0.

Missing values: NaN and infinities are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from millrace.catalog.registry import BLAS_ORDER, Context, Example, Outputs, converts, vector
from millrace.catalog.sklearn._examples import as_frame
from millrace.ir.build import Value

_WHY = f"{BLAS_ORDER} in the Mahalanobis distance"


@converts("sklearn.covariance.EllipticEnvelope")
def elliptic_envelope(model: Any, x: Value, context: Context) -> Outputs:
    """1 where the squared Mahalanobis distance is within the threshold of ``fit``, else -1."""
    precision = np.asarray(model.get_precision(), np.float64)
    rows = x.cast("numeric").guard("EllipticEnvelope").cast("float64")
    away = rows - np.asarray(model.location_, np.float64)
    distances = ((away @ precision.T) * away).reduce("sum").apply("sqrt")
    score = -distances.apply("square")
    decision = score - np.float64(model.offset_)
    ulp = _ulp(precision)
    context.bound(ulp, float(4 * ulp * np.finfo(np.float64).eps * abs(model.offset_)), _WHY)
    return {
        "predict": vector((decision >= np.float64(0)).where(np.int64(1), np.int64(-1))),
        "decision_function": vector(decision),
        "score_samples": vector(score),
    }


def _ulp(precision: Any) -> int:
    """Units in the last place of the squared distance: see the module's docstring.

    Scaling the columns changes no term, so the condition is that of the matrix with a diagonal of ones.
    """
    scale = np.sqrt(np.abs(np.diag(precision)))
    if not scale.all():
        return 1 << 40
    precision = precision / np.outer(scale, scale)
    largest = np.linalg.norm(np.abs(precision), 2)
    smallest = np.linalg.eigvalsh(precision).min()
    if smallest <= 0:
        return 1 << 40
    return int(min(8 * (len(precision) + 2) * max(1.0, largest / smallest), 1 << 40))


# -- examples ------------------------------------------------------------------------------


def _fitted(kind: str, **params: Any) -> tuple[Any, Any]:
    from sklearn.covariance import EllipticEnvelope

    rng = np.random.default_rng(0)
    X: Any = rng.normal(0, 1, (80, 4)) @ rng.normal(0, 1, (4, 4)) + [1, 0, -2, 5]
    X[:6] *= 3
    if kind == "float32":
        X = X.astype(np.float32)
    elif kind == "named":
        X = as_frame(X)
    elif kind == "int64":
        X = (X * 10).astype(np.int64)
    return EllipticEnvelope(random_state=0, **params).fit(X), X


def examples() -> Iterator[Example]:
    """Each dtype, a frame, and the parameters that change what is stored."""
    bound: dict[str, Any] = {"ulp": 1 << 14, "absolute": 1e-11, "why": _WHY}
    for kind in ("float64", "float32", "int64", "named"):
        yield Example(f"EllipticEnvelope {kind}", partial(_fitted, kind), **bound)
    for params in (
        {"assume_centered": True, "contamination": 0.2},
        {"store_precision": False, "support_fraction": 0.8},
    ):
        words = " ".join(f"{k}={v}" for k, v in params.items())
        yield Example(f"EllipticEnvelope {words}", partial(_fitted, "float64", **params), **bound)
