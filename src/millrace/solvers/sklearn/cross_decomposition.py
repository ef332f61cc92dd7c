"""Partial least squares and canonical correlation, from the second moments of one sweep.

The iterations meet the rows through their products only: scikit-learn's own run on `equivalent_rows`,
twice with both signs so that their mean is zero, scaled to the same standard deviations. The same steps
as on all rows, up to rounding. The scores of the training rows are not kept (``x_scores_`` and
``y_scores_`` of PLSRegression): they are as many as the rows, and ``transform`` gives them.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import numpy as np

from millrace.solvers.registry import Decline, Example, solves
from millrace.solvers.rows import Ask, Rows
from millrace.solvers.sklearn._made import made
from millrace.solvers.sklearn._working import learned
from millrace.solvers.sklearn.equivalent import equivalent_rows
from millrace.statistics.gram import CrossMoments, Gram

Steps = Generator[Ask, Any, dict[str, Any]]


@solves(
    "sklearn.cross_decomposition.PLSRegression",
    "sklearn.cross_decomposition.PLSCanonical",
    "sklearn.cross_decomposition.CCA",
    "sklearn.cross_decomposition.PLSSVD",
    equivalent=True,
)
def partial_least_squares(estimator: Any, rows: Rows) -> Steps:
    """Exact to 1e-9 of the weights, with the same numbers of iterations."""
    from sklearn.base import clone

    estimator._validate_params()
    moments: CrossMoments = yield rows.ask(Gram(who=type(estimator).__name__))
    if moments.sparse:
        raise Decline("it takes no sparse rows")
    X, y = equivalent_rows(moments, mirrored=True)
    scale = np.sqrt((len(X) - 1) / (moments.rows - 1))
    model: Any = clone(estimator)
    model.fit(X * scale, y[:, 0] * scale if moments.flat else y * scale)
    found = {
        n: v for n, v in learned(model).items() if n.strip("_") not in ("x_scores", "y_scores")
    }
    found["_x_mean"], found["_y_mean"] = moments.x_mean, moments.y_mean
    if "intercept_" in found:
        found["intercept_"] = moments.y_mean
    return found


def _data(n_targets: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(90)
    X = rng.normal(size=(230, 6)) @ (np.eye(6) + 0.4 * rng.normal(size=(6, 6))) + 12.0
    y = X @ rng.normal(size=(6, max(n_targets, 1))) + rng.normal(size=(230, max(n_targets, 1)))
    return X, (y if n_targets else y[:, 0])


def examples() -> Iterator[Example]:
    """Every parameter that changes the answer."""
    from sklearn import cross_decomposition as cd

    def several() -> Any:
        return _data(3)

    scores: dict[str, Any] = {"ignore": ("x_scores_", "y_scores_")}
    yield made(cd.PLSRegression, lambda: _data(0), "one target", **scores)()
    regression = made(cd.PLSRegression, several, **scores)
    yield regression(n_components=3, scale=False)
    yield regression(n_components=2, tol=1e-12, max_iter=5000)
    yield made(cd.PLSCanonical, several)(tol=1e-12, max_iter=5000)
    yield made(cd.PLSCanonical, several)(algorithm="svd")
    yield made(cd.CCA, several)(tol=1e-12, max_iter=5000)
    yield made(cd.PLSSVD, several)(n_components=2)
