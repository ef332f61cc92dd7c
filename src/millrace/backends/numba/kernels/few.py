"""A few rows of a matrix through a forest in one call: the kernels for many rows, without the way there.

Handing arrays from kernel to kernel in Python takes about 15 microseconds, which is more than the work
for a hundred rows and a dozen trees.
"""

from __future__ import annotations

import numba
import numpy as np

from millrace.backends.numba.kernels.cursor import cursor_sums
from millrace.backends.numba.kernels.packed import (
    BASE,
    BOUNDS,
    COLUMN,
    HALF,
    HAS_CURSOR,
    LEAF_START,
    N_LEAVES,
    N_NODES,
    N_NUMERIC,
    N_OUTPUTS,
    N_PLANES,
    N_SPLITS,
    N_TREES,
    N_VALUES,
    N_WATCHED,
    NAN_RANK,
    NO_TOP,
    NODES,
    ROOT,
    RULE,
    SIZE,
    SPLIT_HERE,
    SPLIT_PLANE,
    SPLIT_RANK,
    SPLIT_START,
    SPLIT_THERE,
    TABLE,
    TABLE_AT,
    TABLE_SIZE,
    TARGET,
    VALUE,
    ZERO_MISSING,
    longs,
    passes,
    pointer,
)
from millrace.backends.numba.kernels.ranks import rank_columns
from millrace.backends.numba.kernels.vectors import LANES, TILE
from millrace.backends.numba.kernels.walk import ruled, walk_sums


@numba.njit(nogil=True, cache=True)
def _begin(model, matrix, sums):  # type: ignore[no-untyped-def]
    """Check the guards, and set the sums to where they start."""
    if model[N_WATCHED]:
        for row in range(matrix.shape[0]):
            if not passes(model, matrix[row]):
                return False
    base = numba.carray(pointer(model[BASE]), model[N_OUTPUTS], sums.dtype)
    for k in range(model[N_OUTPUTS]):
        sums[k, :] = base[k]
    return True


@numba.njit(nogil=True, cache=True)
def few_by_rank(model, matrix, like, sums, least_cursor_rows):  # type: ignore[no-untyped-def]
    """The sums of some rows through ranks; False, with nothing done, where a guard refuses one.

    Parameters
    ----------
    model : int64 (FIELDS,)
        Without categories; `COLUMN` counts columns of the matrix.
    matrix : float32 or float64 (n_rows, n_columns)
        C-contiguous, of the dtype of the tables.
    like : uint8 or uint16 (0,)
        Of the dtype of the ranks.
    sums : (n_outputs, n_rows rounded up to 256), dtype of the leaf values
    least_cursor_rows : int
        From so many rows on the cursor is used, where there is one.
    """
    if not _begin(model, matrix, sums):
        return False
    n_rows, n_numeric, n_trees = matrix.shape[0], model[N_NUMERIC], model[N_TREES]
    stride = (n_rows + LANES - 1) // LANES * LANES + LANES
    planes = np.empty((model[N_PLANES] + 1) * stride, like.dtype)
    planes[model[N_PLANES] * stride :] = 0
    column = longs(model, COLUMN, n_numeric)
    address, step = np.empty(n_numeric, np.int64), np.empty(n_numeric, np.int64)
    for plane in range(n_numeric):
        address[plane] = matrix.ctypes.data + column[plane] * matrix.itemsize
        step[plane] = matrix.strides[0]
    rank_columns(
        address,
        step,
        longs(model, TABLE_AT, n_numeric),
        longs(model, HALF, n_numeric),
        longs(model, SIZE, n_numeric),
        longs(model, NAN_RANK, n_numeric),
        numba.carray(pointer(model[ZERO_MISSING]), n_numeric, np.bool_),
        numba.carray(pointer(model[TABLE]), model[TABLE_SIZE], matrix.dtype),
        np.arange(n_numeric),
        n_rows,
        planes,
        stride,
    )
    n_splits = model[N_SPLITS]
    split_plane = numba.carray(pointer(model[SPLIT_PLANE]), n_splits, np.uint32)
    split_rank = numba.carray(pointer(model[SPLIT_RANK]), n_splits, like.dtype)
    split_here = numba.carray(pointer(model[SPLIT_HERE]), n_splits, like.dtype)
    split_there = numba.carray(pointer(model[SPLIT_THERE]), n_splits, like.dtype)
    leaf_start = longs(model, LEAF_START, n_trees)
    value = numba.carray(pointer(model[VALUE]), (model[N_LEAVES], model[N_VALUES]), sums.dtype)
    target = numba.carray(pointer(model[TARGET]), n_trees, np.int32)
    if model[HAS_CURSOR] and n_rows >= least_cursor_rows:
        split_start = longs(model, SPLIT_START, n_trees + 1)
        cursor_sums(
            planes,
            stride,
            n_rows,
            split_start,
            split_plane,
            split_rank,
            split_here,
            split_there,
            leaf_start,
            value,
            target,
            sums,
        )
        return True
    tile_size = (model[N_PLANES] + 1) * TILE
    tiles = np.empty((n_rows + TILE - 1) // TILE * tile_size, like.dtype)
    for tile in range((n_rows + TILE - 1) // TILE):
        for plane in range(model[N_PLANES] + 1):
            for i in range(TILE):
                tiles[tile * tile_size + plane * TILE + i] = planes[
                    plane * stride + tile * TILE + i
                ]
    walk_sums(
        numba.carray(pointer(model[NODES]), model[N_NODES], np.uint64),
        np.empty(0, np.float64),
        tiles,
        tile_size,
        planes,
        stride,
        n_rows,
        longs(model, ROOT, n_trees + 1),
        longs(model, NO_TOP, n_trees + 1),
        split_plane,
        split_rank,
        split_here,
        split_there,
        leaf_start,
        np.empty(0, np.uint32),
        leaf_start,
        value,
        target,
        sums,
    )
    return True


@numba.njit(nogil=True, cache=True)
def few_by_value(model, matrix, sums):  # type: ignore[no-untyped-def]
    """`few_by_rank` for a forest quantised by value: no search, and the splits compare floats."""
    if not _begin(model, matrix, sums):
        return False
    n_rows, n_numeric, n_trees = matrix.shape[0], model[N_NUMERIC], model[N_TREES]
    column, rule = longs(model, COLUMN, n_numeric), longs(model, RULE, n_numeric)
    tile_size = (n_numeric + 1) * TILE
    n_tiles = (n_rows + TILE - 1) // TILE
    tiles = np.zeros(n_tiles * tile_size, matrix.dtype)
    for plane in range(n_numeric):
        source, how = column[plane], rule[plane]
        for row in range(n_rows):
            at = row // TILE * tile_size + plane * TILE + row % TILE
            tiles[at] = matrix[row, source]
        if how:
            for row in range(n_rows):
                at = row // TILE * tile_size + plane * TILE + row % TILE
                tiles[at] = ruled(tiles[at], how)
    no_ranks = np.empty(0, np.uint8)
    leaf_start = longs(model, LEAF_START, n_trees)
    walk_sums(
        numba.carray(pointer(model[NODES]), model[N_NODES], np.uint64),
        numba.carray(pointer(model[BOUNDS]), model[N_NODES], matrix.dtype),
        tiles,
        tile_size,
        no_ranks,
        0,
        n_rows,
        longs(model, ROOT, n_trees + 1),
        longs(model, NO_TOP, n_trees + 1),
        np.empty(0, np.uint32),
        no_ranks,
        no_ranks,
        no_ranks,
        leaf_start,
        np.empty(0, np.uint32),
        leaf_start,
        numba.carray(pointer(model[VALUE]), (model[N_LEAVES], model[N_VALUES]), sums.dtype),
        numba.carray(pointer(model[TARGET]), n_trees, np.int32),
        sums,
    )
    return True
