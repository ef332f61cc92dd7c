"""Coordinate descent on a quadratic with an l1 penalty."""

# Kernels are not Python: Numba gives them their types.
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

jit: Any = njit(nogil=True, cache=True)


@jit
def descend(hessian, slope, point, l1, l2, tol, most):
    """Minimise ``slope @ (u - point) + (u - point) @ hessian @ (u - point) / 2`` plus penalties.

    The penalties are ``sum(l1 * |u|) + sum(l2 * u**2) / 2``. Cyclic, until no coordinate moves by more
    than `tol` in the scale of its curvature, or for `most` rounds.

    Parameters
    ----------
    hessian : float64 of (n, n), symmetric
    slope, point, l1, l2 : float64 of (n,)

    Returns
    -------
    numpy.ndarray
        u, float64 of (n,).
    """
    n = point.shape[0]
    u = point.copy()
    q = slope.copy()
    for _ in range(most):
        largest = 0.0
        for j in range(n):
            curve = hessian[j, j] + l2[j]
            if curve <= 0.0:
                continue
            target = u[j] * hessian[j, j] - q[j]
            size = abs(target) - l1[j]
            new = 0.0 if size <= 0.0 else np.sign(target) * size / curve
            moved = new - u[j]
            if moved != 0.0:
                u[j] = new
                for i in range(n):
                    q[i] += hessian[j, i] * moved
                largest = max(largest, abs(moved) * np.sqrt(curve))
        if largest <= tol:
            break
    return u
