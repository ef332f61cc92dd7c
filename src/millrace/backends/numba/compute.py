"""The primitives that are a NumPy call on whole blocks."""

from __future__ import annotations

from typing import Any, assert_never

import numpy as np
import numpy.typing as npt

from millrace.backends.numba.encode import is_missing, to_dtype
from millrace.ir.arrays import Text
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
from millrace.ir.types import function, promote

Array = npt.NDArray[Any]


def compute(op: Op, inputs: list[Array]) -> Array:
    """The primitives that are a NumPy call on blocks."""
    match op:
        case Constant(row):
            return (row.array() if isinstance(row, Text) else row.values)[None, :]
        case Cast(dtype):
            return to_dtype(inputs[0], dtype)
        case CastLike():
            return inputs[0].astype(inputs[1].dtype, copy=False)
        case Unary(name) | Binary(name):
            return function(name)(*inputs)
        case IsMissing():
            return is_missing(inputs[0], op)
        case Where():
            dtype = promote([str(i.dtype) for i in inputs[1:]])
            return np.where(inputs[0], *(i.astype(dtype, copy=False) for i in inputs[1:]))
        case MatMul(weights):
            return inputs[0] @ weights.values
        case Reduce(name):
            return np.asarray(getattr(np, name)(np.ascontiguousarray(inputs[0]), axis=1))[:, None]
        case OneHot(width, dtype):
            return _one_hot(inputs[0][:, 0], width, dtype)
        case Gather(table):
            picked = (table.array() if isinstance(table, Text) else table.values)[inputs[0][:, 0]]
            return picked[:, None] if picked.ndim == 1 else picked
        case Take(columns):
            return inputs[0][:, list(columns)]
        case Select() | Concat() | Guard() | Encode() | Trees() | Leaves() | Call():
            raise AssertionError("handled by Executable._apply")
        case _:
            assert_never(op)


def _one_hot(codes: Array, width: int, dtype: str) -> Array:
    block = np.zeros((len(codes), width), dtype)
    known = (codes >= 0) & (codes < width)
    rows = np.arange(len(codes)) if known.all() else np.flatnonzero(known)
    block[rows, codes[rows]] = 1
    return block
