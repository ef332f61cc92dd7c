"""Distances to given points, and the nearest of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

from millrace.ir.ops import Metric, Nearest

Block = npt.NDArray[Any]


def distances(block: Block, points: Block, metric: Metric, p: float) -> Block:
    """Distances (n, m) in float64; see `millrace.ir.ops.Distances`."""
    rows = block.astype(np.float64)
    if metric == "nan_euclidean":
        return _nan_euclidean(rows, points)
    return cdist(rows, points, metric, **({"p": p} if metric == "minkowski" else {}))


def _nan_euclidean(rows: Block, points: Block) -> Block:
    """Over the columns that both have, scaled up to all columns; NaN where they share none."""
    answer = np.full((len(rows), len(points)), np.nan)
    for i, row in enumerate(rows):
        shared = ~np.isnan(row) & ~np.isnan(points)
        squares = np.where(shared, (row - points) ** 2, 0.0).sum(axis=1)
        count = shared.sum(axis=1)
        some = count > 0
        answer[i, some] = np.sqrt(squares[some] / count[some] * rows.shape[1])
    return answer


def nearest(block: Block, op: Nearest) -> Block:
    """Distances of the k nearest points and then their positions; see `millrace.ir.ops.Nearest`."""
    far = distances(block, op.points.values, op.metric, op.p)
    order = np.argsort(far, axis=1, kind="stable")[:, : op.k]
    return np.hstack([np.take_along_axis(far, order, axis=1), order.astype(np.float64)])
