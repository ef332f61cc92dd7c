"""Errors of ridge regression when each row in turn is left out, for many penalties in one sweep.

With ``X'WX = V diag(values) V'`` about the mean, ``z = V'(x - mean_x)``, ``D`` the diagonal matrix of
``1 / (values + alpha)`` and ``total`` the sum of the weights, the residual of a row in the fit without
it is (Rifkin and Lippert 2007)::

    (y - mean_y - z' D V'X'Wy) / (1 - w (z' D z + 1 / total))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace.statistics.base import Batch, Statistic

_BLOCK_CELLS = 1 << 17


def signs(codes: np.ndarray, n_classes: int) -> np.ndarray:
    """Classes as columns of -1 and 1: one for two classes, else one each. float64."""
    if n_classes == 2:
        return np.where(codes == 1, 1.0, -1.0)[:, None]
    return np.where(codes[:, None] == np.arange(n_classes), 1.0, -1.0)


@dataclass(frozen=True)
class LeaveOneOut(Statistic[tuple[int, np.ndarray], np.ndarray]):
    """Mean of the squared leave-one-out residuals times the weight: (n_alphas, n_targets), float64.

    Attributes
    ----------
    centre : numpy.ndarray of float64 (n_features,)
        Zero without an intercept.
    vectors : numpy.ndarray of float64 (n_features, n_features)
    values : numpy.ndarray of float64 (n_features,)
    turned : numpy.ndarray of float64 (n_features, n_targets)
        ``vectors.T @ X'Wy``
    target_centre : numpy.ndarray of float64 (n_targets,)
    alphas : tuple of float
    total : float
        Sum of the weights; infinite without an intercept.
    classes : numpy.ndarray, optional
        The target is a label, encoded by `signs`.
    class_weight : numpy.ndarray of float64, optional
        (n_classes,) multiplies the weights of the rows.
    """

    centre: np.ndarray
    vectors: np.ndarray
    values: np.ndarray
    turned: np.ndarray
    target_centre: np.ndarray
    alphas: tuple[float, ...]
    total: float
    classes: Any = None
    class_weight: Any = None

    def of(self, batch: Batch) -> tuple[int, np.ndarray]:
        inverse = 1.0 / (self.values[:, None] + np.asarray(self.alphas))
        X = batch.matrix
        y = self._targets(batch)
        weight = self._weights(batch)
        sums = np.zeros((len(self.alphas), y.shape[1]))
        step = max(64, _BLOCK_CELLS // max(X.shape[1], len(self.alphas)))
        for first in range(0, len(batch), step):
            here = slice(first, first + step)
            block = X[here].toarray() if batch.is_sparse else X[here]
            turned = (block - self.centre) @ self.vectors
            w = 1.0 if weight is None else weight[here, None]
            kept = 1.0 - w * (turned**2 @ inverse + 1.0 / self.total)
            for k in range(y.shape[1]):
                error = y[here, k, None] - turned @ (self.turned[:, k, None] * inverse)
                sums[:, k] += (w * (error / kept) ** 2).sum(axis=0)
        return len(batch), sums

    def merge(
        self, left: tuple[int, np.ndarray], right: tuple[int, np.ndarray]
    ) -> tuple[int, np.ndarray]:
        return left[0] + right[0], left[1] + right[1]

    def finish(self, state: tuple[int, np.ndarray]) -> np.ndarray:
        return state[1] / state[0]

    def _targets(self, batch: Batch) -> np.ndarray:
        if self.classes is not None:
            return signs(batch.codes(self.classes), len(self.classes)) - self.target_centre
        y = batch.target
        return (y if y.ndim == 2 else y[:, None]) - self.target_centre

    def _weights(self, batch: Batch) -> np.ndarray | None:
        if self.class_weight is None:
            return batch.weight
        weight = self.class_weight[batch.codes(self.classes)]
        return weight if batch.weight is None else weight * batch.weight
