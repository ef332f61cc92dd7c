"""The error function and the quantiles of the normal distribution, in float64.

ONNX has the first in float32 only, and the second not at all.
"""

from __future__ import annotations

from dataclasses import replace
from math import factorial

import numpy as np
import numpy.typing as npt
from numpy.polynomial.hermite import hermval

from millrace.backends.onnx.graph import Tensor

_STEPS, _END, _ORDER = 32, 6, 11
"""Steps of the table of `erf` in a unit, where it ends (erf is 1 there), and terms of each series."""


def erf(x: Tensor) -> Tensor:
    """Taylor series around the nearest of a table of points."""
    wide = x.to("float64")
    inside = wide.isnan().where(0, wide).apply("Min", x.graph.scalar(_END, "float64"))
    inside = inside.apply("Max", x.graph.scalar(-_END, "float64"))
    nearest = (inside * _STEPS).apply("Round")
    at, step = (nearest + _STEPS * _END).to("int64"), inside - nearest / _STEPS
    table = _erf_series()
    answer = _entry(table[-1], at)
    for coefficient in table[-2::-1]:
        answer = answer * step + _entry(coefficient, at)
    return wide.isnan().where(wide, answer).to(x.dtype)


def _entry(table: npt.NDArray[np.float64], at: Tensor) -> Tensor:
    name = at.graph.op("Gather", at.graph.array(table), at.name, axis=0)
    return replace(at, name=name, dtype="float64")


def _erf_series() -> npt.NDArray[np.float64]:
    """Coefficients (n_terms, n_points): the derivatives are Hermite polynomials times a bell."""
    from scipy.special import erf as exact

    points = np.arange(-_STEPS * _END, _STEPS * _END + 1) / _STEPS
    bell = 2 / np.sqrt(np.pi) * np.exp(-points * points)
    rows = [exact(points)]
    for n in range(1, _ORDER):
        hermite = hermval(points, [*[0.0] * (n - 1), 1.0])
        rows.append((-1) ** (n - 1) * hermite * bell / factorial(n))
    return np.stack(rows)


def ndtri(p: Tensor) -> Tensor:
    """Wichura's algorithm AS 241 (PPND16): three quotients of polynomials, by distance from 1/2."""
    wide = p.to("float64")
    q = wide - 0.5
    middle = q * _quotient(0.180625 - q * q, _MIDDLE)
    tail = (q < 0).where(wide, 1 - wide)
    r = (-tail.apply("Log")).apply("Sqrt")
    outer = (r <= 5).where(_quotient(r - 1.6, _TAIL), _quotient(r - 5, _FAR_TAIL))
    outer = r.same(np.inf).where(r, outer) * q.apply("Sign")
    answer = (abs(q) <= 0.425).where(middle, outer)
    outside = (wide < 0) | (wide > 1) | wide.isnan()
    return outside.where(np.nan, answer).to(p.dtype)


def _quotient(x: Tensor, coefficients: tuple[tuple[float, ...], tuple[float, ...]]) -> Tensor:
    above, below = (_polynomial(x, c) for c in coefficients)
    return above / below


def _polynomial(x: Tensor, coefficients: tuple[float, ...]) -> Tensor:
    """Lowest power first."""
    answer = x * coefficients[-1] + coefficients[-2]
    for coefficient in coefficients[-3::-1]:
        answer = answer * x + coefficient
    return answer


_MIDDLE = (
    (
        3.3871328727963666080e0,
        1.3314166789178437745e2,
        1.9715909503065514427e3,
        1.3731693765509461125e4,
        4.5921953931549871457e4,
        6.7265770927008700853e4,
        3.3430575583588128105e4,
        2.5090809287301226727e3,
    ),
    (
        1.0,
        4.2313330701600911252e1,
        6.8718700749205790830e2,
        5.3941960214247511077e3,
        2.1213794301586595867e4,
        3.9307895800092710610e4,
        2.8729085735721942674e4,
        5.2264952788528545610e3,
    ),
)
_TAIL = (
    (
        1.42343711074968357734e0,
        4.63033784615654529590e0,
        5.76949722146069140550e0,
        3.64784832476320460504e0,
        1.27045825245236838258e0,
        2.41780725177450611770e-1,
        2.27238449892691845833e-2,
        7.74545014278341407640e-4,
    ),
    (
        1.0,
        2.05319162663775882187e0,
        1.67638483018380384940e0,
        6.89767334985100004550e-1,
        1.48103976427480074590e-1,
        1.51986665636164571966e-2,
        5.47593808499534494600e-4,
        1.05075007164441684324e-9,
    ),
)
_FAR_TAIL = (
    (
        6.65790464350110377720e0,
        5.46378491116411436990e0,
        1.78482653991729133580e0,
        2.96560571828504891230e-1,
        2.65321895265761230930e-2,
        1.24266094738807843860e-3,
        2.71155556874348757815e-5,
        2.01033439929228813265e-7,
    ),
    (
        1.0,
        5.99832206555887937690e-1,
        1.36929880922735805310e-1,
        1.48753612908506148525e-2,
        7.86869131145613259100e-4,
        1.84631831751005468180e-5,
        1.42151175831644588870e-7,
        2.04426310338993978564e-15,
    ),
)
