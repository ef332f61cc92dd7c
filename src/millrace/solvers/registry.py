"""The registry of solvers: how one is written, found and looked up."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

from millrace.catalog.registry import examples_of, has_methods, modules_below, public_name
from millrace.solvers.rows import Request, Rows

Solver: TypeAlias = Callable[
    [Any, Rows], Generator["Request | Sequence[Request]", Any, Mapping[str, Any]]
]
"""``(estimator, rows)`` -> a generator of requests that returns the fitted attributes by name.

The estimator is not changed by its solver; the attributes are set on it at the end.
"""

Resident: TypeAlias = Callable[[Any, Any, Any, Any], Mapping[str, Any]]
"""``(estimator, X, y, sample_weight)`` -> the fitted attributes by name, for rows that are in memory.

`X` is a C-contiguous matrix of float32 or float64, or CSR, infinities and NaN as they are;
`y` is an array or None. It changes none of them, and not the estimator.
"""


Equivalent: TypeAlias = Callable[[Any, tuple[int, int]], bool]
"""``(estimator, (n_samples, n_features))`` -> whether what is fitted then is another object than the
source's: of the same quality or nearer the optimum, but not within 1e-6 in every attribute."""


class Decline(Exception):
    """These parameters, or this kind of data, cannot be streamed: the reason.

    A phrase that completes 'cannot be fitted batch by batch because ...'.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Example:
    """An unfitted estimator and data for the conformance suite of solvers.

    Attributes
    ----------
    name : str
        Unique within its module: class and the parameters that matter.
    make : callable
        Returns ``(estimator, X, y)``; X a NumPy array, data frame or CSR matrix of 60 rows at least,
        y None for transformers without a target. Seeded; imports its libraries itself.
    rtol : float
        Relative bound on every fitted float attribute and on the answers for X, against `oracle`.
    atol : float
        Absolute bound beside it, where attributes cancel to zero.
    why : str
        The reason for a bound other than 1e-6.
    oracle : callable, optional
        Makes, from the estimator, the one that scikit-learn is to fit: with a tighter ``tol`` where the
        default stops early. By default a clone.
    ignore : tuple of str
        Fitted attributes that are not compared: those that tell how it was solved (``n_iter_``).
    weight : bool
        Whether it is also compared with sample weights.
    quality : callable, optional
        ``(estimator, X, y) -> float``: where the answer is another one of the same quality (histogram
        forests, k-means from other starts) this is compared instead of attributes, and must not be lower
        than the oracle's by more than `quality_slack`.
    quality_slack : float
    """

    name: str
    make: Callable[[], tuple[Any, Any, Any]]
    rtol: float = 1e-6
    atol: float = 1e-9
    why: str = ""
    oracle: Callable[[Any], Any] | None = None
    ignore: tuple[str, ...] = ()
    weight: bool = False
    quality: Callable[[Any, Any, Any], float] | None = None
    quality_slack: float = 0.0


@dataclass
class _Registry:
    solvers: dict[str, Solver] = field(default_factory=dict)
    residents: dict[str, Resident] = field(default_factory=dict)
    weighted: set[str] = field(default_factory=set)
    equivalent: dict[str, Equivalent] = field(default_factory=dict)
    modules: dict[str, ModuleType] = field(default_factory=dict)


_REGISTRY = _Registry()


def solves(
    *public_names: str, weight: bool = False, equivalent: bool | Equivalent = False
) -> Callable[[Solver], Solver]:
    """Register a solver for the classes of these public names.

    `weight` says that it takes sample weights (its statistics read ``batch.weight``); `equivalent` that
    what it fits is not what the source fits with the same parameters (which may stop at its ``tol``):
    always, or where a function of the estimator and the shape of the rows says so.
    """

    def register(solver: Solver) -> Solver:
        _add(_REGISTRY.solvers, public_names, solver, weight, equivalent)
        return solver

    return register


def resident(
    *public_names: str, weight: bool = False, equivalent: bool | Equivalent = False
) -> Callable[[Resident], Resident]:
    """Register a solver that needs all rows in memory, for estimators that no statistic sums up.

    Where a class has both, a table is fitted by the one that `solves`, and rows that are in memory
    anyway by this one. It may raise `Decline`, before it does any work.
    """

    def register(solver: Resident) -> Resident:
        _add(_REGISTRY.residents, public_names, solver, weight, equivalent)
        return solver

    return register


def _add(
    registered: dict[str, Any],
    public_names: Sequence[str],
    solver: Any,
    weight: bool,
    equivalent: bool | Equivalent,
) -> None:
    for name in public_names:
        if name in registered:
            raise ValueError(f"two solvers for {name}")
        registered[name] = solver
        if weight:
            _REGISTRY.weighted.add(_kind(registered, name))
        if equivalent:
            always = equivalent is True
            _REGISTRY.equivalent[_kind(registered, name)] = _always if always else equivalent


def _always(estimator: Any, shape: tuple[int, int]) -> bool:
    return True


def _kind(registered: dict[str, Any], name: str) -> str:
    return f"{name} resident" if registered is _REGISTRY.residents else name


@cache
def _discover() -> None:
    """Import every module below this package: a solver exists by standing in a file."""
    _REGISTRY.modules.update(modules_below("millrace.solvers", ("registry", "rows")))


@cache
def _sources() -> dict[str, bytes]:
    """Module name -> source of every module below this package; none where there are only archives."""
    return {
        ".".join(("millrace.solvers", *path.relative_to(folder).with_suffix("").parts)): (
            path.read_bytes()
        )
        for folder in importlib.import_module("millrace.solvers").__path__
        for path in sorted(Path(folder).rglob("*.py"))
        if path.stem != "__init__"
    }


@cache
def _import_for(public_name: str) -> None:
    """Import the modules that write a class's name: to import all takes as long as many a fit.

    A solver is therefore registered under a name that stands in its module, in quotes.
    """
    if not _sources():
        _discover()
    for module, source in _sources().items():
        if f'"{public_name}"'.encode() in source:
            importlib.import_module(module)


def registered() -> dict[str, Solver]:
    """Public class name -> solver, for every solver there is."""
    _discover()
    return dict(sorted(_REGISTRY.solvers.items()))


def examples() -> Iterator[tuple[str, Example]]:
    """``(module, example)`` of every solver module; nothing is fitted yet."""
    _discover()
    yield from examples_of(_REGISTRY.modules, "millrace.solvers.")


def lookup(cls: type) -> Solver | None:
    """The solver of a class, or of a base class of which it overrides no method."""
    return _REGISTRY.solvers.get(_registered_name(cls, _REGISTRY.solvers))


def lookup_resident(cls: type) -> Resident | None:
    """The solver for rows in memory, as `lookup`."""
    return _REGISTRY.residents.get(_registered_name(cls, _REGISTRY.residents))


def takes_weight(cls: type, *, in_memory: bool = False) -> bool:
    """Whether the solver of a class takes sample weights."""
    return _registered_kind(cls, in_memory) in _REGISTRY.weighted


def is_equivalent(estimator: Any, shape: tuple[int, int], *, in_memory: bool | None = None) -> bool:
    """Whether what the solver of an estimator fits on rows of a shape is of the same quality only.

    `in_memory` asks about the resident solver; by default about whichever is taken for rows in memory.
    """
    cls = type(estimator)
    if in_memory is None:
        in_memory = lookup_resident(cls) is not None
    says = _REGISTRY.equivalent.get(_registered_kind(cls, in_memory))
    return says is not None and says(estimator, shape)


def _registered_kind(cls: type, in_memory: bool) -> str:
    registered: dict[str, Any] = _REGISTRY.residents if in_memory else _REGISTRY.solvers
    return _kind(registered, _registered_name(cls, registered))


def _registered_name(cls: type, registered: Mapping[str, Any]) -> str:
    """The name that a class is registered under; empty where it is not."""
    for base in cls.__mro__:
        name = public_name(base)
        _import_for(name)
        if name in registered:
            return name
        if has_methods(base):
            break
    return ""
