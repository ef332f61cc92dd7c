"""Fill missing cells from the nearest points: only rows with a missing cell cost anything.

The products are left to BLAS, as in the source library; what follows them is one pass of a kernel, and
another one that keeps the nearest donors. Where donors are tied, they are chosen by
``numpy.argpartition``, so that of equally near ones the same are taken.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.ir.arrays import Array
from millrace.ir.ops import ImputeNearest
from millrace.runtime.pool import one_thread_of_blas

Floats = npt.NDArray[np.float64]

_CELLS = 1 << 19
"""Most distances at a time: 4 MiB of each of four products."""


@dataclass(frozen=True)
class _Points:
    """What the products need of the points, which does not depend on the rows.

    Attributes
    ----------
    values, squares, known, missing : float64 (width, n_points)
        Transposed; `values` and `squares` are 0 where missing, the last two are 0 or 1.
    norms : float64 (n_points,)
    columns : float64 (width, n_points), C-contiguous
        As `values`.
    has : bool (width, n_points), C-contiguous
        As `known`.
    donors : tuple of int64 arrays
        For each column the points that have it.
    """

    values: Floats
    squares: Floats
    known: Floats
    missing: Floats
    norms: Floats
    columns: Floats
    has: npt.NDArray[np.bool_]
    donors: tuple[npt.NDArray[np.int64], ...]


@lru_cache(maxsize=8)
def _prepared(points: Array) -> _Points:
    known = ~np.isnan(points.values)
    values = np.where(known, points.values, 0.0)
    return _Points(
        values.T,
        (values * values).T,
        known.T.astype(np.float64),
        (~known).T.astype(np.float64),
        np.einsum("ij,ij->i", values, values),
        np.ascontiguousarray(values.T),
        np.ascontiguousarray(known.T),
        tuple(np.flatnonzero(column) for column in known.T),
    )


def impute_nearest(block: npt.NDArray[Any], op: ImputeNearest) -> Floats:
    """The block (n_samples, width) as float64 without NaN; see `millrace.ir.ops.ImputeNearest`."""
    filled = np.array(block, np.float64, order="C")
    rows = np.flatnonzero(np.isnan(filled).any(axis=1))
    points = _prepared(op.points)
    size = min(max(1, _CELLS // max(1, len(points.norms))), len(rows))
    room = np.empty((4, size, len(points.norms)))
    # blocks of rows are the parallelism: threads of BLAS would wait for each other in every product
    with one_thread_of_blas if len(rows) > size else nullcontext():
        for first in range(0, len(rows), max(1, size)):
            chunk = rows[first : first + size]
            filled[chunk] = _filled(filled[chunk], points, op, room[:, : len(chunk)])
    return filled


def _filled(rows: Floats, points: _Points, op: ImputeNearest, room: Floats) -> Floats:
    """Rows that each have a missing cell, without them."""
    from millrace.backends.numba.kernels.impute import fill_cells, weighted_means

    missing = np.isnan(rows)
    distances = _nan_euclidean(rows, missing, points, room)
    left, by_distance = np.zeros(rows.shape, np.bool_), op.weights == "distance"
    fill_cells(
        distances, missing, points.has, points.columns, np.array(op.fill.values, np.float64),
        op.n_neighbors, by_distance, rows, left,
    )  # fmt: skip
    for column in np.flatnonzero(left.any(axis=0)):
        receivers = np.flatnonzero(left[:, column])
        donors = points.donors[column]
        far = distances[np.ix_(receivers, donors)]
        reached = ~np.isnan(far).all(axis=1)
        means = np.full(len(receivers), op.fill.values[column])
        if reached.any():
            far = np.ascontiguousarray(far[reached])
            k = min(op.n_neighbors, len(donors))
            nearest = np.ascontiguousarray(np.argpartition(far, k - 1, axis=1)[:, :k])
            own = np.empty(len(far))
            values = points.columns[column, donors]
            weighted_means(far, nearest, values, by_distance, own)
            means[reached] = own
        rows[receivers, column] = means
    return rows


def _nan_euclidean(
    rows: Floats, missing: npt.NDArray[np.bool_], points: _Points, room: Floats
) -> Floats:
    """Distances over the columns that a row and a point have, scaled up to all: (n_rows, n_points).

    `room` (4, n_rows, n_points) receives the products; the distances are the first of them.
    """
    from millrace.backends.numba.kernels.impute import finish_distances

    values = np.where(missing, 0.0, rows)
    distances, only_rows, only_points, shared = room
    np.matmul(values, points.values, out=distances)
    np.matmul(values * values, points.missing, out=only_rows)
    np.matmul(missing.astype(np.float64), points.squares, out=only_points)
    np.matmul((~missing).astype(np.float64), points.known, out=shared)
    norms = np.einsum("ij,ij->i", values, values)
    width = float(rows.shape[1])
    finish_distances(distances, only_rows, only_points, shared, norms, points.norms, width)
    return distances
