"""Least squares and ridge regression, from second moments: one sweep, and one more where they are coarse.

Every solver of scikit-learn has the same exact answer here: that of the normal equations, whose relative
error is about 1e-16 times the condition of the (penalised) correlation matrix. Where that could exceed
1e-8, `accurate_rows` reads the rows once more, and the error is that of a QR factor of the rows.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import numpy as np

from millrace.solvers.registry import Decline, Example, solves
from millrace.solvers.rows import Ask, Rows
from millrace.solvers.sklearn._made import made, tighter
from millrace.solvers.sklearn.equivalent import (
    Turned,
    accurate_rows,
    correlation_values,
    equivalent_rows,
    intercept_of,
)
from millrace.solvers.sklearn.inner_folds import all_but, all_of, fold_moments, number_of_folds
from millrace.statistics.gram import CrossMoments, Gram
from millrace.statistics.leave_one_out import LeaveOneOut

Steps = Generator["Ask | list[Ask]", Any, dict[str, Any]]

_WELL_PENALISED = 1e-8

_PENALISED = 1e-10
"""Least eigenvalue of the penalised correlation matrix for leave-one-out: its errors stay below 1e-6."""


@solves("sklearn.linear_model.LinearRegression", weight=True)
def linear_regression(estimator: Any, rows: Rows) -> Steps:
    """Ordinary least squares; directions below ``tol`` of the largest singular value are left out.

    Relative error of the coefficients: about 1e-15 times the condition number of the rows (not its
    square), as of an SVD of the rows; below 1e-8 with the default ``tol``. Sparse rows get the same
    answer (scikit-learn's is iterative there and as good as its ``tol``).
    """
    from sklearn.linear_model import LinearRegression

    estimator._validate_params()
    moments: CrossMoments = yield rows.ask(Gram(who="LinearRegression"))
    if estimator.positive and moments.sparse:
        raise Decline("positive=True takes no sparse rows")
    centred = bool(estimator.fit_intercept)
    cut = 0.0 if estimator.positive else estimator.tol
    X, y = yield from accurate_rows(rows, moments, centred, cut)
    model = LinearRegression(
        fit_intercept=False, positive=estimator.positive, tol=estimator.tol
    ).fit(X, y[:, 0] if moments.flat else y)
    found: dict[str, Any] = {
        "coef_": model.coef_.astype(moments.dtype),
        "intercept_": intercept_of(moments, model.coef_, centred),
    }
    if not (estimator.positive or moments.sparse):
        least = min(moments.rows, moments.n_features)
        found["rank_"] = model.rank_
        found["singular_"] = np.asarray(model.singular_)[:least].astype(moments.dtype)
    return found


def ridge_coef(
    rows: Rows,
    moments: CrossMoments,
    alpha: np.ndarray,
    centred: bool,
    positive: bool = False,
    turned: Turned | None = None,
) -> Generator[Ask, Any, np.ndarray]:
    """Coefficients of ridge regression, one penalty a target: (n_targets, n_features), float64."""
    products = moments.xx(centred)
    if not positive and _is_well_penalised(products, float(alpha.min())):
        return _by_cholesky(products, moments.xy(centred), alpha)
    X, y = yield from accurate_rows(rows, moments, centred, turned=turned)
    if not positive:
        return _by_svd(X, y, alpha)
    from scipy.optimize import nnls

    eye = np.eye(X.shape[1])
    return np.stack(
        [
            nnls(np.vstack([X, np.sqrt(a) * eye]), np.append(t, np.zeros(len(eye))))[0]
            for a, t in zip(alpha, y.T, strict=True)
        ]
    )


def _is_well_penalised(products: np.ndarray, alpha: float) -> bool:
    """Whether the scaled matrix of the normal equations has no direction that is lost in rounding.

    Its least eigenvalue is at least the penalty over the largest diagonal entry, and its largest at most
    the number of columns, which mostly tells without computing them.
    """
    if not len(products):
        return False
    least = alpha / (len(products) * (alpha + float(np.diag(products).max())))
    if least > 2 * _WELL_PENALISED:
        return True
    return bool(correlation_values(products, alpha)[0] > _WELL_PENALISED)


def _by_cholesky(products: np.ndarray, cross: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    from scipy.linalg.lapack import dpotrf, dpotrs  # pyright: ignore[reportAttributeAccessIssue]

    coef = np.empty((cross.shape[1], len(products)))
    for a in np.unique(alpha):
        penalised = products + a * np.eye(len(products))
        scale = np.sqrt(np.diag(penalised))
        scale[scale == 0] = 1.0
        factor, failed = dpotrf(penalised / np.outer(scale, scale))
        if failed:
            raise np.linalg.LinAlgError("the penalised matrix is not positive definite")
        same = alpha == a
        solution, _ = dpotrs(factor, cross[:, same] / scale[:, None])
        coef[same] = (solution / scale[:, None]).T
    return coef


def _by_svd(X: np.ndarray, y: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    left, values, right = np.linalg.svd(X, full_matrices=False)
    kept = values > np.finfo(np.float64).eps * len(values) * values.max(initial=0.0)
    turned = left.T @ y
    shrunk = np.zeros((len(values), len(alpha)))
    shrunk[kept] = values[kept, None] / (values[kept, None] ** 2 + alpha)
    return (shrunk * turned).T @ right


def checked_solver(estimator: Any, sparse: bool) -> str:
    """The solver that scikit-learn would take; its refusals."""
    solver = estimator.solver
    if solver == "lbfgs" and not estimator.positive:
        raise ValueError(
            "'lbfgs' solver can be used only when positive=True. Please use another solver."
        )
    if estimator.positive:
        if solver not in ("auto", "lbfgs"):
            raise ValueError(
                f"solver='{solver}' does not support positive fitting. Please set the solver to "
                "'auto' or 'lbfgs', or set `positive=False`"
            )
        return "lbfgs"
    if sparse and estimator.fit_intercept:
        if solver not in ("auto", "lsqr", "sag", "sparse_cg"):
            raise ValueError(
                f"solver='{solver}' does not support fitting the intercept on sparse data. Please "
                "set the solver to 'auto' or 'lsqr', 'sparse_cg', 'sag', 'lbfgs' or set "
                "`fit_intercept=False`"
            )
        return solver if solver in ("lsqr", "sag") else "sparse_cg"
    if solver == "auto":
        return "sparse_cg" if sparse else "cholesky"
    if sparse and solver == "svd":
        raise TypeError("SVD solver does not support sparse inputs currently")
    return solver


def ridge_from(
    estimator: Any, rows: Rows, moments: CrossMoments, turned: Turned | None = None
) -> Generator[Ask, Any, dict[str, Any]]:
    """The attributes of a fitted Ridge; `turned` as of `accurate_rows`."""
    solver = checked_solver(estimator, moments.sparse)
    alpha = np.ravel(np.asarray(estimator.alpha, np.float64))
    n_targets = moments.n_targets
    if len(alpha) not in (1, n_targets):
        raise ValueError(
            "Number of targets and number of penalties do not correspond: "
            f"{len(alpha)} != {n_targets}"
        )
    alpha = np.broadcast_to(alpha, (n_targets,))
    coef = yield from ridge_coef(
        rows, moments, alpha, bool(estimator.fit_intercept), estimator.positive, turned
    )
    coef = coef[0] if n_targets == 1 else coef
    iterates = solver in ("lsqr", "sag", "saga")
    return {
        "coef_": coef.astype(moments.dtype),
        "intercept_": intercept_of(moments, coef, estimator.fit_intercept),
        "n_iter_": np.ones(n_targets, np.int32) if iterates else None,
        "solver_": solver,
    }


def source_iterates(estimator: Any, shape: tuple[int, int]) -> bool:
    """Whether scikit-learn's ridge stops at its ``tol``, where the answer here is the optimum."""
    return estimator.positive or estimator.solver not in ("auto", "svd", "cholesky")


@solves("sklearn.linear_model.Ridge", weight=True, equivalent=source_iterates)
def ridge(estimator: Any, rows: Rows) -> Steps:
    """Ridge regression; every ``solver`` gives the exact answer, ``tol`` and ``max_iter`` are not needed.

    Exact to 1e-7 of the coefficients.
    """
    estimator._validate_params()
    moments = yield rows.ask(Gram(who="Ridge"))
    return (yield from ridge_from(estimator, rows, moments))


@solves("sklearn.linear_model.RidgeCV", weight=True)
def ridge_cv(estimator: Any, rows: Rows) -> Steps:
    """Ridge regression with the best of some penalties, by leave-one-out errors or consecutive folds.

    Leave-one-out takes a second sweep, for all penalties at once; folds take one sweep in all.
    """
    estimator._validate_params()
    alphas = checked_alphas(estimator)
    if estimator.cv is not None:
        return (yield from _ridge_by_folds(estimator, rows, alphas))
    moments = yield rows.ask(Gram(who="RidgeCV"))
    return (yield from best_left_out(estimator, rows, moments, alphas))


def checked_alphas(estimator: Any) -> list[float]:
    """The penalties to try; positive ones for leave-one-out."""
    given = np.atleast_1d(np.asarray(estimator.alphas))
    if given.dtype.kind not in "iuf":
        raise Decline("its penalties are not all numbers")
    alphas = [float(a) for a in given]
    for index, alpha in enumerate(alphas):
        if alpha < 0 or (alpha == 0 and estimator.cv is None):
            bound = "> 0.0" if estimator.cv is None else ">= 0.0"
            raise ValueError(f"alphas[{index}] == {alpha}, must be {bound}.")
    if estimator.scoring is not None and estimator.cv is None:
        raise Decline("leave-one-out with a scoring of its own needs a prediction for every row")
    if estimator.store_cv_results:
        raise Decline("store_cv_results=True keeps a number for every row and penalty")
    return alphas


def best_left_out(
    estimator: Any,
    rows: Rows,
    moments: CrossMoments,
    alphas: list[float],
    classes: np.ndarray | None = None,
    class_weight: np.ndarray | None = None,
) -> Generator[Ask, Any, dict[str, Any]]:
    """The penalty with the least leave-one-out error, and its coefficients."""
    centred = bool(estimator.fit_intercept)
    if correlation_values(moments.xx(centred), min(alphas))[0] < _PENALISED:
        raise Decline("with the least penalty, columns depend too closely for leave-one-out")
    values, vectors = np.linalg.eigh(moments.xx(centred))
    values = np.maximum(values, 0.0)
    turned = vectors.T @ moments.xy(centred)
    zero = 0.0 if centred else 1.0
    errors = yield rows.ask(
        LeaveOneOut(
            moments.x_mean * (1 - zero), vectors, values, turned, moments.y_mean * (1 - zero),
            tuple(alphas), moments.weight if centred else np.inf, classes, class_weight,
        )
    )  # fmt: skip
    if getattr(estimator, "alpha_per_target", False):
        best = errors.argmin(axis=0)
        alpha: Any = np.asarray(alphas)[best]
        score: Any = -errors.min(axis=0)
    else:
        mean = errors.mean(axis=1)
        best = np.full(moments.n_targets, mean.argmin())
        alpha, score = alphas[best[0]], -mean.min()
    if np.ndim(alpha) and moments.n_targets == 1:
        alpha, score = float(alpha[0]), (score[0] if moments.flat else score)
    penalties = np.asarray(alphas)[best]
    coef = (vectors @ (turned / (values[:, None] + penalties))).T
    coef = coef[0] if len(coef) == 1 else coef
    return {
        "coef_": coef.astype(moments.dtype),
        "intercept_": intercept_of(moments, coef, centred),
        "alpha_": alpha,
        "best_score_": score,
    }


def _ridge_by_folds(
    estimator: Any, rows: Rows, alphas: list[float]
) -> Generator[Any, Any, dict[str, Any]]:
    if estimator.alpha_per_target:
        raise ValueError("cv!=None and alpha_per_target=True are incompatible")
    if rows.weighted:
        raise Decline("scikit-learn takes the scores of folds without the weights")
    score = _fold_score(estimator.scoring)
    folds = yield from fold_moments(rows, number_of_folds(estimator.cv), "RidgeCV")
    centred = bool(estimator.fit_intercept)
    scores = np.zeros(len(alphas))
    for k in range(len(folds)):
        train = all_but(folds, k)
        for i, alpha in enumerate(alphas):
            penalty = np.full(train.n_targets, alpha)
            coef = _of_moments(train, penalty, centred)
            scores[i] += score(folds[k], coef, train, centred) / len(folds)
    total = all_of(folds)
    alpha = np.asarray(alphas)[scores.argmax()]
    coef = yield from ridge_coef(rows, total, np.full(total.n_targets, alpha), centred)
    coef = coef[0] if total.n_targets == 1 else coef
    return {
        "coef_": coef.astype(total.dtype),
        "intercept_": intercept_of(total, coef, centred),
        "alpha_": alpha,
        "best_score_": scores.max(),
    }


def _of_moments(moments: CrossMoments, alpha: np.ndarray, centred: bool) -> np.ndarray:
    """Coefficients without a second sweep: for the choice between penalties."""
    if alpha.min() > 0 and correlation_values(moments.xx(centred), alpha.min())[0] > 1e-12:
        return _by_cholesky(moments.xx(centred), moments.xy(centred), alpha)
    return _by_svd(*equivalent_rows(moments, centred), alpha)


def _fold_score(scoring: Any) -> Any:
    """``(fold, coef, train, centred)`` -> the score of the fold."""
    if scoring not in (None, "r2", "neg_mean_squared_error", "neg_root_mean_squared_error"):
        raise Decline(f"scoring={scoring!r} needs the predictions of every fold")

    def score(fold: CrossMoments, coef: np.ndarray, train: CrossMoments, centred: bool) -> float:
        p = fold.n_features
        both = np.hstack([coef, -np.eye(fold.n_targets)])
        constant = train.y_mean - coef @ train.x_mean if centred else np.zeros(len(coef))
        squared = np.einsum("ti,ij,tj->t", both, fold.scatter, both) / fold.weight
        squared = np.maximum(squared, 0.0) + (both @ fold.mean + constant) ** 2
        if scoring == "neg_mean_squared_error":
            return -float(squared.mean())
        if scoring == "neg_root_mean_squared_error":
            return -float(np.sqrt(squared).mean())
        spread = np.diag(fold.scatter)[p:] / fold.weight
        exact = np.where(squared > 0, 0.0, 1.0)
        ratio = np.divide(squared, spread, out=1.0 - exact, where=spread > 0)
        return float((1.0 - ratio).mean())

    return score


def _data(n_targets: int = 0, seed: int = 0, n_features: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(240, n_features)) * np.logspace(0, 2, n_features) + 30.0
    coef = rng.normal(size=(n_features, max(n_targets, 1)))
    y = X @ coef + rng.normal(size=(len(X), coef.shape[1])) + 7.0
    return X, (y if n_targets else y[:, 0])


def _dependent() -> tuple[np.ndarray, np.ndarray]:
    """One-hot columns beside an intercept: a singular matrix."""
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 4, 240)
    X = np.column_stack([np.eye(4)[codes], rng.normal(size=240), np.ones(240)])
    return X, codes * 1.5 + X[:, 4] + 0.1 * rng.normal(size=240)


def _near() -> tuple[np.ndarray, np.ndarray]:
    """Columns that differ by a hundred-thousandth: singular values down to 1e-5 of the largest."""
    rng = np.random.default_rng(4)
    X = rng.normal(size=(240, 4)) + 5.0
    X[:, 3] = X[:, 0] + 1e-5 * X[:, 3]
    return X, X @ [1.0, 2.0, 3.0, -1.0] + 1e-3 * rng.normal(size=240)


def _sparse() -> tuple[Any, np.ndarray]:
    import scipy.sparse as sp

    rng = np.random.default_rng(5)
    X = sp.random(240, 8, 0.3, "csr", rng=np.random.default_rng(6))
    return X, X @ rng.normal(size=8) + rng.normal(size=240) + 2.0


def examples() -> Iterator[Example]:
    """Every parameter that changes the answer."""
    from sklearn.linear_model import LinearRegression, Ridge, RidgeCV

    plain = made(LinearRegression, _data, weight=True)
    yield plain()
    yield plain(fit_intercept=False)
    yield plain(positive=True)
    two = made(LinearRegression, lambda: _data(2), "two targets")
    yield two()
    yield two(positive=True)
    yield made(
        LinearRegression, _dependent, "dependent", weight=True, atol=1e-6,
        why="a singular value of zero is rounding on either side",
    )()  # fmt: skip
    yield made(LinearRegression, _near, "nearly dependent")(tol=1e-9)
    yield made(
        LinearRegression, _sparse, "sparse", weight=True, oracle=tighter(tol=1e-14)
    )()  # fmt: skip
    ridge = made(Ridge, _data, weight=True)
    yield ridge()
    yield ridge(alpha=50.0, fit_intercept=False)
    yield ridge(solver="svd")
    yield ridge(alpha=1e-9)
    yield ridge(alpha=0.0)
    converged = made(
        Ridge, _data, weight=True, ignore=("n_iter_",), oracle=tighter(tol=1e-14, max_iter=10_000)
    )
    yield converged(solver="lsqr")
    yield converged(solver="sparse_cg")
    yield converged(positive=True)
    yield made(Ridge, lambda: _data(2), "two targets")(alpha=np.array([0.5, 20.0]))
    yield made(Ridge, _dependent, "dependent")(alpha=1e-3)
    yield made(Ridge, _sparse, "sparse", weight=True, oracle=tighter(tol=1e-14))(alpha=0.3)
    grid = (1e-2, 1.0, 30.0, 1e3)
    chosen = made(RidgeCV, _data, weight=True)
    yield chosen(alphas=grid)
    yield chosen(alphas=grid, fit_intercept=False)
    yield made(RidgeCV, _data)(alphas=grid, cv=4)
    both = made(RidgeCV, lambda: _data(2), "two targets", weight=True)
    yield both(alphas=grid)
    yield both(alphas=grid, alpha_per_target=True)
    folds = made(RidgeCV, lambda: _data(2), "two targets")
    yield folds(alphas=grid, cv=3, scoring="neg_mean_squared_error")
    yield made(RidgeCV, _sparse, "sparse", weight=True)(alphas=grid)
