"""Distances to given points, and the nearest of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

from millrace.ir.ops import Metric, Nearest

Block = npt.NDArray[Any]


def distances(block: Block, points: Block, metric: Metric, p: float) -> Block:
    """Distances (n, m) in float64, column added to column; see `millrace.ir.ops.Distances`."""
    rows = block.astype(np.float64)
    if metric == "minkowski":
        special: dict[float, Metric] = {1.0: "cityblock", 2.0: "euclidean", np.inf: "chebyshev"}
        metric = special.get(p, metric)
    if metric == "nan_euclidean":
        return _nan_euclidean(rows, points)
    if metric == "minkowski":  # NumPy's powers of arrays are not those of the C library
        return cdist(rows, points, metric, p=p)
    total = np.zeros((len(rows), len(points)))
    for column in range(rows.shape[1]):
        gap = np.abs(rows[:, column, None] - points[:, column])
        if metric == "chebyshev":
            total = np.maximum(total, gap)
        else:
            total += gap if metric == "cityblock" else gap * gap
    return np.sqrt(total) if metric == "euclidean" else total


def _nan_euclidean(rows: Block, points: Block) -> Block:
    """Over the columns that both have, scaled up to all columns; NaN where they share none."""
    squares, shared = np.zeros((2, len(rows), len(points)))
    for column in range(rows.shape[1]):
        gap = rows[:, column, None] - points[:, column]
        squares += np.where(np.isnan(gap), 0.0, gap * gap)
        shared += ~np.isnan(gap)
    return np.sqrt(np.where(shared > 0, squares / shared * rows.shape[1], np.nan))


def nearest(block: Block, op: Nearest) -> Block:
    """Distances of the k nearest points and then their positions; see `millrace.ir.ops.Nearest`."""
    far = distances(block, op.points.values, op.metric, op.p)
    order = np.argsort(far, axis=1, kind="stable")[:, : op.k]
    return np.hstack([np.take_along_axis(far, order, axis=1), order.astype(np.float64)])
