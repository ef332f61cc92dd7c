"""One row through a forest: only the nodes that it visits, eight trees at a time.

The forest comes as one array of addresses (`pack_row_model` lays it out), because handing over
twenty arrays would cost more than the walk.

Limit: for 500 trees of 31 leaves about 3,000 node visits of 2 loads, 8 of them in flight.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from millrace.backends.numba.kernels.vectors import load_at

# Positions in the array of addresses and sizes.
(N_NUMERIC, N_PLANES, COLUMN, RULE, TABLE, TABLE_AT, HALF, NAN_RANK, N_CODED, CODED_COLUMN, CODED_RULE,
 MEMBERS, MEMBERS_AT, N_SETS, LUT, LUT_WIDTH, LUT_SOURCE, N_TREES, NODES, ROOT, LEAF, VALUE,
 N_VALUES, TARGET, N_OUTPUTS, BASE, N_WATCHED, LOW, HIGH, REFUSES_NAN, FIELDS) = range(31)

_TINY = float(np.float32(1e-35))
_WALKS = 8
_LOW, _S16, _S32 = np.uint64(0xFFFF), np.uint64(16), np.uint64(32)


@intrinsic
def _pointer(typingctx: Any, address: Any) -> Any:
    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.intp), codegen


@numba.njit(nogil=True, cache=True, inline="always")
def _longs(model, field, n):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    return numba.carray(_pointer(model[field]), n, np.int64)


@numba.njit(nogil=True, cache=True)
def _fill_planes(model, row, ranks):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """The rank of every plane for one row of column values."""
    n_numeric = model[N_NUMERIC]
    column, rule = _longs(model, COLUMN, n_numeric), _longs(model, RULE, n_numeric)
    table_at, half = _longs(model, TABLE_AT, n_numeric), _longs(model, HALF, n_numeric)
    nan_rank = _longs(model, NAN_RANK, n_numeric)
    size = row.itemsize
    for plane in range(n_numeric):
        value = row[column[plane]]
        if np.isnan(value) or ((rule[plane] == 2 or rule[plane] == 3) and abs(value) <= _TINY):
            ranks[plane] = nan_rank[plane]
            continue
        count, step = 0, half[plane]
        base = model[TABLE] + table_at[plane] * size
        while step > 0:
            beyond = count + step
            count = beyond if load_at(base + (beyond - 1) * size, value) < value else count
            step >>= 1
        ranks[plane] = count


@numba.njit(nogil=True, cache=True)
def _fill_sets(model, row, ranks):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """The category planes of one row."""
    n_coded, n_sets, width = model[N_CODED], model[N_SETS], model[LUT_WIDTH]
    column, rule = _longs(model, CODED_COLUMN, n_coded), _longs(model, CODED_RULE, n_coded)
    members_at = _longs(model, MEMBERS_AT, n_coded + 1)
    members = _longs(model, MEMBERS, members_at[n_coded])
    source = _longs(model, LUT_SOURCE, n_sets)
    lut = numba.carray(_pointer(model[LUT]), n_sets * width, np.uint8)
    codes = np.empty(n_coded, np.int64)
    for k in range(n_coded):
        value = np.float64(row[column[k]])
        first, other = members_at[k], members_at[k + 1] - members_at[k]
        if rule[k] == 3 and np.isnan(value):
            value = 0.0
        if (rule[k] != 0 and np.isnan(value)) or (rule[k] == 2 and abs(value) <= _TINY):
            codes[k] = other + 1
        elif np.isnan(value) or value <= -1.0 or value >= 9.2e18:
            codes[k] = other
        else:
            sought = np.int64(value)
            low, high = 0, other
            while low < high:
                middle = (low + high) >> 1
                if members[first + middle] < sought:
                    low = middle + 1
                else:
                    high = middle
            codes[k] = low if low < other and members[first + low] == sought else other
    for k in range(n_sets):
        ranks[model[N_NUMERIC] + k] = lut[k * width + codes[source[k]]]


@numba.njit(nogil=True, cache=True)
def _passes(model, row):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Whether the row meets the guards on the forest's input."""
    n = model[N_WATCHED]
    low = numba.carray(_pointer(model[LOW]), n, np.float64)
    high = numba.carray(_pointer(model[HIGH]), n, np.float64)
    refuses_nan = numba.carray(_pointer(model[REFUSES_NAN]), n, np.uint8)
    for k in range(n):
        value = np.float64(row[k])
        if np.isnan(value):
            if refuses_nan[k]:
                return False
        elif not low[k] <= value <= high[k]:
            return False
    return True


@numba.njit(nogil=True, cache=True, inline="always")
def _visit(node, ranks):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    return (node >> _S32) + np.uint64(np.uint64(ranks[node & _LOW]) > ((node >> _S16) & _LOW))


@numba.njit(nogil=True, cache=True)
def _walk(nodes, root, tree, ranks, at):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Walk trees ``tree : tree + 8`` to their leaves."""
    a0, a1 = np.uint64(root[tree]), np.uint64(root[tree + 1])
    a2, a3 = np.uint64(root[tree + 2]), np.uint64(root[tree + 3])
    a4, a5 = np.uint64(root[tree + 4]), np.uint64(root[tree + 5])
    a6, a7 = np.uint64(root[tree + 6]), np.uint64(root[tree + 7])
    while True:
        b0, b1, b2, b3 = _visit(nodes[a0], ranks), _visit(nodes[a1], ranks), _visit(nodes[a2], ranks), _visit(nodes[a3], ranks)
        b4, b5, b6, b7 = _visit(nodes[a4], ranks), _visit(nodes[a5], ranks), _visit(nodes[a6], ranks), _visit(nodes[a7], ranks)
        moved = (a0 ^ b0) | (a1 ^ b1) | (a2 ^ b2) | (a3 ^ b3)
        moved |= (a4 ^ b4) | (a5 ^ b5) | (a6 ^ b6) | (a7 ^ b7)
        a0, a1, a2, a3, a4, a5, a6, a7 = b0, b1, b2, b3, b4, b5, b6, b7
        if moved == np.uint64(0):
            break
    at[0], at[1], at[2], at[3] = a0, a1, a2, a3
    at[4], at[5], at[6], at[7] = a4, a5, a6, a7


@numba.njit(nogil=True, cache=True)
def row_sums(model, row, zero, sums):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
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
    if model[N_WATCHED] and not _passes(model, row):
        return False
    ranks = np.empty(model[N_PLANES] + 1, np.uint16)
    ranks[0] = 0
    _fill_planes(model, row, ranks)
    if model[N_SETS]:
        _fill_sets(model, row, ranks)
    n_trees, n_values, size = model[N_TREES], model[N_VALUES], sums.itemsize
    root = _longs(model, ROOT, n_trees + 8)
    nodes = numba.carray(_pointer(model[NODES]), 1 << 40, np.uint64)
    leaf = numba.carray(_pointer(model[LEAF]), 1 << 40, np.int32)
    target = numba.carray(_pointer(model[TARGET]), n_trees, np.int32)
    at = np.empty(_WALKS, np.uint64)
    for k in range(model[N_OUTPUTS]):
        sums[k] = load_at(model[BASE] + k * size, zero)
    for tree in range(0, n_trees, _WALKS):
        _walk(nodes, root, tree, ranks, at)
        for i in range(min(_WALKS, n_trees - tree)):
            where = model[VALUE] + np.int64(leaf[at[i]]) * n_values * size
            for k in range(n_values):
                sums[target[tree + i] + k] += load_at(where + k * size, zero)
    return True
