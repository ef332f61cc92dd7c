"""Small forests on the rows of a matrix as they lie: no ranks, and the answers in the caller's order.

The splits are those of `kernels.cursor`, but compare floats. That is more work for each split, and none
for the search of ranks, for planes and for turning the sums.

Limit: for each split one comparison, one masked comparison and one blend of 8 float64 or 16 float32
with AVX-512; for each cell that is read, and each sum, one load and one store.
"""

from __future__ import annotations

import numba
import numpy as np

from millrace.backends.numba.kernels.vectors import VALUE_LANES, advance_by_value
from millrace.backends.numba.kernels.walk import NAN_LEFT, NAN_RIGHT, ruled


@numba.njit(nogil=True, cache=True, inline="always")
def _fill(cells, first, step, how, tile, at):  # type: ignore[no-untyped-def]
    """The values of a plane: every `step`-th cell, and missing ones where the rule sends them."""
    first, at = np.uint64(first), np.uint64(at)
    for i in range(VALUE_LANES):
        tile[at + np.uint64(i)] = cells[first + np.uint64(i) * step]
    if how == NAN_LEFT:
        for i in range(VALUE_LANES):
            value = tile[at + np.uint64(i)]
            tile[at + np.uint64(i)] = -np.inf if np.isnan(value) else value
    elif how != NAN_RIGHT:
        for i in range(VALUE_LANES):
            tile[at + np.uint64(i)] = ruled(tile[at + np.uint64(i)], how)


@numba.njit(nogil=True, cache=True)
def value_sums(
    matrix,
    column,
    rule,
    start,
    plane,
    bound,
    here,
    there,
    leaf_start,
    value,
    target,
    base,
    out,
):  # type: ignore[no-untyped-def]
    """Write the sums of all trees, row by row.

    Parameters
    ----------
    matrix : float32 or float64 (n_rows, n_columns)
        C-contiguous, of 64 rows at least.
    column, rule : int64 (n_planes,)
        See `quantize.Planes`.
    start : int64 (n_trees + 1,); plane : uint32 (n_splits,)
    bound : dtype of matrix (n_splits,)
        A row goes left where its value is not above; NaN goes right after the plane's rule.
    here, there : int32 for float32, int64 for float64 (n_splits,)
    leaf_start : int64 (n_trees,)
    value : float32 or float64 (n_leaves, n_values)
    target : int32 (n_trees,)
    base : dtype of value (n_outputs,)
        What the sums begin with; empty where the leaves of an only tree hold it.
    out : dtype of value (n_rows, n_outputs)
    """
    n_rows, n_outputs = matrix.shape[0], np.uint64(out.shape[1])
    cells, width = matrix.reshape(-1), np.uint64(matrix.shape[1])
    sums, n_values, values = out.reshape(-1), np.uint64(value.shape[1]), value.reshape(-1)
    tile = np.empty(max(len(column), 1) * VALUE_LANES, matrix.dtype)
    cursor = np.empty(VALUE_LANES, here.dtype)
    for block in range(-(-n_rows // VALUE_LANES)):
        # the last rows are taken with rows before them, whose sums are written once more
        first = min(block * VALUE_LANES, n_rows - VALUE_LANES)
        for k in range(len(column)):
            _fill(cells, first * width + column[k], width, rule[k], tile, k * VALUE_LANES)
        at = np.uint64(first) * n_outputs
        for k in range(len(base)):
            for i in range(VALUE_LANES):
                sums[at + np.uint64(i) * n_outputs + np.uint64(k)] = base[k]
        for tree in range(len(start) - 1):
            cursor[:] = 0
            advance_by_value(
                tile, VALUE_LANES, plane, bound, here, there, start[tree], start[tree + 1], cursor
            )
            for k in range(n_values):
                of_leaf = np.uint64(leaf_start[tree]) * n_values + np.uint64(k)
                to = at + np.uint64(target[tree] + k)
                for i in range(VALUE_LANES):
                    answer = values[of_leaf + np.uint64(cursor[np.uint64(i)]) * n_values]
                    if len(base):
                        answer += sums[to + np.uint64(i) * n_outputs]
                    sums[to + np.uint64(i) * n_outputs] = answer
