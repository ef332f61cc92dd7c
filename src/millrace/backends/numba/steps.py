"""One step of a program on a block of rows, the general way: what runs it is looked up beforehand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.backends.numba import csr_steps
from millrace.backends.numba.columns import Columns, MatrixColumns, is_columns
from millrace.backends.numba.compute import Repeated, compute, with_row
from millrace.backends.numba.encode import Encoder
from millrace.backends.numba.guards import Guards
from millrace.backends.numba.straight import direct
from millrace.backends.numba.trees import TreeEngine
from millrace.backends.numba.values import (
    block_of,
    call,
    concat,
    is_all,
    only_column,
    pick,
    split_columns,
)
from millrace.errors import RefusedRowError
from millrace.ir.arrays import Text
from millrace.ir.ops import (
    Binary,
    Call,
    Concat,
    Constant,
    Encode,
    Features,
    Guard,
    Leaves,
    Op,
    Require,
    Select,
    Take,
    Terms,
    Trees,
)
from millrace.ir.program import Program, Step
from millrace.ir.types import Block, function, infer
from millrace.runtime import sparse

Array = npt.NDArray[Any]


class Steps:
    """The steps of a bound program, each with what it needs to run.

    Parameters
    ----------
    program, foreign, shared
        As for `execute.Executable`.
    """

    def __init__(
        self, program: Program, foreign: Mapping[str, Any], shared: dict[Any, Any]
    ) -> None:
        self.program = program
        self.foreign = foreign
        self.names = [c.name for c in program.columns]
        self.types = infer(program, program.binding)
        self.engines: dict[int, TreeEngine] = {}
        self.encoders: dict[int, Encoder] = {}
        self.collections: dict[int, Callable[[Any], Any]] = {}
        for position, step in enumerate(program.steps):
            if isinstance(step.op, (Trees, Leaves)):
                dtype = tree_dtype(self.types[step.inputs[0]])
                key = (id(step.op.forest), dtype)
                if key not in shared:  # the engine holds the forest, so its id stays taken
                    shared[key] = TreeEngine(step.op.forest, dtype)
                self.engines[position] = shared[key]
            elif isinstance(step.op, Encode):
                self.encoders[position] = Encoder(step.op)
            elif isinstance(step.op, (Terms, Features)):
                self.collections[position] = _counter(step.op)
        every = Select(tuple(range(len(program.columns))))
        self.whole = {k for k, step in enumerate(program.steps) if step.op == every}
        self.guards = Guards(program)
        self.by_cells = [self._is_by_cells(step) for step in program.steps]
        self.rows_of = {
            k: Repeated(step.op.row.values)
            for k, step in enumerate(program.steps)
            if isinstance(step.op, Constant) and not isinstance(step.op.row, Text)
        }
        self.lines = [self._line(k) for k in range(len(program.steps))]

    def _line(self, position: int) -> Callable[..., Any] | None:
        """A step as one NumPy call on dense blocks, where it is no more."""
        step = self.program.steps[position]
        given = [self.types[i] for i in step.inputs]
        if self.by_cells[position] or any(g.sparse for g in given):
            return None
        if isinstance(step.op, Binary) and self._row_operand(position) is not None:
            return None
        return direct(step.op, given, self.types[position])

    def _is_by_cells(self, step: Step) -> bool:
        """Whether a step works on the cells of a sparse block, and is no kernel of its own."""
        some = any(self.types[i].sparse for i in step.inputs)
        return some and not isinstance(step.op, (Trees, Leaves, Call, Require))

    def apply(
        self,
        position: int,
        op: Op,
        inputs: list[Any],
        columns: Any,
        first: int,
        n_rows: int,
        out: Array | None = None,
    ) -> Any:
        """The value of a step.

        Parameters
        ----------
        position, op
            The number of the step, and what it does.
        inputs : list
            The values of its inputs.
        columns, first, n_rows
            The columns of the block, the number of its first row, and how many it has.
        out : ndarray (n_rows, width), optional
            Where the value may be written, if it takes no more than that.
        """
        line = self.lines[position]
        if line is not None:
            given = [i if type(i) is np.ndarray else block_of(i, n_rows) for i in inputs]
            return line(*given, out=out) if isinstance(line, np.ufunc) else line(*given)
        if self.by_cells[position]:
            return csr_steps.apply(op, [block_of(i, n_rows) for i in inputs], self.names, first)
        match op:
            case Select(positions):
                return self._selected(position, positions, columns)
            case Require():
                return _required(op, inputs, first)
            case Guard():
                return self.guards.passed(position, inputs[0], op, first)
            case Terms() | Features() | Encode() | Trees() | Leaves() | Call():
                return self._looked_up(position, op, inputs[0], first, n_rows, out)
            case _:
                return self._computed(position, op, inputs, n_rows, out)

    def _selected(self, position: int, positions: tuple[int, ...], columns: Any) -> Any:
        """Columns of the program's input."""
        if position in self.whole and type(columns) is MatrixColumns:
            return columns
        if sparse.is_sparse(columns):
            return columns if is_all(positions, columns) else columns[:, list(positions)]
        return pick(columns, positions)

    def _computed(
        self, position: int, op: Op, inputs: list[Any], n_rows: int, out: Array | None
    ) -> Any:
        """The value of a step that is a NumPy call, or that puts columns together."""
        match op:
            case Take(positions) if is_columns(inputs[0]):
                return pick(inputs[0], positions)
            case Concat():
                return concat(inputs, self.types[position].dtype, n_rows)
            case Binary(name) if n_rows > 1 and (row := self._row_operand(position)):
                if out is None:
                    out = np.empty((n_rows, self.types[position].width), self.types[position].dtype)
                return with_row(function(name), block_of(inputs[row[0]], n_rows), *row, out)
            case Take(positions) if out is not None and len(inputs[0]) == n_rows:
                return inputs[0].take(positions, axis=1, out=out, mode="clip")
            case _:
                return compute(op, [block_of(i, n_rows) for i in inputs])

    def _looked_up(
        self, position: int, op: Op, value: Any, first: int, n_rows: int, out: Array | None
    ) -> Any:
        """The value of a step whose work something prepared does: an encoder, a forest, an object."""
        match op:
            case Terms() | Features():
                return self.collections[position](only_column(value))
            case Encode():
                return self.encoders[position](only_column(value), first)[:, None]
            case Trees():
                columns = self._tree_columns(position, value)
                return self.engines[position].sums(columns, n_rows, out)
            case Leaves(forest):
                reached = self.engines[position].leaves(self._tree_columns(position, value), n_rows)
                return forest.leaf_id.values[reached]
            case Call():
                return call(op, value, self.foreign[op.key], n_rows)
            case _:
                raise AssertionError(op)

    def _row_operand(self, position: int) -> tuple[int, Repeated] | None:
        """Which input of a step is the block beside a constant row as wide as it, and that row."""
        first, second = self.program.steps[position].inputs
        if self.types[first].width == self.types[second].width > 1:
            if second in self.rows_of:
                return 0, self.rows_of[second]
            if first in self.rows_of:
                return 1, self.rows_of[first]
        return None

    def _tree_columns(self, position: int, value: Any) -> Columns:
        """The columns that a forest reads, each in the engine's dtype or an integer dtype of codes."""
        engine = self.engines[position]
        numeric, used = engine.read
        if sparse.is_sparse(value):
            return split_columns(value, used, engine.dtype)
        if isinstance(value, np.ndarray):
            value = MatrixColumns(value)
        if isinstance(value, MatrixColumns) and value.matrix.dtype == engine.dtype:
            return value
        columns = list(value)
        return [
            None if c not in used else np.asarray(column, engine.dtype if c in numeric else None)
            for c, column in enumerate(columns)
        ]


def _required(op: Require, inputs: list[Any], first: int) -> Any:
    """The value, if all its rows have what the condition asks for."""
    ok = np.asarray(inputs[1], bool)
    if not ok.all():
        row = first + int(np.argwhere(~ok)[0][0])
        raise RefusedRowError.at(row, op.owner, op.problem)
    return inputs[0]


def _counter(op: Terms | Features) -> Callable[[Any], Any]:
    """What counts terms or features; its kernels are loaded by the models that have texts alone."""
    from millrace.backends.numba.terms import FeatureSpreader, TermCounter

    return TermCounter(op) if isinstance(op, Terms) else FeatureSpreader(op)


def tree_dtype(block: Block) -> str:
    """The float dtype in which a forest compares the values of a block, exactly."""
    return (
        "float32"
        if block.dtype in ("float16", "float32", "bool", "int8", "uint8", "int16", "uint16")
        else "float64"
    )
