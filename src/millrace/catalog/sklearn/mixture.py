"""Mixtures of Gaussians: log densities of the components, and what is made of them.

Semantics matched: ``sklearn/mixture/_base.py``, ``_gaussian_mixture.py`` and ``_bayesian_mixture.py`` of
scikit-learn 1.9.1. The rows keep their dtype; for the covariance types full and tied the source keeps
squared distances in that dtype too, so that integers are truncated and float32 is rounded there.

Exactness: the source leaves the products with means and precisions to BLAS, and squared norms to
``einsum``; neither fixes the order of additions. `_log_density_bound` says how far a log density may be
off for that, with the condition of the precision matrices. A probability moves as far, relative to
itself. A label can differ only where two log densities are that close to each other.

Missing values: NaN and infinities are refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from millrace.catalog.registry import BLAS_ORDER, Context, Example, Outputs, converts, vector
from millrace.catalog.sklearn._examples import as_frame, fitted
from millrace.catalog.sklearn._pairwise import squared_norms
from millrace.catalog.sklearn.naive_bayes import log_sum_exp
from millrace.ir.build import Value

_WHY = f"{BLAS_ORDER} in the distances from the means"


@converts("sklearn.mixture.GaussianMixture")
def gaussian_mixture(model: Any, x: Value, context: Context) -> Outputs:
    """The likeliest component, the probability of each and the log density of the row."""
    return _outputs(_log_gaussians(model, x), model, context)


@converts("sklearn.mixture.BayesianGaussianMixture")
def bayesian_gaussian_mixture(model: Any, x: Value, context: Context) -> Outputs:
    """As a Gaussian mixture, with expected log densities under the posterior."""
    from scipy.special import digamma

    n = model.means_.shape[1]
    degrees = model.degrees_of_freedom_
    density = _log_gaussians(model, x) - 0.5 * n * np.log(degrees)
    half = digamma(0.5 * (degrees - np.arange(0, n)[:, np.newaxis]))
    log_lambda = n * np.log(2.0) + np.sum(half, 0)
    density = density + 0.5 * (log_lambda - n / model.mean_precision_)
    return _outputs(density, model, context)


def _outputs(density: Value, model: Any, context: Context) -> Outputs:
    """The methods, from the log density of each component."""
    context.bound(*_log_density_bound(model), _WHY)
    weighted = density + model._estimate_log_weights()
    total = log_sum_exp(weighted)
    return {
        "predict": vector(weighted.reduce("argmax")),
        "predict_proba": (weighted - total).apply("exp"),
        "score_samples": vector(total),
    }


def _log_gaussians(model: Any, x: Value) -> Value:
    """``_estimate_log_gaussian_prob``: (n_samples, n_components)."""
    from sklearn.mixture._gaussian_mixture import _compute_log_det_cholesky

    rows = x.cast("numeric").guard(type(model).__name__)
    kind, factors = model.covariance_type, model.precisions_cholesky_
    n = model.means_.shape[1]
    squared = _SQUARED[kind](rows, model.means_, factors).cast("float")
    log_det = np.atleast_1d(_compute_log_det_cholesky(factors, kind, n))
    constant = squared.scalar(n * math.log(2 * math.pi))
    return (squared + constant) * squared.scalar(-0.5) + log_det


def _full(rows: Value, means: Any, factors: Any) -> Value:
    parts = [_distance(rows @ f, m @ f) for m, f in zip(means, factors, strict=True)]
    return rows.builder.concat(parts).cast_like(rows)


def _tied(rows: Value, means: Any, factor: Any) -> Value:
    product = rows @ factor
    return rows.builder.concat([_distance(product, m @ factor) for m in means]).cast_like(rows)


def _distance(product: Value, center: Any) -> Value:
    return squared_norms(product - center)


def _diagonal(rows: Value, means: Any, factors: Any) -> Value:
    precisions = factors**2
    products = rows @ (means * precisions).T
    own = rows.builder.constant(np.sum(means**2 * precisions, axis=1))
    return own - products * products.scalar(2.0) + rows.apply("square") @ precisions.T


def _spherical(rows: Value, means: Any, factors: Any) -> Value:
    precisions = factors**2
    products = (rows @ means.T) * precisions
    own = rows.builder.constant(np.sum(means**2, axis=1) * precisions)
    return own - products * products.scalar(2.0) + squared_norms(rows) * precisions


_SQUARED = {"full": _full, "tied": _tied, "diag": _diagonal, "spherical": _spherical}


# -- bounds --------------------------------------------------------------------------------


def _log_density_bound(model: Any) -> tuple[int, float]:
    """How far a log density may be off: units in the last place, and absolute.

    With P the triangular factor of a precision, n columns and e the rounding of the dtype,
    ``y = (x - m) P`` is off by ``2 (n + 2) e (|x| + |m|) |P|`` (for diag and spherical the same holds of
    its square, with the norms squared). Where ``|x - m|`` is at least ``|m|`` this is a multiple of
    ``|y|`` by three conditions of P, and relative; where it is less, it is at most
    ``6 (n + 2) e |m|**2 |P|**2`` in the square. The constants of the density can cancel what is relative.
    """
    from sklearn.mixture._gaussian_mixture import _compute_log_det_cholesky

    factors, kind = model.precisions_cholesky_, model.covariance_type
    n = model.means_.shape[1]
    eps = float(np.finfo(np.float32 if kind == "spherical" else factors.dtype).eps)
    matrices = _matrices(np.asarray(factors, np.float64), kind, n)
    scale = np.linalg.norm(
        matrices, axis=2
    )  # of each column: no term changes when it is divided out
    matrices = matrices / scale[:, :, None]
    far = np.linalg.norm(model.means_ * scale, axis=1).max()
    largest = np.linalg.norm(np.abs(matrices), 2, axis=(1, 2))
    smallest = np.linalg.svd(matrices, compute_uv=False)[:, -1]
    ulp = min(48 * (n + 2) * float((largest / smallest).max()) ** 2, 2.0**20)
    log_det = np.abs(_compute_log_det_cholesky(factors, kind, n)).max()
    near = 24 * (n + 2) * (far * float(largest.max())) ** 2
    absolute = eps * (near + 4 * ulp * (n * math.log(2 * math.pi) + float(log_det)))
    return int(ulp * eps / np.finfo(factors.dtype).eps), float(absolute)


def _matrices(factors: Any, kind: str, n: int) -> Any:
    """The triangular factors of all types as matrices: (1 or n_components, n, n)."""
    if kind == "diag":
        return np.stack([np.diag(f) for f in factors])
    if kind == "spherical":
        return factors[:, None, None] * np.eye(n)
    return factors.reshape(-1, n, n)


# -- examples ------------------------------------------------------------------------------


def _fitted(name: str, kind: str, **params: Any) -> tuple[Any, Any]:
    import sklearn.mixture

    rng = np.random.default_rng(0)
    X: Any = rng.normal(0, 1, (90, 3)) @ [[1, 0.5, 0], [0, 1, 0.2], [0, 0, 1.0]]
    X[:30] += [2, -1, 0]
    X[30:50] += [-2, 0, 3]
    if kind == "float32":
        X = X.astype(np.float32)
    elif kind == "named":
        X = as_frame(X)
    elif kind == "int64":
        X = (X * 10).round().astype(np.int64)
    options: dict[str, Any] = {"n_components": 3, "random_state": 0, "max_iter": 20}
    model = getattr(sklearn.mixture, name)(**(options | params))
    return fitted(model, X)


def examples() -> Iterator[Example]:
    """Every type of covariance, both priors of the weights, each dtype, one component."""
    wide: dict[str, Any] = {"ulp": 1 << 14, "absolute": 1e-11, "why": _WHY}
    narrow: dict[str, Any] = {
        "ulp": 1 << 12,
        "absolute": 1e-3,
        "why": f"{_WHY}; fitted in float32",
    }
    for name in ("GaussianMixture", "BayesianGaussianMixture"):
        for kind in ("full", "tied", "diag", "spherical"):
            for dtype in ("float64", "float32"):
                yield Example(
                    f"{name} {kind} {dtype}",
                    partial(_fitted, name, dtype, covariance_type=kind),
                    **(narrow if dtype == "float32" else wide),
                )
        yield Example(f"{name} named", partial(_fitted, name, "named"), **wide)
        yield Example(
            f"{name} one component", partial(_fitted, name, "float64", n_components=1), **wide
        )
    for kind in ("full", "diag"):
        yield Example(
            f"GaussianMixture {kind} int64",
            partial(_fitted, "GaussianMixture", "int64", covariance_type=kind),
            **wide,
        )
    yield Example(
        "BayesianGaussianMixture dirichlet distribution",
        partial(
            _fitted,
            "BayesianGaussianMixture",
            "float64",
            weight_concentration_prior_type="dirichlet_distribution",
        ),
        **wide,
    )
