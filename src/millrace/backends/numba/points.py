"""Distances to given points, and the nearest of them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.ir import arrays
from millrace.ir.numeric import metric_of, nan_euclidean, nearest_of
from millrace.ir.ops import Distances, Nearest
from millrace.statistics.kernels.nearest import CODES, Tiles
from millrace.statistics.kernels.nearest import nearest as nearest_in

Array = npt.NDArray[Any]


@lru_cache(maxsize=32)
def _tiles(points: arrays.Array) -> Tiles:
    return Tiles(points.values)


def distances(block: Array, op: Distances | Nearest) -> Array:
    """Distances (n, m) in float64; see `millrace.ir.ops.Distances`."""
    from millrace.statistics.kernels.points import all_distances

    rows = np.ascontiguousarray(block, np.float64)
    metric = metric_of(op)
    if metric == "nan_euclidean":
        return nan_euclidean(rows, op.points.values)
    out = np.empty((len(rows), len(op.points)))
    all_distances(_tiles(op.points).in_order[0], rows, CODES[metric], float(op.p), out)
    return out


def nearest(block: Array, op: Nearest) -> Array:
    """Distances of the k nearest points and then their positions; see `millrace.ir.ops.Nearest`."""
    tiles, metric = _tiles(op.points), metric_of(op)
    if metric == "nan_euclidean" or not tiles.finite:
        return nearest_of(distances(block, op), op.k)
    rows = np.ascontiguousarray(block, np.float64)
    return nearest_in(tiles, rows, op.k, CODES[metric], float(op.p))
