"""LogisticRegressionCV: every penalty, on all rows but each fold, in one set of sweeps.

The first sweep finds the classes and keeps a sample, the second deals the folds; then all models are
minimised side by side, one more sweep scores them on the rows that they have not seen, and the best
penalty is fitted to all rows.
"""

from __future__ import annotations

import inspect
import numbers
import warnings
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from millrace.errors import FitError
from millrace.solvers.registry import Decline, Example, solves
from millrace.solvers.rows import Rows
from millrace.solvers.sklearn._labels import check_classes, class_weights
from millrace.solvers.sklearn._newton import centered, minimise, sample_of, together
from millrace.solvers.sklearn._objective import Problem
from millrace.solvers.sklearn._working import learned, library, working_copy
from millrace.solvers.sklearn.logistic import problem_of
from millrace.statistics.base import Batch
from millrace.statistics.classes import ClassCounts, Classes
from millrace.statistics.collect import labels as labels_of
from millrace.statistics.folded import FoldedGLMs, HeldOut, Scored
from millrace.statistics.glm import Labels
from millrace.statistics.sample import Sampled
from millrace.statistics.strata import (
    Deal,
    DealtFolds,
    FirstRows,
    Firsts,
    consecutive_ends,
    stratified_ends,
)

FOLD_ROWS = 5_000
"""Rows of the sample that each model starts from (more for many parameters): there are many models."""

HESSIAN_BYTES = 64 << 20
"""Hessians of models that are minimised side by side."""

SCORE_BYTES = 256 << 20
"""Linear predictors of held-out rows that are kept at once, where no budget is given."""


@dataclass(frozen=True)
class _Grid:
    """The models: penalties as scikit-learn understands the parameters, and folds.

    Attributes
    ----------
    Cs, ratios : numpy.ndarray of float64
        Strengths and shares of the l1 penalty.
    given_ratios : list
        As they are told in ``l1_ratios_``.
    n_folds : int
    """

    Cs: np.ndarray
    ratios: np.ndarray
    given_ratios: list[Any]
    n_folds: int

    @property
    def cells(self) -> list[tuple[int, int, int]]:
        """(fold, l1 ratio, C) of every model."""
        return list(np.ndindex(self.n_folds, len(self.ratios), len(self.Cs)))


@solves("sklearn.linear_model.LogisticRegressionCV", weight=True, equivalent=True)
def logistic_regression_cv(estimator: Any, rows: Rows) -> Generator[Any, Any, dict[str, Any]]:
    """scikit-learn's own fit, for tables that fit in the sample; else each model as LogisticRegression.

    Scores are of coefficients at their optimum: a row whose classes are within 1e-8 of a tie may be
    counted differently from coefficients that stop at `tol`.

    Raises
    ------
    Decline
        Folds that are drawn at random or given, a scorer that is a plain function.
    """
    work = working_copy(estimator)
    sample: Sampled
    sample, found, firsts = yield [
        rows.ask(sample_of(rows)),
        rows.ask(Classes()),
        rows.ask(FirstRows()),
    ]
    if sample.complete:
        batch = sample.batch
        return learned(work.fit(batch.matrix, labels_of(batch.y), sample_weight=batch.weight))
    check_classes(estimator, found)
    scorer = _scorer(estimator)
    ends = _ends(estimator, found, firsts)
    _source_checks(estimator, len(found.classes))
    grid = _grid(estimator, ends.shape[1])
    folds: DealtFolds = yield rows.ask(Deal(found.classes, ends))
    work = _weighted_by_class(work, found)
    paths, n_iter = yield from _paths(work, rows, grid, found, folds, ends, sample)
    scores = yield from _scores(work, rows, grid, folds, paths, scorer, sample.n_rows)
    attributes = _assembled(estimator, grid, found, paths, scores, n_iter)
    coef, intercept = yield from _final(work, rows, grid, found, sample, paths, scores)
    return {**attributes, "coef_": coef, "intercept_": intercept}


def _weighted_by_class(work: Any, found: ClassCounts) -> Any:
    """With the weights of the classes of the whole table, which balanced folds share."""
    weights = class_weights(work.class_weight, found)
    if weights is None:
        return work
    return work.set_params(class_weight=dict(zip(found.classes.tolist(), weights, strict=True)))


def _source_checks(estimator: Any, n_classes: int) -> None:
    """scikit-learn's errors and warnings about the parameters, from a fit of a few rows."""
    from sklearn.base import clone
    from sklearn.exceptions import ConvergenceWarning, UndefinedMetricWarning

    trial: Any = clone(estimator)
    trial.set_params(class_weight=None, max_iter=1, cv=2, Cs=[1.0], verbose=0, n_jobs=None)
    y = np.tile(np.arange(n_classes), 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        trial.fit(y[:, None].astype(np.float64), y)


def _grid(estimator: Any, n_folds: int) -> _Grid:
    Cs = estimator.Cs
    Cs = np.logspace(-4, 4, Cs) if isinstance(Cs, numbers.Integral) else np.asarray(Cs)
    given = _given_ratios(estimator)
    ratios: list[Any] = [None] if given is None else list(given)
    penalty = _penalty(estimator)
    if penalty == "elasticnet":
        return _Grid(Cs, np.asarray(ratios, np.float64), ratios, n_folds)
    return _Grid(Cs, np.full(len(ratios), float(penalty == "l1")), ratios, n_folds)


def _given_ratios(estimator: Any) -> Any:
    given = estimator.l1_ratios
    return None if isinstance(given, str) else given


def _penalty(estimator: Any) -> str:
    if estimator.penalty != "deprecated":
        return estimator.penalty
    given = _given_ratios(estimator)
    if given is None or np.all(np.asarray(given) == 0):
        return "l2"
    return "l1" if np.all(np.asarray(given) == 1) else "elasticnet"


def _ends(estimator: Any, found: ClassCounts, firsts: Firsts) -> np.ndarray:
    """How `Deal` is to cut the folds of ``cv``."""
    from sklearn.model_selection import KFold, StratifiedKFold

    cv = 5 if estimator.cv is None else estimator.cv
    n_rows = int(found.counts.sum())
    if type(cv) is KFold and not cv.shuffle:
        return consecutive_ends(n_rows, cv.n_splits)
    if type(cv) is StratifiedKFold and not cv.shuffle:
        cv = cv.n_splits
    if not isinstance(cv, numbers.Integral):
        raise Decline(
            "its folds are drawn at random or given row by row (pass cv as a number, or KFold or "
            "StratifiedKFold without shuffle)"
        )
    n_folds = int(cv)
    if (found.counts < n_folds).all():
        raise FitError(
            f"n_splits={n_folds} cannot be greater than the number of members in each class."
        )
    if found.counts.min() < n_folds:
        warnings.warn(
            f"The least populated class in y has only {found.counts.min()} members, which is less "
            f"than n_splits={n_folds}.",
            UserWarning,
            stacklevel=2,
        )
    return stratified_ends(found.counts, firsts.rows, n_folds)


def _surrogate(work: Any, C: float, ratio: float, final: bool = False) -> Any:
    """One model of the grid; scikit-learn's last fit does not pass `intercept_scaling` on."""
    from sklearn.linear_model import LogisticRegression

    make: Any = LogisticRegression
    return make(
        C=C,
        l1_ratio=ratio,
        solver=work.solver,
        class_weight=work.class_weight,
        fit_intercept=work.fit_intercept,
        intercept_scaling=1.0 if final else work.intercept_scaling,
    )


def _paths(
    work: Any,
    rows: Rows,
    grid: _Grid,
    found: ClassCounts,
    folds: DealtFolds,
    ends: np.ndarray,
    sample: Sampled,
) -> Generator[Any, Any, tuple[np.ndarray, np.ndarray]]:
    """Coefficients (n_folds, n_ratios, n_Cs, n_outputs, n_dof), and the sweeps of each."""
    sizes = np.diff(ends.sum(axis=0), prepend=0)
    size = (sample.batch.matrix.shape[1] + 1) * (
        len(found.classes) if len(found.classes) > 2 else 1
    )
    fewest = max(FOLD_ROWS, 50 * size)
    seen = [_all_but(k, sample, folds, int(sizes[k]), fewest) for k in range(grid.n_folds)]
    models: list[tuple[Problem, Sampled, int]] = []
    for fold, ratio, c in grid.cells:
        one = _surrogate(work, float(grid.Cs[c]), float(grid.ratios[ratio]))
        problem = centered(problem_of(one, found, sample), sample)
        models.append((_of_codes(problem, work, found), seen[fold], fold))
    most = max(1, HESSIAN_BYTES // (8 * size * size))
    solved: list[tuple[np.ndarray, np.ndarray, int]] = []
    for first in range(0, len(models), most):
        solved += yield from _side_by_side(rows, folds, models[first : first + most], work.tol)
    n_dof = sample.batch.matrix.shape[1] + int(work.fit_intercept)
    flat = [np.column_stack([w, b])[:, :n_dof] for w, b, _ in solved]
    shape = (grid.n_folds, len(grid.ratios), len(grid.Cs))
    n_iter = np.array([n for _, _, n in solved], np.int32).reshape(shape)
    return np.stack(flat).reshape(*shape, *flat[0].shape), n_iter


def _of_codes(problem: Problem, work: Any, found: ClassCounts) -> Problem:
    """The problem for a target that is the position of the class."""
    given = problem.labels
    weights, positive = (None, None) if given is None else (given.weights, given.positive)
    return replace(
        problem,
        labels=Labels(np.arange(len(found.classes)), weights, positive),
        who=type(work).__name__,
    )


def _all_but(fold: int, sample: Sampled, folds: DealtFolds, size: int, fewest: int) -> Sampled:
    """The sample without one fold, thinned; y becomes the position of the class."""
    batch = sample.batch
    where = np.flatnonzero(folds.of(batch) != fold)
    where = where[:: max(1, len(where) // fewest)]
    kept = Batch(
        batch.first,
        batch.matrix[where],
        batch.codes(folds.classes)[where],
        None if batch.weight is None else batch.weight[where],
        batch.row_numbers()[where],
    )
    weight = float(folds.weights.sum() - folds.weights[fold])
    return Sampled(kept, sample.n_rows - size, weight)


def _side_by_side(
    rows: Rows, folds: DealtFolds, models: Sequence[tuple[Problem, Sampled, int]], tol: float
) -> Generator[Any, Any, list[tuple[np.ndarray, np.ndarray, int]]]:
    """Coefficients, intercepts and number of sweeps of several models, in common sweeps."""
    solvers = together(
        [
            minimise(replace(rows, left_out=fold), problem, sample, np.zeros(problem.size), tol)
            for problem, sample, fold in models
        ]
    )
    answer: Any = None
    while True:
        try:
            asks = solvers.send(answer)
        except StopIteration as end:
            pairs = zip(models, end.value, strict=True)
            return [(*problem.raw(w), n) for (problem, _, _), (w, n) in pairs]
        glms = tuple(a.statistic for a in asks)
        # `left_out` only says here which model asks: the rows may themselves be without a fold.
        answer = yield rows.ask(FoldedGLMs(folds, glms, tuple(a.rows.left_out for a in asks)))


def _scorer(estimator: Any) -> Any:
    """``"accuracy"``, ``"neg_log_loss"``, or a scorer of predictions."""
    scoring = estimator.scoring
    if scoring is None or (isinstance(scoring, str) and scoring in ("warn", "accuracy")):
        return "accuracy"
    if isinstance(scoring, str) and scoring == "neg_log_loss":
        return scoring
    metrics = library("sklearn.metrics")
    scorer = metrics.get_scorer(scoring)
    if not hasattr(scorer, "_score_func"):
        raise Decline("its scoring is a function that may look at the rows (use make_scorer)")
    return scorer


def _scores(
    work: Any,
    rows: Rows,
    grid: _Grid,
    folds: DealtFolds,
    paths: np.ndarray,
    scorer: Any,
    n_rows: int,
) -> Generator[Any, Any, np.ndarray]:
    """Scores (n_folds, n_ratios, n_Cs)."""
    coef = paths.reshape(-1, *paths.shape[3:])
    held_out = np.array([fold for fold, _, _ in grid.cells])
    n_features = coef.shape[2] - int(work.fit_intercept)
    constant = coef[:, :, n_features] if work.fit_intercept else np.zeros(coef.shape[:2])
    ask = HeldOut(folds, coef[:, :, :n_features], constant, held_out, keep=scorer not in _SUMS)
    if not ask.keep:
        found: Scored = yield rows.ask(ask)
        sums = found.correct if scorer == "accuracy" else -found.loss
        return (sums / found.weight).reshape(paths.shape[:3])
    budget = SCORE_BYTES if rows.memory is None else min(SCORE_BYTES, rows.memory // 4)
    step = max(1, budget * grid.n_folds // (8 * n_rows * coef.shape[1]))
    scores: list[float] = []
    for first in range(0, len(coef), step):
        at = slice(first, first + step)
        some = replace(
            ask, coef=ask.coef[at], intercept=constant[at], held_out=held_out[at], keep=True
        )
        found = yield rows.ask(some)
        scores += [_score(work, rows, folds, scorer, found, i) for i in range(len(found.z))]
    return np.array(scores).reshape(paths.shape[:3])


_SUMS = ("accuracy", "neg_log_loss")


def _score(
    work: Any, rows: Rows, folds: DealtFolds, scorer: Any, found: Scored, model: int
) -> float:
    """A scorer on the linear predictors of one model: a model whose columns they are."""
    from sklearn.linear_model import LogisticRegression

    metrics = library("sklearn.metrics")
    z, classes = found.z[model], folds.classes
    parameters = inspect.signature(scorer._score_func).parameters
    if "labels" in parameters:  # as scikit-learn does: a fold may lack a class
        binary = len(classes) == 2 and "pos_label" in parameters
        scorer = metrics.make_scorer(
            scorer._score_func,
            greater_is_better=scorer._sign == 1,
            response_method=scorer._response_method,
            labels=classes,
            **({"pos_label": classes[-1]} if binary else {}),
            **scorer._kwargs,
        )
    model_of_z: Any = LogisticRegression(solver=work.solver)
    model_of_z.classes_ = classes
    model_of_z.coef_, model_of_z.intercept_ = np.eye(z.shape[1]), np.zeros(z.shape[1])
    weight = {"sample_weight": found.row_weight[model]} if rows.weighted else {}
    return float(scorer(model_of_z, z, classes[found.codes[model]], **weight))


def _final(
    work: Any,
    rows: Rows,
    grid: _Grid,
    found: ClassCounts,
    sample: Sampled,
    paths: np.ndarray,
    scores: np.ndarray,
) -> Generator[Any, Any, tuple[np.ndarray, np.ndarray]]:
    """Coefficients of the best penalty on all rows; without `refit`, the mean over the folds."""
    n_features = sample.batch.matrix.shape[1]
    if not work.refit:
        w = np.mean(
            [paths[fold, r, c] for fold, (c, r) in enumerate(_best_of_folds(scores))], axis=0
        )
        constant = w[:, n_features] if work.fit_intercept else np.zeros(len(w))
        return w[:, :n_features], constant
    c, r = _best(scores)
    one = _surrogate(work, float(grid.Cs[c]), float(grid.ratios[r]), final=True)
    problem = centered(problem_of(one, found, sample), sample)
    start = np.zeros(problem.size)
    w, _ = yield from minimise(rows, replace(problem, who=""), sample, start, work.tol)
    return problem.raw(w)


def _best(scores: np.ndarray) -> tuple[int, int]:
    """Places of the best C and l1 ratio over all folds; the first one where some are equal."""
    total = scores.sum(axis=0).T
    c, r = np.unravel_index(int(np.argmax(total)), total.shape)
    return int(c), int(r)


def _best_of_folds(scores: np.ndarray) -> list[tuple[int, int]]:
    return [_best(fold[None]) for fold in scores]


def _assembled(
    estimator: Any,
    grid: _Grid,
    found: ClassCounts,
    paths: np.ndarray,
    scores: np.ndarray,
    n_iter: np.ndarray,
) -> dict[str, Any]:
    """Everything but the coefficients, in scikit-learn's shapes."""
    C, ratio = _chosen(estimator, grid, scores)
    shared = {
        "classes_": found.classes,
        "Cs_": grid.Cs,
        "l1_ratios_": np.asarray(grid.given_ratios),
    }
    if not estimator.use_legacy_attributes:
        if _given_ratios(estimator) is None:
            ratio = float(estimator.penalty == "l1")
        return {
            **shared,
            "C_": float(C),
            "l1_ratio_": float(ratio),
            "coefs_paths_": paths,
            "scores_": scores,
            "n_iter_": n_iter,
        }
    names = found.classes[1:] if len(found.classes) == 2 else found.classes
    by_class = np.moveaxis(paths, (0, 1, 3), (1, 3, 0))
    table, told = np.swapaxes(scores, 1, 2), np.swapaxes(n_iter, 1, 2)[None]
    if _given_ratios(estimator) is None:
        by_class, table, told = by_class[:, :, :, 0], table[:, :, 0], told[:, :, :, 0]
    return {
        **shared,
        "C_": np.full(len(names), C),
        "l1_ratio_": np.array([ratio] * len(names)),
        "coefs_paths_": dict(zip(names, by_class, strict=True)),
        "scores_": {name: table.copy() for name in names},
        "n_iter_": told,
    }


def _chosen(estimator: Any, grid: _Grid, scores: np.ndarray) -> tuple[float, Any]:
    """The best C and l1 ratio; without `refit`, the mean of the best of each fold."""
    if estimator.refit:
        c, r = _best(scores)
        return float(grid.Cs[c]), grid.given_ratios[r]
    best = _best_of_folds(scores)
    ratio = 0.0
    if _penalty(estimator) == "elasticnet":
        ratio = float(np.mean([grid.ratios[r] for _, r in best]))
    return float(np.mean([grid.Cs[c] for c, _ in best])), ratio


def _data(n_classes: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((240, 6)) * np.linspace(0.5, 3, 6) + 1.5
    scores = X @ rng.standard_normal((6, n_classes)) * 0.6
    scores -= scores.mean(axis=0)
    return X, (scores + rng.gumbel(size=scores.shape)).argmax(axis=1)


def examples() -> Iterator[Example]:
    """Small tables, which scikit-learn fits; larger ones are tested apart."""
    from sklearn.linear_model import LogisticRegressionCV

    def folds() -> tuple[Any, Any, Any]:
        given: dict[str, Any] = {
            "l1_ratios": (0.0,),
            "scoring": "neg_log_loss",
            "use_legacy_attributes": False,
        }
        return LogisticRegressionCV(Cs=3, cv=3, **given), *_data()

    yield Example("LogisticRegressionCV", folds)
