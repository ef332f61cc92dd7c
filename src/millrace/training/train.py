"""``millrace.train``: look, choose, fit two candidates, compare, compile, verify."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from millrace.compiler.build import compile
from millrace.data import Table, scan
from millrace.data.splits import Folds
from millrace.errors import FitError
from millrace.fitting.engine import Progress
from millrace.fitting.fit import Session, session
from millrace.fitting.report import keep_report
from millrace.fitting.scoring import Predicted, predictions
from millrace.fitting.sweep import now
from millrace.runtime.model import CompiledModel
from millrace.solvers.rows import Ask, Fit, Fitted
from millrace.statistics.profile import ColumnProfile, Profile
from millrace.statistics.sample import Sample
from millrace.training.importance import importances
from millrace.training.metrics import BETTER, metrics
from millrace.training.pipelines import Task, candidates
from millrace.training.result import Candidate, TrainResult
from millrace.training.roles import Role, roles_of

SAMPLE = 2_000
"""Held-out rows that plots and the permutation importance use."""

FEW_CLASSES = 20
"""A target of whole numbers with at most so many values is taken for classes."""


def train(
    table: Any,
    target: str,
    *,
    task: str = "auto",
    test_fraction: float = 0.2,
    memory: str | int | None = None,
    random_state: int = 0,
    progress: bool | Progress = True,
) -> TrainResult:
    """Fit a linear model and a boosted forest out of core, keep the better one, compiled.

    Parameters
    ----------
    table : Table or table-like
        What `millrace.scan` takes, with column names.
    target : str
        The column to predict. Other columns are used by their type; constants and identifiers are not.
    task : {"auto", "classification", "regression"}
        By default classification where the target has words, truth values or at most 20 whole numbers.
    test_fraction : float
        Rows that are held out for the comparison, chosen by a hash of their number.
    memory : str or int, optional
        As of `millrace.fit`.
    random_state : int
    progress : bool or Progress

    Returns
    -------
    TrainResult

    Raises
    ------
    FitError
        The target is absent, has missing values, or only one class.
    """
    if not 0.01 <= test_fraction <= 0.5:
        raise ValueError(f"test_fraction must lie between 0.01 and 0.5, got {test_fraction}")
    opened = table if isinstance(table, Table) else scan(table)
    clock = _Clock()
    folds = Folds(max(2, round(1 / test_fraction)), seed=random_state)
    with session(opened, target, folds=folds, memory=memory, progress=progress) as run:
        with clock.stage("look at the columns"):
            looked = _look(run, target, task)
        found = candidates(looked.roles, looked.profiles, looked.task, random_state)
        with clock.stage("fit both candidates"):
            fits = {n: Fit(e, replace(run.data.rows(n), left_out=0)) for n, e in found.items()}
            fitted = dict(zip(fits, run.fit(list(fits.values())), strict=True))
        with clock.stage("predict the held-out rows"):
            tried, y, sample = _compare(run, fitted, looked)
    best = tried[0]
    with clock.stage("compile and verify"):
        model = compile(best.estimator, sample=sample.X)
    with clock.stage("measure the columns"):
        scored = importances(model, looked.task, sample, looked.roles, looked.classes)
    result = TrainResult(
        opened.describe_source(), target, looked.task, model, best.estimator, tried,
        looked.profiles, looked.roles, looked.target, looked.classes, y, scored, sample.X,
        run.report, clock.seconds, _notes(looked.roles, run, model),
    )  # fmt: skip
    keep_report(best.estimator, run.report)
    return result


@dataclass(frozen=True)
class _Looked:
    """What the first sweep told."""

    profiles: tuple[ColumnProfile, ...]
    target: ColumnProfile
    roles: tuple[Role, ...]
    task: Task
    classes: Any


def _look(run: Session, target: str, wanted: str) -> _Looked:
    """Profile all columns and choose their roles and the task."""
    rows = run.data.rows()
    profiles, of_target = run.engine.answer([rows.ask(Profile()), rows.ask(Profile(part="target"))])
    (profile,) = of_target
    profile = replace(profile, name=target)
    task = _task(profile, wanted)
    roles = roles_of(profiles)
    if all(r.part == "left out" for r in roles):
        listed = "; ".join(f"{r.column}: {r.note}" for r in roles)
        raise FitError(f"No column is left to learn from: {listed}.")
    classes = None if task == "regression" else np.unique(np.asarray(list(profile.counts or ())))
    return _Looked(profiles, profile, roles, task, classes)


def _task(target: ColumnProfile, wanted: str) -> Task:
    from millrace.statistics.profile import is_number

    numeric = is_number(target.type)
    if wanted not in ("auto", "classification", "regression"):
        raise ValueError(f"task is 'auto', 'classification' or 'regression', got {wanted!r}")
    if wanted == "regression" and not numeric:
        raise FitError(
            f"Regression needs a target of numbers; column {target.name!r} holds {target.type}."
        )
    whole = numeric and target.counts is not None and all(float(v).is_integer() for v in target.counts)
    few = target.distinct is not None and target.distinct <= FEW_CLASSES
    if wanted == "regression" or (wanted == "auto" and numeric and not (whole and few)):
        return "regression"
    if target.counts is None:
        raise FitError(
            f"Column {target.name!r} has too many different values to be classes; for identifiers "
            f"choose another target, for numbers pass task='regression'."
        )
    if len(target.counts) < 2:
        raise FitError.one_class("A classifier", next(iter(target.counts), None))
    return "binary" if len(target.counts) == 2 else "multiclass"


def _compare(
    run: Session, fitted: dict[str, Fitted], looked: _Looked
) -> tuple[list[Candidate], np.ndarray, Any]:
    """Predict the held-out rows with every candidate: the better one comes first."""
    methods = ("predict",) if looked.task == "regression" else ("predict", "predict_proba")
    held = replace(run.data.rows(), only=0)
    asks = [predictions(f.request, methods, only=0) for f in fitted.values()]
    *found, sample = run.engine.answer([*asks, Ask(held, Sample(SAMPLE, raw=True))])
    tried: list[Candidate] = []
    answered: list[Predicted] = found
    for (name, one), predicted in zip(fitted.items(), answered, strict=True):
        assert predicted.y is not None
        scored = metrics(looked.task, predicted.y, predicted.answers, looked.classes)
        tried.append(Candidate(name, one.estimator, scored, dict(predicted.answers)))
    measure = BETTER[looked.task]
    tried.sort(key=lambda c: c.metric(measure).value)
    y = answered[0].y
    assert y is not None
    return tried, y, sample.collected()


def _notes(roles: tuple[Role, ...], run: Session, model: CompiledModel) -> list[str]:
    """What a person should know: columns left out, steps that fell back."""
    notes = [f"{r.column}: left out, {r.note}" for r in roles if r.part == "left out"]
    notes += [f"{path or name}: fitted {text}" for path, name, text in run.report.notes]
    notes += [
        f"{path}: {status}, {reason}" for path, _, status, reason in model.info.steps if status != "native"
    ]
    return notes


class _Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Generator[None]:
        begun = now()
        yield
        self.seconds[name] = now() - begun


