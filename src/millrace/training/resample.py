"""Metrics of bootstrap samples, each in time linear in the rows.

A sample of rows with replacement is a count a row, so a metric of the sample is the metric of the rows
with these counts as weights (Efron and Tibshirani, 1993, chapter 13). What does not depend on the
weights, such as sorting by score, is done once. Equal to scikit-learn's metrics with ``sample_weight``
but for the rounding of sums.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Weighted = Callable[[np.ndarray], float]
"""Weights of the rows, (n_samples,) float64 -> the metric; NaN where it has no value."""


def mean_of(values: np.ndarray) -> Weighted:
    """The weighted mean of one number a row: accuracy, log loss, squared and absolute errors."""
    return lambda weight: float(weight @ values / weight.sum())


def root_mean_of(values: np.ndarray) -> Weighted:
    """The root of the weighted mean of one number a row."""
    return lambda weight: float(np.sqrt(weight @ values / weight.sum()))


def r2_of(y: np.ndarray, predicted: np.ndarray) -> Weighted:
    """The coefficient of determination."""
    errors, centred = (y - predicted) ** 2, y - y.mean()

    def metric(weight: np.ndarray) -> float:
        mean = weight @ centred / weight.sum()
        total = weight @ (centred - mean) ** 2
        return float(1 - weight @ errors / total) if total > 0 else np.nan

    return metric


@dataclass(frozen=True)
class Confusion:
    """Counts of truth by prediction, as weighted sums.

    Attributes
    ----------
    y, predicted : numpy.ndarray of intp
        (n_samples,), positions among the classes.
    n_classes : int
    """

    y: np.ndarray
    predicted: np.ndarray
    n_classes: int

    def counts(self, weight: np.ndarray) -> np.ndarray:
        """(n_classes, n_classes) float64: truth in rows, predictions in columns."""
        at = self.y * self.n_classes + self.predicted
        found = np.bincount(at, weight, minlength=self.n_classes**2)
        return found.reshape(self.n_classes, self.n_classes)

    def balanced_accuracy(self, weight: np.ndarray) -> float:
        """The mean recall of the classes that there are."""
        counts = self.counts(weight)
        rows = counts.sum(axis=1)
        return float(np.mean(counts.diagonal()[rows > 0] / rows[rows > 0]))

    def f1(self, weight: np.ndarray) -> np.ndarray:
        """F1 of every class, (n_classes,); NaN for one that is neither there nor predicted."""
        counts = self.counts(weight)
        total = counts.sum(axis=0) + counts.sum(axis=1)
        with np.errstate(invalid="ignore"):
            return 2 * counts.diagonal() / total

    def macro_f1(self, weight: np.ndarray) -> float:
        """The mean F1 of the classes that are there or predicted."""
        return float(np.nanmean(self.f1(weight)))

    def f1_of_last(self, weight: np.ndarray) -> float:
        """F1 of the second of two classes; 0 where it is neither there nor predicted."""
        return float(np.nan_to_num(self.f1(weight)[-1]))


class Ranking:
    """Rows sorted by score once, for the area under curves.

    Parameters
    ----------
    positive : numpy.ndarray of bool
        (n_samples,)
    score : numpy.ndarray of float64
        (n_samples,)
    """

    def __init__(self, positive: np.ndarray, score: np.ndarray) -> None:
        self._order = np.argsort(-score, kind="stable")
        ordered = score[self._order]
        self._ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
        self._positive = positive[self._order].astype(np.float64)

    def _sums(self, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weights of positive and of negative rows down to every different score."""
        ordered = weight[self._order]
        hits = np.cumsum(ordered * self._positive)[self._ends]
        return hits, np.cumsum(ordered)[self._ends] - hits

    def roc_auc(self, weight: np.ndarray) -> float:
        """The area under the ROC curve; NaN where all rows are of one class."""
        hits, misses = self._sums(weight)
        if hits[-1] == 0 or misses[-1] == 0:
            return np.nan
        area = np.trapezoid(np.append(0.0, hits), np.append(0.0, misses))
        return float(area / hits[-1] / misses[-1])

    def average_precision(self, weight: np.ndarray) -> float:
        """The mean precision over the recalls that it is reached at; NaN without a positive row."""
        hits, misses = self._sums(weight)
        if hits[-1] == 0:
            return np.nan
        taken = hits + misses
        precision = np.divide(hits, taken, out=np.zeros_like(hits), where=taken > 0)
        return float(np.diff(hits, prepend=0.0) @ precision / hits[-1])
