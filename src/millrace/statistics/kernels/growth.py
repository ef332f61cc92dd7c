"""Splitting the nodes of a decision tree over binned rows.

The order of everything follows scikit-learn 1.9's ``_splitter.pyx`` and ``_partitioner.pyx``: features
are drawn by the same generator in the same order, candidates are taken by ascending value, and the first
of equals wins. Only the sorting of a node's values is replaced; see `candidates`. Where every value has
a bin of its own and sums are exact (class counts, whole numbers), the split is the same.
"""

# Kernels are not Python: Numba gives them their types.
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import overload

from millrace.statistics.kernels.candidates import FEW, best_of, draw
from millrace.statistics.kernels.criteria import impurity, totals
from millrace.statistics.kernels.histograms import BINS, MISSING, ROW, inner, within
from millrace.statistics.kernels.pages import touch
from millrace.statistics.kernels.random_splits import (
    best_drawn,
    draw_threshold,
    extremes,
    extremes_of,
    padded,
)

_overload: Any = overload
_WITHIN = {"error_model": "numpy", "_nrt": False, "forceinline": True}

RULE = np.dtype(
    [
        ("kind", np.int64),
        ("n_classes", np.int64),  # 0 for regression
        ("counted", np.bool_),  # whole weights of few classes, in records; see `histogram`
        ("max_features", np.int64),
        ("min_samples_split", np.int64),
        ("min_samples_leaf", np.int64),
        ("max_depth", np.int64),
        ("max_leaf_nodes", np.int64),  # -1: depth first
        ("min_weight_leaf", np.float64),
        ("min_impurity_decrease", np.float64),
        ("total_weight", np.float64),
    ]
)
"""When to split, and by what. A record, since Numba takes long to compile what has long tuples."""

PAD = np.dtype(
    [
        ("bins", np.uint8, BINS),
        ("mask", np.uint64, 4),
        ("keys", np.uint16, FEW),  # few rows, sorted
        ("w_left", np.float64, BINS),  # these five: see `tally` and `judge`
        ("n_left", np.float64, BINS),
        ("of_left", np.float64, BINS),
        ("of_right", np.float64, BINS),
        ("value", np.float64, BINS),
        ("w_node", np.float64, 1),
        ("state", np.uint32, 1),  # of the random numbers
    ]
)
"""What every node uses anew, of a length that is known."""


class Table(NamedTuple):
    """Binned columns."""

    codes: np.ndarray  # uint8 (p, n)
    low: np.ndarray  # float32 (p, 256): extremes of the bins
    high: np.ndarray
    edges: np.ndarray  # float64 (p, 256)
    local: (
        np.ndarray
    )  # uint8 (p, room): the bins of one subtree's rows; for random splits, row by row
    random: int | None  # one threshold a feature, drawn at random; None: the best of all
    pages: np.ndarray | None = None  # of codes that are mapped; see `mapped_pages`


class Held(NamedTuple):
    """The rows of a tree, in the order of its nodes, and room to move them."""

    records: np.ndarray  # uint64 (n,): row number, class and weight; see `histogram`
    real: np.ndarray  # float64 (n, 2): weight and target, unless rows are counted
    spare_records: np.ndarray
    spare_real: np.ndarray


class Work(NamedTuple):
    """Arrays that every node uses anew."""

    pad: Any  # PAD
    counts: np.ndarray  # uint64, flat: see `histogram`
    sums: np.ndarray  # float64, flat
    left: np.ndarray  # float64 (n_classes,) or (1,)
    total: np.ndarray
    features: np.ndarray  # int64 (p,)
    constants: np.ndarray
    # Of random splits; see `random_splits`.
    bytes: np.ndarray  # uint8 (5, p), padded as all of these are
    picked: np.ndarray  # int64 (p,): the features that candidates were drawn for
    thresholds: np.ndarray  # float64 (p,)
    drawn: np.ndarray  # float64 (2 + n_classes or 1, p): rows, weight and sums on the left


class Split(NamedTuple):
    """The best split of a node; `end` is its `pos` where there is none."""

    feature: int
    threshold: float
    missing_left: bool
    pos: int
    improvement: float
    impurity_left: float
    impurity_right: float
    n_constant: int


@inner
def _border(table, feature, before, threshold):
    """A threshold that parts no bin, and the last bin that it sends left.

    A bin that does not occur in the node, but elsewhere has values on both sides of the threshold, is
    left whole: the nearer of its edges is taken.
    """
    low, high = table.low[feature], table.high[feature]
    for b in range(before + 1, MISSING):
        if low[b] <= threshold and high[b] > threshold:
            up = threshold - low[b] >= high[b] - threshold
            threshold = table.edges[feature, b if up else b - 1]
            break
    return threshold, _last_left(table, feature, before, threshold)


@inner
def _last_left(table, feature, before, threshold):
    """The last bin with no value above the threshold, from `before` on."""
    cut = before
    for b in range(before + 1, MISSING):
        if table.low[feature, b] > threshold and table.low[feature, b] < np.inf:
            break
        if table.high[feature, b] > -np.inf:
            cut = b
    return cut


@within
def _partition(column, held, counted, start, end, cut, missing_left):
    """Move the rows that go left to the front; both sides keep their order. Returns their border."""
    records, spare, real = held.records, held.spare_records, held.real
    left, right = np.uint64(start), np.uint64(0)
    most = np.uint8(cut)
    for i in range(np.uint64(start), np.uint64(end)):
        r = records[i]
        b = column[r & ROW]
        goes_left = b <= most or (missing_left and b == MISSING)
        if not counted:
            w, y = real[i, 0], real[i, 1]
            real[left, 0], real[left, 1] = w, y
            held.spare_real[right, 0], held.spare_real[right, 1] = w, y
        records[left] = r
        spare[right] = r
        left += np.uint64(goes_left)
        right += np.uint64(not goes_left)
    for i in range(right):
        records[left + i] = spare[i]
    if not counted:
        for i in range(right):
            real[left + i, 0] = held.spare_real[i, 0]
            real[left + i, 1] = held.spare_real[i, 1]
    return np.int64(left)


@inner
def gather(table, held, start, end):
    """Copy the bins of the rows ``start:end`` to ``table.local``, and renumber the records from 0.

    What is left of their tree then stays in the cache. Their row numbers are lost.
    """
    records = held.records
    for f in range(table.codes.shape[0]):
        column, local = table.codes[f], table.local[f]
        for i in range(np.uint64(end - start)):
            local[i] = column[records[np.uint64(start) + i] & ROW]
        touch(table.pages, len(column))
    for i in range(np.uint64(end - start)):
        at = np.uint64(start) + i
        records[at] = (records[at] & ~ROW) | i


@inner
def _swap(array, i, j):
    array[i], array[j] = array[j], array[i]


@within
def search(local, table, held, rule, work, start, end, n_known):
    """Draw features until one can be split and `max_features` were seen.

    Parameters
    ----------
    local : bool
        Whether the rows were gathered.
    n_known : int
        Features known to be constant.

    Returns
    -------
    tuple
        The split: feature (-1: none), last bin left, first bin right, missing_left, threshold (of a
        random split); and the number of constant features.
    """
    features = work.features
    f_i, visited, found, drawn, n_constant = len(features), 0, 0, 0, n_known
    best: Any = (-np.inf, np.int64(-1), np.int64(-1), np.int64(-1), False)
    _prepare(table.random, local, table, held, work, start, end)
    while f_i > n_constant and (visited < rule.max_features or visited <= found + drawn):
        visited += 1
        # Of 32 bits on both sides, so that the division is.
        f_j = drawn + np.int64(np.uint32(draw(work.pad.state)) % np.uint32(f_i - found - drawn))
        if f_j < n_known:
            features[drawn], features[f_j] = features[f_j], features[drawn]
            drawn += 1
            continue
        f_j += found
        feature = features[f_j]
        is_constant, best = _look_at(
            table.random, local, feature, table, held, rule, work, start, end, best,
            len(features) - f_i,
        )  # fmt: skip
        if not local:
            touch(table.pages, table.codes.shape[1])
        if is_constant:
            features[f_j], features[n_constant] = features[n_constant], feature
            found += 1
            n_constant += 1
        else:
            f_i -= 1
            features[f_i], features[f_j] = feature, features[f_i]
    _remember(features, work.constants, n_known, n_constant)
    split = _settle(
        table.random, local, table, held, rule, work, start, end, best, len(features) - f_i
    )
    return split, n_constant


def _prepare(random, local, table, held, work, start, end):
    """What is found for all features at a time, by the type of `random`: only one is compiled."""
    raise NotImplementedError


def _look_at(random, local, feature, table, held, rule, work, start, end, best, n_drawn):
    """Whether a feature is constant, and the best split up to it: its proxy, feature and borders."""
    raise NotImplementedError


def _settle(random, local, table, held, rule, work, start, end, best, n_drawn):
    """The split of a node, after all features were looked at."""
    raise NotImplementedError


@_overload(_prepare, jit_options=_WITHIN)
def _prepare_by_type(random, local, table, held, work, start, end):
    def nothing(random, local, table, held, work, start, end):
        pass

    def of_drawn(random, local, table, held, work, start, end):
        if local:
            extremes(table, held, work, start, end)

    return nothing if isinstance(random, types.NoneType) else of_drawn


@_overload(_look_at, jit_options=_WITHIN)
def _look_by_type(random, local, feature, table, held, rule, work, start, end, best, n_drawn):
    def sorted_(random, local, feature, table, held, rule, work, start, end, best, n_drawn):
        codes = table.local if local else table.codes
        low, high = table.low[feature], table.high[feature]
        is_constant, value, b, a, left = best_of(
            codes[feature], low, high, held, rule, work, start, end, best[0]
        )
        if value > best[0]:
            return is_constant, (value, feature, b, a, left)
        return is_constant, best

    def drawn(random, local, feature, table, held, rule, work, start, end, best, n_drawn):
        if not local:
            extremes_of(table.codes[feature], feature, held, work, start, end)
        low, high, edges = table.low[feature], table.high[feature], table.edges[feature]
        return draw_threshold(feature, low, high, edges, work, n_drawn), best

    return sorted_ if isinstance(random, types.NoneType) else drawn


@_overload(_settle, jit_options=_WITHIN)
def _settle_by_type(random, local, table, held, rule, work, start, end, best, n_drawn):
    def sorted_(random, local, table, held, rule, work, start, end, best, n_drawn):
        return best[1], best[2], best[3], best[4], 0.0

    def drawn(random, local, table, held, rule, work, start, end, best, n_drawn):
        return best_drawn(local, table, held, rule, work, start, end, n_drawn)

    return sorted_ if isinstance(random, types.NoneType) else drawn


@inner
def _remember(features, constants, n_known, n_constant):
    for i in range(n_known):
        features[i] = constants[i]
    for i in range(n_known, n_constant):
        constants[i] = features[i]


@within
def divide(codes, table, held, rule, work, start, end, square, here, found):
    """Move the rows ``start:end`` to both sides of the split that `search` found.

    Parameters
    ----------
    codes : uint8 (p, n)
        Of the table, or its local ones.
    square, here : float
        Sum of w y y, and impurity, of the node; ``work.total`` has its other sums.
    found : tuple
        The answer of `search`.

    Returns
    -------
    Split
    """
    (feature, before, after, missing_left, threshold), n_constant = found
    if feature < 0:
        nothing: Any = np.int64(0)
        return Split(nothing, 0.0, False, end, -np.inf, np.inf, np.inf, n_constant)
    if table.random is None and after < 0:
        threshold, cut = np.inf, np.int64(MISSING - 1)
    else:
        if table.random is None:
            threshold = np.float64(table.high[feature, before]) / 2.0
            threshold += np.float64(table.low[feature, after]) / 2.0
        threshold, cut = _border(table, feature, before, threshold)
    pos = _partition(codes[feature], held, rule.counted, start, end, cut, missing_left)
    weight = work.pad.w_node[0]
    w_left, square_left = totals(held, start, pos, rule, work.left)
    w_right = weight - w_left
    on_left = impurity(rule.kind, work.left, w_left, square_left, held, start, pos)
    for c in range(len(work.left)):
        work.left[c] = work.total[c] - work.left[c]
    on_right = impurity(rule.kind, work.left, w_right, square - square_left, held, pos, end)
    gain = here - (w_right / weight * on_right) - (w_left / weight * on_left)
    improvement = (weight / rule.total_weight) * gain
    return Split(feature, threshold, missing_left, pos, improvement, on_left, on_right, n_constant)


def workspace(n_features: int, n_classes: int, counted: bool, seed: int, random: bool) -> Work:
    """The arrays that every node uses anew, and the state of the random numbers."""
    stride = n_classes + 1 if n_classes > 0 else 3
    pad = np.zeros(1, PAD)[0]
    pad["state"] = seed
    n_sums = max(n_classes, 1)
    p_drawn = padded(n_features) if random else 0
    return Work(
        pad,
        np.zeros(BINS * n_classes if counted else 0, np.uint64),
        np.zeros(0 if counted else BINS * stride),
        np.zeros(n_sums),
        np.zeros(n_sums),
        np.arange(n_features),
        np.empty(n_features, np.int64),
        np.zeros((5, p_drawn), np.uint8),
        np.zeros(p_drawn, np.int64),
        np.zeros(p_drawn),
        np.zeros((2 + n_sums, p_drawn)),
    )
