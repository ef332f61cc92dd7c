"""What follows the matrix products when missing cells are filled from the nearest points."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(
    "void(float64[:, ::1], float64[:, ::1], float64[:, ::1], float64[:, ::1], "
    "float64[::1], float64[::1], float64)",
    nogil=True,
    cache=True,
)
def finish_distances(products, only_rows, only_points, shared, row_norms, point_norms, width):  # type: ignore[no-untyped-def]
    """Turn ``x @ y.T`` into nan-euclidean distances, in place.

    Parameters
    ----------
    products, only_rows, only_points : float64 (n_rows, n_points)
        The inner products over the cells that both have, and the squares of those cells of the row (of
        the point) that are missing in the point (in the row).
    shared : float64 (n_rows, n_points)
        How many columns both have.
    row_norms, point_norms : float64 (n_rows,), (n_points,)
        Squared norms.
    width : float64
        Number of columns.
    """
    for row in range(products.shape[0]):
        for point in range(products.shape[1]):
            square = -2.0 * products[row, point] + row_norms[row]
            square = max(square + point_norms[point], 0.0)
            square = square - only_rows[row, point]
            square = max(square - only_points[row, point], 0.0)
            count = shared[row, point]
            square = square / max(count, 1.0) * width
            products[row, point] = np.sqrt(square) if count > 0 else np.nan


@numba.njit(
    "void(float64[:, ::1], int64[:, ::1], float64[::1], boolean, float64[::1])",
    nogil=True,
    cache=True,
)
def weighted_means(far, nearest, values, by_distance, means):  # type: ignore[no-untyped-def]
    """The mean over the nearest donors of each row, which has at least one at a known distance.

    Parameters
    ----------
    far : float64 (n_rows, n_donors)
        Distances; NaN where a donor has no column in common with the row.
    nearest : int64 (n_rows, k)
    values : float64 (n_donors,)
    by_distance : bool
        Weight by one over the distance; donors at distance 0 alone count where there are some.
    means : float64 (n_rows,)
        The result.
    """
    for row in range(nearest.shape[0]):
        at_zero = False
        for donor in nearest[row]:
            at_zero |= far[row, donor] == 0.0
        total, weights = 0.0, 0.0
        for donor in nearest[row]:
            distance = far[row, donor]
            if np.isnan(distance):
                continue
            weight = 1.0
            if by_distance:
                weight = (1.0 if distance == 0.0 else 0.0) if at_zero else 1.0 / distance
            total += values[donor] * weight
            weights += weight
        means[row] = total / weights if weights != 0.0 else np.nan
