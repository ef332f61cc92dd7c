"""The minimum of a sum of losses plus penalties, in few sweeps.

A uniform sample of the rows is kept in memory from the first sweep on, and its optimum is where the
sweeps start. Each sweep gives the exact gradient, the first one also the exact Hessian; what they differ
by from those of the sample corrects the sample's objective, and the minimum of that is the next
point (Shamir, Srebro and Zhang 2014, with a second-order correction). The error shrinks by a factor of
the sample's own error at each sweep. Where it does not, Newton steps with the exact Hessian and a line
search of several lengths in one sweep take over.
"""

from __future__ import annotations

import warnings
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import linalg

from millrace.solvers.rows import Rows
from millrace.statistics.base import Batch
from millrace.statistics.glm import GLM, Labels, Sums
from millrace.statistics.losses import Loss
from millrace.statistics.sample import Sample, Sampled

SAMPLE_ROWS = 50_000
SAMPLE_BYTES = 32 << 20

FEWEST_ROWS = 2_000
"""Rows of the sample at least."""

WIDEST_HESSIAN = 1_000
"""Parameters up to which the Hessian is formed: beyond, its products cost more than the sweeps saved."""

CLOSE = 3e-9
"""Largest expected relative error of the coefficients, in the scale of the Hessian's diagonal."""

MOST_SWEEPS = 100

_LENGTHS = 0.5 ** np.arange(1, 9)


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
class _Point:
    """The objective at one point: without penalties, but for `total`."""

    w: np.ndarray
    total: float
    slope: np.ndarray
    hessian: np.ndarray | None


@dataclass(frozen=True)
class _Correction:
    """What turns the sample's objective into one that agrees with the exact one around `at`."""

    share: float
    slope: np.ndarray | None = None
    curve: np.ndarray | None = None
    at: np.ndarray | None = None


def sample_of(rows: Rows, n_outputs: int = 1) -> Sample:
    """The sample that is asked for beside the first statistic of a solver."""
    width = max(1, rows.width or 1) * max(1, n_outputs)
    most = max(FEWEST_ROWS, min(SAMPLE_ROWS, SAMPLE_BYTES // (8 * width)))
    return Sample(most, rows.n_rows)


def centered(problem: Problem, sample: Sampled) -> Problem:
    """The same problem around the sample's mean, where the intercept is free and rows are dense."""
    if problem.intercept == 0 or sample.batch.is_sparse:
        return problem
    n_features = problem.shape[1] - 1 - int(problem.loss.has_scale)
    places = np.arange(problem.shape[0]) * problem.shape[1] + n_features
    if problem.l1[places].any() or problem.l2[places].any():
        return problem
    center = np.mean(sample.batch.matrix, axis=0, dtype=np.float64)
    return replace(problem, center=center) if np.isfinite(center).all() else problem


def minimise(
    rows: Rows, problem: Problem, sample: Sampled, start: np.ndarray, tol: float = 1e-4
) -> Generator[Any, Any, tuple[np.ndarray, int]]:
    """The minimum: parameters (size,) in the problem's coordinates, and the number of sweeps.

    Parameters
    ----------
    start : numpy.ndarray
        Where the search begins (size,).
    tol : float
        scikit-learn's: where the loss has no minimum (classes that a plane divides, no penalty), the
        search ends when the mean gradient is below a hundredth of it.
    """
    if problem.size > WIDEST_HESSIAN:
        from millrace.solvers.sklearn._lbfgs import minimise_wide

        return (yield from minimise_wide(rows, problem, sample, start, tol))
    w = _start(problem, sample, start)
    best: _Point | None = None
    correction: np.ndarray | None = None
    newton, last = False, np.inf
    for n_sweeps in range(1, MOST_SWEEPS + 1):
        want = newton or (correction is None and not sample.complete)
        doubtful = n_sweeps == 1 and not sample.complete
        sums: Sums = yield rows.ask(problem.sums([w, start] if doubtful else [w], want))
        problem = replace(problem, who="")  # the rows are finite
        point = _point(problem, w, sums)
        if doubtful and _is_worse(problem, point, start, float(sums.loss[1])):
            w, newton = start, True
            continue
        if best is not None and not _no_worse(point.total, best.total):
            w = yield from _shorter(rows, problem, best, w)
            if newton and w is best.w:
                return w, n_sweeps
            newton = True
            continue
        best = point
        if n_sweeps > 15 and _mean_gradient(problem, point, sums.weight) <= 1e-2 * tol:
            return w, n_sweeps
        step = None if newton else _model_step(problem, sample, point, correction)
        if step is not None:
            correction = step.correction
            newton = not step.sound
            if newton:
                continue
        new = _newton_step(problem, point) if step is None else step.new
        moved = _moved(new - w, w, _hessian(point)) if step is None else step.moved
        ratio = moved / last
        last, w = moved, new
        if moved <= 0.01 * CLOSE or 0 < moved * ratio <= CLOSE:  # the first step has no ratio
            return w, n_sweeps
        newton = newton or ratio > 0.1
    _warn(n_sweeps=MOST_SWEEPS)
    return w, MOST_SWEEPS


def together(solvers: Sequence[Generator[Any, Any, Any]]) -> Generator[Any, Any, list[Any]]:
    """Run several generators of single requests side by side: what all wait for is one sweep."""
    results: list[Any] = [None] * len(solvers)
    answers: dict[int, Any] = dict.fromkeys(range(len(solvers)))
    while True:
        waiting: dict[int, Any] = {}
        for i, answer in answers.items():
            try:
                waiting[i] = solvers[i].send(answer)
            except StopIteration as end:
                results[i] = end.value
        if not waiting:
            return results
        found = yield list(waiting.values())
        answers = dict(zip(waiting, found, strict=True))


def _point(problem: Problem, w: np.ndarray, sums: Sums) -> _Point:
    with np.errstate(invalid="ignore", over="ignore"):
        total = problem.factor * float(sums.loss[0]) + problem.penalty(w)
        slope = problem.factor * sums.gradient[0].ravel() + problem.linear
        curve = None if sums.hessian is None else problem.factor * sums.hessian
    return _Point(w, total if np.isfinite(total) else np.inf, slope, curve)


def _warn(n_sweeps: int) -> None:
    from sklearn.exceptions import ConvergenceWarning

    warnings.warn(
        f"The optimum was not reached in {n_sweeps} sweeps; scale the columns or penalise more.",
        ConvergenceWarning,
        stacklevel=2,
    )


def _is_worse(problem: Problem, point: _Point, start: np.ndarray, loss: float) -> bool:
    """Whether the sample leads away from the optimum: one whose classes a plane divides, to infinity.

    So far out the losses are straight lines: no curvature says how far the way back is.
    """
    total = problem.factor * loss + problem.penalty(start)
    return bool(np.isfinite(total)) and not _no_worse(point.total, total)


def _no_worse(new: float, old: float) -> bool:
    return new <= old + 1e-11 * abs(old) if np.isfinite(new) else False


def _mean_gradient(problem: Problem, point: _Point, weight: float) -> float:
    slope = point.slope + problem.l2 * point.w
    slope = np.sign(slope) * np.maximum(0.0, np.abs(slope) - problem.l1)
    return float(np.abs(slope).max() / max(problem.factor * weight, 1e-300))


def _moved(step: np.ndarray, w: np.ndarray, hessian: np.ndarray) -> float:
    """The largest change of a parameter, relative to the largest parameter, in comparable units."""
    scale = np.sqrt(np.maximum(np.diag(hessian), 0.0))
    size = max(float(np.max(np.abs(w) * scale)), float(np.max(np.abs(w + step) * scale)))
    return float(np.max(np.abs(step) * scale)) / size if size > 0 else 0.0


def _start(problem: Problem, sample: Sampled, start: np.ndarray) -> np.ndarray:
    """The optimum of the sample; roughly, unless it holds every row."""
    batch, w = sample.batch, start
    share = sample.n_rows / len(batch)
    if sample.complete:
        return _minimum(problem, batch, w, _Correction(share), 1e-12, 100)
    if len(batch) > 10_000:
        tenth = _every(batch, 10)
        w = _minimum(problem, tenth, w, _Correction(sample.n_rows / len(tenth)), 1e-2, 12)
    return _minimum(problem, batch, w, _Correction(share), 1e-3, 12)


def _every(batch: Batch, step: int) -> Batch:
    y = None if batch.y is None else batch.y[::step]
    weight = None if batch.weight is None else batch.weight[::step]
    return Batch(batch.first, batch.matrix[::step], y, weight, batch.row_numbers()[::step])


@dataclass(frozen=True)
class _Step:
    """A step of the corrected sample.

    `sound` is False where its objective has no minimum nearby, being not convex: Newton's step for the
    exact gradient is then much longer.
    """

    new: np.ndarray
    correction: np.ndarray
    moved: float
    sound: bool


def _model_step(
    problem: Problem, sample: Sampled, point: _Point, correction: np.ndarray | None
) -> _Step:
    """The minimum of the corrected sample, and the correction of its Hessian."""
    share = sample.n_rows / len(sample.batch)
    here = problem.sums([point.w], True).of(sample.batch)
    assert here.hessian is not None
    scale = share * problem.factor
    if correction is None:
        curve = scale * here.hessian
        correction = np.zeros_like(curve) if point.hessian is None else point.hessian - curve
    slope = point.slope - problem.linear - scale * here.gradient[0].ravel()
    fix = _Correction(share, slope, correction, point.w)
    new = _minimum(problem, sample.batch, point.w, fix, 1e-12, 30)
    hessian = scale * here.hessian + correction
    newton = _newton_step(problem, replace(point, hessian=hessian))
    moved = _moved(new - point.w, point.w, hessian)
    sound = 0.1 * _moved(newton - point.w, point.w, hessian) <= moved
    return _Step(new, correction, moved, sound)


def _minimum(
    problem: Problem, batch: Batch, w: np.ndarray, fix: _Correction, close: float, most: int
) -> np.ndarray:
    """Newton's method on rows in memory."""
    problem = replace(problem, factor=problem.factor * fix.share)
    point, last = _local(problem, batch, w, fix), 1.0
    problem = replace(problem, who="")
    for _ in range(most):
        target = _newton_step(problem, point)
        new = point
        for length in (1.0, *_LENGTHS):
            trial = target if length == 1 else point.w + length * (target - point.w)
            new = _local(problem, batch, trial, fix)
            if _no_worse(new.total, point.total):
                break
        else:
            return point.w
        moved = _moved(new.w - point.w, point.w, _hessian(point))
        ratio, last, point = moved / last, moved, new
        if moved * min(1.0, ratio) <= close or (moved <= 1e-8 and ratio > 0.3):
            break
    return point.w


def _hessian(point: _Point) -> np.ndarray:
    assert point.hessian is not None
    return point.hessian


def _local(problem: Problem, batch: Batch, w: np.ndarray, fix: _Correction) -> _Point:
    """The corrected objective of rows in memory."""
    point = _point(problem, w, problem.sums([w], True).of(batch))
    if fix.slope is None or fix.curve is None or fix.at is None:
        return point
    away = w - fix.at
    bend = fix.curve @ away
    return _Point(
        w,
        point.total + float(fix.slope @ away + 0.5 * (away @ bend)),
        point.slope + fix.slope + bend,
        _hessian(point) + fix.curve,
    )


def _shorter(
    rows: Rows, problem: Problem, best: _Point, failed: np.ndarray
) -> Generator[Any, Any, np.ndarray]:
    """The best of several points on the way to one that was worse; `best.w` where none is better."""
    points = [best.w + t * (failed - best.w) for t in _LENGTHS]
    for _ in range(4):
        sums: Sums = yield rows.ask(problem.sums(points, False))
        totals = [
            problem.factor * float(v) + problem.penalty(p)
            for v, p in zip(sums.loss, points, strict=True)
        ]
        totals = [t if np.isfinite(t) else np.inf for t in totals]
        at = int(np.argmin(totals))
        if totals[at] < best.total:
            return points[at]
        points = [best.w + _LENGTHS[-1] * (p - best.w) for p in points]
    return best.w


def _newton_step(problem: Problem, point: _Point) -> np.ndarray:
    """The minimum of the quadratic model at a point, penalties included."""
    hessian = _hessian(point)
    if problem.l1.any():
        new = _lasso(hessian, point.slope, point.w, problem.l1, problem.l2)
    else:
        matrix = hessian + np.diag(problem.l2)
        new = point.w - solve(matrix, point.slope + problem.l2 * point.w)
    if problem.loss.has_scale:
        new[-1] = max(new[-1], 0.1 * point.w[-1])
    return problem.settled(new)


def solve(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """``matrix @ x = right`` for a symmetric matrix that should be positive definite.

    Directions without curvature get no step, those with a negative one are taken as if it were positive.
    """
    scale = np.sqrt(np.maximum(np.diag(matrix), 0.0))
    scale[scale == 0] = 1.0
    matrix = matrix / np.outer(scale, scale)
    try:
        factor = linalg.cholesky(matrix, lower=True, check_finite=False)
        if np.diag(factor).min() > 1e-6:
            half = linalg.solve_triangular(factor, right / scale, lower=True)
            return linalg.solve_triangular(factor, half, lower=True, trans=1) / scale
    except linalg.LinAlgError:
        pass
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
