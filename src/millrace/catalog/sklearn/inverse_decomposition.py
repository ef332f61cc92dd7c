"""What ``inverse_transform`` of decompositions, projections and agglomerations does.

Semantics matched: ``inverse_transform`` of the classes in ``sklearn/decomposition``,
``cross_decomposition/_pls.py``, ``random_projection.py`` and ``cluster/_feature_agglomeration.py`` of
scikit-learn 1.9.1: a product with the components, scaled and shifted back.

Exactness: the products are BLAS's, in no fixed order of additions; the rest is the same. Missing values:
NaN and infinities are refused, but by NMF and agglomerations, which look at nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from millrace.catalog.registry import Context, Decline, inverts
from millrace.catalog.sklearn._pairwise import dense_points
from millrace.catalog.sklearn.decomposition_kernel import kernel_of
from millrace.ir.build import Value


def _checked(model: Any, y: Value, dtype: str = "float") -> Value:
    return y.cast(dtype).guard(type(model).__name__)


@inverts("sklearn.decomposition.PCA", "sklearn.decomposition.IncrementalPCA")
def pca(model: Any, y: Value, context: Context) -> Value:
    """``y @ components_ + mean_``, the components scaled by their deviations if whitened."""
    components = model.components_
    if model.whiten:
        components = np.sqrt(model.explained_variance_[:, np.newaxis]) * components
    return _checked(model, y) @ components + model.mean_


@inverts("sklearn.decomposition.TruncatedSVD")
def truncated_svd(model: Any, y: Value, context: Context) -> Value:
    """``y @ components_``."""
    return _checked(model, y, "numeric") @ model.components_


@inverts("sklearn.decomposition.FastICA")
def fast_ica(model: Any, y: Value, context: Context) -> Value:
    """``y @ mixing_.T``, plus the mean where it was taken off."""
    mixed = _checked(model, y) @ model.mixing_.T
    return (mixed + model.mean_).cast_like(mixed) if model.whiten else mixed


@inverts("sklearn.decomposition.SparsePCA", "sklearn.decomposition.MiniBatchSparsePCA")
def sparse_pca(model: Any, y: Value, context: Context) -> Value:
    """``y @ components_ + mean_``."""
    return _checked(model, y, "numeric") @ model.components_ + model.mean_


@inverts("sklearn.decomposition.KernelPCA")
def kernel_pca(model: Any, y: Value, context: Context) -> Value:
    """The kernel between transformed rows and those of the fit, times ``dual_coef_``.

    Declines: fitted without ``fit_inverse_transform``.
    """
    if not model.fit_inverse_transform:
        raise Decline("it was fitted without fit_inverse_transform")
    points = dense_points(model.X_transformed_fit_)
    return kernel_of(model, _checked(model, y), points) @ model.dual_coef_


@inverts("sklearn.decomposition.NMF", "sklearn.decomposition.MiniBatchNMF")
def nmf(model: Any, y: Value, context: Context) -> Value:
    """``y @ components_``, unchecked."""
    return y.cast("numeric") @ model.components_


@inverts(
    "sklearn.decomposition.DictionaryLearning",
    "sklearn.decomposition.MiniBatchDictionaryLearning",
    "sklearn.decomposition.SparseCoder",
)
def sparse_codes(model: Any, y: Value, context: Context) -> Value:
    """``y @ atoms``; of a split code the positive side minus the negative one."""
    atoms = np.asarray(getattr(model, "components_", getattr(model, "dictionary", None)))
    code = _checked(model, y, "numeric")
    if model.split_sign:
        half = len(atoms)
        code = code.take(range(half)) - code.take(range(half, 2 * half))
    return code @ atoms


@inverts(
    "sklearn.cross_decomposition.PLSRegression",
    "sklearn.cross_decomposition.PLSCanonical",
    "sklearn.cross_decomposition.CCA",
)
def partial_least_squares(model: Any, y: Value, context: Context) -> Value:
    """``y @ x_loadings_.T``, scaled and shifted back in place."""
    rows = _checked(model, y) @ model.x_loadings_.T
    rows = (rows * model._x_std).cast_like(rows)
    return (rows + model._x_mean).cast_like(rows)


@inverts(
    "sklearn.random_projection.GaussianRandomProjection",
    "sklearn.random_projection.SparseRandomProjection",
)
def random_projection(model: Any, y: Value, context: Context) -> Value:
    """The product with the pseudo-inverse of the components, computed here if it was not by ``fit``."""
    inverse = (
        model.inverse_components_
        if model.compute_inverse_components
        else model._compute_inverse_components()
    )
    return _checked(model, y) @ np.asarray(inverse).T


@inverts("sklearn.cluster.FeatureAgglomeration")
def feature_agglomeration(model: Any, y: Value, context: Context) -> Value:
    """The value of its group for each column, unchecked."""
    _, groups = np.unique(model.labels_, return_inverse=True)
    return y.take(groups.tolist())
