"""Permutation importance: how much worse the model gets when one column is shuffled.

Breiman (2001), computed on held-out rows with the compiled model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from millrace.runtime.model import CompiledModel
from millrace.statistics.collect import Collected
from millrace.training.pipelines import Task
from millrace.training.result import Importance
from millrace.training.roles import Role

REPEATS = 5


def importances(
    model: CompiledModel, task: Task, sample: Collected, roles: Sequence[Role], classes: Any
) -> list[Importance]:
    """The loss that shuffling adds, for every column that the model reads; largest first.

    Log loss for classes, root mean squared error for numbers.
    """
    frame, y = sample.X, sample.y
    before = _loss(model, task, frame, y, classes)
    rng = np.random.default_rng(0)
    orders = [rng.permutation(len(frame)) for _ in range(REPEATS)]
    found: list[Importance] = []
    for role in roles:
        if role.part == "left out":
            continue
        added = []
        for order in orders:
            shuffled = frame.copy(deep=False)
            shuffled[role.column] = frame[role.column].to_numpy()[order]
            shuffled[role.column] = shuffled[role.column].astype(frame[role.column].dtype)
            added.append(_loss(model, task, shuffled, y, classes) - before)
        found.append(Importance(role.column, float(np.mean(added)), float(np.std(added))))
    return sorted(found, key=lambda i: -i.mean)


def _loss(model: CompiledModel, task: Task, frame: Any, y: Any, classes: Any) -> float:
    from sklearn.metrics import log_loss, root_mean_squared_error

    if task == "regression":
        return float(root_mean_squared_error(y, model.predict(frame)))
    return float(log_loss(y, model.predict_proba(frame), labels=classes))
