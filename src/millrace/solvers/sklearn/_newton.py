"""The minimum of a sum of losses plus penalties, in few sweeps.

A uniform sample of the rows is kept in memory from the first sweep on, and its optimum is where the
sweeps start. Each sweep gives the exact gradient, the second one also the exact Hessian; what they differ
by from those of the sample corrects the sample's objective, and the minimum of that is the next
point (Shamir, Srebro and Zhang 2014, with a second-order correction). The first step leaves a hundredth
of the sample's own error or less, the second one the square of that times the error of the sample's third
derivatives; from there on each sweep shrinks it by what the Hessian still differs. Where it does not,
Newton steps with the exact Hessian and a line search of several lengths in one sweep take over.

A sample that holds every row is not followed by a sweep. Rows in memory are searched from coarse to fine:
all of them begin at the optimum, and with the Hessian, of some.
"""

from __future__ import annotations

import warnings
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from millrace.solvers.rows import Rows
from millrace.solvers.sklearn._objective import (
    Point,
    Problem,
    hessian_of,
    moved_by,
    newton_step,
    no_worse,
    point_of,
)
from millrace.statistics.base import Batch, check_finite
from millrace.statistics.glm import Sums
from millrace.statistics.sample import Sample, Sampled

SAMPLE_ROWS = 50_000
SAMPLE_BYTES = 32 << 20

NARROW, NARROW_SAMPLE, MANY_ROWS = 14, 100_000, 2_000_000
"""Up to so many columns, of so many rows and more, the sample has this many."""

FEWEST_ROWS = 2_000
"""Rows of the sample at least."""

FEW_PRODUCTS = 2_000_000_000
"""Products that the Hessian of the sample may take; of a larger one, only some rows are used."""

WIDEST_HESSIAN = 1_000
"""Parameters up to which the Hessian is formed: beyond, its products cost more than the sweeps saved."""

CLOSE = 3e-9
"""Largest expected relative error of the coefficients, in the scale of the Hessian's diagonal."""

FAR = 4.0
"""Standard deviations between zero and a column's mean from which on the column is centred."""

ENOUGH_FOR_MEANS = 4_000
"""Rows whose means are good enough to centre columns by: any shift leaves the same optimum."""

NOISE = 10.0
"""How much the third derivatives of a sample differ from those of all rows where they are next to zero:
times the square of the step, over the root of the sample's size."""

SAFE = 4.0
"""Heavy tails and rare classes were seen to be three times as far away as is estimated."""

SHORT = 0.1
"""Steps in memory up to which the Hessian may be kept."""

COARSER, FEWEST_COARSE = 7, 500
"""Rows in memory begin where each of so many has led, if these are so many at least."""

NEARBY = 0.5
"""Step up to which that point is taken as it is."""

SETTLED = 1e-10
"""Expected error of the coefficients where every row is in memory, in the units of `CLOSE`."""

FLAT = 1e-6
"""Mean gradient up to which no smaller objective need be found: the rest may be rounding."""

MOST_SWEEPS = 100

_LENGTHS = 0.5 ** np.arange(1, 9)


@dataclass(frozen=True)
class _Correction:
    """What turns the sample's objective into one that agrees with the exact one around `at`."""

    slope: np.ndarray
    curve: np.ndarray
    at: np.ndarray


def sample_of(rows: Rows, n_outputs: int = 1, narrow: int = SAMPLE_ROWS) -> Sample:
    """The sample that is asked for beside the first statistic of a solver.

    `narrow` is its size for few columns of many rows: where rows of the sample cost little, and a sweep
    that they spare costs much.
    """
    width = max(1, rows.width or 1) * max(1, n_outputs)
    size = min(SAMPLE_BYTES, rows.memory // 32) if rows.memory else SAMPLE_BYTES
    most = min(SAMPLE_ROWS, size // (8 * width))
    if width <= NARROW and (rows.n_rows is None or rows.n_rows >= MANY_ROWS):
        most = narrow
    return Sample(max(FEWEST_ROWS, most), rows.n_rows)


def centered(problem: Problem, sample: Sampled) -> Problem:
    """The same problem around the sample's mean, where the intercept is free and rows are dense.

    Columns whose mean is not far from zero stay as they are: centring costs a copy of every block.
    """
    if problem.intercept == 0 or sample.batch.is_sparse:
        return problem
    n_features = problem.shape[1] - 1 - int(problem.loss.has_scale)
    places = np.arange(problem.shape[0]) * problem.shape[1] + n_features
    if problem.l1[places].any() or problem.l2[places].any():
        return problem
    step = max(1, len(sample.batch) // ENOUGH_FOR_MEANS)
    matrix = sample.batch.matrix[::step].copy("K")
    center = np.mean(matrix, axis=0, dtype=np.float64)
    if not np.isfinite(center).all():
        return problem
    with np.errstate(over="ignore", invalid="ignore"):
        square = np.einsum("ij,ij->j", matrix, matrix, dtype=np.float64) / len(matrix)
        variance = square - center * center  # loses digits far away only
        near = center * center <= FAR * FAR * variance
    return problem if near.all() else replace(problem, center=np.where(near, 0.0, center))


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
    few = _few(problem, sample)
    at, settled = _start(few, start)
    w = at.w
    if few.complete and settled:
        return w, 1  # the sample's gradient is the exact one
    best: Point | None = None
    newton, last = False, np.inf
    for n_sweeps in range(1, MOST_SWEEPS + 1):
        want = newton or (n_sweeps > 1 and at.curve is None and not few.complete)
        doubtful = n_sweeps == 1 and not few.complete
        points = [w, start] if doubtful and start.any() else [w]
        sums: Sums = yield rows.ask(problem.sums(points, want))
        problem = replace(problem, who="")  # the rows are finite
        point = point_of(problem, w, sums)
        if doubtful and _is_worse(point, _total_of(few, start, sums)):
            w, newton = start, True
            continue
        if best is not None and not no_worse(point.total, best.total):
            w = yield from _shorter(rows, problem, best, w)
            if newton and w is best.w:
                if _mean_gradient(problem, best, sums.weight) > max(tol, FLAT):
                    _warn(n_sweeps)
                return w, n_sweeps
            newton = True
            continue
        best = point
        if n_sweeps > 15 and _mean_gradient(problem, point, sums.weight) <= 1e-2 * tol:
            return w, n_sweeps
        step = None if newton else _model_step(few, point, at, last)
        if step is not None:
            at = step.at
            newton = not step.sound
            if newton:
                continue
        new = newton_step(problem, point) if step is None else at.w
        moved = moved_by(new - w, w, hessian_of(point)) if step is None else step.moved
        ratio = moved / last
        last, w = moved, new
        if step is not None and step.error <= CLOSE:
            return w, n_sweeps
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


def _warn(n_sweeps: int) -> None:
    from sklearn.exceptions import ConvergenceWarning

    warnings.warn(
        f"The optimum was not reached in {n_sweeps} sweeps; scale the columns or penalise more.",
        ConvergenceWarning,
        stacklevel=2,
    )


def _is_worse(point: Point, start: float) -> bool:
    """Whether the sample leads away from the optimum: one whose classes a plane divides, to infinity.

    So far out the losses are straight lines: no curvature says how far the way back is.
    """
    return bool(np.isfinite(start)) and not no_worse(point.total, start)


def _total_of(few: _Few, start: np.ndarray, sums: Sums) -> float:
    """The objective where the search begins; at zero the losses of all rows are those of a few."""
    if len(sums.loss) == 1:
        return _local(few, start, None, np.zeros((0, 0))).total
    problem = few.whole
    return problem.factor * float(sums.loss[1]) + problem.penalty(start)


def _mean_gradient(problem: Problem, point: Point, weight: float) -> float:
    slope = point.slope + problem.l2 * point.w
    slope = np.sign(slope) * np.maximum(0.0, np.abs(slope) - problem.l1)
    return float(np.abs(slope).max() / max(problem.factor * weight, 1e-300))


@dataclass(frozen=True)
class _Few:
    """The sample as a problem of its own: rows of float64 that need no copy, weighted as all rows.

    Attributes
    ----------
    problem : Problem
        `factor` is that of all rows times their number over that of the sample; nothing is centred,
        the rows of `batch` are.
    whole : Problem
    complete : bool
        Whether it holds every row.
    """

    problem: Problem
    whole: Problem
    batch: Batch
    complete: bool

    def every(self, step: int) -> _Few:
        """Each of so many rows."""
        batch = self.batch
        y = None if batch.y is None else batch.y[::step]
        weight = None if batch.weight is None else batch.weight[::step]
        X = batch.matrix[::step]
        part = Batch(batch.first, X if batch.is_sparse else X.copy("K"), y, weight)
        factor = self.problem.factor * len(batch) / len(part)
        return replace(self, problem=replace(self.problem, factor=factor), batch=part)


@dataclass(frozen=True)
class _At:
    """Where the sample has led.

    Attributes
    ----------
    w : numpy.ndarray
    hessian : numpy.ndarray
        The sample's, near there.
    curve : numpy.ndarray, optional
        By what the Hessian of all rows differed from it where both were known.
    """

    w: np.ndarray
    hessian: np.ndarray
    curve: np.ndarray | None = None


def _few(problem: Problem, sample: Sampled) -> _Few:
    batch = sample.batch
    if problem.who:
        check_finite(batch, problem.who)
    X = batch.matrix
    if not batch.is_sparse:
        X = np.asarray(X, np.float64, order="F" if X.shape[1] <= NARROW else "C")
        X = X if problem.center is None else X - problem.center
    share = sample.n_rows / len(batch)
    if batch.weight is not None and batch.weight.sum() > 0:
        share = sample.weight / float(batch.weight.sum())
    own = replace(problem, factor=problem.factor * share, center=None, who="")
    few = _Few(own, problem, replace(batch, X=X), sample.complete)
    step = min(len(batch) * problem.size**2 // FEW_PRODUCTS + 1, len(batch) // FEWEST_ROWS)
    return replace(few.every(step), complete=False) if step > 1 else few


def _start(few: _Few, start: np.ndarray) -> tuple[_At, bool]:
    """The optimum of the sample, roughly unless it holds every row; and whether it is one."""
    close, most = (SETTLED, 100) if few.complete else (1e-4, 12)
    found, settled = _minimum(few, *_coarse(few, start), None, close, most)
    return _At(found.w, hessian_of(found)), settled


def _coarse(few: _Few, start: np.ndarray) -> tuple[Point, float]:
    """Where the search on rows in memory begins, and what a step from there leaves of the error.

    That is the optimum of some of the rows, with their Hessian: of all rows, the gradient alone is
    computed. Where it is far from the optimum of all (as where a plane divides the classes of a few
    rows), it is so only if it is better than `start`.
    """
    size = few.problem.size
    if len(few.batch) // COARSER < max(FEWEST_COARSE, 10 * size):
        return _local(few, start), 1.0
    part = few.every(COARSER)
    found, _ = _minimum(part, *_coarse(part, start), None, 1e-2, 12)
    point = _local(few, found.w, None, found.hessian)
    if np.isfinite(point.total):
        step = newton_step(few.problem, point) - point.w
        if moved_by(step, point.w, hessian_of(point)) <= NEARBY:
            return point, float(np.sqrt(size / len(part.batch)))
    other = _local(few, start)
    return other if other.total < point.total else _local(few, point.w), 1.0


@dataclass(frozen=True)
class _Step:
    """A step of the corrected sample.

    Attributes
    ----------
    at : _At
    moved : float
    error : float
        What it may be away from the optimum, in the units of `moved`; infinite where nothing says.
    sound : bool
        False where the objective of the sample has no minimum nearby, being not convex: Newton's step
        for the exact gradient is then much longer.
    """

    at: _At
    moved: float
    error: float
    sound: bool


def _model_step(few: _Few, point: Point, at: _At, last: float) -> _Step:
    """The minimum of the corrected sample, and the correction of its Hessian.

    Where the Hessian is exact, Newton's step leaves out the third derivatives, and this one only what
    those of the sample differ from those of all rows by. The difference of the two steps is known, and
    by how much the sample's Hessian differed too, from how far the step before (`last`) was wrong.
    """
    exact = point.hessian is not None
    here = _local(few, point.w, None, None if exact else at.hessian)
    curve = point.hessian - hessian_of(here) if point.hessian is not None else at.curve
    known = np.zeros_like(at.hessian) if curve is None else curve
    fix = _Correction(point.slope - here.slope, known, point.w)
    hessian = hessian_of(here) + known
    begin = replace(point, total=here.total, hessian=hessian)
    close = 1e-6 if curve is None else 1e-11
    new = _minimum(few, begin, 1.0 if exact else SHORT, fix, close, 30)[0].w
    newton = newton_step(few.problem, begin)
    moved = moved_by(new - point.w, point.w, hessian)
    error = np.inf
    if exact:
        error = min(1.0, moved / last) * moved_by(new - newton, point.w, hessian)
        error = SAFE * (error + NOISE * moved * moved / np.sqrt(len(few.batch)))
    sound = 0.1 * moved_by(newton - point.w, point.w, hessian) <= moved
    return _Step(_At(new, hessian_of(here), curve), moved, error, sound)


def _minimum(
    few: _Few, point: Point, left: float, fix: _Correction | None, close: float, most: int
) -> tuple[Point, bool]:
    """Newton's method on rows in memory, from a point whose Hessian is known; and whether it ended.

    The Hessian costs several times as much as the gradient: it is kept while the steps that it still
    takes are expected to cost less. `left` is what the first step is expected to leave of the error: 1
    where the Hessian is that of the point. Of the answer, only `w` and `hessian` are those of the end.
    """
    last, fresh = 0.0, left == 1.0
    for _ in range(most):
        target = newton_step(few.problem, point)
        moved = moved_by(target - point.w, point.w, hessian_of(point))
        ratio = moved / last if last > 0 else (moved if fresh else left)
        rounding = fresh and moved <= 1e-8 and ratio > 0.3
        if moved * min(1.0, ratio) <= close or rounding:
            return replace(point, w=target), True
        keep = moved <= SHORT and _steps_left(moved, ratio, close) <= 2 + few.problem.size / 8
        new = _shortened(few, point, target, fix, keep)
        if new is None and fresh:
            return point, False
        if new is None:
            point, fresh, last = _local(few, point.w, fix), True, 0.0
            continue
        last, point, fresh = moved, new, not keep
    return point, False


def _steps_left(moved: float, ratio: float, close: float) -> float:
    """How many steps follow one of this length, each shorter by this ratio."""
    return np.log(close / moved) / np.log(ratio) if ratio < 1 else np.inf


def _shortened(
    few: _Few, point: Point, target: np.ndarray, fix: _Correction | None, keep: bool
) -> Point | None:
    """The target, or the first point on the way there that is not worse; None where all are."""
    for length in (1.0, *_LENGTHS):
        trial = target if length == 1 else point.w + length * (target - point.w)
        new = _local(few, trial, fix, point.hessian if keep else None)
        if no_worse(new.total, point.total):
            return new
    return None


def _local(
    few: _Few,
    w: np.ndarray,
    fix: _Correction | None = None,
    hessian: np.ndarray | None = None,
) -> Point:
    """The corrected objective of rows in memory; where a Hessian is given, that one is kept."""
    with np.errstate(over="ignore", invalid="ignore"):  # the total says so: it is infinite
        sums = few.problem.sums([w], hessian is None).of(few.batch)
    point = point_of(few.problem, w, sums)
    if hessian is not None:
        point = replace(point, hessian=hessian)
    if fix is None:
        return point
    away = w - fix.at
    bend = fix.curve @ away
    return Point(
        w,
        point.total + float(fix.slope @ away + 0.5 * (away @ bend)),
        point.slope + fix.slope + bend,
        hessian if hessian is not None else hessian_of(point) + fix.curve,
    )


def _shorter(
    rows: Rows, problem: Problem, best: Point, failed: np.ndarray
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
