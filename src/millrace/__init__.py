"""Millrace: scikit-learn in, scikit-learn out, at the speed of the hardware, at any data size.

Nothing heavy is imported until it is used: ``import millrace`` loads no numba, scikit-learn or pandas.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millrace import errors
    from millrace.accel import accelerate, accelerated, report, restore
    from millrace.accel.notebook import load_ipython_extension, unload_ipython_extension
    from millrace.compiler.build import compile
    from millrace.compiler.link import load
    from millrace.compiler.warm import warm
    from millrace.data import Folds, Table, scan
    from millrace.fitting import FitReport, cross_validate, fit, fit_report, plan, search
    from millrace.runtime.model import CompiledModel
    from millrace.runtime.pool import get_threads, set_threads
    from millrace.training import TrainResult, train

__version__ = "0.1.0"
_HOMES = {
    "CompiledModel": "millrace.runtime.model",
    "FitReport": "millrace.fitting.report",
    "Folds": "millrace.data.splits",
    "Table": "millrace.data.table",
    "TrainResult": "millrace.training.result",
    "accelerate": "millrace.accel.session",
    "accelerated": "millrace.accel.session",
    "compile": "millrace.compiler.build",
    "cross_validate": "millrace.fitting.validate",
    "fit": "millrace.fitting.fit",
    "fit_report": "millrace.fitting.report",
    "get_threads": "millrace.runtime.pool",
    "load": "millrace.compiler.link",
    "load_ipython_extension": "millrace.accel.notebook",
    "plan": "millrace.fitting.fit",
    "report": "millrace.accel.show",
    "restore": "millrace.accel.session",
    "scan": "millrace.data",
    "search": "millrace.fitting.search",
    "set_threads": "millrace.runtime.pool",
    "train": "millrace.training.train",
    "unload_ipython_extension": "millrace.accel.notebook",
    "warm": "millrace.compiler.warm",
}
__all__ = [
    "CompiledModel",
    "FitReport",
    "Folds",
    "Table",
    "TrainResult",
    "accelerate",
    "accelerated",
    "compile",
    "cross_validate",
    "errors",
    "fit",
    "fit_report",
    "get_threads",
    "load",
    "load_ipython_extension",
    "plan",
    "report",
    "restore",
    "scan",
    "search",
    "set_threads",
    "train",
    "unload_ipython_extension",
    "warm",
]


def __getattr__(name: str) -> Any:
    if name == "errors":
        return import_module("millrace.errors")
    if name not in _HOMES:
        raise AttributeError(f"module 'millrace' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
