"""XGBoost's classifiers and regressors: its own ``fit``, from a matrix or from external memory.

Rows that fit into a quarter of the budget are a matrix in memory: the same bits as XGBoost's own fit.
Others go through `xgboost.ExtMemQuantileDMatrix`, which reads them in parts and keeps one byte a value on
disk. It merges quantile sketches of the parts instead of taking one sketch of all rows: the same trees
where no column has more than ``max_bin`` distinct values, else trees of the same quality from bins that
may begin at slightly other values. (Absolute and quantile errors with ``subsample < 1`` are of the same
quality only: XGBoost refines their leaves over other rows where it holds several parts.)
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from millrace.solvers._own_fit import Steps, installed, is_mapped, learned, parts, spooled, taken
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
    """Two sweeps, and then as many reads of the spooled rows as XGBoost needs for its bins."""
    from sklearn.base import clone, is_classifier

    if estimator.booster == "gblinear" or estimator.tree_method in ("exact", "approx"):
        raise Decline("only tree_method='hist' keeps its rows as bytes")
    if estimator.early_stopping_rounds is not None:
        raise Decline("early stopping needs an evaluation set, which only its own fit takes")
    X, y, target = yield from spooled(estimator, rows, labels=is_classifier(estimator), single=True)
    work: Any = clone(estimator)
    on_cpu = str(estimator.device or "cpu") == "cpu"
    if is_mapped(X) and on_cpu:
        _fit_external(work, X, y, target.weight)
    else:
        work.fit(X, y, sample_weight=target.weight)
    if rows.names is not None:
        booster = work.get_booster()
        booster.feature_names = list(rows.names)
        booster.feature_types = [_TYPES[dtype.kind] for dtype in rows.head.dtypes]
    # `fit` changes this parameter, for several classes.
    return {**learned(work), "objective": work.objective}


_TYPES = {"i": "int", "u": "int", "f": "float", "b": "i"}
"""XGBoost's names for the dtypes of a data frame, by NumPy's kind."""


def _fit_external(work: Any, X: np.ndarray, y: np.ndarray, weight: np.ndarray | None) -> None:
    """The estimator's own ``fit``, with a matrix in external memory where it would make one in memory.

    `fit` alone knows how parameters, objectives and labels go together; it makes its matrix by a method
    that subclasses may override, here overridden on one object.
    """
    from xgboost import ExtMemQuantileDMatrix

    with tempfile.TemporaryDirectory(prefix="millrace-") as folder:

        def matrix(ref: Any, *, label: Any, missing: float, **given: Any) -> Any:
            made: Any = ExtMemQuantileDMatrix(
                _batches(X, np.asarray(label), given.pop("weight"), os.path.join(folder, "pages")),
                missing=missing,
                nthread=work.n_jobs,
                max_bin=work.max_bin,
                ref=ref,
            )
            if given["feature_weights"] is not None:
                made.set_info(feature_weights=given["feature_weights"])
            return made

        work._create_dmatrix = matrix
        try:
            # A row for the checks of `fit`; the rows themselves come from the batches.
            work.fit(X[:1], y, sample_weight=weight)
        finally:
            del work._create_dmatrix


def _batches(X: np.ndarray, label: np.ndarray, weight: np.ndarray | None, prefix: str) -> Any:
    """The rows as XGBoost iterates them: copies of some rows at a time."""
    from xgboost import DataIter

    class Batches(DataIter):
        def __init__(self) -> None:
            self.left = parts(X)
            super().__init__(cache_prefix=prefix, release_data=True)

        def reset(self) -> None:
            self.left = parts(X)

        def next(self, input_data: Any) -> bool:
            at = next(self.left, None)
            if at is not None:
                own = None if weight is None else weight[at]
                input_data(data=taken(X, at), label=label[at], weight=own)
            return at is not None

    return Batches()


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
