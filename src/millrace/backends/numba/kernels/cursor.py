"""Trees of up to a few hundred leaves: all splits of a tree, for 256 rows at once.

The leaves of a tree are numbered from left to right, and a row's cursor is the leftmost leaf that
it can still reach. A split moves the cursor of the rows that stand at it and go right to the first
leaf of the right subtree; rows that go left keep theirs. Taken in any order that puts parents
first, after the last split the cursor is the exit leaf. No row takes a branch, and every operation
is on bytes.

Limit: 3 byte-vector operations per split and 64 rows (compare, masked compare, blend), so with
AVX-512 about 12 cycles per split and 256 rows; then one load and one addition per row and tree.
"""

from __future__ import annotations

import numba
import numpy as np

from millrace.backends.numba.kernels.vectors import LANES, advance


@numba.njit(nogil=True, cache=True)
def cursor_sums(
    planes,
    row_stride,
    n_rows,
    split_start,
    plane,
    rank,
    here,
    there,
    leaf_start,
    value,
    target,
    sums,
):  # type: ignore[no-untyped-def]
    """Add every tree's leaf values to ``sums`` (n_outputs, rows), tree by tree.

    Parameters
    ----------
    planes : uint8 or uint16, flat
        Plane p, row i at ``p * row_stride + i``; readable up to the next multiple of 256 rows.
    split_start : int64 (n_trees + 1,)
    plane : uint32; rank, here, there : dtype of planes (n_splits,)
    leaf_start : int64 (n_trees,)
        Row of `value` of each tree's leftmost leaf.
    value : float32 or float64 (n_leaves, n_values)
    target : int32 (n_trees,)
    sums : dtype of value (n_outputs, >= n_rows rounded up to 256)
    """
    cursor = np.empty(LANES, planes.dtype)
    n_values = value.shape[1]
    flat = value.reshape(-1)
    for row in range(0, n_rows, LANES):
        m = min(LANES, n_rows - row)
        block = planes[row:]
        for tree in range(len(split_start) - 1):
            for i in range(LANES):
                cursor[i] = 0
            advance(
                block,
                row_stride,
                plane,
                rank,
                here,
                there,
                split_start[tree],
                split_start[tree + 1],
                cursor,
            )
            first = np.uint64(leaf_start[tree])
            if n_values == 1:
                total = sums[target[tree], row : row + LANES]
                for i in range(m):
                    total[np.uint64(i)] += flat[first + np.uint64(cursor[np.uint64(i)])]
            else:
                for k in range(n_values):
                    total = sums[target[tree] + k, row : row + LANES]
                    for i in range(m):
                        at = (first + np.uint64(cursor[np.uint64(i)])) * np.uint64(n_values)
                        total[np.uint64(i)] += flat[at + np.uint64(k)]
