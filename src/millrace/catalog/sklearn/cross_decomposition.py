"""Cross decompositions: centre, scale, and a product with rotations or coefficients.

Semantics matched: ``sklearn/cross_decomposition/_pls.py`` of scikit-learn 1.9.1. All but PLSSVD work in
place, in the dtype of the input; PLSSVD reads float64.

Exactness: the products are BLAS's, in no fixed order of additions (see `linear`); the rest is the same.
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


@converts(
    "sklearn.cross_decomposition.PLSRegression",
    "sklearn.cross_decomposition.PLSCanonical",
    "sklearn.cross_decomposition.CCA",
)
def partial_least_squares(model: Any, x: Value, context: Context) -> Outputs:
    """``transform``: the scaled row times the rotations; ``predict``: the centred row times ``coef_``."""
    x = x.cast("float").guard(type(model).__name__)
    centred = (x - model._x_mean).cast_like(x)
    scaled = (centred / model._x_std).cast_like(x)
    predicted = centred @ model.coef_.T + model.intercept_
    return {
        "transform": scaled @ model.x_rotations_,
        "predict": vector(predicted) if model._predict_1d else predicted,
    }


@converts("sklearn.cross_decomposition.PLSSVD")
def pls_svd(model: Any, x: Value, context: Context) -> Outputs:
    """``(x - mean) / std`` times ``x_weights_``, in float64."""
    x = x.cast("float64").guard("PLSSVD")
    return {"transform": ((x - model._x_mean) / model._x_std) @ model.x_weights_}


# -- examples ------------------------------------------------------------------------------


def _fitted(name: str, dtype: str, targets: int, frame: bool, params: Any) -> tuple[Any, Any]:
    import sklearn.cross_decomposition

    rng = np.random.default_rng(0)
    X = rng.normal(0, 2, (80, 6)).round(2) + np.arange(6)
    y = X[:, :3] @ rng.normal(0, 1, (3, max(1, targets))) + rng.normal(0, 0.2, (80, 1))
    X = X.astype(dtype)
    if frame:
        X = as_frame(X)
    model = getattr(sklearn.cross_decomposition, name)(**params)
    return model.fit(X, y if targets else y[:, 0]), X


def examples() -> Iterator[Example]:
    """One and more targets, each dtype, scaled and not, arrays and frames."""
    for name, dtype, targets, frame, params in [
        ("PLSRegression", "float64", 0, False, {}),
        ("PLSRegression", "float64", 1, False, {"scale": False}),
        ("PLSRegression", "float64", 3, True, {"n_components": 3}),
        ("PLSRegression", "float32", 3, False, {}),
        ("PLSRegression", "int64", 0, False, {"n_components": 1}),
        ("PLSCanonical", "float64", 3, False, {}),
        ("PLSCanonical", "float32", 3, False, {"algorithm": "svd", "scale": False}),
        ("CCA", "float64", 3, False, {}),
        ("CCA", "float32", 3, True, {"n_components": 1}),
        ("PLSSVD", "float64", 3, False, {}),
        ("PLSSVD", "float32", 3, False, {"scale": False}),
    ]:
        words = " ".join(f"{k}={v}" for k, v in params.items())
        yield Example(
            f"{name} {dtype} targets={targets} {words}{' frame' if frame else ''}".strip(),
            partial(_fitted, name, dtype, targets, frame, params),
            ulp=1024,
            absolute=1e-12,
            why=BLAS_ORDER,
        )
