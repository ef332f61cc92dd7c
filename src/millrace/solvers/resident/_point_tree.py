"""A tree of points, as the kernels of neighbours walk it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from millrace.runtime.pool import get_threads, spread

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
AnyArray: TypeAlias = npt.NDArray[Any]

LANES = 16
"""`millrace.statistics.kernels.point_tree.LANES`, without importing Numba."""

_SHARED_LEVELS = 4
"""So many levels are split by one thread; the nodes below are then spread."""


@dataclass(frozen=True)
class PointTree:
    """Points in leaves of at most 16; see `millrace.statistics.kernels.point_tree`.

    Attributes
    ----------
    tiles : float64 (n_leaves, n_columns, 16)
    rows : int64 (16 n_leaves,)
        Which point is in each slot, -1 in empty ones.
    lower, upper : float64 (2 n_leaves, n_columns)
        The box of each node.
    """

    tiles: Floats
    rows: Ints
    lower: Floats
    upper: Floats

    @property
    def n_leaves(self) -> int:
        return len(self.tiles)

    def slots(self) -> Ints:
        """The slot of each point (n,)."""
        filled = np.flatnonzero(self.rows >= 0)
        slots = np.empty(len(filled), np.int64)
        slots[self.rows[filled]] = filled
        return slots

    def of_slots(self, values: AnyArray, empty: Any) -> AnyArray:
        """Values of points (n,) at their slots, and another one where a slot is empty."""
        return np.where(self.rows >= 0, values[self.rows], values.dtype.type(empty))

    def of_nodes(
        self, values: AnyArray, join: Callable[[AnyArray, AnyArray], AnyArray]
    ) -> AnyArray:
        """Values of leaves (n_leaves,), joined from node to node: (2 n_leaves,)."""
        n = self.n_leaves
        nodes = np.empty(2 * n, values.dtype)
        nodes[0], nodes[n:] = values[0], values
        while n > 1:
            nodes[n // 2 : n] = join(nodes[n : 2 * n : 2], nodes[n + 1 : 2 * n : 2])
            n //= 2
        return nodes

    def spread(self, work: Callable[[int, int], None], first: int = 0) -> None:
        """Call ``work(first, stop)`` for every block of leaves, from `first` on."""
        n_leaves = self.n_leaves - first
        block = max(1, min(256, -(-n_leaves // (8 * get_threads()))))
        spread(lambda start, stop: work(first + start, first + stop), n_leaves, block)


def point_tree(points: Floats) -> PointTree:
    """The tree of finite points (n, n_columns), one at least."""
    from millrace.statistics.kernels.point_tree import fill_tiles, split_below

    n, n_columns = points.shape
    depth = max(0, int(np.ceil(np.log2(n / LANES))))
    n_leaves = 1 << depth
    order, keys, bounds = np.arange(n), np.empty(n), np.zeros((2 * n_leaves, 2), np.int64)
    bounds[1] = 0, n
    lower, upper = (np.zeros((2 * n_leaves, n_columns)) for _ in range(2))
    given = (points, order, keys, bounds, lower, upper)
    shared = min(_SHARED_LEVELS, depth)
    split_below(*given, 1, shared)
    below = 1 << shared
    if depth > shared:
        spread(lambda node, _: split_below(*given, below + node, depth - shared), below, 1)
    tiles, rows = np.empty((n_leaves, n_columns, LANES)), np.empty(n_leaves * LANES, np.int64)
    fill_tiles(points, order, bounds, tiles, rows)
    return PointTree(tiles, rows, lower, upper)
