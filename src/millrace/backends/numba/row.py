"""One row through a program of the usual form: columns, perhaps encoded -> one forest -> a few steps.

Everything that does not depend on the row is done once: which cells the forest reads, the
dictionaries of the encoders, the constants of the steps after the forest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from millrace.backends.numba.compute import compute
from millrace.backends.numba.encode import Encoder
from millrace.backends.numba.kernels import few as kernel_few
from millrace.backends.numba.kernels import row as kernel
from millrace.backends.numba.kernels.vectors import LANES, TILE
from millrace.backends.numba.single import Single, single_of_array, single_of_cells
from millrace.backends.numba.trees import WALK_ROWS, Limits, TreeEngine
from millrace.ir.ops import Call, Concat, Constant, Encode, Guard, Leaves, Select, Trees
from millrace.ir.program import Program
from millrace.ir.types import infer


def plan_row(
    program: Program, engines: Mapping[int, TreeEngine], encoders: Mapping[int, Encoder]
) -> OneRow | None:
    """How to answer one row, or None where the program has another form."""
    forests = [i for i, s in enumerate(program.steps) if isinstance(s.op, Trees)]
    if len(forests) != 1 or program.foreign or any(isinstance(s.op, Leaves) for s in program.steps):
        return None
    (forest,) = forests
    sources = _sources(program, program.steps[forest].inputs[0])
    if sources is None or engines[forest].forest.linear is not None:
        return None
    cells, guards = sources
    before = _ancestors(program, forest)
    after = [i for i in range(len(program.steps)) if i not in before and i != forest]
    if any(set(program.steps[i].inputs) & before for i in after):
        return None
    if any(isinstance(program.steps[i].op, (Select, Encode, Call, Guard)) for i in after):
        return None
    return OneRow(
        program, engines[forest], forest, cells, guards, after, {i: encoders[i] for i in encoders}
    )


def _ancestors(program: Program, step: int) -> set[int]:
    found: set[int] = set()
    waiting = list(program.steps[step].inputs)
    while waiting:
        i = waiting.pop()
        if i not in found:
            found.add(i)
            waiting.extend(program.steps[i].inputs)
    return found


Cell = tuple[int, int]
"""A column of the input, and the `Encode` step that turns its cell into a code (-1 for none)."""

Span = tuple[int, int, Guard]
"""First cell and number of cells that a guard watches."""


def _sources(program: Program, step: int) -> tuple[list[Cell], list[Span]] | None:
    """The cells behind the columns of a forest's input, and the guards on the way."""
    here = program.steps[step]
    match here.op:
        case Select(columns):
            return [(c, -1) for c in columns], []
        case Concat():
            cells: list[Cell] = []
            guards: list[Span] = []
            for i in here.inputs:
                inner = _sources(program, i)
                if inner is None:
                    return None
                guards += [(at + len(cells), n, g) for at, n, g in inner[1]]
                cells += inner[0]
            return cells, guards
        case Guard():
            inner = _sources(program, here.inputs[0])
            if inner is None or inner[1] or any(e >= 0 for _, e in inner[0]):
                return None
            return inner[0], [(0, len(inner[0]), here.op)]
        case Encode():
            below = program.steps[here.inputs[0]].op
            if isinstance(below, Select) and len(below.columns) == 1:
                return [(below.columns[0], step)], []
            return None
        case _:
            return None


class OneRow:
    """The prepared call."""

    def __init__(
        self,
        program: Program,
        engine: TreeEngine,
        forest: int,
        cells: list[Cell],
        guards: list[Span],
        after: list[int],
        encoders: Mapping[int, Encoder],
    ) -> None:
        self.program, self.encoders = program, encoders
        self.engine, self.forest = engine, forest
        used = set(engine.forest.feature.values[engine.forest.feature.values >= 0].tolist())
        guarded = {at + k for at, n, _ in guards for k in range(n)}
        self.plain = [(i, c) for i, (c, e) in enumerate(cells) if e < 0 and i in used | guarded]
        self.coded = [
            (i, c, encoders[e].cell, encoders[e].op) for i, (c, e) in enumerate(cells) if e >= 0
        ]
        self.columns = [c for c, _ in cells]
        self.dtype = np.dtype(engine.dtype)
        self.limits = _limits(guards, len(cells), self.dtype)
        steps = [(i, program.steps[i].op, program.steps[i].inputs) for i in after]
        self.fixed = {i: compute(op, []) for i, op, _ in steps if isinstance(op, Constant)}
        self.steps = [s for s in steps if s[0] not in self.fixed]
        self.outputs = [(o.name, o.step, o.shape == "vector") for o in program.outputs]
        value = engine.forest.value.dtype
        self.zero, self.sums_dtype, self.n_outputs = value.type(0), value, engine.forest.n_outputs
        self.by_value: dict[int, bool] = {}

    # -- the machine -----------------------------------------------------------------------
    def single_of_array(self) -> Single | None:
        """The call for arrays where the machine can run the program; see `single`."""
        return single_of_array(self.program, *self._whole)

    def single_of_cells(self) -> tuple[list[int], Single] | None:
        """The columns that are read, and the call for their cells; see `single`."""
        return single_of_cells(self.program, *self._whole)

    @property
    def _whole(self) -> tuple[Any, Any, Any]:
        """The types, forests and encoders of the program."""
        types = infer(self.program, self.program.binding)
        return types, {self.forest: self.engine}, self.encoders

    # -- one row ---------------------------------------------------------------------------
    def __call__(self, cells: Sequence[Any]) -> dict[str, Any] | None:
        """The outputs for one row; None where the general way must be taken, or must raise."""
        q = self.engine.quantized
        if q.by_value and q.planes.members:
            return None
        if type(cells) is np.ndarray and not self.coded:
            row = cells if cells.dtype == self.dtype else cells.astype(self.dtype)
            model = self.of_matrix[0]
        else:
            row = self._gather(cells)
            model = self.of_cells[0]
            if row is None:
                return None
        sums = np.empty((1, self.n_outputs), self.sums_dtype)
        add_up = kernel.row_sums_by_value if q.by_value else kernel.row_sums
        if not add_up(model, row, self.zero, sums[0]):
            return None
        return self._finished(sums)

    @cached_property
    def of_cells(self) -> tuple[Any, Any]:
        """The forest for rows in the order of its own input."""
        return self.engine.pack(self.engine.quantized, range(len(self.columns)), self.limits)

    @cached_property
    def of_matrix(self) -> tuple[Any, Any]:
        """The forest for rows in the order of the program's columns."""
        return self.engine.pack(self.engine.quantized, self.columns, self.limits)

    def _gather(self, cells: Sequence[Any]) -> Any:
        """The forest's input for one row, None where a cell is not of the usual kind."""
        row = np.zeros(len(self.columns), self.dtype)
        try:
            for i, c in self.plain:
                value = cells[c]
                row[i] = np.nan if value is None else value
            for i, c, code, op in self.coded:
                found = code(cells[c])
                if op.strict and found == op.unknown:
                    return None
                row[i] = found
        except (TypeError, ValueError):
            return None
        return row

    # -- a few rows ------------------------------------------------------------------------
    def few(self, matrix: Any) -> dict[str, Any] | None:
        """The outputs for some rows of a C-contiguous matrix; None as above."""
        if self.coded or matrix.dtype != self.dtype or self.engine.quantized.planes.members:
            return None
        n_rows = len(matrix)
        size = n_rows.bit_length()
        by_value = self.by_value.get(size)
        if by_value is None:
            by_value = self.by_value[size] = self.engine.few_by_value(n_rows)
        sums = np.empty((self.n_outputs, -(-n_rows // LANES) * LANES + TILE), self.sums_dtype)
        if by_value:
            done = kernel_few.few_by_value(self.valued_of_matrix[0], matrix, sums)
        else:
            like = self.engine.quantized.splits.rank[:0]
            done = kernel_few.few_by_rank(self.of_matrix[0], matrix, like, sums, WALK_ROWS)
        return self._finished(sums[:, :n_rows].T) if done else None

    @cached_property
    def valued_of_matrix(self) -> tuple[Any, Any]:
        """`of_matrix` for the forest by value."""
        return self.engine.pack(self.engine.valued, self.columns, self.limits)

    # -- both ------------------------------------------------------------------------------
    def _finished(self, sums: Any) -> dict[str, Any]:
        """The steps after the forest, and the outputs."""
        if not self.steps:
            return {n: sums[:, 0] if is_vector else sums for n, _, is_vector in self.outputs}
        values = dict(self.fixed)
        values[self.forest] = sums
        with np.errstate(all="ignore"):
            for i, op, inputs in self.steps:
                blocks = [values[k] for k in inputs]
                values[i] = _concat(blocks) if isinstance(op, Concat) else compute(op, blocks)
        return {n: values[i][:, 0] if is_vector else values[i] for n, i, is_vector in self.outputs}


def _concat(blocks: list[Any]) -> Any:
    rows = max(len(b) for b in blocks)
    whole = [b if len(b) == rows else np.broadcast_to(b, (rows, b.shape[1])) for b in blocks]
    return np.concatenate(whole, axis=1)


def _limits(guards: list[Span], width: int, dtype: Any) -> Limits | None:
    """Lowest, highest and whether NaN is refused, for each column of the forest's input."""
    if not guards:
        return None
    most = np.finfo(dtype).max
    low, high = np.full(width, -np.inf), np.full(width, np.inf)
    strict = np.zeros(width, np.uint8)
    for at, n, guard in guards:
        span = slice(at, at + n)
        low[span] = -most if guard.low is None else guard.low.values
        high[span] = most if guard.high is None else guard.high.values
        strict[span] = not guard.allow_nan
    return low, high, strict
