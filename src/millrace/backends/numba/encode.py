"""Values to codes: by Arrow's hash table for text, by binary search for numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.errors import ColumnTypeError, UnknownCategoryError
from millrace.ir.arrays import NULL, Null, Text
from millrace.ir.cityhash import category_hash, category_text
from millrace.ir.ops import Encode, IsMissing
from millrace.ir.types import cast_dtype

Array = npt.NDArray[Any]
Codes = npt.NDArray[np.int32]


_MANY = 256
"""From so many cells on it pays to hand a column of objects to Arrow."""


def is_nan(value: object) -> bool:
    """Whether a cell is a NaN or pandas' NA."""
    return (
        value != value
        if isinstance(value, float)
        else isinstance(value, Null) or type(value).__name__ == "NAType"
    )


class Encoder:
    """One `Encode` step with its lookups done."""

    def __init__(self, op: Encode) -> None:
        self.op = op
        codes = op.codes.values.astype(np.int32)
        self.text = isinstance(op.categories, Text)
        self.lookup: dict[Any, int]
        if isinstance(op.categories, Text):
            self.lookup = dict(zip(op.categories.values, codes.tolist(), strict=True))
            self.codes = np.append(codes, np.int32(op.unknown))
        else:
            numbers = op.categories.values.astype(np.float64)
            order = np.argsort(numbers, kind="stable")
            self.numbers, self.codes = numbers[order], codes[order]
            self.lookup = dict(zip(numbers.tolist(), codes.tolist(), strict=True))

    def __call__(self, column: Any, first_row: int) -> Codes:
        """Codes of a column; `first_row` is its row number in the input, for messages."""
        if self.op.hashed:
            cells = column.tolist() if isinstance(column, np.ndarray) else column.to_pylist()
            return np.array([self.cell(v) for v in cells], np.int32)
        if not isinstance(column, np.ndarray):
            codes = self._arrow(column)
        elif column.dtype == object:
            codes = self._objects(column)
        else:
            codes = self._numbers(column)
        if self.op.strict and bool((codes == self.op.unknown).any()):
            row = int(np.argmax(codes == self.op.unknown))
            value = column[row] if isinstance(column, np.ndarray) else column[row].as_py()
            raise UnknownCategoryError.at(self.op.owner_column, value, first_row + row)
        return codes

    @property
    def _of_null(self) -> int:
        return self.op.none if self.op.none != self.op.unknown else self.op.nan

    def cell(self, value: Any) -> int:
        """The code of one value of a row; None is a null there."""
        if self.op.hashed:
            return self.lookup.get(category_hash(category_text(value)), self.op.unknown)
        if value is None:
            return self._of_null
        if is_nan(value):
            return self.op.nan
        return self.lookup.get(value, self.op.unknown)

    def _arrow(self, column: Any) -> Codes:
        import pyarrow as pa
        import pyarrow.compute as pc

        if pa.types.is_dictionary(column.type):
            of_value = np.append(self._arrow(column.dictionary), np.int32(0))  # may be empty
            codes = of_value[_whole_numbers(column.indices, 0)]
        elif not self.text:
            return self._objects(text_cells(column))
        else:
            # pa.array would import pandas; pyarrow has no types for its builders
            builder = pa.lib.StringBuilder()  # pyright: ignore[reportAttributeAccessIssue]
            builder.append_values(list(self.lookup))
            values = builder.finish().cast(column.type)
            index_in = pc.index_in  # pyright: ignore[reportAttributeAccessIssue]  # made at import
            codes = self.codes[_whole_numbers(index_in(column, value_set=values), len(values))]
        if column.null_count:
            missing = self.op.nan if self.op.nan != self.op.unknown else self.op.none
            codes[column.is_null().to_numpy(zero_copy_only=False)] = missing
        return codes

    def _objects(self, column: Array) -> Codes:
        if self.text and len(column) >= _MANY:
            codes = self._objects_as_arrow(column)
            if codes is not None:
                return codes
        unseen: Any = object()
        get = self.lookup.get
        cells: list[Any] = [
            get(v, unseen) if v.__hash__ is not None else unseen for v in column.tolist()
        ]
        codes = np.empty(len(cells), np.int32)
        for row, code in enumerate(cells):
            if code is unseen:
                code = self._unseen(column[row])
            codes[row] = code
        return codes

    def _objects_as_arrow(self, column: Array) -> Codes | None:
        """Codes of a column of strings and missing cells by Arrow's hash table; None for a mixed one."""
        import pyarrow as pa

        try:
            strings = pa.array(column, pa.string(), from_pandas=True)
        except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError):
            return None
        codes = self._arrow(strings)
        if strings.null_count:
            for row in np.flatnonzero(strings.is_null().to_numpy(zero_copy_only=False)):
                codes[row] = self._unseen(column[row])
        return codes

    def _unseen(self, value: Any) -> int:
        """The code of what is no category: missing in one of three ways, or unknown."""
        if value is None:
            return self.op.none
        if value is NULL:
            return self._of_null
        return self.op.nan if is_nan(value) else self.op.unknown

    def _numbers(self, column: Array) -> Codes:
        if self.text:
            missing = np.isnan(column) if column.dtype.kind == "f" else np.zeros(len(column), bool)
            return np.where(missing, self.op.nan, self.op.unknown).astype(np.int32)
        values = column.astype(np.float64, copy=False)
        codes = np.full(len(values), self.op.unknown, np.int32)
        if len(self.numbers):
            at = np.minimum(np.searchsorted(self.numbers, values), len(self.numbers) - 1)
            codes = np.where(self.numbers[at] == values, self.codes[at], codes)
        return np.where(np.isnan(values), np.int32(self.op.nan), codes)


def _whole_numbers(array: Any, of_null: int) -> Array:
    """An Arrow array of integers as NumPy; `fill_null` would import pandas."""
    if not array.null_count:
        return array.to_numpy()
    dtype = np.dtype(str(array.type))
    values = np.frombuffer(array.buffers()[1], dtype)[array.offset : array.offset + len(array)]
    return np.where(array.is_null().to_numpy(zero_copy_only=False), dtype.type(of_null), values)


def text_cells(column: Any) -> Array:
    """An Arrow text column as Python strings, nulls as NaN."""
    cells = np.asarray(column.to_numpy(zero_copy_only=False), dtype=object)
    if column.null_count:
        cells = cells.copy()
        cells[column.is_null().to_numpy(zero_copy_only=False)] = np.nan
    return cells


def is_missing(block: Array, op: IsMissing) -> Array:
    """Which cells of a block are missing by the rule of the primitive."""
    if op.rule == "value":
        return np.asarray(block == op.value, dtype=bool).reshape(block.shape)
    if block.dtype != object:
        return np.isnan(block) if block.dtype.kind == "f" else np.zeros(block.shape, bool)
    none = op.rule == "none"
    cells = [is_nan(v) or (none and v is None) for v in block.ravel().tolist()]
    return np.array(cells, bool).reshape(block.shape)


def to_dtype(block: Array, dtype: str) -> Array:
    """`Cast`: NumPy's conversion; objects through Python's float, None and NA as NaN."""
    target = cast_dtype(str(block.dtype), dtype)
    if block.dtype != object:
        return block.astype(target, copy=False)
    try:
        return block.astype(target)
    except (TypeError, ValueError):
        return _cell_by_cell(block).astype(target)


def _cell_by_cell(block: Array) -> Array:
    out = np.empty(block.shape)
    for (row, column), value in np.ndenumerate(block):
        if value is None or is_nan(value):
            out[row, column] = np.nan
            continue
        try:
            out[row, column] = float(value)
        except (TypeError, ValueError) as error:
            raise ColumnTypeError.not_a_number(f"#{column}", value, row) from error
    return out
