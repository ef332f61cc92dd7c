"""``millrace.search``: all candidates and folds fitted together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from millrace.data.splits import Folds
from millrace.fitting.candidates import with_params
from millrace.fitting.fit import Session, session
from millrace.fitting.report import keep_report
from millrace.fitting.scoring import scorers_of
from millrace.fitting.sweep import now
from millrace.fitting.validate import Evaluation, as_folds, evaluate
from millrace.solvers.rows import Fit


def search(
    estimator: Any,
    params: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    table: Any,
    target: Any = None,
    *,
    folds: Any = 5,
    n_iter: int | None = None,
    random_state: int | None = None,
    scoring: Any = None,
    refit: bool | str = True,
    weight: Any = None,
    memory: str | int | None = None,
    in_memory: bool = False,
    return_train_score: bool = False,
    progress: bool = True,
) -> Any:
    """Search parameters by cross-validation, with all candidates and folds sharing the sweeps.

    Parameters
    ----------
    estimator : object
        Not changed.
    params : dict or list of dict
        The grid, or distributions where `n_iter` is given.
    n_iter : int, optional
        So many candidates are drawn, as ``RandomizedSearchCV`` does.
    random_state : int, optional
    scoring, folds, weight, memory, in_memory, return_train_score, progress
        As of `millrace.cross_validate`.
    refit : bool or str
        Fit the best candidate on all rows; the scorer's name where there are several.

    Returns
    -------
    sklearn.model_selection.GridSearchCV or RandomizedSearchCV
        Fitted: ``cv_results_``, ``best_params_``, ``best_score_``, ``best_estimator_``. ``fit_time``
        is that of all candidates together, shared out evenly.

    Notes
    -----
    Exact: every candidate has, on every fold, the estimator that `millrace.fit` gives. What candidates
    have in common (the scaler before fifty ridges, and their Gram matrix) is computed once; what folds
    share, and within what bound, `millrace.cross_validate` tells.
    """
    from sklearn.base import clone
    from sklearn.model_selection import (
        GridSearchCV,
        ParameterGrid,
        ParameterSampler,
        RandomizedSearchCV,
    )

    kept: dict[str, Any] = {
        "scoring": scoring,
        "refit": refit,
        "return_train_score": return_train_score,
    }
    if n_iter is None:
        found: Any = GridSearchCV(clone(estimator), params, **kept)  # type: ignore[arg-type]
        chosen = list(ParameterGrid(params))  # type: ignore[arg-type]
    else:
        found = RandomizedSearchCV(
            clone(estimator), params, n_iter=n_iter, random_state=random_state, **kept
        )  # type: ignore[arg-type]
        chosen = list(ParameterSampler(params, n_iter, random_state=random_state))  # type: ignore[arg-type]
    with session(
        table, target, weight=weight, folds=as_folds(folds, table, target), memory=memory,
        in_memory=in_memory, progress=progress,
    ) as run:  # fmt: skip
        _fill(found, chosen, run)
        found.cv = found.n_splits_
    keep_report(found, run.report)
    return found


def search_by_solvers(found: Any, chosen: Sequence[Any], X: Any, y: Any, folds: Folds) -> None:
    """Set on a search object of scikit-learn what its own ``fit`` would, by solvers alone.

    Parameters
    ----------
    found : GridSearchCV or RandomizedSearchCV
    chosen : sequence of dict
        The candidates' parameters, in its order.
    X, y : array-like
        Rows in memory and their target.
    folds : Folds

    Raises
    ------
    NotStreamableError, FitError
        As of `millrace.fitting.fit.fit_by_solvers`; nothing is set then.
    """
    with session(X, y, folds=folds, only_solvers=True, progress=False) as run:
        _fill(found, chosen, run)


def _fill(found: Any, chosen: Sequence[Any], run: Session) -> None:
    """Evaluate the candidates, choose the best and fit it on all rows."""
    from sklearn.base import clone

    candidates = [with_params(found.estimator, p) for p in chosen]
    evaluation = evaluate(run, candidates, found.scoring, found.return_train_score)
    folds_made = run.data.folds
    found.n_splits_ = folds_made.n if folds_made else 0
    _set_results(found, list(chosen), evaluation)
    if found.refit:
        begun = now()
        best: Any = clone(with_params(found.estimator, found.best_params_))
        run.fit([Fit(best, run.data.rows())])
        found.best_estimator_, found.refit_time_ = best, now() - begun
        if hasattr(best, "feature_names_in_"):
            found.feature_names_in_ = best.feature_names_in_


def _set_results(found: Any, chosen: list[dict[str, Any]], evaluation: Evaluation) -> None:
    """Set what a search object has after its fit."""
    scorers = scorers_of(found.estimator, found.scoring)
    found.multimetric_ = list(scorers) != ["score"]
    found.scorer_ = scorers if found.multimetric_ else scorers["score"]
    n = len(chosen) * len(evaluation.fits[0])
    out = [
        {
            "test_scores": dict(test),
            **({"train_scores": dict(evaluation.train[c][k])} if evaluation.train else {}),
            "fit_time": evaluation.fit_seconds / n,
            "score_time": evaluation.score_seconds / n,
        }
        for c, folds in enumerate(evaluation.test)
        for k, test in enumerate(folds)
    ]
    found.cv_results_ = found._format_results(chosen, found.n_splits_, out)
    metric = found.refit if found.multimetric_ else "score"
    if found.refit or not found.multimetric_:
        found.best_index_ = found._select_best_index(found.refit, metric, found.cv_results_)
        if not callable(found.refit):
            found.best_score_ = found.cv_results_[f"mean_test_{metric}"][found.best_index_]
        found.best_params_ = found.cv_results_["params"][found.best_index_]
