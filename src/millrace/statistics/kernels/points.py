"""Distances of rows to given points, and the nearest points, from the differences themselves.

The points lie in tiles of 32: column after column, the 32 values of one column side by side. A row
meets a tile in one loop over columns that adds up 32 distances in registers, each in the order of the
columns, so that the bits are those of a plain loop. What is added up (the *total*) is the distance before
its root is taken.

The nearest points of a row are kept sorted by distance and then position. A total is looked at only where
it is not above the *reach* of the row: the total of the worst distance that is kept, and a few roundings
more, because totals a few roundings apart can have the same root. A tile of a tree is visited only where
the total to its box is within reach. The total to a box is computed like that to a point, and every
operation on the way is monotone, so that it is never above the total to a point in the box.

Limit: 3 vector operations per column and 8 points with AVX-512, of which two go on at once.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from millrace.statistics.kernels.lanes import data_of, splat

TILE = 32
"""Points whose distances are added up at once."""

EUCLIDEAN, SQEUCLIDEAN, CITYBLOCK, CHEBYSHEV, MINKOWSKI = range(5)

_DEEPEST = 64
"""Nodes that wait while one way down a tree is followed; more than any tree is deep."""

_SLACK = 16 * float(np.finfo(np.float64).eps)
_POWER_SLACK = 64 * _SLACK
"""``total ** (1 / p)`` is off by the rounding of ``1 / p`` times the logarithm of the total."""

_TINY = 4 * float(np.finfo(np.float64).smallest_subnormal)

_ROWS = types.Array(types.float64, 2, "C", readonly=True)
_BLOCK = types.Array(types.float64, 2, "C")
_CELLS = types.Array(types.float64, 1, "C")

_I1, _I32, _I64, _DOUBLE = ir.IntType(1), ir.IntType(32), ir.IntType(64), ir.DoubleType()
_VECTOR, _WORDS = ir.VectorType(_DOUBLE, TILE), ir.VectorType(_I64, TILE)

_inlined = numba.njit(nogil=True, cache=True, inline="always")


# -- totals --------------------------------------------------------------------------------
def _magnitudes(builder: Any, gaps: Any) -> Any:
    rest = ir.Constant(_WORDS, [(1 << 63) - 1] * TILE)
    return builder.bitcast(builder.and_(builder.bitcast(gaps, _WORDS), rest), _VECTOR)


def _plus_square(builder: Any, totals: Any, gaps: Any) -> Any:
    return builder.fadd(totals, builder.fmul(gaps, gaps))


def _plus_magnitude(builder: Any, totals: Any, gaps: Any) -> Any:
    return builder.fadd(totals, _magnitudes(builder, gaps))


def _larger_magnitude(builder: Any, totals: Any, gaps: Any) -> Any:
    gaps = _magnitudes(builder, gaps)
    larger = builder.fcmp_ordered(">", gaps, totals)
    odd = builder.fcmp_unordered("uno", gaps, gaps)
    return builder.select(builder.or_(larger, odd), gaps, totals)


def _make_totals(with_gaps: Any) -> Any:
    """The loop over the columns of a tile, with this way to add up the differences."""

    @intrinsic
    def totals_of(typingctx, tiles, first, width, rows, start, totals, reach):  # type: ignore[no-untyped-def]
        sig = types.uint64(tiles, types.intp, types.intp, rows, types.intp, totals, types.float64)

        def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
            tile = builder.gep(data_of(context, builder, sig, args, 0), [args[1]])
            row = builder.gep(data_of(context, builder, sig, args, 3), [args[4]])
            target = builder.bitcast(data_of(context, builder, sig, args, 5), _VECTOR.as_pointer())
            entry = builder.block
            head, body, done = (builder.append_basic_block(n) for n in ("head", "column", "done"))
            builder.branch(head)

            builder.position_at_end(head)
            column, sums = builder.phi(_I64), builder.phi(_VECTOR)
            column.add_incoming(ir.Constant(_I64, 0), entry)
            sums.add_incoming(ir.Constant(_VECTOR, [0.0] * TILE), entry)
            builder.cbranch(builder.icmp_signed("<", column, args[2]), body, done)

            builder.position_at_end(body)
            at = builder.mul(column, ir.Constant(_I64, TILE))
            points = builder.load(
                builder.bitcast(builder.gep(tile, [at]), _VECTOR.as_pointer()), align=8
            )
            cell = splat(builder, builder.load(builder.gep(row, [column])), TILE)
            sums.add_incoming(with_gaps(builder, sums, builder.fsub(cell, points)), body)
            column.add_incoming(builder.add(column, ir.Constant(_I64, 1)), body)
            builder.branch(head)

            builder.position_at_end(done)
            builder.store(sums, target, align=8)
            near = builder.fcmp_ordered("<=", sums, splat(builder, args[6], TILE))
            return builder.zext(builder.bitcast(near, _I32), _I64)

        return sig, codegen

    return totals_of


_square_totals = _make_totals(_plus_square)
_magnitude_totals = _make_totals(_plus_magnitude)
_largest_totals = _make_totals(_larger_magnitude)


@intrinsic
def _lowest_bit(typingctx, mask):  # type: ignore[no-untyped-def]
    """The position of the lowest bit that is set."""
    sig = types.int64(types.uint64)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        return builder.cttz(args[0], ir.Constant(_I1, 1))

    return sig, codegen


@_inlined
def _powers(tiles, first, width, rows, row, totals, reach, p):  # type: ignore[no-untyped-def]
    """The totals of ``minkowski``, whose powers are the C library's, as far as they are within reach."""
    mask = np.uint64(0)
    for lane in range(TILE):
        total = 0.0
        for column in range(width):
            total += abs(rows[row, column] - tiles[first + TILE * column + lane]) ** p
            if total > reach:
                break
        totals[lane] = total
        if total <= reach:
            mask |= np.uint64(1) << np.uint64(lane)
    return mask


@_inlined
def _meet(tiles, tile, rows, row, metric, p, totals, reach):  # type: ignore[no-untyped-def]
    """Write the 32 totals of a row and a tile; bit k of the answer: total k is within reach."""
    width = rows.shape[1]
    first = tile * width * TILE
    if metric <= SQEUCLIDEAN:
        return _square_totals(tiles, first, width, rows, row * width, totals, reach)
    if metric == CITYBLOCK:
        return _magnitude_totals(tiles, first, width, rows, row * width, totals, reach)
    if metric == CHEBYSHEV:
        return _largest_totals(tiles, first, width, rows, row * width, totals, reach)
    return _powers(tiles, first, width, rows, row, totals, reach, p)


@_inlined
def _root(total, metric, p):  # type: ignore[no-untyped-def]
    """The distance of a total."""
    if metric == EUCLIDEAN:
        return np.sqrt(total)
    if metric == MINKOWSKI:
        return total ** (1.0 / p)
    return total


@_inlined
def _reach(distance, metric, p):  # type: ignore[no-untyped-def]
    """No total above this one has a root that is not above the distance."""
    if metric == EUCLIDEAN:
        return distance * distance * (1.0 + _SLACK) + _TINY
    if metric == MINKOWSKI:
        return distance**p * (1.0 + _POWER_SLACK * max(p, 1.0)) + _TINY
    return distance


@numba.njit(types.void(_CELLS, _ROWS, types.int64, types.float64, _BLOCK), nogil=True, cache=True)
def all_distances(tiles, rows, metric, p, out):  # type: ignore[no-untyped-def]
    """The distance of each row to each point.

    Parameters
    ----------
    tiles : float64 (n_tiles * n_columns * 32,)
        Column c of point k at ``(k // 32 * n_columns + c) * 32 + k % 32``.
    rows : float64 (n_rows, n_columns)
    metric, p
        One of the metrics named above, and the power of ``MINKOWSKI``.
    out : float64 (n_rows, n_points)
        The result.
    """
    totals = np.empty(TILE)
    for row in range(rows.shape[0]):
        for first in range(0, out.shape[1], TILE):
            _meet(tiles, first // TILE, rows, row, metric, p, totals, np.inf)
            part = out[row, first : first + TILE]
            if metric == EUCLIDEAN:
                for lane in range(len(part)):
                    part[lane] = np.sqrt(totals[lane])
            else:
                for lane in range(len(part)):
                    part[lane] = _root(totals[lane], metric, p)


# -- the nearest ---------------------------------------------------------------------------
@_inlined
def _begin(rows, row, k, n_points, out):  # type: ignore[no-untyped-def]
    """Nothing is kept yet; false where the row holds NaN, so that the first points are its nearest."""
    odd = False
    for column in range(rows.shape[1]):
        odd |= np.isnan(rows[row, column])
    for j in range(k):
        out[row, j] = np.nan if odd else np.inf
        out[row, k + j] = j if odd else n_points
    return not odd


@_inlined
def _keep(totals, mask, position, first, metric, p, row, k, out):  # type: ignore[no-untyped-def]
    """Keep the points of a tile that are nearer than the worst one kept; the new reach."""
    while mask:
        lane = _lowest_bit(mask)
        mask &= mask - np.uint64(1)
        far, at = _root(totals[lane], metric, p), position[first + lane]
        j = k
        while j > 0 and (
            far < out[row, j - 1] or (far == out[row, j - 1] and at < out[row, k + j - 1])
        ):
            j -= 1
            if j + 1 < k:
                out[row, j + 1], out[row, k + j + 1] = out[row, j], out[row, k + j]
        if j < k:
            out[row, j], out[row, k + j] = far, at
    return _reach(out[row, k - 1], metric, p)


@numba.njit(
    types.void(_CELLS, _CELLS, _ROWS, types.int64, types.float64, types.int64, types.int64, _BLOCK),
    nogil=True,
    cache=True,
)
def nearest_of_all(tiles, position, rows, metric, p, n_points, group, out):  # type: ignore[no-untyped-def]
    """The nearest points of each row; every tile is visited.

    Parameters
    ----------
    tiles : as for `all_distances`, filled up with infinities
    position : float64 (32 * n_tiles,)
        What each point is called; `n_points` for what fills the tiles up.
    rows : float64 (n_rows, n_columns)
    metric, p : as for `all_distances`
    n_points : int
    group : int
        So many tiles meet all rows before the next ones do: they stay in the first-level cache.
    out : float64 (n_rows, 2 k)
        The k smallest distances, and what those points are called; of equal distances the smallest.
    """
    k = out.shape[1] // 2
    totals, reach = np.empty(TILE), np.empty(rows.shape[0])
    for row in range(rows.shape[0]):
        reach[row] = np.inf if _begin(rows, row, k, n_points, out) else -1.0
    for start in range(0, len(position) // TILE, group):
        for row in range(rows.shape[0]):
            for tile in range(start, min(start + group, len(position) // TILE)):
                mask = _meet(tiles, tile, rows, row, metric, p, totals, reach[row])
                if mask:
                    reach[row] = _keep(totals, mask, position, tile * TILE, metric, p, row, k, out)


@_inlined
def _to_box(boxes, node, rows, row, metric, p):  # type: ignore[no-untyped-def]
    """The total of a row and the box of a node; 0 inside."""
    total, width = 0.0, rows.shape[1]
    for column in range(width):
        cell = rows[row, column]
        gap = max(boxes[node, column] - cell, cell - boxes[node, width + column], 0.0)
        if metric <= SQEUCLIDEAN:
            total += gap * gap
        elif metric == CITYBLOCK:
            total += gap
        elif metric == CHEBYSHEV:
            total = max(total, gap)
        else:
            total += gap**p
    return total


@numba.njit(
    types.void(_CELLS, _CELLS, _BLOCK, _ROWS, types.int64, types.float64, types.int64, _BLOCK),
    nogil=True,
    cache=True,
)
def nearest_in_tree(tiles, position, boxes, rows, metric, p, n_points, out):  # type: ignore[no-untyped-def]
    """The nearest points of each row; only the tiles within reach are visited.

    Parameters
    ----------
    boxes : float64 (2 * n_tiles, 2 * n_columns)
        The least and the largest values of each node's points; node i has the children 2 i and
        2 i + 1, the root is node 1, and node ``n_tiles + t`` is tile t. `n_tiles` is a power of two.
    tiles, position, rows, metric, p, n_points, out : as for `nearest_of_all`
    """
    k, n_tiles = out.shape[1] // 2, len(boxes) // 2
    totals = np.empty(TILE)
    waiting, least = np.empty(_DEEPEST, np.int64), np.empty(_DEEPEST)
    for row in range(rows.shape[0]):
        if not _begin(rows, row, k, n_points, out):
            continue
        reach, n_waiting = np.inf, 1
        waiting[0], least[0] = 1, 0.0
        while n_waiting:
            n_waiting -= 1
            node, total = waiting[n_waiting], least[n_waiting]
            while node < n_tiles and total <= reach:
                node *= 2
                total = _to_box(boxes, node, rows, row, metric, p)
                other = _to_box(boxes, node + 1, rows, row, metric, p)
                waiting[n_waiting], least[n_waiting] = node + 1, other
                if other < total:
                    waiting[n_waiting], least[n_waiting] = node, total
                    node, total = node + 1, other
                n_waiting += 1
            if total <= reach:
                tile = node - n_tiles
                mask = _meet(tiles, tile, rows, row, metric, p, totals, reach)
                if mask:
                    reach = _keep(totals, mask, position, tile * TILE, metric, p, row, k, out)
