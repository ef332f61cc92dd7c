"""One row through a forest: only the nodes that it visits, sixteen trees at a time.

The forest comes packed (see `packed`), because handing over twenty arrays would cost more than the
walk.

Limit: for 500 trees of 31 leaves about 3,000 node visits of 2 loads, 16 of them in flight.
"""

from __future__ import annotations

import numba
import numpy as np

from millrace.backends.numba.kernels.packed import (
    BASE,
    BOUNDS,
    CODED_COLUMN,
    CODED_RULE,
    COLUMN,
    HALF,
    LEAF_START,
    LUT,
    LUT_SOURCE,
    LUT_WIDTH,
    MEMBERS,
    MEMBERS_AT,
    N_CODED,
    N_NODES,
    N_NUMERIC,
    N_OUTPUTS,
    N_PLANES,
    N_SETS,
    N_TREES,
    N_VALUES,
    N_WATCHED,
    NAN_RANK,
    NODES,
    ROOT,
    RULE,
    TABLE,
    TABLE_AT,
    TARGET,
    VALUE,
    longs,
    passes,
    pointer,
)
from millrace.backends.numba.kernels.ranks import TINY, category_code
from millrace.backends.numba.kernels.vectors import TILE, WALKS, load_at, walk_trees
from millrace.backends.numba.kernels.walk import leaf_number, ruled


@numba.njit(nogil=True, cache=True)
def _fill_planes(model, row, ranks):  # type: ignore[no-untyped-def]
    """The rank of every plane for one row of column values."""
    n_numeric = model[N_NUMERIC]
    column, rule = longs(model, COLUMN, n_numeric), longs(model, RULE, n_numeric)
    table_at, half = longs(model, TABLE_AT, n_numeric), longs(model, HALF, n_numeric)
    nan_rank = longs(model, NAN_RANK, n_numeric)
    size = row.itemsize
    for plane in range(n_numeric):
        value = row[column[plane]]
        if np.isnan(value) or ((rule[plane] == 2 or rule[plane] == 3) and abs(value) <= TINY):
            ranks[TILE * plane] = nan_rank[plane]
            continue
        count, step = 0, half[plane]
        base = model[TABLE] + table_at[plane] * size
        while step > 0:
            beyond = count + step
            count = beyond if load_at(base + (beyond - 1) * size, value) < value else count
            step >>= 1
        ranks[TILE * plane] = count


@numba.njit(nogil=True, cache=True)
def _fill_sets(model, row, ranks):  # type: ignore[no-untyped-def]
    """The category planes of one row."""
    n_coded, n_sets, width = model[N_CODED], model[N_SETS], model[LUT_WIDTH]
    column, rule = longs(model, CODED_COLUMN, n_coded), longs(model, CODED_RULE, n_coded)
    members_at = longs(model, MEMBERS_AT, n_coded + 1)
    members = longs(model, MEMBERS, members_at[n_coded])
    source = longs(model, LUT_SOURCE, n_sets)
    lut = numba.carray(pointer(model[LUT]), n_sets * width, np.uint8)
    codes = np.empty(n_coded, np.int64)
    for k in range(n_coded):
        value = np.float64(row[column[k]])
        known = members[members_at[k] : members_at[k + 1]]
        codes[k] = category_code(value, known, rule[k])
    for k in range(n_sets):
        ranks[TILE * (model[N_NUMERIC] + k)] = lut[k * width + codes[source[k]]]


@numba.njit(nogil=True, cache=True)
def row_sums(model, row, zero, sums):  # type: ignore[no-untyped-def]
    """The sums of one row; False, with nothing done, where a guard refuses it.

    Parameters
    ----------
    model : int64 (FIELDS,)
    row : float32 or float64 (n_columns,)
        The forest's input columns.
    zero : float32 or float64
        Any number of the dtype of the leaf values.
    sums : (n_outputs,), dtype of the leaf values
    """
    if model[N_WATCHED] and not passes(model, row):
        return False
    ranks = np.empty(TILE * (model[N_PLANES] + 1), np.uint16)
    ranks[TILE * model[N_PLANES]] = 0
    _fill_planes(model, row, ranks)
    if model[N_SETS]:
        _fill_sets(model, row, ranks)
    _add_leaves(model, ranks, np.empty(0, np.float64), zero, sums)
    return True


@numba.njit(nogil=True, cache=True)
def row_sums_by_value(model, row, zero, sums):  # type: ignore[no-untyped-def]
    """`row_sums` of a forest without categories that is quantised by value."""
    if model[N_WATCHED] and not passes(model, row):
        return False
    n_numeric = model[N_NUMERIC]
    column, rule = longs(model, COLUMN, n_numeric), longs(model, RULE, n_numeric)
    values = np.zeros(TILE * (n_numeric + 1), row.dtype)
    for plane in range(n_numeric):
        values[TILE * plane] = ruled(row[column[plane]], rule[plane])
    bounds = numba.carray(pointer(model[BOUNDS]), model[N_NODES], row.dtype)
    _add_leaves(model, values, bounds, zero, sums)
    return True


@numba.njit(nogil=True, cache=True)
def _add_leaves(model, cells, bounds, zero, sums):  # type: ignore[no-untyped-def]
    """Walk all trees on the cells of one row, and add up the leaves they end in, in order."""
    n_trees, n_values, size = model[N_TREES], model[N_VALUES], sums.itemsize
    root = longs(model, ROOT, n_trees + WALKS)
    nodes = numba.carray(pointer(model[NODES]), model[N_NODES], np.uint64)
    leaf_start = longs(model, LEAF_START, n_trees)
    target = numba.carray(pointer(model[TARGET]), n_trees, np.int32)
    at = np.empty(WALKS, np.uint64)
    for k in range(model[N_OUTPUTS]):
        sums[k] = load_at(model[BASE] + k * size, zero)
    for tree in range(0, n_trees, WALKS):
        for i in range(WALKS):
            at[i] = root[tree + i]
        walk_trees(nodes, bounds, cells, 0, at)
        for i in range(min(WALKS, n_trees - tree)):
            leaf = leaf_start[tree + i] + leaf_number(nodes, bounds, at[i])
            where = model[VALUE] + leaf * n_values * size
            for k in range(n_values):
                sums[target[tree + i] + k] += load_at(where + k * size, zero)
