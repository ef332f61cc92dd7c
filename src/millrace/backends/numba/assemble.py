"""A program for one row, written as instructions for the machine (`kernels.machine`).

Not every program can be: what calls Python, works on text, or needs a dtype or a loop that the machine
does not have, is for `straight`. A row that the machine gives up on (a guard, an unknown category, NaN
where it has no answer) is for the general way, which answers or raises.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.backends.numba import instructions as m
from millrace.backends.numba.encode import Encoder
from millrace.backends.numba.instructions import (
    BOOL,
    F8,
    I4,
    I8,
    Unsupported,
    Value,
)
from millrace.backends.numba.trees import TreeEngine
from millrace.backends.numba.writer import Writer
from millrace.ir.arrays import Text
from millrace.ir.ops import (
    Accumulate,
    ArgSort,
    Binary,
    Cast,
    CastLike,
    Concat,
    Constant,
    Dense,
    Distances,
    Encode,
    Gather,
    Guard,
    Interpolate,
    IsMissing,
    MatMul,
    Nearest,
    OneHot,
    Op,
    PickAlong,
    Reduce,
    Require,
    SearchSorted,
    Select,
    Sparse,
    Take,
    Trees,
    Unary,
    Where,
)
from millrace.ir.program import Program
from millrace.ir.types import Block

WIDEST_SORT = 64
"""So many cells are sorted by insertion."""


@dataclass
class Source:
    """The cells that the machine gets.

    Attributes
    ----------
    columns : list of int
        The column of the program behind each cell.
    encoders : list of Encoder or None
        What turns the cell into a code beforehand.
    dtype : dtype
    """

    dtype: np.dtype[Any]
    columns: list[int] = field(default_factory=list)
    encoders: list[Encoder | None] = field(default_factory=list)


@dataclass(frozen=True)
class Answer:
    """One output: cells of the answer, and the table that they are codes of."""

    first: int
    width: int
    shape: str
    labels: npt.NDArray[Any] | None

    @property
    def is_plain(self) -> bool:
        """Whether it is the cells of the answer as they are."""
        return self.shape == "matrix" and self.labels is None


@dataclass
class Assembled:
    """A program that the machine can run.

    Attributes
    ----------
    memory : int64 (n,)
        The model's memory.
    source : Source
    answers : list of Answer
        One for each output.
    dtype : dtype
        Of the answer.
    kept : list
        What must stay alive as long as the memory.
    """

    memory: npt.NDArray[np.int64]
    source: Source
    answers: list[Answer]
    dtype: np.dtype[Any]
    kept: list[Any]


class Assembler(Writer):
    """Writes one program.

    Parameters
    ----------
    program, types, engines, encoders
        As for `straight.StraightRow`.
    of_array : bool
        The row is an array with all columns of the program, of one dtype; else the cells of the columns
        that are read, as float64, text as codes.

    Raises
    ------
    Unsupported
    """

    def __init__(
        self,
        program: Program,
        types: Sequence[Block],
        engines: Mapping[int, TreeEngine],
        encoders: Mapping[int, Encoder],
        of_array: bool,
    ) -> None:
        super().__init__()
        self.program, self.types, self.engines, self.encoders = program, types, engines, encoders
        self.of_array = of_array
        self.values: list[Value | None] = []
        self.source = self._source()
        self.row = self.code.room(self.source.dtype, max(len(self.source.columns), 1))

    def assembled(self) -> Assembled:
        """The whole program."""
        final = {o.step for o in self.program.outputs}
        labels: dict[int, npt.NDArray[Any]] = {}
        for k, step in enumerate(self.program.steps):
            if isinstance(step.op, Gather) and isinstance(step.op.table, Text):
                if k not in final or any(k in s.inputs for s in self.program.steps):
                    raise Unsupported
                labels[k] = step.op.table.array()
                self.values.append(self._whole(self._value(step.inputs[0]), I8))
            else:
                self.values.append(self._written(k, step.op, step.inputs))
        answers, dtype = self._answers(labels)
        from millrace.backends.numba.kernels.machine import run

        memory = self.code.memory(len(self.source.columns), int(run.address or 0))
        return Assembled(memory, self.source, answers, dtype, self.code.kept)

    def _answers(self, labels: Mapping[int, npt.NDArray[Any]]) -> tuple[list[Answer], Any]:
        """Copy the outputs to the answer."""
        found: list[Answer] = []
        values = [self._value(o.step) for o in self.program.outputs]
        if len({v.dtype for v in values}) != 1:
            raise Unsupported
        at, size = 0, values[0].dtype.itemsize
        for output, value in zip(self.program.outputs, values, strict=True):
            if output.shape not in ("matrix", "vector", "csr_matrix"):
                raise Unsupported
            place = m.OUT + at * size
            self.code.emit(m.COPY, value.width, [value.place, place], (), [size])
            found.append(Answer(at, value.width, output.shape, labels.get(output.step)))
            at += value.width
        return found, values[0].dtype

    # -- the row ---------------------------------------------------------------------------
    def _source(self) -> Source:
        if self.of_array:
            dtypes = {c.dtype for c in self.program.columns}
            if len(dtypes) != 1 or dtypes == {"object"} or None in dtypes:
                raise Unsupported
            n = len(self.program.columns)
            (dtype,) = dtypes
            return Source(np.dtype(dtype), list(range(n)), [None] * n)
        source = Source(F8)
        for step in self.program.steps:
            if isinstance(step.op, Select):
                source.columns += step.op.columns
        source.columns = sorted(set(source.columns))
        text = {c for c in source.columns if self.program.columns[c].dtype == "object"}
        coded = {c: self._encoder_of(c) for c in text}
        source.encoders = [coded.get(c) for c in source.columns]
        return source

    def _encoder_of(self, column: int) -> Encoder:
        """The one encoder that all readers of a column of text share."""
        readers = [
            k
            for k, s in enumerate(self.program.steps)
            if isinstance(s.op, Select) and column in s.op.columns
        ]
        found = [(k, s) for k, s in enumerate(self.program.steps) if set(s.inputs) & set(readers)]
        if len(found) != 1 or not isinstance(found[0][1].op, Encode) or len(readers) != 1:
            raise Unsupported
        if self.program.steps[readers[0]].op != Select((column,)):
            raise Unsupported
        return self.encoders[found[0][0]]

    def _selected(self, columns: Sequence[int]) -> Value:
        at = [self.source.columns.index(c) for c in columns]
        return self._picked(self.row, at)

    # -- values ----------------------------------------------------------------------------
    def _value(self, k: int) -> Value:
        value = self.values[k]
        if value is None:
            raise Unsupported
        return value

    def _room(self, k: int) -> Value:
        """Where a step writes, by its type."""
        return self.code.room(np.dtype(self.types[k].dtype), self.types[k].width)

    # -- steps -----------------------------------------------------------------------------
    def _written(self, k: int, op: Op, inputs: tuple[int, ...]) -> Value | None:
        """Write a step; None for a column of text, which its encoder has read before."""
        match op:
            case Select(columns):
                text = self.types[k].dtype == "object"
                return None if text else self._selected(columns)
            case Encode() if self.values[inputs[0]] is None:
                text = self.program.steps[inputs[0]].op
                if not isinstance(text, Select):
                    raise Unsupported
                return self._whole(self._selected(text.columns), I4)
            case Constant(row):
                if isinstance(row, Text):
                    raise Unsupported
                return self._constant(row.values)
            case _:
                return self._stepped(k, op, [self._value(i) for i in inputs])

    def _stepped(self, k: int, op: Op, given: list[Value]) -> Value:
        """Write a step of numbers; cells of a sparse block that are absent are zeros here."""
        first = given[0]
        if self.types[k].sparse and not isinstance(op, _KEEP_ABSENT):
            raise Unsupported
        match op:
            case Cast() | CastLike():
                return self._whole(first, np.dtype(self.types[k].dtype))
            case Dense() | Sparse():
                return first
            case Take(columns):
                return self._picked(first, columns)
            case Unary(name) | Binary(name):
                return self._elementwise(name, given, self._room(k))
            case IsMissing():
                return self._missing(op, first, self._room(k))
            case Concat():
                return self._concatenated(given, self._room(k))
            case Where():
                return self._where(given, self._room(k))
            case MatMul(weights):
                return self._product(first, weights.values, self._room(k))
            case Reduce(name):
                return self._reduced(name, first, self._room(k))
            case Guard():
                return self._guarded(op, first)
            case Require():
                self._expect(given[1], BOOL)
                self.code.emit(m.REQUIRE, given[1].width, [given[1].place])
                return first
            case Trees():
                return self._trees(self.engines[k], first, self._room(k))
            case _:
                return self._looked_up(k, op, given)

    def _looked_up(self, k: int, op: Op, given: list[Value]) -> Value:
        """The steps that find cells by other cells."""
        first = given[0]
        match op:
            case Encode():
                return self._coded(op, first, self._room(k))
            case OneHot(width, dtype):
                return self._one_hot(first, width, np.dtype(dtype), self._room(k))
            case Gather(table) if not isinstance(table, Text):
                return self._gathered(first, table.values, self._room(k))
            case PickAlong():
                return self._picked_along(first, given[1], self._room(k))
            case Accumulate("add"):
                return self._simple(m.RUNNING_SUM, first, self._room(k), F8)
            case ArgSort() if first.width <= WIDEST_SORT:
                return self._simple(m.SORT, first, self._room(k), F8)
            case SearchSorted():
                return self._edges(op, first, self._room(k))
            case Interpolate():
                return self._between(op, first, self._room(k))
            case Distances() | Nearest():
                return self._points(op, first, self._room(k))
            case _:
                raise Unsupported


_KEEP_ABSENT = (OneHot, Concat, Cast, CastLike, Take, Guard, Require, Sparse)
"""The steps of sparse blocks in which absent cells and zeros are one thing."""
