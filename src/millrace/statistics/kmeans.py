"""Sums of k-means: nearest centres, their rows' sums, labels and distances."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from millrace.statistics.base import Batch, Statistic, check_finite

BLOCK_BYTES = 1 << 15
"""A block of rows and the scores of four centres stay in the L1 cache."""


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

    Distances are ``|c|^2 - 2 x c``, in the precision of the rows, as in scikit-learn; sums: float64.

    Attributes
    ----------
    centers : numpy.ndarray of float64
        (n_clusters, n_features), less the shift.
    shift : numpy.ndarray of float64, optional
        Subtracted from dense rows (n_features,).
    who : str
        The class whose name stands in errors about rows that are not finite; empty: they are known to be.
    """

    centers: np.ndarray
    shift: np.ndarray | None = None
    who: str = "KMeans"

    def of(self, batch: Batch) -> ClusterSums:
        from millrace.statistics.kernels.kmeans import add_rows

        if self.who:
            check_finite(batch, self.who)
        found = ClusterSums(np.zeros(self.centers.shape), np.zeros(len(self.centers)))
        none, less = np.empty(0), _shift_of(batch, self.shift)
        for first, last, rows, label in assigned(batch, self.centers, self.shift):
            weight = none if batch.weight is None else batch.weight[first:last]
            if batch.is_sparse:
                w = np.ones(last - first) if batch.weight is None else weight
                of_center = sp.csr_array(
                    (w, label, np.arange(len(label) + 1)), (len(label), len(self.centers))
                )
                found.sums[...] += (of_center.T @ rows).toarray()
                found.weights[...] += np.bincount(label, w, len(self.centers))
            else:
                add_rows(rows, less, label, weight, found.sums, found.weights)
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
    centers, shift : numpy.ndarray
        As in `Clusters`.
    n_far : int
    """

    centers: np.ndarray
    shift: np.ndarray | None = None
    n_far: int = 0

    def of(self, batch: Batch) -> _Labelled:
        from millrace.statistics.kernels.kmeans import squared_distances

        dtype = batch.matrix.dtype
        centers, less = self.centers.astype(dtype), _shift_of(batch, self.shift)
        labels, away = np.empty(len(batch), np.int32), np.empty(len(batch))
        for first, last, rows, label in assigned(batch, self.centers, self.shift):
            labels[first:last] = label
            if batch.is_sparse:
                away[first:last] = sparse_distances(rows, centers, label)
            else:
                squared_distances(rows, less, centers, label, away[first:last])
        weight = np.ones(len(batch)) if batch.weight is None else batch.weight
        at = np.argsort(-away, kind="stable")[: self.n_far]
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


def assigned(
    batch: Batch, centers: np.ndarray, shift: np.ndarray | None
) -> Iterator[tuple[int, int, Any, np.ndarray]]:
    """Blocks of rows as they are, with the centre nearest to each less the shift.

    The array of labels is used again for the next block.
    """
    X = batch.matrix
    n = X.shape[0]
    size = min(n, 4096 if batch.is_sparse else max(32, BLOCK_BYTES // (4 * (X.shape[1] + 8))))
    label = np.empty(size, np.int32)
    find = _sparse_finder(centers, X) if batch.is_sparse else _finder(batch, centers, shift, size)
    for first in range(0, n, size):
        last = min(first + size, n)
        rows = X[first:last]
        find(rows, label[: last - first])
        yield first, last, rows, label[: last - first]


def _finder(
    batch: Batch, centers: np.ndarray, shift: np.ndarray | None, size: int
) -> Callable[[np.ndarray, np.ndarray], None]:
    """What fills in the labels of a block of dense rows of at most `size`."""
    from millrace.statistics.kernels import kmeans as kernels

    dtype, p = batch.matrix.dtype, batch.n_features
    less = _shift_of(batch, shift)
    double = np.ascontiguousarray((-2.0 * centers).astype(dtype))
    norms = (centers.astype(dtype) ** 2).sum(axis=1)
    f4 = np.float32
    block, scores, best = np.empty((p, size), f4), np.empty((4, size), f4), np.empty(size, f4)
    if dtype == f4:
        return lambda rows, label: kernels.nearest_rows(
            rows, less, double, norms, block, scores, best, label
        )
    with np.errstate(over="ignore"):
        single, single_norms = double.astype(f4), norms.astype(f4)
    second, squares = np.empty(size, f4), np.empty(size)
    return lambda rows, label: kernels.nearest_rows_filtered(
        rows, less, double, norms, single, single_norms, block, scores, best, second, label, squares
    )


def _sparse_finder(centers: np.ndarray, X: Any) -> Callable[[Any, np.ndarray], None]:
    """What fills in the labels of a block of CSR rows."""
    from millrace.statistics.kernels.kmeans import nearest

    double = (-2.0 * centers).astype(X.dtype).T
    norms = (centers.astype(X.dtype) ** 2).sum(axis=1)[:, None]

    def find(rows: Any, label: np.ndarray) -> None:
        scores = np.ascontiguousarray((rows @ double).T) + norms
        nearest(scores, np.empty(len(label), X.dtype), label)

    return find


def _shift_of(batch: Batch, shift: np.ndarray | None) -> np.ndarray:
    dtype = batch.matrix.dtype
    return np.zeros(batch.n_features, dtype) if shift is None else shift.astype(dtype)


def sparse_distances(rows: Any, centers: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Squared distances by ``|x|^2 - 2 x c + |c|^2`` in float64, none below zero."""
    rows, near = rows.astype(np.float64), centers.astype(np.float64)[label]
    cross = np.asarray(rows.multiply(near).sum(axis=1)).ravel()
    norm = np.asarray(rows.multiply(rows).sum(axis=1)).ravel()
    return np.maximum(0.0, norm - 2.0 * cross + (near * near).sum(axis=1))
