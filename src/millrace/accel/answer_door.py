"""The door of ``predict``, ``transform`` and their kin: to the compiled model of the object.

It does not take the way of other calls (`calls.through`): a call on a few rows costs scikit-learn some
tens of microseconds, and may not become slower for having come by here.
"""

from __future__ import annotations

import traceback
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from millrace.accel import costs
from millrace.accel.calls import NotHere, inside, original_of
from millrace.accel.doors import opens, public_name_of
from millrace.accel.kept import Kept, Pace
from millrace.accel.options import OPTIONS
from millrace.accel.records import RECORDS, Key, Ran, site

METHODS = ("predict", "predict_proba", "decision_function", "transform", "score_samples", "apply")
"""Not ``predict_log_proba``: it takes the logarithm of ``predict_proba``, and warns where that is 0."""

QUIET = 1e-3
"""Calls of scikit-learn that are shorter are not worth a line in the report, whatever the reason."""

_KEPT: dict[int, Kept] = {}
"""By the identity of the object, as long as it is alive."""

_NAMES: weakref.WeakKeyDictionary[type, str] = weakref.WeakKeyDictionary()

Method = Callable[..., Any]


@dataclass(slots=True)
class _Asked:
    """A call, with what is known of its object."""

    estimator: Any
    method: str
    original: Method
    X: Any
    kept: Kept
    pace: Pace


def _has(name: str) -> bool:
    return any(costs.is_known(name, m) for m in METHODS)


def way(original: Method, method: str) -> Method:
    """A method with this door before it."""

    def answer(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        if kwargs or len(args) != 1 or inside(self):
            return original(self, *args, **kwargs)
        X = args[0]
        if not _is_table(X):
            return original(self, X)
        rows, columns = X.shape
        name = _NAMES.get(type(self)) or _named(type(self))
        if rows == 0 or costs.is_hopeless(name, method, rows):
            return original(self, X)
        kept = _KEPT.get(id(self))
        if kept is None or kept.alive() is not self:
            kept = _keep(self, name)
        if (pace := kept.pace(method, rows, columns)) is None:
            return original(self, X)
        asked = _Asked(self, method, original, X, kept, pace)
        return _ours(asked) if pace.prefers_us else _theirs(asked)

    return answer


@opens(*METHODS, of=_has)
def door(call: Any) -> Any:
    """Answers come by `way`."""
    raise NotImplementedError


door.way = way  # pyright: ignore[reportFunctionMemberAccess]


def _is_table(X: Any) -> bool:
    cls = type(X)
    if cls is np.ndarray:
        return X.ndim == 2
    return cls.__name__ == "DataFrame" and cls.__module__.startswith("pandas")


def _named(cls: type) -> str:
    """The public name of a class; it is looked up once."""
    return _NAMES.setdefault(cls, public_name_of(cls))


def _keep(estimator: Any, name: str) -> Kept:
    key = id(estimator)

    def forget(alive: Any) -> None:
        kept = _KEPT.get(key)
        if kept is not None and kept.alive is alive:
            del _KEPT[key]

    kept = _KEPT[key] = Kept(estimator, name, forget)
    return kept


def _theirs(asked: _Asked, why: NotHere | None = None, trace: str = "") -> Any:
    """Answer by scikit-learn, and keep how long that takes."""
    began = perf_counter()
    value = original_of(asked.estimator, asked.original, asked.X)
    seconds = perf_counter() - began
    asked.pace.took(seconds)
    if asked.pace.gain > 0.0:
        asked.kept.forgo(asked.pace.gain)
    if why is not None and not why.quiet and (trace or seconds > QUIET):
        key = Key(
            site(), type(asked.estimator).__name__, asked.method, Ran.SKLEARN,
            reason=why.reason, lift=why.lift, trace=trace,
        )  # fmt: skip
        RECORDS.add(key, seconds, asked.X.shape)
    return value


def _ours(asked: _Asked) -> Any:
    """Answer by the compiled model; where that does not do, by scikit-learn."""
    kept, pace = asked.kept, asked.pace
    began = perf_counter()
    if not kept.ready(asked.estimator, pace):
        return _theirs(asked, kept.reason_of(asked.estimator))
    try:
        check_config()
        value, usual = kept.answer(asked.estimator, asked.method, asked.original, asked.X)
    except NotHere as reason:
        return _theirs(asked, reason)
    except Exception as error:
        return _after(error, asked)
    seconds = perf_counter() - began
    if usual:
        pace.we_took(seconds)
        kept.gained(pace.gain)
    _record(asked, seconds)
    return value


def _record(asked: _Asked, seconds: float) -> None:
    pace = asked.pace
    measured = 0.0
    if OPTIONS.get().compare:
        began = perf_counter()
        original_of(asked.estimator, asked.original, asked.X)
        measured = perf_counter() - began
    key = Key(site(), type(asked.estimator).__name__, asked.method, Ran.MILLRACE, level="exact")
    RECORDS.add(key, seconds, asked.X.shape, estimated=pace.theirs, measured=measured)


def _after(error: Exception, asked: _Asked) -> Any:
    """Answer by scikit-learn where the compiled model raised an error.

    Mostly the rows are at fault, and scikit-learn raises its own. Where it does not, Millrace is.
    """
    from millrace.errors import MillraceError

    expected = isinstance(error, (MillraceError, ValueError, TypeError))
    if OPTIONS.get().strict and not expected:
        raise error
    trace = "" if expected else "".join(traceback.format_exception(error))
    text = str(error).partition("\n")[0] if expected else f"{type(error).__name__} inside Millrace"
    reason = NotHere(text)
    value = _theirs(asked, reason, trace)
    asked.kept.refuse(asked.method, asked.X, reason)
    return value


def check_config() -> None:
    """Settings that change what answers look like are left to scikit-learn."""
    from sklearn._config import _get_threadlocal_config

    config = _get_threadlocal_config()
    if config["array_api_dispatch"] or config["enable_metadata_routing"]:
        raise NotHere("a setting of sklearn.set_config")
    if config["transform_output"] != "default":
        raise NotHere("set_config(transform_output=...)")
