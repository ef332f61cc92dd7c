"""One row through a program of the usual form: columns, perhaps encoded -> one forest -> a few steps.

Everything that does not depend on the row is done once: which cells the forest reads, the
dictionaries of the encoders, the constants of the steps after the forest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from millrace.backends.numba.compute import compute
from millrace.backends.numba.encode import Encoder
from millrace.backends.numba.kernels import row as kernel
from millrace.backends.numba.trees import Limits, TreeEngine
from millrace.ir.ops import Call, Concat, Constant, Encode, Guard, Leaves, Select, Trees
from millrace.ir.program import Program

RowPlan = Callable[[Sequence[Any]], "dict[str, Any] | None"]


def plan_row(
    program: Program, engines: Mapping[int, TreeEngine], encoders: Mapping[int, Encoder]
) -> RowPlan | None:
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
    return _OneRow(
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


class _OneRow:
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
        self.program, self.engine, self.forest = program, engine, forest
        width = len(program.columns)
        self.direct = [c for c, _ in cells] == list(range(width)) and all(e < 0 for _, e in cells)
        used = set(engine.forest.feature.values[engine.forest.feature.values >= 0].tolist())
        guarded = {at + k for at, n, _ in guards for k in range(n)}
        self.plain = [(i, c) for i, (c, e) in enumerate(cells) if e < 0 and i in used | guarded]
        self.coded = [
            (i, c, encoders[e].cell, encoders[e].op) for i, (c, e) in enumerate(cells) if e >= 0
        ]
        self.width = len(cells)
        self.dtype = np.dtype(engine.dtype)
        self.limits = _limits(guards, len(cells), self.dtype)
        self.steps = [(i, program.steps[i].op, program.steps[i].inputs) for i in after]
        self.fixed = {i: compute(op, []) for i, op, _ in self.steps if isinstance(op, Constant)}
        self.steps = [s for s in self.steps if s[0] not in self.fixed]
        self.outputs = [(o.name, o.step, o.shape) for o in program.outputs]
        self.prepared: Any = None

    def __call__(self, cells: Sequence[Any]) -> dict[str, Any] | None:
        prepared = self.prepared
        if prepared is None:
            if self.engine.quantized.by_value:
                return None
            self.prepared = prepared = self._prepare()
        model, zero, n_outputs, dtype, _ = prepared
        if self.direct and type(cells) is np.ndarray:
            row = cells if cells.dtype == self.dtype else cells.astype(self.dtype)
        else:
            row = self._gather(cells)
            if row is None:
                return None
        sums = np.empty((1, n_outputs), dtype)
        if not kernel.row_sums(model, row, zero, sums[0]):
            return None
        if not self.steps:
            return {
                name: sums[:, 0] if shape == "vector" else sums for name, _, shape in self.outputs
            }
        values = dict(self.fixed)
        values[self.forest] = sums
        with np.errstate(all="ignore"):
            for i, op, inputs in self.steps:
                values[i] = (
                    _concat(values, inputs)
                    if isinstance(op, Concat)
                    else compute(op, [values[k] for k in inputs])
                )
        return {
            name: values[i][:, 0] if shape == "vector" else values[i]
            for name, i, shape in self.outputs
        }

    def _gather(self, cells: Sequence[Any]) -> Any:
        """The forest's input for one row, None where a cell is not of the usual kind."""
        row = np.zeros(self.width, self.dtype)
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

    def _prepare(self) -> tuple[Any, ...]:
        forest = self.engine.forest
        model, alive = self.engine.row_model(self.limits)
        dtype = forest.value.dtype
        return model, dtype.type(0), forest.n_outputs, dtype, alive


def _concat(values: Mapping[int, Any], inputs: Sequence[int]) -> Any:
    return np.concatenate([values[k] for k in inputs], axis=1)


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
