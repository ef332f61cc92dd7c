"""Sums of a tree of centres: every row goes to the nearer of two, down to a leaf."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from millrace.statistics.base import Batch, Statistic, check_finite
from millrace.statistics.kmeans import sparse_distances

BLOCK_ROWS = 2_048


@dataclass(frozen=True)
class LeafSums:
    """The answer of `Bisected`.

    Attributes
    ----------
    sums : numpy.ndarray of float64
        Weighted sums of the rows (less the shift) in each node; zeros but for leaves:
        (n_nodes, n_features).
    weights, inertia : numpy.ndarray of float64
        Sums of their weights, and of their squared distances from the centre (n_nodes,).
    counts : numpy.ndarray of int64
        (n_nodes,)
    labels : tuple of numpy.ndarray of int32
        With `Bisected.keep`: the node of every row, batch by batch.
    """

    sums: np.ndarray
    weights: np.ndarray
    inertia: np.ndarray
    counts: np.ndarray
    labels: tuple[np.ndarray, ...] = ()


@dataclass(frozen=True)
class Bisected(Statistic[LeafSums, LeafSums]):
    """What the leaves of a tree of centres hold.

    Attributes
    ----------
    centers : numpy.ndarray of float64
        (n_nodes, n_features), less the shift; node 0 is the root.
    left, right : numpy.ndarray of int64
        The children of each node; -1 for leaves (n_nodes,). A row that is as far from both goes left.
    shift : numpy.ndarray of float64, optional
        Subtracted from dense rows (n_features,).
    keep : bool
        Whether the node of every row is wanted (4 bytes each).
    who : str
        The class whose name stands in errors about rows that are not finite; empty: they are known to be.
    """

    centers: np.ndarray
    left: np.ndarray
    right: np.ndarray
    shift: np.ndarray | None = None
    keep: bool = False
    who: str = ""

    def of(self, batch: Batch) -> LeafSums:
        if self.who:
            check_finite(batch, self.who)
        n_nodes = len(self.centers)
        found = LeafSums(
            np.zeros(self.centers.shape),
            np.zeros(n_nodes),
            np.zeros(n_nodes),
            np.zeros(n_nodes, np.int64),
        )
        labels = np.empty(len(batch), np.int32)
        for first in range(0, len(batch), BLOCK_ROWS):
            last = min(first + BLOCK_ROWS, len(batch))
            rows = batch.matrix[first:last]
            if not batch.is_sparse:
                rows = np.subtract(rows, 0.0 if self.shift is None else self.shift, dtype="f8")
            weight = np.ones(last - first) if batch.weight is None else batch.weight[first:last]
            labels[first:last] = self.leaves(rows)
            self._add(found, rows, labels[first:last], weight)
        return LeafSums(
            found.sums,
            found.weights,
            found.inertia,
            found.counts,
            (labels,) if self.keep else (),
        )

    def leaves(self, rows: Any) -> np.ndarray:
        """The leaf of every row (less the shift): int64 of (n_samples,)."""
        inner = np.flatnonzero(self.left >= 0)
        node = np.zeros(rows.shape[0], np.int64)
        if len(inner) == 0:
            return node
        column = np.zeros(len(self.left), np.int64)
        column[inner] = np.arange(len(inner))
        a, b = self.centers[self.left[inner]], self.centers[self.right[inner]]
        nearer_left = (rows @ (2.0 * (a - b)).T) >= (a * a).sum(axis=1) - (b * b).sum(axis=1)
        at = np.arange(len(node))
        while True:
            below = np.where(nearer_left[at, column[node]], self.left[node], self.right[node])
            following = np.where(self.left[node] >= 0, below, node)
            if (following == node).all():
                return node
            node = following

    def _add(self, found: LeafSums, rows: Any, label: np.ndarray, weight: np.ndarray) -> None:
        from millrace.statistics.kernels.kmeans import add_rows, squared_distances

        n_nodes = len(self.centers)
        if sp.issparse(rows):
            entry = (weight, label, np.arange(len(label) + 1))
            of_node = sp.csr_array(entry, (len(label), n_nodes))
            found.sums[...] += (of_node.T @ rows).toarray()
            found.weights[...] += np.bincount(label, weight, n_nodes)
            away = sparse_distances(rows, self.centers, label)
        else:
            none = np.zeros(rows.shape[1])
            away = np.empty(len(label))
            add_rows(rows, none, label, weight, found.sums, found.weights)
            squared_distances(rows, none, self.centers, label, away)
        found.inertia[...] += np.bincount(label, weight * away, n_nodes)
        found.counts[...] += np.bincount(label, minlength=n_nodes)

    def merge(self, left: LeafSums, right: LeafSums) -> LeafSums:
        return LeafSums(
            left.sums + right.sums,
            left.weights + right.weights,
            left.inertia + right.inertia,
            left.counts + right.counts,
            left.labels + right.labels,
        )

    def finish(self, state: LeafSums) -> LeafSums:
        return state


@dataclass(frozen=True)
class OfLeaf(Statistic[Any, Any]):
    """Another statistic, of the rows of one leaf only.

    Attributes
    ----------
    tree : Bisected
    leaf : int
    inner : Statistic
        Its `finish` must bear rows that are none.
    """

    tree: Bisected
    leaf: int
    inner: Statistic[Any, Any]

    def of(self, batch: Batch) -> Any:
        rows = batch.matrix
        if not batch.is_sparse:
            rows = np.subtract(
                rows, 0.0 if self.tree.shift is None else self.tree.shift, dtype="f8"
            )
        where = np.flatnonzero(self.tree.leaves(rows) == self.leaf)
        if len(where) == 0:
            return None
        weight = None if batch.weight is None else batch.weight[where]
        part = Batch(batch.first, batch.matrix[where], None, weight, batch.row_numbers()[where])
        return self.inner.of(part)

    def merge(self, left: Any, right: Any) -> Any:
        return right if left is None else left if right is None else self.inner.merge(left, right)

    def finish(self, state: Any) -> Any:
        return None if state is None else self.inner.finish(state)
