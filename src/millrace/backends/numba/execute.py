"""Run a program block by block: NumPy's own functions on blocks that stay in cache, kernels for trees.

A step's value is either a two-dimensional block or, as long as nothing needs one, a list of columns:
views of the input that the tree kernels read where they lie.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.backends.numba.brief import plan_brief
from millrace.backends.numba.columns import MatrixColumns
from millrace.backends.numba.groups import LEAST_ROWS, Group, Schedule, plan_groups
from millrace.backends.numba.row import plan_row
from millrace.backends.numba.steps import Steps
from millrace.backends.numba.straight import plan_straight
from millrace.backends.numba.values import block_of, is_at, put_in_place, shaped, stacked
from millrace.errors import MillraceError
from millrace.ir.ops import Constant, MatMul, Select
from millrace.ir.program import Output, Program
from millrace.runtime import sparse
from millrace.runtime.memory import room
from millrace.runtime.pool import get_threads, one_thread_of_blas, spread

Array = npt.NDArray[Any]

BLOCK_ROWS = 2048
"""Rows a block without trees has: a few float64 columns of it fit in the second-level cache."""

_BLOCK_CELLS = 1 << 20
"""Cells of all dense steps of a block without trees.

Steps are NumPy calls, between which threads wait for each other: a block that leaves the second-level
cache costs less than many short ones.
"""

_SPARSE_CELLS = 1 << 19
"""Cells of a sparse block: its steps are SciPy calls, each with an overhead that cells must pay for."""

_MOST_ROWS = 32 * BLOCK_ROWS
_GROUP_ROWS = 8 * BLOCK_ROWS
"""Rows a block of a program has that is one group: a group needs no room that grows with its rows."""

_TREE_CELLS = 1 << 16
"""Sums of trees in a block: half of the second-level cache."""

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
        self.steps = Steps(program, foreign, {} if shared is None else shared)
        self.types, self.engines = self.steps.types, self.steps.engines
        self.encoders, self.collections = self.steps.encoders, self.steps.collections
        self.reads_nothing = not any(isinstance(s.op, Select) for s in program.steps)
        self.has_products = any(isinstance(s.op, MatMul) for s in program.steps)
        self.block_rows = self._block_rows()
        self._one_row = plan_row(program, self.engines, self.encoders)
        simple = all(o.shape in ("matrix", "vector") for o in program.outputs)
        self._few = self._one_row.few if self._one_row is not None and simple else None
        self._straight = None
        if self._one_row is None:
            self._straight = plan_straight(program, self.types, self.engines, self.encoders)
        self._brief = plan_brief(program, self.types, self.steps.lines)
        self._last_use = self._last_uses()

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
            brief = self._brief
            if brief is not None and n_rows <= self._rows_alone and columns.flags.c_contiguous:
                return brief(columns, n_rows)
            if self._few is not None and 0 < n_rows <= self.few_rows and columns.flags.c_contiguous:
                answer = self._few(columns)
                if answer is not None:
                    return answer
            columns = MatrixColumns(columns)
        if n_rows <= self._rows_alone or self.reads_nothing:
            answers = self._finish([self._block(columns, 0, n_rows)])
            if sparse.is_sparse(columns):  # the caller's own matrix is not handed back
                answers = {
                    k: sparse.own(v, columns) if sparse.is_sparse(v) else v
                    for k, v in answers.items()
                }
            return answers
        return self._spread(columns, n_rows)

    def _spread(self, columns: Any, n_rows: int) -> dict[str, Any]:
        """`run` in blocks of rows, over the threads."""
        whole: list[Any] = [self._allocated(o, n_rows) for o in self.program.outputs]
        same = [self._same_cells(o, columns) for o in self.program.outputs]
        block_rows = self._rows_of_blocks(n_rows)
        if sparse.is_sparse(columns):
            block_rows = min(
                block_rows, max(_SPARSE_CELLS * n_rows // (columns.nnz + 1), BLOCK_ROWS)
            )
        parts: list[list[Any]] = [[] for _ in range(-(-n_rows // block_rows))]

        def work(first: int, stop: int) -> None:
            slices = [None if out is None else out[first:stop] for out in whole]
            pieces = self._block(_cut(columns, first, stop), first, stop - first, slices)
            for k, out in enumerate(slices):
                if out is not None:
                    if not is_at(pieces[k], out):
                        out[:] = pieces[k]
                    pieces[k] = None
            for k, answer in enumerate(same):
                if answer is not None:
                    answer.fill(first, pieces[k])
                    pieces[k] = None
            parts[first // block_rows] = pieces

        with one_thread_of_blas if self.has_products else nullcontext():
            spread(work, n_rows, block_rows)
        for k, answer in enumerate(same):
            if answer is not None:
                whole[k] = sparse.call_argument(answer.matrix(), self.program.outputs[k].shape)
        return self._finish(parts, whole)

    def _same_cells(self, output: Output, columns: Any) -> sparse.SameCells | None:
        """Where the blocks of a sparse output are written whose cells are those of the input."""
        is_csr = output.shape.startswith("csr") and sparse.is_sparse(columns)
        if not is_csr or not sparse.keeps_cells(self.program, self.types, output.step):
            return None
        return sparse.SameCells(columns, self.types[output.step].dtype)

    def _rows_of_blocks(self, n_rows: int) -> int:
        """Rows of a block, of so many in all."""
        if self.schedule is None or not self.schedule.whole:
            return self.block_rows
        share = -(-n_rows // (4 * get_threads()))
        return min(self.block_rows, max(_GROUP_ROWS, min(share, _MOST_ROWS)))

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
        return room(shape, block.dtype)

    def _finish(self, parts: list[list[Any]], whole: Sequence[Any] = ()) -> dict[str, Any]:
        results: dict[str, Any] = {}
        for k, output in enumerate(self.program.outputs):
            if whole and whole[k] is not None:
                results[output.name] = whole[k]
                continue
            pieces = [part[k] for part in parts]
            if output.shape.startswith("csr"):
                results[output.name] = stacked(pieces, output)
            else:
                results[output.name] = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
        return results

    @cached_property
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
        widest = max(e.forest.n_outputs for e in self.engines.values())
        most = min(16 * BLOCK_ROWS, _TREE_CELLS // widest)
        return max(min(rows, most), self._least_rows)

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
        targets = self._targets(out)
        with np.errstate(all="ignore"):
            for position, step in enumerate(self.program.steps):
                inputs, place = [values[i] for i in step.inputs], targets.get(position)
                values.append(
                    self.steps.apply(position, step.op, inputs, columns, first, n_rows, place)
                )
                for done in self._last_use.get(position, ()):
                    values[done] = None
        for position, place in targets.items():
            values[position] = put_in_place(values[position], place)
        return [shaped(block_of(values[o.step], n_rows), o, n_rows) for o in self.program.outputs]

    def _targets(self, out: Sequence[Array | None]) -> dict[int, Array]:
        """Where the blocks of output steps belong, as matrices."""
        if not out:
            return {}
        return {
            o.step: slot if slot.ndim == 2 else slot[:, None]
            for o, slot in zip(self.program.outputs, out, strict=False)
            if slot is not None
        }

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
        targets = self._targets(out)
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
                        values[action] = self.steps.apply(
                            action, step.op, inputs, columns, first, n_rows
                        )
                    except MillraceError:  # another step may come first
                        return None
                for done in schedule.drops.get(at, ()):
                    values[done] = None
        return [shaped(block_of(values[o.step], n_rows), o, n_rows) for o in self.program.outputs]

    def _room(self, position: int, n_rows: int, slot: Array | None) -> Array:
        """Where a group writes the block of a step."""
        if slot is not None:
            return slot
        block = self.types[position]
        return np.empty((n_rows, block.width), block.dtype)


def _cut(columns: Any, first: int, stop: int) -> Any:
    """Some rows of all columns."""
    if isinstance(columns, MatrixColumns):
        return columns.rows(first, stop)
    if sparse.is_sparse(columns):
        return sparse.rows_between(columns, first, stop)
    return [c if c is None else c[first:stop] for c in columns]
