"""A few rows that stand for all of them in least squares.

With second moments ``Z'Z`` of ``Z = [X, y]`` (about the mean or about zero) and any root ``S'S = Z'Z``,
the rows of S, split like Z into ``R`` and ``q``, have for every ``b`` the same residual sum::

    ||y - X b||^2 = ||q - R b||^2

So every method that meets the rows through their products only (least squares, coordinate descent, least
angles, partial least squares) takes the same steps on the n_features + n_targets rows of S, and what
scikit-learn computes of them, called with ``fit_intercept=False`` and penalties rescaled from n to that
number of rows, is what it would have computed of all rows.

A root of a Gram matrix is as good as the Gram matrix: directions whose singular value is below
1e-8 of the largest are lost in rounding. `accurate_rows` finds them with a second sweep over
``(x - mean) B``, ``B`` the inverse of the first root: the columns are then nearly orthonormal, and the
root of their Gram matrix, times the first root, is as exact as a QR factor of the rows ("CholeskyQR2":
Yamamoto et al. 2015, with the shift of Fukaya et al. 2020).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeAlias

import numpy as np

from millrace.solvers.rows import Ask, Rows
from millrace.statistics.gram import CrossMoments, Gram

Turned: TypeAlias = Callable[[np.ndarray, np.ndarray], Generator[Ask, Any, CrossMoments]]
"""``(centre, basis)`` -> a generator that asks for the moments of ``(x - centre) @ basis``."""

_WELL = 1e-6
"""Eigenvalues of the correlation matrix above this, relative to the largest: ten digits are left."""

_FLOOR = 1e-14
"""Eigenvalues below this are rounding."""


def root_of(products: np.ndarray) -> np.ndarray:
    """S with ``S'S = products``, for a symmetric matrix that is positive up to rounding.

    The matrix is first scaled to a unit diagonal, so columns of any scales are equally exact.
    """
    scale = _scale(products)
    values, vectors = np.linalg.eigh(products / np.outer(scale, scale))
    return np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T * scale


def _scale(products: np.ndarray) -> np.ndarray:
    scale = np.sqrt(np.maximum(np.diag(products), 0.0))
    return np.where(scale > 0, scale, 1.0)


def equivalent_rows(
    moments: CrossMoments, centred: bool = True, mirrored: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Rows with the second moments of all rows.

    Parameters
    ----------
    moments : CrossMoments
    centred : bool
        Moments about the mean, else about zero.
    mirrored : bool
        Twice as many rows, whose mean is zero, for methods that subtract it.

    Returns
    -------
    X : numpy.ndarray of float64 (n_rows, n_features)
    y : numpy.ndarray of float64 (n_rows, n_targets)
    """
    root = root_of(moments.scatter if centred else moments.about_zero)
    if mirrored:
        root = np.vstack([root, -root]) / np.sqrt(2.0)
    p = moments.n_features
    return np.ascontiguousarray(root[:, :p]), np.ascontiguousarray(root[:, p:])


def correlation_values(products: np.ndarray, penalty: float = 0.0) -> np.ndarray:
    """Eigenvalues of the Gram matrix scaled to a unit diagonal, relative to the largest, ascending."""
    penalised = products + penalty * np.eye(len(products))
    scale = _scale(penalised)
    values = np.linalg.eigvalsh(penalised / np.outer(scale, scale))
    return values / max(values[-1], np.finfo(np.float64).tiny) if len(values) else values


def accurate_rows(
    rows: Rows,
    moments: CrossMoments,
    centred: bool = True,
    cut: float = 0.0,
    turned: Turned | None = None,
) -> Generator[Ask, Any, tuple[np.ndarray, np.ndarray]]:
    """As `equivalent_rows`, and as exact as from the rows themselves, with one more sweep if need be.

    Parameters
    ----------
    rows : Rows
        What the moments are of.
    moments : CrossMoments
    centred : bool
    cut : float
        The least singular value that the caller keeps, relative to the largest: directions that are
        certainly below it need no second sweep.
    turned : callable, optional
        How to ask again, where the target is not that of the rows.

    Returns
    -------
    X : numpy.ndarray of float64 (n_features + n_targets, n_features)
    y : numpy.ndarray of float64 (n_features + n_targets, n_targets)
    """
    products = moments.xx(centred)
    relative = correlation_values(products)
    noise = _FLOOR * max(1.0, len(products) / 32)
    doubtful = relative < _WELL
    if cut > 10 * np.sqrt(noise):
        doubtful &= relative > noise
    if not doubtful.any():
        return equivalent_rows(moments, centred)
    scale = _scale(products)
    values, vectors = np.linalg.eigh(products / np.outer(scale, scale))
    roots = np.sqrt(np.maximum(values, noise * values[-1]))
    basis = vectors / roots / scale[:, None]
    centre = moments.x_mean if centred else np.zeros(moments.n_features)
    if turned is None:
        again: CrossMoments = yield rows.ask(Gram(moments.n_targets > 0, centre, basis))
    else:
        again = yield from turned(centre, basis)
    left, y = _square_rows(again, centred)
    return left @ (roots[:, None] * vectors.T * scale), y


def _square_rows(moments: CrossMoments, centred: bool) -> tuple[np.ndarray, np.ndarray]:
    """As `equivalent_rows`, with what no feature explains of the targets in rows of their own.

    The features are zero there, so rounding in them later cannot meet the residual, which an
    ill-conditioned matrix would magnify by its condition squared.
    """
    products, cross = moments.xx(centred), moments.xy(centred)
    scale = _scale(products)
    values, vectors = np.linalg.eigh(products / np.outer(scale, scale))
    kept = values > np.finfo(np.float64).eps * len(values) * values[-1]
    roots = np.sqrt(np.where(kept, values, 0.0))
    turned = vectors.T @ (cross / scale[:, None])
    explained = turned / np.where(kept, roots, 1.0)[:, None] * kept[:, None]
    rest = root_of(moments.yy(centred) - explained.T @ explained)
    X = np.vstack([roots[:, None] * vectors.T * scale, np.zeros((len(rest), len(values)))])
    return X, np.vstack([explained, rest])


def intercept_of(moments: CrossMoments, coef: np.ndarray, fit_intercept: bool) -> Any:
    """``y_mean - x_mean @ coef.T`` in the shape and dtype of scikit-learn; 0.0 without an intercept."""
    if not fit_intercept:
        return 0.0
    found = moments.y_mean - np.atleast_2d(coef) @ moments.x_mean
    found = found.astype(moments.dtype)
    return found[0] if moments.flat and coef.ndim == 1 else found


def in_dtype(found: dict[str, Any], dtype: np.dtype[Any]) -> dict[str, Any]:
    """The attributes with every float64 array and scalar in the dtype that scikit-learn computes in."""
    return {name: _cast(value, dtype) for name, value in found.items()}


def _cast(value: Any, dtype: np.dtype[Any]) -> Any:
    if isinstance(value, list):
        return [_cast(v, dtype) for v in value]
    if isinstance(value, (np.ndarray, np.float64)) and value.dtype == np.float64:
        return value.astype(dtype)
    return value


def residual_mean_square(
    moments: CrossMoments, coef: np.ndarray, intercept: np.ndarray
) -> np.ndarray:
    """Weighted mean of ``(y - x @ coef - intercept)**2`` over the rows of the moments.

    Parameters
    ----------
    coef : numpy.ndarray (n_features, n_models)
    intercept : numpy.ndarray (n_models,)
        Of models of the first target.

    Returns
    -------
    numpy.ndarray of float64 (n_models,)
    """
    with_target = np.vstack([coef, np.full((1, coef.shape[1]), -1.0)])
    root = root_of(moments.scatter)
    spread = ((root @ with_target) ** 2).sum(axis=0) / moments.weight
    return spread + (moments.mean @ with_target + intercept) ** 2
