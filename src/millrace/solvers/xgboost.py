"""XGBoost's classifiers and regressors: its own ``fit`` on mapped rows, the same bits.

XGBoost keeps one byte a value of its own (`QuantileDMatrix`); the rows stay on disk, as float32, which is
what it rounds them to.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from millrace.solvers._own_fit import Steps, installed, learned, spooled
from millrace.solvers.registry import Decline, Example, solves
from millrace.solvers.rows import Rows


@solves(
    "xgboost.XGBClassifier",
    "xgboost.XGBRegressor",
    "xgboost.XGBRFClassifier",
    "xgboost.XGBRFRegressor",
    weight=True,
)
def xgboost(estimator: Any, rows: Rows) -> Steps:
    """Two sweeps, and then as many reads of the mapped rows as XGBoost needs to bin them (two)."""
    from sklearn.base import clone, is_classifier

    if estimator.booster == "gblinear" or estimator.tree_method in ("exact", "approx"):
        raise Decline("only tree_method='hist' keeps its rows as bytes")
    X, y, target = yield from spooled(estimator, rows, labels=is_classifier(estimator), single=True)
    work: Any = clone(estimator)
    work.fit(X, y, sample_weight=target.weight)
    if rows.names is not None:
        work.get_booster().feature_names = list(rows.names)
    return learned(work)


def examples() -> Iterator[Example]:
    """Two classes, several, and numbers."""
    if not installed("xgboost"):
        return
    from xgboost import XGBClassifier, XGBRegressor

    from millrace.solvers.sklearn.tree import few_values

    def classes() -> Any:
        X, y = few_values("many", True)
        return XGBClassifier(n_estimators=5, max_depth=3, n_jobs=1), X, y

    def numbers() -> Any:
        X, y = few_values("number")
        return XGBRegressor(n_estimators=5, subsample=0.5, n_jobs=1, random_state=1), X, y

    yield Example("XGBClassifier", classes, weight=True)
    yield Example("XGBRegressor", numbers)
