"""The likelihood of power transforms: Box-Cox and Yeo-Johnson, one lambda a column."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from millrace.errors import FitError
from millrace.statistics.base import Batch, Statistic, check_finite


@dataclass(frozen=True)
class Likelihood:
    """The answer of `PowerLikelihood`; arrays of float64, (n_features,).

    Attributes
    ----------
    count : numpy.ndarray
        Values that are present.
    least : numpy.ndarray
    mean, m2 : numpy.ndarray
        Of the transformed values: mean and sum of squared deviations.
    slope, curvature : numpy.ndarray
        First and second derivative of the log-likelihood by lambda, divided by the count.
    """

    count: np.ndarray
    least: np.ndarray
    mean: np.ndarray
    m2: np.ndarray
    slope: np.ndarray
    curvature: np.ndarray


@dataclass(frozen=True)
class PowerLikelihood(Statistic[np.ndarray, Likelihood]):
    """Sums for the log-likelihood of the columns after a power transform (see `kernels.powers`).

    Attributes
    ----------
    lambdas : numpy.ndarray of float64
        (n_features,)
    box_cox : bool
        Box-Cox; else Yeo-Johnson. Box-Cox refuses values that are not positive.
    who : str
    """

    lambdas: np.ndarray
    box_cox: bool
    who: str = field(default="", compare=False)

    def of(self, batch: Batch) -> np.ndarray:
        from millrace.statistics.kernels import powers

        check_finite(batch, self.who, allow_nan=True)
        X = np.ascontiguousarray(batch.matrix)
        out = np.empty((X.shape[1], 10))
        powers.likelihood(X, self.lambdas, self.box_cox, out)
        if self.box_cox and out[:, powers.LEAST].min() <= 0:
            raise FitError(
                "The Box-Cox transformation can only be applied to strictly positive data"
            )
        return out

    def merge(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        a, b = left.T, right.T
        n, m = a[0], b[0]
        total = np.maximum(n + m, 1.0)
        gap = np.where((n > 0) & (m > 0), b[3:6] - a[3:6], 0.0)
        out = a + b
        out[2] = np.minimum(a[2], b[2])
        base = np.where(n > 0, a[3:6], b[3:6])
        out[3:6] = base + gap * (m / total)
        products = (gap[0] * gap[0], gap[0] * gap[1], gap[1] * gap[1], gap[0] * gap[2])
        out[6:] += np.array(products) * (n * (m / total))
        return np.ascontiguousarray(out.T)

    def finish(self, state: np.ndarray) -> Likelihood:
        count, logs, least, mean, _, _, vv, vf, ff, vs = state.T
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            share = vf / vv
            slope = logs / count - share
            curvature = 2.0 * share * share - (ff + vs) / vv
        return Likelihood(count, least, mean, vv, slope, curvature)
