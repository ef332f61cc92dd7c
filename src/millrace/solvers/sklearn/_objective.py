"""A sum of losses plus penalties: its value at a point, and the minimum of its quadratic model there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import linalg
from scipy.linalg import lapack as untyped

from millrace.statistics.glm import GLM, Labels, Sums
from millrace.statistics.losses import Loss

lapack: Any = untyped

_SHRUNK = 0.1
"""What a step leaves of a scale at least; it has to stay positive."""


@dataclass(frozen=True)
class Problem:
    """``factor * sum(losses) + linear @ w + sum(l1 |w|) + sum(l2 w^2) / 2`` over parameters w.

    Attributes
    ----------
    loss : Loss
    shape : tuple of int
        (n_outputs, n_parameters), see `GLM`.
    l1, l2, linear : numpy.ndarray of float64
        (n_outputs * n_parameters,)
    factor : float
    labels : Labels, optional
    intercept : float
        Value of the constant column; 0 for none.
    center : numpy.ndarray, optional
        Shift of the columns, only beside an intercept without penalty (n_features,).
    who : str
    """

    loss: Loss
    shape: tuple[int, int]
    l1: np.ndarray
    l2: np.ndarray
    linear: np.ndarray
    factor: float = 1.0
    labels: Labels | None = None
    intercept: float = 1.0
    center: np.ndarray | None = None
    who: str = ""

    @property
    def size(self) -> int:
        """Number of parameters in all."""
        return self.shape[0] * self.shape[1]

    def sums(self, points: Sequence[np.ndarray], hessian: bool) -> GLM:
        """The statistic at some points (size,)."""
        coef = np.stack([p.reshape(self.shape) for p in points])
        return GLM(self.loss, coef, self.labels, self.intercept, self.center, hessian, self.who)

    def penalty(self, w: np.ndarray) -> float:
        """The part that no row adds to."""
        return float(self.linear @ w + self.l1 @ np.abs(w) + 0.5 * (self.l2 @ (w * w)))

    def settled(self, w: np.ndarray) -> np.ndarray:
        """Where a shift common to all classes changes nothing, the point with mean zero."""
        if self.shape[0] == 1:
            return w
        w = w.reshape(self.shape).copy()
        free = ((self.l1 == 0) & (self.l2 == 0)).reshape(self.shape)[0]
        w[:, free] -= w[:, free].mean(axis=0)
        return w.ravel()

    def raw(self, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients (n_outputs, n_features) and intercepts (n_outputs,) of uncentred columns."""
        table = w.reshape(self.shape)
        n_features = self.shape[1] - int(self.intercept != 0) - int(self.loss.has_scale)
        coef = table[:, :n_features].copy()
        if self.intercept == 0:
            return coef, np.zeros(len(table))
        constant = self.intercept * table[:, n_features]
        if self.center is not None:
            constant = constant - coef @ self.center
        return coef, constant - constant.mean() if len(table) > 1 else constant


@dataclass(frozen=True)
class Point:
    """The objective at one point: without penalties, but for `total`."""

    w: np.ndarray
    total: float
    slope: np.ndarray
    hessian: np.ndarray | None


def point_of(problem: Problem, w: np.ndarray, sums: Sums) -> Point:
    with np.errstate(invalid="ignore", over="ignore"):
        total = problem.factor * float(sums.loss[0]) + problem.penalty(w)
        slope = problem.factor * sums.gradient[0].ravel() + problem.linear
        curve = None if sums.hessian is None else problem.factor * sums.hessian
    return Point(w, total if np.isfinite(total) else np.inf, slope, curve)


def no_worse(new: float, old: float) -> bool:
    return new <= old + 1e-11 * abs(old) if np.isfinite(new) else False


def moved_by(step: np.ndarray, w: np.ndarray, hessian: np.ndarray) -> float:
    """The largest change of a parameter, relative to the largest parameter, in comparable units."""
    scale = np.sqrt(np.maximum(np.diag(hessian), 0.0))
    size = max(float(np.max(np.abs(w) * scale)), float(np.max(np.abs(w + step) * scale)))
    return float(np.max(np.abs(step) * scale)) / size if size > 0 else 0.0


def hessian_of(point: Point) -> np.ndarray:
    assert point.hessian is not None
    return point.hessian


def newton_step(problem: Problem, point: Point) -> np.ndarray:
    """The minimum of the quadratic model at a point, penalties included."""
    hessian = hessian_of(point)
    if problem.l1.any():
        new = _lasso(hessian, point.slope, point.w, problem.l1, problem.l2)
    else:
        matrix = hessian + np.diag(problem.l2)
        new = point.w - solve(matrix, point.slope + problem.l2 * point.w)
    if problem.loss.has_scale and new[-1] < (least := _SHRUNK * point.w[-1]):
        # All of the step is shortened: with only the scale held back it may lead uphill.
        new = point.w + (point.w[-1] - least) / (point.w[-1] - new[-1]) * (new - point.w)
    return problem.settled(new)


def solve(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """``matrix @ x = right`` for a symmetric matrix that should be positive definite.

    Directions without curvature get no step, those with a negative one are taken as if it were positive.
    """
    if not len(matrix):
        return right
    scale = np.sqrt(np.maximum(np.diag(matrix), 0.0))
    scale[scale == 0] = 1.0
    matrix = matrix / np.outer(scale, scale)
    # LAPACK itself: of twenty parameters, its wrappers cost more than it does
    factor, failed = lapack.dpotrf(matrix.T, lower=1)
    if not failed and np.diag(factor).min() > 1e-6:
        return lapack.dpotrs(factor, right / scale, lower=1)[0] / scale
    values, vectors = linalg.eigh(matrix)
    size = np.abs(values)
    kept = size > 1e-13 * len(values) * size.max(initial=0.0)
    parts = np.where(kept, vectors.T @ (right / scale), 0.0) / np.where(kept, size, 1.0)
    return vectors @ parts / scale


def _lasso(
    hessian: np.ndarray, slope: np.ndarray, w: np.ndarray, l1: np.ndarray, l2: np.ndarray
) -> np.ndarray:
    """The minimum of a quadratic with penalties: coordinates first, then the active ones exactly."""
    from millrace.statistics.kernels.descent import descend

    size = float(np.max(np.abs(w) * np.sqrt(np.maximum(np.diag(hessian), 0.0)), initial=0.0))
    close = 1e-9 * max(size, float(np.sqrt(np.abs(slope).max(initial=0.0)) * 1e-3), 1e-300)
    u = descend(np.ascontiguousarray(hessian), slope, w, l1, l2, close, 2_000)
    active = np.flatnonzero((u != 0) | (l1 == 0))
    inner = hessian[np.ix_(active, active)] + np.diag(l2[active])
    right = hessian[active] @ w - slope[active] - l1[active] * np.sign(u[active])
    exact = solve(inner, right)
    penalised = l1[active] > 0
    if (np.sign(exact[penalised]) == np.sign(u[active][penalised])).all():
        polished = np.zeros_like(u)
        polished[active] = exact
        out = slope + hessian @ (polished - w) + l2 * polished
        if (np.abs(out[polished == 0]) <= l1[polished == 0] * (1 + 1e-9)).all():
            return polished
    return u
