"""Which steps of a program run together as one list of inner loops, and in what order all are run.

A program is cut into **stages**: the steps of a stage that have no form as columns of a tile (trees,
encoders, large products) come one after the other, then all others of that stage as one **group**. A
group reads columns where they lie and writes the blocks that somebody outside it reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.backends.numba.by_rows import by_rows
from millrace.backends.numba.columns import MatrixColumns
from millrace.backends.numba.kernels import tile_form as kernel
from millrace.backends.numba.tile_code import Code, Column, Instruction, placed
from millrace.backends.numba.tiles import NotTiled, Writer, constants
from millrace.ir.ops import Cast, CastLike, Constant, Guard, Select, Take
from millrace.ir.program import Program
from millrace.ir.types import Block

Array = npt.NDArray[Any]

LEAST_ROWS = 8
"""Rows below which a tile is not worth its preparation."""

_LEAST_STEPS = 3
"""Steps that a group needs that reads what another step has written."""


@dataclass
class Group:
    """Steps that run as one list of instructions.

    Attributes
    ----------
    code : Code
    of_rows : Code, optional
        The same for a matrix in C order whose columns are the sources; see `by_rows`.
    sources : tuple of (int, int, str)
        What the first ports read: step, column and dtype.
    results : tuple of int
        The steps whose blocks the other ports write, column by column.
    """

    code: Code
    sources: tuple[tuple[int, int, str], ...]
    results: tuple[int, ...]
    of_rows: Code | None = None
    memories: dict[bool, list[Array]] = field(default_factory=lambda: {False: [], True: []})

    def __post_init__(self) -> None:
        from millrace.backends.numba.kernels.tiles import run_tiles  # which compiles it

        self.run_tiles = run_tiles

    def run(self, values: Sequence[Any], blocks: Sequence[Array], n_rows: int) -> bool:
        """Fill the blocks of `results`; False where a row is refused or a source is no such column."""
        ports = np.empty((len(self.sources) + sum(b.shape[1] for b in blocks), 2), np.int64)
        rows = self.of_rows
        matrix = None if rows is None else _matrix(values[self.sources[0][0]])
        if rows is None or matrix is None or matrix.shape[1] != len(self.sources):
            code, by_rows = self.code, False
            if not self._fill(ports, values, n_rows):
                return False
        else:
            code, by_rows = rows, True
            ports[0] = matrix.__array_interface__["data"][0], matrix.strides[0]
        at = len(self.sources)
        for block in blocks:
            width = block.shape[1]
            start, size = block.__array_interface__["data"][0], block.itemsize
            ports[at : at + width, 0] = np.arange(start, start + width * size, size)
            ports[at : at + width, 1] = block.strides[0]
            at += width
        try:
            memory = self.memories[by_rows].pop()
        except IndexError:
            memory = code.memory.copy()
        refused = self.run_tiles(*code.at, ports, memory, n_rows, code.tile)
        self.memories[by_rows].append(memory)
        return not refused

    def _fill(self, ports: Array, values: Sequence[Any], n_rows: int) -> bool:
        """Where the source columns lie."""
        for k, (step, column, dtype) in enumerate(self.sources):
            value = values[step]
            if type(value) is MatrixColumns:
                matrix = value.matrix
                if matrix.dtype != dtype:
                    return False
                c = column if value.positions is None else value.positions[column]
                down, across = matrix.strides
                ports[k] = matrix.__array_interface__["data"][0] + c * across, down
                continue
            array = value[column] if type(value) is list else value[:, column]
            if not isinstance(array, np.ndarray) or array.dtype != dtype:
                return False
            step_down = array.strides[0] if len(array) == n_rows else 0
            ports[k] = array.__array_interface__["data"][0], step_down
        return True


def _matrix(value: Any) -> Array | None:
    """The float64 matrix in C order whose columns a value is, all of them and in order."""
    if type(value) is MatrixColumns:
        return value.matrix if value.is_whole and value.matrix.dtype == np.float64 else None
    if type(value) is np.ndarray and value.dtype == np.float64 and value.flags.c_contiguous:
        return value
    return None


@dataclass
class Schedule:
    """What runs after what.

    Attributes
    ----------
    actions : list of int or Group
        A step that runs the general way, by its position, or a group.
    whole : bool
        Everything but reading columns is one group.
    drops : mapping of int to list of int
        After which action which values are no longer needed.
    """

    actions: list[int | Group]
    whole: bool
    drops: dict[int, list[int]]


def plan_groups(program: Program, types: Sequence[Block]) -> Schedule | None:
    """The order of steps and groups; None where no group is worth while.

    Parameters
    ----------
    program : Program
        Bound.
    types : sequence of Block
        The type of each step.
    """
    if program.form == "series" or any(t.sparse for t in types):
        return None
    able = _able(program, types)
    _leave_to_others(program, types, able)
    stage = _stages(program, able)
    kept = {o.step for o in program.outputs}
    actions: list[int | Group] = []
    for number in range(max(stage, default=0) + 1):
        members = [k for k in range(len(stage)) if stage[k] == number]
        try:
            group = _group(program, types, able, [k for k in members if able[k]], kept)
        except NotTiled:
            return None
        actions += [k for k in members if not able[k]]
        if group is not None:
            actions.append(group)
    actions = _needed(program, actions, kept)
    groups = [a for a in actions if isinstance(a, Group)]
    if not groups:
        return None
    reading = all(isinstance(program.steps[a].op, Select) for a in actions if isinstance(a, int))
    return Schedule(actions, reading and len(groups) == 1, _drops(program, actions, kept))


def _able(program: Program, types: Sequence[Block]) -> list[bool]:
    """Which steps have a form as instructions; a constant is there for all and does not count."""
    able: list[bool] = []
    writer, columns = Writer(), [[Column(t.dtype)] * t.width for t in types]
    for k, step in enumerate(program.steps):
        try:
            if any(types[i].dtype == "object" for i in step.inputs):
                raise NotTiled
            columns[k] = writer.step(step.op, [columns[i] for i in step.inputs], types[k])
            able.append(not isinstance(step.op, Constant))
        except NotTiled:
            able.append(False)
    return able


def _leave_to_others(program: Program, types: Sequence[Block], able: list[bool]) -> None:
    """Steps that pass columns of the input on stay outside where a step outside needs the columns."""
    steps = program.steps
    passed = [False] * len(steps)
    for k, step in enumerate(steps):
        passes = isinstance(step.op, (Take, Guard)) or (
            isinstance(step.op, (Cast, CastLike)) and types[k] == types[step.inputs[0]]
        )
        passed[k] = isinstance(step.op, Select) or (passes and passed[step.inputs[0]])
    readers: list[list[int]] = [[] for _ in steps]
    for k, step in enumerate(steps):
        for i in step.inputs:
            readers[i].append(k)
    for k in reversed(range(len(steps))):
        if passed[k] and any(not able[r] for r in readers[k]):
            able[k] = False


def _stages(program: Program, able: Sequence[bool]) -> list[int]:
    """A step outside comes a stage after the groups that it reads."""
    stage: list[int] = []
    for k, step in enumerate(program.steps):
        before = [
            stage[i] + (able[i] and not able[k])
            for i in step.inputs
            if not isinstance(program.steps[i].op, Constant)
        ]
        stage.append(max(before, default=0))
    return stage


def _group(
    program: Program,
    types: Sequence[Block],
    able: list[bool],
    inside: list[int],
    kept: set[int],
) -> Group | None:
    """The instructions of some steps; None, and the steps are not able any more, if they are too few."""
    results = _results(program, inside, kept)
    if not _is_worth_while(program, inside, results):
        for k in inside:
            able[k] = False
        return None
    writer, columns = Writer(), {}
    sources: list[tuple[int, int, str]] = []
    for k in inside:
        step = program.steps[k]
        for i in step.inputs:
            if i not in columns:
                columns[i] = _outside(program, types, i, writer, sources)
        columns[k] = writer.step(step.op, [columns[i] for i in step.inputs], types[k])
    port = 1 << 32
    for k in results:
        for column in columns[k]:
            writer.stored(column, port)
            port += 1
    lines, sources = _live(writer.instructions, sources)
    of_one = [s[:2] for s in sources] == [(sources[0][0], k) for k in range(len(sources))]
    rows = by_rows(lines, len(sources)) if of_one else None
    of_rows = None if rows is None else placed(rows)
    return Group(placed(lines), tuple(sources), results, of_rows)


def _outside(
    program: Program,
    types: Sequence[Block],
    position: int,
    writer: Writer,
    sources: list[tuple[int, int, str]],
) -> list[Column]:
    """The columns of a step outside the group."""
    op = program.steps[position].op
    if isinstance(op, Constant):
        return constants(op.row)
    columns = []
    for c, dtype in enumerate(_column_dtypes(program, types, position)):
        sources.append((position, c, dtype))
        loaded = writer.loaded(dtype, len(sources) - 1)
        columns.append(writer.converted(loaded, types[position].dtype))
    return columns


def _column_dtypes(program: Program, types: Sequence[Block], position: int) -> list[str]:
    """The dtype of every column of a value: those of a table may differ from their common one."""
    step = program.steps[position]
    if isinstance(step.op, Select):
        return [program.binding[c] for c in step.op.columns]
    if isinstance(step.op, (Guard, Take)):
        dtypes = _column_dtypes(program, types, step.inputs[0])
        return [dtypes[c] for c in step.op.columns] if isinstance(step.op, Take) else dtypes
    return [types[position].dtype] * types[position].width


def _results(program: Program, inside: list[int], kept: set[int]) -> tuple[int, ...]:
    """The steps of a group whose blocks are read outside it."""
    own = set(inside)
    read = {
        i for k, step in enumerate(program.steps) if k not in own for i in step.inputs if i in own
    }
    return tuple(sorted(read | (kept & own)))


def _is_worth_while(program: Program, inside: list[int], results: tuple[int, ...]) -> bool:
    """A group on columns of the input saves a pass over them; any other has to have some steps."""
    own = set(inside)
    outside = {i for k in inside for i in program.steps[k].inputs if i not in own}
    passing = (Guard, Take, Cast, CastLike)
    work = [k for k in inside if not isinstance(program.steps[k].op, passing)]
    of_input = any(isinstance(program.steps[i].op, Select) for i in outside)
    if not results or (len(inside) == 1 and work):
        return False  # NumPy does one step in one pass as well
    return of_input or len(work) >= _LEAST_STEPS


def _live(
    instructions: list[Instruction], sources: list[tuple[int, int, str]]
) -> tuple[list[Instruction], list[tuple[int, int, str]]]:
    """Without what nobody reads, and with ports numbered from 0."""
    needed: set[Column] = set()
    lines: list[Instruction] = []
    for line in reversed(instructions):
        if line.to is None or line.to in needed:
            needed.update(line.inputs)
            lines.append(line)
    lines.reverse()
    loads = [i for i in lines if i.op in (kernel.LOAD_8, kernel.LOAD_4, kernel.LOAD_1)]
    read = [sources[line.numbers[0]] for line in loads]
    for k, line in enumerate(loads):
        line.numbers = (k,)
    stores = [i for i in lines if i.op in (kernel.STORE_8, kernel.STORE_4, kernel.STORE_1)]
    for k, line in enumerate(stores):
        line.numbers = (len(read) + k,)
    return lines, read


def _needed(program: Program, actions: Sequence[int | Group], kept: set[int]) -> list[int | Group]:
    """Without the constants that only groups read, which have them in their memory."""
    steps = program.steps
    read = {i for a in actions if isinstance(a, int) for i in steps[a].inputs} | kept
    return [
        a
        for a in actions
        if not isinstance(a, int) or a in read or not isinstance(steps[a].op, Constant)
    ]


def _drops(
    program: Program, actions: Sequence[int | Group], kept: set[int]
) -> dict[int, list[int]]:
    """The values that are read for the last time by an action."""
    last: dict[int, int] = {}
    for at, action in enumerate(actions):
        if isinstance(action, Group):
            read: Sequence[int] = [step for step, _, _ in action.sources]
        else:
            read = program.steps[action].inputs
        for i in read:
            last[i] = at
    drops: dict[int, list[int]] = {}
    for value, at in last.items():
        if value not in kept:
            drops.setdefault(at, []).append(value)
    return drops
