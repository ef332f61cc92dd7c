"""CatBoost's classifiers and regressors, in memory: it has no way to read its rows in parts."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

from millrace.solvers._own_fit import Steps, installed, learned
from millrace.solvers.registry import Example, solves
from millrace.solvers.rows import Rows
from millrace.statistics.collect import Collect

_QUIET = 1 << 30
"""Bytes of rows below which nothing is said of them."""


@solves("catboost.CatBoostClassifier", "catboost.CatBoostRegressor", weight=True)
def catboost(estimator: Any, rows: Rows) -> Steps:
    """One sweep that collects the rows; warns where they take more than 1 GB."""
    from sklearn.base import clone

    needed = 8 * (rows.n_rows or 0) * (rows.width or 0)
    if needed > _QUIET:
        warnings.warn(
            f"{type(estimator).__name__} holds all rows in memory: about {needed / 1e9:.1f} GB.",
            ResourceWarning,
            stacklevel=2,
        )
    found = yield rows.ask(Collect())
    work: Any = clone(estimator)
    work.fit(found.X, found.y, sample_weight=found.weight)
    return learned(work)


def examples() -> Iterator[Example]:
    """Numbers."""
    if not installed("catboost"):
        return
    from catboost import CatBoostRegressor

    from millrace.solvers.sklearn.tree import few_values

    def numbers() -> Any:
        settings: dict[str, Any] = {
            "iterations": 5,
            "depth": 3,
            "thread_count": 1,
            "random_seed": 1,
        }
        quiet: dict[str, Any] = {"verbose": False, "allow_writing_files": False}
        return CatBoostRegressor(**settings, **quiet), *few_values("number")

    yield Example("CatBoostRegressor", numbers)
