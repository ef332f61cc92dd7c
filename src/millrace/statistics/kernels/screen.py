"""The nearest points of rows with many columns: a screen of float32 products before exact distances.

For a row x and a point y, ``|x - y|**2 / 2 = |x|**2 / 2 + (|y|**2 / 2 - x . y)``. The bracket is computed
in float32, three rows and 32 points at a time, and compared with a limit of the row. Below the limit lie
all points within reach, whatever was rounded, and few others: only for these is the distance added up in
float64, column after column, as in `points`. What is kept is therefore what is kept there.

Limit: one multiplication that adds per column and 16 points with AVX-512, where `points` needs three
operations per column and 8 points.
"""

from __future__ import annotations

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from millrace.statistics.kernels.lanes import data_of, splat
from millrace.statistics.kernels.points import (
    _BLOCK,
    _CELLS,
    _ROWS,
    TILE,
    _begin,
    _inlined,
    _keep,
    _lowest_bit,
    _meet,
)

ROWS = 3
"""Rows that meet a tile at once: twelve registers of eight floats each, of the sixteen there are."""

_MANY = 8
"""From so many points on, the distances of the whole tile cost less than one after the other."""

_SINGLES = types.Array(types.float32, 1, "C")
_SINGLE_ROWS = types.Array(types.float32, 2, "C")
_MASKS = types.Array(types.uint32, 1, "C")

_I32, _I64, _FLOAT = ir.IntType(32), ir.IntType(64), ir.FloatType()
_VECTOR = ir.VectorType(_FLOAT, TILE)


@intrinsic
def _screen(typingctx, tiles, first, width, halves, at, rows, start, limits, limit, masks):  # type: ignore[no-untyped-def]
    """Write the masks of three rows: bit k is set where point k may be within reach; their union."""
    sig = types.uint64(
        tiles,
        types.intp,
        types.intp,
        halves,
        types.intp,
        rows,
        types.intp,
        limits,
        types.intp,
        masks,
    )

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        def place(array, offset):  # type: ignore[no-untyped-def]
            return builder.gep(data_of(context, builder, sig, args, array), [offset])

        def points_at(pointer):  # type: ignore[no-untyped-def]
            return builder.load(builder.bitcast(pointer, _VECTOR.as_pointer()), align=4)

        width, contract = args[2], ("contract",)
        tile, row = place(0, args[1]), place(5, args[6])
        begin = points_at(place(3, args[4]))
        entry = builder.block
        head, body, done = (builder.append_basic_block(n) for n in ("head", "column", "done"))
        builder.branch(head)

        builder.position_at_end(head)
        column, sums = builder.phi(_I64), [builder.phi(_VECTOR) for _ in range(ROWS)]
        column.add_incoming(ir.Constant(_I64, 0), entry)
        for one in sums:
            one.add_incoming(begin, entry)
        builder.cbranch(builder.icmp_signed("<", column, width), body, done)

        builder.position_at_end(body)
        offset = builder.mul(column, ir.Constant(_I64, TILE))
        points = points_at(builder.gep(tile, [offset]))
        for r, one in enumerate(sums):
            at = builder.add(builder.mul(ir.Constant(_I64, r), width), column)
            cell = splat(builder, builder.load(builder.gep(row, [at])), TILE)
            product = builder.fmul(cell, points, flags=contract)
            one.add_incoming(builder.fsub(one, product, flags=contract), body)
        column.add_incoming(builder.add(column, ir.Constant(_I64, 1)), body)
        builder.branch(head)

        builder.position_at_end(done)
        union = ir.Constant(_I32, 0)
        for r, one in enumerate(sums):
            number = ir.Constant(_I64, r)
            bound = builder.load(builder.gep(place(7, args[8]), [number]))
            near = builder.fcmp_ordered("<=", one, splat(builder, bound, TILE))
            mask = builder.bitcast(near, _I32)
            builder.store(mask, builder.gep(place(9, ir.Constant(_I64, 0)), [number]))
            union = builder.or_(union, mask)
        return builder.zext(union, _I64)

    return sig, codegen


@_inlined
def _exact(points, rows, row, position, first, mask, totals):  # type: ignore[no-untyped-def]
    """Write the totals of the points in the mask, one after the other."""
    while mask:
        lane = _lowest_bit(mask)
        mask &= mask - np.uint64(1)
        point, total = np.int64(position[first + lane]), 0.0
        for column in range(rows.shape[1]):
            gap = rows[row, column] - points[point, column]
            total += gap * gap
        totals[lane] = total


@_inlined
def _count(mask):  # type: ignore[no-untyped-def]
    """How many bits are set, counted up to `_MANY`."""
    found = 0
    while mask and found < _MANY:
        mask &= mask - np.uint64(1)
        found += 1
    return found


@_inlined
def _limit(reach, scale, half, slack):  # type: ignore[no-untyped-def]
    """The limit of a row in float32, rounded up; see `Screen` in `nearest`."""
    wide = reach * scale * (0.5 * (1.0 + 1e-12)) - half + slack
    return np.float32(wide + abs(wide) * 2.0**-22)


@numba.njit(
    types.void(
        _SINGLES, _SINGLES, _SINGLE_ROWS, _BLOCK, types.float64,
        _CELLS, _CELLS, _ROWS, _ROWS, types.int64, types.int64, types.int64, _BLOCK,
    ),
    nogil=True,
    cache=True,
)  # fmt: skip
def nearest_of_screened(  # type: ignore[no-untyped-def]
    tiles32, halves, rows32, norms, scale, tiles, position, points, rows, metric, n_points, group, out
):  # fmt: skip
    """The nearest points of each row by ``EUCLIDEAN`` or ``SQEUCLIDEAN``.

    Parameters
    ----------
    tiles32 : float32 (n_tiles * n_columns * 32,)
        The points, centred and scaled, laid out as for `points.all_distances`; filled up with 0.
    halves : float32 (32 * n_tiles,)
        Half their squared norms, less what may be rounded; NaN for what fills the tiles up.
    rows32 : float32 (n_rows rounded up to a multiple of 3, n_columns)
        The rows, likewise.
    norms : float64 (n_rows, 2)
        Half their squared norms, and what may be rounded of them.
    scale : float
        What squared distances were multiplied by.
    tiles, position, rows, metric, n_points, group, out : as for `points.nearest_of_all`
    points : float64 (n_points, n_columns)
    """
    k, n_rows, width = out.shape[1] // 2, rows.shape[0], rows.shape[1]
    totals, masks = np.empty(TILE), np.empty(ROWS, np.uint32)
    reach, limits = np.empty(n_rows), np.full(len(rows32), -np.inf, np.float32)
    for row in range(n_rows):
        _begin(rows, row, k, n_points, out)
        reach[row] = limits[row] = np.inf
    n_tiles = len(position) // TILE
    for start in range(0, n_tiles, group):
        for first in range(0, n_rows, ROWS):
            for tile in range(start, min(start + group, n_tiles)):
                some = _screen(
                    tiles32, tile * width * TILE, width, halves, tile * TILE, rows32, first * width,
                    limits, first, masks,
                )  # fmt: skip
                if some:
                    for row in range(first, min(first + ROWS, n_rows)):
                        mask = np.uint64(masks[row - first])
                        if mask == 0:
                            continue
                        if _count(mask) < _MANY:
                            _exact(points, rows, row, position, tile * TILE, mask, totals)
                        else:
                            mask = _meet(tiles, tile, rows, row, metric, 2.0, totals, reach[row])
                        reach[row] = _keep(
                            totals, mask, position, tile * TILE, metric, 2.0, row, k, out
                        )
                        limits[row] = _limit(reach[row], scale, norms[row, 0], norms[row, 1])
