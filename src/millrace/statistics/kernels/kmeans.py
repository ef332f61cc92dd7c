"""Nearest centres by given scores, sums by centre, and distances."""

# Kernels are not Python: Numba gives them their types.
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

jit: Any = njit(nogil=True, cache=True)


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
    """Squared distance of every row less the shift from the centre of its label: (n_samples,).

    Differences are of the dtype of the rows, sums float64: four of them, none of which waits for another.
    """
    p = rows.shape[1]
    whole = p - p % 4
    for i in range(rows.shape[0]):
        center, row = centers[label[i]], rows[i]
        a = b = c = d = 0.0
        for j in range(0, whole, 4):
            a += _square(row[j] - shift[j], center[j])
            b += _square(row[j + 1] - shift[j + 1], center[j + 1])
            c += _square(row[j + 2] - shift[j + 2], center[j + 2])
            d += _square(row[j + 3] - shift[j + 3], center[j + 3])
        for j in range(whole, p):
            a += _square(row[j] - shift[j], center[j])
        out[i] = (a + b) + (c + d)


@jit
def _square(value, other):
    away = np.float64(value) - np.float64(other)
    return away * away
