"""Linear decompositions: a matrix product with fixed components, before or after centring.

Semantics matched: ``sklearn/decomposition/_base.py``, ``_pca.py``, ``_incremental_pca.py``,
``_truncated_svd.py``, ``_fastica.py`` and ``_factor_analysis.py`` of scikit-learn 1.9.1. PCA centres
after the product, with the projected mean; FastICA and FactorAnalysis centre the rows.

Exactness: the source leaves products to BLAS, whose order of additions is not fixed: two orders of k
terms differ by at most ``2 k eps sum(abs(x * w))``, with eps of the dtype of the product. What is divided
or multiplied afterwards moves by as much more; each converter states that bound.
Missing values: NaN and infinities are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.catalog.registry import (
    BLAS_ORDER,
    Context,
    Example,
    Outputs,
    SparseValue,
    converts,
    vector,
)
from millrace.catalog.sklearn._examples import as_csr, as_frame
from millrace.catalog.sklearn._pairwise import in_place
from millrace.ir.build import Value
from millrace.ir.ops import Dense

Matrix = npt.NDArray[Any]


def _product_bound(typical: Matrix, weights: Matrix) -> float:
    """How far a product of rows of this size may be off, whatever the order of additions."""
    eps = float(np.finfo(weights.dtype).eps)
    return 8 * eps * len(weights) * float((typical @ np.abs(weights)).max(initial=0.0))


# -- PCA -----------------------------------------------------------------------------------
@converts("sklearn.decomposition.PCA", "sklearn.decomposition.IncrementalPCA")
def pca(model: Any, x: Value, context: Context) -> Outputs:
    """``x @ components_.T`` minus the projected mean, divided by the standard deviations if whitened.

    ``score_samples``: a quadratic form with the precision matrix.
    """
    owner = type(model).__name__
    rows = x.cast("float").guard(owner)
    if owner == "IncrementalPCA" and rows.is_sparse:
        rows = rows.then(Dense())
    product = rows @ model.components_.T
    centred = (product - (model.mean_.reshape(1, -1) @ model.components_.T)[0]).cast_like(product)
    spread = np.sqrt(model.components_.T**2 @ np.abs(model.explained_variance_))
    typical = np.abs(model.mean_) + spread
    absolute = _product_bound(typical, model.components_.T)
    if model.whiten:
        scale = np.sqrt(model.explained_variance_)
        scale[scale < np.finfo(scale.dtype).eps] = np.finfo(scale.dtype).eps
        centred = (centred / scale).cast_like(centred)
        absolute /= float(scale.min(initial=1.0))
    context.bound(64, absolute, BLAS_ORDER)
    outputs: dict[str, Any] = {"transform": centred}
    if hasattr(model, "score_samples") and not isinstance(x, SparseValue):
        outputs["score_samples"] = vector(_log_likelihood(model, rows, context))
    return outputs


def _log_likelihood(model: Any, rows: Value, context: Context) -> Value:
    """Log-likelihood of a Gaussian with the precision matrix of the model: (n, 1)."""
    from sklearn.utils.extmath import fast_logdet

    precision = model.get_precision()
    n_features = rows.width
    constant = 0.5 * (n_features * np.log(2.0 * np.pi) - fast_logdet(precision))
    context.bound(*_likelihood_bound(precision, float(constant)), BLAS_ORDER)
    centred = rows - model.mean_
    total = (centred * (centred @ precision)).reduce("sum")
    return in_place(total * total.scalar(-0.5), "subtract", constant)


def _likelihood_bound(precision: Matrix, constant: float) -> tuple[int, float]:
    """Units in the last place and absolute bound of ``-q / 2 - constant`` with ``q = x P x``.

    The terms of q are at most ``r q`` together, with r the norm of ``abs(P)`` over the least eigenvalue
    of P; k of them are off by about ``sqrt(k) r eps q`` (Higham and Mary, A new approach to probabilistic
    rounding error analysis, 2019). Where q and the constant do not cancel that is ``4 sqrt(k) r`` units
    in the last place of the result, else q is at most four times the constant.
    """
    values = np.linalg.eigvalsh(precision.astype(np.float64))
    least = max(float(values[0]), float(np.finfo(np.float64).tiny))
    ratio = min(float(np.linalg.norm(np.abs(precision), 2)) / least, 1e9)
    steps = 4 * float(np.sqrt(len(precision) + 1)) * ratio
    return int(steps) + 1, steps * float(np.finfo(precision.dtype).eps) * (1 + abs(constant))


# -- the others ----------------------------------------------------------------------------
@converts("sklearn.decomposition.TruncatedSVD")
def truncated_svd(model: Any, x: Value, context: Context) -> Outputs:
    """``x @ components_.T``; a sparse matrix stays sparse until the product."""
    return {"transform": x.cast("numeric").guard("TruncatedSVD") @ model.components_.T}


@converts("sklearn.decomposition.FastICA")
def fast_ica(model: Any, x: Value, context: Context) -> Outputs:
    """``(x - mean_) @ components_.T``; not centred where it was fitted without whitening."""
    x = x.cast("float").guard("FastICA")
    if model.whiten:
        x = (x - model.mean_).cast_like(x)
    return {"transform": x @ model.components_.T}


@converts("sklearn.decomposition.FactorAnalysis")
def factor_analysis(model: Any, x: Value, context: Context) -> Outputs:
    """The expected factors of a row: two products; ``score_samples`` is a quadratic form.

    Both matrices are computed here by the same calls as in the source.
    """
    from scipy import linalg

    x = x.cast("numeric").guard("FactorAnalysis")
    weights = model.components_ / model.noise_variance_
    identity = np.eye(len(model.components_))
    covariance = linalg.inv(identity + np.dot(weights, model.components_.T))
    spread = np.sqrt((model.components_**2).sum(axis=0) + model.noise_variance_)
    absolute = _product_bound(spread, weights.T @ np.abs(covariance))
    context.bound(64, absolute, BLAS_ORDER)
    return {
        "transform": ((x - model.mean_) @ weights.T) @ covariance,
        "score_samples": vector(_log_likelihood(model, x, context)),
    }


# -- examples ------------------------------------------------------------------------------


def _rows(dtype: str = "float64", container: str = "array") -> Any:
    """Seven columns of different size that depend on one another."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(0, 1, (4, 7))
    X = rng.laplace(0, 1, (90, 4)) @ mixing + rng.normal(0, 0.3, (90, 7)) + np.arange(7)
    X = X.round(3).astype(dtype)
    if container == "frame":
        return as_frame(X).assign(g=np.arange(90) % 5)
    if container == "csr":
        return as_csr(X, 2)
    return X


def _fitted(name: str, dtype: str, container: str, params: dict[str, Any]) -> tuple[Any, Any]:
    import sklearn.decomposition

    X = _rows(dtype, container)
    return getattr(sklearn.decomposition, name)(**params).fit(X), X


_PARAMETERS: list[tuple[str, str, str, dict[str, Any]]] = [
    ("PCA", "float64", "array", {}),
    ("PCA", "float64", "array", {"n_components": 3, "whiten": True}),
    ("PCA", "float64", "frame", {"n_components": 0.8, "svd_solver": "full"}),
    ("PCA", "float32", "array", {"n_components": 3, "whiten": True}),
    ("PCA", "int64", "array", {"n_components": 2}),
    ("PCA", "float64", "csr", {"n_components": 2, "svd_solver": "arpack", "random_state": 0}),
    ("IncrementalPCA", "float64", "array", {"n_components": 3, "batch_size": 30}),
    ("IncrementalPCA", "float32", "array", {"n_components": 3, "whiten": True}),
    ("IncrementalPCA", "float64", "csr", {"n_components": 2, "batch_size": 30}),
    ("TruncatedSVD", "float64", "array", {"n_components": 3, "random_state": 0}),
    ("TruncatedSVD", "float32", "array", {"n_components": 3, "random_state": 0}),
    ("TruncatedSVD", "float64", "csr", {"n_components": 3, "algorithm": "arpack"}),
    ("FastICA", "float64", "array", {"n_components": 3, "random_state": 0, "tol": 0.01}),
    ("FastICA", "float32", "array", {"n_components": 3, "random_state": 0, "tol": 0.01}),
    ("FastICA", "float64", "frame", {"whiten": False, "random_state": 0, "max_iter": 2}),
    ("FactorAnalysis", "float64", "array", {"n_components": 2}),
    ("FactorAnalysis", "float32", "frame", {"n_components": 3, "rotation": "varimax"}),
]


def examples() -> Iterator[Example]:
    """Each class fitted on each dtype and container, whitened and not."""
    for name, dtype, container, params in _PARAMETERS:
        words = " ".join(f"{k}={v}" for k, v in params.items() if k != "random_state")
        narrow = dtype == "float32"
        yield Example(
            f"{name} {dtype} {container} {words}".strip(),
            partial(_fitted, name, dtype, container, params),
            ulp=4096 if narrow else 1024,
            absolute=2e-4 if narrow else 1e-11,
            why=BLAS_ORDER,
        )
