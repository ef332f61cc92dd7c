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
    """Method name -> the door and the test which classes have it."""

    doors: dict[str, tuple[Door, Callable[[str], bool]]] = field(default_factory=dict)


_REGISTRY = _Registry()


def opens(*methods: str, of: Callable[[str], bool]) -> Callable[[Door], Door]:
    """Register a door for methods of these names.

    `of` is asked with the public name of a class (``"sklearn.linear_model.Ridge"``) whether the class
    has it; it must be cheap, since it is asked once for every class that scikit-learn defines.
    """

    def register(door: Door) -> Door:
        for method in methods:
            _REGISTRY.doors[method] = (door, of)
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
    for method, (door, of) in _REGISTRY.doors.items():
        if of(name) and hasattr(cls, method):
            yield method, door


def public_name_of(cls: type) -> str:
    """``sklearn.linear_model._ridge.Ridge`` -> ``sklearn.linear_model.Ridge``.

    By its spelling alone: while a package is being imported its public names are not there yet.
    """
    parts = [p for p in cls.__module__.split(".") if not p.startswith("_")]
    return ".".join((*parts[:2], cls.__name__))
