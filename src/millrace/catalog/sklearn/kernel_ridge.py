"""Kernel ridge regression: kernels between a row and the fitted rows, weighted.

Semantics matched: ``sklearn/kernel_ridge.py`` of scikit-learn 1.9.1.

Exactness: kernels and predictions are products, whose order of additions BLAS does not fix; the bound is
that of the kernel, carried through the weights. Missing values: NaN and infinities are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from millrace.catalog.registry import Context, Example, Outputs, converts, vector
from millrace.catalog.sklearn._examples import as_csr, as_frame
from millrace.catalog.sklearn._pairwise import dense_points, pairwise_kernel
from millrace.ir.build import Value

_WHY = "kernels and weights meet in products, whose order of additions BLAS does not fix"


@converts("sklearn.kernel_ridge.KernelRidge")
def kernel_ridge(model: Any, x: Value, context: Context) -> Outputs:
    """The kernels between a row and the fitted rows, times ``dual_coef_``.

    Declines: kernels that are Python functions or compare every pair of cells (chi2).
    """
    parameters = {n: getattr(model, n) for n in ("gamma", "degree", "coef0")}
    points = dense_points(model.X_fit_)
    rows = x.cast("numeric").guard("KernelRidge")
    if model.kernel != "precomputed":
        rows = rows.cast("float")
    kernel = pairwise_kernel(model.kernel, rows, points, parameters)
    context.bound(1024, _bound(model, points), _WHY)
    predicted = kernel @ model.dual_coef_.reshape(len(model.dual_coef_), -1)
    return {"predict": vector(predicted) if model.dual_coef_.ndim == 1 else predicted}


def _bound(model: Any, points: Any) -> float:
    """Absolute bound for rows of the size of the fitted ones."""
    eps = float(np.finfo(np.result_type(points, model.dual_coef_)).eps)
    largest = 1 + float(np.einsum("ij,ij->i", points, points).max(initial=0.0))
    size = largest * max(1.0, 9 * (model.gamma or 1.0))
    if model.kernel in ("poly", "polynomial"):
        size = size**model.degree
    weights = np.abs(model.dual_coef_).sum(axis=0).max(initial=0.0)
    return float(2 * sum(points.shape) * eps * size * weights)


# -- examples ------------------------------------------------------------------------------


def _fitted(targets: int, container: str, params: dict[str, Any]) -> tuple[Any, Any]:
    from sklearn.kernel_ridge import KernelRidge

    rng = np.random.default_rng(0)
    X = rng.normal(0, 1, (50, 4)).round(2)
    y = np.column_stack([X[:, 0] * 2 + 1, X[:, 1] ** 2])
    rows: Any = X
    if container == "csr":
        rows = as_csr(X, 0.6)
    elif container == "frame":
        rows = as_frame(X)
    return KernelRidge(**params).fit(rows, y if targets == 2 else y[:, 0]), rows


def examples() -> Iterator[Example]:
    """Every kernel, one and several targets, frames and sparse rows, and a kernel that is not native."""
    bound: dict[str, Any] = {"ulp": 1024, "absolute": 1e-4, "why": _WHY}
    for targets, container, params in (
        (1, "array", {}),
        (2, "frame", {"kernel": "rbf", "gamma": 0.2}),
        (1, "array", {"kernel": "poly", "degree": 2, "gamma": 0.5}),
        (1, "array", {"kernel": "sigmoid", "gamma": 0.1}),
        (1, "array", {"kernel": "laplacian"}),
        (1, "csr", {"kernel": "rbf"}),
    ):
        words = " ".join(f"{k}={v}" for k, v in params.items())
        name = f"KernelRidge {targets} {container} {words}".strip()
        yield Example(name, partial(_fitted, targets, container, params), **bound)
    yield Example(
        "KernelRidge function", partial(_fitted, 1, "array", {"kernel": np.dot}), native=False
    )
