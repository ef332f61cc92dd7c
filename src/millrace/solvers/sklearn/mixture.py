"""GaussianMixture: expectation maximisation on exact sums, a sweep an iteration.

With all initial parameters given the iterations are those of scikit-learn. Otherwise the start is the
mixture that scikit-learn fits to a sample in memory.
"""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from millrace.errors import FitError
from millrace.solvers.registry import Example, solves
from millrace.solvers.rows import Rows
from millrace.solvers.sklearn._newton import sample_of
from millrace.solvers.sklearn._working import learned, working_copy
from millrace.statistics.mixture import MixtureSums, Responsibilities
from millrace.statistics.sample import Sampled


def _draws_starts(estimator: Any, shape: tuple[int, int]) -> bool:
    return any(
        given is None
        for given in (estimator.weights_init, estimator.means_init, estimator.precisions_init)
    )


@solves("sklearn.mixture.GaussianMixture", equivalent=_draws_starts)
def gaussian_mixture(estimator: Any, rows: Rows) -> Generator[Any, Any, dict[str, Any]]:
    """scikit-learn's own answer for given parameters (up to 1e-6) and tables that fit in the sample."""
    work = working_copy(estimator)
    sample: Sampled = yield rows.ask(sample_of(rows))
    X = sample.batch.matrix
    if sample.n_rows < max(2, estimator.n_components):
        raise FitError(
            f"Expected n_samples >= n_components but got n_components = {estimator.n_components}, "
            f"n_samples = {sample.n_rows}"
        )
    starts = (estimator.weights_init, estimator.means_init, estimator.precisions_init)
    if any(start is None for start in starts):
        _fit_quietly(work, X, sample.complete)
        if sample.complete:
            return learned(work)
    else:
        work._check_parameters(X, xp=np)
        work._initialize(X.astype(np.float64), None, xp=np)
    bounds: list[float] = []
    converged = False
    while len(bounds) < estimator.max_iter and not converged:
        asked = _step_of(work)
        sums: MixtureSums = yield rows.ask(asked)
        _maximise(work, asked, sums)
        bounds.append(sums.log_likelihood / sums.n_rows)
        converged = len(bounds) > 1 and abs(bounds[-1] - bounds[-2]) < estimator.tol
    _warn_unless(converged or not bounds)
    return _finished(work, X.dtype, bounds, converged)


def _fit_quietly(work: Any, X: np.ndarray, aloud: bool) -> None:
    """Fit to rows in memory; that a start has not converged is nobody's concern."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        if not aloud:
            warnings.simplefilter("ignore", ConvergenceWarning)
        work.fit(X)


def _step_of(work: Any) -> Responsibilities:
    return Responsibilities(
        np.log(np.asarray(work.weights_, np.float64)),
        np.asarray(work.means_, np.float64),
        np.asarray(work.precisions_cholesky_, np.float64),
        work.covariance_type,
        type(work).__name__,
    )


def _maximise(work: Any, asked: Responsibilities, sums: MixtureSums) -> None:
    """The M-step, as scikit-learn's: parameters from the sums around the origin."""
    from sklearn.mixture._gaussian_mixture import _compute_precision_cholesky

    kind, reg = work.covariance_type, work.reg_covar
    mass = sums.mass + 10 * np.finfo(np.float64).eps
    moved = sums.first / mass[:, None]
    if kind == "full":
        covariances = sums.second / mass[:, None, None] - moved[:, :, None] * moved[:, None, :]
        covariances[:, np.arange(moved.shape[1]), np.arange(moved.shape[1])] += reg
    elif kind == "tied":
        covariances = (sums.second - (mass * moved.T) @ moved) / mass.sum()
        covariances[np.diag_indices_from(covariances)] += reg
    else:
        covariances = sums.second / mass[:, None] - moved**2 + reg
        covariances = covariances.mean(axis=1) if kind == "spherical" else covariances
    work.means_ = asked.origin * (sums.mass / mass)[:, None] + moved
    work.weights_ = mass / sums.n_rows
    work.weights_ /= work.weights_.sum()
    work.covariances_ = covariances
    work.precisions_cholesky_ = _compute_precision_cholesky(covariances, kind)


def _finished(work: Any, dtype: Any, bounds: list[float], converged: bool) -> dict[str, Any]:
    names = ("weights_", "means_", "covariances_", "precisions_cholesky_")
    if bounds:
        for name in names:
            setattr(work, name, getattr(work, name).astype(dtype))
    work._set_parameters(tuple(getattr(work, n, None) for n in names))
    found = learned(work)
    found["converged_"] = converged
    found["n_iter_"] = len(bounds)
    found["lower_bounds_"] = [np.float64(b) for b in bounds]
    found["lower_bound_"] = np.float64(bounds[-1]) if bounds else -np.inf
    return found


def _warn_unless(converged: bool) -> None:
    from sklearn.exceptions import ConvergenceWarning

    if not converged:
        warnings.warn(
            "Best performing initialization did not converge. Try different init parameters, or "
            "increase max_iter, tol, or check for degenerate data.",
            ConvergenceWarning,
            stacklevel=2,
        )


def examples() -> Iterator[Example]:
    """Every kind of covariance with given parameters; chosen ones on a table that fits in memory."""
    from sklearn.mixture import GaussianMixture

    def data() -> np.ndarray:
        rng = np.random.default_rng(8)
        X = rng.standard_normal((210, 3)) @ rng.standard_normal((3, 3))
        return X + 4.0 * rng.integers(0, 2, (210, 1)) + 20.0

    def given(kind: str) -> Any:
        precisions = {
            "full": np.stack([np.eye(3), 0.5 * np.eye(3)]),
            "tied": np.eye(3),
            "diag": np.ones((2, 3)),
            "spherical": np.array([1.0, 0.5]),
        }[kind]

        def make() -> tuple[Any, Any, Any]:
            X = data()
            model = GaussianMixture(
                2,
                covariance_type=kind,  # type: ignore[arg-type]
                weights_init=np.array([0.4, 0.6]),
                means_init=np.array([[20.0, 20.0, 20.0], [24.0, 24.0, 24.0]]),
                precisions_init=precisions,
            )
            return model, X, None

        return make

    for kind in ("full", "tied", "diag", "spherical"):
        yield Example(f"GaussianMixture {kind}", given(kind))
    chosen = Example("GaussianMixture", lambda: (GaussianMixture(2, random_state=0), data(), None))
    yield replace(chosen, quality=lambda e, X, y: float(e.score(X)))
