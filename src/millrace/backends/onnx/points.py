"""Sorted edges, piecewise functions, and distances to given points.

Distances are added up feature by feature, so that no array of rows x points x features is made and
the order of additions is that of SciPy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.backends.onnx.blocks import smallest
from millrace.backends.onnx.elementwise import remainder
from millrace.backends.onnx.graph import Tensor, concat
from millrace.ir.numeric import metric_of
from millrace.ir.ops import (
    Distances,
    ImputeNearest,
    Interpolate,
    Metric,
    Nearest,
    SearchSorted,
    Spline,
)

Numbers = npt.NDArray[Any]


def _below(x: Tensor, edges: Numbers, side: str) -> Tensor:
    """How many edges lie below each cell of one column; NaN lies above all of them."""
    if not len(edges):
        return x.isnan().to("int64") * 0
    row = x.graph.constant(edges)
    not_below = row >= x if side == "left" else row > x
    return (~not_below).to("int64").reduce("ReduceSum")


def _picked(table: Numbers, at: Tensor) -> Tensor:
    name = at.graph.op("Gather", at.graph.array(table), at.name, axis=0)
    return replace(at, name=name, dtype=str(table.dtype))


def search_sorted(x: Tensor, op: SearchSorted) -> Tensor:
    """`SearchSorted`, in NumPy's common dtype of cells and edges."""
    edge, start = op.edge.values, op.start.values
    dtype = str(np.result_type(np.dtype(x.dtype), edge.dtype))
    columns = x.to(dtype).columns()
    return concat(
        [
            _below(column, edge[start[c] : start[c + 1]].astype(dtype), op.side)
            for c, column in enumerate(columns)
        ]
    )


def interpolate(x: Tensor, op: Interpolate) -> Tensor:
    """`Interpolate`: the slope of each piece is computed beforehand, as NumPy does."""
    start = op.start.values
    parts: list[Tensor] = []
    for c, column in enumerate(x.to("float64").columns()):
        own = slice(start[c], start[c + 1])
        parts.append(_interpolated(column, op.xp.values[own], op.fp.values[own]))
    return concat(parts)


def _interpolated(x: Tensor, xp: Numbers, fp: Numbers) -> Tensor:
    if len(xp) == 1:  # NumPy answers so to NaN as well
        return x.graph.scalar(fp[0], "float64").whole()
    with np.errstate(all="ignore"):
        slope = np.append(np.diff(fp) / np.diff(xp), 0.0)
    piece = _below(x, xp[1:], "right")  # 0 below the first point, the last one above all
    inside = _picked(slope, piece) * (x - _picked(xp, piece)) + _picked(fp, piece)
    clipped = (x < xp[0]).where(fp[0], (x >= xp[-1]).where(fp[-1], inside))
    return x.isnan().where(x, clipped)


def spline(x: Tensor, op: Spline) -> Tensor:
    """`Spline`: de Boor's recursion over the knots around each value, as SciPy does it."""
    knots, degree = op.knots.values.astype(np.float64), op.degree
    last = len(knots) - degree - 1
    low, high = float(knots[degree]), float(knots[last])
    x = x.to("float64")
    at = x
    if op.extrapolate == "periodic":
        span = x.graph.scalar(high - low, "float64")
        at = remainder(x - low, span) + low
    interval = (
        _below(at.isnan().where(low, at), knots[degree + 1 : last], "right") + degree
    )  # knots[interval] <= x < knots[interval + 1]
    parts = _basis(at, knots, degree, interval)
    answer: Tensor | None = None
    for position, part in enumerate(parts):
        rows = (interval + (position - degree)).name
        flat = x.graph.op("Squeeze", rows, x.graph.array(np.array([1])))
        table = x.graph.array(op.coefficients.values.astype(np.float64))
        name = x.graph.op("Gather", table, flat, axis=0)
        term = replace(x, name=name, width=op.coefficients.shape[1]) * part
        answer = term if answer is None else answer + term
    assert answer is not None
    unknown = x.isnan()
    if op.extrapolate == "no":
        unknown = unknown | (x < low) | (x > high)
    return unknown.where(np.nan, answer)


def _basis(x: Tensor, knots: Numbers, degree: int, interval: Tensor) -> list[Tensor]:
    """The ``degree + 1`` B-splines that are not zero around x."""

    def knot(offset: int) -> Tensor:
        return _picked(knots, interval + offset)

    parts = [x * 0 + 1]
    for j in range(1, degree + 1):
        before, parts = parts, [x * 0]
        for i in range(1, j + 1):
            above, below = knot(i), knot(i - j)
            share = above.same(below).where(0, before[i - 1] / (above - below))
            parts[-1] = parts[-1] + share * (above - x)
            parts.append(share * (x - below))
    return parts


# -- distances -----------------------------------------------------------------------------
def distances(x: Tensor, op: Distances | Nearest) -> Tensor:
    """`Distances` to the points (n, m)."""
    return _distances(x.to("float64"), op.points.values, metric_of(op), op.p)


def _distances(x: Tensor, points: Numbers, metric: Metric, p: float) -> Tensor:
    if metric == "nan_euclidean":
        return _nan_euclidean(x, points)
    total: Tensor | None = None
    for c, column in enumerate(x.columns()):
        gap = abs(column - x.graph.constant(points[:, c].astype(np.float64)))
        if metric in ("euclidean", "sqeuclidean"):
            gap = gap * gap
        elif metric == "minkowski":
            gap = gap**p
        if total is None:
            total = gap
        elif metric == "chebyshev":
            total = total.apply("Max", gap)
        else:
            total = total + gap
    assert total is not None
    if metric == "euclidean":
        return total.apply("Sqrt")
    return total ** (1 / p) if metric == "minkowski" else total


def _nan_euclidean(x: Tensor, points: Numbers) -> Tensor:
    """Over the columns that both have, scaled up to all columns; NaN where they share none."""
    graph = x.graph
    squares, counts = graph.scalar(0.0, "float64"), graph.scalar(0.0, "float64")
    for c, column in enumerate(x.columns()):
        gap = column - graph.constant(points[:, c].astype(np.float64))
        shared = ~gap.isnan()
        squares = squares + shared.where(gap * gap, 0)
        counts = counts + shared.to("float64")
    return (squares / counts * x.width).apply("Sqrt")


def nearest(x: Tensor, op: Nearest) -> Tensor:
    """`Nearest`: distances and then positions; of equal ones the first."""
    values, at = smallest(distances(x, op), op.k)
    return concat([values, at.to("float64")])


def impute_nearest(x: Tensor, op: ImputeNearest) -> Tensor:
    """`ImputeNearest`: each column from the nearest points that have it."""
    x = x.to("float64")
    points = op.points.values.astype(np.float64)
    far = _nan_euclidean(x, points)
    far = far.isnan().where(np.inf, far)
    parts = [
        column.isnan().where(_neighbours_mean(far, points[:, c], op, op.fill.values[c]), column)
        for c, column in enumerate(x.columns())
    ]
    return concat(parts)


def _neighbours_mean(far: Tensor, values: Numbers, op: ImputeNearest, fill: float) -> Tensor:
    donors: Sequence[int] = np.flatnonzero(~np.isnan(values)).tolist()
    if not donors:
        return far.graph.scalar(fill, "float64")
    distance, at = smallest(far.take(donors), min(op.n_neighbors, len(donors)))
    known = distance < np.inf
    weight = known.to("float64")
    if op.weights == "distance":
        zero = distance.same(0)
        weight = zero.any().where(zero.to("float64"), known.where(1 / distance, 0))
    total = weight.reduce("ReduceSum")
    mean = (weight * _picked(values[donors], at)).reduce("ReduceSum") / total
    return total.same(0).where(fill, mean)
