"""Do the values of a step's input pass its guard? If not, the error names the row and the column."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.backends.numba.columns import MatrixColumns
from millrace.backends.numba.encode import is_missing
from millrace.backends.numba.kernels import guard
from millrace.errors import NonFiniteError
from millrace.ir.ops import Guard, IsMissing, Select, Take
from millrace.ir.program import Program

Array = npt.NDArray[Any]


class Guards:
    """The guards of a program.

    Parameters
    ----------
    program : Program
        Bound.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.largest = {
            k: _largest(s.op) for k, s in enumerate(program.steps) if isinstance(s.op, Guard)
        }

    def passed(self, position: int, value: Any, op: Guard, first: int) -> Any:
        """The value, columns or a block; `first` is the number of its first row.

        Raises
        ------
        NonFiniteError
        """
        if isinstance(value, np.ndarray):
            value = MatrixColumns(value)
        if isinstance(value, MatrixColumns) and _matrix_passes(value, op, self.largest[position]):
            return value
        for c, column in enumerate(value):
            if not isinstance(column, np.ndarray) or column.dtype == object:
                self._look_at_text(position, c, column, op, first)
                continue
            if column.dtype.kind != "f":
                continue
            limit = np.finfo(column.dtype).max
            low = _bound(op.low, c, -limit)
            high = _bound(op.high, c, limit)
            if len(column) == 0 or (column.min() >= low and column.max() <= high):
                continue
            passes = (column >= low) & (column <= high)
            if op.allow_nan:
                passes |= np.isnan(column)
            if not passes.all():
                row = int(np.argmin(passes))
                raise NonFiniteError.at(
                    self._column_name(position, c), float(column[row]), first + row, op.owner
                )
        return value

    def _look_at_text(self, position: int, c: int, column: Any, op: Guard, first: int) -> None:
        """In text only NaN (and an Arrow null) is refused."""
        if op.allow_nan:
            return
        if isinstance(column, np.ndarray):
            missing = is_missing(column[:, None], IsMissing("nan"))[:, 0]
        else:
            missing = column.is_null().to_numpy(zero_copy_only=False)
        if missing.any():
            row = first + int(np.argmax(missing))
            raise NonFiniteError.at(self._column_name(position, c), "nan", row, op.owner)

    def _column_name(self, position: int, c: int) -> str:
        """The input column behind column `c` of a step, where there is one."""
        step = self.program.steps[position]
        while not isinstance(step.op, Select):
            if len(step.inputs) != 1:
                return f"#{c}"
            if isinstance(step.op, Take):
                c = step.op.columns[c]
            step = self.program.steps[step.inputs[0]]
        return self.program.columns[step.op.columns[c]].name


def _largest(op: Guard) -> float | None:
    """The largest magnitude that a guard passes, where it is one for all columns and both signs."""
    if op.low is None and op.high is None:
        return np.inf
    if op.low is None or op.high is None or not len(op.high):
        return None
    high = float(op.high.values[0])
    alike = (op.high.values == high).all() and (op.low.values == -high).all()
    return high if alike and high > 0 else None


def _matrix_passes(columns: MatrixColumns, op: Guard, largest: float | None) -> bool:
    """Whether a guard passes all of a float matrix; False may also mean that it was not tried."""
    matrix = columns.matrix
    if matrix.dtype.kind != "f" or matrix.dtype.itemsize < 4:
        return matrix.dtype.kind in "iub"
    if largest is not None and columns.is_whole and is_below(matrix, largest):
        return True
    if largest == np.inf and columns.is_whole:
        return op.allow_nan and not np.isinf(matrix).any()
    most = float(np.finfo(matrix.dtype).max)
    width = len(columns)
    low, high = (
        np.full(width, default) if limit is None else np.broadcast_to(limit.values, width)
        for limit, default in ((op.low, -most), (op.high, most))
    )
    positions = np.asarray(range(width) if columns.positions is None else columns.positions)
    return bool(guard.all_pass(matrix, positions, low, high, op.allow_nan))


_BITS = {
    size: (
        np.dtype(f"i{size}"),
        np.array(np.iinfo(f"i{size}").max, f"i{size}")[()],
        np.array(np.inf, f"f{size}").view(f"i{size}")[()],
    )
    for size in (4, 8)
}
"""By size of a float: the integer of that size, all its bits but the sign, and those of infinity."""


def is_below(matrix: Array, largest: float) -> bool:
    """Whether all magnitudes are finite and no larger."""
    bits, rest, infinity = _BITS[matrix.dtype.itemsize]
    least = infinity
    if largest < float(np.finfo(matrix.dtype).max):
        least = np.array(largest, matrix.dtype).view(bits)[()] + bits.type(1)
    return bool(guard.all_below(matrix.ravel().view(bits), rest, least))


def _bound(limits: Any, column: int, default: float) -> float:
    if limits is None:
        return default
    values = limits.values
    return float(values[column] if len(values) > 1 else values[0])
