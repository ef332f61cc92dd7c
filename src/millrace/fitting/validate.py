"""``millrace.cross_validate``: all folds fitted together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from millrace.data.splits import Folds
from millrace.errors import FitError
from millrace.fitting.fit import Session, session
from millrace.fitting.report import keep_report
from millrace.fitting.scoring import last_step, methods_of, predictions, scorers_of, scores
from millrace.fitting.sweep import now
from millrace.solvers.rows import Fit


def cross_validate(
    estimator: Any,
    table: Any,
    target: Any = None,
    *,
    folds: Any = 5,
    scoring: Any = None,
    weight: Any = None,
    memory: str | int | None = None,
    in_memory: bool = False,
    return_estimator: bool = False,
    return_train_score: bool = False,
    progress: bool = True,
) -> dict[str, Any]:
    """Cross-validate, with all folds sharing the sweeps over the data.

    Parameters
    ----------
    estimator : object
        Not changed.
    table, target, weight, memory, in_memory, progress
        As of `millrace.fit`.
    folds : int, Folds or splitter
        A number of folds, to which rows are dealt by a hash of their number; `millrace.data.Folds` for
        groups, strata or contiguous folds; a scikit-learn splitter whose test folds share no row (the
        table must know its number of rows).
    scoring : str, callable, list or dict, optional
        As of ``sklearn.model_selection.cross_validate``; the estimator's own ``score`` by default.
    return_estimator, return_train_score : bool

    Returns
    -------
    dict
        ``test_score`` (or ``test_<name>`` for several scorers), ``train_score`` ..., arrays of
        (n_folds,); ``estimator``, a list; ``fit_time`` and ``score_time`` of all folds together, shared
        out evenly; ``report``, a `FitReport`.

    Notes
    -----
    Exact: every fold has the estimator that `millrace.fit` gives for the other rows. A statistic is
    summarised for each fold once, and those of the other folds are merged; nothing is subtracted.
    """
    with session(
        table, target, weight=weight, folds=as_folds(folds, table, target), memory=memory,
        in_memory=in_memory, progress=progress,
    ) as run:  # fmt: skip
        found = evaluate(run, [estimator], scoring, return_train_score)
    fits = found.fits[0]
    n = len(fits)
    result: dict[str, Any] = {
        "fit_time": np.full(n, found.fit_seconds / n),
        "score_time": np.full(n, found.score_seconds / n),
    }
    for part, parts in (("test", found.test), ("train", found.train)):
        for name in parts[0][0] if parts else ():
            result[f"{part}_{name}"] = np.asarray([one[name] for one in parts[0]])
    if return_estimator:
        result["estimator"] = [f.step for f in fits]
    for one in fits:
        keep_report(one.step, run.report)
    result["report"] = run.report
    return result


class Evaluation:
    """Candidates fitted on every fold.

    Attributes
    ----------
    fits : list of list of Fit
        For each candidate, its estimator for each fold.
    test, train : list of list of dict
        Scores by name, likewise; `train` is empty where it was not asked for.
    fit_seconds, score_seconds : float
        Of all together.
    """

    def __init__(self, fits: list[list[Fit]]) -> None:
        self.fits = fits
        self.test: list[list[dict[str, float]]] = []
        self.train: list[list[dict[str, float]]] = []
        self.fit_seconds = 0.0
        self.score_seconds = 0.0


def evaluate(run: Session, candidates: list[Any], scoring: Any, train: bool) -> Evaluation:
    """Fit clones of all candidates on all folds together, and score them on what was left out."""
    from sklearn.base import clone

    folds, rows = run.data.folds, run.data.rows()
    if folds is None:
        raise ValueError("evaluate() needs data that is dealt into folds")
    found = Evaluation(
        [[Fit(clone(c), replace(rows, left_out=k)) for k in range(folds.n)] for c in candidates]
    )
    begun = now()
    run.fit([one for fits in found.fits for one in fits])
    found.fit_seconds = now() - begun
    begun = now()
    found.test = _scored(run, found.fits, scoring, only=True)
    if train:
        found.train = _scored(run, found.fits, scoring, only=False)
    found.score_seconds = now() - begun
    return found


def _scored(
    run: Session, fits: list[list[Fit]], scoring: Any, only: bool
) -> list[list[dict[str, float]]]:
    """Scores of every candidate and fold, from one sweep."""
    scorers = [scorers_of(f[0].step, scoring) for f in fits]
    asks = [
        predictions(one, methods_of(last_step(one.step), named), k if only else None)
        for named, folds in zip(scorers, fits, strict=True)
        for k, one in enumerate(folds)
    ]
    answers = iter(run.engine.answer(asks))
    return [
        [scores(one, named, next(answers)) for one in folds]
        for named, folds in zip(scorers, fits, strict=True)
    ]


def as_folds(folds: Any, table: Any, target: Any) -> Folds:
    """`folds` as cross-validation takes it.

    Raises
    ------
    FitError
        Fewer than two folds, or a splitter for a table whose number of rows is not known.
    """
    if isinstance(folds, Folds):
        return folds
    if isinstance(folds, (int, np.integer)):
        if folds < 2:
            raise FitError(f"Cross-validation needs at least 2 folds, got {folds}.")
        return Folds(int(folds))
    from millrace.data import Table, scan

    n_rows = (table if isinstance(table, Table) else scan(table)).n_rows
    if n_rows is None:
        raise FitError(
            "A splitter needs a table that knows its number of rows; pass a number of folds instead."
        )
    y = None if target is None or isinstance(target, (str, tuple)) else np.asarray(target)
    return Folds.from_splitter(folds, n_rows, y)
