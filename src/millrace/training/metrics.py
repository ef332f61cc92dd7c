"""Metrics of held-out rows, each with a confidence interval."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from millrace.training.resample import Confusion, Ranking, Weighted, mean_of, r2_of, root_mean_of

Task = Literal["binary", "multiclass", "regression"]

RESAMPLES, MOST = 200, 20_000
"""Bootstrap samples, and most rows of one; an interval from fewer rows than there are is narrowed."""

LEVEL = 0.95

BETTER = {"binary": "log loss", "multiclass": "log loss", "regression": "RMSE"}
"""What candidates are compared by: smaller is better."""

LOWER = frozenset({"log loss", "RMSE", "mean absolute error", "Brier score"})
"""Metrics of which a smaller value is better."""


@dataclass(frozen=True)
class Metric:
    """A metric on held-out rows.

    Attributes
    ----------
    value : float
    low, high : float
        A 95 % bootstrap interval; NaN where no sample had a value.
    """

    name: str
    value: float
    low: float
    high: float


def metrics(
    task: Task, y: np.ndarray, answers: Mapping[str, np.ndarray], classes: Any = None
) -> list[Metric]:
    """All metrics of a task, with percentile bootstrap intervals.

    Parameters
    ----------
    y : numpy.ndarray
        (n_samples,), labels or numbers.
    answers : mapping
        ``predict`` (n_samples,), and ``predict_proba`` (n_samples, n_classes) of classifiers.
    classes : numpy.ndarray, optional
        (n_classes,), sorted; a column of probabilities each.
    """

    def of(rows: Any) -> dict[str, Weighted]:
        return _functions(task, y[rows], {m: a[rows] for m, a in answers.items()}, classes)

    return _with_intervals(of, len(y))


def loss(
    task: Task, y: np.ndarray, answers: Mapping[str, np.ndarray], classes: Any = None
) -> float:
    """The comparison metric alone, without an interval."""
    return _functions(task, y, answers, classes)[BETTER[task]](np.ones(len(y)))


def difference(
    task: Task,
    y: np.ndarray,
    one: Mapping[str, np.ndarray],
    other: Mapping[str, np.ndarray],
    classes: Any = None,
) -> Metric:
    """By how much `other` is worse than `one` in the comparison metric, on the same bootstrap samples."""
    name = BETTER[task]

    def of(rows: Any) -> dict[str, Weighted]:
        first, second = (
            _functions(task, y[rows], {m: a[rows] for m, a in answers.items()}, classes)[name]
            for answers in (one, other)
        )
        return {name: lambda weight: second(weight) - first(weight)}

    return _with_intervals(of, len(y))[0]


def _with_intervals(of: Callable[[Any], dict[str, Weighted]], n: int) -> list[Metric]:
    """Metrics of all rows, with intervals from samples of them or of `MOST` of them.

    Parameters
    ----------
    of : callable
        Rows -> name -> metric of these rows.
    """
    rng = np.random.default_rng(0)
    whole = np.ones(n)
    values = {name: metric(whole) for name, metric in of(slice(None)).items()}
    size = min(n, MOST)
    functions = of(slice(None) if size == n else np.sort(rng.choice(n, size, replace=False)))
    several = np.empty((RESAMPLES, len(functions)))
    for i in range(RESAMPLES):
        weight = np.bincount(rng.integers(0, size, size), minlength=size).astype(np.float64)
        several[i] = [metric(weight) for metric in functions.values()]
    narrower = np.sqrt(size / n)
    return [
        Metric(name, value, *_interval(value, several[:, i], narrower))
        for i, (name, value) in enumerate(values.items())
    ]


def _interval(value: float, several: np.ndarray, narrower: float) -> tuple[float, float]:
    several = several[np.isfinite(several)]
    if len(several) == 0:
        return np.nan, np.nan
    low, high = np.quantile(several, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    if narrower == 1.0:
        return float(low), float(high)
    centre = several.mean()
    return float(value + (low - centre) * narrower), float(value + (high - centre) * narrower)


def positions(classes: Any, labels: Any) -> np.ndarray:
    """Where labels stand among the sorted classes: (n_samples,) intp."""
    return np.searchsorted(classes, np.asarray(labels).astype(classes.dtype))


def aligned(probability: np.ndarray, own: Any, classes: Any) -> np.ndarray:
    """Probabilities with a column for every class: zero for one that the model has never seen.

    Parameters
    ----------
    probability : numpy.ndarray
        (n_samples, n_own)
    own, classes : numpy.ndarray
        The classes of the model, and all of them, sorted.
    """
    if len(own) == len(classes):
        return probability
    found = np.zeros((len(probability), len(classes)))
    found[:, positions(classes, own)] = probability
    return found


def _functions(
    task: Task, y: np.ndarray, answers: Mapping[str, np.ndarray], classes: Any
) -> dict[str, Weighted]:
    predicted = answers["predict"]
    if task == "regression":
        y = np.asarray(y, np.float64)
        return {
            "RMSE": root_mean_of((y - predicted) ** 2),
            "mean absolute error": mean_of(np.abs(y - predicted)),
            "R²": r2_of(y, predicted),
        }
    code, probability = positions(classes, y), np.asarray(answers["predict_proba"], np.float64)
    least = np.finfo(
        np.float64
    ).eps  # as log_loss: a certain and wrong answer costs 36, not infinity
    own = np.clip(probability[np.arange(len(code)), code], least, 1 - least)
    confusion = Confusion(code, positions(classes, predicted), len(classes))
    shared: dict[str, Weighted] = {
        "log loss": mean_of(-np.log(own)),
        "accuracy": mean_of((confusion.y == confusion.predicted).astype(np.float64)),
        "balanced accuracy": confusion.balanced_accuracy,
    }
    if task == "multiclass":
        return {**shared, "macro F1": confusion.macro_f1}
    ranking = Ranking(code == 1, probability[:, 1])
    return {
        **shared,
        "ROC AUC": ranking.roc_auc,
        "average precision": ranking.average_precision,
        "F1": confusion.f1_of_last,
        "Brier score": mean_of((probability[:, 1] - code) ** 2),
    }
