"""Distances to given points, and the nearest of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

from millrace.ir.numeric import metric_of, nan_euclidean, nearest_of
from millrace.ir.ops import Distances, Nearest

Block = npt.NDArray[Any]


def distances(block: Block, op: Distances | Nearest) -> Block:
    """Distances (n, m) in float64, column added to column; see `millrace.ir.ops.Distances`."""
    rows, points, metric = block.astype(np.float64), op.points.values, metric_of(op)
    if metric == "nan_euclidean":
        return nan_euclidean(rows, points)
    if metric == "minkowski":  # NumPy's powers of arrays are not those of the C library
        return cdist(rows, points, metric, p=op.p)
    total = np.zeros((len(rows), len(points)))
    for column in range(rows.shape[1]):
        gap = np.abs(rows[:, column, None] - points[:, column])
        if metric == "chebyshev":
            total = np.maximum(total, gap)
        else:
            total += gap if metric == "cityblock" else gap * gap
    return np.sqrt(total) if metric == "euclidean" else total


def nearest(block: Block, op: Nearest) -> Block:
    """Distances of the k nearest points and then their positions; see `millrace.ir.ops.Nearest`."""
    return nearest_of(distances(block, op), op.k)
