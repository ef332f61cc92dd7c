"""Sums of trees for rows as they are, and with one column permuted.

A row with another value in one column takes the same way through a tree up to the first split on that
column that sends the value elsewhere. So a row walks each tree once; at every split on its way the values
that its other versions have there are compared, and only those that part from it walk on alone. All
versions meet the leaves that they would meet by themselves, and add them in the order of the trees, so
the sums have the same bits.

Semantics are those of ``Tree.predict`` (``sklearn/tree/_tree.pyx``) and ``predict_stages``
(``sklearn/ensemble/_gradient_boosting.pyx``) of scikit-learn 1.9 for rows without missing values.
"""

# Kernels are not Python: Numba gives them their types.
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

_jit: Any = njit(nogil=True, cache=True)

KEY, FEATURE, LEFT, RIGHT = range(4)
"""Columns of `nodes`; a leaf has the feature -1."""


@_jit
def _index(number):
    """An index without the test whether it is negative."""
    return np.uint64(number)


@_jit
def _walk(nodes, root, keys, other, place, repeats, seen, mark, parted, at_of):
    """Walk a row down a tree; where versions of it part, note their numbers and where they part to.

    Returns
    -------
    tuple of the leaf of the row, and how many versions parted
    """
    n_parted, at = 0, _index(root)
    while True:
        feature = nodes[at, FEATURE]
        if feature < 0:
            return at, n_parted
        limit = nodes[at, KEY]
        is_left = keys[_index(feature)] <= limit
        across = nodes[at, RIGHT] if is_left else nodes[at, LEFT]
        first = place[_index(feature)]
        if first >= 0:
            for version in range(_index(first), _index(first + repeats)):
                if (other[version] <= limit) != is_left and seen[version] != mark:
                    seen[version] = mark
                    parted[n_parted], at_of[n_parted] = version, across
                    n_parted += 1
        at = _index(nodes[at, LEFT] if is_left else nodes[at, RIGHT])


@_jit
def _walk_on(nodes, keys, other, feature_of, parted, n_parted, at_of, waiting):
    """Walk the versions that parted to their leaves, in turns: no load waits for that of another one."""
    for j in range(n_parted):
        waiting[j] = j
    while n_parted > 0:
        j = 0
        while j < n_parted:
            one = _index(waiting[j])
            at = _index(at_of[one])
            tested = nodes[at, FEATURE]
            if tested < 0:
                n_parted -= 1
                waiting[j] = waiting[n_parted]
                continue
            version = _index(parted[one])
            own = feature_of[version] == tested
            value = other[version] if own else keys[_index(tested)]
            at_of[one] = nodes[at, LEFT] if value <= nodes[at, KEY] else nodes[at, RIGHT]
            j += 1


@_jit
def _add(sums, values, leaf, parted, n_parted, at_of, apart):
    """Add the value of a leaf to all versions of a row but those that parted, which have their own."""
    for j in range(n_parted):
        apart[j] = sums[_index(parted[j])] + values[_index(at_of[j])]
    value = values[leaf]
    for version in range(len(sums)):
        sums[version] += value
    for j in range(n_parted):
        sums[_index(parted[j])] = apart[j]


@njit("void(int32[:, ::1], int64[::1], int64[::1], float64[:, ::1], int32[:, ::1], int64[:, ::1],"
      " int64[::1], float64[:, ::1], int64, int64, float64[:, :, ::1])",
      nogil=True, cache=True)  # fmt: skip
def permuted_sums(nodes, roots, targets, values, keys, order, columns, initial, start, stop, out):
    """Sum the leaves of all trees for the versions of some rows.

    Parameters
    ----------
    nodes : int32 (n_nodes, 4)
        Of all trees: the largest key that goes left, the feature, and the numbers of both children.
    roots : int64 (n_trees,)
    targets : int64 (n_trees,)
        The first output that a tree adds to.
    values : float64 (n_outputs_of_a_tree, n_nodes)
    keys : int32 (n_rows, n_features)
        Numbers in the order of the values of `X`.
    order : int64 (n_repeats, n_rows)
        The row that a row has its permuted value from.
    columns : int64 (n_columns,)
        The columns that are permuted.
    initial : float64 (n_rows, n_outputs)
        What the sums begin with.
    start, stop : int
        The rows that are asked for: a few, so that their sums stay in the cache.
    out : float64 (n_columns * n_repeats + 1, n_rows, n_outputs)
        One version after the other: of each column its repeats, and the rows as they are.
    """
    repeats, n_rows = len(order), stop - start
    n_others = len(columns) * repeats
    n_versions, n_outputs = n_others + 1, out.shape[2]
    place = np.full(keys.shape[1], -1, np.int64)
    feature_of = np.repeat(columns, repeats)
    other = np.empty((n_rows, n_others), np.int32)
    sums = np.empty((n_rows, n_outputs, n_versions))
    for c in range(len(columns)):
        place[columns[c]] = c * repeats
    for row in range(n_rows):
        for k in range(n_outputs):
            sums[row, k] = initial[start + row, k]
        for r in range(repeats):
            source = keys[order[r, start + row]]
            for c in range(len(columns)):
                other[row, c * repeats + r] = source[columns[c]]
    seen = np.zeros(n_versions, np.int64)
    parted, at_of, waiting = np.empty((3, n_versions + 1), np.int32)
    apart, mark = np.empty(n_versions), 0
    for tree in range(len(roots)):
        for row in range(n_rows):
            mark += 1
            own, others = keys[start + row], other[row]
            leaf, n_parted = _walk(
                nodes, roots[tree], own, others, place, repeats, seen, mark, parted, at_of
            )
            _walk_on(nodes, own, others, feature_of, parted, n_parted, at_of, waiting)
            for k in range(len(values)):
                _add(sums[row, targets[tree] + k], values[k], leaf, parted, n_parted, at_of, apart)
    for version in range(n_versions):
        for row in range(n_rows):
            for k in range(n_outputs):
                out[version, start + row, k] = sums[row, k, version]
