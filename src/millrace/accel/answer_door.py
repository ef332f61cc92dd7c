"""The door of ``predict``, ``transform`` and their kin: to the compiled model of the object."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import Any

from millrace.accel import costs
from millrace.accel.calls import TOO_SMALL, Call, Done, NotHere
from millrace.accel.doors import opens, public_name_of
from millrace.accel.watch import Watch

METHODS = ("predict", "predict_proba", "decision_function", "transform", "score_samples")


@dataclass
class _Kept:
    """Compiled models of objects that are alive, by the object's identity."""

    models: dict[int, tuple[Any, Watch, Any]] = field(default_factory=dict)


_KEPT = _Kept()


def _has(name: str) -> bool:
    return any(costs.is_known(name, m) for m in METHODS)


@opens(*METHODS, of=_has)
def answer(call: Call) -> Done:
    """Answer by the compiled model, which is made at the first call that is worth it."""
    rows, columns = call.shape
    expected = costs.estimate(public_name_of(type(call.estimator)), call.method, rows, columns)
    if expected is None or not expected.gains:
        raise TOO_SMALL
    if len(call.args) > 1 or set(call.kwargs) - {"X"}:
        raise NotHere("arguments other than X")
    model = _compiled(call.estimator)
    value = getattr(model, call.method)(call.X)
    return Done(value, rows, columns, "exact", expected.theirs)


def _compiled(estimator: Any) -> Any:
    """The compiled model of an object as it is now."""
    from millrace.compiler.build import compile

    kept = _KEPT.models.get(id(estimator))
    if kept is not None and kept[0]() is estimator and kept[1].holds():
        return kept[2]
    watch = Watch(estimator)
    model = compile(estimator, verify=False)
    key = id(estimator)
    alive = weakref.ref(estimator, lambda _: _KEPT.models.pop(key, None))
    _KEPT.models[key] = (alive, watch, model)
    return model
