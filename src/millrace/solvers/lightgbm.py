"""LightGBM's classifiers and regressors: its own ``fit`` on mapped rows, the same bits.

LightGBM keeps one byte a value of its own (`Dataset`); the rows stay on disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from millrace.solvers._own_fit import Steps, installed, learned, spooled
from millrace.solvers.registry import Example, solves
from millrace.solvers.rows import Rows


@solves("lightgbm.LGBMClassifier", "lightgbm.LGBMRegressor", weight=True)
def lightgbm(estimator: Any, rows: Rows) -> Steps:
    """Two sweeps, and then as many reads of the mapped rows as LightGBM needs to bin them (two)."""
    from sklearn.base import clone, is_classifier

    X, y, target = yield from spooled(
        estimator, rows, labels=is_classifier(estimator), single=False
    )
    work: Any = clone(estimator)
    names = "auto" if rows.names is None else list(rows.names)
    work.fit(X, y, sample_weight=target.weight, feature_name=names)
    return learned(work)


def examples() -> Iterator[Example]:
    """Several classes, and numbers."""
    if not installed("lightgbm"):
        return
    from lightgbm import LGBMClassifier, LGBMRegressor

    from millrace.solvers.sklearn.tree import few_values

    fixed: dict[str, Any] = {"n_estimators": 5, "num_leaves": 7, "n_jobs": 1, "verbose": -1}

    def classes() -> Any:
        return LGBMClassifier(**fixed), *few_values("binary", True)

    def numbers() -> Any:
        return LGBMRegressor(**fixed), *few_values("number")

    yield Example("LGBMClassifier", classes, weight=True)
    yield Example("LGBMRegressor", numbers)
