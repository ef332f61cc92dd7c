"""Rows near the kink of a loss, and the sum of all others, which is linear there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace.statistics.base import Batch, Statistic, check_finite
from millrace.statistics.glm import GLM
from millrace.statistics.losses import SmoothPinball
from millrace.statistics.sample import joined, taken


@dataclass(frozen=True)
class Near:
    """The answer of `Band`.

    Attributes
    ----------
    batch : Batch
        The rows near the kink.
    value : float
        The weighted loss of all rows, its kink not rounded.
    outside : float
        The part of it that is of the other rows.
    slope : numpy.ndarray of float64
        The gradient of that part (n_parameters,).
    """

    batch: Batch
    value: float
    outside: float
    slope: np.ndarray


@dataclass(frozen=True)
class Band(Statistic[Near, Near]):
    """The rows whose distance from the kink is at most `reach`, where the parameters are `coef`.

    Attributes
    ----------
    problem : GLM
        Loss, labels and intercept; its first candidate is where the distances are taken.
    reach : float
    """

    problem: GLM
    reach: float

    def of(self, batch: Batch) -> Near:
        glm, loss = self.problem, self.problem.loss
        assert isinstance(loss, SmoothPinball)
        if glm.who:
            check_finite(batch, glm.who)
        y, weight = glm._target(batch)
        w = np.ones(len(batch)) if weight is None else weight
        X: Any = batch.matrix
        inside = np.zeros(len(batch), bool)
        value = outside = 0.0
        slope = np.zeros(glm.coef.shape[2])
        for first, last, rows in glm._sparse(X) if batch.is_sparse else glm._dense(batch):
            at = slice(first, last)
            r, by_z = loss.residual(rows.predictor(glm.coef[0])[:, 0], y[at])
            lost = w[at] * np.where(r > 0, loss.up * r, -loss.down * r)
            near = np.abs(r) <= self.reach
            steep = np.where(near, 0.0, w[at] * by_z * np.where(r > 0, loss.up, -loss.down))
            inside[at] = near & (w[at] != 0)
            value += float(lost.sum())
            outside += float(lost[~near].sum())
            slope += rows.gradient(steep[:, None])[0]
        return Near(taken(batch, np.flatnonzero(inside)), value, outside, slope)

    def merge(self, left: Near, right: Near) -> Near:
        return Near(
            joined([left.batch, right.batch]),
            left.value + right.value,
            left.outside + right.outside,
            left.slope + right.slope,
        )

    def finish(self, state: Near) -> Near:
        return state
