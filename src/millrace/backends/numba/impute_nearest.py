"""Fill missing cells from the nearest points: only rows with a missing cell cost anything.

The products are left to BLAS, as in the source library; what follows them is one pass of a kernel.
The nearest donors are chosen by ``numpy.argpartition``, so that of equally near ones the same are taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.ir.arrays import Array
from millrace.ir.ops import ImputeNearest

Floats = npt.NDArray[np.float64]

_CELLS = 1 << 20
"""Most distances at a time: 8 MiB of each product."""


@dataclass(frozen=True)
class _Points:
    """What the products need of the points, which does not depend on the rows.

    Attributes
    ----------
    values, squares, known, missing : float64 (width, n_points)
        Transposed; `values` and `squares` are 0 where missing, the last two are 0 or 1.
    norms : float64 (n_points,)
    donors : tuple of int64 arrays
        For each column the points that have it.
    """

    values: Floats
    squares: Floats
    known: Floats
    missing: Floats
    norms: Floats
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
        tuple(np.flatnonzero(column) for column in known.T),
    )


def impute_nearest(block: npt.NDArray[Any], op: ImputeNearest) -> Floats:
    """The block (n_samples, width) as float64 without NaN; see `millrace.ir.ops.ImputeNearest`."""
    filled = np.array(block, np.float64, order="C")
    rows = np.flatnonzero(np.isnan(filled).any(axis=1))
    points = _prepared(op.points)
    size = max(1, _CELLS // max(1, len(points.norms)))
    for first in range(0, len(rows), size):
        chunk = rows[first : first + size]
        filled[chunk] = _filled(filled[chunk], points, op)
    return filled


def _filled(rows: Floats, points: _Points, op: ImputeNearest) -> Floats:
    """Rows that each have a missing cell, without them."""
    from millrace.backends.numba.kernels.impute import weighted_means

    missing = np.isnan(rows)
    distances = _nan_euclidean(rows, missing, points)
    for column in np.flatnonzero(missing.any(axis=0)):
        receivers = np.flatnonzero(missing[:, column])
        donors = points.donors[column]
        far = distances[np.ix_(receivers, donors)]
        reached = ~np.isnan(far).all(axis=1)
        means = np.full(len(receivers), op.fill.values[column])
        if reached.any():
            far = np.ascontiguousarray(far[reached])
            k = min(op.n_neighbors, len(donors))
            nearest = np.ascontiguousarray(np.argpartition(far, k - 1, axis=1)[:, :k])
            own = np.empty(len(far))
            values = np.ascontiguousarray(points.values[column, donors])
            weighted_means(far, nearest, values, op.weights == "distance", own)
            means[reached] = own
        rows[receivers, column] = means
    return rows


def _nan_euclidean(rows: Floats, missing: npt.NDArray[np.bool_], points: _Points) -> Floats:
    """Distances over the columns that a row and a point have, scaled up to all: (n_rows, n_points)."""
    from millrace.backends.numba.kernels.impute import finish_distances

    values = np.where(missing, 0.0, rows)
    distances = values @ points.values
    finish_distances(
        distances,
        (values * values) @ points.missing,
        missing.astype(np.float64) @ points.squares,
        (~missing).astype(np.float64) @ points.known,
        np.einsum("ij,ij->i", values, values),
        points.norms,
        float(rows.shape[1]),
    )
    return distances
