"""Values to codes, missing cells and dtype conversion, cell by cell where text is involved."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.errors import ColumnTypeError, UnknownCategoryError
from millrace.ir.arrays import NULL, Null, Text
from millrace.ir.cityhash import category_hash, category_text
from millrace.ir.ops import Encode, IsMissing
from millrace.ir.types import cast_dtype

Block = npt.NDArray[Any]


def is_nan(value: object) -> bool:
    """Whether a cell is a NaN or a null: anything not equal to itself, or pandas' NA."""
    if isinstance(value, Null) or type(value).__name__ == "NAType":
        return True
    return isinstance(value, (float, np.floating)) and value != value


def is_missing(block: Block, op: IsMissing) -> Block:
    """Which cells of a block are missing by the rule of the primitive."""
    if op.rule == "value":
        return np.asarray(block == op.value, dtype=bool).reshape(block.shape)
    if block.dtype != object:
        return np.isnan(block) if block.dtype.kind == "f" else np.zeros(block.shape, bool)
    with_none = op.rule == "none"
    cells = [is_nan(v) or (with_none and v is None) for v in block.ravel()]
    return np.array(cells, dtype=bool).reshape(block.shape)


def to_dtype(block: Block, dtype: str) -> Block:
    """`Cast`: numbers by NumPy's rules, objects cell by cell."""
    target = cast_dtype(str(block.dtype), dtype)
    if block.dtype != object:
        return block.astype(target)
    cells = [
        _number(v, i // max(1, block.shape[1]), i % max(1, block.shape[1]))
        for i, v in enumerate(block.ravel())
    ]
    return np.array(cells, dtype=target).reshape(block.shape)


def _number(value: object, row: int, column: int) -> float:
    if value is None or is_nan(value):
        return float("nan")
    try:
        return float(value)  # pyright: ignore[reportArgumentType]
    except (TypeError, ValueError) as error:
        raise ColumnTypeError.not_a_number(f"#{column}", value, row) from error


def encode(column: Block, op: Encode) -> npt.NDArray[np.int32]:
    """The code of each cell of a column (n_samples,)."""
    codes = op.codes.values.astype(np.int32)
    if isinstance(op.categories, Text):
        table: dict[object, int] = dict(zip(op.categories.values, codes.tolist(), strict=True))
        cells: list[object] = list(column.astype(object))
    else:
        numbers = op.categories.values.astype(np.float64).tolist()
        table = dict(zip(numbers, codes.tolist(), strict=True))
        cells = [
            float(v) if isinstance(v, (int, float, np.number, bool, np.bool_)) else v
            for v in column.tolist()
        ]
    encoded = np.empty(len(cells), dtype=np.int32)
    for row, value in enumerate(column.tolist() if op.hashed else cells):
        if op.hashed:
            code = table.get(float(category_hash(category_text(value))), op.unknown)
        elif value is None or (value is NULL and op.none != op.unknown):
            code = op.none
        elif is_nan(value):
            code = op.nan
        else:
            code = table.get(value, op.unknown)
        if op.strict and code == op.unknown:
            raise UnknownCategoryError.at(op.owner_column, value, row)
        encoded[row] = code
    return encoded
