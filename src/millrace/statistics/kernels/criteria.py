"""How good a split of a decision tree is, from the sums of its two sides.

The formulas, down to the order of their operations, are those of scikit-learn 1.9's ``_criterion.pyx``,
so that equal splits tie in both.
"""

# Kernels are not Python: Numba gives them their types.
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false

from __future__ import annotations

import math

import numpy as np

from millrace.statistics.kernels.histograms import inner

GINI, ENTROPY, SQUARED, POISSON = range(4)

_EPSILON = np.finfo(np.float64).eps


@inner
def _log2(x):
    return math.log(x) / math.log(2.0)


@inner
def totals(held, start, end, n_classes, total):
    """Sums of the rows ``start:end`` into `total`; returns their weight and the sum of w y y."""
    total[:] = 0.0
    weight = square = 0.0
    if n_classes > 0:
        for i in range(start, end):
            total[np.uint64(held.y[i])] += held.w[i]
            weight += held.w[i]
    else:
        for i in range(start, end):
            wy = held.w[i] * held.y[i]
            total[0] += wy
            square += wy * held.y[i]
            weight += held.w[i]
    return weight, square


@inner
def _poisson(held, start, end, y_sum, weight):
    if y_sum <= _EPSILON:
        return np.inf
    mean, loss = y_sum / weight, 0.0
    for i in range(start, end):
        y = np.float64(held.y[i])
        if y != 0.0:
            loss += held.w[i] * (y * math.log(y / mean))
    return loss / weight


@inner
def impurity(kind, sums, weight, square, held, start, end):
    """The impurity of a node with these sums."""
    if kind == SQUARED:
        return square / weight - (sums[0] / weight) ** 2.0
    if kind == POISSON:
        return _poisson(held, start, end, sums[0], weight)
    if kind == GINI:
        squares = 0.0
        for c in range(len(sums)):
            squares += sums[c] * sums[c]
        return 1.0 - squares / (weight * weight)
    entropy = 0.0
    for c in range(len(sums)):
        if sums[c] > 0.0:
            share = sums[c] / weight
            entropy -= share * _log2(share)
    return entropy


@inner
def _entropy_part(weight_of_class, weight):
    if weight_of_class <= 0.0:
        return 0.0
    share = weight_of_class / weight
    return share * _log2(share)


@inner
def proxy_of_two(kind, left, other_left, right, other_right, w_left, w_right):
    """`proxy` for two classes, or for regression (where only the sums of w y are looked at)."""
    if kind == GINI:
        gini_left = 1.0 - (left * left + other_left * other_left) / (w_left * w_left)
        gini_right = 1.0 - (right * right + other_right * other_right) / (w_right * w_right)
        return -w_right * gini_right - w_left * gini_left
    if kind == SQUARED:
        return left * left / w_left + right * right / w_right
    if kind == POISSON:
        if left <= _EPSILON or right <= _EPSILON:
            return -np.inf
        return left * _log2(left / w_left) + right * _log2(right / w_right)
    out_left = 0.0 - _entropy_part(left, w_left) - _entropy_part(other_left, w_left)
    out_right = 0.0 - _entropy_part(right, w_right) - _entropy_part(other_right, w_right)
    return -w_right * out_right - w_left * out_left


@inner
def proxy(kind, left, total, w_left, w_right):
    """Grows with the improvement of a split whose left side has the class weights `left`."""
    out_left = out_right = 0.0
    if kind == GINI:
        for c in range(len(left)):
            right = total[c] - left[c]
            out_left += left[c] * left[c]
            out_right += right * right
        out_left = 1.0 - out_left / (w_left * w_left)
        out_right = 1.0 - out_right / (w_right * w_right)
    else:
        for c in range(len(left)):
            out_left -= _entropy_part(left[c], w_left)
            out_right -= _entropy_part(total[c] - left[c], w_right)
    return -w_right * out_right - w_left * out_left
