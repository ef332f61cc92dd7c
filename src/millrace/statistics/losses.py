"""Losses of linear models, row by row: value, first and second derivative by the linear predictor.

Conventions: ``z = X @ coef + intercept`` is the linear predictor; y is the target as float64, and for
`Binomial` and `SquaredHinge` 0 or 1. The losses are those of ``sklearn._loss`` (half deviances without
the terms that depend on y alone) and of liblinear, all times the weights of the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from millrace.errors import FitError


@dataclass(frozen=True)
class Terms:
    """What a loss says of some rows.

    Attributes
    ----------
    value : float
        Sum of the weighted losses.
    slope : numpy.ndarray of float64
        First derivatives times the weights: (n_samples,), for `Multinomial` (n_samples, n_classes).
    curve : numpy.ndarray of float64
        Second derivatives times the weights: (n_samples,). For `Multinomial` the weights alone.
    extra : numpy.ndarray of float64, optional
        For a loss with a scale: what stands in the column of the scale when the Hessian is a Gram.
    extra_slope : float
        Derivative of `value` by the scale.
    proba : numpy.ndarray of float64, optional
        `Multinomial`: probabilities (n_samples, n_classes).
    """

    value: float
    slope: np.ndarray
    curve: np.ndarray
    extra: np.ndarray | None = None
    extra_slope: float = 0.0
    proba: np.ndarray | None = None


@dataclass(frozen=True)
class Loss:
    """One loss; see `terms`."""

    has_scale: ClassVar[bool] = False
    n_codes: ClassVar[bool] = False

    def terms(self, z: np.ndarray, y: np.ndarray, weight: np.ndarray | None, scale: float) -> Terms:
        """Value and derivatives at z (n_samples,), weighted; `scale` is for `Huber`."""
        value, slope, curve = self.rows(z, y)
        if weight is not None:
            return Terms(float(value @ weight), slope * weight, curve * weight)
        return Terms(float(value.sum()), slope, curve)

    def rows(self, z: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Loss, first and second derivative of every row, without weights."""
        raise NotImplementedError

    def check(self, y: np.ndarray) -> None:
        """Refuse targets on which the loss is not defined, as scikit-learn does."""


@dataclass(frozen=True)
class Squared(Loss):
    """``(z - y)^2 / 2``"""

    def rows(self, z: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        slope = z - y
        return 0.5 * slope * slope, slope, np.ones_like(z)


@dataclass(frozen=True)
class Binomial(Loss):
    """``log(1 + exp(z)) - y z``"""

    def rows(self, z: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        small = np.abs(z)  # in place where it can be: fresh memory costs as much as the arithmetic
        np.negative(small, out=small)
        np.exp(small, out=small)
        large = small + 1.0
        np.divide(1.0, large, out=large)
        other = small * large
        slope = np.where(z >= 0, large, other)
        slope -= y
        np.multiply(large, other, out=other)
        value = np.log1p(small, out=small)
        value += np.maximum(z, 0.0, out=large)
        value -= np.multiply(y, z, out=large)
        return value, slope, other


@dataclass(frozen=True)
class Poisson(Loss):
    """``exp(z) - y z``"""

    def rows(self, z: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        mean = np.exp(z)
        return mean - y * z, mean - y, mean

    def check(self, y: np.ndarray) -> None:
        if (y < 0).any():
            raise _out_of_range("HalfPoissonLoss")


@dataclass(frozen=True)
class Gamma(Loss):
    """``z + y exp(-z)``"""

    def rows(self, z: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        ratio = y * np.exp(-z)
        return z + ratio, 1.0 - ratio, ratio

    def check(self, y: np.ndarray) -> None:
        if (y <= 0).any():
            raise _out_of_range("HalfGammaLoss")


@dataclass(frozen=True)
class Tweedie(Loss):
    """``exp((2-p) z) / (2-p) - y exp((1-p) z) / (1-p)`` for a power p other than 1 and 2.

    Not convex for p < 1 and p > 2: the second derivative can be negative.
    """

    power: float

    def rows(self, z: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        one, two = 1.0 - self.power, 2.0 - self.power
        grown, paid = np.exp(two * z), y * np.exp(one * z)
        return grown / two - paid / one, grown - paid, two * grown - one * paid

    def check(self, y: np.ndarray) -> None:
        if (1 < self.power < 2 and (y < 0).any()) or (self.power >= 2 and (y <= 0).any()):
            raise _out_of_range("HalfTweedieLoss")


@dataclass(frozen=True)
class SquaredHinge(Loss):
    """``max(0, 1 - s z)^2`` with s = 2 y - 1; the second derivative is that of the active side."""

    def rows(self, z: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        sign = 2.0 * y - 1.0
        short = np.maximum(0.0, 1.0 - sign * z)
        return short * short, -2.0 * sign * short, 2.0 * (short > 0)


@dataclass(frozen=True)
class SquaredEpsilonInsensitive(Loss):
    """``max(0, |z - y| - epsilon)^2``"""

    epsilon: float

    def rows(self, z: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        gap = z - y
        over = np.maximum(0.0, np.abs(gap) - self.epsilon)
        return over * over, 2.0 * np.sign(gap) * over, 2.0 * (over > 0)


@dataclass(frozen=True)
class SmoothPinball(Loss):
    """``max(a r, -b r)`` with its kink at r = 0 rounded off: a loss that linear programs minimise.

    r is ``y - z`` for a quantile (``"pinball"``), ``1 - s z`` with s = 2 y - 1 for a hinge, and
    ``|z - y| - epsilon`` for an insensitive tube.

    Attributes
    ----------
    width : float
        The kink at r = 0 becomes a parabola on [-width, width].
    up, down : float
        Slopes a (r > 0) and b (r < 0).
    epsilon : float
        Half width of the tube.
    form : {"pinball", "hinge", "tube"}
    """

    form: str
    width: float
    up: float = 1.0
    down: float = 0.0
    epsilon: float = 0.0

    def rows(self, z: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        residual, sign = self.residual(z, y)
        inside = np.abs(residual) <= self.width
        place = np.clip(residual / self.width, -1.0, 1.0)
        middle, half = 0.5 * (self.up - self.down), 0.5 * (self.up + self.down)
        bent = np.where(inside, 0.5 * self.width * (1.0 + place * place), np.abs(residual))
        value = middle * residual + half * bent
        slope = middle + half * place
        return value, sign * slope, np.where(inside, half / self.width, 0.0)

    def residual(self, z: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Signed distance r of every row from its kink, and dr/dz."""
        if self.form == "hinge":
            sign = 1.0 - 2.0 * y
            return 1.0 + sign * z, sign
        if self.form == "tube":
            gap = z - y
            return np.abs(gap) - self.epsilon, np.where(gap >= 0, 1.0, -1.0)
        return y - z, np.full_like(z, -1.0)


@dataclass(frozen=True)
class Huber(Loss):
    """Huber's loss with its concomitant scale s: ``r^2 / s`` where ``|r| <= epsilon s``, else
    ``2 epsilon |r| - s epsilon^2``; jointly convex in coefficients and scale.

    The Hessian of a row inside is ``2 / s`` times the square of ``(x, 1, r / s)``.
    """

    epsilon: float
    has_scale: ClassVar[bool] = True

    def terms(self, z: np.ndarray, y: np.ndarray, weight: np.ndarray | None, scale: float) -> Terms:
        w = np.ones_like(z) if weight is None else weight
        residual = y - z
        ratio = residual / scale
        outside = np.abs(ratio) > self.epsilon
        clipped = np.clip(ratio, -self.epsilon, self.epsilon)
        value = np.where(
            outside,
            2.0 * self.epsilon * np.abs(residual) - scale * self.epsilon**2,
            residual * ratio,
        )
        return Terms(
            float(w @ value),
            -2.0 * w * clipped,
            np.where(outside, 0.0, 2.0 * w / scale),
            np.where(outside, 0.0, ratio),
            -float(w @ (clipped * clipped)),
        )


@dataclass(frozen=True)
class Multinomial(Loss):
    """``log(sum(exp(z_c))) - z_y`` over the classes; y holds the positions of the classes."""

    n_codes: ClassVar[bool] = True

    def terms(self, z: np.ndarray, y: np.ndarray, weight: np.ndarray | None, scale: float) -> Terms:
        at = (np.arange(len(z)), y)
        top = z.max(axis=1)
        proba = np.exp(z - top[:, None])
        total = proba.sum(axis=1)
        value = np.log(total) + top - z[at]
        proba /= total[:, None]
        slope = proba.copy()
        slope[at] -= 1.0
        if weight is None:
            return Terms(float(value.sum()), slope, np.ones(len(z)), proba=proba)
        return Terms(float(value @ weight), slope * weight[:, None], weight, proba=proba)


def _out_of_range(loss: str) -> FitError:
    return FitError(f"Some value(s) of y are out of the valid range of the loss {loss!r}.")
