"""One row through any dense program: a straight line of NumPy calls, written once as a Python function.

What a call on one row costs is the way to it: dispatch, dictionaries, blocks. So each step becomes one
function of its inputs with everything looked up beforehand, and the steps become the lines of one
generated function. Where a cell is unusual (not finite, unseen where that is an error, of another kind),
the function gives up and the general way answers, or raises.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.backends.numba.compute import compute, spline
from millrace.backends.numba.encode import Encoder
from millrace.backends.numba.kernels import guard as guard_kernel
from millrace.backends.numba.kernels import row as row_kernel
from millrace.backends.numba.single import Single, single_of_array, single_of_cells
from millrace.backends.numba.trees import TreeEngine
from millrace.ir.arrays import NULL, Text
from millrace.ir.ops import (
    Binary,
    Call,
    Cast,
    CastLike,
    Concat,
    Constant,
    Dense,
    Encode,
    Features,
    Gather,
    Guard,
    Leaves,
    MatMul,
    OneHot,
    Op,
    Reduce,
    Require,
    Select,
    Sparse,
    Spline,
    Take,
    Terms,
    Trees,
    Unary,
    Where,
)
from millrace.ir.program import Program
from millrace.ir.types import Block, function

Array = npt.NDArray[Any]
Line = Callable[..., Any]
"""What one step does to its inputs, blocks of one row."""


WIDEST = 4096
"""So many indicator columns of one row are kept dense, which is the faster way for few."""


class _GivesUp(Exception):
    """This row is for the general way."""


_QUIET = frozenset(
    {"maximum", "minimum", "abs", "equal", "not_equal", "less", "less_equal"}
    | {"greater", "greater_equal", "logical_and", "logical_or", "logical_not"}
)
"""Functions that NumPy never warns of."""


class StraightRow:
    """The prepared call of a program.

    Parameters
    ----------
    program : Program
        Bound.
    types : sequence of Block
        The type of each step.
    engines, encoders : mapping
        By step.
    """

    def __init__(
        self,
        program: Program,
        types: Sequence[Block],
        engines: Mapping[int, TreeEngine],
        encoders: Mapping[int, Encoder],
    ) -> None:
        self.program, self.types, self.engines, self.encoders = program, types, engines, encoders
        self._of_array: Line | None = None
        self._of_cells: Line | None = None

    def __call__(self, cells: Sequence[Any]) -> dict[str, Any] | None:
        """The outputs for one row; None where the general way must be taken, or must raise."""
        try:
            if type(cells) is np.ndarray:
                if self._of_array is None:
                    self._of_array = self._written(self._select_of_array)
                return self._of_array(cells)
            if self._of_cells is None:
                self._of_cells = self._written(self._select_of_cells)
            return self._of_cells(cells)
        except (_GivesUp, TypeError, ValueError):
            return None

    # -- the machine -----------------------------------------------------------------------
    def single_of_array(self) -> Single | None:
        """The call for arrays where the machine can run the program; see `single`."""
        return single_of_array(self.program, self.types, self.engines, self.encoders)

    def single_of_cells(self) -> tuple[list[int], Single] | None:
        """The columns that are read, and the call for their cells; see `single`."""
        return single_of_cells(self.program, self.types, self.engines, self.encoders)

    # -- writing the function --------------------------------------------------------------
    def _written(self, select: Callable[[Select, Block], Line]) -> Line:
        """The steps as the lines of one function of the row."""
        names: dict[str, Any] = {"errstate": np.errstate}
        lines: list[str] = []
        for k, step in enumerate(self.program.steps):
            if isinstance(step.op, Constant):
                names[f"v{k}"] = compute(step.op, [])
            elif isinstance(step.op, Select):
                names[f"f{k}"] = select(step.op, self.types[k])
                lines.append(f"v{k} = f{k}(row)")
            else:
                names[f"f{k}"] = self._line(k, step.op, step.inputs)
                lines.append(f"v{k} = f{k}({', '.join(f'v{i}' for i in step.inputs)})")
        answers = ", ".join(
            f"{o.name!r}: v{o.step}" + ("[:, 0]" if o.shape == "vector" else "")
            for o in self.program.outputs
        )
        indent = "    "
        if any(self._may_warn(k) for k in range(len(self.program.steps))):
            lines = ['with errstate(all="ignore"):', *(indent + line for line in lines or ["pass"])]
        lines.append(f"return {{{answers}}}")
        source = "def run(row):\n" + "".join(f"{indent}{line}\n" for line in lines)
        exec(compile(source, "<row>", "exec"), names)
        return names["run"]

    def _may_warn(self, k: int) -> bool:
        """Whether NumPy may warn of what a step does to an odd number."""
        step = self.program.steps[k]
        match step.op:
            case Unary(name) | Binary(name):
                return name not in _QUIET
            case Cast() | CastLike():
                before, after = (np.dtype(self.types[i].dtype) for i in (step.inputs[0], k))
                return before.kind == "f" and not (
                    after.kind == "f" and after.itemsize >= before.itemsize
                )
            case _:
                return False

    def _line(self, k: int, op: Op, inputs: tuple[int, ...]) -> Line:
        """What a step does, with everything that does not depend on the row looked up."""
        given = [self.types[i] for i in inputs]
        line = direct(op, given, self.types[k])
        if line is not None:
            return line
        match op:
            case Take(columns):
                return _Picked(columns)
            case Gather(table):
                rows = table.array() if isinstance(table, Text) else table.values
                return partial(_gathered, rows[:, None] if rows.ndim == 1 else rows)
            case Concat():
                return partial(_concatenated, dtype=np.dtype(self.types[k].dtype))
            case Guard():
                return _Guarded(op, given[0])
            case Require():
                return _required
            case OneHot(width, indicator):
                return partial(_indicated, np.arange(width), indicator)
            case Dense():
                return _first
            case Encode():
                return partial(_encoded, self.encoders[k].cell, op)
            case Spline():
                return partial(_splined, spline(op))
            case Trees():
                return _TreeSums(self.engines[k], given[0])
            case Leaves(forest):
                return partial(_reached, self.engines[k], forest.leaf_id.values)
            case _:
                return lambda *blocks: compute(op, list(blocks))

    # -- reading the row -------------------------------------------------------------------
    @staticmethod
    def _select_of_array(op: Select, block: Block) -> Line:
        columns = np.array(op.columns, np.intp)
        width = len(columns)
        if not width:
            return lambda row: np.empty((1, 0), block.dtype)
        if (columns == np.arange(width)).all():
            return lambda row: row[None, :width]
        return lambda row: row[columns][None, :]

    def _select_of_cells(self, op: Select, block: Block) -> Line:
        columns = op.columns
        if block.dtype != "object":
            dtype = np.dtype(block.dtype)
            return lambda row: np.array([[row[c] for c in columns]], dtype)
        text = [self.program.columns[c].kind == "text" for c in columns]

        def objects(row: Sequence[Any]) -> Array:
            cells = np.empty((1, len(columns)), object)
            for i, c in enumerate(columns):
                cell = row[c]
                cells[0, i] = NULL if cell is None and text[i] else cell
            return cells

        return objects


def direct(op: Op, given: Sequence[Block], result: Block) -> Line | None:
    """A step as one NumPy call on blocks of any number of rows; None where it is more than that.

    Parameters
    ----------
    op : Op
    given, result : Block
        The types of its inputs and of what it gives.
    """
    dtype = np.dtype(result.dtype)
    match op:
        case Unary(name) | Binary(name):
            return function(name)
        case Cast() | CastLike() if given[0].dtype != "object":
            return _first if str(dtype) == given[0].dtype else _Converted(dtype)
        case MatMul(weights):
            return partial(_times, weights=weights.values)
        case Reduce(name) if name in _REDUCTIONS and dtype.kind == "f" and dtype.itemsize >= 4:
            return partial(_reduced, add_up=_REDUCTIONS[name], axis=1, keepdims=True)
        case Where() if result.dtype != "object" and all(g.dtype == str(dtype) for g in given[1:]):
            return np.where
        case _:
            return None


class SparseRow(StraightRow):
    """The prepared call of a program with sparse outputs: that of the machine, or none."""

    def __call__(self, cells: Sequence[Any]) -> None:
        """Nothing: the outputs by name come by the general way."""


class OneCell:
    """The prepared call of a program that counts terms or spreads features; see `cell`."""

    def __init__(self, program: Program) -> None:
        self.program = program

    def __call__(self, cells: Sequence[Any]) -> None:
        """Nothing: the outputs by name come by the general way."""

    def single_of_cell(self, collections: Mapping[int, Any]) -> Single | None:
        """The call for one cell, with what counts in each step."""
        from millrace.backends.numba.cell import single_of_cell

        return single_of_cell(self.program, collections)


def plan_straight(
    program: Program,
    types: Sequence[Block],
    engines: Mapping[int, TreeEngine],
    encoders: Mapping[int, Encoder],
) -> StraightRow | OneCell | None:
    """How to answer one row, or None for a program that is sparse or calls foreign code."""
    if any(isinstance(s.op, (Terms, Features)) for s in program.steps):
        return OneCell(program)
    if program.form.startswith("csr") or any(isinstance(s.op, Call) for s in program.steps):
        return None
    if any(t.sparse and t.width > WIDEST for t in types):
        return None
    if any(o.shape.startswith("csr") for o in program.outputs):
        return SparseRow(program, types, engines, encoders)
    if any(isinstance(s.op, Sparse) for s in program.steps):
        return None
    return StraightRow(program, types, engines, encoders)


# -- steps -----------------------------------------------------------------------------------------
_REDUCTIONS = {"sum": np.add.reduce, "max": np.maximum.reduce, "min": np.minimum.reduce}


def _first(block: Array, *others: Array) -> Array:
    return block


def _times(block: Array, weights: Array) -> Array:
    return block @ weights


def _reduced(block: Array, add_up: Line, **how: Any) -> Array:
    # The order of additions is that of the layout.
    return add_up(np.ascontiguousarray(block), **how)


def _gathered(rows: Array, codes: Array) -> Array:
    return rows[codes[0, 0]][None, :]


def _concatenated(*blocks: Array, dtype: Any) -> Array:
    whole = np.concatenate(blocks, axis=1)
    return whole if whole.dtype == dtype or whole.dtype.kind == "U" else whole.astype(dtype)


def _required(block: Array, ok: Array) -> Array:
    if not ok.all():
        raise _GivesUp
    return block


def _encoded(code: Callable[[Any], int], op: Encode, block: Array) -> Array:
    cell = block.item()
    found = op.none if cell is None else code(cell)
    if op.strict and found == op.unknown:
        raise _GivesUp
    return np.array([[found]], np.int32)


def _indicated(columns: Array, dtype: str, codes: Array) -> Array:
    return (codes == columns).astype(dtype)


def _splined(spline: Line, block: Array) -> Array:
    return spline(block[:, 0])


def _reached(engine: TreeEngine, names: Array, block: Array) -> Array:
    columns = [block[:, c].astype(engine.dtype, copy=False) for c in range(block.shape[1])]
    return names[engine.leaves(columns, 1)]


class _Converted:
    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype

    def __call__(self, block: Array, *others: Array) -> Array:
        return block.astype(self.dtype)


class _Picked:
    def __init__(self, columns: Sequence[int]) -> None:
        self.columns = np.array(columns, np.intp)

    def __call__(self, block: Array) -> Array:
        return block[:, self.columns]


class _Guarded:
    """Give up on a row that a guard might refuse."""

    def __init__(self, op: Guard, block: Block) -> None:
        self.passes_all = np.dtype(block.dtype).kind in "biu"
        self.is_text = block.dtype == "object"
        self.allow_nan = op.allow_nan
        self.limits = None
        if op.low is not None or op.high is not None:
            most = float(
                np.finfo(np.float64 if self.passes_all or self.is_text else block.dtype).max
            )
            self.limits = tuple(
                np.ascontiguousarray(
                    np.broadcast_to(
                        np.float64(d) if limit is None else limit.values.astype(np.float64),
                        block.width,
                    )
                )
                for limit, d in ((op.low, -most), (op.high, most))
            )
        self.positions = np.arange(block.width)

    def __call__(self, block: Array) -> Array:
        if self.passes_all or (self.is_text and self.allow_nan):
            return block
        if self.is_text:
            raise _GivesUp
        if self.limits is not None:
            low, high = self.limits
            if not guard_kernel.all_pass(block, self.positions, low, high, self.allow_nan):
                raise _GivesUp
        elif not math.isfinite(np.add.reduce(block, axis=None)) and (
            not self.allow_nan or np.isinf(block).any()
        ):
            raise _GivesUp
        return block


class _TreeSums:
    """The sums of a forest for a row in the order of its input."""

    def __init__(self, engine: TreeEngine, block: Block) -> None:
        self.engine = engine
        quantized = engine.quantized
        self.dtype = np.dtype(engine.dtype)
        self.width = block.width
        self.general = engine.forest.linear is not None or (
            quantized.by_value and bool(quantized.planes.members)
        )
        if not self.general:
            self.packed = engine.pack(quantized, range(block.width), None)
            self.add_up = (
                row_kernel.row_sums_by_value if quantized.by_value else row_kernel.row_sums
            )
        value = engine.forest.value.dtype
        self.zero, self.sums_dtype = value.type(0), value
        self.n_outputs = engine.forest.n_outputs

    def __call__(self, block: Array) -> Array:
        row = np.ascontiguousarray(block[0], self.dtype)
        if self.general:
            return self.engine.sums([row[c : c + 1] for c in range(self.width)], 1)
        sums = np.empty((1, self.n_outputs), self.sums_dtype)
        if not self.add_up(self.packed[0], row, self.zero, sums[0]):
            raise _GivesUp
        return sums
