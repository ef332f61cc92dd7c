"""The type of every step, given the dtypes of the input columns.

A program is polymorphic: scikit-learn keeps float32 input in float32 and float64 in float64, so the
types are known only when the input's dtypes (the *binding*) are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, assert_never

import numpy as np

from millrace.errors import ProgramError
from millrace.ir.arrays import Array, Text
from millrace.ir.ops import (
    Binary,
    Call,
    Cast,
    CastLike,
    Concat,
    Constant,
    Encode,
    Gather,
    Guard,
    IsMissing,
    Leaves,
    MatMul,
    OneHot,
    Op,
    Reduce,
    Select,
    Take,
    Trees,
    Unary,
    Where,
)
from millrace.ir.program import Program

Binding = tuple[str, ...]
"""One dtype name per input column, ``object`` for text, `ABSENT` for a column that is not there."""

ABSENT = "absent"
"""A column that the input lacks because nothing reads it: it takes no part in type promotion."""


@dataclass(frozen=True)
class Block:
    """`n` rows (or 1, for a constant row) by `width` columns of one NumPy dtype."""

    dtype: str
    width: int

    def __str__(self) -> str:
        return f"{self.dtype}[n, {self.width}]"


SPECIAL = ("expit", "logit")
"""Functions that come from ``scipy.special``."""


def function(name: str) -> Callable[..., Any]:
    """The NumPy (or SciPy) function that `Unary` and `Binary` name."""
    if name in SPECIAL:
        return getattr(import_module("scipy.special"), name)
    ufunc = getattr(np, name, None)
    if not isinstance(ufunc, np.ufunc):
        raise ProgramError(f"{name!r} is not a NumPy ufunc")
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
    present = [d for d in dtypes if d != ABSENT]
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


def result(op: Op, inputs: Sequence[Block], binding: Binding) -> Block:
    """The type of one step from the types of its inputs."""
    match op:
        case Select(columns):
            return Block(promote([binding[c] for c in columns]), len(columns))
        case Constant(row):
            return Block("object" if isinstance(row, Text) else str(row.dtype), len(row))
        case Cast(dtype):
            return Block(cast_dtype(inputs[0].dtype, dtype), inputs[0].width)
        case CastLike():
            return Block(inputs[1].dtype, inputs[0].width)
        case Unary(ufunc):
            return Block(_ufunc_dtype(ufunc, inputs[0].dtype), inputs[0].width)
        case Binary(ufunc):
            return Block(_ufunc_dtype(ufunc, *(b.dtype for b in inputs)), _same_width(inputs))
        case IsMissing():
            return Block("bool", inputs[0].width)
        case Where():
            return Block(promote([b.dtype for b in inputs[1:]]), _same_width(inputs))
        case Concat():
            return Block(promote([b.dtype for b in inputs]), sum(b.width for b in inputs))
        case Take(columns):
            return Block(inputs[0].dtype, len(columns))
        case MatMul(weights):
            return Block(promote([inputs[0].dtype, str(weights.dtype)]), weights.shape[1])
        case Reduce(name):
            if name == "argmax":
                return Block("int64", 1)
            probe = getattr(np, name)(np.zeros((1, 1), inputs[0].dtype), axis=1)
            return Block(str(probe.dtype), 1)
        case Encode():
            return Block("int32", 1)
        case OneHot(width, dtype):
            return Block(dtype, width)
        case Gather(table):
            return _table(table)
        case Guard():
            return inputs[0]
        case Trees(forest):
            return Block(str(forest.value.dtype), forest.n_outputs)
        case Leaves(forest):
            return Block("int64", forest.n_trees)
        case Call():
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
    return tuple(b.width for b in infer(program, ("float64",) * len(program.columns)))
