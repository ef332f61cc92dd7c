"""Write steps of a program as a list of inner loops over columns, for `kernels/tiles.py` to run.

A step works on whole blocks; here it is taken apart into columns. What only moves columns about (take,
put side by side, repeat a constant) disappears, and what remains are instructions on one column of a tile
each. A step that has no such form is left to the general way (`compute.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.backends.numba.kernels import tile_form as kernel
from millrace.backends.numba.loops import inner_loop
from millrace.backends.numba.tile_code import WHERES, Column, Instruction
from millrace.ir.arrays import Text
from millrace.ir.ops import (
    Accumulate,
    Binary,
    Cast,
    CastLike,
    Concat,
    Constant,
    Gather,
    Guard,
    IsMissing,
    MatMul,
    OneHot,
    Op,
    Reduce,
    Require,
    Take,
    Unary,
    Where,
)
from millrace.ir.types import Block, function

Array = npt.NDArray[Any]

DTYPES = frozenset({"float64", "float32", "int64", "int32", "bool"})
"""Dtypes of the columns of a tile."""

MOST_PRODUCTS = 512
"""Cells of the weights of a product up to which columns are no slower than BLAS."""

MOST_TERMS = 16
"""Rows of the weights of a product up to which OpenBLAS adds up in the same order as the kernel."""

MOST_WIDE = 128
"""Columns of a step; NumPy adds up longer rows in halves."""


BY_LAYOUT = frozenset({"power", "float_power"})
"""Functions whose bits depend on how the cells lie: NumPy squares where one exponent of 2 is for all."""


class NotTiled(Exception):
    """A step has no form as instructions on columns."""


_CONVERSIONS = {
    ("float32", "float64"): kernel.WIDEN_4,
    ("float64", "float32"): kernel.NARROW_8,
    ("bool", "float64"): kernel.BOOL_TO_8,
    ("bool", "float32"): kernel.BOOL_TO_4,
    ("bool", "int64"): kernel.BOOL_TO_INT,
    ("int64", "float64"): kernel.INT_TO_8,
    ("int32", "int64"): kernel.INT_TO_INT,
}
_LOADS = {8: kernel.LOAD_8, 4: kernel.LOAD_4, 1: kernel.LOAD_1}
_STORES = {8: kernel.STORE_8, 4: kernel.STORE_4, 1: kernel.STORE_1}


@dataclass
class Writer:
    """Takes steps apart into instructions on columns."""

    instructions: list[Instruction] = field(default_factory=list)

    def emit(self, op: int, to: Column | None, *inputs: Column, **more: Any) -> None:
        self.instructions.append(Instruction(op, to, inputs, **more))

    def loaded(self, dtype: str, port: int) -> Column:
        """A column of an array outside."""
        if dtype not in DTYPES:
            raise NotTiled
        column = Column(dtype)
        self.emit(_LOADS[np.dtype(dtype).itemsize], column, numbers=(port,))
        return column

    def stored(self, column: Column, port: int) -> None:
        filled = self.filled(column)
        self.emit(_STORES[np.dtype(column.dtype).itemsize], None, filled, numbers=(port,))

    def filled(self, column: Column) -> Column:
        """A column with a cell for every row."""
        if not column.is_constant:
            return column
        if np.dtype(column.dtype).itemsize != 8:
            raise NotTiled
        target = Column(column.dtype)
        self.emit(kernel.FILL_8, target, column)
        return target

    # -- steps -----------------------------------------------------------------------------
    def step(self, op: Op, inputs: list[list[Column]], result: Block) -> list[Column]:
        """The columns that a step gives.

        Raises
        ------
        NotTiled
            The step has no such form.
        """
        if result.width > MOST_WIDE or result.dtype not in DTYPES or result.sparse:
            raise NotTiled
        match op:
            case Constant(row):
                return constants(row)
            case Unary(name):
                return [self.call(name, c) for c in inputs[0]]
            case Binary(name):
                pairs = zip(*(_wide(i, result.width) for i in inputs), strict=True)
                return [self.call(name, a, b) for a, b in pairs]
            case Cast() | CastLike():
                return [self.converted(c, result.dtype) for c in inputs[0]]
            case Take(columns):
                return [inputs[0][c] for c in columns]
            case Concat():
                return [self.converted(c, result.dtype) for i in inputs for c in i]
            case Where():
                return self.chosen(inputs, result)
            case IsMissing():
                return [self.missing(c, op) for c in inputs[0]]
            case Guard():
                return self.guarded(inputs[0], op)
            case Require():
                for column in inputs[1]:
                    self.emit(kernel.REQUIRE, None, self.filled(column))
                return inputs[0]
            case MatMul(weights):
                return self.product(inputs[0], weights.values, result.dtype)
            case Reduce(name):
                return [self.reduced(name, inputs[0], result.dtype)]
            case Accumulate(name):
                return self.accumulated(name, inputs[0], result.dtype)
            case OneHot(width, dtype) if not op.sparse:
                (codes,) = inputs[0]
                wide = self.converted(codes, "int64")
                hits = (
                    self.call("equal", wide, Column("int64", np.int64(c))) for c in range(width)
                )
                return [self.converted(hit, dtype) for hit in hits]
            case Gather(table) if not isinstance(table, Text):
                return self.gathered(inputs[0], table.values, result)
            case _:
                raise NotTiled

    def call(self, name: str, *inputs: Column) -> Column:
        """A ufunc of columns, by its own inner loop."""
        if name in BY_LAYOUT:
            raise NotTiled
        loop = inner_loop(name, *(i.dtype for i in inputs))
        if loop is None or str(loop.result) not in DTYPES:
            raise NotTiled
        converted = [self.converted(i, str(d)) for i, d in zip(inputs, loop.given, strict=True)]
        if all(c.is_constant for c in converted):
            with np.errstate(all="ignore"):
                return Column(str(loop.result), function(name)(*(c.value for c in converted)))
        target = Column(str(loop.result))
        self.emit(kernel.CALL, target, *converted, numbers=(loop.address, loop.data))
        return target

    def converted(self, column: Column, dtype: str) -> Column:
        if column.dtype == dtype:
            return column
        if dtype not in DTYPES:
            raise NotTiled
        if column.is_constant:
            with np.errstate(all="ignore"):
                return Column(dtype, column.value.astype(dtype))
        if (column.dtype, dtype) == ("int32", "float64"):
            column = self.converted(column, "int64")
        op = _CONVERSIONS.get((column.dtype, dtype))
        if op is None:
            raise NotTiled
        target = Column(dtype)
        self.emit(op, target, column)
        return target

    def chosen(self, inputs: list[list[Column]], result: Block) -> list[Column]:
        op = WHERES[np.dtype(result.dtype).itemsize]
        answers = []
        for mask, a, b in zip(*(_wide(i, result.width) for i in inputs), strict=True):
            if mask.dtype != "bool":
                raise NotTiled
            one, other = self.converted(a, result.dtype), self.converted(b, result.dtype)
            if mask.is_constant:
                answers.append(one if mask.value else other)
                continue
            answers.append(Column(result.dtype))
            self.emit(op, answers[-1], mask, one, other)
        return answers

    def missing(self, column: Column, op: IsMissing) -> Column:
        if np.dtype(column.dtype).kind != "f":
            if op.rule == "value":
                raise NotTiled
            return Column("bool", np.False_)
        if op.rule == "value":
            if not isinstance(op.value, (int, float)):
                raise NotTiled
            return self.call(
                "equal", column, Column(column.dtype, np.dtype(column.dtype).type(op.value))
            )
        return self.call("isnan", column)

    def guarded(self, columns: list[Column], op: Guard) -> list[Column]:
        plain = all(c.dtype == "float64" and not c.is_constant for c in columns)
        if plain and op.low is None and op.high is None:
            wanted = kernel.NO_INFINITY_8 if op.allow_nan else kernel.FINITE_8
            self.emit(wanted, None, *columns, many=True)
            return columns
        for c, column in enumerate(columns):
            if np.dtype(column.dtype).kind != "f":
                continue
            if column.is_constant:
                raise NotTiled
            most = np.finfo(column.dtype).max
            bounds = []
            for limit, default in ((op.low, -most), (op.high, most)):
                bound = default if limit is None else limit.values[c if len(limit) > 1 else 0]
                exact = np.dtype(column.dtype).type(bound)
                if float(exact) != float(bound):  # the kernel compares in the column's own dtype
                    raise NotTiled
                bounds.append(Column(column.dtype, exact))
            guard = kernel.GUARD_8 if column.dtype == "float64" else kernel.GUARD_4
            self.emit(guard, None, column, *bounds, numbers=(int(op.allow_nan),))
        return columns

    def product(self, columns: list[Column], weights: Array, dtype: str) -> list[Column]:
        if weights.size > MOST_PRODUCTS or not 0 < len(weights) <= MOST_TERMS:
            raise NotTiled
        if dtype not in ("float64", "float32"):
            raise NotTiled
        given = tuple(self.filled(self.converted(c, dtype)) for c in columns)
        op = kernel.DOT_8 if dtype == "float64" else kernel.DOT_4
        if weights.shape[1] == 1:
            if dtype == "float32":  # OpenBLAS has another order for it
                raise NotTiled
            op = kernel.DOT_ALONE_8
        answers = []
        for row in weights.T.astype(dtype):
            answers.append(Column(dtype))
            self.emit(op, answers[-1], *given, many=True, table=np.ascontiguousarray(row))
        return answers

    # -- along a row -----------------------------------------------------------------------
    def reduced(self, name: str, columns: list[Column], dtype: str) -> Column:
        if not columns or len(columns) > MOST_WIDE:
            raise NotTiled
        if name in ("argmax", "argmin"):
            if columns[0].dtype != "float64":
                raise NotTiled
            op = kernel.ARGMAX_8 if name == "argmax" else kernel.ARGMIN_8
            target = Column("int64")
            self.emit(op, target, *(self.filled(c) for c in columns), many=True)
            return target
        if name in ("any", "all"):
            if columns[0].dtype != "bool":
                raise NotTiled
            return self.folded("logical_or" if name == "any" else "logical_and", columns)
        own = [self.converted(c, dtype) for c in columns]
        match name:
            case "max" | "min":
                return self.folded(f"{name}imum", own)
            case "prod":
                return self.folded("multiply", own)
            case "sum" | "mean":
                total = self.call("add", self.summed(own), _number(dtype, 0.0))
                if name == "sum":
                    return total
                return self.call("divide", total, _number(dtype, len(own)))
            case _:
                return self.squares(own, dtype)

    def folded(self, name: str, columns: Sequence[Column]) -> Column:
        """One after the other, from the left."""
        total = columns[0]
        for column in columns[1:]:
            total = self.call(name, total, column)
        return total

    def summed(self, columns: list[Column]) -> Column:
        """Up to 128 columns in NumPy's order, eight sums side by side (``loops_utils.h.src``)."""
        if len(columns) < 8:
            return self.folded("add", columns)
        sums, whole = columns[:8], len(columns) // 8 * 8
        for at in range(8, whole, 8):
            group = columns[at : at + 8]
            sums = [self.call("add", s, c) for s, c in zip(sums, group, strict=True)]
        while len(sums) > 1:
            sums = [self.call("add", a, b) for a, b in zip(sums[::2], sums[1::2], strict=True)]
        return self.folded("add", [*sums, *columns[whole:]])

    def squares(self, columns: list[Column], dtype: str) -> Column:
        """The sum of squares in the order of NumPy's ``einsum`` (``einsum_sumprod.c.src``)."""
        if dtype not in ("float64", "float32") or not einsum_order_is_known(dtype, len(columns)):
            raise NotTiled
        squares = [self.call("multiply", c, c) for c in columns]
        lanes: list[Column | None] = [None] * _lanes(dtype)
        for position, lane in squares_in_order(len(columns), len(lanes)):
            before = lanes[lane]
            square = squares[position]
            lanes[lane] = square if before is None else self.call("add", square, before)
        zero = _number(dtype, 0.0)
        sums = [zero if lane is None else self.call("add", lane, zero) for lane in lanes]
        while len(sums) > 1:
            sums = [self.call("add", a, b) for a, b in zip(sums[::2], sums[1::2], strict=True)]
        return sums[0]

    def accumulated(self, name: str, columns: list[Column], dtype: str) -> list[Column]:
        if columns[0].dtype != dtype:
            raise NotTiled
        answers = columns[:1]
        for column in columns[1:]:
            answers.append(self.call(name, answers[-1], column))
        return answers

    def gathered(self, codes: list[Column], table: Array, result: Block) -> list[Column]:
        if np.dtype(result.dtype).itemsize != 8 or codes[0].is_constant:
            raise NotTiled
        wide, (rows, width) = self.converted(codes[0], "int64"), (len(table), result.width)
        answers = []
        for c in range(width):
            answers.append(Column(result.dtype))
            self.emit(
                kernel.PICK_8, answers[-1], wide, numbers=(rows, width, c), table=table.ravel()
            )
        return answers


def constants(row: Any) -> list[Column]:
    """A constant row as columns."""
    if isinstance(row, Text) or str(row.dtype) not in DTYPES:
        raise NotTiled
    return [Column(str(row.dtype), value) for value in row.values]


def _number(dtype: str, value: float) -> Column:
    return Column(dtype, np.dtype(dtype).type(value))


def _wide(columns: list[Column], width: int) -> list[Column]:
    return columns * width if len(columns) == 1 else columns


# -- the order in which einsum adds up a row ------------------------------------------------------
def _lanes(dtype: str) -> int:
    return 16 // np.dtype(dtype).itemsize


def squares_in_order(width: int, lanes: int) -> list[tuple[int, int]]:
    """Which square is added to which lane, in this order: four vectors at a time, the last first."""
    order, at = [], 0
    while width - at >= 4 * lanes:
        order += [(at + v * lanes + lane, lane) for v in (3, 2, 1, 0) for lane in range(lanes)]
        at += 4 * lanes
    return order + [(k, (k - at) % lanes) for k in range(at, width)]


_KNOWN_ORDERS: dict[tuple[str, int], bool] = {}


def einsum_order_is_known(dtype: str, width: int) -> bool:
    """Whether this NumPy, whose vectors depend on how it was built, adds in that order."""
    key = dtype, width
    if key not in _KNOWN_ORDERS:
        rows = np.random.default_rng(width).normal(size=(64, width)).astype(dtype)
        lanes = [np.zeros(64, dtype) for _ in range(_lanes(dtype))]
        for position, lane in squares_in_order(width, len(lanes)):
            lanes[lane] = rows[:, position] * rows[:, position] + lanes[lane]
        while len(lanes) > 1:
            lanes = [a + b for a, b in zip(lanes[::2], lanes[1::2], strict=True)]
        _KNOWN_ORDERS[key] = bool((np.einsum("ij,ij->i", rows, rows) == lanes[0]).all())
    return _KNOWN_ORDERS[key]
