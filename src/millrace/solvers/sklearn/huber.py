"""HuberRegressor: coefficients and scale together, by Newton's method."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from millrace.solvers.registry import Example, solves
from millrace.solvers.rows import Rows
from millrace.solvers.sklearn._newton import centered, minimise, sample_of
from millrace.solvers.sklearn._objective import Problem
from millrace.statistics.base import Batch
from millrace.statistics.losses import Huber
from millrace.statistics.perrow import PerRow
from millrace.statistics.sample import Sampled


@dataclass(frozen=True)
class Outliers(PerRow):
    """Whether ``|y - X @ coef - intercept|`` is above a bound: bool (n_samples,)."""

    coef: np.ndarray
    intercept: float
    bound: float

    def values(self, batch: Batch) -> np.ndarray:
        X, found = batch.matrix, np.empty(len(batch))
        for first in range(0, len(batch), 4096):
            found[first : first + 4096] = X[first : first + 4096] @ self.coef
        return np.abs(batch.target - found - self.intercept) > self.bound


@solves("sklearn.linear_model.HuberRegressor", weight=True, equivalent=True)
def huber_regressor(estimator: Any, rows: Rows) -> Generator[Any, Any, dict[str, Any]]:
    """A sweep for a sample, those of `minimise`, and one for ``outliers_``, a byte a row."""
    estimator._validate_params()
    sample: Sampled = yield rows.ask(sample_of(rows))
    n_features = sample.batch.matrix.shape[1]
    constant = int(estimator.fit_intercept)
    width = n_features + constant + 1
    l2, linear = np.zeros(width), np.zeros(width)
    l2[:n_features] = 2.0 * estimator.alpha
    linear[-1] = sample.weight
    problem = Problem(
        Huber(float(estimator.epsilon)),
        (1, width),
        l1=np.zeros(width),
        l2=l2,
        linear=linear,
        intercept=float(constant),
        who=type(estimator).__name__,
    )
    problem = centered(problem, sample)
    start = np.zeros(width)
    target = sample.batch.target
    if constant:
        start[n_features] = np.median(target)
    start[-1] = np.std(target) or 1.0
    w, n_sweeps = yield from minimise(rows, problem, sample, start, estimator.tol)
    coef, intercept = problem.raw(w)
    scale = float(w[-1])
    bound = scale * estimator.epsilon
    outliers = yield rows.ask(Outliers(coef[0], float(intercept[0]), bound))
    return {
        "coef_": coef[0],
        "intercept_": intercept[0] if constant else 0.0,
        "scale_": np.float64(scale),
        "n_iter_": n_sweeps,
        "outliers_": outliers,
    }


def _tight(estimator: Any) -> Any:
    from sklearn.base import clone

    copy: Any = clone(estimator)
    return copy.set_params(tol=1e-10, max_iter=100_000)


def examples() -> Iterator[Example]:
    """With few and many outliers."""
    from sklearn.linear_model import HuberRegressor

    def of(**params: Any) -> Any:
        def make() -> tuple[Any, Any, Any]:
            rng = np.random.default_rng(3)
            X = rng.standard_normal((200, 4)) * [1.0, 2.0, 0.5, 1.0] + [0.0, 3.0, 0.0, 1.0]
            y = X @ [1.0, -0.5, 2.0, 0.0] + 0.3 * rng.standard_t(2, 200) + 4.0
            return HuberRegressor(**params), X, y

        return make

    def few() -> tuple[Any, Any, Any]:
        rng = np.random.default_rng(0)
        X = rng.standard_normal((60, 24))
        y = X @ (100.0 * rng.random(24))
        y[:6] += 1000.0 * rng.standard_normal(6)
        return HuberRegressor(alpha=0.1), X, y

    why = "the oracle is L-BFGS-B, which stops when the loss no longer falls by 1e-9 of itself"
    base = Example(
        "HuberRegressor",
        of(),
        rtol=2e-4,
        atol=2e-4,
        why=why,
        oracle=_tight,
        ignore=("n_iter_",),
        weight=True,
    )
    yield base
    yield replace(base, name="HuberRegressor wide", make=of(epsilon=2.5, alpha=1.0))
    yield replace(
        base, name="HuberRegressor few rows", make=few, rtol=1e-3, atol=1e-3, weight=False
    )
    flat = of(fit_intercept=False, alpha=0.0)  # and where the loss is flat it stops earlier still
    yield replace(base, name="HuberRegressor plain", make=flat, rtol=1e-3, atol=1e-3)
