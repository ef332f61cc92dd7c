"""Scores of linear regression from second moments of the held-out rows: no prediction is made.

With residuals ``r = y - x @ coef - intercept`` of n rows::

    sum(r**2) = (coef, -1)' scatter (coef, -1) + n * mean(r)**2

The sum cancels where the fit is very good; `linear_scores` answers only where at least ten digits of a
score are left.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from millrace.statistics.gram import CrossMoments

_SCORERS = {
    "r2": "r2",
    "neg_mean_squared_error": "mse",
    "neg_root_mean_squared_error": "rmse",
}

_LINEAR = {
    "BayesianRidge",
    "ElasticNet",
    "ElasticNetCV",
    "HuberRegressor",
    "Lars",
    "LarsCV",
    "Lasso",
    "LassoCV",
    "LassoLars",
    "LassoLarsCV",
    "LassoLarsIC",
    "LinearRegression",
    "OrthogonalMatchingPursuit",
    "QuantileRegressor",
    "Ridge",
    "RidgeCV",
}

_DIGITS = 1e-10
_ROUNDING = 16 * np.finfo(np.float64).eps


def kinds_of(estimator: Any, scorers: Mapping[str, Any]) -> dict[str, str] | None:
    """Name -> r2, mse or rmse; None where a scorer is another one or predictions are not linear."""
    if not _is_linear(type(estimator)):
        return None
    found = {name: _kind(scorer) for name, scorer in scorers.items()}
    return {n: k for n, k in found.items() if k} if all(found.values()) else None


def _is_linear(cls: type) -> bool:
    """Whether ``predict`` is ``X @ coef_ + intercept_`` and ``score`` is r2."""
    return cls.__module__.startswith("sklearn.linear_model.") and cls.__name__ in _LINEAR


def _kind(scorer: Any) -> str | None:
    from sklearn.metrics import get_scorer

    if type(scorer).__name__ == "_PassthroughScorer":
        return "r2"
    for name, kind in _SCORERS.items():
        known = get_scorer(name)
        if type(scorer) is type(known) and vars(scorer) == vars(known):
            return kind
    return None


def linear_scores(
    estimator: Any, kinds: Mapping[str, str], held: CrossMoments
) -> dict[str, float] | None:
    """Scores of a fitted linear regression.

    Parameters
    ----------
    estimator : object
        With ``coef_`` of (n_features,) and ``intercept_``.
    kinds : mapping of str to str
        From `kinds_of`.
    held : CrossMoments
        Of the held-out rows and their target.

    Returns
    -------
    dict of str to float, or None
        None where the sums cancel too far, or the target is not one column.

    Notes
    -----
    Relative error of a sum of squares: below 1e-10, against the source's own below 1e-13.
    """
    coef = np.asarray(estimator.coef_, np.float64)
    if not held.flat or coef.ndim != 1 or held.n_targets != 1 or held.rows < 2:
        return None
    both = np.append(coef, -1.0)
    size = np.abs(both) * np.sqrt(np.maximum(np.diag(held.scatter), 0.0))
    apart = float(both @ held.shift + both @ held.apart + estimator.intercept_)
    off = float(np.abs(both) @ np.abs(held.mean) + abs(estimator.intercept_))
    errors = float(both @ held.scatter @ both) + held.weight * apart**2
    noise = _ROUNDING * (size.sum() ** 2 + held.weight * off * (abs(apart) + _ROUNDING * off))
    total = float(held.scatter[-1, -1])
    if not (errors > 0 and total > 0 and noise <= _DIGITS * min(errors, total)):
        return None
    values = {
        "r2": 1.0 - errors / total,
        "mse": -errors / held.weight,
        "rmse": -float(np.sqrt(errors / held.weight)),
    }
    return {name: values[kind] for name, kind in kinds.items()}
