"""Nearest centres of a block of rows, and sums by centre."""

# Kernels are not Python: Numba gives them their types.
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

jit: Any = njit(nogil=True, cache=True)
fused: Any = njit(nogil=True, cache=True, fastmath={"contract"})  # a * b + c in one step


@jit
def nearest(scores, best, label):
    """The row of `scores` with the least value in every column; the first one where some are equal.

    Parameters
    ----------
    scores : float of (n_clusters, n_samples)
    best : float of (n_samples,)
        Receives the least values.
    label : int32 of (n_samples,)
        Receives the rows.
    """
    n = scores.shape[1]
    for i in range(n):
        best[i] = scores[0, i]
        label[i] = 0
    for c in range(1, scores.shape[0]):
        row = scores[c]
        for i in range(n):
            closer = row[i] < best[i]
            best[i] = row[i] if closer else best[i]
            label[i] = c if closer else label[i]


@fused
def nearest_rows(rows, shift, double, norms, block, scores, best, label):
    """The centre nearest to every row, by ``norm - 2 x c``; the first one where some are equal.

    A product and a minimum in one: four centres at a time, whose scores never leave the cache.

    Parameters
    ----------
    rows : float of (n_samples, n_features)
    shift : float of (n_features,)
        Subtracted from every row.
    double : float of (n_clusters, n_features)
        The centres times -2.
    norms : float of (n_clusters,)
        Their squared norms.
    block, scores : float of (n_features, n_samples) and (4, n_samples)
        Room, for the rows feature by feature and for the scores.
    best, label : float and int32 of (n_samples,)
        Receive the least score and its centre.
    """
    n, p = rows.shape
    k = double.shape[0]
    for j in range(p):
        less = shift[j]
        column = block[j]
        for i in range(n):
            column[i] = rows[i, j] - less
    for i in range(n):
        best[i] = np.inf
        label[i] = 0
    whole = k - k % 4
    for c in range(0, whole, 4):
        _score_four(block, n, double[c : c + 4], norms[c : c + 4], scores)
        for q in range(4):
            _keep_least(scores[q], n, c + q, best, label)
    for c in range(whole, k):
        score = scores[0]
        for i in range(n):
            score[i] = norms[c]
        for j in range(p):
            column = block[j]
            a = double[c, j]
            for i in range(n):
                score[i] += a * column[i]
        _keep_least(score, n, c, best, label)


@fused
def nearest_rows_filtered(
    rows, shift, double, norms, single, single_norms, block, scores, best, second, label, size
):
    """`nearest_rows` for float64, in half the time: float32 decides where its error cannot matter.

    A score in float32 is off by ``(p + 8) 2^-23 (2 |x| |c| + |c|^2)`` at most. Where the two least ones
    are not farther apart than twice that, the row is done again in float64.

    Parameters
    ----------
    rows, shift, double, norms, label : float64, as for `nearest_rows`
    single, single_norms : float32
        `double` and `norms`.
    block, scores, best, second : float32 of (n_features, n_samples), (4, n_samples), (n_samples,) twice
        Room.
    size : float64 of (n_samples,)
        Room, for the squared norms of the rows.
    """
    n, p = rows.shape
    k = double.shape[0]
    for i in range(n):
        size[i] = 0.0
        best[i] = np.inf
        second[i] = np.inf
        label[i] = 0
    for j in range(p):
        less = shift[j]
        column = block[j]
        for i in range(n):
            value = rows[i, j] - less
            size[i] += value * value
            column[i] = value
    whole = k - k % 4
    for c in range(0, whole, 4):
        _score_four(block, n, single[c : c + 4], single_norms[c : c + 4], scores)
        for q in range(4):
            _keep_two(scores[q], n, c + q, best, second, label)
    for c in range(whole, k):
        score = scores[0]
        for i in range(n):
            score[i] = single_norms[c]
        for j in range(p):
            column = block[j]
            a = single[c, j]
            for i in range(n):
                score[i] += a * column[i]
        _keep_two(score, n, c, best, second, label)
    largest = np.max(norms)
    bound = 2.0 * (p + 8) * 2.0**-23
    for i in range(n):
        error = bound * (2.0 * np.sqrt(size[i] * largest) + largest)
        if not np.float64(second[i]) - np.float64(best[i]) > error:
            label[i] = _nearest_of(rows[i], shift, double, norms)


@fused
def _nearest_of(row, shift, double, norms):
    least, label = np.inf, 0
    for c in range(double.shape[0]):
        score = norms[c]
        for j in range(row.shape[0]):
            score += double[c, j] * (row[j] - shift[j])
        if score < least:
            least, label = score, c
    return label


@fused
def _keep_two(score, n, c, best, second, label):
    for i in range(n):
        s, b = score[i], best[i]
        closer = s < b
        other = b if closer else s
        second[i] = other if other < second[i] else second[i]
        best[i] = s if closer else b
        label[i] = c if closer else label[i]


@fused
def _keep_least(score, n, c, best, label):
    for i in range(n):
        closer = score[i] < best[i]
        best[i] = score[i] if closer else best[i]
        label[i] = c if closer else label[i]


@fused
def _score_four(block, n, d, norms, scores):
    """Scores of four centres; sixteen products for every four values that are loaded."""
    p = d.shape[1]
    s0, s1, s2, s3 = scores[0], scores[1], scores[2], scores[3]
    for i in range(n):
        s0[i] = norms[0]
        s1[i] = norms[1]
        s2[i] = norms[2]
        s3[i] = norms[3]
    whole = p - p % 4
    for j in range(0, whole, 4):
        x0, x1, x2, x3 = block[j], block[j + 1], block[j + 2], block[j + 3]
        a0, a1, a2, a3 = d[0, j], d[0, j + 1], d[0, j + 2], d[0, j + 3]
        b0, b1, b2, b3 = d[1, j], d[1, j + 1], d[1, j + 2], d[1, j + 3]
        c0, c1, c2, c3 = d[2, j], d[2, j + 1], d[2, j + 2], d[2, j + 3]
        e0, e1, e2, e3 = d[3, j], d[3, j + 1], d[3, j + 2], d[3, j + 3]
        for i in range(n):
            u0, u1, u2, u3 = x0[i], x1[i], x2[i], x3[i]
            s0[i] += a0 * u0 + a1 * u1 + a2 * u2 + a3 * u3
            s1[i] += b0 * u0 + b1 * u1 + b2 * u2 + b3 * u3
            s2[i] += c0 * u0 + c1 * u1 + c2 * u2 + c3 * u3
            s3[i] += e0 * u0 + e1 * u1 + e2 * u2 + e3 * u3
    for j in range(whole, p):
        x0 = block[j]
        for i in range(n):
            s0[i] += d[0, j] * x0[i]
            s1[i] += d[1, j] * x0[i]
            s2[i] += d[2, j] * x0[i]
            s3[i] += d[3, j] * x0[i]


@jit
def add_rows(rows, shift, label, weight, sums, weights):
    """Add every row less the shift, times its weight, to the sum of its label.

    Parameters
    ----------
    rows : float of (n_samples, n_features)
    shift : float of (n_features,)
    label : int32 of (n_samples,)
    weight : float64 of (n_samples,), or empty for ones
    sums : float64 of (n_clusters, n_features)
    weights : float64 of (n_clusters,)
    """
    n_features = rows.shape[1]
    if weight.shape[0] == 0:
        for i in range(rows.shape[0]):
            total = sums[label[i]]
            for j in range(n_features):
                total[j] += rows[i, j] - shift[j]
            weights[label[i]] += 1.0
        return
    for i in range(rows.shape[0]):
        total = sums[label[i]]
        w = weight[i]
        for j in range(n_features):
            total[j] += w * (rows[i, j] - shift[j])
        weights[label[i]] += w


@jit
def squared_distances(rows, shift, centers, label, out):
    """Squared distance of every row less the shift from the centre of its label: (n_samples,)."""
    for i in range(rows.shape[0]):
        center = centers[label[i]]
        total = 0.0
        for j in range(rows.shape[1]):
            away = np.float64(rows[i, j] - shift[j]) - np.float64(center[j])
            total += away * away
        out[i] = total
