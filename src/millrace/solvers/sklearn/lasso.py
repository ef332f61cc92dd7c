"""Lasso and elastic net, alone and with the penalty chosen by consecutive folds.

Coordinate descent meets the rows through their products only, so scikit-learn's own descent is run on
`equivalent_rows`: the same steps, the same stops and the same number of iterations as on all rows, up to
rounding (1e-9 of the coefficients), after one sweep.
"""

from __future__ import annotations

import numbers
from collections.abc import Generator, Iterator
from typing import Any

import numpy as np

from millrace.solvers.registry import Decline, Example, solves
from millrace.solvers.rows import Ask, Rows
from millrace.solvers.sklearn._made import made
from millrace.solvers.sklearn.equivalent import (
    equivalent_rows,
    intercept_of,
    residual_mean_square,
)
from millrace.solvers.sklearn.inner_folds import all_but, all_of, fold_moments, number_of_folds
from millrace.statistics.gram import CrossMoments, Gram

Steps = Generator[Ask, Any, dict[str, Any]]

_PLAIN = (
    "sklearn.linear_model.Lasso",
    "sklearn.linear_model.ElasticNet",
)
_TOGETHER = (
    "sklearn.linear_model.MultiTaskLasso",
    "sklearn.linear_model.MultiTaskElasticNet",
)


@solves(*_PLAIN, *_TOGETHER, weight=True)
def elastic_net(estimator: Any, rows: Rows) -> Steps:
    """Coordinate descent to the estimator's own ``tol``."""
    estimator._validate_params()
    moments: CrossMoments = yield rows.ask(Gram(who=type(estimator).__name__))
    if hasattr(estimator, "precompute") and not isinstance(estimator.precompute, bool):
        raise Decline("precompute is a Gram matrix of other rows")
    return descended(estimator, estimator, moments, float(estimator.alpha))


def descended(
    estimator: Any, settings: Any, moments: CrossMoments, alpha: float, **more: Any
) -> dict[str, Any]:
    """The attributes of a Lasso or elastic net with this penalty.

    Parameters
    ----------
    estimator : object
        What is fitted: a former fit of it is the start where it says ``warm_start``.
    settings : object
        An object with the parameters of the model to fit.
    moments : CrossMoments
    alpha : float
    **more
        Parameters of the model that replace those of `settings`.
    """
    model = _model(settings, moments, alpha, **more)
    if getattr(settings, "warm_start", False) and hasattr(estimator, "coef_"):
        model.coef_ = np.array(estimator.coef_, np.float64)
    X, y = equivalent_rows(moments, bool(settings.fit_intercept))
    flat = moments.flat or (not _is_multitask(model) and y.shape[1] == 1)
    model.fit(np.asfortranarray(X), y[:, 0] if flat else y)
    coef = model.coef_
    if not np.isfinite(coef).all():
        raise ValueError(
            "Coordinate descent iterations resulted in non-finite parameter values. The input data "
            "may contain large values and need to be preprocessed."
        )
    gap = np.multiply(model.dual_gap_, len(X) / moments.weight)
    found = {
        "coef_": coef.astype(moments.dtype),
        "intercept_": intercept_of(moments, coef, settings.fit_intercept),
        "dual_gap_": float(gap) if _is_multitask(model) else gap.astype(moments.dtype),
        "n_iter_": model.n_iter_,
    }
    return (
        {**found, "eps_": model.eps_ * (moments.rows / moments.weight)}
        if _is_multitask(model)
        else found
    )


def _model(settings: Any, moments: CrossMoments, alpha: float, **more: Any) -> Any:
    """The plain model whose penalty on the equivalent rows is `alpha` on all rows."""
    from sklearn import linear_model

    multitask = type(settings).__name__.startswith("MultiTask")
    cls: Any = linear_model.MultiTaskElasticNet if multitask else linear_model.ElasticNet
    names = ("max_iter", "tol", "random_state", "selection", "positive", "warm_start")
    params = {n: getattr(settings, n) for n in names if hasattr(settings, n)}
    ratio = 1.0 if "Lasso" in type(settings).__name__ else getattr(settings, "l1_ratio", 1.0)
    params = {"l1_ratio": ratio, **params, **more}
    n_equivalent = len(moments.mean)
    return cls(alpha=alpha * moments.weight / n_equivalent, fit_intercept=False, **params)


def _is_multitask(model: Any) -> bool:
    return type(model).__name__.startswith("MultiTask")


@solves(
    "sklearn.linear_model.LassoCV",
    "sklearn.linear_model.ElasticNetCV",
    weight=True,
    equivalent=True,
)
def elastic_net_cv(estimator: Any, rows: Rows) -> Steps:
    """The path of every fold and the final model, after one sweep over all folds together."""
    estimator._validate_params()
    who = type(estimator).__name__
    if not isinstance(estimator.precompute, (str, bool)):
        raise Decline("precompute is a Gram matrix of other rows")
    folds = yield from fold_moments(rows, number_of_folds(estimator.cv), who)
    total = all_of(folds)
    if total.n_targets > 1:
        raise ValueError(f"For multi-task outputs, use MultiTask{who}")
    lasso = who == "LassoCV"
    ratios: list[Any] = [1.0] if lasso else list(np.atleast_1d(estimator.l1_ratio))
    grids = _grids(estimator, total, ratios)
    errors = np.array(
        [
            [
                _path_errors(estimator, all_but(folds, k), folds[k], grid, ratio)
                for k in range(len(folds))
            ]
            for grid, ratio in zip(grids, ratios, strict=True)
        ]
    )
    mean = errors.mean(axis=1)
    at_ratio, at_alpha = np.unravel_index(mean.argmin(), mean.shape)
    alpha, ratio = grids[at_ratio][at_alpha], ratios[at_ratio]
    found = descended(estimator, estimator, total, float(alpha), l1_ratio=ratio)
    by_number = isinstance(estimator.alphas, numbers.Integral) and len(ratios) > 1
    found |= {
        "alpha_": alpha,
        "alphas_": np.asarray(grids) if by_number else np.asarray(grids[0]),
        "mse_path_": np.squeeze(np.moveaxis(errors, 2, 1)),
    }
    return found if lasso else {**found, "l1_ratio_": ratio}


def _grids(estimator: Any, total: CrossMoments, ratios: list[float]) -> list[np.ndarray]:
    """The penalties to try for every mixing ratio, from the largest."""
    if not isinstance(estimator.alphas, numbers.Integral):
        for index, alpha in enumerate(estimator.alphas):
            if alpha < 0:
                raise ValueError(f"alphas[{index}] == {alpha}, must be >= 0.0.")
        return [np.sort(np.asarray(estimator.alphas, np.float64))[::-1]] * len(ratios)
    cross = total.xy(bool(estimator.fit_intercept))[:, 0]
    grids: list[np.ndarray] = []
    for ratio in ratios:
        if ratio == 0:
            raise ValueError(
                "Automatic alpha grid generation is not supported for l1_ratio=0. Please supply a "
                "grid by providing your estimator with the appropriate `alphas=` argument."
            )
        most = max(0.0, cross.max()) if estimator.positive else np.abs(cross).max()
        most /= total.weight * ratio
        least = np.finfo(np.float64).resolution
        grids.append(
            np.full(estimator.alphas, least)
            if most <= least
            else np.geomspace(most, most * estimator.eps, num=estimator.alphas)
        )
    return grids


def _path_errors(
    estimator: Any, train: CrossMoments, test: CrossMoments, alphas: np.ndarray, ratio: float
) -> np.ndarray:
    """Mean squared error on the rows of `test` for every penalty."""
    from sklearn import linear_model

    centred = bool(estimator.fit_intercept)
    X, y = equivalent_rows(train, centred)
    X, target = np.asfortranarray(X), y[:, 0].copy()
    enet_path: Any = linear_model.enet_path
    path = enet_path(
        X, target, l1_ratio=ratio, alphas=alphas * (train.weight / len(X)),
        positive=estimator.positive, max_iter=estimator.max_iter, tol=estimator.tol,
        random_state=estimator.random_state, selection=estimator.selection,
        precompute=np.ascontiguousarray(X.T @ X), Xy=X.T @ target, check_input=False,
    )  # fmt: skip
    coef = path[1]
    zero = np.zeros(coef.shape[1])
    intercept = train.y_mean - train.x_mean @ coef if centred else zero
    return residual_mean_square(test, coef, intercept)


def _data(n_targets: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(10)
    X = rng.normal(size=(230, 8)) @ (np.eye(8) + 0.3 * rng.normal(size=(8, 8))) + 4.0
    coef = rng.normal(size=(8, max(n_targets, 1))) * (np.arange(8) % 2)[:, None]
    y = X @ coef + rng.normal(size=(len(X), coef.shape[1])) - 3.0
    return X, (y if n_targets else y[:, 0])


def _sparse() -> tuple[Any, np.ndarray]:
    import scipy.sparse as sp

    rng = np.random.default_rng(11)
    X = sp.random(230, 8, 0.3, "csr", rng=rng)
    return X, X @ rng.normal(size=8) + 0.3 * rng.normal(size=230) + 2.0


def examples() -> Iterator[Example]:
    """Every parameter that changes the answer; iterations and gaps are compared too."""
    from sklearn import linear_model as lm

    near: dict[str, Any] = {"weight": True, "atol": 1e-8}
    for cls in (lm.Lasso, lm.ElasticNet):
        plain = made(cls, _data, **near)
        yield plain(alpha=0.1)
        yield plain(alpha=0.1, fit_intercept=False, tol=1e-9)
        yield plain(alpha=0.02, positive=True)
        yield plain(alpha=0.05, selection="random", random_state=3, precompute=True)
        yield made(cls, _sparse, "sparse", **near)(alpha=0.01, tol=1e-8)
    yield made(lm.Lasso, lambda: _data(2), "two targets")(alpha=0.1)
    yield made(lm.MultiTaskLasso, lambda: _data(2), "two targets", **near)(alpha=0.1)
    yield made(lm.MultiTaskElasticNet, lambda: _data(2), "two targets", **near)(alpha=0.1)
    for cls in (lm.LassoCV, lm.ElasticNetCV):
        chosen = made(cls, _data, rtol=1e-5, why="coordinate descent stops at its tol", **near)
        yield chosen(alphas=12)
        yield chosen(alphas=(0.5, 0.01, 0.1), cv=3, fit_intercept=False, max_iter=20_000)
        yield chosen(alphas=9, positive=True, tol=1e-9)
        yield made(cls, _sparse, "sparse", **near)(alphas=7, tol=1e-10)
    yield made(lm.ElasticNetCV, _data, **near)(l1_ratio=[0.3, 0.9], alphas=6, tol=1e-10)
