"""Bayesian linear regression: evidence maximisation on `equivalent_rows`, after one sweep or two.

Both estimators meet the rows through their products and their number, so the iterations are those of
scikit-learn on all rows, up to rounding (1e-8 of the coefficients).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import numpy as np

from millrace.solvers.registry import Decline, Example, solves
from millrace.solvers.rows import Ask, Rows
from millrace.solvers.sklearn._made import made
from millrace.solvers.sklearn.equivalent import accurate_rows, in_dtype, intercept_of
from millrace.statistics.gram import CrossMoments, Gram

Steps = Generator[Ask, Any, dict[str, Any]]

_EPS = np.finfo(np.float64).eps


def _equivalent(
    estimator: Any, rows: Rows
) -> Generator[Ask, Any, tuple[CrossMoments, np.ndarray, np.ndarray]]:
    """The moments, and rows and targets in place of all rows."""
    estimator._validate_params()
    moments: CrossMoments = yield rows.ask(Gram(who=type(estimator).__name__))
    if moments.sparse:
        raise Decline("it takes no sparse rows")
    if moments.n_targets > 1:
        raise ValueError(f"y should be a 1d array, got an array of {moments.n_targets} columns.")
    X, y = yield from accurate_rows(rows, moments, bool(estimator.fit_intercept))
    return moments, X, y[:, 0]


def _shared(estimator: Any, moments: CrossMoments, coef: np.ndarray) -> dict[str, Any]:
    offset = moments.x_mean if estimator.fit_intercept else np.zeros(moments.n_features)
    return {
        "coef_": coef.astype(moments.dtype),
        "intercept_": intercept_of(moments, coef, estimator.fit_intercept),
        "X_offset_": offset.astype(moments.dtype),
        "X_scale_": np.ones(moments.n_features, moments.dtype),
    }


def _target_variance(moments: CrossMoments) -> float:
    """About the mean, also without an intercept."""
    return float(moments.yy()[0, 0] / moments.weight)


@solves("sklearn.linear_model.BayesianRidge", weight=True)
def bayesian_ridge(estimator: Any, rows: Rows) -> Steps:
    """The equivalent rows, twice with both signs so that their mean is zero, share the total weight."""
    from sklearn.base import clone

    moments, X, y = yield from _equivalent(estimator, rows)
    n_both = 2 * len(X)
    scale = np.sqrt(n_both / moments.weight / 2.0)
    model: Any = clone(estimator)
    model.set_params(fit_intercept=False)
    if estimator.alpha_init is None:
        model.set_params(alpha_init=1.0 / (_target_variance(moments) + _EPS))
    model.fit(
        np.vstack([X, -X]) * scale,
        np.append(y, -y) * scale,
        sample_weight=np.full(n_both, moments.weight / n_both),
    )
    found = {
        **_shared(estimator, moments, model.coef_),
        "alpha_": model.alpha_,
        "lambda_": model.lambda_,
        "sigma_": model.sigma_.astype(moments.dtype),
        "scores_": model.scores_,
        "n_iter_": model.n_iter_,
    }
    return in_dtype(found, moments.dtype)


@solves("sklearn.linear_model.ARDRegression")
def ard_regression(estimator: Any, rows: Rows) -> Steps:
    """One precision a coefficient; those above ``threshold_lambda`` are left out."""
    moments, X, y = yield from _equivalent(estimator, rows)
    p, n = moments.n_features, moments.rows
    products = X.T @ X
    alpha: Any = np.asarray(1.0 / (_target_variance(moments) + _EPS))
    precision = np.ones(p)
    coef, before = np.zeros(p), None
    kept = np.ones(p, bool)
    scores: list[float] = []
    n_iter = 0
    while n_iter < estimator.max_iter:
        n_iter += 1
        sigma = _posterior(products, X.T @ y, alpha, precision, kept, coef)
        residual = ((y - X @ coef) ** 2).sum()
        gamma = 1.0 - precision[kept] * np.diag(sigma)
        precision[kept] = (gamma + 2.0 * estimator.lambda_1) / (
            coef[kept] ** 2 + 2.0 * estimator.lambda_2
        )
        alpha = (n - gamma.sum() + 2.0 * estimator.alpha_1) / (residual + 2.0 * estimator.alpha_2)
        kept = precision < estimator.threshold_lambda
        coef[~kept] = 0
        if estimator.compute_score:
            scores.append(_evidence(estimator, n, alpha, precision, sigma, residual, coef))
        if before is not None and np.abs(before - coef).sum() < estimator.tol:
            break
        before = coef.copy()
        if not kept.any():
            break
    sigma = np.empty((0, 0))
    if kept.any():
        sigma = _posterior(products, X.T @ y, alpha, precision, kept, coef)
    found = {
        **_shared(estimator, moments, coef),
        "alpha_": alpha,
        "lambda_": precision.astype(moments.dtype),
        "sigma_": sigma.astype(moments.dtype),
        "scores_": scores,
        "n_iter_": n_iter,
    }
    return in_dtype(found, moments.dtype)


def _posterior(
    products: np.ndarray,
    cross: np.ndarray,
    alpha: Any,
    precision: np.ndarray,
    kept: np.ndarray,
    coef: np.ndarray,
) -> np.ndarray:
    """The covariance of the coefficients that are kept; their means are written to `coef`."""
    from scipy.linalg import pinvh

    sigma = np.asarray(pinvh(np.diag(precision[kept]) + alpha * products[np.ix_(kept, kept)]))
    coef[kept] = alpha * (sigma @ cross[kept])
    return sigma


def _evidence(
    estimator: Any,
    n: int,
    alpha: Any,
    precision: np.ndarray,
    sigma: np.ndarray,
    residual: float,
    coef: np.ndarray,
) -> float:
    """The logarithm of the marginal likelihood, up to a constant."""
    logs = np.log(precision)
    score = (estimator.lambda_1 * logs - estimator.lambda_2 * precision).sum()
    score += estimator.alpha_1 * np.log(alpha) - estimator.alpha_2 * alpha
    determinant = np.linalg.slogdet(sigma)
    volume = determinant.logabsdet if determinant.sign > 0 else -np.inf
    score += 0.5 * (volume + n * np.log(alpha) + logs.sum())
    return score - 0.5 * (alpha * residual + (precision * coef**2).sum())


def _data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(30)
    X = rng.normal(size=(220, 6)) @ (np.eye(6) + 0.2 * rng.normal(size=(6, 6))) + 2.0
    coef = rng.normal(size=6) * (np.arange(6) % 2)
    return X, X @ coef + rng.normal(size=220) - 3.0


def examples() -> Iterator[Example]:
    """Every parameter that changes the answer."""
    from sklearn.linear_model import ARDRegression, BayesianRidge

    ridge = made(BayesianRidge, _data, weight=True)
    yield ridge()
    yield ridge(fit_intercept=False, compute_score=True)
    yield ridge(compute_score=True, alpha_init=0.7, lambda_init=0.1, lambda_1=0.5)
    yield made(ARDRegression, _data)()
    yield made(ARDRegression, _data)(compute_score=True, fit_intercept=False)
    yield made(ARDRegression, _data)(threshold_lambda=20.0, alpha_1=0.1)
