"""The builder: how converters and rewrites write programs.

A `Value` is a handle on a step; arithmetic on values appends steps. A value may also stand for
columns of the input table that nothing has read yet, so that picking columns from columns stays
one `Select`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from millrace.ir import ops
from millrace.ir.arrays import Array, Text
from millrace.ir.program import Column, Form, Output, Program, Shape, Step
from millrace.ir.types import Block, result

Row = npt.ArrayLike


@dataclass(frozen=True)
class Value:
    """A block inside a program under construction.

    Attributes
    ----------
    builder : Builder
    step : int
        Position of the step, or -1 while the value still stands for unread table columns.
    columns : tuple of int
        The table columns it stands for; empty otherwise.
    """

    builder: Builder
    step: int
    columns: tuple[int, ...] = ()

    # -- reading ---------------------------------------------------------------------------
    @property
    def at(self) -> int:
        """Position of the step, reading the columns now if that was not yet needed."""
        return self.step if self.step >= 0 else self.builder.append(ops.Select(self.columns)).step

    @property
    def width(self) -> int:
        return len(self.columns) if self.step < 0 else self.builder.blocks[self.step].width

    @property
    def is_sparse(self) -> bool:
        """Whether the block is kept as a sparse matrix."""
        return self.builder.blocks[self.at].sparse

    @property
    def names(self) -> tuple[str, ...] | None:
        """The names of the table columns that the value stands for, None for anything computed."""
        if self.step >= 0:
            return None
        return tuple(self.builder.columns[c].name for c in self.columns)

    def take(self, columns: Iterable[int]) -> Value:
        """Columns by position, in this order."""
        positions = tuple(int(c) for c in columns)
        if self.step < 0:
            return Value(self.builder, -1, tuple(self.columns[c] for c in positions))
        if positions == tuple(range(self.width)):
            return self
        return self._then(ops.Take(positions))

    def column(self, position: int) -> Value:
        return self.take([position])

    # -- converting ------------------------------------------------------------------------
    def cast(self, dtype: str) -> Value:
        return self._then(ops.Cast(dtype))

    def cast_like(self, other: Value) -> Value:
        return self.builder.append(ops.CastLike(), self, other)

    # -- arithmetic ------------------------------------------------------------------------
    def apply(self, ufunc: str) -> Value:
        """A unary ufunc by name, of NumPy or of ``scipy.special``."""
        return self._then(ops.Unary(ufunc))

    def combine(self, ufunc: str, other: Value | Row) -> Value:
        """A binary NumPy ufunc by name; a plain array is one constant row with its own dtype."""
        return self.builder.append(ops.Binary(ufunc), self, self._operand(other))

    def scalar(self, number: float) -> Value:
        """A Python number beside this block: it takes the block's dtype, as NumPy's weak scalars do."""
        return self.builder.constant(np.float64(number)).cast_like(self)

    def __add__(self, other: Value | Row) -> Value:
        return self.combine("add", other)

    def __sub__(self, other: Value | Row) -> Value:
        return self.combine("subtract", other)

    def __mul__(self, other: Value | Row) -> Value:
        return self.combine("multiply", other)

    def __truediv__(self, other: Value | Row) -> Value:
        return self.combine("divide", other)

    def __neg__(self) -> Value:
        return self.apply("negative")

    def __lt__(self, other: Value | Row) -> Value:
        return self.combine("less", other)

    def __le__(self, other: Value | Row) -> Value:
        return self.combine("less_equal", other)

    def __gt__(self, other: Value | Row) -> Value:
        return self.combine("greater", other)

    def __ge__(self, other: Value | Row) -> Value:
        return self.combine("greater_equal", other)

    def equals(self, other: Value | Row) -> Value:
        return self.combine("equal", other)

    def where(self, a: Value | Row | Text, b: Value | Row | Text) -> Value:
        """`a` where this (a bool block) holds, else `b`."""
        return self.builder.append(ops.Where(), self, self._operand(a), self._operand(b))

    def __matmul__(self, weights: npt.ArrayLike) -> Value:
        return self._then(ops.MatMul(Array(weights)))

    # -- the rest --------------------------------------------------------------------------
    def is_missing(
        self, rule: Literal["nan", "none", "value"] = "nan", value: float | str | None = None
    ) -> Value:
        return self._then(ops.IsMissing(rule, value))

    def reduce(
        self,
        function: Literal[
            "sum", "mean", "max", "min", "prod", "any", "all", "argmax", "argmin", "square_sum"
        ],
    ) -> Value:
        return self._then(ops.Reduce(function))

    def accumulate(self, ufunc: str) -> Value:
        return self._then(ops.Accumulate(ufunc))

    def arg_sort(self) -> Value:
        return self._then(ops.ArgSort())

    def pick_along(self, positions: Value) -> Value:
        return self.builder.append(ops.PickAlong(), self, positions)

    def require(self, ok: Value, owner: str, problem: str) -> Value:
        return self.builder.append(ops.Require(owner, problem), self, ok)

    def encode(self, encode: ops.Encode) -> Value:
        return self._then(encode)

    def one_hot(self, width: int, dtype: str = "float64", sparse: bool = False) -> Value:
        return self._then(ops.OneHot(width, dtype, sparse))

    def gather(self, table: Array | Text) -> Value:
        return self._then(ops.Gather(table))

    def guard(self, owner: str, *, allow_nan: bool = False) -> Value:
        return self._then(ops.Guard(owner, allow_nan))

    def trees(self, forest: ops.Forest) -> Value:
        return self._then(ops.Trees(forest))

    def leaves(self, forest: ops.Forest) -> Value:
        return self._then(ops.Leaves(forest))

    def then(self, op: ops.Op) -> Value:
        """Any primitive of one input."""
        return self._then(op)

    def _then(self, op: ops.Op) -> Value:
        return self.builder.append(op, self)

    def _operand(self, other: Value | Row | Text) -> Value:
        return other if isinstance(other, Value) else self.builder.constant(other)


class Builder:
    """A program under construction. Equal steps are written once."""

    def __init__(
        self, columns: Sequence[Column], named: bool = False, form: Form = "table"
    ) -> None:
        self.columns = tuple(columns)
        self.named = named
        self.form: Form = form
        self.binding = Program(self.columns, (), (), named, form).binding
        self.steps: list[Step] = []
        self.blocks: list[Block] = []
        self.outputs: list[Output] = []
        self._seen: dict[Step, int] = {}

    @classmethod
    def like(cls, program: Program) -> Builder:
        """An empty builder for the same input."""
        return cls(program.columns, program.named, program.form)

    @property
    def table(self) -> Value:
        """All columns of the input."""
        return Value(self, -1, tuple(range(len(self.columns))))

    def append(self, op: ops.Op, *inputs: Value) -> Value:
        """One step; an equal earlier step is used again."""
        step = Step(op, tuple(v.at for v in inputs))
        if step not in self._seen:
            block = result(op, [self.blocks[i] for i in step.inputs], self.binding)
            self._seen[step] = len(self.steps)
            self.steps.append(step)
            self.blocks.append(block)
        return Value(self, self._seen[step])

    def constant(self, row: Row | Text) -> Value:
        """A constant row. Its dtype takes part in type promotion, as a NumPy array's does."""
        if isinstance(row, (int, float)) and not isinstance(row, np.generic):
            raise TypeError(f"give {row!r} a dtype: np.float64({row!r}), or an array")
        if isinstance(row, Text):
            return self.append(ops.Constant(row))
        return self.append(ops.Constant(Array(np.atleast_1d(np.asarray(row)))))

    def concat(self, values: Sequence[Value], apart: bool = False) -> Value:
        """Blocks side by side; for `apart` see `Concat`."""
        if len(values) == 1:
            return values[0]
        if all(v.step < 0 for v in values):
            return Value(self, -1, tuple(c for v in values for c in v.columns))
        return self.append(ops.Concat(apart), *values)

    def categorical(
        self, value: Value, categories: Sequence[str | int | float | bool], strict: bool = False
    ) -> None:
        """Say that one table column is numbered by these categories (see `Column.categories`)."""
        if value.step >= 0 or value.width != 1:
            raise ValueError("only a single column of the input table can carry categories")
        (position,) = value.columns
        column = replace(self.columns[position], categories=tuple(categories), strict=strict)
        self.columns = (*self.columns[:position], column, *self.columns[position + 1 :])

    def output(self, name: str, value: Value, shape: Shape = "matrix", depth: int = 1) -> None:
        self.outputs.append(Output(name, value.at, shape, depth))

    def program(self) -> Program:
        return Program(self.columns, tuple(self.steps), tuple(self.outputs), self.named, self.form)
