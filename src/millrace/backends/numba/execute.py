"""Run a program block by block: NumPy's own functions on blocks that stay in cache, kernels for trees.

A step's value is either a two-dimensional block or, as long as nothing needs one, a list of columns:
views of the input that the tree kernels read where they lie.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.backends.numba.columns import Columns, MatrixColumns, is_columns
from millrace.backends.numba.compute import Repeated, compute, with_row
from millrace.backends.numba.encode import Encoder, is_missing, text_cells
from millrace.backends.numba.groups import LEAST_ROWS, Group, Schedule, plan_groups
from millrace.backends.numba.kernels import guard
from millrace.backends.numba.row import plan_row
from millrace.backends.numba.straight import direct, plan_straight
from millrace.backends.numba.trees import TreeEngine
from millrace.errors import MillraceError, NonFiniteError, RefusedRowError
from millrace.ir.arrays import Text
from millrace.ir.ops import (
    Binary,
    Call,
    Concat,
    Constant,
    Encode,
    Features,
    Guard,
    IsMissing,
    Leaves,
    MatMul,
    Op,
    Require,
    Select,
    Take,
    Terms,
    Trees,
)
from millrace.ir.program import Output, Program, Step
from millrace.ir.types import Block, function, infer, promote
from millrace.runtime import sparse
from millrace.runtime.pool import get_threads, one_thread_of_blas, spread

Array = npt.NDArray[Any]

BLOCK_ROWS = 2048
"""Rows a block without trees has: a few float64 columns of it fit in the second-level cache."""

_BLOCK_CELLS = 1 << 20
"""Cells of all dense steps of a block without trees.

Steps are NumPy calls, between which threads wait for each other: a block that leaves the second-level
cache costs less than many short ones.
"""

_MOST_ROWS = 32 * BLOCK_ROWS
_GROUP_ROWS = 8 * BLOCK_ROWS
"""Rows a block of a program has that is one group: a group needs no room that grows with its rows."""

_BLOCK_SECONDS = 0.5e-3
_WAKE_SECONDS = 250e-6


class Executable:
    """A program bound to the dtypes of its input.

    Parameters
    ----------
    program : Program
        Bound (`Program.bound`); its steps are the ones needed for its outputs.
    foreign : mapping of str to object
        What `Call` steps call.
    shared : dict, optional
        Where executables of one model find each other's quantised forests.
    """

    def __init__(
        self, program: Program, foreign: Mapping[str, Any], shared: dict[Any, Any] | None = None
    ) -> None:
        self.program = program
        self.foreign = foreign
        self.types = infer(program, program.binding)
        self.engines: dict[int, TreeEngine] = {}
        self.encoders: dict[int, Encoder] = {}
        self.collections: dict[int, Callable[[Any], Any]] = {}
        shared = {} if shared is None else shared
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
        self.largest = {
            k: _largest(s.op) for k, s in enumerate(program.steps) if isinstance(s.op, Guard)
        }
        self.reads_nothing = not any(isinstance(s.op, Select) for s in program.steps)
        self.has_products = any(isinstance(s.op, MatMul) for s in program.steps)
        self.by_cells = [self._is_by_cells(step) for step in program.steps]
        self.rows_of = {
            k: Repeated(step.op.row.values)
            for k, step in enumerate(program.steps)
            if isinstance(step.op, Constant) and not isinstance(step.op.row, Text)
        }
        self.lines = [self._line(k) for k in range(len(program.steps))]
        self.block_rows = self._block_rows()
        self._one_row = plan_row(program, self.engines, self.encoders)
        simple = all(o.shape in ("matrix", "vector") for o in program.outputs)
        self._few = self._one_row.few if self._one_row is not None and simple else None
        self._straight = None
        if self._one_row is None:
            self._straight = plan_straight(program, self.types, self.engines, self.encoders)
        self._last_use = self._last_uses()

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

    # -- the whole -------------------------------------------------------------------------
    def run(self, columns: Any, n_rows: int) -> dict[str, Any]:
        """The outputs, by name.

        Parameters
        ----------
        columns : sequence, ndarray or CSR matrix (n_rows, n_columns)
            One array per program column, None where unread; or all columns as one matrix.
        n_rows : int
        """
        if isinstance(columns, np.ndarray):
            if self._few is not None and 0 < n_rows <= self.few_rows and columns.flags.c_contiguous:
                answer = self._few(columns)
                if answer is not None:
                    return answer
            columns = MatrixColumns(columns)
        if n_rows <= self._rows_alone or self.reads_nothing:
            answers = self._finish([self._block(columns, 0, n_rows)])
            if sparse.is_sparse(columns):  # the caller's own matrix is not handed back
                answers = {k: v.copy() if v is columns else v for k, v in answers.items()}
            return answers
        whole = [self._allocated(o, n_rows) for o in self.program.outputs]
        block_rows = self.block_rows
        if self.schedule is not None and self.schedule.whole:
            share = -(-n_rows // (4 * get_threads()))
            block_rows = min(block_rows, max(_GROUP_ROWS, min(share, _MOST_ROWS)))
        parts: list[list[Any]] = [[] for _ in range(-(-n_rows // block_rows))]

        def work(first: int, stop: int) -> None:
            if isinstance(columns, MatrixColumns):
                cut: Any = columns.rows(first, stop)
            elif sparse.is_sparse(columns):
                cut = columns[first:stop]
            else:
                cut = [c if c is None else c[first:stop] for c in columns]
            slices = [None if out is None else out[first:stop] for out in whole]
            pieces = self._block(cut, first, stop - first, slices)
            for k, out in enumerate(slices):
                if out is not None:
                    if not _is_at(pieces[k], out):
                        out[:] = pieces[k]
                    pieces[k] = None
            parts[first // block_rows] = pieces

        with one_thread_of_blas if self.has_products else nullcontext():
            spread(work, n_rows, block_rows)
        return self._finish(parts, whole)

    def row(self, cells: Sequence[Any]) -> dict[str, Any] | None:
        """The outputs for the cells of one row; None where only `run` will do (or will raise)."""
        prepared = self._one_row or self._straight
        return None if prepared is None else prepared(cells)

    def _allocated(self, output: Output, n_rows: int) -> Array | None:
        """Where the blocks of an output of numbers are written; others are put together at the end."""
        block = self.types[output.step]
        if block.dtype == "object" or output.shape not in ("matrix", "vector"):
            return None
        shape = (n_rows,) if output.shape == "vector" else (n_rows, block.width)
        return np.empty(shape, block.dtype)

    def _finish(self, parts: list[list[Any]], whole: Sequence[Any] = ()) -> dict[str, Any]:
        results: dict[str, Any] = {}
        for k, output in enumerate(self.program.outputs):
            if whole and whole[k] is not None:
                results[output.name] = whole[k]
                continue
            pieces = [part[k] for part in parts]
            if output.shape.startswith("csr"):
                results[output.name] = _sparse(pieces, output)
            else:
                results[output.name] = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
        return results

    @property
    def _rows_alone(self) -> int:
        """So many rows are one block on this thread."""
        alone = max(self.block_rows, self.alone_rows)
        if alone > _GROUP_ROWS and self.schedule is not None and self.schedule.whole:
            return _GROUP_ROWS
        return alone

    @cached_property
    def schedule(self) -> Schedule | None:
        """The groups of steps that run together, where there are some."""
        return plan_groups(self.program, self.types)

    @cached_property
    def few_rows(self) -> int:
        """So many rows of a matrix are answered in one call, on this thread."""
        return min(self.alone_rows, BLOCK_ROWS)

    @cached_property
    def alone_rows(self) -> int:
        """So few rows take less time than waking another thread."""
        if not self.engines:
            return self.block_rows
        seconds = 4e-9 * sum(e.quantized.planes.n_planes for e in self.engines.values())
        seconds += sum(e.seconds_per_row for e in self.engines.values())
        return min(int(_WAKE_SECONDS / seconds), 8 * BLOCK_ROWS)

    def _block_rows(self) -> int:
        """Rows per block: all of them when foreign code runs, else about half a millisecond's work."""
        if self.program.foreign:
            return 1 << 62
        if not self.engines:
            steps = zip(self.program.steps, self.types, strict=True)
            dense = [t.width for s, t in steps if not t.sparse and not isinstance(s.op, Constant)]
            return max(min(_BLOCK_CELLS // max(sum(dense), 1), _MOST_ROWS), 16)
        seconds_per_row = sum(e.seconds_per_row for e in self.engines.values())
        rows = int(_BLOCK_SECONDS / max(seconds_per_row, 1e-9)) // 256 * 256
        return min(max(rows, self._least_rows), 16 * BLOCK_ROWS)

    @property
    def _least_rows(self) -> int:
        """Walks pay for reading a tree's nodes once a block; cursors do not."""
        return 256 if all(e.quantized.has_cursor for e in self.engines.values()) else BLOCK_ROWS

    def _last_uses(self) -> dict[int, list[int]]:
        """Steps whose value can be dropped after a step."""
        last: dict[int, int] = {}
        for position, step in enumerate(self.program.steps):
            for i in step.inputs:
                last[i] = position
        kept = {o.step for o in self.program.outputs}
        drops: dict[int, list[int]] = {}
        for value, position in last.items():
            if value not in kept:
                drops.setdefault(position, []).append(value)
        return drops

    # -- one block -------------------------------------------------------------------------
    def _block(
        self, columns: Any, first: int, n_rows: int, out: Sequence[Array | None] = ()
    ) -> list[Any]:
        """The outputs for a block of rows, if possible written where `out` says."""
        if n_rows >= LEAST_ROWS and self.schedule is not None:
            written = self._scheduled(self.schedule, columns, first, n_rows, out)
            if written is not None:
                return written
        values: list[Any] = []
        with np.errstate(all="ignore"):
            for position, step in enumerate(self.program.steps):
                inputs = [values[i] for i in step.inputs]
                values.append(self._apply(position, step.op, inputs, columns, first, n_rows))
                for done in self._last_use.get(position, ()):
                    values[done] = None
        return [_shaped(_block(values[o.step], n_rows), o, n_rows) for o in self.program.outputs]

    def _scheduled(
        self,
        schedule: Schedule,
        columns: Any,
        first: int,
        n_rows: int,
        out: Sequence[Array | None],
    ) -> list[Any] | None:
        """The same by groups; None where a row is refused: the steps in their order know which."""
        steps = self.program.steps
        values: list[Any] = [None] * len(steps)
        targets = {
            o.step: slot for o, slot in zip(self.program.outputs, out or (), strict=bool(out))
        }
        with nullcontext() if schedule.whole else np.errstate(all="ignore"):
            for at, action in enumerate(schedule.actions):
                if isinstance(action, Group):
                    blocks = [self._room(k, n_rows, targets.get(k)) for k in action.results]
                    if not action.run(values, blocks, n_rows):
                        return None
                    for k, block in zip(action.results, blocks, strict=True):
                        values[k] = block
                else:
                    step = steps[action]
                    inputs = [values[i] for i in step.inputs]
                    try:
                        values[action] = self._apply(
                            action, step.op, inputs, columns, first, n_rows
                        )
                    except MillraceError:  # another step may come first
                        return None
                for done in schedule.drops.get(at, ()):
                    values[done] = None
        return [_shaped(_block(values[o.step], n_rows), o, n_rows) for o in self.program.outputs]

    def _room(self, position: int, n_rows: int, slot: Array | None) -> Array:
        """Where a group writes the block of a step."""
        if slot is not None:
            return slot if slot.ndim == 2 else slot[:, None]
        block = self.types[position]
        return np.empty((n_rows, block.width), block.dtype)

    def _apply(
        self,
        position: int,
        op: Op,
        inputs: list[Any],
        columns: Any,
        first: int,
        n_rows: int,
    ) -> Any:
        line = self.lines[position]
        if line is not None:
            return line(*[i if type(i) is np.ndarray else _block(i, n_rows) for i in inputs])
        if self.by_cells[position]:
            names = [c.name for c in self.program.columns]
            return sparse.apply(op, [_block(i, n_rows) for i in inputs], names, first)
        match op:
            case Select(positions) if sparse.is_sparse(columns):
                return columns if _is_all(positions, columns) else columns[:, list(positions)]
            case Select(positions):
                return _pick(columns, positions)
            case Terms() | Features():
                return self.collections[position](_only_column(inputs[0]))
            case Require():
                ok = np.asarray(inputs[1], bool)
                if not ok.all():
                    row = first + int(np.argwhere(~ok)[0][0])
                    raise RefusedRowError.at(row, op.owner, op.problem)
                return inputs[0]
            case Take(positions) if is_columns(inputs[0]):
                return _pick(inputs[0], positions)
            case Concat():
                return _concat(inputs, self.types[position].dtype, n_rows)
            case Guard():
                return self._guard(position, inputs[0], op, first)
            case Encode():
                return self.encoders[position](_only_column(inputs[0]), first)[:, None]
            case Trees():
                return self.engines[position].sums(self._tree_columns(position, inputs[0]), n_rows)
            case Leaves(forest):
                reached = self.engines[position].leaves(
                    self._tree_columns(position, inputs[0]), n_rows
                )
                return forest.leaf_id.values[reached]
            case Call():
                return _call(op, inputs[0], self.foreign[op.key], n_rows)
            case Binary(name) if n_rows > 1 and (row := self._row_operand(position)):
                return with_row(function(name), _block(inputs[row[0]], n_rows), *row)
            case _:
                return compute(op, [_block(i, n_rows) for i in inputs])

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
            return _split_columns(value, used, engine.dtype)
        if isinstance(value, np.ndarray):
            value = MatrixColumns(value)
        if isinstance(value, MatrixColumns) and value.matrix.dtype == engine.dtype:
            return value
        columns = list(value)
        return [
            None if c not in used else np.asarray(column, engine.dtype if c in numeric else None)
            for c, column in enumerate(columns)
        ]

    def _guard(self, position: int, value: Any, op: Guard, first: int) -> Any:
        if isinstance(value, np.ndarray):
            value = MatrixColumns(value)
        if isinstance(value, MatrixColumns) and _matrix_passes(value, op, self.largest[position]):
            return value
        for c, column in enumerate(value):
            if not isinstance(column, np.ndarray) or column.dtype == object:
                self._guard_text(position, c, column, op, first)
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

    def _guard_text(self, position: int, c: int, column: Any, op: Guard, first: int) -> None:
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


def _is_at(piece: Array, out: Array) -> bool:
    """Whether an answer is in its place already."""
    return piece.__array_interface__["data"][0] == out.__array_interface__["data"][0]


def _counter(op: Terms | Features) -> Callable[[Any], Any]:
    """What counts terms or features; its kernels are loaded by the models that have texts alone."""
    from millrace.backends.numba.terms import FeatureSpreader, TermCounter

    return TermCounter(op) if isinstance(op, Terms) else FeatureSpreader(op)


def _is_all(positions: tuple[int, ...], matrix: Any) -> bool:
    return len(positions) == matrix.shape[1] and positions == tuple(range(len(positions)))


def _split_columns(matrix: Any, used: Any, dtype: Any) -> Columns:
    """The columns that a forest reads out of a sparse block, each in full; None for the others."""
    wanted = sorted(used)
    cells = np.asfortranarray(matrix[:, wanted].toarray().astype(dtype, copy=False))
    columns: list[Any] = [None] * matrix.shape[1]
    for k, c in enumerate(wanted):
        columns[c] = cells[:, k]
    return columns


def tree_dtype(block: Block) -> str:
    """The float dtype in which a forest compares the values of a block, exactly."""
    return (
        "float32"
        if block.dtype in ("float16", "float32", "bool", "int8", "uint8", "int16", "uint16")
        else "float64"
    )


def _pick(columns: Any, positions: tuple[int, ...]) -> Any:
    """Columns of columns."""
    if isinstance(columns, MatrixColumns):
        return columns.pick(positions)
    return [columns[p] for p in positions]


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
    if largest is not None and columns.is_whole and _is_below(matrix, largest):
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


def _is_below(matrix: Array, largest: float) -> bool:
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


def _block(value: Any, n_rows: int) -> Array:
    """A value as a two-dimensional block in C order."""
    if not is_columns(value):
        return value
    if not len(value):
        return np.empty((n_rows, 0))
    if isinstance(value, MatrixColumns):
        return value.block()
    arrays = [c if isinstance(c, np.ndarray) else text_cells(c) for c in value]
    if len(arrays) == 1:
        return arrays[0][:, None]
    whole = _common_base(arrays)
    if whole is not None:
        return whole
    block = np.empty((n_rows, len(arrays)), promote([str(a.dtype) for a in arrays]))
    for c, array in enumerate(arrays):
        block[:, c] = array
    return block


def _common_base(arrays: list[Array]) -> Array | None:
    """The C-ordered matrix whose neighbouring columns these are, if they are."""
    first = arrays[0]
    size = first.itemsize
    at = first.__array_interface__["data"][0]
    step = first.strides[0]
    if step < size * len(arrays) or any(
        a.dtype != first.dtype
        or a.strides[0] != step
        or a.__array_interface__["data"][0] != at + c * size
        for c, a in enumerate(arrays)
    ):
        return None
    return np.lib.stride_tricks.as_strided(
        first, (len(first), len(arrays)), (step, size), writeable=False
    )


def _only_column(value: Any) -> Any:
    return value[0] if is_columns(value) else value[:, 0]


def _concat(inputs: list[Any], dtype: str, n_rows: int) -> Any:
    """Columns side by side; a block only where not all inputs are columns."""
    if all(is_columns(i) or i.shape[1] == 1 for i in inputs):
        return [c for i in inputs for c in (i if is_columns(i) else [_full(i, n_rows)[:, 0]])]
    blocks = [_full(_block(i, n_rows), n_rows) for i in inputs]
    out = np.empty((n_rows, sum(b.shape[1] for b in blocks)), dtype)
    at = 0
    for block in blocks:
        out[:, at : at + block.shape[1]] = block
        at += block.shape[1]
    return out


def _full(block: Array, n_rows: int) -> Array:
    """A constant row repeated for every row."""
    return block if len(block) == n_rows else np.broadcast_to(block, (n_rows, block.shape[1]))


def _call(op: Call, value: Any, target: Any, n_rows: int) -> Any:
    rows: Any
    if op.series:
        rows = _block(value, n_rows)[:, 0]
    elif op.sparse is not None:
        rows = sparse.call_argument(_block(value, n_rows), op.sparse)
    elif op.frame is None:
        rows = np.require(_block(value, n_rows), requirements="W")
    else:
        import pandas as pd

        columns = value if is_columns(value) else list(value.T)
        data = {
            n: c if isinstance(c, np.ndarray) else text_cells(c)
            for n, c in zip(op.frame, columns, strict=True)
        }
        rows = pd.DataFrame(data)
    answer = getattr(target, op.method)(rows)
    if sparse.is_sparse(answer):
        return sparse.as_csr(answer) if op.gives_sparse else answer.toarray()
    answer = np.asarray(answer)
    return answer[:, None] if answer.ndim == 1 else answer


def _shaped(block: Any, output: Output, n_rows: int) -> Any:
    if output.shape.startswith("csr"):
        return sparse.as_csr(block if sparse.is_sparse(block) else _full(block, n_rows))
    block = _full(block, n_rows)
    if output.shape == "vector":
        return np.ascontiguousarray(block[:, 0])
    return np.ascontiguousarray(block)


def _sparse(pieces: list[Any], output: Output) -> Any:
    return sparse.call_argument(
        pieces[0] if len(pieces) == 1 else sparse.stacked(pieces), output.shape
    )
