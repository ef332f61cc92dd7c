"""Which methods of which classes have a door."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache

from millrace.accel.calls import Door


@dataclass
class _Registry:
    """Doors of methods, ``(method, door, which classes have it)``, and of functions by public name."""

    doors: list[tuple[str, Door, Callable[[str], bool]]] = field(default_factory=list)
    functions: dict[str, Door] = field(default_factory=dict)


_REGISTRY = _Registry()


def opens(*methods: str, of: Callable[[str], bool]) -> Callable[[Door], Door]:
    """Register a door for methods of these names.

    `of` is asked with the public name of a class (``"sklearn.linear_model.Ridge"``) whether the class
    has it; it must be cheap, since it is asked once for every class that scikit-learn defines.
    """

    def register(door: Door) -> Door:
        _REGISTRY.doors.extend((method, door, of) for method in methods)
        return door

    return register


def opens_function(name: str) -> Callable[[Door], Door]:
    """Register a door for a function of scikit-learn, by its public name.

    The function has an argument ``estimator``, which is that of the call. The door finds all others in
    ``call.kwargs``, those that were not given with their defaults.
    """

    def register(door: Door) -> Door:
        _REGISTRY.functions[name] = door
        return door

    return register


@cache
def _discover() -> None:
    """Import the modules of this room: a door exists by standing in one."""
    import millrace.accel as room

    for module in pkgutil.iter_modules(room.__path__):
        if module.name.endswith("_door"):
            importlib.import_module(f"{room.__name__}.{module.name}")


def doors_of(cls: type) -> Iterator[tuple[str, Door]]:
    """``(method, door)`` for every method of a class that has one."""
    _discover()
    name = public_name_of(cls)
    for method, door, of in _REGISTRY.doors:
        if of(name) and hasattr(cls, method):
            yield method, door


def door_of_function(module: str, name: str) -> Door | None:
    """The door of a function that a module defines."""
    _discover()
    return _REGISTRY.functions.get(_public(module, name))


def public_name_of(cls: type) -> str:
    """``sklearn.linear_model._ridge.Ridge`` -> ``sklearn.linear_model.Ridge``.

    By its spelling alone: while a package is being imported its public names are not there yet.
    """
    return _public(cls.__module__, cls.__name__)


def _public(module: str, name: str) -> str:
    parts = [p for p in module.split(".") if not p.startswith("_")]
    return ".".join((*parts[:2], name))
