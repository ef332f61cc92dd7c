"""Kernels of Gaussian processes between the rows of a block and the training rows, as values.

Semantics matched: ``__call__(X, Y)`` and ``diag(X)`` of the kernels in
``sklearn/gaussian_process/kernels.py`` of scikit-learn 1.9.1. Kernels combine as they do there.

Exactness: stationary kernels are the same functions of the distances that SciPy's ``cdist`` gives, to the
same bits; ``DotProduct`` and ``PairwiseKernel`` rest on products, whose order of additions BLAS does not
fix. A kernel of no row (``ConstantKernel``, ``WhiteKernel``) is one constant row.

Missing values are the caller's matter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.catalog.registry import Decline
from millrace.catalog.sklearn._pairwise import dense_points, pairwise_kernel, squared_norms
from millrace.ir.arrays import Array
from millrace.ir.build import Value
from millrace.ir.ops import Distances, Metric

Points = npt.NDArray[Any]
"""Training rows, (n_points, n_features)."""


def kernel_values(kernel: Any, x: Value, points: Points) -> Value:
    """``kernel(X, points)``: (n_samples, n_points), or one row where it looks at no row.

    Raises
    ------
    Decline
        The kernel is not one of scikit-learn's own, or gives several matrices.
    """
    return _lookup(_VALUES, kernel)(kernel, x, points)


def kernel_diagonal(kernel: Any, x: Value) -> Value:
    """``kernel.diag(X)``: (n_samples, 1), or one row where it is the same for every row."""
    return _lookup(_DIAGONALS, kernel)(kernel, x)


def reads_rows(kernel: Any) -> bool:
    """Whether the kernel looks at the rows at all."""
    return any(n not in ("ConstantKernel", "WhiteKernel") for n in _leaf_names(kernel))


def has_products(kernel: Any) -> bool:
    """Whether some kernel value rests on a product: float32 rows and points give it in float32."""
    return any(n in ("DotProduct", "PairwiseKernel") for n in _leaf_names(kernel))


def _leaf_names(kernel: Any) -> list[str]:
    """The classes of the kernels that a kernel is combined from."""
    parts = [getattr(kernel, name, None) for name in ("k1", "k2", "kernel")]
    names = [n for p in parts if p is not None for n in _leaf_names(p)]
    return names or [type(kernel).__name__]


def _lookup(table: Mapping[str, Callable[..., Value]], kernel: Any) -> Callable[..., Value]:
    cls = type(kernel)
    if cls.__module__ != "sklearn.gaussian_process.kernels" or cls.__name__ not in table:
        raise Decline(f"its kernel {cls.__name__} has no native form")
    return table[cls.__name__]


# -- distances -----------------------------------------------------------------------------
def _scaled(kernel: Any, x: Value, points: Points, metric: Metric) -> Value:
    """Distances after each column is divided by its length scale."""
    scale = np.squeeze(kernel.length_scale).astype(float)
    own = x / np.atleast_1d(scale)
    return own.then(Distances(Array(points / scale, "float64"), metric))


def _unscaled(x: Value, points: Points, metric: Metric) -> Value:
    return x.then(Distances(Array(points, "float64"), metric))


def _rbf(kernel: Any, x: Value, points: Points) -> Value:
    return (_scaled(kernel, x, points, "sqeuclidean") * np.float64(-0.5)).apply("exp")


def _matern(kernel: Any, x: Value, points: Points) -> Value:
    distances = _scaled(kernel, x, points, "euclidean")
    one = np.float64(1.0)
    if kernel.nu == 0.5:
        return (-distances).apply("exp")
    if kernel.nu == 1.5:
        k = distances * np.float64(math.sqrt(3))
        return (k + one) * (-k).apply("exp")
    if kernel.nu == 2.5:
        k = distances * np.float64(math.sqrt(5))
        return (k + one + k.apply("square") / np.float64(3.0)) * (-k).apply("exp")
    if kernel.nu == np.inf:
        return (-distances.apply("square") / np.float64(2.0)).apply("exp")
    return _general_matern(distances, kernel.nu)


def _general_matern(distances: Value, nu: Any) -> Value:
    from scipy.special import gamma

    zero, eps = np.float64(0.0), np.float64(np.finfo(float).eps)
    distances = distances.equals(zero).where(distances + eps, distances)
    scaled = distances * np.float64(math.sqrt(2 * nu))
    values = _power(scaled, nu) * np.float64((2 ** (1.0 - nu)) / gamma(nu))
    order = distances.builder.constant(np.float64(nu))
    return values * order.combine("kv", scaled)


def _rational_quadratic(kernel: Any, x: Value, points: Points) -> Value:
    distances = _unscaled(x, points, "sqeuclidean")
    width = float(np.squeeze(2 * kernel.alpha * kernel.length_scale**2))
    return _power(distances / np.float64(width) + np.float64(1), -kernel.alpha)


def _exp_sine_squared(kernel: Any, x: Value, points: Points) -> Value:
    distances = _unscaled(x, points, "euclidean")
    waves = (distances * np.float64(np.pi / kernel.periodicity)).apply("sin")
    squares = (waves / np.float64(kernel.length_scale)).apply("square")
    return (squares * np.float64(-2)).apply("exp")


# -- products ------------------------------------------------------------------------------
def _dot_product(kernel: Any, x: Value, points: Points) -> Value:
    return _plus(x @ points.T, kernel.sigma_0**2)


def _plus(x: Value, value: Any) -> Value:
    """A NumPy number keeps its dtype next to a float32 block, a Python number does not."""
    return x + np.float64(value) if isinstance(value, np.generic) else x + x.scalar(value)


def _pairwise(kernel: Any, x: Value, points: Points) -> Value:
    parameters = {"gamma": kernel.gamma, **(kernel.pairwise_kernels_kwargs or {})}
    if kernel.metric == "precomputed":
        raise Decline("its PairwiseKernel is precomputed")
    return pairwise_kernel(kernel.metric, x.cast("float"), dense_points(points), parameters)


# -- of no row -----------------------------------------------------------------------------
def _constant(kernel: Any, x: Value, points: Points) -> Value:
    return x.builder.constant(np.full(len(points), kernel.constant_value, np.float64))


def _white(kernel: Any, x: Value, points: Points) -> Value:
    return x.builder.constant(np.zeros(len(points)))


# -- of kernels ----------------------------------------------------------------------------
def _combined(ufunc: str) -> Callable[..., Value]:
    """``k1(X, Y) + k2(X, Y)`` or ``*``; noise is 0 between two sets of rows and changes no sum."""

    def values(kernel: Any, x: Value, points: Points) -> Value:
        if ufunc == "add":
            for noise, other in ((kernel.k1, kernel.k2), (kernel.k2, kernel.k1)):
                if type(noise).__name__ == "WhiteKernel":
                    return kernel_values(other, x, points)
        first = kernel_values(kernel.k1, x, points)
        return first.combine(ufunc, kernel_values(kernel.k2, x, points))

    return values


def _exponentiation(kernel: Any, x: Value, points: Points) -> Value:
    return _power(kernel_values(kernel.kernel, x, points), kernel.exponent)


def _power(x: Value, exponent: Any) -> Value:
    """``x ** exponent`` with the functions that NumPy takes for a few exponents."""
    quick: dict[float, Callable[[], Value]] = {
        -1.0: lambda: x.apply("reciprocal"),
        0.5: lambda: x.apply("sqrt"),
        1.0: lambda: x,
        2.0: lambda: x.apply("square"),
    }
    if (known := quick.get(float(exponent))) is not None:
        return known()
    return x.combine("power", x.scalar(exponent))


_VALUES: dict[str, Callable[..., Value]] = {
    "RBF": _rbf,
    "Matern": _matern,
    "RationalQuadratic": _rational_quadratic,
    "ExpSineSquared": _exp_sine_squared,
    "DotProduct": _dot_product,
    "PairwiseKernel": _pairwise,
    "ConstantKernel": _constant,
    "WhiteKernel": _white,
    "Sum": _combined("add"),
    "Product": _combined("multiply"),
    "Exponentiation": _exponentiation,
}


# -- diagonals -----------------------------------------------------------------------------
def _ones(kernel: Any, x: Value) -> Value:
    return x.builder.constant(np.float64(1.0))


def _pairwise_diagonal(kernel: Any, x: Value) -> Value:
    if kernel.metric not in ("rbf", "laplacian"):
        raise Decline(f"the diagonal of its PairwiseKernel {kernel.metric!r} is not 1")
    return _ones(kernel, x)


_DIAGONALS: dict[str, Callable[..., Value]] = {
    "RBF": _ones,
    "Matern": _ones,
    "RationalQuadratic": _ones,
    "ExpSineSquared": _ones,
    "DotProduct": lambda k, x: _plus(squared_norms(x), k.sigma_0**2),
    "PairwiseKernel": _pairwise_diagonal,
    "ConstantKernel": lambda k, x: x.builder.constant(np.float64(k.constant_value)),
    "WhiteKernel": lambda k, x: x.builder.constant(np.float64(k.noise_level)),
    "Sum": lambda k, x: kernel_diagonal(k.k1, x) + kernel_diagonal(k.k2, x),
    "Product": lambda k, x: kernel_diagonal(k.k1, x) * kernel_diagonal(k.k2, x),
    "Exponentiation": lambda k, x: _power(kernel_diagonal(k.kernel, x), k.exponent),
}
