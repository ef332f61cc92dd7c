"""Blocks as a whole: side by side, reduced, sorted, picked from, multiplied."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from millrace.backends.onnx.graph import WIDER, Refused, Tensor, concat
from millrace.ir.arrays import Array
from millrace.ir.types import promote

MOST_COLUMNS = 256
"""Columns that are written out one by one where ONNX has no operator for all of them."""


def joined(tensors: Sequence[Tensor]) -> Tensor:
    """`Concat`, in NumPy's common dtype."""
    dtype = promote([t.dtype for t in tensors])
    if dtype == "object" and any(t.dtype != dtype for t in tensors):
        raise Refused(
            "it puts text and numbers side by side, and a tensor of ONNX holds one kind",
            "Encode the text before, or choose other methods",
        )
    wide = [t.to(dtype) for t in tensors if t.width]
    return concat(wide) if wide else tensors[0].to(dtype)


def matmul(x: Tensor, weights: Array) -> Tensor:
    """`MatMul`, in NumPy's common dtype."""
    dtype = promote([x.dtype, str(weights.dtype)])
    compute = WIDER.get(dtype, dtype)
    table = x.graph.array(weights.values.astype(compute))
    rows = x.graph.apart(x.to(compute), "Mul", "Div")
    name = x.graph.op("MatMul", rows.name, table)
    return replace(x, name=name, dtype=compute, width=weights.shape[1]).to(dtype)


def where(condition: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """`Where`, in NumPy's common dtype of the two branches."""
    dtype = promote([yes.dtype, no.dtype])
    compute = WIDER.get(dtype, dtype)
    return condition.to("bool").where(yes.to(compute), no.to(compute)).to(dtype)


# -- each row to one value -----------------------------------------------------------------
def reduce(x: Tensor, name: str, dtype: str) -> Tensor:
    """`Reduce` to a result of this dtype."""
    if name not in _REDUCTIONS:
        raise Refused(f"ONNX has no {name} of a row", "Choose other methods")
    if x.dtype == "object":
        raise Refused(f"{name} of text has no counterpart", "Choose other methods")
    if name in ("sum", "mean", "prod", "square_sum"):
        x = x.to(dtype)
    return _REDUCTIONS[name](x.to(WIDER.get(x.dtype, x.dtype))).to(dtype)


def _extreme(op: str) -> Callable[[Tensor], Tensor]:
    """The largest or smallest value; ONNX Runtime passes over NaN and NumPy does not."""

    def reduced(x: Tensor) -> Tensor:
        found = x.reduce(op)
        return x.isnan().any().where(np.nan, found) if x.dtype.startswith("float") else found

    return reduced


def _position(op: str) -> Callable[[Tensor], Tensor]:
    """The first of the largest or smallest; in NumPy a NaN is both."""

    def at(x: Tensor, op: str) -> Tensor:
        name = x.graph.op(op, x.name, axis=1, keepdims=1)
        return replace(x, name=name, dtype="int64", width=1)

    def found(x: Tensor) -> Tensor:
        if not x.dtype.startswith("float"):
            return at(x, op)
        nan = x.isnan()
        return nan.any().where(at(nan.to("int32"), "ArgMax"), at(x, op))

    return found


_REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sum": lambda x: x.reduce("ReduceSum"),
    "mean": lambda x: x.reduce("ReduceSum") / x.width,
    "square_sum": lambda x: (x * x).reduce("ReduceSum"),
    "prod": lambda x: x.reduce("ReduceProd"),
    "max": _extreme("ReduceMax"),
    "min": _extreme("ReduceMin"),
    "any": lambda x: x.to("bool").any(),
    "all": lambda x: ~(~x.to("bool")).any(),
    "argmax": _position("ArgMax"),
    "argmin": _position("ArgMin"),
}


# -- along each row ------------------------------------------------------------------------
def accumulate(x: Tensor, ufunc: str, dtype: str) -> Tensor:
    """`Accumulate`: the cumulative sum, or another function written out by columns."""
    x = x.to(dtype)
    if ufunc == "add" and dtype not in WIDER:
        name = x.graph.op("CumSum", x.name, x.graph.array(np.array(1)))
        return replace(x, name=name)
    from millrace.backends.onnx.elementwise import binary

    if x.width > MOST_COLUMNS:
        raise Refused(
            f"ONNX has no running {ufunc}, and {x.width} columns are too many to write it out",
            "Choose other methods",
        )
    columns = x.columns()
    for c in range(1, x.width):
        columns[c] = binary(ufunc, columns[c - 1], columns[c])
    return concat(columns)


def argsort(x: Tensor) -> Tensor:
    """`ArgSort`: of equal values the first stands first, and NaN stands among the infinities."""
    if x.dtype.startswith("float"):
        x.graph.note("Rows are sorted with NaN read as infinity.")
        x = x.isnan().where(np.inf, x)
    _, positions = smallest(x.to(WIDER.get(x.dtype, x.dtype)), x.width)
    return positions


def smallest(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k smallest values of each row and their positions, smallest first."""
    count = x.graph.array(np.array([k]))
    values, at = x.graph.ops("TopK", x.name, count, outputs=2, axis=1, largest=0, sorted=1)
    return replace(x, name=values, width=k), replace(x, name=at, width=k, dtype="int64")


def pick_along(x: Tensor, positions: Tensor) -> Tensor:
    """`PickAlong`: cells of each row by position."""
    at = positions.to("int64")
    if x.row != at.row:
        x, at = x.whole(), at.whole()
    name = x.graph.op("GatherElements", x.name, at.name, axis=1)
    return replace(x, name=name, width=at.width)
