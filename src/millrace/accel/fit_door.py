"""The door of ``fit``: to the solver of the class."""

from __future__ import annotations

from typing import Any

import numpy as np

from millrace.accel import costs
from millrace.accel.calls import TOO_SMALL, Call, Done, NotHere
from millrace.accel.doors import opens, public_name_of
from millrace.accel.options import OPTIONS
from millrace.errors import NotStreamableError
from millrace.solvers import registry


def _has(name: str) -> bool:
    return costs.is_known(name, "fit")


@opens("fit", of=_has)
def fit(call: Call) -> Done:
    """Fit by Millrace's solver; the estimator is changed at the end, in one go."""
    cls = type(call.estimator)
    rows, columns = call.shape
    expected = costs.estimate(public_name_of(cls), "fit", rows, columns)
    if expected is None or not expected.gains:
        raise TOO_SMALL
    X, y, weight = _arguments(call)
    _check_data(X)
    in_memory = registry.lookup_resident(cls) is not None
    level = "equivalent" if registry.is_equivalent(cls, in_memory=in_memory) else "exact"
    if level == "equivalent" and OPTIONS.get().level == "exact":
        raise NotHere("its solver gives an equivalent result", 'accelerate("equivalent")')
    try:
        _run(call.estimator, X, y, weight)
    except NotStreamableError as declined:
        raise NotHere(str(declined)) from declined
    return Done(call.estimator, rows, columns, level, expected.theirs)


def _arguments(call: Call) -> tuple[Any, Any, Any]:
    given = dict(zip(("X", "y", "sample_weight"), call.args, strict=False)) | dict(call.kwargs)
    if len(call.args) > 3 or set(given) - {"X", "y", "sample_weight"}:
        raise NotHere("arguments other than X, y and sample_weight")
    return given.get("X"), given.get("y"), given.get("sample_weight")


def _check_data(X: Any) -> None:
    if type(X) is np.ndarray and X.ndim == 2 and X.dtype.char in "fd":
        return
    if type(X).__module__.startswith("pandas.") and hasattr(X, "columns"):
        return
    raise NotHere(f"X is a {type(X).__name__} of a kind that is not accelerated", "a float array")


def _run(estimator: Any, X: Any, y: Any, weight: Any) -> None:
    from millrace.fitting.fit import fit_by_solvers

    fit_by_solvers(estimator, X, y, weight)
