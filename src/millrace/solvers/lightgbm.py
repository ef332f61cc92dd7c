"""LightGBM's classifiers and regressors: its own ``fit``, or its own training from a `Sequence`.

Rows that fit into a quarter of the budget are a matrix in memory, and the estimator's ``fit`` is called.
Others are read in parts through `lightgbm.Sequence`: the sample for its bins is the same by either way,
so the trees have the same bits. LightGBM keeps one byte a value of its own (`Dataset`) in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from millrace.solvers._own_fit import (
    PART,
    Steps,
    installed,
    is_mapped,
    learned,
    let_go,
    parts,
    spooled,
    taken,
)
from millrace.solvers.registry import Decline, Example, solves
from millrace.solvers.rows import Rows

_SINGLE = 1024
"""Rows that are read one by one before their pages are given back: each maps some pages around it."""


@solves("lightgbm.LGBMClassifier", "lightgbm.LGBMRegressor", weight=True)
def lightgbm(estimator: Any, rows: Rows) -> Steps:
    """Two sweeps, then a sample of the spooled rows and one read of them."""
    from sklearn.base import clone, is_classifier

    params = estimator.get_params()
    if any(params.get(name) for name in _STOPPING):
        raise Decline("early stopping needs an evaluation set, which only its own fit takes")
    X, y, target = yield from spooled(
        estimator, rows, labels=is_classifier(estimator), single=False
    )
    work: Any = clone(estimator)
    names = "auto" if rows.names is None else list(rows.names)
    if is_mapped(X) and not any(params.get(name) for name in _RAW):
        _fit_sequence(work, X, y, target.weight, names)
    else:
        work.fit(X, y, sample_weight=target.weight, feature_name=names)
    if rows.names is not None:
        work.booster_.pandas_categorical = []  # as of a data frame of numbers
    return learned(work)


_STOPPING = (
    "early_stopping_round",
    "early_stopping_rounds",
    "early_stopping",
    "n_iter_no_change",
)
"""The names of one parameter."""

_RAW = ("linear_tree", "linear_trees")
"""With this parameter the values are kept beside their bins, which a `Sequence` does not provide for."""


def _fit_sequence(
    work: Any, X: np.ndarray, y: np.ndarray, weight: np.ndarray | None, names: Any
) -> None:
    """What ``LGBMModel.fit`` (LightGBM 4.7) does without evaluation sets, from a `Sequence`."""
    import lightgbm
    from sklearn.base import is_classifier
    from sklearn.utils.class_weight import compute_sample_weight

    if is_classifier(work):
        y = _encoded(work, y)
    params = work._process_params(stage="fit")
    metric = params["metric"]
    listed = metric if isinstance(metric, list) else [metric]
    params["metric"] = [m for m in listed if m is not None]
    params = _seeded(params)
    if work._class_weight is None:
        work._class_weight = work.class_weight
    if work._class_weight is not None:
        own = compute_sample_weight(work._class_weight, y)
        weight = own if weight is None else np.multiply(weight, own)
    work._n_features_in = X.shape[1]
    data = lightgbm.Dataset(_sequence(X), label=y, weight=weight, feature_name=names, params=params)
    booster: Any = lightgbm.train(params, data, work.n_estimators)
    work._Booster = booster
    work._n_features = booster.num_feature()
    work._fitted_with_feature_names = data._has_non_default_feature_names
    work._evals_result = {}
    work._best_iteration = booster.best_iteration
    work._best_score = booster.best_score
    work.fitted_ = True
    booster.free_dataset()


def _seeded(params: dict[str, Any]) -> dict[str, Any]:
    """Parameters with the seed of the sample for bins, which a `Sequence` does not derive from ``seed``.

    It is the first number that LightGBM's generator (``utils/random.h``) draws from ``seed``.
    """
    given = [params.get(name) for name in ("seed", "random_seed", "random_state")]
    seed = next((int(s) for s in given if s is not None), None)
    own = any(params.get(name) is not None for name in ("data_random_seed", "data_seed"))
    if seed is None or own:
        return params
    drawn = (214013 * seed + 2531011 & 0xFFFFFFFF) >> 16 & 0x7FFF
    return {**params, "data_random_seed": drawn % 0x7FFF}


def _encoded(work: Any, y: np.ndarray) -> Any:
    """Labels as LGBMClassifier numbers them, and what it remembers of them."""
    from sklearn.preprocessing import LabelEncoder

    work._le = LabelEncoder().fit(y)
    classes: Any = work._le.classes_
    codes: Any = work._le.transform(classes)
    work._class_map = dict(zip(classes, codes, strict=True))
    if isinstance(work.class_weight, dict):
        work._class_weight = {work._class_map[k]: v for k, v in work.class_weight.items()}
    work._classes, work._n_classes = classes, len(classes)
    if work.objective is None:
        work._objective = None
    return work._le.transform(y)


def _sequence(X: np.ndarray) -> Any:
    """The rows as LightGBM reads them: one by one for its sample, then in parts."""
    from lightgbm import Sequence

    class Mapped(Sequence):
        def __init__(self) -> None:
            first = next(parts(X, PART))
            self.batch_size = first.stop - first.start
            self.single = 0

        def __len__(self) -> int:
            return len(X)

        def __getitem__(self, at: Any) -> np.ndarray:
            if isinstance(at, slice):
                return taken(X, at)
            self.single += 1
            if self.single % _SINGLE == 0:
                let_go(X)
            return np.array(X[at])

    return Mapped()


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
