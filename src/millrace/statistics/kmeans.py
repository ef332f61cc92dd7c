"""Sums of k-means: nearest centres, their rows' sums, labels and distances.

Dense rows are assigned by `nearest`, sparse ones here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp

from millrace.statistics.base import Batch, Statistic, check_finite
from millrace.statistics.nearest import Bounds, assign_rows

BLOCK_ROWS = 4096
"""Sparse rows whose scores are worked out at once."""


@dataclass(frozen=True)
class ClusterSums:
    """The answer of `Clusters`.

    Attributes
    ----------
    sums : numpy.ndarray of float64
        Weighted sums of the rows (less the shift) nearest to each centre (n_clusters, n_features).
    weights : numpy.ndarray of float64
        Sums of the weights of those rows (n_clusters,).
    """

    sums: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class Clusters(Statistic[ClusterSums, ClusterSums]):
    """One step of Lloyd: which centre is nearest, and the sums of the rows of each.

    Dense rows are compared in float64, also where they are float32: scikit-learn compares in the
    precision of the rows. Sparse rows are compared in theirs. Sums are float64.

    Attributes
    ----------
    centers : numpy.ndarray of float64
        (n_clusters, n_features), less the shift.
    shift : numpy.ndarray of float64, optional
        Subtracted from dense rows (n_features,).
    who : str
        The class whose name stands in errors about rows that are not finite; empty: they are known to be.
    bounds : Bounds, optional
        What is remembered from step to step, to save work.
    """

    centers: np.ndarray
    shift: np.ndarray | None = None
    who: str = "KMeans"
    bounds: Bounds | None = field(default=None, compare=False, repr=False)

    def of(self, batch: Batch) -> ClusterSums:
        if self.who:
            check_finite(batch, self.who)
        found = ClusterSums(np.zeros(self.centers.shape), np.zeros(len(self.centers)))
        if not batch.is_sparse:
            less = _shift_of(batch, self.shift)
            assign_rows(batch, less, self.centers, self.bounds, found.sums, found.weights)
            return found
        for first, last, rows, label in _sparse_assigned(batch, self.centers):
            w = np.ones(last - first) if batch.weight is None else batch.weight[first:last]
            of_center = sp.csr_array(
                (w, label, np.arange(len(label) + 1)), (len(label), len(self.centers))
            )
            found.sums[...] += (of_center.T @ rows).toarray()
            found.weights[...] += np.bincount(label, w, len(self.centers))
        return found

    def merge(self, left: ClusterSums, right: ClusterSums) -> ClusterSums:
        return ClusterSums(left.sums + right.sums, left.weights + right.weights)

    def finish(self, state: ClusterSums) -> ClusterSums:
        return state


@dataclass(frozen=True)
class Assigned:
    """The answer of `Assignment`.

    Attributes
    ----------
    labels : numpy.ndarray of int32
        The nearest centre of every row (n_samples,).
    inertia : float
        Weighted sum of the squared distances.
    far : numpy.ndarray of float64
        The rows farthest from their centres, less the shift, the farthest first (n_far, n_features).
    far_distance, far_weight : numpy.ndarray of float64
    far_label : numpy.ndarray of int32
        Their squared distances, weights and centres (n_far,).
    """

    labels: np.ndarray
    inertia: float
    far: np.ndarray
    far_distance: np.ndarray
    far_weight: np.ndarray
    far_label: np.ndarray


@dataclass(frozen=True)
class _Labelled:
    labels: tuple[np.ndarray, ...]
    found: Assigned


@dataclass(frozen=True)
class Assignment(Statistic[_Labelled, Assigned]):
    """Labels of all rows (4 bytes each), their inertia, and the rows that are farthest off.

    Attributes
    ----------
    centers, shift, bounds
        As in `Clusters`.
    n_far : int
    """

    centers: np.ndarray
    shift: np.ndarray | None = None
    n_far: int = 0
    bounds: Bounds | None = field(default=None, compare=False, repr=False)

    def of(self, batch: Batch) -> _Labelled:
        from millrace.statistics.kernels.kmeans import squared_distances

        centers = self.centers.astype(batch.matrix.dtype)
        labels, away = np.empty(len(batch), np.int32), np.empty(len(batch))
        if batch.is_sparse:
            for first, last, rows, label in _sparse_assigned(batch, self.centers):
                labels[first:last] = label
                away[first:last] = sparse_distances(rows, centers, label)
        else:
            less, none = _shift_of(batch, self.shift), np.empty(0)
            labels[:] = assign_rows(batch, less, self.centers, self.bounds, none, none)
            squared_distances(batch.matrix, less, centers, labels, away)
        weight = np.ones(len(batch)) if batch.weight is None else batch.weight
        at = np.argsort(-away, kind="stable")[: self.n_far] if self.n_far else np.empty(0, np.int64)
        rows = batch.matrix[at]
        far = np.asarray(rows.toarray() if batch.is_sparse else rows, np.float64)
        if self.shift is not None:
            far = far - self.shift
        found = Assigned(labels[:0], float(weight @ away), far, away[at], weight[at], labels[at])
        return _Labelled((labels,), found)

    def merge(self, left: _Labelled, right: _Labelled) -> _Labelled:
        a, b = left.found, right.found
        away = np.concatenate([a.far_distance, b.far_distance])
        at = np.argsort(-away, kind="stable")[: self.n_far]
        found = Assigned(
            a.labels,
            a.inertia + b.inertia,
            np.concatenate([a.far, b.far])[at],
            away[at],
            np.concatenate([a.far_weight, b.far_weight])[at],
            np.concatenate([a.far_label, b.far_label])[at],
        )
        return _Labelled(left.labels + right.labels, found)

    def finish(self, state: _Labelled) -> Assigned:
        f = state.found
        labels = np.concatenate(state.labels)
        return Assigned(labels, f.inertia, f.far, f.far_distance, f.far_weight, f.far_label)


def _sparse_assigned(
    batch: Batch, centers: np.ndarray
) -> Iterator[tuple[int, int, Any, np.ndarray]]:
    """Blocks of CSR rows with the centre nearest to each, in an array that is used again."""
    from millrace.statistics.kernels.kmeans import nearest

    X = batch.matrix
    double = (-2.0 * centers).astype(X.dtype).T
    norms = (centers.astype(X.dtype) ** 2).sum(axis=1)[:, None]
    label = np.empty(min(X.shape[0], BLOCK_ROWS), np.int32)
    for first in range(0, X.shape[0], BLOCK_ROWS):
        last = min(first + BLOCK_ROWS, X.shape[0])
        rows = X[first:last]
        scores = np.ascontiguousarray((rows @ double).T) + norms
        nearest(scores, np.empty(last - first, X.dtype), label[: last - first])
        yield first, last, rows, label[: last - first]


def _shift_of(batch: Batch, shift: np.ndarray | None) -> np.ndarray:
    dtype = batch.matrix.dtype
    return np.zeros(batch.n_features, dtype) if shift is None else shift.astype(dtype)


def sparse_distances(rows: Any, centers: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Squared distances by ``|x|^2 - 2 x c + |c|^2`` in float64, none below zero."""
    rows, near = rows.astype(np.float64), centers.astype(np.float64)[label]
    cross = np.asarray(rows.multiply(near).sum(axis=1)).ravel()
    norm = np.asarray(rows.multiply(rows).sum(axis=1)).ravel()
    return np.maximum(0.0, norm - 2.0 * cross + (near * near).sum(axis=1))
