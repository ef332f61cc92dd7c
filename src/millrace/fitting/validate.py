"""``millrace.cross_validate``: all folds fitted together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from millrace.data.splits import Folds
from millrace.errors import FitError
from millrace.fitting.candidates import Entry, entries
from millrace.fitting.fit import Session, session
from millrace.fitting.linear_scores import kinds_of, linear_scores
from millrace.fitting.report import keep_report
from millrace.fitting.scoring import last_step, methods_of, predictions, scorers_of, scores
from millrace.fitting.sweep import now
from millrace.solvers.rows import Ask, Fit
from millrace.statistics.collect import labels
from millrace.statistics.gram import Gram

_GRAM = Gram()


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
    summarised for each fold once, and those of the other folds are merged; nothing is subtracted. Where
    the folds' transformers are affine maps of the same columns (imputers, scalers, one-hot encoders),
    Gram matrices and scores of linear regressions follow from one set of sums; the scores are within 1e-9
    and the coefficients of well-conditioned columns within 1e-8 of those from the rows.
    """
    with session(
        table, target, weight=weight, folds=as_folds(folds, table, target), memory=memory,
        in_memory=in_memory, progress=progress,
    ) as run:  # fmt: skip
        found = evaluate(run, [estimator], scoring, return_train_score)
    result = _results(found, return_estimator)
    for one in found.fits[0]:
        keep_report(one.step, run.report)
    result["report"] = run.report
    return result


def cross_validate_by_solvers(
    estimator: Any, X: Any, y: Any, folds: Folds, scoring: Any, *, estimators: bool, train: bool
) -> dict[str, Any]:
    """What ``sklearn.model_selection.cross_validate`` returns, by solvers alone, for rows in memory.

    Raises
    ------
    NotStreamableError, FitError
        As of `millrace.fitting.fit.fit_by_solvers`.
    """
    with session(X, y, folds=folds, only_solvers=True, progress=False) as run:
        return _results(evaluate(run, [estimator], scoring, train), estimators)


def _results(found: Evaluation, estimators: bool) -> dict[str, Any]:
    fits = found.fits[0]
    n = len(fits)
    result: dict[str, Any] = {
        "fit_time": np.full(n, found.fit_seconds / n),
        "score_time": np.full(n, found.score_seconds / n),
    }
    if estimators:
        result["estimator"] = [f.step for f in fits]
    for name in found.test[0][0]:
        for part, parts in (("test", found.test), ("train", found.train)):
            if parts:
                result[f"{part}_{name}"] = np.asarray([one[name] for one in parts[0]])
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
    folds, rows = run.data.folds, run.data.rows()
    if folds is None:
        raise ValueError("evaluate() needs data that is dealt into folds")
    begun = now()
    made = entries(candidates, [replace(rows, left_out=k) for k in range(folds.n)])
    found = Evaluation([[one.fit for one in of_one] for of_one in made])
    run.fit([one.request for of_one in made for one in of_one])
    found.fit_seconds = now() - begun
    begun = now()
    found.test = _scored(run, made, scoring, only=True)
    if train:
        found.train = _scored(run, made, scoring, only=False)
    found.score_seconds = now() - begun
    return found


def _scored(
    run: Session, made: list[list[Entry]], scoring: Any, only: bool
) -> list[list[dict[str, float]]]:
    """Scores of every candidate and fold: from what is known of the rows, else from one sweep."""
    found: list[list[dict[str, float]]] = []
    asks: list[Ask] = []
    waiting: list[tuple[int, int, dict[str, Any]]] = []
    for c, folds in enumerate(made):
        scorers = scorers_of(folds[0].fit.step, scoring)
        last = last_step(folds[0].fit.step)
        kinds, methods = kinds_of(last, scorers), methods_of(last, scorers)
        found.append([])
        for k, one in enumerate(folds):
            scored = _from_moments(run, one, kinds, k if only else None) if kinds else None
            found[c].append(scored or {})
            if scored is None:
                asks.append(predictions(one.fit, methods, k if only else None))
                waiting.append((c, k, scorers))
    answers = run.engine.answer(asks) if asks else []
    for (c, k, scorers), answer in zip(waiting, answers, strict=True):
        found[c][k] = scores(made[c][k].fit, scorers, answer)
    return found


def _from_moments(
    run: Session, one: Entry, kinds: dict[str, str], only: int | None
) -> dict[str, float] | None:
    """Scores from sums that are in memory; None where there are none."""
    rows = one.last_rows()
    if rows is None or run.engine.shared is None:
        return None
    if only is not None:
        rows = replace(rows, left_out=None, only=only)
    held = run.engine.shared.look(rows.unweighted().ask(_GRAM))
    return None if held is None else linear_scores(last_step(one.fit.step), kinds, held)


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

    opened = table if isinstance(table, Table) else scan(table)
    n_rows = opened.n_rows
    if n_rows is None:
        raise FitError(
            "A splitter needs a table that knows its number of rows; pass a number of folds instead."
        )
    y = target
    if isinstance(target, str):
        if target not in opened.schema.names:
            raise FitError.no_target(target, opened.schema.names)
        found = [labels(b.column(0)) for b in opened.batches([target])]
        y = np.concatenate([one for one in found if one is not None])
    return Folds.from_splitter(folds, n_rows, None if y is None else np.asarray(y))
