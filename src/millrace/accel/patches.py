"""Doors in scikit-learn's classes, put in and taken out."""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import CodeType, FunctionType, ModuleType
from typing import Any

from millrace.accel.calls import Call, Door, inside, through
from millrace.accel.doors import door_of_function, doors_of

_MISSING = object()


@dataclass
class _Patched:
    """What was there before.

    Attributes
    ----------
    before : dict
        ``(class, method)`` -> the entry of the class's ``__dict__``, or that there was none.
    functions : dict
        A function -> a copy of it as it was.
    """

    before: dict[tuple[type, str], Any] = field(default_factory=dict)
    functions: dict[FunctionType, FunctionType] = field(default_factory=dict)
    on: bool = False


_PATCHED = _Patched()


def installed() -> bool:
    """Whether the doors are in."""
    return _PATCHED.on


def install() -> None:
    """Put doors into the classes of scikit-learn that are imported, and of modules to come."""
    if _PATCHED.on:
        return
    _PATCHED.on = True
    for name in [n for n in sys.modules if n.startswith("sklearn.")]:
        _patch_module(sys.modules[name])
    sys.meta_path.insert(0, _AfterImport())


def uninstall() -> None:
    """Take all doors out."""
    sys.meta_path[:] = [f for f in sys.meta_path if not isinstance(f, _AfterImport)]
    for (cls, method), entry in _PATCHED.before.items():
        if entry is _MISSING:
            delattr(cls, method)
        else:
            setattr(cls, method, entry)
    for function, original in _PATCHED.functions.items():
        _give_back(function, original)
    _PATCHED.before.clear()
    _PATCHED.functions.clear()
    _PATCHED.on = False


class _AfterImport(importlib.abc.MetaPathFinder):
    """Patches the classes of a scikit-learn module as soon as it is imported."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if not fullname.startswith("sklearn."):
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or not isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            return None
        execute = spec.loader.exec_module

        def and_patch(module: ModuleType) -> None:
            execute(module)
            if _PATCHED.on:
                _patch_module(module)

        spec.loader.exec_module = and_patch  # type: ignore[method-assign]
        return spec


def _patch_module(module: ModuleType) -> None:
    """Put doors into the classes that a module defines."""
    for found in list(vars(module).values()):
        if getattr(found, "__module__", None) != module.__name__:
            continue
        if isinstance(found, type):
            for method, door in doors_of(found):
                _patch(found, method, door)
        elif inspect.isfunction(found) and (
            door := door_of_function(module.__name__, found.__name__)
        ):
            _patch_function(inspect.unwrap(found), door)


def _patch(cls: type, method: str, door: Door) -> None:
    if (cls, method) in _PATCHED.before:
        return
    original = _without_door(inspect.getattr_static(cls, method, None))
    if (entry := _with_door(original, method, door)) is None:
        return
    _PATCHED.before[cls, method] = original if method in vars(cls) else _MISSING
    setattr(cls, method, entry)


def _without_door(found: Any) -> Any:
    """A method as it was, inherited or taken over from a class that has its doors by now."""
    if hasattr(found, "check") and hasattr(getattr(found, "fn", None), "__millrace_original__"):
        return type(found)(found.fn.__millrace_original__, found.check, found.attribute_name)
    return getattr(found, "__millrace_original__", found)


def _with_door(original: Any, method: str, door: Door) -> Any:
    """A function, or one behind ``available_if``, with a door before it; None for anything else."""
    if inspect.isfunction(original):
        return _function(original, method, door)
    if hasattr(original, "check") and inspect.isfunction(getattr(original, "fn", None)):
        return type(original)(
            _function(original.fn, method, door), original.check, original.attribute_name
        )
    return None


def _function(original: Callable[..., Any], method: str, door: Door) -> Callable[..., Any]:
    if (way := getattr(door, "way", None)) is not None:
        entry: Any = functools.wraps(original)(way(original, method))
        entry.__millrace_original__ = original
        return entry

    @functools.wraps(original)
    def with_door(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        if inside(self):
            return original(self, *args, **kwargs)
        return through(door, Call(self, method, original, args, kwargs))

    with_door.__millrace_original__ = original  # type: ignore[attr-defined]
    return with_door


def _patch_function(function: FunctionType, door: Door) -> None:
    """Change the code of a function, since other modules hold the function itself by now."""
    if function in _PATCHED.functions or function.__code__.co_freevars:
        return
    original = FunctionType(function.__code__, function.__globals__, function.__name__)
    original.__defaults__, original.__kwdefaults__ = function.__defaults__, function.__kwdefaults__
    signature = inspect.signature(function)

    def run_original(estimator: Any, **given: Any) -> Any:
        return original(estimator=estimator, **given)

    def with_door(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs)
        given.apply_defaults()
        estimator = given.arguments.pop("estimator")
        call = Call(
            estimator, function.__name__, run_original, (), given.arguments, is_function=True
        )
        return call.run_original() if inside(estimator) else through(door, call)

    _PATCHED.functions[function] = original
    function.__signature__ = signature  # type: ignore[attr-defined]
    function.__defaults__ = function.__kwdefaults__ = None
    function.__code__ = _calling(with_door)


def _calling(called: Callable[..., Any]) -> CodeType:
    """Code for a function without a closure that passes its arguments on."""

    def passes_on(*args: Any, **kwargs: Any) -> Any:
        called: Any = "what is called"
        return called(*args, **kwargs)

    code = passes_on.__code__
    constants = (called if c == "what is called" else c for c in code.co_consts)
    return code.replace(co_consts=tuple(constants))


def _give_back(function: FunctionType, original: FunctionType) -> None:
    function.__code__ = original.__code__
    function.__defaults__, function.__kwdefaults__ = original.__defaults__, original.__kwdefaults__
    del function.__signature__  # type: ignore[attr-defined]
