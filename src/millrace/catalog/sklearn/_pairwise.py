"""Distances and kernels between the rows of a block and fixed points, as values.

Semantics matched: ``sklearn/metrics/pairwise.py`` of scikit-learn 1.9.1, with the rows as X and the
points as Y, which are never the same array. A block given to these functions has been cast by
``cast("float")`` and guarded by the caller. The dtypes are the source's: float32 where rows and points
both are float32, else float64; distances of float32 are computed in float64 and rounded.

Exactness: the source leaves products to BLAS and squared norms to ``einsum``, neither of which fixes the
order of additions; `distance_bound` says how far a distance may be off for that. Everything after
the products is the same function in the same order. Missing values are the caller's matter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.catalog.registry import Context, Decline, SparseValue
from millrace.ir.arrays import Array, dense_array
from millrace.ir.build import Value
from millrace.ir.ops import Distances

Points = npt.NDArray[Any]
"""(n_points, n_features) float32 or float64."""


def dense_points(points: Any) -> Points:
    """Points of a fitted object as a dense float array, float32 only where they are float32."""
    dense = dense_array(points)
    return dense if dense.dtype == np.float32 else dense.astype(np.float64)


def in_place(x: Value, ufunc: str, value: Any) -> Value:
    """``x *= value`` and the like: a NumPy scalar computes in its own dtype, a Python number does not."""
    if isinstance(value, (np.ndarray, np.generic)):
        return x.combine(ufunc, np.atleast_1d(value)).cast_like(x)
    return x.combine(ufunc, x.scalar(value))


def squared_norms(x: Value) -> Value:
    """``sklearn.utils.extmath.row_norms(x, squared=True)`` in the dtype of `x`: (n, 1)."""
    return x.reduce("square_sum")


def row_norms(x: Value) -> Value:
    """``sklearn.utils.extmath.row_norms(x)``: (n, 1)."""
    return squared_norms(x).apply("sqrt")


# -- distances -----------------------------------------------------------------------------
def euclidean_distances(x: Value, points: Points, squared: bool = False) -> Value:
    """``euclidean_distances(x, points)`` by products, clipped at 0: (n, n_points).

    Parameters
    ----------
    x : Value
        Rows, float and guarded; a sparse block stays sparse until its product.
    points : ndarray (n_points, n_features)
    squared : bool
    """
    wide = np.asarray(points, np.float64)
    rows = x.cast("float64")
    distances = rows @ (-2.0 * wide.T)
    distances = distances + squared_norms(rows)
    distances = distances + np.einsum("ij,ij->i", wide, wide)
    if points.dtype == np.float32:
        distances = distances.cast_like(x)
    distances = distances.combine("maximum", distances.scalar(0.0))
    return distances if squared else distances.apply("sqrt")


def distance_bound(points: Points) -> tuple[int, float]:
    """How far `euclidean_distances` may be from the source's: units in the last place, and absolute.

    With e the rounding of float64, n columns and ``s = |x| + |y|``, two ways to add up the products
    differ by at most ``c s**2`` in the squared distance, ``c = 2 (n + 4) e``. A distance d below
    ``|x| / 2`` has ``s <= 3 |y|`` and moves by ``sqrt(c) s`` at most; a longer one has ``s <= 5 d`` and
    moves by ``25 / 2 c d``.
    """
    points = np.asarray(points, np.float64)
    n = points.shape[1] + 4
    longest = float(np.sqrt(np.einsum("ij,ij->i", points, points).max(initial=0.0)))
    return 50 * n, 3.0 * longest * float(np.sqrt(2 * n * np.finfo(np.float64).eps))


def state_distance_bound(context: Context, points: Points) -> None:
    """`context.bound` for outputs that are distances by products."""
    ulp, absolute = distance_bound(points)
    context.bound(ulp, absolute, DISTANCE_WHY)


DISTANCE_WHY = (
    "a distance from products is a difference of large sums, whose order BLAS does not fix"
)
"""The reason beside `distance_bound`."""


def nearest_point(x: Value, points: Points, norms: Any = None) -> Value:
    """``pairwise_distances_argmin(x, points)`` of dense rows and points: (n, 1) int64.

    The squared distances by products, in float64, clipped at 0; of equal ones the first. `norms` are
    the squared lengths of the points where the caller of the source gives them.
    """
    wide = np.asarray(points, np.float64)
    if norms is None:
        norms = np.einsum("ij,ij->i", wide, wide)
    rows = x.cast("float64")
    distances = squared_norms(rows) + rows @ (-2.0 * wide.T)
    distances = distances + np.asarray(norms, np.float64)
    return distances.combine("maximum", distances.scalar(0.0)).reduce("argmin")


def manhattan_distances(x: Value, points: Points) -> Value:
    """``manhattan_distances(x, points)``: float64, cell by cell, the same bits."""
    return x.then(Distances(Array(points, "float64"), "cityblock"))


def cosine_distances(x: Value, points: Points) -> Value:
    """``cosine_distances(x, points)``: one minus the similarity, clipped to 0 ... 2."""
    similarity = cosine_similarity(x, points)
    distances = similarity.scalar(1.0) - similarity
    distances = distances.combine("maximum", distances.scalar(0.0))
    return distances.combine("minimum", distances.scalar(2.0))


# -- kernels -------------------------------------------------------------------------------
def linear_kernel(x: Value, points: Points) -> Value:
    """``linear_kernel(x, points)``: the products."""
    return x @ points.T


def polynomial_kernel(
    x: Value, points: Points, degree: Any = 3, gamma: Any = None, coef0: Any = 1
) -> Value:
    """``polynomial_kernel(x, points, degree, gamma, coef0)``; `gamma` None is one over the width."""
    kernel = in_place(linear_kernel(x, points), "multiply", _gamma(x, gamma))
    return in_place_power(in_place(kernel, "add", coef0), degree)


def sigmoid_kernel(x: Value, points: Points, gamma: Any = None, coef0: Any = 1) -> Value:
    """``sigmoid_kernel(x, points, gamma, coef0)``."""
    kernel = in_place(linear_kernel(x, points), "multiply", _gamma(x, gamma))
    return in_place(kernel, "add", coef0).apply("tanh")


def rbf_kernel(x: Value, points: Points, gamma: Any = None) -> Value:
    """``rbf_kernel(x, points, gamma)``: ``exp(-gamma d**2)``."""
    distances = euclidean_distances(x, points, squared=True)
    return in_place(distances, "multiply", -_gamma(x, gamma)).apply("exp")


def laplacian_kernel(x: Value, points: Points, gamma: Any = None) -> Value:
    """``laplacian_kernel(x, points, gamma)``: ``exp(-gamma d)`` of the Manhattan distance, float64."""
    return (manhattan_distances(x, points) * np.float64(-_gamma(x, gamma))).apply("exp")


def cosine_similarity(x: Value, points: Points) -> Value:
    """``cosine_similarity(x, points)``: the products of rows of length 1.

    Points of float32 are divided by their length and multiplied in float64, then rounded where the rows
    are float32 too: nearer to the quotient than the source by its rounding in float32.
    """
    from sklearn.preprocessing import normalize

    wide = np.transpose(np.asarray(normalize(np.asarray(points, np.float64))))
    if points.dtype == np.float64:
        return unit_rows(x.cast("float64")) @ wide
    return (unit_rows(x) @ wide).cast_like(x)


def unit_rows(x: Value) -> Value:
    """``sklearn.preprocessing.normalize(x)``: rows divided by their length, rows of zeros as they are."""
    if isinstance(x, SparseValue) or x.is_sparse:
        norms = row_norms(x.cast("float64"))
        one = norms.scalar(1.0)
        return (x / norms.equals(norms.scalar(0.0)).where(one, norms)).cast_like(x)
    norms = row_norms(x)
    one = norms.scalar(1.0)
    smallest = one.apply("spacing") * one.scalar(10.0)
    return x / (norms < smallest).where(one, norms)


def in_place_power(x: Value, degree: Any) -> Value:
    """``x **= degree``, with the functions that NumPy takes for whole and half powers."""
    if not isinstance(degree, np.ndarray) and degree in _POWERS:
        return _POWERS[degree](x)
    return in_place(x, "power", degree)


_POWERS: Mapping[float, Callable[[Value], Value]] = {
    0.5: lambda x: x.apply("sqrt"),
    1: lambda x: x,
    2: lambda x: x.apply("square"),
}

_KERNEL_PARAMETERS: Mapping[str, tuple[Callable[..., Value], tuple[str, ...]]] = {
    "linear": (linear_kernel, ()),
    "poly": (polynomial_kernel, ("degree", "gamma", "coef0")),
    "polynomial": (polynomial_kernel, ("degree", "gamma", "coef0")),
    "sigmoid": (sigmoid_kernel, ("gamma", "coef0")),
    "rbf": (rbf_kernel, ("gamma",)),
    "laplacian": (laplacian_kernel, ("gamma",)),
    "cosine": (cosine_similarity, ()),
}


def pairwise_kernel(metric: Any, x: Value, points: Points, parameters: Mapping[str, Any]) -> Value:
    """``pairwise_kernels(x, points, metric, filter_params=True, **parameters)``.

    Raises
    ------
    Decline
        The kernel is Python code, or (chi2) compares every pair of cells.
    """
    if metric == "precomputed":
        return x
    if not isinstance(metric, str):
        raise Decline("its kernel is a Python function")
    if metric not in _KERNEL_PARAMETERS:
        raise Decline(f"its kernel {metric!r} compares every pair of cells")
    kernel, names = _KERNEL_PARAMETERS[metric]
    return kernel(x, points, **{n: parameters[n] for n in names if n in parameters})


def _gamma(x: Value, gamma: Any) -> Any:
    return 1.0 / x.width if gamma is None else gamma


def require_dtype(x: Value, dtype: Any, owner: str) -> Value:
    """`x` where it has this float dtype; the source's compiled code refuses rows of another one."""
    name = np.dtype(dtype).name
    steps = x.scalar(1.0).apply("spacing")
    same = steps.equals(np.spacing(np.ones(1, name)))
    return x.require(same, owner, f"its dtype is not the {name} that {owner} was fitted on")
