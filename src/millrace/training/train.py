"""``millrace.train``: look, choose, fit two candidates, compare, compile, verify."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np

from millrace.compiler.build import compile
from millrace.data import Table, scan
from millrace.errors import ColumnTypeError, FitError
from millrace.fitting.engine import Progress
from millrace.fitting.fit import Session, session
from millrace.fitting.report import keep_report
from millrace.fitting.scoring import Predicted, predictions
from millrace.fitting.sweep import now
from millrace.runtime.model import CompiledModel
from millrace.solvers.rows import Ask, Fit
from millrace.statistics.collect import Collected
from millrace.statistics.sample import Sample
from millrace.training.importance import importances
from millrace.training.look import Looked, look
from millrace.training.metrics import BETTER, aligned, difference, metrics
from millrace.training.opening import (
    HELD,
    HeldOut,
    Opened,
    missing_targets,
    not_dates,
    opened,
)
from millrace.training.pipelines import candidates
from millrace.training.result import Candidate, TrainResult

SAMPLE = 2_000
"""Held-out rows that the permutation importance and the histograms of long columns use."""


@runtime_checkable
class Stages(Protocol):
    """A `Progress` that is also told which stage begins."""

    def stage(self, name: str) -> None:
        """A stage begins."""
        ...


def train(
    table: Any,
    target: str,
    *,
    task: str = "auto",
    test_fraction: float = 0.2,
    memory: str | int | None = None,
    random_state: int = 0,
    drop: Sequence[str] = (),
    drop_missing_target: bool = False,
    progress: bool | Progress = True,
) -> TrainResult:
    """Fit a linear model and a boosted forest out of core, keep the better one, compiled.

    Parameters
    ----------
    table : Table or table-like
        What `millrace.scan` takes, with column names.
    target : str
        The column to predict. Other columns are used by their type, dates as year, month, day, weekday,
        hour and days since 1970; constants and identifiers are left out, and the result says why.
    task : {"auto", "classification", "regression"}
        By default classification where the target has words, truth values or at most 20 whole numbers.
    test_fraction : float
        Share of the rows that are held out for the comparison, by a hash of their number; of every class
        evenly.
    memory : str or int, optional
        As of `millrace.fit`.
    random_state : int
        Of the split and of the forest.
    drop : sequence of str
        Columns to leave out.
    drop_missing_target : bool
        Leave out rows without a target; else they are an error.
    progress : bool or Progress
        As of `millrace.fit`; one with a method ``stage`` is told the stages too.

    Returns
    -------
    TrainResult

    Raises
    ------
    FitError
        The target is absent, has missing values or one value; no column is left to learn from.
    MissingColumnsError, FileInputError, MemoryBudgetError
    VerificationError
        The compiled model does not answer as the fitted one does.
    """
    if not 0.01 <= test_fraction <= 0.5:
        raise ValueError(f"test_fraction must lie between 0.01 and 0.5, got {test_fraction}")
    target = str(target)
    source, left = scan(table), [str(c) for c in drop]
    start = opened(source, target, left, drop_missing_target)
    try:
        return _trained(start, target, task, test_fraction, memory, random_state, progress)
    except ColumnTypeError:
        words = not_dates(start)
        if not words:
            raise
    start = opened(source, target, left, drop_missing_target, words)
    return _trained(start, target, task, test_fraction, memory, random_state, progress)


def _trained(
    start: Opened,
    target: str,
    task: str,
    test_fraction: float,
    memory: str | int | None,
    random_state: int,
    progress: bool | Progress,
) -> TrainResult:
    """Train on a table that was opened."""
    given, clock = start.table, _Clock(progress)
    held = HeldOut(test_fraction, random_state)
    with session(given, target, folds=cast(Any, held), memory=memory, progress=progress) as run:
        with clock.stage("look at the columns"):
            looked = _look(run, start, target, task)
        if looked.classes is not None:
            held.stratify()
        found = candidates(looked, random_state)
        with clock.stage("fit both candidates"):
            rows = replace(run.data.rows().chosen(looked.used), left_out=HELD)
            fits = {name: Fit(pipeline, rows.at(name)) for name, pipeline in found.items()}
            run.fit(list(fits.values()))
        with clock.stage("compare on held-out rows"):
            tried, y, sample = _compare(run, fits, looked, test_fraction)
    best = tried[0]
    with clock.stage("compile and verify"):
        few = sample.X.iloc[:, list(looked.used)]
        dates = {name: d for name, d in start.dates.items() if name in few.columns}
        model = compile(best.estimator, sample=few, derived=dates)
    with clock.stage("measure the columns"):
        scored = importances(model, looked, sample)
    result = TrainResult(
        given.describe_source(), looked.target.name, looked.task, model, best.estimator, tried,
        looked.profiles, looked.roles, looked.target, looked.classes, y, scored, sample.X,
        _baseline(looked, y), _difference(looked, tried, y), run.report, clock.seconds,
        _notes(looked, run, start, model),
    )  # fmt: skip
    training = _provenance(result, given, test_fraction, random_state)
    model.info = replace(model.info, provenance={**model.info.provenance, "training": training})
    keep_report(best.estimator, run.report)
    return result


def _look(run: Session, start: Opened, target: str, task: str) -> Looked:
    """The first sweep; where it is refused for missing targets, the error counts them all."""
    try:
        return look(run, target, task, start.dates)
    except FitError as error:
        missing, total = missing_targets(start.table, target)
        if missing == 0 or missing == total:
            raise
        raise FitError(
            f"Column {target!r} has no value in {missing:,} of {total:,} rows. Fill it, or leave these "
            f"rows out: drop_missing_target=True, on the command line --drop-missing-target."
        ) from error


def _compare(
    run: Session, fits: dict[str, Fit], looked: Looked, test_fraction: float
) -> tuple[list[Candidate], np.ndarray, Any]:
    """Predict the held-out rows with every candidate: the better one comes first."""
    methods = ("predict",) if looked.classes is None else ("predict", "predict_proba")
    rows = replace(run.data.rows(), only=HELD)
    asks = [predictions(fit, methods, only=HELD) for fit in fits.values()]
    most = round(SAMPLE / test_fraction)  # a sample counts on rows of all parts
    *found, sample = run.engine.answer([*asks, Ask(rows, Sample(most, raw=True))])
    tried: list[Candidate] = []
    answered: list[Predicted] = found
    y = np.asarray(answered[0].y)
    for (name, fit), predicted in zip(fits.items(), answered, strict=True):
        answers = dict(predicted.answers)
        if looked.classes is not None:
            own = fit.step.classes_
            answers["predict_proba"] = aligned(answers["predict_proba"], own, looked.classes)
        scored = metrics(looked.task, y, answers, looked.classes)
        tried.append(Candidate(name, fit.step, scored, answers))
    tried.sort(key=lambda c: c.metric(BETTER[looked.task]).value)
    return tried, y, _fewer(sample.collected())


def _fewer(sample: Collected) -> Collected:
    if len(sample.X) <= SAMPLE:
        return sample
    at = np.sort(np.random.default_rng(0).choice(len(sample.X), SAMPLE, replace=False))
    return Collected(sample.X.iloc[at].reset_index(drop=True), np.asarray(sample.y)[at], None)


def _baseline(looked: Looked, y: np.ndarray) -> Candidate:
    """What a model without columns would do: the shares of the classes, or the mean."""
    if looked.classes is None:
        answers = {"predict": np.full(len(y), looked.target.mean)}
        return Candidate("mean alone", None, metrics("regression", y, answers), answers)
    counts = looked.target.counts or {}
    shares = np.array([counts[c] for c in looked.classes.tolist()]) / looked.target.n
    answers = {
        "predict": np.full(len(y), looked.classes[np.argmax(shares)]),
        "predict_proba": np.tile(shares, (len(y), 1)),
    }
    found = metrics(looked.task, y, answers, looked.classes)
    return Candidate("class shares alone", None, found, answers)


def _difference(looked: Looked, tried: Sequence[Candidate], y: np.ndarray) -> Any:
    return difference(looked.task, y, tried[0].answers, tried[1].answers, looked.classes)


def _notes(looked: Looked, run: Session, start: Opened, model: CompiledModel) -> list[str]:
    """What a person should know: rows left out, steps that fell back."""
    notes = [f"{c}: not read, columns of type {kind} are not supported" for c, kind in start.nested]
    notes += [f"{c}: taken for words, not for dates. {why}" for c, why in start.words.items()]
    counted = start.counted
    if counted is not None and (left := counted.n_given - looked.target.n):
        notes.append(f"{left:,} of {counted.n_given:,} rows are left out: they have no target")
    if looked.task == "multiclass":
        notes += _rare(looked)
    notes += [f"{path or name}: fitted {text}" for path, name, text in run.report.notes]
    notes += [
        f"{path}: {status}, {reason}"
        for path, _, status, reason in model.info.steps
        if status != "native"
    ]
    return notes


def _rare(looked: Looked, few: int = 10) -> list[str]:
    counts = looked.target.counts or {}
    rare = sorted(str(c) for c, n in counts.items() if n < few)
    if not rare:
        return []
    listed = ", ".join(rare[:5]) + (f" and {len(rare) - 5} more" if len(rare) > 5 else "")
    return [f"classes with fewer than {few} rows: {listed}; what is said of them is uncertain"]


def _provenance(
    result: TrainResult, table: Table, test_fraction: float, random_state: int
) -> dict[str, Any]:
    """What the model file remembers of the training: plain values."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "source": result.source,
        "fingerprint": table.identity(),
        "rows": result.target_profile.n,
        "held_out_rows": len(result.y),
        "test_fraction": test_fraction,
        "random_state": random_state,
        "target": result.target,
        "task": result.task,
        "model": result.best.name,
        "scores": {m.name: [m.value, m.low, m.high] for m in result.best.metrics},
    }


class _Clock:
    """Seconds by stage."""

    def __init__(self, progress: object) -> None:
        self.seconds: dict[str, float] = {}
        self._told = progress if isinstance(progress, Stages) else None

    @contextmanager
    def stage(self, name: str) -> Generator[None]:
        """Time a stage."""
        begun = now()
        if self._told is not None:
            self._told.stage(name)
        yield
        self.seconds[name] = now() - begun
