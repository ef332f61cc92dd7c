"""Permutation importance: how much worse the model gets when one column is shuffled.

Breiman (2001), computed on held-out rows with the compiled model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from millrace.runtime.model import CompiledModel
from millrace.statistics.collect import Collected
from millrace.training.metrics import aligned, loss
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
    frame, y = sample.X, np.asarray(sample.y)
    before = _loss(model, task, frame, y, classes)
    rng = np.random.default_rng(0)
    orders = [rng.permutation(len(frame)) for _ in range(REPEATS)]
    found: list[Importance] = []
    for column in (r.column for r in roles if r.part != "left out"):
        added: list[float] = []
        for order in orders:
            shuffled = frame.copy(deep=False)
            shuffled[column] = frame[column].take(order).set_axis(frame.index)
            added.append(_loss(model, task, shuffled, y, classes) - before)
        found.append(Importance(column, float(np.mean(added)), float(np.std(added))))
    return sorted(found, key=lambda i: -i.mean)


def _loss(model: CompiledModel, task: Task, frame: Any, y: np.ndarray, classes: Any) -> float:
    answers = {"predict": model.predict(frame)}
    if task != "regression":
        answers["predict_proba"] = aligned(model.predict_proba(frame), model.classes_, classes)
    return loss(task, y, answers, classes)
