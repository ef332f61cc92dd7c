"""The minimum of a sum of losses where there are too many parameters for a Hessian: L-BFGS.

One sweep an iteration gives the gradients at several step lengths at once; the best of them is taken. An
l1 penalty is minimised in the orthant of the current point (Andrew and Gao, 2007).
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np

from millrace.solvers.rows import Rows
from millrace.solvers.sklearn._objective import Problem
from millrace.statistics.base import Batch
from millrace.statistics.glm import Sums
from millrace.statistics.sample import Sampled

MEMORY = 20

MOST_SWEEPS = 1_000

_LENGTHS = (1.0, 0.25, 0.05)


def minimise_wide(
    rows: Rows, problem: Problem, sample: Sampled, start: np.ndarray, tol: float
) -> Generator[Any, Any, tuple[np.ndarray, int]]:
    """As `minimise`: parameters and the number of sweeps. Ends at a mean gradient of ``1e-5 * tol``."""
    total = problem.factor * sample.weight
    share = sample.n_rows / len(sample.batch)
    inner = _descent(problem, start, 1e-1 * tol * total, 300)
    w = _in_memory(inner, problem, sample.batch, share)
    if sample.complete:
        w = _in_memory(_descent(problem, w, 1e-5 * tol * total, 5_000), problem, sample.batch, 1.0)
    steps = _descent(problem, w, 1e-5 * tol * total, MOST_SWEEPS)
    points = next(steps)
    n_sweeps = 0
    while True:
        sums: Sums = yield rows.ask(problem.sums(points, False))
        n_sweeps += 1
        try:
            points = steps.send((sums.loss, sums.gradient))
        except StopIteration as end:
            return problem.settled(end.value), n_sweeps


def _in_memory(steps: Any, problem: Problem, batch: Batch, share: float) -> np.ndarray:
    points = next(steps)
    while True:
        sums = problem.sums(points, False).of(batch)
        try:
            points = steps.send((share * sums.loss, share * sums.gradient))
        except StopIteration as end:
            return end.value


def _descent(
    problem: Problem, w: np.ndarray, close: float, most: int
) -> Generator[list[np.ndarray], tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Yields points, is sent their losses and gradients, returns the minimum."""
    pairs: list[tuple[np.ndarray, np.ndarray]] = []
    losses, gradients = yield [w]
    value, slope = _objective(problem, w, losses[0], gradients[0])
    for _ in range(most):
        steepest = _steepest(problem, w, slope)
        if np.abs(steepest).max() <= close:
            break
        step = _two_loops(steepest, pairs)
        if problem.l1.any():
            step[step * steepest > 0] = 0.0
        if not pairs:
            step = step / max(1.0, float(np.abs(steepest).sum()))
        found = yield from _search(problem, w, value, steepest, step)
        if found is None:
            if not pairs:
                break
            pairs = []
            continue
        new, value, new_slope = found
        change, turn = new - w, new_slope - slope
        if change @ turn > 1e-14 * float(np.linalg.norm(change) * np.linalg.norm(turn)):
            pairs = [*pairs, (change, turn)][-MEMORY:]
        w, slope = new, new_slope
    return w


def _search(
    problem: Problem, w: np.ndarray, value: float, steepest: np.ndarray, step: np.ndarray
) -> Generator[Any, Any, tuple[np.ndarray, float, np.ndarray] | None]:
    """The best of several lengths of a step, or None where none is better."""
    scale = 1.0
    for _ in range(8):
        points = [_in_orthant(problem, w, w + scale * t * step, steepest) for t in _LENGTHS]
        losses, gradients = yield points
        tried = [
            _objective(problem, p, v, g) for p, v, g in zip(points, losses, gradients, strict=True)
        ]
        at = min(range(len(tried)), key=lambda i: tried[i][0])
        if tried[at][0] < value:
            return points[at], *tried[at]
        scale *= 0.01
    return None


def _objective(
    problem: Problem, w: np.ndarray, loss: float, gradient: np.ndarray
) -> tuple[float, np.ndarray]:
    """Value with all penalties, gradient without that of l1."""
    total = problem.factor * float(loss) + problem.penalty(w)
    slope = problem.factor * gradient.ravel() + problem.linear + problem.l2 * w
    return (total if np.isfinite(total) else np.inf), slope


def _steepest(problem: Problem, w: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """The gradient, with l1: the subgradient of least size."""
    at_zero = np.sign(slope) * np.maximum(0.0, np.abs(slope) - problem.l1)
    return np.where(w != 0, slope + problem.l1 * np.sign(w), at_zero)


def _in_orthant(
    problem: Problem, w: np.ndarray, new: np.ndarray, steepest: np.ndarray
) -> np.ndarray:
    side = np.where(w != 0, np.sign(w), -np.sign(steepest))
    return np.where((problem.l1 > 0) & (new * side < 0), 0.0, new)


def _two_loops(slope: np.ndarray, pairs: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The step ``-H @ slope`` (Nocedal and Wright, 2006, algorithm 7.4)."""
    q, kept = slope.copy(), []
    for s, t in reversed(pairs):
        a = float(s @ q) / float(t @ s)
        kept.append(a)
        q -= a * t
    if pairs:
        s, t = pairs[-1]
        q *= float(s @ t) / float(t @ t)
    for (s, t), a in zip(pairs, reversed(kept), strict=True):
        q += s * (a - float(t @ q) / float(t @ s))
    return -q
