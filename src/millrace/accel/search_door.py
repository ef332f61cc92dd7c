"""The doors of searches and cross-validation: all candidates and folds share the reads of the data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from millrace.accel import costs
from millrace.accel.calls import TOO_SMALL, Call, Done, NotHere
from millrace.accel.doors import opens, opens_function, public_name_of
from millrace.accel.fit_door import FOR_STREAMS
from millrace.accel.options import OPTIONS
from millrace.accel.plain import check_rows, check_settings, stops_early, target_of
from millrace.errors import MillraceError, SplitError
from millrace.solvers import registry

SESSION = 5e-3
"""Seconds that it takes to open the data and to plan."""

EACH = 1e-3
"""Seconds of a candidate on a fold, however few the rows: clones, requests, results."""

SHARED = 0.2
"""What a candidate on a fold costs beside the reads that all share, as a part of a fit of its own."""

FEWEST_FITS = 4
"""Candidates times folds: with fewer there is little to share."""


@opens("fit", of=lambda name: name.endswith((".GridSearchCV", ".RandomizedSearchCV")))
def search(call: Call) -> Done:
    """Fit all candidates on all folds together, and the best one on all rows."""
    found = call.estimator
    X, y = _rows(call)
    y, single = _plain(found.estimator, X, y)
    if found.verbose:
        raise NotHere("it prints its progress", "verbose=0")
    if not isinstance(found.return_train_score, bool) or callable(found.refit):
        raise NotHere("`refit` is a function", "refit=True, or the name of a scorer")
    chosen = _candidates(found)
    if any(name.rpartition("__")[2] == "max_iter" for one in chosen for name in one):
        raise NotHere("candidates differ in max_iter, so that some may be meant to stop early")
    folds, splitter = _folds(found.estimator, found.cv, X, y)
    steps = [*_leaves(found.estimator), *_inside(chosen)]
    level = _level(steps, call.shape, single)
    expected = _worth(steps, call.shape, len(chosen) * folds.n)
    from millrace.fitting.search import search_by_solvers

    try:
        search_by_solvers(found, chosen, X, y, folds)
    except MillraceError as declined:
        raise NotHere(str(declined)) from declined
    found._checked_cv_orig = splitter
    return Done(found, *call.shape, level, expected)


@opens_function("sklearn.model_selection.cross_validate")
def cross_validate(call: Call) -> Done:
    """Fit all folds together."""
    estimator, given = call.estimator, call.kwargs
    X = given["X"]
    y, single = _plain(estimator, X, given["y"])
    odd = [n for n in ("groups", "params", "fit_params") if given.get(n)]
    if odd or given["verbose"] or given["return_indices"]:
        raise NotHere(f"`{(*odd, 'verbose or return_indices')[0]}` is given")
    folds, _ = _folds(estimator, given["cv"], X, y)
    steps = list(_leaves(estimator))
    level = _level(steps, X.shape, single)
    expected = _worth(steps, X.shape, folds.n)
    from millrace.fitting.validate import cross_validate_by_solvers

    try:
        found = cross_validate_by_solvers(
            estimator, X, y, folds, given["scoring"],
            estimators=given["return_estimator"], train=given["return_train_score"],
        )  # fmt: skip
    except MillraceError as declined:
        raise NotHere(str(declined)) from declined
    return Done(found, len(X), X.shape[1], level, expected)


def _rows(call: Call) -> tuple[Any, Any]:
    given = dict(zip(("X", "y"), call.args, strict=False)) | dict(call.kwargs)
    if len(call.args) > 2 or set(given) - {"X", "y"}:
        raise NotHere("arguments other than X and y")
    return given.get("X"), given.get("y")


def _plain(estimator: Any, X: Any, y: Any) -> tuple[Any, bool]:
    """The target as solvers read it, and whether scikit-learn would compute in float32.

    Raises
    ------
    NotHere
    """
    single = check_rows(X)
    while hasattr(estimator, "steps"):
        estimator = estimator.steps[-1][1]
    target, column = target_of(estimator, y, len(X))
    if column is not None:
        raise NotHere("the target is a column, and scikit-learn warns of it", "y.ravel()")
    return target, single


def _candidates(found: Any) -> list[dict[str, Any]]:
    from sklearn.model_selection import ParameterGrid, ParameterSampler

    if hasattr(found, "param_grid"):
        return list(ParameterGrid(found.param_grid))
    if not isinstance(found.random_state, (int, np.integer)):
        raise NotHere("its candidates are drawn from a shared random state", "random_state=0")
    return list(
        ParameterSampler(found.param_distributions, found.n_iter, random_state=found.random_state)
    )


def _folds(estimator: Any, cv: Any, X: Any, y: Any) -> tuple[Any, Any]:
    """The folds of a splitter, and the splitter."""
    from sklearn.base import is_classifier
    from sklearn.model_selection import check_cv

    from millrace.data.splits import Folds

    splitter: Any = check_cv(cv, y, classifier=is_classifier(estimator))
    if isinstance(getattr(splitter, "random_state", None), np.random.RandomState):
        raise NotHere("its folds are drawn from a shared random state", "an integer random_state")
    try:
        return Folds.from_splitter(splitter, len(X), None if y is None else np.asarray(y)), splitter
    except SplitError as error:
        raise NotHere(f"the folds do not share out the rows: {error}") from error


def _leaves(estimator: Any) -> Iterator[Any]:
    """The estimators that do the work in one: the steps of pipelines, or itself."""
    parts = [v for v in estimator.get_params(deep=True).values() if hasattr(v, "fit")]
    yield from (v for v in parts or [estimator] if not hasattr(v, "steps"))


def _inside(chosen: Sequence[dict[str, Any]]) -> Iterator[Any]:
    """Estimators that are candidates themselves."""
    for value in (v for one in chosen for v in one.values()):
        if hasattr(value, "fit"):
            yield from _leaves(value)


def _level(steps: Iterable[Any], shape: tuple[int, int], single: bool) -> str:
    """The level of the result; every step has to be a plain one with a solver that streams.

    Raises
    ------
    NotHere
    """
    level = "equivalent" if single else "exact"
    for step in steps:
        cls = type(step)
        check_settings(step)
        if registry.lookup(cls) is None or public_name_of(cls) in FOR_STREAMS:
            raise NotHere(f"there is no solver of {cls.__name__} that folds could share")
        if registry.is_equivalent(step, shape, in_memory=False):
            if stops_early(step):
                raise NotHere(f"{cls.__name__} may be meant to stop early, by its max_iter")
            level = "equivalent"
    if level == "equivalent" and OPTIONS.get().level == "exact":
        raise NotHere("its solver gives an equivalent result", 'accelerate("equivalent")')
    return level


def _worth(steps: Sequence[Any], shape: tuple[int, int], fits: int) -> float:
    """Seconds that scikit-learn is expected to take.

    Raises
    ------
    NotHere
        It is not expected to take longer than sharing.
    """
    known = [e for s in steps if (e := costs.measured(public_name_of(type(s)), "fit", *shape))]
    theirs = fits * sum(e.theirs for e in known)
    ours = SESSION + fits * EACH + (1 + SHARED * fits) * sum(min(e.theirs, e.ours) for e in known)
    if not known or fits < FEWEST_FITS or theirs <= costs.MARGIN * ours:
        raise TOO_SMALL
    return theirs
