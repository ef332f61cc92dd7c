"""The primitives that are a NumPy call on whole blocks."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, assert_never

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from millrace.backends.numba.encode import is_missing, to_dtype
from millrace.ir.arrays import Text
from millrace.ir.ops import (
    Accumulate,
    ArgSort,
    Binary,
    Call,
    Cast,
    CastLike,
    Concat,
    Constant,
    Dense,
    Distances,
    Encode,
    Features,
    Gather,
    Guard,
    ImputeNearest,
    Interpolate,
    IsMissing,
    Leaves,
    MatMul,
    Nearest,
    OneHot,
    Op,
    PickAlong,
    Reduce,
    Require,
    SearchSorted,
    Select,
    Sparse,
    Spline,
    Take,
    Terms,
    Trees,
    Unary,
    Where,
)
from millrace.ir.types import function, promote

Array = npt.NDArray[Any]


def compute(op: Op, inputs: list[Array]) -> Any:
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
        case Reduce("square_sum"):
            rows = np.ascontiguousarray(inputs[0])
            return np.einsum("ij,ij->i", rows, rows)[:, None]
        case Reduce(name):
            return np.asarray(getattr(np, name)(np.ascontiguousarray(inputs[0]), axis=1))[:, None]
        case OneHot(width, dtype):
            one_hot = _sparse_one_hot if op.sparse else _one_hot
            return one_hot(inputs[0][:, 0], width, dtype)
        case Gather(table):
            picked = (table.array() if isinstance(table, Text) else table.values)[inputs[0][:, 0]]
            return picked[:, None] if picked.ndim == 1 else picked
        case Take(columns):
            return inputs[0][:, list(columns)]
        case Accumulate(name):
            return getattr(np, name).accumulate(inputs[0], axis=1)
        case ArgSort():
            return np.argsort(inputs[0], axis=1, kind="stable")
        case PickAlong():
            rows = np.broadcast_to(inputs[0], (len(inputs[1]), inputs[0].shape[1]))
            return np.take_along_axis(rows, inputs[1], axis=1)
        case SearchSorted():
            return _search_sorted(inputs[0], op)
        case Interpolate():
            return _interpolate(inputs[0], op)
        case Spline():
            return spline(op)(inputs[0][:, 0])
        case Distances() | Nearest() | ImputeNearest():
            return _of_points(inputs[0], op)
        case Sparse():
            return sp.csr_matrix(inputs[0])
        case Dense():
            return inputs[0]
        case (
            Select()
            | Concat()
            | Guard()
            | Encode()
            | Terms()
            | Features()
            | Require()
            | Trees()
            | Leaves()
            | Call()
        ):
            raise AssertionError("handled by Executable._apply")
        case _:
            assert_never(op)


class Repeated:
    """A constant row, and the same row so often that a loop over it is worth while."""

    CELLS = 512

    def __init__(self, row: Array) -> None:
        self.times = max(1, self.CELLS // max(len(row), 1))
        self.one = row[None, :]
        self.many = np.tile(row, self.times)[None, :]


def with_row(ufunc: Any, block: Array, side: int, row: Repeated) -> Array:
    """``ufunc(block, row)``, or ``ufunc(row, block)`` where the block is on side 1.

    NumPy's inner loop runs along a row: on narrow blocks most time would go between the loops. So
    several rows of the block meet as many copies of the row.
    """
    n_rows, width = block.shape
    together = n_rows // row.times
    if row.times == 1 or not together or not block.flags.c_contiguous:
        return ufunc(block, row.one) if side == 0 else ufunc(row.one, block)
    whole = together * row.times
    folded = block[:whole].reshape(together, row.times * width)
    first = ufunc(folded, row.many) if side == 0 else ufunc(row.many, folded)
    answer = np.empty((n_rows, width), first.dtype)
    answer[:whole] = first.reshape(whole, width)
    if whole < n_rows:
        rest = block[whole:]
        answer[whole:] = ufunc(rest, row.one) if side == 0 else ufunc(row.one, rest)
    return answer


def _sparse_one_hot(codes: Array, width: int, dtype: str) -> Any:
    known = (codes >= 0) & (codes < width)
    ends = np.zeros(len(codes) + 1, np.int32)
    np.cumsum(known, out=ends[1:])
    columns = codes if known.all() else codes[known]
    cells = np.ones(len(columns), dtype)
    return sp.csr_matrix((cells, columns.astype(np.int32, copy=False), ends), (len(codes), width))


def _one_hot(codes: Array, width: int, dtype: str) -> Array:
    block = np.zeros((len(codes), width), dtype)
    known = (codes >= 0) & (codes < width)
    rows = np.arange(len(codes)) if known.all() else np.flatnonzero(known)
    block[rows, codes[rows]] = 1
    return block


def _of_points(block: Array, op: Distances | Nearest | ImputeNearest) -> Array:
    """Steps whose kernels are loaded by the models that have them alone."""
    if isinstance(op, ImputeNearest):
        from millrace.backends.numba.impute_nearest import impute_nearest

        return impute_nearest(block, op)
    from millrace.backends.numba.points import distances, nearest

    return distances(block, op) if isinstance(op, Distances) else nearest(block, op)


def _search_sorted(block: Array, op: SearchSorted) -> Array:
    start, answer = op.start.values, np.empty(block.shape, np.int64)
    for c in range(block.shape[1]):
        edges = op.edge.values[start[c] : start[c + 1]]
        answer[:, c] = np.searchsorted(edges, block[:, c], side=op.side)
    return answer


def _interpolate(block: Array, op: Interpolate) -> Array:
    start, answer = op.start.values, np.empty(block.shape, np.float64)
    for c in range(block.shape[1]):
        own = slice(start[c], start[c + 1])
        answer[:, c] = np.interp(block[:, c], op.xp.values[own], op.fp.values[own])
    return answer


@lru_cache(maxsize=64)
def spline(op: Spline) -> Any:
    """The spline as a function of one column."""
    from scipy.interpolate import BSpline

    extrapolate: Any = {"yes": True, "no": False, "periodic": "periodic"}[op.extrapolate]
    return BSpline(op.knots.values, op.coefficients.values, op.degree, extrapolate)
