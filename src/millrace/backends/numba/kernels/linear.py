"""Leaves that hold linear models: few models have them, so they take the plain way."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(nogil=True, cache=True)
def linear_sums(reached, block, intercept, start, feature, coef, value, target, sums):  # type: ignore[no-untyped-def]
    """Add every tree's leaf models to ``sums`` (n_outputs, n_rows), tree by tree.

    Parameters
    ----------
    reached : int64 (n_rows, n_trees)
        Row of `value` that each sample reaches.
    block : float64 (n_rows, n_columns)
    intercept, start, feature, coef
        See `millrace.ir.LinearLeaves`.
    value : float (n_leaves, n_values)
        What counts where a feature of the leaf's model is NaN.
    target : int32 (n_trees,)
    """
    n_values = value.shape[1]
    for row in range(reached.shape[0]):
        for tree in range(reached.shape[1]):
            leaf = reached[row, tree]
            missing = False
            total = intercept[leaf]
            for term in range(start[leaf], start[leaf + 1]):
                x = block[row, feature[term]]
                missing = missing or np.isnan(x)
                total += coef[term] * x
            sums[target[tree], row] += value[leaf, 0] if missing else total
            for k in range(1, n_values):
                sums[target[tree] + k, row] += value[leaf, k]
