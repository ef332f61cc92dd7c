"""PoissonRegressor, GammaRegressor, TweedieRegressor: the optimum, whatever their `solver` and `tol`."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from millrace.solvers.registry import Decline, Example, solves
from millrace.solvers.rows import Rows
from millrace.solvers.sklearn._newton import NARROW_SAMPLE, centered, minimise, sample_of
from millrace.solvers.sklearn._objective import Problem
from millrace.statistics.losses import Gamma, Loss, Poisson, Squared, Tweedie
from millrace.statistics.sample import Sampled


@solves(
    "sklearn.linear_model.PoissonRegressor",
    "sklearn.linear_model.GammaRegressor",
    "sklearn.linear_model.TweedieRegressor",
    weight=True,
    equivalent=True,
)
def generalized_linear(estimator: Any, rows: Rows) -> Generator[Any, Any, dict[str, Any]]:
    """One sweep for a sample, then those of `minimise`; exact up to 1e-8 of the largest coefficient."""
    estimator._validate_params()
    loss = _loss(estimator)
    sample: Sampled = yield rows.ask(sample_of(rows, narrow=NARROW_SAMPLE))
    n_features = sample.batch.matrix.shape[1]
    constant = int(estimator.fit_intercept)
    if not estimator.alpha and sample.n_rows < n_features + constant:
        raise Decline("fewer rows than columns leave its coefficients open without a penalty")
    strength = np.full(n_features + constant, estimator.alpha * sample.weight)
    strength[n_features:] = 0.0
    problem = Problem(
        loss,
        (1, len(strength)),
        l1=np.zeros_like(strength),
        l2=strength,
        linear=np.zeros_like(strength),
        intercept=float(constant),
        who=type(estimator).__name__,
    )
    problem = centered(problem, sample)
    w, n_sweeps = yield from minimise(rows, problem, sample, _start(problem, sample), estimator.tol)
    coef, intercept = problem.raw(w)
    dtype = sample.batch.matrix.dtype
    return {
        "coef_": coef[0].astype(dtype),
        "intercept_": dtype.type(intercept[0]) if constant else 0.0,
        "n_iter_": n_sweeps,
        "_base_loss": estimator._get_loss(),
    }


def _start(problem: Problem, sample: Sampled) -> np.ndarray:
    """No coefficients, and the intercept at the link of the sample's mean, as scikit-learn starts."""
    start = np.zeros(problem.size)
    if problem.intercept:
        problem.loss.check(sample.batch.target)
        mean = float(np.average(sample.batch.target, weights=sample.batch.weight))
        start[-1] = mean if isinstance(problem.loss, Squared) else np.log(max(mean, 1e-300))
    return start


def _loss(estimator: Any) -> Loss:
    name = type(estimator).__name__
    if name == "PoissonRegressor":
        return Poisson()
    if name == "GammaRegressor":
        return Gamma()
    power = estimator.power
    link = estimator.link
    if link == "identity" or (link == "auto" and power <= 0):
        if power != 0:
            raise Decline("the deviance of this power exists for positive predictions only")
        return Squared()
    return {1: Poisson(), 2: Gamma()}.get(power, Tweedie(float(power)))


def _data(positive: bool = False, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((200, 5)) * [1.0, 2.0, 0.5, 1.0, 1.0] + [0.0, 5.0, 1.0, 0.0, -2.0]
    mean = np.exp(X @ [0.3, -0.1, 0.2, 0.0, 0.1])
    return X, rng.gamma(2.0, mean / 2.0) if positive else rng.poisson(mean).astype(float)


def _tight(estimator: Any) -> Any:
    from sklearn.base import clone

    copy: Any = clone(estimator)
    newton = copy.set_params(solver="newton-cholesky", tol=1e-12, max_iter=1000)
    return newton if getattr(estimator, "power", 1) else newton.set_params(tol=1e-10)


def examples() -> Iterator[Example]:
    """Each loss, with and without intercept and penalty."""
    from sklearn.linear_model import GammaRegressor, PoissonRegressor, TweedieRegressor

    def of(cls: Any, positive: bool = False, **params: Any) -> Any:
        return lambda: (cls(**params), *_data(positive))

    def sparse() -> tuple[Any, Any, Any]:
        import scipy.sparse as sp

        X, y = _data()
        return PoissonRegressor(alpha=0.1), sp.csr_matrix(np.where(X > 0.5, X, 0.0)), y

    base = Example(
        "PoissonRegressor", of(PoissonRegressor), oracle=_tight, ignore=("n_iter_",), weight=True
    )
    yield base
    yield replace(base, name="PoissonRegressor sparse", make=sparse)
    plain = of(PoissonRegressor, alpha=0.0, fit_intercept=False)
    yield replace(base, name="PoissonRegressor plain", make=plain)
    yield replace(base, name="GammaRegressor", make=of(GammaRegressor, True, alpha=0.3))
    for name, positive, params in (
        ("squares", False, {}),
        ("counts", False, {"power": 1.0}),
        ("compound", False, {"power": 1.5, "alpha": 0.1}),
        ("gamma", True, {"power": 2, "alpha": 0.0}),
        ("inverse gaussian", True, {"power": 3, "alpha": 0.1}),
        ("log squares", True, {"power": 0, "link": "log", "alpha": 0.5}),
    ):
        make = of(TweedieRegressor, positive, **params)
        yield replace(base, name=f"TweedieRegressor {name}", make=make)
