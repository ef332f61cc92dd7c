"""The type of every step, given the dtypes of the input columns.

A program is polymorphic: scikit-learn keeps float32 input in float32 and float64 in float64, so the
types are known only when the input's dtypes (the *binding*) are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from typing import Any, assert_never

import numpy as np

from millrace.errors import DenseStepError, ProgramError
from millrace.ir import ops
from millrace.ir.arrays import Array, Text
from millrace.ir.program import Program

Binding = tuple[str, ...]
"""One dtype name per input column, ``object`` for text, `ABSENT` for a column that is not there.

All of them begin with `CSR` where the table is a sparse matrix.
"""

ABSENT = "absent"
"""A column that the input lacks because nothing reads it: it takes no part in type promotion."""


CSR = "csr "
"""What the dtypes of a sparse table begin with."""


@dataclass(frozen=True)
class Block:
    """`n` rows (or 1, for a constant row) by `width` columns of one NumPy dtype, dense or CSR."""

    dtype: str
    width: int
    sparse: bool = False

    def __str__(self) -> str:
        return f"{'csr ' if self.sparse else ''}{self.dtype}[n, {self.width}]"


KEEPS_ZERO = frozenset(
    (
        "abs",
        "absolute",
        "arcsin",
        "arcsinh",
        "arctan",
        "arctanh",
        "ceil",
        "deg2rad",
        "expm1",
        "fabs",
        "floor",
        "log1p",
        "negative",
        "positive",
        "rad2deg",
        "rint",
        "sign",
        "sin",
        "sinh",
        "sqrt",
        "square",
        "tan",
        "tanh",
        "trunc",
    )
)
"""Functions of one argument with ``f(0) == 0``: they keep a sparse block sparse."""


@cache
def function(name: str) -> Callable[..., Any]:
    """The ufunc of NumPy or, where it has none of that name, of SciPy that `Unary` and `Binary` name."""
    ufunc = getattr(np, name, None)
    if not isinstance(ufunc, np.ufunc):
        ufunc = getattr(import_module("scipy.special"), name, None)
    if not isinstance(ufunc, np.ufunc):
        raise ProgramError(f"{name!r} is no ufunc of NumPy or scipy.special")
    return ufunc


@cache
def _ufunc_dtype(name: str, *dtypes: str) -> str:
    if "object" in dtypes:
        return "bool" if name in ("equal", "not_equal") else "object"
    with np.errstate(all="ignore"):
        return str(function(name)(*(np.full(1, 0.5).astype(d) for d in dtypes)).dtype)


def promote(dtypes: Sequence[str]) -> str:
    """NumPy's common type; ``object`` as soon as one is ``object``."""
    if "object" in dtypes:
        return "object"
    present = [d.removeprefix(CSR) for d in dtypes if d != ABSENT]
    return str(np.result_type(*present)) if present else "float64"


def cast_dtype(source: str, target: str) -> str:
    """The dtype that `Cast(target)` gives to a block of dtype `source`."""
    if target == "float":
        return source if source in ("float16", "float32", "float64") else "float64"
    if target == "numeric":
        return "float64" if source == "object" else source
    return target


def _same_width(blocks: Sequence[Block]) -> int:
    widths = {b.width for b in blocks if b.width != 1}
    if len(widths) > 1:
        raise ProgramError(f"blocks of different widths {sorted(widths)} meet in one step")
    return widths.pop() if widths else 1


def _table(table: Array | Text) -> Block:
    if isinstance(table, Text):
        return Block("object", 1)
    return Block(str(table.dtype), table.shape[1] if len(table.shape) > 1 else 1)


def result(op: ops.Op, inputs: Sequence[Block], binding: Binding) -> Block:
    """The type of one step from the types of its inputs.

    Raises
    ------
    DenseStepError
        The primitive would make a dense block of a sparse one.
    """
    block = _dense_result(op, inputs, binding)
    return replace(block, sparse=True) if _is_sparse(op, inputs, binding) else block


def _is_sparse(op: ops.Op, inputs: Sequence[Block], binding: Binding) -> bool:
    """Whether a step gives a sparse block."""
    first, *others = inputs or (Block("", 0),)
    match op:
        case ops.Select(columns):
            return any(binding[c].startswith(CSR) for c in columns[:1])
        case ops.Terms() | ops.Features() | ops.Sparse() | ops.OneHot(sparse=True):
            return True
        case ops.Call():
            return op.gives_sparse
        case ops.Concat():
            return any(b.sparse for b in inputs)
        case ops.Take() | ops.Cast() | ops.CastLike() | ops.Guard() | ops.Require():
            return first.sparse
        case (
            ops.Dense()
            | ops.MatMul()
            | ops.Trees()
            | ops.Leaves()
            | ops.Reduce("sum" | "mean" | "max" | "min" | "square_sum")
        ):
            return False
        case ops.Unary(ufunc) if ufunc in KEEPS_ZERO:
            return first.sparse
        case ops.Binary("multiply"):
            return any(b.sparse for b in inputs)
        case ops.Binary("divide") if not others[0].sparse:
            return first.sparse
        case _:
            if wide := next((b for b in inputs if b.sparse), None):
                raise DenseStepError.of(type(op).__name__, wide.width)
            return False


def _dense_result(op: ops.Op, inputs: Sequence[Block], binding: Binding) -> Block:
    """Dtype and width of one step."""
    match op:
        case ops.Select(columns):
            return Block(promote([binding[c] for c in columns]), len(columns))
        case ops.Constant(row):
            return Block("object" if isinstance(row, Text) else str(row.dtype), len(row))
        case ops.Sparse() | ops.Dense() | ops.Require():
            return Block(inputs[0].dtype, inputs[0].width)
        case ops.Accumulate(ufunc):
            one = np.ones((1, 1), inputs[0].dtype)
            return Block(str(getattr(np, ufunc).accumulate(one, axis=1).dtype), inputs[0].width)
        case ops.ArgSort() | ops.SearchSorted():
            return Block("int64", inputs[0].width)
        case ops.PickAlong():
            return Block(inputs[0].dtype, inputs[1].width)
        case ops.Interpolate() | ops.ImputeNearest():
            return Block("float64", inputs[0].width)
        case ops.Spline():
            return Block("float64", op.coefficients.shape[1])
        case ops.Distances():
            return Block("float64", len(op.points))
        case ops.Nearest():
            return Block("float64", 2 * op.k)
        case ops.Terms() | ops.Features():
            return Block(op.dtype, op.n_features)
        case ops.Cast(dtype):
            return Block(cast_dtype(inputs[0].dtype, dtype), inputs[0].width)
        case ops.CastLike():
            return Block(inputs[1].dtype, inputs[0].width)
        case ops.Unary(ufunc):
            return Block(_ufunc_dtype(ufunc, inputs[0].dtype), inputs[0].width)
        case ops.Binary(ufunc):
            return Block(_ufunc_dtype(ufunc, *(b.dtype for b in inputs)), _same_width(inputs))
        case ops.IsMissing():
            return Block("bool", inputs[0].width)
        case ops.Where():
            return Block(promote([b.dtype for b in inputs[1:]]), _same_width(inputs))
        case ops.Concat():
            return Block(promote([b.dtype for b in inputs]), sum(b.width for b in inputs))
        case ops.Take(columns):
            return Block(inputs[0].dtype, len(columns))
        case ops.MatMul(weights):
            return Block(promote([inputs[0].dtype, str(weights.dtype)]), weights.shape[1])
        case ops.Reduce(name):
            if name in ("argmax", "argmin"):
                return Block("int64", 1)
            if name == "square_sum":
                return Block(inputs[0].dtype, 1)
            probe = getattr(np, name)(np.zeros((1, 1), inputs[0].dtype), axis=1)
            return Block(str(probe.dtype), 1)
        case ops.Encode():
            return Block("int32", 1)
        case ops.OneHot(width, dtype):
            return Block(dtype, width)
        case ops.Gather(table):
            return _table(table)
        case ops.Guard():
            return inputs[0]
        case ops.Trees(forest):
            return Block(str(forest.value.dtype), forest.n_outputs)
        case ops.Leaves(forest):
            return Block("int64", forest.n_trees)
        case ops.Call():
            return Block(op.dtype, op.width)
        case _:
            assert_never(op)


def infer(program: Program, binding: Binding) -> tuple[Block, ...]:
    """The type of every step of a program for these input dtypes."""
    blocks: list[Block] = []
    for step in program.steps:
        blocks.append(result(step.op, [blocks[i] for i in step.inputs], binding))
    return tuple(blocks)


def widths(program: Program) -> tuple[int, ...]:
    """The width of every step, which does not depend on the binding."""
    return tuple(b.width for b in infer(program, program.unbound))
