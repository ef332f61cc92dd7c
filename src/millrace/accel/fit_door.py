"""The door of ``fit``: to the solver of the class."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import cache
from typing import Any

from millrace.accel import costs
from millrace.accel.calls import (
    TOO_SMALL,
    Call,
    Done,
    NotHere,
    inside,
    original_of,
    through,
)
from millrace.accel.doors import opens, public_name_of
from millrace.accel.options import OPTIONS
from millrace.accel.plain import PlainFit, plain_fit, stops_early
from millrace.errors import MillraceError
from millrace.solvers import registry

FOR_STREAMS = frozenset(
    (
        "sklearn.cluster.MiniBatchKMeans",
        "sklearn.cross_decomposition.CCA",
        "sklearn.cross_decomposition.PLSCanonical",
        "sklearn.cross_decomposition.PLSRegression",
        "sklearn.cross_decomposition.PLSSVD",
        "sklearn.linear_model.PassiveAggressiveClassifier",
        "sklearn.linear_model.PassiveAggressiveRegressor",
        "sklearn.linear_model.Perceptron",
        "sklearn.linear_model.SGDClassifier",
        "sklearn.linear_model.SGDOneClassSVM",
        "sklearn.linear_model.SGDRegressor",
        "sklearn.neural_network.MLPClassifier",
        "sklearn.neural_network.MLPRegressor",
        "sklearn.random_projection.GaussianRandomProjection",
        "sklearn.random_projection.SparseRandomProjection",
    )
)
"""Their solvers are for tables larger than memory: other steps, no attribute as long as the rows, or no
look at the rows."""


def _has(name: str) -> bool:
    return costs.is_known(name, "fit") and name not in FOR_STREAMS


@opens("fit", of=_has)
def fit(call: Call) -> Done:
    """Fit by Millrace's solver.

    The solver works on a copy of the estimator, whose attributes the estimator gets at the end: where
    it stops halfway, the original finds everything as it was.
    """
    estimator = call.estimator
    name = _known_as(type(estimator))
    rows, columns = call.shape
    expected = costs.estimate(name, "fit", rows, columns) if name else None
    if expected is None or not expected.gains:
        raise TOO_SMALL
    given = plain_fit(call)
    if not expected.gains_by(costs.MARGIN_OF_OTHERS) and not _has_defaults(estimator):
        raise TOO_SMALL
    level = _level(estimator, given, call.shape)
    if level == "equivalent" and OPTIONS.get().level == "exact":
        raise NotHere("its solver gives an equivalent result", 'accelerate("equivalent")')
    if not costs.pays(name, "fit", expected):
        raise TOO_SMALL
    fit_in_one_go(estimator, given)
    return Done(estimator, rows, columns, level, expected.theirs)


def way(original: Callable[..., Any], method: str) -> Callable[..., Any]:
    """A ``fit`` with this door before it; what is too small in any case is not delayed by it."""

    def fit_or_original(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        if inside(self):
            return original(self, *args, **kwargs)
        shape = getattr(args[0] if args else kwargs.get("X"), "shape", None)
        rows = shape[0] if isinstance(shape, tuple) and shape else 0
        if costs.is_hopeless(_known_as(type(self)), method, rows):
            return original_of(self, original, *args, **kwargs)
        return through(fit, Call(self, method, original, args, kwargs))

    return fit_or_original


fit.way = way  # pyright: ignore[reportFunctionMemberAccess]


@cache
def _known_as(cls: type) -> str:
    """The name under which a class, or one that it derives all methods from, was measured."""
    if registry.lookup(cls) is None and registry.lookup_resident(cls) is None:
        return ""
    names = [public_name_of(base) for base in cls.__mro__]
    if not FOR_STREAMS.isdisjoint(names):
        return ""
    return next((name for name in names if costs.is_known(name, "fit")), "")


def _has_defaults(estimator: Any) -> bool:
    """Whether the parameters that may change the work are those that were measured."""
    defaults = _defaults(type(estimator))
    return all(
        name == "random_state" or getattr(estimator, name) is value or _same(estimator, name, value)
        for name, value in defaults.items()
    )


def _same(estimator: Any, name: str, value: Any) -> bool:
    now = getattr(estimator, name)
    return type(now) is type(value) and isinstance(value, (int, float, str)) and now == value


@cache
def _defaults(cls: type) -> dict[str, Any]:
    import inspect

    return {
        name: parameter.default
        for name, parameter in inspect.signature(cls).parameters.items()
        if parameter.default is not parameter.empty
    }


def _level(estimator: Any, given: PlainFit, shape: tuple[int, int]) -> str:
    """Exact or equivalent; of float32 rows scikit-learn computes most attributes in float32."""
    if registry.is_equivalent(estimator, shape):
        if stops_early(estimator):
            raise NotHere("max_iter is less than its default, and may be meant to stop early")
        return "equivalent"
    return "equivalent" if given.single else "exact"


def fit_in_one_go(estimator: Any, given: PlainFit) -> None:
    """Fit by solvers; the estimator is changed at the end or not at all.

    Raises
    ------
    NotHere
        The solver declines, refuses the data, or warns: then the original has to warn.
    """
    from millrace.fitting.fit import fit_by_solvers

    trial: Any = object.__new__(type(estimator))
    vars(trial).update(vars(estimator))
    try:
        with _noted() as warned:
            fit_by_solvers(trial, given.X, given.y, given.weight)
    except MillraceError as declined:
        raise NotHere(str(declined)) from declined
    if warned:
        raise NotHere("it gives a warning")
    if given.column is not None:
        _warn_of_column(given.column)
    kept = vars(estimator)
    for name in kept.keys() - vars(trial).keys():
        del kept[name]
    kept.update(vars(trial))


def _warn_of_column(y: Any) -> None:
    from sklearn.utils.validation import column_or_1d

    column_or_1d(y, warn=True)


@contextmanager
def _noted() -> Generator[list[warnings.WarningMessage]]:
    """The warnings of a block; none outside the main thread, since all threads share the filters."""
    if threading.current_thread() is not threading.main_thread():
        yield []
        return
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        yield given
