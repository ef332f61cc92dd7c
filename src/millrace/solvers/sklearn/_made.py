"""Examples of one class with some parameters on some data, in a line each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from millrace.solvers.registry import Example


def made(cls: Any, data: Callable[[], tuple[Any, Any]], /, name: str = "", **more: Any) -> Any:
    """``made(Ridge, data, rtol=...)(alpha=2.0)`` is the example of ``Ridge(alpha=2.0)`` on the data."""

    def example(**params: Any) -> Example:
        said = ", ".join(f"{k}={v!r}" for k, v in params.items())
        label = f"{cls.__name__}({said})" + (f" {name}" if name else "")
        return Example(label, lambda: (cls(**params), *data()), **more)

    return example


def tighter(**params: Any) -> Callable[[Any], Any]:
    """An oracle that runs to convergence: a clone with these parameters."""

    def oracle(estimator: Any) -> Any:
        from sklearn.base import clone

        copy: Any = clone(estimator)
        return copy.set_params(**params)

    return oracle
