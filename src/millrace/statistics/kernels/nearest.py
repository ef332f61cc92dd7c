"""Points laid out for the kernels that look for the nearest of them, and which kernel that is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from millrace.ir.ops import Metric

Floats = npt.NDArray[np.float64]

CODES: dict[Metric, int] = {
    "euclidean": 0,
    "sqeuclidean": 1,
    "cityblock": 2,
    "chebyshev": 3,
    "minkowski": 4,
}
"""The numbers of the metrics in the kernels."""

_TILE = 32
"""`millrace.statistics.kernels.points.TILE`, without importing Numba."""

_GROUP_BYTES = 24 << 10
"""Tiles that stay in the first-level cache while the rows of a block meet them."""

_TREE_COLUMNS = 16
"""In more columns nearly every box is within reach."""

_ASKED, _NEIGHBOURS = 16, 5
"""So many points are asked how many tiles their nearest ones lie in."""

_FEW_VISITED, _MANY_POINTS = 0.02, 2048
"""Where more tiles are visited, and there are many points, a screen of all is faster than a tree."""

_SCREEN_COLUMNS = 4
"""In fewer columns a screen saves nothing."""

_SCREEN_POINTS, _SCREEN_ROWS = 256, 3
"""With fewer points most are among the nearest; with fewer rows, rows are added in vain."""

_LARGEST_NORM, _LEAST_NORM = 1e30, 1e-36
"""No product of float32 overflows below the one; what falls below its range is less than the other."""

_SCREEN_RANGE = 1e100
"""Points may spread as far, or as little, so that no square is infinite or 0."""


@dataclass(frozen=True)
class Screen:
    """Points in float32, centred and scaled to at most 1; see `screen`.

    With u = 2**-24 and p columns, the float32 bracket ``|b|**2 / 2 - a . b`` of a row a and a point b is
    off by less than ``(p + 6) u (|b|**2 / 2 + |a| |b|)``: p + 2 additions, the products, the three
    roundings of a, b and the half. That is less than ``(p + 6) u (|b|**2 + |a|**2 / 2)``, a part for the
    point, taken off its half, and one for the row, added to its limit. What float64 rounds is far below
    the four u more.

    Attributes
    ----------
    centre : float64 (n_columns,)
    factor : float
        A power of two.
    tiles, halves : float32
    """

    centre: Floats
    factor: float
    tiles: npt.NDArray[np.float32]
    halves: npt.NDArray[np.float32]

    def rows(self, rows: Floats) -> tuple[npt.NDArray[np.float32], Floats] | None:
        """Rows likewise, and half their squared norms with what is unsure; None beyond its range."""
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = (rows - self.centre) * self.factor
            norms = np.einsum("ij,ij->i", scaled, scaled) * 0.5
            if not float(norms.max(initial=0.0)) < _LARGEST_NORM:
                return None
        padded = np.zeros((-(-len(rows) // 3) * 3, rows.shape[1]), np.float32)
        padded[: len(rows)] = scaled
        slack = _unsure(rows.shape[1]) * norms + _LEAST_NORM
        return padded, np.stack([norms, slack], axis=1)


def _unsure(n_columns: int) -> float:
    return (n_columns + 10) * 2.0**-24


@dataclass(frozen=True)
class Tiles:
    """Points laid out for the kernels; see `points`.

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
        from millrace.statistics.kernels.point_tree import split_below

        n, n_columns = self.points.shape
        depth = max(int(np.ceil(np.log2(n / _TILE))), 0)
        order, keys, bounds = np.arange(n), np.empty(n), np.zeros((2 << depth, 2), np.int64)
        bounds[1] = 0, n
        lower, upper = (np.zeros((2 << depth, n_columns)) for _ in range(2))
        split_below(self.points, order, keys, bounds, lower, upper, 1, depth)
        leaves = [order[start:stop] for start, stop in bounds[1 << depth :]]
        return *self._tiled(leaves), np.concatenate([lower, upper], axis=1)

    @cached_property
    def visited(self) -> float:
        """The share of the tiles of a tree within reach of the nearest few of some points."""
        n_columns = self.points.shape[1]
        boxes = self.in_tree[2][-len(self.in_tree[1]) // _TILE :]
        shares: list[float] = []
        for point in self.points[:: -(-len(self.points) // _ASKED)]:
            gaps = self.points - point
            reach = np.partition(np.einsum("ij,ij->i", gaps, gaps), _NEIGHBOURS - 1)
            gaps = np.maximum(boxes[:, :n_columns] - point, point - boxes[:, n_columns:])
            least = np.einsum("ij,ij->i", np.maximum(gaps, 0.0), np.maximum(gaps, 0.0))
            shares.append(float(np.mean(least <= reach[_NEIGHBOURS - 1])))
        return float(np.mean(shares))

    @cached_property
    def screen(self) -> Screen | None:
        """What a float32 screen needs; None where squares leave its range."""
        centre = self.points.mean(axis=0)
        spread = float(np.abs(self.points - centre).max(initial=0.0)) or 1.0
        if not 1.0 / _SCREEN_RANGE < spread < _SCREEN_RANGE:
            return None
        factor = 2.0 ** -np.ceil(np.log2(spread))
        scaled = (self.points - centre) * factor
        unsure = _unsure(self.points.shape[1])
        position = self.in_order[1]
        halves = np.full(len(position), np.nan, np.float32)
        halves[: len(scaled)] = np.einsum("ij,ij->i", scaled, scaled) * (0.5 - unsure)
        tiles32 = np.zeros((len(position) // _TILE, _TILE, self.points.shape[1]), np.float32)
        tiles32.reshape(-1, self.points.shape[1])[: len(scaled)] = scaled
        tiles32 = np.ascontiguousarray(tiles32.transpose(0, 2, 1)).reshape(-1)
        return Screen(centre, float(factor), tiles32, halves)

    def _tiled(self, parts: list[npt.NDArray[np.int64]]) -> tuple[Floats, Floats]:
        """Points in tiles, one for each part of at most 32."""
        n_points, n_columns = self.points.shape
        tiles = np.full((len(parts), n_columns, _TILE), np.inf)
        position = np.full((len(parts), _TILE), float(n_points))
        for t, part in enumerate(parts):
            tiles[t, :, : len(part)] = self.points[part].T
            position[t, : len(part)] = part
        return tiles.reshape(-1), position.reshape(-1)


def nearest(tiles: Tiles, rows: Floats, k: int, code: int, p: float) -> Floats:
    """The nearest points of each row.

    Parameters
    ----------
    tiles : Tiles
        Of finite points.
    rows : float64 (n_rows, n_columns), C-contiguous
    k : int
        At most as many as there are points.
    code : int
        One of `CODES`.
    p : float
        The power of ``minkowski``.

    Returns
    -------
    numpy.ndarray
        float64 (n_rows, 2 k): the k smallest distances, and the positions of their points; of points that
        are equally near the first ones. Differences of columns are added up in order.
    """
    from millrace.statistics.kernels.points import nearest_in_tree, nearest_of_all

    n_points, n_columns = tiles.points.shape
    out = np.empty((len(rows), 2 * k))
    screened = code <= 1 and _may_screen(n_points, len(rows), n_columns, k)
    in_tree = _pays(n_points, n_columns, k)
    if in_tree and screened and n_points >= _MANY_POINTS:
        in_tree = tiles.visited <= _FEW_VISITED
    if in_tree:
        nearest_in_tree(*tiles.in_tree, rows, code, p, n_points, out)
    elif not (screened and _screened(tiles, rows, code, out)):
        group = max(1, _GROUP_BYTES // (8 * _TILE * max(n_columns, 1)))
        nearest_of_all(*tiles.in_order, rows, code, p, n_points, group, out)
    return out


def _may_screen(n_points: int, n_rows: int, n_columns: int, k: int) -> bool:
    """Whether a float32 screen is worth while, if squares are in its range."""
    enough = n_points >= _SCREEN_POINTS and n_rows >= _SCREEN_ROWS
    return enough and n_columns >= _SCREEN_COLUMNS and 32 * k <= n_points


def _screened(tiles: Tiles, rows: Floats, code: int, out: Floats) -> bool:
    """Find the nearest behind a float32 screen, if squares are in its range."""
    n_points, n_columns = tiles.points.shape
    screen = tiles.screen
    narrow = None if screen is None else screen.rows(rows)
    if screen is None or narrow is None:
        return False
    from millrace.statistics.kernels.screen import nearest_of_screened

    group = max(1, _GROUP_BYTES // (4 * _TILE * n_columns))
    rows32, norms = narrow
    nearest_of_screened(
        screen.tiles, screen.halves, rows32, norms, screen.factor**2, *tiles.in_order, tiles.points,
        rows, code, n_points, group, out,
    )  # fmt: skip
    return True


def _pays(n_points: int, n_columns: int, k: int) -> bool:
    """Whether a tree leaves out so many tiles that looking at its boxes is worth while."""
    few_columns = 0 < n_columns <= _TREE_COLUMNS
    return few_columns and n_points >= max(4 * _TILE, 8 * k, 32 * 2 ** (0.75 * n_columns))
