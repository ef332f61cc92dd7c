"""Folds that are dealt class by class in the order of the rows, as an unshuffled `StratifiedKFold` does.

Within a class each fold is a run of rows that follow each other, so the numbers of the last row of every
run say all there is to know: nothing is kept of a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace.statistics.base import Batch, OrderedStatistic, Statistic, codes_of
from millrace.statistics.classes import distinct


@dataclass(frozen=True)
class Firsts:
    """The answer of `FirstRows`.

    Attributes
    ----------
    classes : numpy.ndarray
        The labels, sorted (n_classes,).
    rows : numpy.ndarray of int64
        The number of the first row of each.
    """

    classes: np.ndarray
    rows: np.ndarray


@dataclass(frozen=True)
class FirstRows(Statistic[Firsts, Firsts]):
    """Where each class appears first. Missing labels are refused with their row."""

    def of(self, batch: Batch) -> Firsts:
        classes = distinct(batch.y, batch.first)
        rows = np.full(len(classes), np.iinfo(np.int64).max)
        np.minimum.at(rows, codes_of(batch.y, classes), batch.row_numbers())
        return Firsts(classes, rows)

    def merge(self, left: Firsts, right: Firsts) -> Firsts:
        classes = np.unique(np.concatenate([left.classes, right.classes]))
        rows = np.full(len(classes), np.iinfo(np.int64).max)
        for part in (left, right):
            np.minimum.at(rows, codes_of(part.classes, classes), part.rows)
        return Firsts(classes, rows)

    def finish(self, state: Firsts) -> Firsts:
        return state


@dataclass(frozen=True)
class DealtFolds:
    """Which fold a row is in.

    Attributes
    ----------
    classes : numpy.ndarray
        The labels, sorted (n_classes,).
    last : numpy.ndarray of int64
        The number of the last row of every class in a fold or one before it; -1 where there is none:
        (n_classes, n_folds). One row for all classes where folds are dealt whatever the class.
    weights : numpy.ndarray of float64
        Sum of the weights of the rows of each fold (n_folds,).
    """

    classes: np.ndarray
    last: np.ndarray
    weights: np.ndarray

    def of(self, batch: Batch) -> np.ndarray:
        """The fold of every row: int64 of (n_samples,)."""
        return self.at(batch.row_numbers(), batch.codes(self.classes))

    def at(self, rows: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """The fold of rows by their numbers and the positions of their classes."""
        if len(self.last) == 1:
            codes = np.zeros_like(codes)
        fold = np.zeros(len(rows), np.int64)
        for last in self.last.T[:-1]:
            fold += rows > last[codes]
        return fold


@dataclass
class _Dealing:
    counts: np.ndarray
    last: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class Deal(OrderedStatistic[_Dealing, DealtFolds]):
    """Deal the rows of every class into folds.

    Attributes
    ----------
    classes : numpy.ndarray
        The labels, sorted (n_classes,).
    ends : numpy.ndarray of int64
        How many rows of a class are in a fold or one before it: (n_classes, n_folds), or (1, n_folds)
        for folds that do not ask for the class.
    """

    classes: np.ndarray
    ends: np.ndarray

    def start(self) -> _Dealing:
        n_strata, n_folds = self.ends.shape
        last = np.full(self.ends.shape, -1, np.int64)
        return _Dealing(np.zeros(n_strata, np.int64), last, np.zeros(n_folds))

    def of(self, batch: Batch) -> Any:
        codes = batch.codes(self.classes) if len(self.ends) > 1 else np.zeros(len(batch), np.int64)
        return batch.row_numbers(), codes, batch.weight

    def step(self, state: _Dealing, prepared: Any) -> _Dealing:
        rows, codes, weight = prepared
        weight = np.ones(len(rows)) if weight is None else weight
        for k in np.unique(codes):
            places = np.flatnonzero(codes == k)
            before, ends = state.counts[k], self.ends[k]
            done = (before < ends) & (ends <= before + len(places))
            state.last[k, done] = rows[places[ends[done] - 1 - before]]
            fold = np.searchsorted(ends, before + np.arange(len(places)), side="right")
            state.weights += np.bincount(fold, weight[places], len(state.weights))[
                : len(state.weights)
            ]
            state.counts[k] += len(places)
        return state

    def finish(self, state: _Dealing) -> DealtFolds:
        return DealtFolds(self.classes, state.last, state.weights)


def stratified_ends(counts: np.ndarray, firsts: np.ndarray, n_folds: int) -> np.ndarray:
    """`Deal.ends` of ``StratifiedKFold(n_folds)`` for classes with so many rows and these first rows.

    Rows sorted by class, the classes in the order in which they appear, are dealt in turn.
    """
    order = np.argsort(firsts)
    stops = np.cumsum(counts[order])
    starts = stops - counts[order]
    fold = np.arange(n_folds)

    def up_to(stop: np.ndarray) -> np.ndarray:
        return (stop[:, None] - fold + n_folds - 1) // n_folds

    ends = np.empty((len(counts), n_folds), np.int64)
    ends[order] = np.cumsum(up_to(stops) - up_to(starts), axis=1)
    return ends


def consecutive_ends(n_rows: int, n_folds: int) -> np.ndarray:
    """`Deal.ends` of ``KFold(n_folds)``: (1, n_folds)."""
    sizes = np.full(n_folds, n_rows // n_folds)
    sizes[: n_rows % n_folds] += 1
    return np.cumsum(sizes)[None, :]
