"""Principal components and kin, from the second moments of one sweep.

Every solver of scikit-learn has the same exact answer here, randomised and incremental ones too: the
eigenvectors of the covariance. A variance is exact to 1e-15 of the largest one; where PCA is asked for
``svd_solver="full"`` and some are below 1e-6 of the largest (of standardised columns), a second sweep
makes singular values, not variances, exact to 1e-15 of the largest.
"""

from __future__ import annotations

import numbers
from collections.abc import Generator, Iterator
from typing import Any

import numpy as np

from millrace.solvers.registry import Decline, Example, solves
from millrace.solvers.rows import Ask, Rows
from millrace.solvers.sklearn._made import made, tighter
from millrace.solvers.sklearn.equivalent import (
    accurate_rows,
    equivalent_rows,
    in_dtype,
    root_of,
)
from millrace.statistics.gram import CrossMoments, Gram

Steps = Generator[Ask, Any, dict[str, Any]]


def _moments(estimator: Any, rows: Rows) -> Generator[Ask, Any, CrossMoments]:
    estimator._validate_params()
    found: CrossMoments = yield rows.unweighted().ask(
        Gram(target=False, who=type(estimator).__name__)
    )
    return found


def _axes(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Singular values and right singular vectors, the largest entry of each vector positive."""
    _, values, right = np.linalg.svd(rows, full_matrices=False)
    largest = np.abs(right).argmax(axis=1)
    signs = np.where(right[np.arange(len(right)), largest] < 0, -1.0, 1.0)
    return values, right * signs[:, None]


def _pca_draws(estimator: Any, shape: tuple[int, int]) -> bool:
    """Whether scikit-learn approximates the components from random directions, or may do so."""
    n, p = shape
    if estimator.svd_solver != "auto":
        return estimator.svd_solver == "randomized"
    return (p > 1000 or n < 10 * p) and max(n, p) > 500


@solves("sklearn.decomposition.PCA", equivalent=_pca_draws)
def pca(estimator: Any, rows: Rows) -> Steps:
    """Principal components with the signs of scikit-learn; ``whiten`` is applied by ``transform``."""
    moments = yield from _moments(estimator, rows)
    n, p = moments.rows, moments.n_features
    solver, wanted = _pca_plan(estimator, moments)
    if solver == "full":
        equivalent, _ = yield from accurate_rows(rows.unweighted(), moments)
    else:
        equivalent, _ = equivalent_rows(moments)
    values, axes = _axes(equivalent)
    least = min(n, p)
    values, axes = (values, axes) if solver == "covariance_eigh" else (values[:least], axes[:least])
    variance = values**2 / (n - 1)
    ratio = variance / variance.sum()
    k = _n_kept(wanted, variance, ratio, n)
    noise = variance[k:].mean() if k < least else 0.0
    if k < least and solver in ("arpack", "randomized"):
        noise = (variance.sum() - variance[:k].sum()) / (least - k)
    found = {
        "mean_": moments.x_mean,
        "components_": axes[:k].copy(),
        "explained_variance_": variance[:k].copy(),
        "explained_variance_ratio_": ratio[:k].copy(),
        "singular_values_": values[:k].copy(),
        "noise_variance_": noise,
    }
    return {
        **in_dtype(found, moments.dtype),
        "n_samples_": n,
        "n_components_": k,
        "_fit_svd_solver": solver,
    }


def _pca_plan(estimator: Any, moments: CrossMoments) -> tuple[str, Any]:
    """The solver that scikit-learn takes, and the number of components that it is given."""
    n, p = moments.rows, moments.n_features
    solver, wanted = estimator.svd_solver, estimator.n_components
    if moments.sparse and solver not in ("auto", "arpack", "covariance_eigh"):
        raise TypeError(
            'PCA only support sparse inputs with the "arpack" and "covariance_eigh" solvers, while '
            f'"{solver}" was passed. See TruncatedSVD for a possible alternative.'
        )
    if wanted is None:
        wanted = min(n, p) - (solver == "arpack")
    if solver == "auto":
        if p <= 1000 and n >= 10 * p:
            solver = "covariance_eigh"
        elif moments.sparse:
            solver = "arpack"
        elif max(n, p) <= 500 or wanted == "mle":
            solver = "full"
        else:
            solver = "randomized" if 1 <= wanted < 0.8 * min(n, p) else "full"
    truncated = solver in ("arpack", "randomized")
    if wanted == "mle":
        if truncated:
            raise ValueError(f"n_components='mle' cannot be a string with svd_solver='{solver}'")
        if n < p:
            raise ValueError("n_components='mle' is only supported if n_samples >= n_features")
    elif not int(truncated) <= wanted <= min(n, p) - (solver == "arpack"):
        raise ValueError(
            f"n_components={wanted} must be between {int(truncated)} and "
            f"{min(n, p) - (solver == 'arpack')} with svd_solver={solver!r}"
        )
    return solver, wanted


def _n_kept(wanted: Any, variance: np.ndarray, ratio: np.ndarray, n: int) -> Any:
    if wanted == "mle":
        from sklearn.decomposition import _pca

        return _pca._infer_dimension(variance, n)
    if isinstance(wanted, numbers.Integral) or not 0 < wanted < 1.0:
        return wanted if isinstance(wanted, numbers.Integral) else int(wanted)
    return np.searchsorted(ratio.cumsum(), wanted, side="right") + 1


@solves("sklearn.decomposition.IncrementalPCA", equivalent=True)
def incremental_pca(estimator: Any, rows: Rows) -> Steps:
    """Exact components, where scikit-learn's are an approximation that depends on the batches."""
    moments = yield from _moments(estimator, rows)
    n, p = moments.rows, moments.n_features
    k = estimator.n_components
    if k is None:
        k = min(n, p)
    elif k > p:
        raise ValueError(
            f"n_components={k} invalid for n_features={p}, need more rows than columns for "
            "IncrementalPCA processing"
        )
    elif k > n:
        raise ValueError(
            f"n_components={k} must be less or equal to the batch number of samples {n} for the "
            "first partial_fit call."
        )
    values, axes = _axes(equivalent_rows(moments)[0])
    variance = values**2 / (n - 1)
    spread = np.diag(moments.xx()) / n
    return {
        "components_": axes[:k].astype(moments.dtype),
        "explained_variance_": variance[:k].copy(),
        "explained_variance_ratio_": values[:k] ** 2 / (spread.sum() * n),
        "singular_values_": values[:k].astype(moments.dtype),
        "noise_variance_": variance[k : min(n, p)].mean() if k < min(n, p) else 0.0,
        "mean_": moments.x_mean,
        "var_": spread,
        "n_components_": k,
        "n_samples_seen_": np.float64(n),
        "batch_size_": 5 * p if estimator.batch_size is None else estimator.batch_size,
    }


def _svd_draws(estimator: Any, shape: tuple[int, int]) -> bool:
    return estimator.algorithm != "arpack"


@solves("sklearn.decomposition.TruncatedSVD", equivalent=_svd_draws)
def truncated_svd(estimator: Any, rows: Rows) -> Steps:
    """Singular vectors of the rows as they are, dense or CSR."""
    moments = yield from _moments(estimator, rows)
    p, k = moments.n_features, estimator.n_components
    if k > p or (estimator.algorithm == "arpack" and k >= min(moments.rows, p)):
        raise ValueError(f"n_components({k}) must be <= n_features({p}).")
    values, axes = _axes(equivalent_rows(moments, centred=False)[0])
    kept = axes[:k].copy()
    spread = ((root_of(moments.xx()) @ kept.T) ** 2).sum(axis=0) / moments.rows
    found = {
        "components_": kept,
        "explained_variance_": spread,
        "explained_variance_ratio_": spread / (np.trace(moments.xx()) / moments.rows),
        "singular_values_": values[:k].copy(),
    }
    return in_dtype(found, moments.dtype)


@solves("sklearn.decomposition.FactorAnalysis", equivalent=True)
def factor_analysis(estimator: Any, rows: Rows) -> Steps:
    """Maximum likelihood with exact singular values, also for ``svd_method="randomized"``.

    The signs of the rows of ``components_`` are arbitrary in the source, and so they are here.
    """
    from sklearn.base import clone

    moments = yield from _moments(estimator, rows)
    if moments.sparse:
        raise Decline("it takes no sparse rows")
    equivalent, _ = equivalent_rows(moments, mirrored=True)
    share = len(equivalent) / moments.rows
    model: Any = clone(estimator)
    model.set_params(svd_method="lapack", tol=estimator.tol * share)
    model.fit(equivalent * np.sqrt(share))
    return {
        "mean_": moments.x_mean,
        "components_": model.components_,
        "noise_variance_": model.noise_variance_,
        "loglike_": [v / share for v in model.loglike_],
        "n_iter_": model.n_iter_,
    }


def _data() -> tuple[np.ndarray, None]:
    rng = np.random.default_rng(80)
    X = rng.normal(size=(240, 6)) * [9.0, 6.0, 3.0, 2.0, 1.0, 0.5]
    return X @ np.linalg.qr(rng.normal(size=(6, 6)))[0] + 40.0, None


def _near() -> tuple[np.ndarray, None]:
    """Singular values down to 1e-4 of the largest."""
    rng = np.random.default_rng(81)
    X = rng.normal(size=(240, 5)) * [1.0, 1e-1, 1e-2, 1e-3, 1e-4]
    return X @ np.linalg.qr(rng.normal(size=(5, 5)))[0], None


def _sparse() -> tuple[Any, None]:
    import scipy.sparse as sp

    return sp.random(240, 8, 0.3, "csr", rng=np.random.default_rng(82)), None


def _factors() -> tuple[np.ndarray, None]:
    rng = np.random.default_rng(83)
    return rng.normal(size=(240, 2)) @ rng.normal(size=(2, 6)) + rng.normal(size=(240, 6)), None


def _likelihood(estimator: Any, X: Any, y: Any) -> float:
    return float(estimator.score(X))


def examples() -> Iterator[Example]:
    """Every parameter that changes the answer."""
    from sklearn import decomposition as de

    plain = made(de.PCA, _data)
    yield plain()
    yield plain(n_components=3, whiten=True)
    yield plain(n_components=0.9)
    yield plain(n_components="mle")
    yield plain(n_components=2, svd_solver="full")
    yield plain(n_components=3, svd_solver="randomized", random_state=0)
    yield plain(n_components=2, svd_solver="arpack", random_state=0)
    yield made(de.PCA, _near, "small axes", atol=1e-12)(svd_solver="full")
    whole = tighter(batch_size=10_000)
    yield made(de.IncrementalPCA, _data, oracle=whole, ignore=("batch_size_",))()
    yield made(de.IncrementalPCA, _data, oracle=whole, ignore=("batch_size_",))(n_components=2)
    for data, name in ((_data, "dense"), (_sparse, "sparse")):
        exact = tighter(algorithm="arpack", random_state=0)
        yield made(de.TruncatedSVD, data, name, oracle=exact)(n_components=3)
    likely = made(de.FactorAnalysis, _factors, quality=_likelihood, quality_slack=1e-9)
    yield likely(n_components=2, svd_method="lapack")
    yield likely(n_components=3, rotation="varimax", svd_method="lapack")
