"""``inverse_transform``: by a program of its own, or by the source where it has none."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from millrace.errors import UnsupportedModelError
from millrace.runtime.inputs import is_sparse, sparse_kind

if TYPE_CHECKING:
    from millrace.runtime.model import CompiledModel


def inverse_of(model: CompiledModel) -> Callable[[Any], Any]:
    """The inverse of a model as a function of transformed rows.

    Raises
    ------
    MethodMissingError
        The source has none.
    """
    if _program(model, "inverse") is None:
        return model.source.inverse_transform
    return partial(_run, model)


def _run(model: CompiledModel, X: Any) -> Any:
    program = _program(model, f"inverse {sparse_kind(X)}" if is_sparse(X) else "inverse")
    if program is None:
        return model.source.inverse_transform(X)
    return program.run_batch("inverse_transform", X)


def _program(model: CompiledModel, form: str) -> CompiledModel | None:
    """The model for the way back; None where that would only call the source, rows as they are."""
    try:
        inverse = model.view(form)
    except UnsupportedModelError:
        if model.source is None:
            raise
        return None
    return None if "model" in inverse.foreign else inverse
