"""The way of a call through a door: to Millrace, or back to the original, and a record of it."""

from __future__ import annotations

import copy
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from millrace.accel.options import OPTIONS
from millrace.accel.records import RECORDS, Key, Ran, site


class NotHere(Exception):
    """The original has to run this call.

    Attributes
    ----------
    reason : str
        What stands in the way: ``"solver='saga' with an l1 penalty"``.
    lift : str
        What the user could do about it; may be empty.
    quiet : bool
        The call is too small to be worth a line in the report.
    """

    def __init__(self, reason: str, lift: str = "", *, quiet: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.lift, self.quiet = reason, lift, quiet


TOO_SMALL = NotHere("too small to gain", quiet=True)
"""One object for the common case, so that a small call costs nothing but its decision."""


@dataclass(frozen=True)
class Call:
    """One call of a method of a scikit-learn class.

    Attributes
    ----------
    estimator : object
        The `self` of the method.
    method : str
    original : callable
        scikit-learn's own function, unbound.
    args : tuple
    kwargs : dict
    is_function : bool
        It is a function that the estimator is an argument of: where the original runs, the methods that
        it calls have their own doors.
    """

    estimator: Any
    method: str
    original: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    is_function: bool = False

    @property
    def name(self) -> str:
        """The class, as a report shows it."""
        return type(self.estimator).__name__

    @property
    def X(self) -> Any:
        """The first argument, which is the rows in every method that has a door; None without one."""
        return self.args[0] if self.args else self.kwargs.get("X")

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, 0 where they cannot be told."""
        shape = getattr(self.X, "shape", None)
        if isinstance(shape, tuple):
            return shape[0] if shape else 0, shape[1] if len(shape) > 1 else 1
        return (len(self.X) if isinstance(self.X, list) else 0), 0

    def run_original(self) -> Any:
        return self.original(self.estimator, *self.args, **self.kwargs)


@dataclass(frozen=True)
class Done:
    """What a door returns.

    Attributes
    ----------
    value : object
        What the method returns.
    rows, columns : int
    level : str
        ``"exact"`` or ``"equivalent"``.
    estimated : float
        Seconds that the original is expected to take; 0 where that is not known.
    """

    value: Any
    rows: int
    columns: int
    level: str = "exact"
    estimated: float = 0.0


Door: TypeAlias = Callable[[Call], Done]
"""Answers a call, or raises `NotHere` before it has changed anything that the caller can see."""


class _Inside(threading.local):
    """What this thread is in the middle of."""

    def __init__(self) -> None:
        self.ours = 0
        self.originals: set[int] = set()


_INSIDE = _Inside()


def inside(estimator: Any) -> bool:
    """Whether a call has to go straight to the original.

    So it is within Millrace's own work, and where the original of a method of the same object calls
    another of its methods.
    """
    return bool(_INSIDE.ours) or id(estimator) in _INSIDE.originals


@contextmanager
def originals() -> Generator[None]:
    """Within this block all calls of this thread go straight to the originals."""
    _INSIDE.ours += 1
    try:
        yield
    finally:
        _INSIDE.ours -= 1


def through(door: Door, call: Call) -> Any:
    """Let a door answer a call; where it does not, the original does.

    Raises
    ------
    Exception
        What the original raises; with ``strict``, also what the door raises.
    """
    aside = _copied(call) if OPTIONS.get().compare else None
    began = time.perf_counter()
    try:
        with originals():
            done = door(call)
    except NotHere as reason:
        reason.__traceback__ = (
            None  # it may be raised again, and would keep the frames of all callers
        )
        return _original(call, reason)
    except Exception as error:
        if OPTIONS.get().strict:
            raise
        text = "".join(traceback.format_exception(error))
        return _original(call, NotHere(f"{type(error).__name__} inside Millrace", ""), text)
    seconds = time.perf_counter() - began
    key = Key(site(), call.name, call.method, Ran.MILLRACE, level=done.level)
    RECORDS.add(
        key, seconds, (done.rows, done.columns),
        estimated=done.estimated, measured=_measured(aside) if aside else 0.0,
    )  # fmt: skip
    return done.value


def _copied(call: Call) -> Call:
    """The same call on a copy of the object, as it is before."""
    return replace(call, estimator=copy.deepcopy(call.estimator))


def _measured(call: Call) -> float:
    """Seconds of scikit-learn's own code for a call; the state of NumPy's random numbers stays."""
    state = np.random.get_state()  # noqa: NPY002
    began = time.perf_counter()
    try:
        with originals(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call.run_original()
        return time.perf_counter() - began
    finally:
        np.random.set_state(state)  # noqa: NPY002


def original_of(estimator: Any, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run scikit-learn's own function; the other methods of this object are its own meanwhile."""
    of_this = id(estimator)
    _INSIDE.originals.add(of_this)
    try:
        return original(estimator, *args, **kwargs)
    finally:
        _INSIDE.originals.discard(of_this)


def _original(call: Call, reason: NotHere, trace: str = "") -> Any:
    """Let the original run; an error before it was Millrace's only if the original raises none."""
    began = time.perf_counter()
    raised = True
    try:
        if call.is_function:
            value = call.run_original()
        else:
            value = original_of(call.estimator, call.original, *call.args, **call.kwargs)
        raised = False
        return value
    finally:
        if not reason.quiet:
            seconds = time.perf_counter() - began
            why = "scikit-learn raises an error" if raised and trace else reason.reason
            key = Key(
                site(), call.name, call.method, Ran.SKLEARN,
                reason=why, lift=reason.lift, trace="" if raised else trace,
            )  # fmt: skip
            RECORDS.add(key, seconds, call.shape)
