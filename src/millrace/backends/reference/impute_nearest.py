"""Fill missing cells from the nearest points, in the order of operations of scikit-learn 1.9.1."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.ir.ops import ImputeNearest

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def impute_nearest(block: npt.NDArray[Any], op: ImputeNearest) -> Floats:
    """The block (n_samples, width) as float64 without NaN; see `millrace.ir.ops.ImputeNearest`."""
    filled = block.astype(np.float64)
    missing = np.isnan(filled)
    rows = np.flatnonzero(missing.any(axis=1))
    if not len(rows):
        return filled
    distances = _nan_euclidean(filled[rows], op.points.values)
    known = ~np.isnan(op.points.values)
    for column in np.flatnonzero(missing.any(axis=0)):
        receivers = np.flatnonzero(missing[rows, column])
        donors = np.flatnonzero(known[:, column])
        far = distances[receivers][:, donors]
        reached = ~np.isnan(far).all(axis=1)
        values = np.full(len(receivers), op.fill.values[column])
        if reached.any():
            values[reached] = _mean_of_nearest(far[reached], op.points.values[donors, column], op)
        filled[rows[receivers], column] = values
    return filled


def _nan_euclidean(rows: Floats, points: Floats) -> Floats:
    """``nan_euclidean_distances`` of scikit-learn, with its products: (n_rows, n_points)."""
    rows_missing, points_missing = np.isnan(rows), np.isnan(points)
    rows, points = np.where(rows_missing, 0.0, rows), np.where(points_missing, 0.0, points)
    distances = -2 * (rows @ points.T)
    distances += np.einsum("ij,ij->i", rows, rows)[:, None]
    distances += np.einsum("ij,ij->i", points, points)[None, :]
    np.maximum(distances, 0, out=distances)
    distances -= (rows * rows) @ points_missing.T.astype(np.float64)
    distances -= rows_missing.astype(np.float64) @ (points * points).T
    np.clip(distances, 0, None, out=distances)
    shared = (~rows_missing).astype(np.int64) @ (~points_missing).T.astype(np.int64)
    distances[shared == 0] = np.nan
    distances /= np.maximum(1, shared)
    distances *= rows.shape[1]
    return np.sqrt(distances)


def _mean_of_nearest(far: Floats, values: Floats, op: ImputeNearest) -> Floats:
    """The mean of `values` (n_donors,) over the nearest donors of each row of `far`."""
    k = min(op.n_neighbors, len(values))
    nearest = np.argpartition(far, k - 1, axis=1)[:, :k]
    distances = np.take_along_axis(far, nearest, axis=1)
    if op.weights == "distance":
        weights = 1.0 / distances
        infinite = np.isinf(weights)
        weights = np.where(infinite.any(axis=1, keepdims=True), infinite, weights)
        weights[np.isnan(weights)] = 0.0
    else:
        weights = (~np.isnan(distances)).astype(np.float64)
    return (values[nearest] * weights).sum(axis=1) / weights.sum(axis=1)
