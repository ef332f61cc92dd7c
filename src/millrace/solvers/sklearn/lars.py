"""Least angle regression and orthogonal matching pursuit, from one sweep.

Both meet the rows through their products only, so scikit-learn's own path is followed on
`equivalent_rows`: the same steps as on all rows, up to rounding (1e-9 of the coefficients).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import numpy as np

from millrace.solvers.registry import Decline, Example, solves
from millrace.solvers.rows import Ask, Rows
from millrace.solvers.sklearn._made import made
from millrace.solvers.sklearn.equivalent import (
    equivalent_rows,
    in_dtype,
    intercept_of,
    residual_mean_square,
)
from millrace.solvers.sklearn.inner_folds import all_but, all_of, fold_moments, number_of_folds
from millrace.statistics.gram import CrossMoments, Gram

Steps = Generator[Ask, Any, dict[str, Any]]


def _moments(estimator: Any, rows: Rows) -> Generator[Ask, Any, CrossMoments]:
    """Second moments of rows that the estimator would take."""
    estimator._validate_params()
    if not isinstance(getattr(estimator, "precompute", "auto"), (str, bool)):
        raise Decline("precompute is a Gram matrix of other rows")
    if getattr(estimator, "jitter", None) is not None:
        raise Decline("jitter draws a number for every row")
    moments = yield rows.ask(Gram(who=type(estimator).__name__))
    return _dense(moments)


def _dense(moments: CrossMoments) -> CrossMoments:
    if moments.sparse:
        raise Decline("it takes no sparse rows")
    return moments


def _copy(estimator: Any, **params: Any) -> Any:
    """An estimator with the same parameters for the equivalent rows."""
    from sklearn.base import clone

    model: Any = clone(estimator)
    return model.set_params(fit_intercept=False, precompute="auto", **params)


@solves("sklearn.linear_model.Lars", "sklearn.linear_model.LassoLars")
def lars(estimator: Any, rows: Rows) -> Steps:
    """The path of least angles, of the lasso for LassoLars."""
    moments = yield from _moments(estimator, rows)
    return _followed(estimator, moments, getattr(estimator, "alpha", None))


def _followed(estimator: Any, moments: CrossMoments, alpha: Any) -> dict[str, Any]:
    X, y = equivalent_rows(moments, bool(estimator.fit_intercept))
    scale = moments.rows / len(X)
    model = _copy(estimator, **({} if alpha is None else {"alpha": alpha * scale}))
    model.fit(X, y[:, 0] if moments.flat else y)
    several = isinstance(model.alphas_, list)
    found = {
        "alphas_": [a / scale for a in model.alphas_] if several else model.alphas_ / scale,
        "n_iter_": model.n_iter_,
        "coef_": model.coef_.astype(moments.dtype),
        "intercept_": intercept_of(moments, model.coef_, estimator.fit_intercept),
    }
    path = {n: getattr(model, n) for n in ("active_", "coef_path_") if hasattr(model, n)}
    return in_dtype({**found, **path}, moments.dtype)


@solves("sklearn.linear_model.LassoLarsIC")
def lasso_lars_ic(estimator: Any, rows: Rows) -> Steps:
    """The point of the lasso path with the least information criterion."""
    from sklearn.linear_model import LinearRegression

    moments = yield from _moments(estimator, rows)
    X, y = equivalent_rows(moments, bool(estimator.fit_intercept))
    target = y[:, 0]
    alphas, coefs, n_iter = _path(estimator, X, target, "lasso")
    n = moments.rows
    residual = ((target[:, None] - X @ coefs) ** 2).sum(axis=0)
    degrees = (np.abs(coefs) > np.finfo(coefs.dtype).eps).sum(axis=0)
    noise = estimator.noise_variance
    if noise is None:
        free = n - X.shape[1] - int(estimator.fit_intercept)
        if free <= 0:
            raise ValueError(
                "You are using LassoLarsIC in the case where the number of samples is smaller than "
                "the number of features. In this setting, getting a good estimate for the variance "
                "of the noise is not possible. Provide an estimate of the noise variance in the "
                "constructor."
            )
        model = LinearRegression(positive=estimator.positive, fit_intercept=False).fit(X, target)
        noise = np.sum((target - model.predict(X)) ** 2) / free
    factor = 2 if estimator.criterion == "aic" else np.log(n)
    criterion = n * np.log(2 * np.pi * noise) + residual / noise + factor * degrees
    best = criterion.argmin()
    scaled = alphas * (len(X) / n)
    found = {
        "alphas_": scaled,
        "alpha_": scaled[best],
        "coef_": coefs[:, best].astype(moments.dtype),
        "intercept_": intercept_of(moments, coefs[:, best], estimator.fit_intercept),
        "noise_variance_": noise,
        "n_iter_": n_iter,
    }
    return {**in_dtype(found, moments.dtype), "criterion_": criterion}


def _path(
    estimator: Any, X: np.ndarray, y: np.ndarray, method: str
) -> tuple[np.ndarray, np.ndarray, int]:
    """``lars_path`` with the parameters of the estimator: alphas, coefs, n_iter."""
    from sklearn import linear_model

    lars_path: Any = linear_model.lars_path
    found = lars_path(
        X, y, Gram="auto", method=method, max_iter=estimator.max_iter, eps=estimator.eps,
        return_n_iter=True, positive=getattr(estimator, "positive", False),
    )  # fmt: skip
    return found[0], found[2], found[3]


@solves("sklearn.linear_model.LarsCV", "sklearn.linear_model.LassoLarsCV")
def lars_cv(estimator: Any, rows: Rows) -> Steps:
    """The path of every fold and the final one, after one sweep over all folds together."""
    from sklearn import linear_model

    estimator._validate_params()
    who = type(estimator).__name__
    folds = yield from fold_moments(rows, number_of_folds(estimator.cv), who)
    total = _dense(all_of(folds))
    trains = [all_but(folds, k) for k in range(len(folds))]
    paths = [_fold_path(estimator, train) for train in trains]
    alphas = np.unique(np.concatenate([p[0] for p in paths]))
    alphas = alphas[:: int(max(1, len(alphas) / float(estimator.max_n_alphas)))]
    errors = np.stack(
        [
            _errors_at(estimator, alphas, path, train, test)
            for path, train, test in zip(paths, trains, folds, strict=True)
        ],
        axis=1,
    )
    kept = np.isfinite(errors).all(axis=1)
    alphas, errors = alphas[kept], errors[kept]
    best = alphas[errors.mean(axis=1).argmin()]
    plain: Any = linear_model.LassoLars if who == "LassoLarsCV" else linear_model.Lars
    names = ("fit_intercept", "eps", "max_iter", "verbose", "positive")
    if who == "LarsCV":
        settings = plain(**{n: getattr(estimator, n) for n in names[:2]})
        found = _followed_to(settings, total, best, estimator.max_iter)
    else:
        settings = plain(**{n: getattr(estimator, n) for n in names})
        found = _followed(settings, total, best)
    found = in_dtype(found, total.dtype)
    return {**found, "alpha_": best, "cv_alphas_": alphas, "mse_path_": errors}


def _followed_to(settings: Any, moments: CrossMoments, alpha: Any, max_iter: int) -> dict[str, Any]:
    """The path of least angles down to a penalty, which Lars itself does not take."""
    from sklearn import linear_model

    X, y = equivalent_rows(moments, bool(settings.fit_intercept))
    scale = moments.rows / len(X)
    lars_path: Any = linear_model.lars_path
    alphas, active, coefs, n_iter = lars_path(
        X, y[:, 0], Gram="auto", alpha_min=alpha * scale, method="lar", max_iter=max_iter,
        eps=settings.eps, return_n_iter=True,
    )  # fmt: skip
    coef = coefs[:, -1]
    return {
        "alphas_": alphas / scale,
        "active_": active,
        "coef_path_": coefs,
        "n_iter_": n_iter,
        "coef_": coef.astype(moments.dtype),
        "intercept_": intercept_of(moments, coef, settings.fit_intercept),
    }


def _fold_path(estimator: Any, train: CrossMoments) -> tuple[np.ndarray, np.ndarray]:
    X, y = equivalent_rows(train, bool(estimator.fit_intercept))
    alphas, coefs, _ = _path(estimator, X, y[:, 0], estimator.method)
    return alphas * (len(X) / train.rows), coefs


def _errors_at(
    estimator: Any,
    wanted: np.ndarray,
    path: tuple[np.ndarray, np.ndarray],
    train: CrossMoments,
    test: CrossMoments,
) -> np.ndarray:
    """Mean squared error on the fold left out, at penalties between the knots of the path."""
    from scipy.interpolate import interp1d

    alphas, coefs = path[0][::-1], path[1][:, ::-1]
    if alphas[0] != 0:
        alphas, coefs = np.r_[0, alphas], np.c_[coefs[:, :1], coefs]
    if alphas[-1] != wanted[-1]:
        alphas, coefs = np.r_[alphas, wanted[-1]], np.c_[coefs, coefs[:, -1:]]
    between = interp1d(alphas, coefs, axis=1)(wanted)
    return residual_mean_square(test, between, _intercepts(estimator, train, between))


def _intercepts(estimator: Any, train: CrossMoments, coefs: np.ndarray) -> np.ndarray:
    if not estimator.fit_intercept:
        return np.zeros(coefs.shape[1])
    return train.y_mean - train.x_mean @ coefs


@solves("sklearn.linear_model.OrthogonalMatchingPursuit")
def matching_pursuit(estimator: Any, rows: Rows) -> Steps:
    """Greedy selection of features."""
    moments = yield from _moments(estimator, rows)
    return _pursued(estimator, moments)


def _pursued(estimator: Any, moments: CrossMoments) -> dict[str, Any]:
    X, y = equivalent_rows(moments, bool(estimator.fit_intercept))
    model = _copy(estimator).fit(X, y[:, 0] if moments.flat else y)
    return {
        "coef_": model.coef_.astype(moments.dtype),
        "intercept_": intercept_of(moments, model.coef_, estimator.fit_intercept),
        "n_iter_": model.n_iter_,
        "n_nonzero_coefs_": model.n_nonzero_coefs_,
    }


@solves("sklearn.linear_model.OrthogonalMatchingPursuitCV")
def matching_pursuit_cv(estimator: Any, rows: Rows) -> Steps:
    """The number of features that predicts the folds best; one sweep."""
    from sklearn import linear_model

    estimator._validate_params()
    folds = yield from fold_moments(rows, number_of_folds(estimator.cv), type(estimator).__name__)
    total = _dense(all_of(folds))
    p = total.n_features
    most = estimator.max_iter or min(max(int(0.1 * p), 5), p)
    orthogonal_mp: Any = linear_model.orthogonal_mp
    errors: list[np.ndarray] = []
    for k, test in enumerate(folds):
        train = all_but(folds, k)
        X, y = equivalent_rows(train, bool(estimator.fit_intercept))
        coefs = orthogonal_mp(X, y[:, 0], n_nonzero_coefs=most, precompute=False, return_path=True)
        coefs = coefs[:, None] if coefs.ndim == 1 else coefs
        mean = np.zeros(coefs.shape[1])
        if estimator.fit_intercept:
            mean = train.y_mean - train.x_mean @ coefs
        errors.append(residual_mean_square(test, coefs, mean))
    shortest = min(map(len, errors))
    best = np.argmin(np.mean([e[:shortest] for e in errors], axis=0)) + 1
    model = linear_model.OrthogonalMatchingPursuit(
        n_nonzero_coefs=int(best), fit_intercept=estimator.fit_intercept
    )
    return {**_pursued(model, total), "n_nonzero_coefs_": best}


def _data(n_targets: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(20)
    X = rng.normal(size=(220, 9)) @ (np.eye(9) + 0.2 * rng.normal(size=(9, 9))) + 2.0
    coef = rng.normal(size=(9, max(n_targets, 1))) * (np.arange(9) % 2)[:, None]
    y = X @ coef + rng.normal(size=(len(X), coef.shape[1])) - 3.0
    return X, (y if n_targets else y[:, 0])


def examples() -> Iterator[Example]:
    """Every parameter that changes the answer."""
    from sklearn import linear_model as lm

    yield made(lm.Lars, _data)()
    yield made(lm.Lars, _data)(n_nonzero_coefs=4, fit_intercept=False)
    yield made(lm.Lars, lambda: _data(2), "two targets")()
    yield made(lm.LassoLars, _data)(alpha=0.05)
    yield made(lm.LassoLars, _data)(alpha=0.02, positive=True, fit_path=False)
    yield made(lm.LassoLars, lambda: _data(2), "two targets")(alpha=0.1, fit_intercept=False)
    yield made(lm.LassoLarsIC, _data)()
    yield made(lm.LassoLarsIC, _data)(criterion="bic", fit_intercept=False)
    yield made(lm.LassoLarsIC, _data)(noise_variance=2.0, positive=True)
    yield made(lm.LarsCV, _data)()
    yield made(lm.LarsCV, _data)(cv=3, fit_intercept=False, max_n_alphas=10)
    yield made(lm.LassoLarsCV, _data)()
    yield made(lm.LassoLarsCV, _data)(cv=4, positive=True)
    yield made(lm.OrthogonalMatchingPursuit, _data)()
    yield made(lm.OrthogonalMatchingPursuit, _data)(n_nonzero_coefs=3, fit_intercept=False)
    yield made(lm.OrthogonalMatchingPursuit, _data)(tol=300.0, precompute=False)
    yield made(lm.OrthogonalMatchingPursuit, lambda: _data(2), "two targets")(n_nonzero_coefs=4)
    yield made(lm.OrthogonalMatchingPursuitCV, _data)()
    yield made(lm.OrthogonalMatchingPursuitCV, _data)(max_iter=7, cv=3, fit_intercept=False)
