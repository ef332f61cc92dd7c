"""Kernel principal components: a kernel with the rows of the fit, centred, times eigenvectors.

Semantics matched: ``sklearn/decomposition/_kernel_pca.py`` and ``KernelCenterer`` of scikit-learn 1.9.1.

Exactness: everything but the two matrix products is the same function in the same order. The bound is
that of the kernel's own products, carried through the eigenvectors, which divide by the roots of the
eigenvalues. Missing values: NaN and infinities are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from millrace.catalog.registry import (
    BLAS_ORDER,
    Context,
    Decline,
    Example,
    Outputs,
    SparseValue,
    converts,
)
from millrace.catalog.sklearn._examples import as_csr, as_frame
from millrace.catalog.sklearn._pairwise import Points, dense_points, pairwise_kernel
from millrace.ir.build import Value

_WHY = f"{BLAS_ORDER}, and small eigenvalues are divided by"


@converts("sklearn.decomposition.KernelPCA")
def kernel_pca(model: Any, x: Value, context: Context) -> Outputs:
    """The centred kernel between a row and the rows of the fit, times the scaled eigenvectors.

    Declines: kernels that are Python functions, and precomputed kernels in a sparse matrix.
    """
    if model.kernel == "precomputed" and isinstance(x, SparseValue):
        raise Decline("its precomputed kernel comes as a sparse matrix")
    points = dense_points(model.X_fit_)
    x = x.cast("numeric").guard("KernelPCA").cast("float")
    kernel = kernel_of(model, x, points)
    if model.kernel == "precomputed" and points.dtype == np.float64:
        kernel = kernel.cast("float64")
    context.bound(*kernel_bound(model, points), _WHY)
    return {"transform": centred_kernel(model._centerer, kernel) @ scaled_vectors(model)}


def kernel_of(model: Any, x: Value, points: Points) -> Value:
    """``KernelPCA._get_kernel(x, points)``."""
    parameters = {"gamma": model.gamma_, "degree": model.degree, "coef0": model.coef0}
    return pairwise_kernel(model.kernel, x, points, parameters)


def centred_kernel(centerer: Any, kernel: Value) -> Value:
    """``KernelCenterer.transform``: without the means of the fit and of the row."""
    kernel = kernel.guard("KernelCenterer")
    total = kernel.reduce("sum")
    mean = total / total.scalar(centerer.K_fit_rows_.shape[0])
    centred = (kernel - centerer.K_fit_rows_).cast_like(kernel)
    centred = centred - mean
    return (centred + np.atleast_1d(centerer.K_fit_all_)).cast_like(kernel)


def scaled_vectors(model: Any) -> Any:
    """Eigenvectors over the roots of their eigenvalues, zeros where those are zero."""
    non_zeros = np.flatnonzero(model.eigenvalues_)
    scaled = np.zeros_like(model.eigenvectors_)
    scaled[:, non_zeros] = model.eigenvectors_[:, non_zeros] / np.sqrt(
        model.eigenvalues_[non_zeros]
    )
    return scaled


def kernel_bound(model: Any, points: Points) -> tuple[int, float]:
    """Units in the last place and absolute bound of `kernel_pca` for rows of the size of the fit's."""
    eps = float(np.finfo(points.dtype).eps)
    largest = float(np.einsum("ij,ij->i", points, points).max(initial=0.0))
    gamma = float(model.gamma_) if isinstance(model.kernel, str) else 1.0
    size = {
        "linear": largest,
        "poly": (gamma * largest + abs(model.coef0)) ** model.degree * max(1, model.degree),
        "rbf": 1 + 9 * gamma * largest,
        "sigmoid": 1 + gamma * largest + abs(model.coef0),
        "precomputed": float(np.abs(points).max(initial=0.0)),
    }.get(model.kernel, 1.0)
    steps = 2 * (points.shape[1] + len(points))
    return 1024, eps * size * steps * float(
        np.abs(scaled_vectors(model)).sum(axis=0).max(initial=0)
    )


# -- examples ------------------------------------------------------------------------------


def _rows(dtype: str = "float64", container: str = "array") -> Any:
    X = np.random.default_rng(0).normal(0, 1, (60, 4)).round(3).astype(dtype)
    if container == "frame":
        return as_frame(X)
    if container == "csr":
        return as_csr(X, 1)
    return X


def _fitted(dtype: str, container: str, params: dict[str, Any]) -> tuple[Any, Any]:
    from sklearn.decomposition import KernelPCA

    X = _rows(dtype, container)
    if params.get("kernel") == "precomputed":
        X = X @ X.T
    options: dict[str, Any] = {"n_components": 3, **params}
    return KernelPCA(**options).fit(X), X


def examples() -> Iterator[Example]:
    """Each kernel, each dtype and container, and a kernel that is not native."""
    kernels: list[dict[str, Any]] = [
        {},
        {"kernel": "poly", "degree": 2, "coef0": 0.5},
        {"kernel": "poly", "gamma": 0.1},
        {"kernel": "rbf"},
        {"kernel": "rbf", "gamma": 0.7, "fit_inverse_transform": True},
        {"kernel": "sigmoid", "gamma": 0.01},
        {"kernel": "cosine"},
        {"kernel": "precomputed"},
    ]
    cases = [("float64", "array", k) for k in kernels]
    cases += [("float32", "array", k) for k in kernels if k.get("kernel") != "sigmoid"]
    cases += [("float64", "frame", kernels[3]), ("int64", "array", kernels[3])]
    cases += [("float64", "csr", k) for k in (kernels[0], kernels[3], kernels[6])]
    for dtype, container, params in cases:
        words = " ".join(f"{k}={v}" for k, v in params.items())
        narrow = dtype == "float32"
        yield Example(
            f"KernelPCA {dtype} {container} {words}".strip(),
            partial(_fitted, dtype, container, params),
            ulp=1 << 14 if narrow else 1024,
            absolute=2e-4 if narrow else 1e-11,
            why=_WHY,
        )
    yield Example("KernelPCA of a function", _own_kernel, native=False)


def _own_kernel() -> tuple[Any, Any]:
    from sklearn.decomposition import KernelPCA

    X = _rows()
    options: dict[str, Any] = {"n_components": 2, "kernel": np.dot}
    return KernelPCA(**options).fit(X), X
