"""QuantileRegressor: the optimum of its linear program, whatever its `solver`."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from millrace.solvers.registry import Example, solves
from millrace.solvers.rows import Rows
from millrace.solvers.sklearn._kinked import minimise_kinked
from millrace.solvers.sklearn._newton import Problem, sample_of
from millrace.solvers.sklearn._working import learned, working_copy
from millrace.statistics.collect import labels
from millrace.statistics.losses import SmoothPinball
from millrace.statistics.sample import Sampled


@solves("sklearn.linear_model.QuantileRegressor", weight=True)
def quantile_regressor(estimator: Any, rows: Rows) -> Generator[Any, Any, dict[str, Any]]:
    """Exact up to 1e-8 where the optimum is unique; tables that fit in the sample by scikit-learn."""
    work = working_copy(estimator)
    sample: Sampled = yield rows.ask(sample_of(rows))
    if sample.complete:
        batch = sample.batch
        return learned(work.fit(batch.matrix, labels(batch.y), sample_weight=batch.weight))
    n_features = sample.batch.matrix.shape[1]
    constant = int(estimator.fit_intercept)
    l1 = np.full(n_features + constant, estimator.alpha * sample.weight)
    l1[n_features:] = 0.0
    problem = Problem(
        SmoothPinball("pinball", 1.0, up=estimator.quantile, down=1.0 - estimator.quantile),
        (1, len(l1)),
        l1=l1,
        l2=np.zeros_like(l1),
        linear=np.zeros_like(l1),
        intercept=float(constant),
        who="QuantileRegressor",
    )
    w, n_sweeps = yield from minimise_kinked(rows, problem, sample)
    coef, intercept = problem.raw(w)
    coef[0][np.abs(coef[0]) <= 1e-10 * np.abs(coef[0]).max()] = 0.0
    return {
        "coef_": coef[0],
        "intercept_": intercept[0] if constant else 0.0,
        "n_iter_": n_sweeps,
    }


def examples() -> Iterator[Example]:
    """Two quantiles, with and without penalty and intercept."""
    from sklearn.linear_model import QuantileRegressor

    def of(**params: Any) -> Any:
        def make() -> tuple[Any, Any, Any]:
            rng = np.random.default_rng(4)
            X = rng.standard_normal((151, 3))
            return QuantileRegressor(**params), X, X @ [1.0, -0.5, 0.0] + rng.gumbel(size=151)

        return make

    base = Example("QuantileRegressor", of(alpha=0.01), ignore=("n_iter_",), weight=True)
    yield base
    yield replace(base, name="QuantileRegressor upper", make=of(quantile=0.9, alpha=0.0))
    yield replace(base, name="QuantileRegressor plain", make=of(fit_intercept=False, alpha=0.02))
