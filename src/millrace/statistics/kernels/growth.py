"""Splitting the nodes of a decision tree over binned rows.

The order of everything follows scikit-learn 1.9's ``_splitter.pyx`` and ``_partitioner.pyx``: features
are drawn by the same generator in the same order, candidates are taken by ascending value, and the first
of equals wins. Only the sorting of a node's rows is replaced by a histogram. Where every value has a bin
of its own and sums are exact (class counts, whole numbers), the split is the same.
"""

# Kernels are not Python: Numba gives them their types.
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from millrace.statistics.kernels.criteria import impurity, proxy, proxy_of_two, totals
from millrace.statistics.kernels.histograms import BINS, MISSING, histogram, inner

_SAME = np.float32(1e-7)
"""Values nearer than this are one value (``FEATURE_THRESHOLD``)."""


class Rule(NamedTuple):
    """When to split, and by what."""

    kind: int
    n_classes: int  # 0 for regression
    max_features: int
    min_samples_split: int
    min_samples_leaf: int
    max_depth: int
    max_leaf_nodes: int  # -1: depth first
    random: bool  # one threshold a feature, drawn at random
    min_weight_leaf: float
    min_impurity_decrease: float
    total_weight: float


class Table(NamedTuple):
    """Binned columns: codes (p, n) uint8; low, high (p, 256) float32 values; edges (p, 256) float64."""

    codes: np.ndarray
    low: np.ndarray
    high: np.ndarray
    edges: np.ndarray


class Held(NamedTuple):
    """The rows of a tree, in the order of its nodes, and room to move them."""

    samples: np.ndarray
    y: np.ndarray
    w: np.ndarray
    spare_samples: np.ndarray
    spare_y: np.ndarray
    spare_w: np.ndarray


class Work(NamedTuple):
    """Arrays that every node uses anew."""

    cells: np.ndarray  # float64, flat
    bins: np.ndarray  # uint8 (256,)
    mask: np.ndarray  # uint64 (4,)
    left: np.ndarray  # float64 (n_classes,) or (1,)
    total: np.ndarray
    features: np.ndarray  # int64 (p,)
    constants: np.ndarray
    state: np.ndarray  # uint32 (1,)


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
def draw(state):
    """The next number of scikit-learn's ``our_rand_r``, below 2**31."""
    s = np.uint32(1) if state[0] == 0 else state[0]
    s = np.uint32(s ^ np.uint32(s << np.uint32(13)))
    s = np.uint32(s ^ np.uint32(s >> np.uint32(17)))
    s = np.uint32(s ^ np.uint32(s << np.uint32(5)))
    state[0] = s
    return np.int64(s) % np.int64(2147483648)


@inner
def _move(cells, left, n_classes, b):
    """Add the sums of bin `b` to the left side; returns its weight and its number of rows."""
    if n_classes == 0:
        at = np.uint64(b) * np.uint64(3)
        left[0] += cells[at]
        return cells[at + np.uint64(1)], cells[at + np.uint64(2)]
    at = np.uint64(b) * np.uint64(n_classes + 1)
    weight = 0.0
    for c in range(n_classes):
        here = cells[at + np.uint64(c)]
        left[c] += here
        weight += here
    return weight, cells[at + np.uint64(n_classes)]


@inner
def _allowed(least, least_weight, n_left, n_right, w_left, w_right):
    return (
        n_left >= least and n_right >= least and w_left >= least_weight and w_right >= least_weight
    )


@inner
def _best_of(low, high, rule, work, n_bins, n_rows, weight, best):
    """The best split of one feature, if it beats the proxy `best`.

    Returns
    -------
    tuple
        Proxy, last bin on the left, first bin on the right (-1: only missing values), missing_left.
    """
    cells, bins, left, total = work.cells, work.bins, work.left, work.total
    n_classes, kind = rule.n_classes, rule.kind
    least, least_weight = rule.min_samples_leaf, rule.min_weight_leaf
    missing = bins[n_bins - 1] == MISSING
    present = n_bins - 1 if missing else n_bins
    found, before, then, side = best, np.int64(-1), np.int64(-1), False
    for search in range(2 if missing else 1):
        left[:] = 0.0
        a, b, w_left, n_left = 0.0, 0.0, 0.0, 0.0
        for k in range(-1 if search == 1 else 0, present):
            here = np.int64(MISSING if k < 0 else bins[k])
            if n_classes > 2:
                w, n = _move(cells, left, n_classes, here)
            else:  # two numbers a bin, and the number of rows
                at = np.uint64(here) * np.uint64(3)
                a += cells[at]
                b += cells[at + np.uint64(1)]
                w = (
                    cells[at] + cells[at + np.uint64(1)]
                    if n_classes > 0
                    else cells[at + np.uint64(1)]
                )
                n = cells[at + np.uint64(2)]
            w_left += w
            n_left += n
            after = np.int64(-1)
            if k < 0:
                continue
            if k + 1 < present:
                after = np.int64(bins[k + 1])
                if low[after] <= np.float32(high[here] + _SAME):
                    continue
            elif search == 1 or not missing:
                break
            n_right, w_right = n_rows - n_left, weight - w_left
            if not _allowed(least, least_weight, n_left, n_right, w_left, w_right):
                continue
            if n_classes > 2:
                value = proxy(kind, left, total, w_left, w_right)
            else:
                other = total[n_classes - 1] - b if n_classes > 0 else 0.0
                value = proxy_of_two(kind, a, b, total[0] - a, other, w_left, w_right)
            if value > found:
                found, before, then = value, here, after
                side = search == 1 if missing else n_left > n_right
    return found, before, then, side


@inner
def _random_of(low, high, edges, rule, work, n_bins, n_rows, weight, best):
    """A random split of one feature, if it beats the proxy `best`.

    Returns
    -------
    tuple
        Proxy, last bin on the left, missing_left, threshold.
    """
    cells, bins, left, n_classes = work.cells, work.bins, work.left, rule.n_classes
    missing = bins[n_bins - 1] == MISSING
    present = n_bins - 1 if missing else n_bins
    least, greatest = np.float64(low[bins[0]]), np.float64(high[bins[present - 1]])
    threshold = (greatest - least) * np.float64(draw(work.state)) / 2147483647.0 + least
    side = missing and draw(work.state) % 2 == 1
    if threshold == greatest:
        threshold = least
    left[:] = 0.0
    w_left, n_left, before = 0.0, 0.0, np.int64(-1)
    if side:
        w_left, n_left = _move(cells, left, n_classes, MISSING)
    for k in range(present):
        b = np.int64(bins[k])
        if low[b] > threshold:
            break
        if high[b] > threshold:  # within a bin: the nearer edge, but not an outer one
            up = k == 0 or (threshold - low[b] >= high[b] - threshold and k + 1 < present)
            threshold = edges[b if up else b - 1]
            if not up:
                break
        w, n = _move(cells, left, n_classes, b)
        w_left += w
        n_left += n
        before = b
    n_right, w_right = n_rows - n_left, weight - w_left
    value = best
    if _allowed(rule.min_samples_leaf, rule.min_weight_leaf, n_left, n_right, w_left, w_right):
        if n_classes > 0:
            value = proxy(rule.kind, left, work.total, w_left, w_right)
        else:
            right = work.total[0] - left[0]
            value = proxy_of_two(rule.kind, left[0], 0.0, right, 0.0, w_left, w_right)
    return value, before, side if missing else n_left > n_right, threshold


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


@inner
def _partition(column, held, start, end, cut, missing_left):
    """Move the rows that go left to the front; both sides keep their order. Returns their border."""
    left, right = np.uint64(start), np.uint64(0)
    most = np.uint8(cut)
    for i in range(start, end):
        sample, y, w = held.samples[i], held.y[i], held.w[i]
        b = column[sample]
        goes_left = missing_left if b == MISSING else b <= most
        held.samples[left], held.y[left], held.w[left] = sample, y, w
        held.spare_samples[right] = sample
        held.spare_y[right] = y
        held.spare_w[right] = w
        left += np.uint64(goes_left)
        right += np.uint64(not goes_left)
    pos, n_right = np.int64(left), np.int64(right)
    held.samples[pos:end] = held.spare_samples[:n_right]
    held.y[pos:end] = held.spare_y[:n_right]
    held.w[pos:end] = held.spare_w[:n_right]
    return pos


@inner
def _clear(cells, bins, n_classes, n_bins):
    stride = np.uint64(n_classes + 1 if n_classes > 0 else 3)
    for k in range(n_bins):
        at = np.uint64(bins[k]) * stride
        for c in range(stride):
            cells[at + np.uint64(c)] = 0.0


@inner
def _swap(array, i, j):
    array[i], array[j] = array[j], array[i]


@inner
def _is_constant(low, high, bins, n_bins):
    first, last = bins[0], bins[n_bins - 1]
    if first == MISSING:
        return True
    if last == MISSING:
        return False
    return first == last or high[last] <= np.float32(low[first] + _SAME)


@inner
def _search(table, held, rule, work, start, end, weight, n_known):
    """Draw features until one can be split and `max_features` were seen.

    Returns
    -------
    tuple
        Feature (-1: no split), last bin left, first bin right, missing_left, threshold (of a random
        split), number of constant features.
    """
    features, n_features = work.features, len(work.features)
    f_i, visited, found, drawn, n_constant = n_features, 0, 0, 0, n_known
    best, feature_of = -np.inf, np.int64(-1)
    before, after, missing_left, threshold = np.int64(-1), np.int64(-1), False, 0.0
    while f_i > n_constant and (visited < rule.max_features or visited <= found + drawn):
        visited += 1
        f_j = drawn + draw(work.state) % (f_i - found - drawn)
        if f_j < n_known:
            _swap(features, drawn, f_j)
            drawn += 1
            continue
        f_j += found
        feature = features[f_j]
        n_bins = histogram(
            table.codes[feature],
            held.samples,
            held.y,
            held.w,
            start,
            end,
            rule.n_classes,
            work.cells,
            work.bins,
            work.mask,
        )
        low, high = table.low[feature], table.high[feature]
        if _is_constant(low, high, work.bins, n_bins):
            _swap(features, f_j, n_constant)
            found += 1
            n_constant += 1
        else:
            f_i -= 1
            _swap(features, f_i, f_j)
            n = end - start
            if rule.random:
                value, b, left, at = _random_of(
                    low, high, table.edges[feature], rule, work, n_bins, n, weight, best
                )
                if value > best:
                    best, feature_of, before, missing_left, threshold = value, feature, b, left, at
            else:
                value, b, a, left = _best_of(low, high, rule, work, n_bins, n, weight, best)
                if value > best:
                    best, feature_of, before, after, missing_left = value, feature, b, a, left
        _clear(work.cells, work.bins, rule.n_classes, n_bins)
    features[:n_known] = work.constants[:n_known]
    work.constants[n_known:n_constant] = features[n_known:n_constant]
    return feature_of, before, after, missing_left, threshold, n_constant


@inner
def no_split(end, n_constant):
    """The split of a node that stays a leaf."""
    feature: Any = np.int64(0)
    return Split(feature, 0.0, False, end, -np.inf, np.inf, np.inf, n_constant)


@inner
def split_node(table, held, rule, work, start, end, weight, square, impurity_here, n_known):
    """Find the best split of the rows ``start:end`` and move them; ``work.total`` has their sums."""
    feature, before, after, missing_left, threshold, n_constant = _search(
        table, held, rule, work, start, end, weight, n_known
    )
    if feature < 0:
        return no_split(end, n_constant)
    if not rule.random and after < 0:
        threshold, cut = np.inf, np.int64(MISSING - 1)
    else:
        if not rule.random:
            threshold = np.float64(table.high[feature, before]) / 2.0
            threshold += np.float64(table.low[feature, after]) / 2.0
        threshold, cut = _border(table, feature, before, threshold)
    pos = _partition(table.codes[feature], held, start, end, cut, missing_left)
    w_left, square_left = totals(held, start, pos, rule.n_classes, work.left)
    w_right = weight - w_left
    impurity_left = impurity(rule.kind, work.left, w_left, square_left, held, start, pos)
    for c in range(len(work.left)):
        work.left[c] = work.total[c] - work.left[c]
    square_right = square - square_left
    impurity_right = impurity(rule.kind, work.left, w_right, square_right, held, pos, end)
    improvement = (weight / rule.total_weight) * (
        impurity_here - (w_right / weight * impurity_right) - (w_left / weight * impurity_left)
    )
    return Split(
        feature,
        threshold,
        missing_left,
        pos,
        improvement,
        impurity_left,
        impurity_right,
        n_constant,
    )


def workspace(n_features: int, n_classes: int, seed: int) -> Work:
    """The arrays that every node uses anew, and the state of the random numbers."""
    stride = n_classes + 1 if n_classes > 0 else 3
    state = np.array([seed], np.uint32)
    return Work(
        np.zeros(BINS * stride),
        np.empty(BINS, np.uint8),
        np.empty(4, np.uint64),
        np.zeros(max(n_classes, 1)),
        np.zeros(max(n_classes, 1)),
        np.arange(n_features),
        np.empty(n_features, np.int64),
        state,
    )
