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
    "float64(float64[::1], int64[::1], int64, float64[::1], boolean)", nogil=True, cache=True
)
def _mean_of(near, donors, count, values, by_distance):  # type: ignore[no-untyped-def]
    """The mean over the first `count` of `donors`, whose distances are `near`."""
    at_zero = False
    for j in range(count):
        at_zero |= near[j] == 0.0
    total, weights = 0.0, 0.0
    for j in range(count):
        if np.isnan(near[j]):
            continue
        weight = 1.0
        if by_distance:
            weight = (1.0 if near[j] == 0.0 else 0.0) if at_zero else 1.0 / near[j]
        total += values[donors[j]] * weight
        weights += weight
    return total / weights if weights != 0.0 else np.nan


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
    near, k = np.empty(nearest.shape[1]), nearest.shape[1]
    for row in range(nearest.shape[0]):
        for j in range(k):
            near[j] = far[row, nearest[row, j]]
        means[row] = _mean_of(near, nearest[row], k, values, by_distance)


@numba.njit(
    "void(float64[:, ::1], boolean[:, ::1], boolean[:, ::1], float64[:, ::1], float64[::1], int64, "
    "boolean, float64[:, ::1], boolean[:, ::1])",
    nogil=True,
    cache=True,
)
def fill_cells(far, missing, known, values, fill, k, by_distance, rows, left):  # type: ignore[no-untyped-def]
    """Fill the missing cells of rows with the means of their nearest donors.

    Parameters
    ----------
    far : float64 (n_rows, n_points)
        Distances; NaN where a point has no column in common with the row.
    missing : bool (n_rows, width)
    known : bool (width, n_points)
        Which points have a column.
    values : float64 (width, n_points)
    fill : float64 (width,)
        For cells without a donor.
    k : int
        So many donors, or as many as there are.
    by_distance : bool
        As for `weighted_means`.
    rows : float64 (n_rows, width)
        Receives the means.
    left : bool (n_rows, width)
        Receives which cells are not filled, because donors are tied or infinitely far.
    """
    near, at = np.empty(k + 1), np.empty(k + 1, np.int64)
    for row in range(len(rows)):
        for column in range(rows.shape[1]):
            if not missing[row, column]:
                continue
            count, worst = 0, np.inf
            for point in range(far.shape[1]):
                distance = far[row, point]
                if distance < worst and known[column, point]:
                    count = min(count + 1, k + 1)
                    j = count - 1
                    while j > 0 and near[j - 1] > distance:
                        near[j], at[j] = near[j - 1], at[j - 1]
                        j -= 1
                    near[j], at[j] = distance, point
                    worst = near[k] if count > k else np.inf
            if count > k:
                left[row, column] = near[k] == near[k - 1]
                count = k
            else:
                left[row, column] = np.any(known[column] & np.isinf(far[row]))
            if count == 0:
                rows[row, column] = fill[column]
            else:
                donors = values[column]
                rows[row, column] = _mean_of(near, at, count, donors, by_distance)
