"""Millrace: fitted scikit-learn pipelines, forests and boosted trees as small exact programs.

Nothing heavy is imported until it is used: ``import millrace`` loads no numba, scikit-learn or pandas.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millrace import errors
    from millrace.compiler.build import compile
    from millrace.compiler.link import load
    from millrace.compiler.warm import warm
    from millrace.runtime.model import CompiledModel
    from millrace.runtime.pool import get_threads, set_threads

__version__ = "0.1.0"
__all__ = ["CompiledModel", "compile", "errors", "get_threads", "load", "set_threads", "warm"]

_HOMES = {
    "CompiledModel": "millrace.runtime.model",
    "compile": "millrace.compiler.build",
    "get_threads": "millrace.runtime.pool",
    "load": "millrace.compiler.link",
    "set_threads": "millrace.runtime.pool",
    "warm": "millrace.compiler.warm",
}


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
