"""Power transforms of columns and their derivatives by lambda, as sums for the likelihood.

With ``u = log(x)`` (Box-Cox), ``log1p(x)`` or ``log1p(-x)`` (Yeo-Johnson) every branch of both is
``u * E(l * u)`` with ``E(t) = (exp(t) - 1) / t`` and l the lambda or two less it, up to signs. E and its
derivatives are taken from their series near 0, where the closed forms cancel.

Limit: one logarithm and one exponential a value.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numba import types

_F4 = types.Array(types.float32, 2, "C", readonly=True)
_F8 = types.Array(types.float64, 2, "C", readonly=True)
_IN = types.Array(types.float64, 1, "C", readonly=True)
_OUT = types.Array(types.float64, 2, "C")

COUNT, LOGS, LEAST, PSI, FIRST, SECOND, VV, VF, FF, VS = range(10)
"""Columns of the result: values, sum of (signed) logarithms, least value, means of the transform and of
its derivatives, and central sums of products: value-value, value-first, first-first, value-second."""

_inlined = numba.njit(nogil=True, cache=True, inline="always")


@_inlined
def _parts(t):
    """E, E' and E'' at t."""
    if abs(t) < 0.25:
        e0, e1, e2 = 0.0, 0.0, 0.0
        term = 1.0
        for k in range(14):
            # term is t ** k / (k + 1)!; the derivatives lower the power and keep the factorial.
            e0 += term
            e1 += term * (k + 1.0) / (k + 2.0)
            e2 += term * (k + 1.0) / (k + 3.0)
            term *= t / (k + 2.0)
        return e0, e1, e2
    e0 = math.expm1(t) / t
    grown = math.exp(t)
    e1 = (grown - e0) / t
    return e0, e1, (grown - 2.0 * e1) / t


@numba.njit([types.void(x, _IN, types.boolean, _OUT) for x in (_F4, _F8)], nogil=True, cache=True)
def likelihood(X, lambdas, box_cox, out):
    """Sums over the rows of X (n, p) into `out` (p, 10) for the lambda of each column."""
    n, p = X.shape
    out[:] = 0.0
    for j in range(p):
        power = lambdas[j]
        count, logs, least = 0.0, 0.0, math.inf
        v0, f0, s0 = 0.0, 0.0, 0.0
        sv, sf, ss, svv, svf, sff, svs = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for i in range(n):
            x = np.float64(X[i, j])
            if x != x:
                continue
            least = min(least, x)
            if box_cox:
                if x <= 0.0:
                    continue
                u, sign, at = math.log(x), 1.0, power
            elif x >= 0.0:
                u, sign, at = math.log1p(x), 1.0, power
            else:
                u, sign, at = math.log1p(-x), -1.0, 2.0 - power
            e0, e1, e2 = _parts(at * u)
            v, f, s = sign * u * e0, u * u * e1, sign * u * u * u * e2
            logs += sign * u
            if count == 0.0:
                v0, f0, s0 = v, f, s
            count += 1.0
            v, f, s = v - v0, f - f0, s - s0
            sv += v
            sf += f
            ss += s
            svv += v * v
            svf += v * f
            sff += f * f
            svs += v * s
        out[j, COUNT], out[j, LOGS], out[j, LEAST] = count, logs, least
        if count > 0.0:
            out[j, PSI] = v0 + sv / count
            out[j, FIRST] = f0 + sf / count
            out[j, SECOND] = s0 + ss / count
            out[j, VV] = svv - sv * sv / count
            out[j, VF] = svf - sv * sf / count
            out[j, FF] = sff - sf * sf / count
            out[j, VS] = svs - sv * ss / count
