"""Permutation importance: how much worse the model gets when one column is shuffled.

Breiman (2001), computed on held-out rows with the compiled model.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from millrace.runtime.model import CompiledModel
from millrace.statistics.collect import Collected
from millrace.training.look import Looked
from millrace.training.metrics import Task, aligned, loss
from millrace.training.result import Importance

REPEATS = 5


def importances(model: CompiledModel, looked: Looked, sample: Collected) -> list[Importance]:
    """The loss that shuffling adds, for every column that is used; largest first.

    Log loss for classes, root mean squared error for numbers. All parts of a date are shuffled as one.
    """
    columns: dict[str, list[str]] = {}
    for role in (looked.roles[i] for i in looked.used):
        columns.setdefault(role.date or role.column, []).append(role.column)
    names = [looked.roles[i].column for i in looked.used]
    frame, y = sample.X[names], np.asarray(sample.y)
    before = _loss(model, looked.task, frame, y, looked.classes)
    rng = np.random.default_rng(0)
    orders = [rng.permutation(len(frame)) for _ in range(REPEATS)]
    found: list[Importance] = []
    for column, parts in columns.items():
        added: list[float] = []
        for order in orders:
            shuffled = frame.copy(deep=False)
            for part in parts:
                shuffled[part] = frame[part].take(order).set_axis(frame.index)
            added.append(_loss(model, looked.task, shuffled, y, looked.classes) - before)
        found.append(Importance(column, float(np.mean(added)), float(np.std(added))))
    return sorted(found, key=lambda i: -i.mean)


def _loss(model: CompiledModel, task: Task, frame: Any, y: np.ndarray, classes: Any) -> float:
    answers = {"predict": model.predict(frame)}
    if task != "regression":
        answers["predict_proba"] = aligned(model.predict_proba(frame), model.classes_, classes)
    return loss(task, y, answers, classes)
