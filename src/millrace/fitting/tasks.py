"""Running solvers until all of them wait, then one sweep for all, until none waits."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from millrace.errors import FitError, MillraceError, NotStreamableError
from millrace.fitting.ways import Allowed, Way, ways
from millrace.solvers.registry import Decline, lookup
from millrace.solvers.rows import Ask, Fit, Fitted, Request


class Answers(Protocol):
    """Whoever reads the data for requests that wait (see `engine.Engine`)."""

    def answer(self, asks: Sequence[Ask]) -> Sequence[Any]:
        """One sweep: the answer to every request, in their order."""
        ...


@dataclass
class Task:
    """One estimator that is being fitted.

    Attributes
    ----------
    request : Fit
    way : Way
        How it is fitted: by its solver, by ``partial_fit`` ...
    also : list
        Equal estimators that get the same attributes.
    waits_for : list of Request
        What it yielded last; `single` where it was not a list.
    answers : dict
        Position in `waits_for` -> the answer that has come.
    done : Fitted, optional
    """

    request: Fit
    left: list[Way]
    generator: Generator[Any, Any, Mapping[str, Any]]
    also: list[Any] = field(default_factory=list)
    waits_for: list[Request] = field(default_factory=list)
    answers: dict[int, Any] = field(default_factory=dict)
    single: bool = False
    begun: bool = False
    done: Fitted | None = None

    @property
    def way(self) -> Way:
        return self.left[0]


@dataclass(frozen=True)
class After:
    """A request that can only be made once another estimator is fitted.

    Attributes
    ----------
    first : Fit
    then : callable
        Makes the request.
    """

    first: Fit
    then: Callable[[], Fit]


class Tasks:
    """All estimators of one call, each pair of parameters and rows once."""

    def __init__(self, allowed: Allowed, notes: list[tuple[str, str, str]]) -> None:
        self._tasks: dict[str, Task] = {}
        self.allowed = allowed
        self._notes = notes

    def add(self, request: Fit) -> Task:
        """The task that fits what is asked for; an equal one is shared."""
        if (task := self._tasks.get(request.key)) is not None:
            if all(request.step is not one for one in (task.request.step, *task.also)):
                task.also.append(request.step)
                if task.done is not None:
                    _copy_attributes(task.request.step, request.step)
            return task
        left = ways(request.step, request.rows, self.allowed)
        task = Task(request, left, left[0].begin(request.step, request.rows))
        self._tasks[request.key] = task
        if lookup(type(request.step)) is None and left[0].notable:
            self._note(task, "there is no solver for it")
        return task

    def run(self, requests: Sequence[Fit | After], engine: Answers) -> None:
        """Fit all; the requests' estimators are changed in place."""
        later = [(self.add(r.first), r) for r in requests if isinstance(r, After)]
        top = [self.add(r) for r in requests if isinstance(r, Fit)]
        while later or any(t.done is None for t in top):
            self._advance()
            if ready := [r for first, r in later if first.done is not None]:
                later = [(first, r) for first, r in later if first.done is None]
                top += [self.add(r.then()) for r in ready]
                self._advance()
            waiting = [
                (task, at, request)
                for task in self._tasks.values()
                if task.done is None
                for at, request in enumerate(task.waits_for)
                if isinstance(request, Ask) and at not in task.answers
            ]
            if waiting:
                answers = engine.answer([request for _, _, request in waiting])
                for (task, at, _), answer in zip(waiting, answers, strict=True):
                    task.answers[at] = answer

    def _advance(self) -> None:
        """Run every task until it waits for the data."""
        moved = True
        while moved:
            moved = False
            for task in list(self._tasks.values()):
                if task.done is None and self._is_ready(task):
                    self._step(task)
                    moved = True

    def _is_ready(self, task: Task) -> bool:
        return all(
            self._tasks[r.key].done is not None if isinstance(r, Fit) else at in task.answers
            for at, r in enumerate(task.waits_for)
        )

    def _step(self, task: Task) -> None:
        answers = [
            self._fitted(r) if isinstance(r, Fit) else task.answers[at]
            for at, r in enumerate(task.waits_for)
        ]
        task.answers = {}
        try:
            if not task.begun:
                task.begun = True
                wanted = next(task.generator)
            else:
                wanted = task.generator.send(answers[0] if task.single else answers)
        except StopIteration as stop:
            self._finish(task, stop.value)
            return
        except Decline as decline:
            self._next_way(task, decline.reason)
            return
        task.single = isinstance(wanted, (Ask, Fit))
        task.waits_for = [wanted] if isinstance(wanted, (Ask, Fit)) else list(wanted)
        if refused := _refused(task.waits_for):
            self._next_way(task, refused)
            return
        for request in task.waits_for:
            if isinstance(request, Fit):
                self.add(request)

    def _fitted(self, request: Fit) -> Fitted:
        """The answer to a request for an estimator, with the asker's own object in it."""
        return Fitted(request.step, request)

    def _next_way(self, task: Task, reason: str) -> None:
        step, rows = task.request.step, task.request.rows
        name = type(step).__name__
        if len(task.left) == 1:
            raise NotStreamableError.of(rows.path, name, reason, _needed(rows))
        task.left = task.left[1:]
        self._note(task, reason)
        task.generator = task.way.begin(step, rows)
        task.begun, task.waits_for, task.answers = False, [], {}

    def _note(self, task: Task, reason: str) -> None:
        step, path = task.request.step, task.request.rows.path
        self._notes.append((path, type(step).__name__, f"{task.way.name}, because {reason}"))

    def _finish(self, task: Task, attributes: Mapping[str, Any]) -> None:
        request = task.request
        set_attributes(request.step, request, attributes)
        for other in task.also:
            _copy_attributes(request.step, other)
        task.done = Fitted(request.step, request)


def _needed(rows: Any) -> int | None:
    return None if rows.n_rows is None or rows.width is None else 8 * rows.n_rows * rows.width


def _refused(requests: Sequence[Ask | Fit]) -> str | None:
    """Why one of the statistics cannot be asked of its rows."""
    asks = (r for r in requests if isinstance(r, Ask))
    return next((why for a in asks if (why := a.statistic.declines(a.rows.width))), None)


def set_attributes(estimator: Any, request: Fit, attributes: Mapping[str, Any]) -> None:
    """Set what a solver returned, and the names and number of the columns, on the user's object."""
    for name, value in attributes.items():
        try:
            setattr(estimator, name, value)
        except AttributeError as error:
            raise FitError.at(request.rows.path, type(estimator).__name__, error) from error
    rows, cls = request.rows, type(estimator)
    if not _takes_table(estimator):
        return
    if "n_features_in_" not in attributes and not hasattr(cls, "n_features_in_") and rows.width:
        estimator.n_features_in_ = rows.width
    if "feature_names_in_" not in attributes and not hasattr(cls, "feature_names_in_"):
        if rows.names is not None:
            estimator.feature_names_in_ = np.asarray(rows.names, object)
        elif "feature_names_in_" in vars(estimator):
            del estimator.feature_names_in_


def _takes_table(estimator: Any) -> bool:
    try:
        return bool(estimator.__sklearn_tags__().input_tags.two_d_array)
    except (AttributeError, MillraceError):
        return False


def _copy_attributes(fitted: Any, other: Any) -> None:
    params = set(other.get_params(deep=False)) if hasattr(other, "get_params") else set()
    for name, value in vars(fitted).items():
        if name not in params:
            setattr(other, name, value)
