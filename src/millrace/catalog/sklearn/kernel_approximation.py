"""Feature maps that approximate kernels.

Semantics matched: ``sklearn/kernel_approximation.py`` of scikit-learn 1.9.1.

Exactness: `AdditiveChi2Sampler` has the same bits. The others hold a matrix product, which is BLAS's, in
no fixed order of additions: ``cos`` moves by at most what the product moves, so where a product is large
its cosine is as uncertain as the product's last digits are.
Missing values: NaN and infinities are refused.
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
    sparse,
)
from millrace.catalog.sklearn._examples import as_csr, as_frame
from millrace.catalog.sklearn._pairwise import dense_points, in_place, pairwise_kernel
from millrace.ir.build import Value


@converts("sklearn.kernel_approximation.RBFSampler")
def rbf_sampler(model: Any, x: Value, context: Context) -> Outputs:
    """``cos(x @ random_weights_ + random_offset_) * sqrt(2 / n_components)``."""
    projection = x.cast("numeric").guard("RBFSampler") @ model.random_weights_
    projection = (projection + model.random_offset_).cast_like(projection)
    return {"transform": in_place(projection.apply("cos"), "multiply", _factor(model))}


def _factor(model: Any) -> Any:
    return (2.0 / model.n_components) ** 0.5


@converts("sklearn.kernel_approximation.SkewedChi2Sampler")
def skewed_chi2_sampler(model: Any, x: Value, context: Context) -> Outputs:
    """``cos(log(x + skewedness) @ random_weights_ + random_offset_) * sqrt(2) / sqrt(n_components)``."""
    x = x.cast("float").guard("SkewedChi2Sampler")
    allowed = (x > x.scalar(-model.skewedness)).reduce("all")
    x = x.require(allowed, "SkewedChi2Sampler", f"a value of {-model.skewedness} or less")
    logarithm = in_place(x, "add", model.skewedness).apply("log")
    projection = logarithm @ model.random_weights_
    projection = (projection + model.random_offset_).cast_like(projection)
    factor = np.sqrt(2.0) / np.sqrt(model.n_components)
    return {"transform": in_place(projection.apply("cos"), "multiply", factor)}


@converts("sklearn.kernel_approximation.AdditiveChi2Sampler")
def additive_chi2_sampler(model: Any, x: Value, context: Context) -> Outputs:
    """Samples of the Fourier transform of the additive chi-squared kernel, cell by cell.

    Integers stay integers, cut off as in the source. Declines: a `sample_interval` that is a NumPy
    number.
    """
    interval = model.sample_interval
    if interval is None:
        interval = {1: 0.8, 2: 0.5, 3: 0.4}[model.sample_steps]
    if isinstance(interval, np.generic):
        raise Decline("its sample_interval is a NumPy number, which has a dtype of its own")
    rows = x.cast("numeric").guard("AdditiveChi2Sampler")
    allowed = (rows >= rows.scalar(0)).reduce("all")
    rows = rows.require(allowed, "AdditiveChi2Sampler", "a negative value")
    value = x.builder.concat(_samples(rows, int(model.sample_steps), interval))
    return {"transform": sparse(value) if isinstance(x, SparseValue) else value}


def _samples(x: Value, steps: int, interval: float) -> list[Value]:
    zero = x.scalar(0)
    some = x.equals(zero)

    def kept(values: Value) -> Value:
        return some.where(zero, values.cast_like(x))

    wide = x.cast("float")
    blocks = [kept((wide * wide.scalar(interval)).apply("sqrt"))]
    logarithm = x.apply("log")
    logarithm = logarithm * logarithm.scalar(interval)
    double = (x * x.scalar(2)).cast("float")
    double = double * double.scalar(interval)
    for j in range(1, steps):
        root = (double / np.cosh(np.pi * j * interval)).apply("sqrt")
        angle = logarithm * logarithm.scalar(j)
        blocks += [kept(root * angle.apply("cos")), kept(root * angle.apply("sin"))]
    return blocks


@converts("sklearn.kernel_approximation.Nystroem")
def nystroem(model: Any, x: Value, context: Context) -> Outputs:
    """The kernel between a row and the sampled rows, times ``normalization_.T``.

    Declines: kernels that are Python functions or compare every pair of cells (chi2).
    """
    parameters = dict(model.kernel_params or {})
    names = ("gamma", "degree", "coef0")
    given = {n: getattr(model, n) for n in names if getattr(model, n) is not None}
    points = dense_points(model.components_)
    rows = x.cast("numeric").guard("Nystroem").cast("float")
    kernel = pairwise_kernel(model.kernel, rows, points, {**parameters, **given})
    if model.kernel == "precomputed" and points.dtype == np.float64:
        kernel = kernel.cast("float64")
    weights = model.normalization_.T
    context.bound(1024, _nystroem_bound(model, points), BLAS_ORDER)
    return {"transform": kernel @ weights}


def _nystroem_bound(model: Any, points: Any) -> float:
    """Absolute bound for rows of the size of the sampled ones."""
    eps = float(np.finfo(model.normalization_.dtype).eps)
    largest = float(np.einsum("ij,ij->i", points, points).max(initial=0.0))
    gamma = float(1.0 / points.shape[1] if model.gamma is None else model.gamma)
    size = 1 + largest * max(1.0, 9 * gamma)
    if model.kernel in ("poly", "polynomial"):
        size = size ** (3 if model.degree is None else model.degree)
    columns = np.abs(model.normalization_).sum(axis=1).max(initial=0.0)
    return 2 * sum(points.shape) * eps * size * float(columns)


@converts("sklearn.kernel_approximation.PolynomialCountSketch")
def polynomial_count_sketch(model: Any, x: Value, context: Context) -> Outputs:
    """Nothing natively: its Fourier transforms leave the rounding of all features in each of them.

    Declines: always. No other way to compute the convolution stays within a bound of the source's.
    """
    raise Decline("its Fourier transforms spread their rounding over all features")


# -- examples ------------------------------------------------------------------------------


def _rows(dtype: str, container: str, positive: bool) -> Any:
    X = np.random.default_rng(0).normal(0, 1, (60, 5)).round(2)
    X = (np.abs(X) * 3 if positive else X).astype(dtype)
    X[::3, 1] = 0
    if container == "frame":
        return as_frame(X)
    if container == "csr":
        return as_csr(X, 0.7)
    return X


def _fitted(name: str, dtype: str, container: str, params: dict[str, Any]) -> tuple[Any, Any]:
    import sklearn.kernel_approximation

    X = _rows(dtype, container, "Chi2" in name or "chi2" in str(params))
    if params.get("kernel") == "precomputed":
        X = X @ X.T
    options = dict(params)
    if name != "AdditiveChi2Sampler":
        options |= {"random_state": 0}
    return getattr(sklearn.kernel_approximation, name)(**options).fit(X), X


def _chi2_after_sparse() -> tuple[Any, Any]:
    from sklearn.kernel_approximation import AdditiveChi2Sampler
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    X = np.random.default_rng(1).integers(0, 7, (60, 3)).astype(float)
    return make_pipeline(
        OneHotEncoder(handle_unknown="ignore"), AdditiveChi2Sampler(sample_steps=3)
    ).fit(X), X


_CHI2: list[tuple[str, str, dict[str, Any]]] = [
    ("float64", "array", {}),
    ("float64", "frame", {"sample_steps": 1}),
    ("float32", "array", {"sample_steps": 3}),
    ("int64", "array", {"sample_steps": 4, "sample_interval": 0.3}),
]

_PRODUCTS: list[tuple[str, str, str, dict[str, Any]]] = [
    ("RBFSampler", "float64", "array", {"n_components": 7}),
    ("RBFSampler", "float32", "array", {"n_components": 7, "gamma": "scale"}),
    ("RBFSampler", "int64", "frame", {"n_components": 7, "gamma": 0.3}),
    ("RBFSampler", "float64", "csr", {"n_components": 7}),
    ("SkewedChi2Sampler", "float64", "array", {"n_components": 7}),
    ("SkewedChi2Sampler", "float32", "array", {"n_components": 7, "skewedness": 0.1}),
    ("Nystroem", "float64", "array", {"n_components": 9}),
    ("Nystroem", "float32", "array", {"n_components": 9, "gamma": 0.3}),
    ("Nystroem", "float64", "frame", {"n_components": 9, "kernel": "poly", "degree": 2}),
    ("Nystroem", "float64", "array", {"n_components": 5, "kernel": "sigmoid", "gamma": 0.1}),
    ("Nystroem", "float64", "array", {"n_components": 9, "kernel": "laplacian", "gamma": 0.2}),
    ("Nystroem", "float32", "array", {"n_components": 5, "kernel": "cosine"}),
    ("Nystroem", "float64", "array", {"n_components": 4, "kernel": "linear"}),
    ("Nystroem", "float64", "csr", {"n_components": 9}),
    ("Nystroem", "float64", "csr", {"n_components": 5, "kernel": "cosine"}),
]


def examples() -> Iterator[Example]:
    """Each map, each kernel, each dtype and container, and what is not native."""
    for dtype, container, params in _CHI2:
        words = " ".join(f"{k}={v}" for k, v in params.items())
        yield Example(
            f"AdditiveChi2Sampler {dtype} {container} {words}".strip(),
            partial(_fitted, "AdditiveChi2Sampler", dtype, container, params),
        )
    yield Example("AdditiveChi2Sampler after sparse", _chi2_after_sparse)
    for name, dtype, container, params in _PRODUCTS:
        words = " ".join(f"{k}={v}" for k, v in params.items())
        yield Example(
            f"{name} {dtype} {container} {words}".strip(),
            partial(_fitted, name, dtype, container, params),
            ulp=1024,
            absolute=1e-3 if dtype == "float32" else 1e-10,
            why=BLAS_ORDER,
        )
    for name, params in [
        ("Nystroem", {"kernel": np.dot, "n_components": 9}),
        ("PolynomialCountSketch", {"n_components": 8}),
    ]:
        yield Example(name, partial(_fitted, name, "float64", "array", params), native=False)
