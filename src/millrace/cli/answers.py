"""Answers of a model as columns of a table."""

# pyarrow ships no types.
# pyright: reportUnknownParameterType=false

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from millrace.errors import MethodMissingError

if TYPE_CHECKING:
    from millrace.runtime.model import CompiledModel


def method_names(model: CompiledModel) -> tuple[str, ...]:
    """Every method, and method with an option: ``predict``, ``predict(raw_score)``."""
    return tuple(dict.fromkeys(o.name.split("/")[0] for o in model.program.outputs))


def checked_method(model: CompiledModel, method: str | None) -> str:
    """The method, or the model's first (``predict`` where it has one).

    Raises
    ------
    MethodMissingError
    """
    names = method_names(model)
    if method is None:
        return "predict" if "predict" in names else names[0]
    if method not in names:
        raise MethodMissingError.of(method, model.info.source, names)
    return method


def as_columns(model: CompiledModel, method: str, answer: Any) -> dict[str, pa.Array]:
    """One column a vector, several a matrix.

    A column is called after the method, and after its class, name or position where there are
    several: ``predict``, ``predict_proba_>50K``, ``apply_0``. Columns of ``transform`` have the
    names that the source gives them.
    """
    if isinstance(answer, list):
        classes: Any = _classes(model)
        listed = isinstance(classes, list) and len(classes) == len(answer)
        return {
            name: column
            for i, block in enumerate(answer)
            for name, column in _block(
                f"{_word(method)}_{i}", block, classes[i] if listed else None
            ).items()
        }
    if method == "transform" and model.info.feature_names_out is not None:
        names = model.info.feature_names_out
        return dict(zip(names, _arrays(answer), strict=True))
    classes = _classes(model) if method not in ("predict", "transform", "apply") else None
    return _block(_word(method), answer, None if isinstance(classes, list) else classes)


def _word(method: str) -> str:
    return method.replace("(", "_").removesuffix(")")


def _classes(model: CompiledModel) -> Any:
    try:
        return model.classes_
    except AttributeError:
        return None


def _block(name: str, block: Any, classes: Sequence[Any] | None) -> dict[str, pa.Array]:
    arrays = _arrays(block)
    if len(arrays) == 1:
        return {name: arrays[0]}
    labelled = classes is not None and len(classes) == len(arrays)
    labels = classes if labelled and classes is not None else range(len(arrays))
    return {f"{name}_{label}": array for label, array in zip(labels, arrays, strict=True)}


def _arrays(block: Any) -> list[pa.Array]:
    """One Arrow array a column; texts as strings, sparse matrices and cubes written out."""
    dense = np.asarray(block.toarray() if hasattr(block, "toarray") else block)
    if dense.ndim == 3:
        dense = dense.reshape(len(dense), dense.shape[1] * dense.shape[2])
    columns = [dense] if dense.ndim == 1 else list(dense.T)
    return [_array(c) for c in columns]


def _array(column: np.ndarray[Any, Any]) -> pa.Array:
    if column.dtype.kind in "biuf":
        return pa.array(np.ascontiguousarray(column))
    cells = [None if c is None or c != c else c for c in column.tolist()]
    if column.dtype == object and any(c is not None and not isinstance(c, str) for c in cells):
        try:
            return pa.array(cells)
        except (pa.ArrowInvalid, pa.ArrowTypeError):  # mixed kinds
            cells = [None if c is None else str(c) for c in cells]
    return pa.array(cells, pa.string())
