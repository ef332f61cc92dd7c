"""Distances to given points, and the nearest of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

from millrace.ir.ops import Distances, Nearest

Array = npt.NDArray[Any]


def distances(block: Array, op: Distances | Nearest) -> Array:
    """Distances (n, m) in float64; see `millrace.ir.ops.Distances`."""
    rows = np.ascontiguousarray(block, np.float64)
    if op.metric == "nan_euclidean":
        return _nan_euclidean(rows, op.points.values)
    return cdist(
        rows, op.points.values, op.metric, **({"p": op.p} if op.metric == "minkowski" else {})
    )


def _nan_euclidean(rows: Array, points: Array) -> Array:
    """Over the columns that both have, scaled up to all columns; NaN where they share none."""
    known, points_known = ~np.isnan(rows), ~np.isnan(points)
    filled, points_filled = np.where(known, rows, 0.0), np.where(points_known, points, 0.0)
    shared = known.astype(np.float64) @ points_known.T.astype(np.float64)
    squares = np.zeros(shared.shape)
    for c in range(rows.shape[1]):
        both = known[:, c, None] & points_known[None, :, c]
        squares += np.where(both, (filled[:, c, None] - points_filled[None, :, c]) ** 2, 0.0)
    return np.sqrt(np.where(shared > 0, squares / shared * rows.shape[1], np.nan))


def nearest(block: Array, op: Nearest) -> Array:
    """Distances of the k nearest points and then their positions; see `millrace.ir.ops.Nearest`."""
    far = distances(block, op)
    order = np.argsort(far, axis=1, kind="stable")[:, : op.k]
    return np.hstack([np.take_along_axis(far, order, axis=1), order.astype(np.float64)])
