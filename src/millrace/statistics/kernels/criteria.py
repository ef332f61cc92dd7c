"""How good a split of a decision tree is, from the sums of its two sides.

The formulas, down to the order of their operations, are those of scikit-learn 1.9's ``_criterion.pyx``,
so that equal splits tie in both. What a candidate is judged by grows with its improvement (the ``proxy``
there); it is found for all candidates of a feature in two passes: `tally`, then `judge`. Sums of rows
that are counted are whole numbers, hence exact in any order.
"""

# Kernels are not Python: Numba gives them their types.
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false

from __future__ import annotations

import math

import numpy as np

from millrace.statistics.kernels.histograms import (
    MISSING,
    class_of,
    halves,
    inner,
    weight_of,
    within,
)

GINI, ENTROPY, SQUARED, POISSON = range(4)

_EPSILON = np.finfo(np.float64).eps


@within
def _log2(x):
    return math.log(x) / math.log(2.0)


@within
def totals(held, start, end, rule, total):
    """Sums of the rows ``start:end`` into `total`; returns their weight and the sum of w y y."""
    records, real = held.records, held.real
    weight = square = 0.0
    for c in range(len(total)):
        total[c] = 0.0
    if rule.counted and rule.n_classes == 2:
        both, second = np.uint64(0), np.uint64(0)
        for i in range(np.uint64(start), np.uint64(end)):
            w = weight_of(records[i])
            both += w
            second += w * class_of(records[i], True)
        total[0], total[1] = np.float64(both - second), np.float64(second)
        weight = np.float64(both)
    elif rule.n_classes > 0:
        for i in range(np.uint64(start), np.uint64(end)):
            r = records[i]
            w = np.float64(weight_of(r)) if rule.counted else real[i, 0]
            total[class_of(r, rule.counted)] += w
            weight += w
    else:
        for i in range(np.uint64(start), np.uint64(end)):
            wy = real[i, 0] * real[i, 1]
            total[0] += wy
            square += wy * real[i, 1]
            weight += real[i, 0]
    return weight, square


@inner
def _poisson(real, start, end, y_sum, weight):
    if y_sum <= _EPSILON:
        return np.inf
    mean, loss = y_sum / weight, 0.0
    for i in range(start, end):
        if real[i, 1] != 0.0:
            loss += real[i, 0] * (real[i, 1] * math.log(real[i, 1] / mean))
    return loss / weight


@inner
def impurity(kind, sums, weight, square, held, start, end):
    """The impurity of a node with these sums."""
    if kind == SQUARED:
        mean = sums[0] / weight
        return square / weight - mean * mean
    if kind == POISSON:
        return _poisson(held.real, start, end, sums[0], weight)
    found = 0.0
    for c in range(len(sums)):
        found += sums[c] * sums[c] if kind == GINI else -_entropy_part(sums[c], weight)
    return 1.0 - found / (weight * weight) if kind == GINI else found


@within
def _entropy_part(weight_of_class, weight):
    if weight_of_class <= 0.0:
        return 0.0
    share = weight_of_class / weight
    return share * _log2(share)


@inner
def tally(rule, work, first, present):
    """Add up the left side from bin to bin.

    Parameters
    ----------
    rule : Rule
    work : Work
        After the k-th bin that occurs: ``w_left[k]`` and ``n_left[k]`` are weight and rows of the left
        side; ``of_left[k]`` and ``of_right[k]`` what `judge` needs of either side.
    first : int
        -1: missing values are on the left; else 0.
    present : int
        Number of bins without the missing one.
    """
    if rule.counted and rule.n_classes == 2 and rule.kind == GINI:
        _tally_two(work, first, present)
        return
    left, total = work.left, work.total
    for c in range(len(left)):
        left[c] = 0.0
    weight = n = 0.0
    for k in range(first, present):
        b = np.uint64(MISSING) if k < 0 else np.uint64(work.pad.bins[k])
        if rule.n_classes == 0:
            left[0] += work.sums[b * np.uint64(3)]
            weight += work.sums[b * np.uint64(3) + np.uint64(1)]
            n += work.sums[b * np.uint64(3) + np.uint64(2)]
        else:
            w, rows = _add_classes(rule, work, b)
            weight += w
            n += rows
        if k >= 0:
            work.pad.w_left[k], work.pad.n_left[k] = weight, n
            sides(rule, left, total, weight, work, k)


@inner
def _add_classes(rule, work, b):
    classes = np.uint64(rule.n_classes)
    weight = n = 0.0
    for c in range(classes):
        if rule.counted:
            w, rows = halves(work.counts[b * classes + c])
            n += rows
        else:
            w = work.sums[b * (classes + np.uint64(1)) + c]
        work.left[c] += w
        weight += w
    return weight, n if rule.counted else work.sums[b * (classes + np.uint64(1)) + classes]


@within
def sides(rule, left, total, weight, work, k):
    """Write what `judge` needs of both sides of the k-th candidate; `left` has the sums of the left."""
    of_left = of_right = 0.0
    if rule.n_classes == 0:
        of_left, of_right = left[0], total[0] - left[0]
    else:
        w_right = work.pad.w_node[0] - weight
        for c in range(len(left)):
            right = total[c] - left[c]
            if rule.kind == GINI:
                of_left += left[c] * left[c]
                of_right += right * right
            else:
                of_left -= _entropy_part(left[c], weight)
                of_right -= _entropy_part(right, w_right)
    work.pad.of_left[k], work.pad.of_right[k] = of_left, of_right


@inner
def _tally_two(work, first, present):
    """Squares of the counts of two classes."""
    zero, one = np.uint64(0), np.uint64(0)
    for k in range(first, present):
        b = np.uint64(MISSING) if k < 0 else np.uint64(work.pad.bins[k])
        zero += work.counts[np.uint64(2) * b]
        one += work.counts[np.uint64(2) * b + np.uint64(1)]
        if k >= 0:
            a, n = halves(zero)
            b_, m = halves(one)
            c, d = work.total[0] - a, work.total[1] - b_
            work.pad.w_left[k], work.pad.n_left[k] = a + b_, n + m
            work.pad.of_left[k], work.pad.of_right[k] = a * a + b_ * b_, c * c + d * d


@within
def judge(kind, work, first, last):
    """Write the ``proxy`` of the candidates ``first:last`` into ``work.pad.value``."""
    w_left, of_left, of_right, value = (
        work.pad.w_left,
        work.pad.of_left,
        work.pad.of_right,
        work.pad.value,
    )
    weight = work.pad.w_node[0]
    if kind == GINI:  # no branch within the loop, so that it is vectorised
        for k in range(np.uint64(first), np.uint64(last)):
            w, r = w_left[k], weight - w_left[k]
            value[k] = -r * (1.0 - of_right[k] / (r * r)) - w * (1.0 - of_left[k] / (w * w))
        return
    if kind == SQUARED:
        for k in range(np.uint64(first), np.uint64(last)):
            a, b = of_left[k], of_right[k]
            value[k] = a * a / w_left[k] + b * b / (weight - w_left[k])
        return
    for k in range(first, last):
        w, r, a, b = w_left[k], weight - w_left[k], of_left[k], of_right[k]
        if kind == ENTROPY:
            value[k] = -r * b - w * a
        elif a <= _EPSILON or b <= _EPSILON:
            value[k] = -np.inf
        else:
            value[k] = a * _log2(a / w) + b * _log2(b / r)
