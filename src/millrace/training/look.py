"""The first sweep: what every column holds, what part it plays, what kind of task the target makes."""

# pyarrow ships no types.
# pyright: reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from millrace.data.derive import Derived
from millrace.errors import FitError
from millrace.fitting.fit import Session
from millrace.statistics.profile import ColumnProfile, Profile, is_number
from millrace.training.metrics import Task
from millrace.training.roles import Role, roles_of

FEW_CLASSES = 20
"""A target of whole numbers with at most so many values is taken for classes."""


MOST_CLASSES = 1000
"""A forest grows a tree a class in every round."""


@dataclass(frozen=True)
class Looked:
    """What the first sweep told.

    Attributes
    ----------
    profiles, roles : tuple
        One a column.
    target : ColumnProfile
    task : {"binary", "multiclass", "regression"}
    classes : numpy.ndarray, optional
        (n_classes,), sorted.
    """

    profiles: tuple[ColumnProfile, ...]
    roles: tuple[Role, ...]
    target: ColumnProfile
    task: Task
    classes: Any

    @property
    def used(self) -> tuple[int, ...]:
        """Positions of the columns that are learned from: not dates, but their parts."""
        unused = ("left out", "date")
        return tuple(i for i, role in enumerate(self.roles) if role.part not in unused)


def look(run: Session, target: str, wanted: str, dates: Mapping[str, Derived]) -> Looked:
    """Profile all columns and choose their roles and the task.

    Parameters
    ----------
    run : Session
    target : str
    wanted : {"auto", "classification", "regression"}
        The task.
    dates : mapping of str to Derived
        Columns that are parts of dates.

    Raises
    ------
    FitError
        The target makes no task, or no column is left.
    """
    rows = run.data.rows()
    profiles, of_target = run.engine.answer([rows.ask(Profile()), rows.ask(Profile(part="target"))])
    profile = replace(of_target[0], name=target)
    task = task_of(profile, wanted)
    roles = roles_of(profiles, dates)
    if all(r.part == "left out" for r in roles):
        listed = "; ".join(f"{r.column}: {r.note}" for r in roles)
        raise FitError(f"No column is left to learn from: {listed}.")
    return Looked(profiles, roles, profile, task, _classes(profile, task))


def _classes(target: ColumnProfile, task: Task) -> Any:
    return None if task == "regression" else np.unique(np.asarray(list(target.counts or ())))


def task_of(target: ColumnProfile, wanted: str) -> Task:
    """The task that a target makes.

    Parameters
    ----------
    wanted : {"auto", "classification", "regression"}

    Raises
    ------
    FitError
        It is of a kind that cannot be predicted, has one value, or too many to be classes.
    """
    if wanted not in ("auto", "classification", "regression"):
        raise ValueError(f"task is 'auto', 'classification' or 'regression', got {wanted!r}")
    number = is_number(target.type) and not pa.types.is_decimal(target.type)
    if not (number or pa.types.is_string(target.type)):
        raise FitError(
            f"Column {target.name!r} holds {target.type}; a target has to hold numbers, texts or "
            f"truth values."
        )
    if wanted == "regression" and not number:
        raise FitError(
            f"Regression needs a target of numbers; column {target.name!r} holds {target.type}."
        )
    if target.distinct == 1:
        raise FitError.one_class("A model", next(iter(target.counts or ()), None))
    if wanted == "regression" or (wanted == "auto" and number and not _few(target)):
        return "regression"
    if target.counts is None or len(target.counts) > MOST_CLASSES:
        raise FitError(
            f"Column {target.name!r} has too many different values to be classes (at most "
            f"{MOST_CLASSES:,}); for identifiers choose another target, for numbers pass "
            f"task='regression'."
        )
    if number and not _whole(target.counts):
        raise FitError(
            f"Column {target.name!r} holds fractions, which are no classes; pass task='regression'."
        )
    return "binary" if len(target.counts) == 2 else "multiclass"


def _few(target: ColumnProfile) -> bool:
    """Whether numbers are few whole ones."""
    if target.counts is None or len(target.counts) > FEW_CLASSES:
        return False
    return _whole(target.counts)


def _whole(values: Iterable[Any]) -> bool:
    return all(float(v).is_integer() for v in values)
