"""The primitives that are a NumPy call on whole blocks."""

from __future__ import annotations

from typing import Any, assert_never

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from millrace.backends.numba.encode import is_missing, to_dtype
from millrace.ir import numeric, ops
from millrace.ir.numeric import spline
from millrace.ir.types import function, promote

Array = npt.NDArray[Any]


def compute(op: ops.Op, inputs: list[Array]) -> Any:
    """The primitives that are a NumPy call on blocks."""
    match op:
        case ops.Constant(row):
            return row.array()[None, :]
        case ops.Cast(dtype):
            return to_dtype(inputs[0], dtype)
        case ops.CastLike():
            return inputs[0].astype(inputs[1].dtype, copy=False)
        case ops.Unary(name) | ops.Binary(name):
            return function(name)(*inputs)
        case ops.IsMissing():
            return is_missing(inputs[0], op)
        case ops.Where():
            dtype = promote([str(i.dtype) for i in inputs[1:]])
            return np.where(inputs[0], *(i.astype(dtype, copy=False) for i in inputs[1:]))
        case ops.MatMul(weights):
            return inputs[0] @ weights.values
        case ops.Reduce(name):
            return numeric.reduce_rows(inputs[0], name)
        case ops.OneHot(width, dtype):
            one_hot = _sparse_one_hot if op.sparse else _one_hot
            return one_hot(inputs[0][:, 0], width, dtype)
        case ops.Gather(table):
            return numeric.gather(table, inputs[0])
        case ops.Take(columns):
            return inputs[0][:, list(columns)]
        case ops.Accumulate(name):
            return getattr(np, name).accumulate(inputs[0], axis=1)
        case ops.ArgSort():
            return np.argsort(inputs[0], axis=1, kind="stable")
        case ops.PickAlong():
            return numeric.pick_along(*inputs)
        case ops.SearchSorted():
            return numeric.search_sorted(inputs[0], op)
        case ops.Interpolate():
            return numeric.interpolate(inputs[0], op)
        case ops.Spline():
            return spline(op)(inputs[0][:, 0])
        case ops.Distances() | ops.Nearest() | ops.ImputeNearest():
            return _of_points(inputs[0], op)
        case ops.Sparse():
            return sp.csr_matrix(inputs[0])
        case ops.Dense():
            return inputs[0]
        case (
            ops.Select()
            | ops.Concat()
            | ops.Guard()
            | ops.Encode()
            | ops.Terms()
            | ops.Features()
            | ops.Require()
            | ops.Trees()
            | ops.Leaves()
            | ops.Call()
        ):
            raise AssertionError("handled by Steps.apply")
        case _:
            assert_never(op)


class Repeated:
    """A constant row, and the same row so often that a loop over it is worth while."""

    CELLS = 512

    def __init__(self, row: Array) -> None:
        self.times = max(1, self.CELLS // max(len(row), 1))
        self.one = row[None, :]
        self.many = np.tile(row, self.times)[None, :]


def with_row(ufunc: Any, block: Array, side: int, row: Repeated, out: Array) -> Array:
    """``ufunc(block, row)``, or ``ufunc(row, block)`` where the block is on side 1, written to `out`.

    NumPy's inner loop runs along a row: on narrow blocks most time would go between the loops. So
    several rows of the block meet as many copies of the row.
    """
    n_rows, width = block.shape
    together = n_rows // row.times
    in_order = block.flags.c_contiguous and out.flags.c_contiguous
    if row.times == 1 or not together or not in_order:
        return ufunc(*((block, row.one) if side == 0 else (row.one, block)), out=out)
    whole = together * row.times
    folded = block[:whole].reshape(together, row.times * width)
    ufunc(
        *((folded, row.many) if side == 0 else (row.many, folded)),
        out=out[:whole].reshape(folded.shape),
    )
    if whole < n_rows:
        rest = block[whole:]
        ufunc(*((rest, row.one) if side == 0 else (row.one, rest)), out=out[whole:])
    return out


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


def _of_points(block: Array, op: ops.Distances | ops.Nearest | ops.ImputeNearest) -> Array:
    """Steps whose kernels are loaded by the models that have them alone."""
    if isinstance(op, ops.ImputeNearest):
        from millrace.backends.numba.impute_nearest import impute_nearest

        return impute_nearest(block, op)
    from millrace.backends.numba.points import distances, nearest

    return distances(block, op) if isinstance(op, ops.Distances) else nearest(block, op)
