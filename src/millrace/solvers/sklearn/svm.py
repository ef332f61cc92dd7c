"""LinearSVC and LinearSVR: the optimum of liblinear's objectives, which penalise the intercept.

Squared losses are minimised by Newton steps (`minimise`); the hinge and the insensitive tube, which have
kinks, by `minimise_kinked`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from millrace.solvers.registry import Decline, Example, solves
from millrace.solvers.rows import Rows
from millrace.solvers.sklearn._kinked import minimise_kinked
from millrace.solvers.sklearn._labels import check_classes, class_weights, source_checks
from millrace.solvers.sklearn._newton import minimise, sample_of, together
from millrace.solvers.sklearn._objective import Problem
from millrace.statistics.classes import ClassCounts, Classes
from millrace.statistics.glm import Labels
from millrace.statistics.losses import Loss, SmoothPinball, SquaredEpsilonInsensitive, SquaredHinge
from millrace.statistics.moments import Moments
from millrace.statistics.sample import Sampled


@solves("sklearn.svm.LinearSVC", weight=True, equivalent=True)
def linear_svc(estimator: Any, rows: Rows) -> Generator[Any, Any, dict[str, Any]]:
    """One problem for each class, all of them in the same sweeps; exact up to 1e-8 (1e-7 for hinge)."""
    estimator._validate_params()
    if estimator.multi_class == "crammer_singer":
        raise Decline("multi_class='crammer_singer' couples the classes by a loss with kinks")
    found, sample = yield [rows.ask(Classes()), rows.ask(sample_of(rows))]
    check_classes(estimator, found)
    source_checks(estimator, len(found.classes))
    loss = SquaredHinge() if estimator.loss == "squared_hinge" else SmoothPinball("hinge", 1.0)
    problems = [
        replace(_problem(estimator, loss, sample, estimator.penalty == "l1"), labels=labels)
        for labels in _one_against_rest(estimator, found)
    ]
    solved = yield from together([_solve(rows, p, sample, estimator.tol) for p in problems])
    raw = [p.raw(w) for p, (w, _) in zip(problems, solved, strict=True)]
    return {
        "classes_": found.classes,
        "coef_": np.concatenate([coef for coef, _ in raw]),
        "intercept_": np.concatenate([b for _, b in raw]) if estimator.fit_intercept else 0.0,
        "n_iter_": max(n for _, n in solved),
    }


@solves("sklearn.svm.LinearSVR", weight=True, equivalent=True)
def linear_svr(estimator: Any, rows: Rows) -> Generator[Any, Any, dict[str, Any]]:
    """Exact up to 1e-8 of the largest coefficient; 1e-7 for ``loss="epsilon_insensitive"``."""
    estimator._validate_params()
    # the moments are those that refuse missing and infinite values, in every row
    finite = Moments(allow_nan=False, who="LinearSVR")
    sample, _ = yield [rows.ask(sample_of(rows)), rows.unweighted().ask(finite)]
    source_checks(estimator)
    epsilon = float(estimator.epsilon)
    loss: Loss = SquaredEpsilonInsensitive(epsilon)
    if estimator.loss == "epsilon_insensitive":
        loss = SmoothPinball("tube", 1.0, epsilon=epsilon)
        if epsilon == 0:
            loss = SmoothPinball("pinball", 1.0, up=1.0, down=1.0)
    problem = _problem(estimator, loss, sample, False)
    w, n_sweeps = yield from _solve(rows, problem, sample, estimator.tol)
    coef, intercept = problem.raw(w)
    return {
        "coef_": coef[0],
        "intercept_": intercept if estimator.fit_intercept else 0.0,
        "n_iter_": n_sweeps,
    }


def _solve(
    rows: Rows, problem: Problem, sample: Sampled, tol: float
) -> Generator[Any, Any, tuple[np.ndarray, int]]:
    if isinstance(problem.loss, SmoothPinball):
        return (yield from minimise_kinked(rows, problem, sample))
    return (yield from minimise(rows, problem, sample, np.zeros(problem.size), tol))


def _problem(estimator: Any, loss: Loss, sample: Sampled, l1: bool) -> Problem:
    """``C * sum(losses)`` and a penalty of strength one on every parameter."""
    constant = estimator.intercept_scaling if estimator.fit_intercept else 0
    width = sample.batch.matrix.shape[1] + int(constant != 0)
    ones, zeros = np.ones(width), np.zeros(width)
    return Problem(
        loss,
        (1, width),
        l1=ones if l1 else zeros,
        l2=zeros if l1 else ones,
        linear=zeros,
        factor=float(estimator.C),
        intercept=float(constant),
        who=type(estimator).__name__,
    )


def _one_against_rest(estimator: Any, found: ClassCounts) -> list[Labels]:
    """The labels of each problem. With more than two classes only the positive one is weighted."""
    weights = class_weights(estimator.class_weight, found)
    if len(found.classes) == 2:
        return [Labels(found.classes, weights, 1)]
    labels: list[Labels] = []
    for c in range(len(found.classes)):
        own = None
        if weights is not None:
            own = np.ones(len(weights))
            own[c] = weights[c]
        labels.append(Labels(found.classes, own, c))
    return labels


def _tight(estimator: Any) -> Any:
    from sklearn.base import clone

    copy: Any = clone(estimator)
    return copy.set_params(tol=1e-11, max_iter=1_000_000)


def examples() -> Iterator[Example]:
    """Every loss and penalty, two classes and more."""
    from sklearn.svm import LinearSVC, LinearSVR

    from millrace.solvers.sklearn.logistic import _data

    def classes(n_classes: int = 2, **params: Any) -> Any:
        return lambda: (LinearSVC(**params), *_data(n_classes))

    def numbers(**params: Any) -> Any:
        def make() -> tuple[Any, Any, Any]:
            rng = np.random.default_rng(2)
            X = rng.standard_normal((150, 4))
            return LinearSVR(**params), X, X @ [1.0, -2.0, 0.5, 0.0] + rng.standard_normal(150)

        return make

    why = "liblinear stops by the change of its own variables"
    base = Example(
        "LinearSVC",
        classes(C=0.1),
        rtol=1e-5,
        atol=1e-6,
        why=why,
        oracle=_tight,
        ignore=("n_iter_",),
        weight=True,
    )
    yield base
    yield replace(base, name="LinearSVC classes", make=classes(3, C=0.1, class_weight="balanced"))
    yield replace(base, name="LinearSVC l1", make=classes(penalty="l1", C=0.05, dual=False))
    yield replace(base, name="LinearSVC plain", make=classes(fit_intercept=False, dual=False))
    yield replace(base, name="LinearSVC hinge", make=classes(loss="hinge", C=0.02))
    squared = {"loss": "squared_epsilon_insensitive", "epsilon": 0.3}
    yield replace(base, name="LinearSVR squares", make=numbers(dual=False, **squared))
    yield replace(base, name="LinearSVR", make=numbers(C=0.05))
    yield replace(base, name="LinearSVR tube", make=numbers(C=0.05, epsilon=0.5))
