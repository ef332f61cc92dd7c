"""Arithmetic that the definition of a primitive fixes: the NumPy or SciPy calls that its docstring names.

Every backend that computes with NumPy calls these, so that no two of them can differ in what is no choice
of theirs: in which layout a row is added up, which part of an array belongs to a column.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.ir import ops
from millrace.ir.arrays import Array, Text

Block = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]


def reduce_rows(block: Block, function: str) -> Block:
    """`Reduce`: (n, width) to (n, 1), each row added up in C order."""
    rows = np.ascontiguousarray(block)
    if function == "square_sum":
        return np.einsum("ij,ij->i", rows, rows)[:, None]
    return np.asarray(getattr(np, function)(rows, axis=1))[:, None]


def pick_along(block: Block, positions: Block) -> Block:
    """`PickAlong`: the cells of each row, or of a constant row, at the positions of that row."""
    rows = np.broadcast_to(block, (len(positions), block.shape[1]))
    return np.take_along_axis(rows, positions, axis=1)


def gather(table: Array | Text, codes: Block) -> Block:
    """`Gather`: the row of a table for each code (n, 1)."""
    picked = table.array()[codes[:, 0]]
    return picked[:, None] if picked.ndim == 1 else picked


def search_sorted(block: Block, op: ops.SearchSorted) -> npt.NDArray[np.int64]:
    """`SearchSorted`: (n, width) int64."""
    start, answer = op.start.values, np.empty(block.shape, np.int64)
    for c in range(block.shape[1]):
        edges = op.edge.values[start[c] : start[c + 1]]
        answer[:, c] = np.searchsorted(edges, block[:, c], side=op.side)
    return answer


def interpolate(block: Block, op: ops.Interpolate) -> Floats:
    """`Interpolate`: (n, width) float64."""
    start, answer = op.start.values, np.empty(block.shape, np.float64)
    for c in range(block.shape[1]):
        own = slice(start[c], start[c + 1])
        answer[:, c] = np.interp(block[:, c], op.xp.values[own], op.fp.values[own])
    return answer


@lru_cache(maxsize=64)
def spline(op: ops.Spline) -> Callable[[Block], Floats]:
    """`Spline`: a function of one column (n,), which gives (n, width of the result)."""
    from scipy.interpolate import BSpline

    extrapolate: Any = {"yes": True, "no": False, "periodic": "periodic"}[op.extrapolate]
    return BSpline(op.knots.values, op.coefficients.values, op.degree, extrapolate)


# -- points --------------------------------------------------------------------------------
def metric_of(op: ops.Distances | ops.Nearest) -> ops.Metric:
    """The metric, by its own name where it is a special case of ``minkowski``."""
    if op.metric != "minkowski":
        return op.metric
    special: dict[float, ops.Metric] = {1.0: "cityblock", 2.0: "euclidean", np.inf: "chebyshev"}
    return special.get(op.p, op.metric)


def nan_euclidean(rows: Floats, points: Floats) -> Floats:
    """Distances over the columns that both have, scaled up to all; NaN where they share none: (n, m)."""
    squares, shared = np.zeros((2, len(rows), len(points)))
    for column in range(rows.shape[1]):
        gap = rows[:, column, None] - points[:, column]
        squares += np.where(np.isnan(gap), 0.0, gap * gap)
        shared += ~np.isnan(gap)
    return np.sqrt(np.where(shared > 0, squares / shared * rows.shape[1], np.nan))


def nearest_of(far: Floats, k: int) -> Floats:
    """`Nearest` from all distances (n, m): the k least and then their positions (n, 2 k)."""
    order = np.argsort(far, axis=1, kind="stable")[:, :k]
    return np.hstack([np.take_along_axis(far, order, axis=1), order.astype(np.float64)])
