"""Distances to given points, and the nearest of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.ir import arrays
from millrace.ir.numeric import metric_of, nan_euclidean, nearest_of
from millrace.ir.ops import Distances, Metric, Nearest

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

_CODES: dict[Metric, int] = {
    "euclidean": 0,
    "sqeuclidean": 1,
    "cityblock": 2,
    "chebyshev": 3,
    "minkowski": 4,
}
"""The numbers of the metrics in the kernels."""

_TILE = 32
"""`millrace.backends.numba.kernels.points.TILE`, without importing Numba."""

_GROUP_BYTES = 24 << 10
"""Tiles that stay in the first-level cache while the rows of a block meet them."""

_TREE_COLUMNS = 16
"""In more columns nearly every box is within reach."""


@dataclass(frozen=True)
class _Tiles:
    """Points laid out for the kernels; see `kernels.points`.

    Attributes
    ----------
    points : float64 (n_points, n_columns)
    """

    points: Floats

    @cached_property
    def finite(self) -> bool:
        """Whether the kernels that look for the nearest take them."""
        return bool(np.isfinite(self.points).all())

    @cached_property
    def in_order(self) -> tuple[Floats, Floats]:
        """``tiles, position`` in the order of the points."""
        order = np.arange(len(self.points))
        return self._tiled(np.array_split(order, range(_TILE, len(order), _TILE)))

    @cached_property
    def in_tree(self) -> tuple[Floats, Floats, Floats]:
        """``tiles, position, boxes`` of a tree."""
        depth = max(int(np.ceil(np.log2(len(self.points) / _TILE))), 0)
        nodes, boxes = [np.arange(len(self.points))], [np.zeros((1, 2 * self.points.shape[1]))]
        for level in range(depth + 1):
            bounds = [(self.points[n].min(axis=0), self.points[n].max(axis=0)) for n in nodes]
            boxes.append(np.array([np.concatenate(b) for b in bounds]))
            if level < depth:
                widest = [int(np.argmax(high - low)) for low, high in bounds]
                nodes = [
                    half for n, c in zip(nodes, widest, strict=True) for half in self._halves(n, c)
                ]
        return *self._tiled(nodes), np.concatenate(boxes)

    def _halves(self, node: Array, column: int) -> list[Array]:
        """The points of a node below and above the median of a column."""
        half = (len(node) + 1) // 2
        order = np.argpartition(self.points[node, column], half - 1)
        return [node[order[:half]], node[order[half:]]]

    def _tiled(self, parts: list[Array]) -> tuple[Floats, Floats]:
        """Points in tiles, one for each part of at most 32."""
        n_points, n_columns = self.points.shape
        tiles = np.full((len(parts), n_columns, _TILE), np.inf)
        position = np.full((len(parts), _TILE), float(n_points))
        for t, part in enumerate(parts):
            tiles[t, :, : len(part)] = self.points[part].T
            position[t, : len(part)] = part
        return tiles.reshape(-1), position.reshape(-1)


@lru_cache(maxsize=32)
def _tiles(points: arrays.Array) -> _Tiles:
    return _Tiles(points.values)


def distances(block: Array, op: Distances | Nearest) -> Array:
    """Distances (n, m) in float64; see `millrace.ir.ops.Distances`."""
    from millrace.backends.numba.kernels.points import all_distances

    rows = np.ascontiguousarray(block, np.float64)
    metric = metric_of(op)
    if metric == "nan_euclidean":
        return nan_euclidean(rows, op.points.values)
    out = np.empty((len(rows), len(op.points)))
    all_distances(_tiles(op.points).in_order[0], rows, _CODES[metric], float(op.p), out)
    return out


def nearest(block: Array, op: Nearest) -> Array:
    """Distances of the k nearest points and then their positions; see `millrace.ir.ops.Nearest`."""
    from millrace.backends.numba.kernels.points import nearest_in_tree, nearest_of_all

    tiles, metric, n_points = _tiles(op.points), metric_of(op), len(op.points)
    if metric == "nan_euclidean" or not tiles.finite:
        return nearest_of(distances(block, op), op.k)
    rows = np.ascontiguousarray(block, np.float64)
    out = np.empty((len(rows), 2 * op.k))
    code, p = _CODES[metric], float(op.p)
    if _pays(n_points, rows.shape[1], op.k):
        nearest_in_tree(*tiles.in_tree, rows, code, p, n_points, out)
    else:
        group = max(1, _GROUP_BYTES // (8 * _TILE * max(rows.shape[1], 1)))
        nearest_of_all(*tiles.in_order, rows, code, p, n_points, group, out)
    return out


def _pays(n_points: int, n_columns: int, k: int) -> bool:
    """Whether a tree leaves out so many tiles that looking at its boxes is worth while."""
    few_columns = 0 < n_columns <= _TREE_COLUMNS
    return few_columns and n_points >= max(4 * _TILE, 8 * k, 32 * 2 ** (0.75 * n_columns))
