"""Sums of kinks in memory: a primal-dual interior point method.

Portnoy and Koenker (1997) for quantiles, with a quadratic term; steps as Mehrotra (1992) chooses them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from millrace.solvers.sklearn._objective import solve

MOST_STEPS = 200

CLOSE = 1e-13
"""Duality gap at the end, relative to the value."""


@dataclass(frozen=True)
class Kinks:
    """``w @ (l2 * w) / 2 + q @ w + sum(up * max(r, 0) + down * max(-r, 0))`` with ``r = b - A @ w``.

    Attributes
    ----------
    A : numpy.ndarray of float64
        (n_rows, n_parameters)
    b, up, down : numpy.ndarray of float64
        (n_rows,); ``up + down > 0``.
    l2, q : numpy.ndarray of float64
        (n_parameters,)
    """

    A: np.ndarray
    b: np.ndarray
    up: np.ndarray
    down: np.ndarray
    l2: np.ndarray
    q: np.ndarray

    def value(self, w: np.ndarray) -> float:
        r = self.b - self.A @ w
        lost = self.up @ np.maximum(r, 0.0) + self.down @ np.maximum(-r, 0.0)
        return float(lost + self.q @ w + 0.5 * (w @ (self.l2 * w)))


@dataclass
class _State:
    """Parameters w, multipliers a of the rows, and the positive and negative parts of the residuals."""

    w: np.ndarray
    a: np.ndarray
    p: np.ndarray
    n: np.ndarray


def minimum(kinks: Kinks, start: np.ndarray) -> np.ndarray | None:
    """The minimum (n_parameters,), or None where there is none (unbounded)."""
    with np.errstate(all="ignore"):  # rows far from their kinks: complementary products underflow
        return _minimum(kinks, start)


def _minimum(kinks: Kinks, start: np.ndarray) -> np.ndarray | None:
    state = _first(kinks, start)
    best, least, closest = start, np.inf, np.inf
    for _ in range(MOST_STEPS):
        s, t = kinks.up - state.a, state.a + kinks.down
        gap = float(state.p @ s + state.n @ t)
        value = kinks.value(state.w)
        if not (np.isfinite(value) and np.isfinite(gap)):
            break
        closest = gap / max(abs(value), 1e-300)
        if value < least:
            best, least = state.w, value
        off = kinks.l2 * state.w + kinks.q - kinks.A.T @ state.a
        size = np.abs(kinks.A).T @ np.maximum(kinks.up, kinks.down)
        if gap <= CLOSE * max(abs(value), 1e-300) and (np.abs(off) <= 1e-12 * size).all():
            return best
        center = gap / (2 * len(s))
        if center <= 1e-300:
            return best
        affine = _step(kinks, state, s, t, 0.0, None)
        ahead = _length(state, s, t, affine)
        after = _moved(state, affine, ahead)
        rest = float(after.p @ (kinks.up - after.a) + after.n @ (after.a + kinks.down))
        aim = center * (rest / gap) ** 3
        step = _step(kinks, state, s, t, aim, affine)
        state = _moved(state, step, min(1.0, 0.9995 * _length(state, s, t, step)))
    return best if closest <= 1e-8 else None


def _first(kinks: Kinks, w: np.ndarray) -> _State:
    r = kinks.b - kinks.A @ w
    room = float(np.mean(np.abs(r))) or 1.0
    return _State(
        w.copy(), 0.5 * (kinks.up - kinks.down), np.maximum(r, 0) + room, np.maximum(-r, 0) + room
    )


def _step(
    kinks: Kinks, z: _State, s: np.ndarray, t: np.ndarray, aim: float, ahead: _State | None
) -> _State:
    """Newton's step towards ``p s = n t = aim``, corrected by the products of the step `ahead`."""
    first = aim - z.p * s
    second = aim - z.n * t
    if ahead is not None:
        first += ahead.p * ahead.a
        second -= ahead.n * ahead.a
    theta = z.p / s + z.n / t
    off = kinks.A.T @ z.a - kinks.l2 * z.w - kinks.q
    missed = kinks.b - kinks.A @ z.w - z.p + z.n - first / s + second / t
    bent = kinks.A / np.sqrt(theta)[:, None]
    dw = solve(bent.T @ bent + np.diag(kinks.l2), off + kinks.A.T @ (missed / theta))
    da = (missed - kinks.A @ dw) / theta
    return _State(dw, da, (first + z.p * da) / s, (second - z.n * da) / t)


def _length(z: _State, s: np.ndarray, t: np.ndarray, d: _State) -> float:
    """The longest step of at most one that keeps everything positive."""
    most = 1.0
    for value, change in ((z.p, d.p), (z.n, d.n), (s, -d.a), (t, d.a)):
        falls = change < 0
        if falls.any():
            most = min(most, float(np.min(-value[falls] / change[falls])))
    return most


def _moved(z: _State, d: _State, length: float) -> _State:
    return _State(z.w + length * d.w, z.a + length * d.a, z.p + length * d.p, z.n + length * d.n)
