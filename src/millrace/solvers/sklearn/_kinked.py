"""The minimum of a sum of losses with kinks (hinge, tube, quantile), in few sweeps.

At the minimum only the rows near their kinks matter one by one. The optimum of a sample says which may
be near; one sweep collects these and adds up the others, whose losses are linear as long as they stay on
their side (Portnoy and Koenker, 1997). The minimum of that is found in memory. It bounds the true minimum
from below, so when the next sweep finds the same value there, it is the minimum.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from millrace.solvers.rows import Rows
from millrace.solvers.sklearn._interior import Kinks, minimum
from millrace.solvers.sklearn._objective import Problem
from millrace.statistics.band import Band, Near
from millrace.statistics.base import Batch
from millrace.statistics.losses import SmoothPinball
from millrace.statistics.sample import Sampled

BAND_ROWS = 20_000
"""Rows near the kink that are worked on in memory."""

MOST_SWEEPS = 40

Inner = Callable[[Problem, Batch, np.ndarray], "np.ndarray | None"]


@dataclass(frozen=True)
class _Bound:
    """The problem that the rows of a band and a linear function make."""

    problem: Problem
    batch: Batch
    constant: float

    def value(self, w: np.ndarray) -> float:
        return self.constant + exact_value(self.problem, self.batch, w)


def minimise_kinked(
    rows: Rows, problem: Problem, sample: Sampled, inner: Inner | None = None
) -> Generator[Any, Any, tuple[np.ndarray, int]]:
    """The minimum (size,) and the number of sweeps; `problem.loss` is a `SmoothPinball`.

    Parameters
    ----------
    inner : callable, optional
        Finds the minimum on rows in memory; by default `interior`. None where there is none.
    """
    inner = inner or interior
    batch = sample.batch
    share = sample.n_rows / len(batch)
    start = np.zeros(problem.size)
    w = inner(replace(problem, factor=problem.factor * share), batch, start)
    w = start if w is None else w
    if sample.complete:
        return w, 1
    reach = _reach(problem, sample, w)
    best, least, bound = w, np.inf, None
    for n_sweeps in range(1, MOST_SWEEPS + 1):
        near: Near = yield rows.ask(Band(problem.sums([w], False), reach))
        value = problem.factor * near.value + problem.penalty(w)
        expected = -np.inf if bound is None else bound.value(w)
        if value - expected <= 1e-11 * abs(value):
            return w, n_sweeps
        if value >= least:
            reach, w = 3.0 * reach, best
            continue
        best, least = w, value
        bound = _bound(problem, near, w)
        found = inner(bound.problem, near.batch, w) if len(near.batch) else None
        if found is None:
            reach *= 3.0
        else:
            w = found
    return best, MOST_SWEEPS


def interior(problem: Problem, batch: Batch, start: np.ndarray) -> np.ndarray | None:
    """The minimum by an interior point method; None where there is none."""
    return minimum(kinks_of(problem, batch), start)


def kinks_of(problem: Problem, batch: Batch) -> Kinks:
    """A problem on rows in memory; an l1 penalty makes a row of each of its parameters."""
    glm = problem.sums([np.zeros(problem.size)], False)
    loss = problem.loss
    assert isinstance(loss, SmoothPinball)
    y, weight = glm._target(batch)
    X = batch.matrix.toarray() if batch.is_sparse else batch.matrix
    rows = np.full((len(batch), problem.size), problem.intercept)
    rows[:, : X.shape[1]] = X
    c = problem.factor * (np.ones(len(batch)) if weight is None else weight)
    if loss.form == "tube":
        A, b = np.concatenate([rows, -rows]), np.concatenate([y, -y]) - loss.epsilon
        y, c = np.concatenate([y, y]), np.concatenate([c, c])
    elif loss.form == "hinge":
        A, b = (2.0 * y - 1.0)[:, None] * rows, np.ones(len(batch))
    else:
        A, b = rows, y
    kept, l1 = c > 0, np.flatnonzero(problem.l1)
    return Kinks(
        np.concatenate([A[kept], np.eye(problem.size)[l1]]),
        np.concatenate([b[kept], np.zeros(len(l1))]),
        np.concatenate([loss.up * c[kept], problem.l1[l1]]),
        np.concatenate([loss.down * c[kept], problem.l1[l1]]),
        problem.l2,
        problem.linear,
    )


def exact_value(problem: Problem, batch: Batch, w: np.ndarray) -> float:
    """The objective on rows in memory, the kink not rounded."""
    if not len(batch):
        return problem.penalty(w)
    near = Band(problem.sums([w], False), 0.0).of(batch)
    return problem.factor * near.value + problem.penalty(w)


def _bound(problem: Problem, near: Near, w: np.ndarray) -> _Bound:
    linear = problem.factor * near.slope
    constant = problem.factor * near.outside - float(linear @ w)
    return _Bound(replace(problem, linear=problem.linear + linear), near.batch, constant)


def distances(problem: Problem, batch: Batch, w: np.ndarray) -> np.ndarray:
    """Distance of every row in memory from its kink (n_samples,)."""
    assert isinstance(problem.loss, SmoothPinball)
    glm = problem.sums([w], False)
    y, _ = glm._target(batch)
    coef, constant = problem.raw(w)
    z = np.asarray(batch.matrix @ coef[0], np.float64) + constant[0]
    return np.abs(problem.loss.residual(z, y)[0])


def _reach(problem: Problem, sample: Sampled, w: np.ndarray) -> float:
    """The distance within which about `BAND_ROWS` rows are, and a fifth of the sample's rows at most."""
    away = distances(problem, sample.batch, w)
    share = min(0.5, max(BAND_ROWS / sample.n_rows, 5.0 * problem.size / len(away)))
    return float(np.quantile(away, share))
