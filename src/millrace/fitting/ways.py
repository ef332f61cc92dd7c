"""The ways to fit an estimator, best first: its solver, ``partial_fit``, in memory."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any

from millrace.errors import FitError
from millrace.solvers.registry import Decline, lookup, lookup_resident, takes_weight
from millrace.solvers.rows import Rows
from millrace.statistics.collect import Collect, as_matrix


@dataclass(frozen=True)
class Way:
    """One way to fit an estimator.

    Attributes
    ----------
    name : str
        Completes 'it is fitted ...': by its solver, batch by batch, in memory.
    begin : callable
        ``(estimator, rows)`` -> a generator as solvers are.
    notable : bool
        Whether a report should say that it was fitted in this way.
    """

    name: str
    begin: Callable[[Any, Rows], Generator[Any, Any, Mapping[str, Any]]]
    notable: bool = True


@dataclass(frozen=True)
class Allowed:
    """Which ways may be taken.

    Attributes
    ----------
    loading : bool
        All rows may be loaded into memory (``in_memory=True``).
    at_hand : bool
        They are in memory anyway, and nothing bounds it.
    own_methods : bool
        The estimator's own ``fit`` and ``partial_fit`` count as ways.
    """

    loading: bool = False
    at_hand: bool = False
    own_methods: bool = True


def ways(estimator: Any, rows: Rows, allowed: Allowed) -> list[Way]:
    """All ways that there are for an estimator; the last one declines where none is left."""
    found: list[Way] = []
    solver = lookup(type(estimator))
    resident = lookup_resident(type(estimator)) is not None
    if not rows.target and _needs_target(estimator):
        raise FitError.target_needed(type(estimator).__name__)
    if rows.weighted and not _has_weight(estimator):
        raise FitError.at(rows.path, type(estimator).__name__, "it takes no sample weights")
    if resident and allowed.at_hand:
        found.append(_BY_RESIDENT)
    if solver is not None:
        fits = not rows.weighted or takes_weight(type(estimator))
        found.append(Way("by its solver", solver if fits else _unweighted_only, notable=False))
    elif _is_stateless(estimator):
        way = "on its first rows, since it learns nothing from them"
        found.append(Way(way, _on_head, notable=False))
    if allowed.own_methods and hasattr(estimator, "partial_fit"):
        found.append(Way("batch by batch through partial_fit", _by_partial_fit))
    if resident and allowed.loading and not allowed.at_hand:
        found.append(_BY_RESIDENT)
    if allowed.own_methods and allowed.loading:
        found.append(Way("in memory", _in_memory))
    return found or [Way("", _refuse, notable=False)]


def _needs_target(estimator: Any) -> bool:
    try:
        return bool(estimator.__sklearn_tags__().target_tags.required)
    except AttributeError:
        return False


def _has_weight(estimator: Any) -> bool:
    if hasattr(estimator, "steps"):
        return True
    return "sample_weight" in inspect.signature(estimator.fit).parameters


def _is_stateless(estimator: Any) -> bool:
    try:
        return not estimator.__sklearn_tags__().requires_fit and hasattr(estimator, "transform")
    except AttributeError:
        return False


def _on_head(estimator: Any, rows: Rows) -> Generator[Any, Any, Mapping[str, Any]]:
    from sklearn.base import clone

    head = rows.head
    if head is None:
        head = (yield rows.ask(Collect(most=50))).X
    copied: Any = clone(estimator)
    return _learned(copied.fit(head))


def _by_partial_fit(estimator: Any, rows: Rows) -> Generator[Any, Any, Mapping[str, Any]]:
    from millrace.solvers.sklearn.partial import by_partial_fit

    return (yield from by_partial_fit(estimator, rows))


def _in_memory(estimator: Any, rows: Rows) -> Generator[Any, Any, Mapping[str, Any]]:
    from sklearn.base import clone

    found = yield rows.ask(Collect())
    given = {} if found.weight is None else {"sample_weight": found.weight}
    target = () if found.y is None else (found.y,)
    copied: Any = clone(estimator)
    return _learned(copied.fit(found.X, *target, **given))


def _resident(estimator: Any, rows: Rows) -> Generator[Any, Any, Mapping[str, Any]]:
    solver = lookup_resident(type(estimator))
    if solver is None or (rows.weighted and not takes_weight(type(estimator), in_memory=True)):
        raise Decline("its solver takes no sample weights")
    found = yield rows.ask(Collect())
    return solver(estimator, as_matrix(found.X), found.y, found.weight)


_BY_RESIDENT = Way("in memory by its solver", _resident, notable=False)


def _learned(fitted: Any) -> dict[str, Any]:
    params = set(fitted.get_params(deep=False))
    return {name: value for name, value in vars(fitted).items() if name not in params}


def _unweighted_only(estimator: Any, rows: Rows) -> Generator[Any, Any, Mapping[str, Any]]:
    raise Decline("its solver takes no sample weights")
    yield


def _refuse(estimator: Any, rows: Rows) -> Generator[Any, Any, Mapping[str, Any]]:
    raise Decline("there is no solver for it and it has no partial_fit")
    yield
