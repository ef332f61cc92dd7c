"""Sums of expectation maximisation for Gaussian mixtures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from millrace.statistics.base import Batch, Statistic, check_finite

BLOCK_BYTES = 1 << 19
"""A block of rows as float64 stays in the L2 cache."""


@dataclass(frozen=True)
class MixtureSums:
    """The answer of `Responsibilities`; K components, p features.

    Attributes
    ----------
    n_rows : int
    log_likelihood : float
        Sum of the logarithms of the densities of the rows.
    mass : numpy.ndarray of float64
        Sum of the responsibilities of each component (K,).
    first : numpy.ndarray of float64
        Sums of the rows less the origin, times the responsibilities (K, p).
    second : numpy.ndarray of float64
        Their products: (K, p, p) for "full", (p, p) for "tied" (all rows), squares (K, p) else.
    """

    n_rows: int
    log_likelihood: float
    mass: np.ndarray
    first: np.ndarray
    second: np.ndarray


@dataclass(frozen=True)
class Responsibilities(Statistic[MixtureSums, MixtureSums]):
    """The E-step for given parameters, and the sums that the M-step needs.

    Sums are taken around an origin, which is the old mean of each component for "full" covariances and
    the mean of all components else, so that little cancels.

    Attributes
    ----------
    log_weights : numpy.ndarray of float64
        (K,)
    means : numpy.ndarray of float64
        (K, p)
    precisions_cholesky : numpy.ndarray of float64
        As in scikit-learn: (K, p, p) for "full", (p, p) "tied", (K, p) "diag", (K,) "spherical".
    covariance_type : str
    who : str
        The class whose name stands in errors.
    """

    log_weights: np.ndarray
    means: np.ndarray
    precisions_cholesky: np.ndarray
    covariance_type: str
    who: str = "GaussianMixture"

    @property
    def origin(self) -> np.ndarray:
        """What is subtracted before rows are added up: (K, p), or (p,) for all components."""
        if self.covariance_type == "full":
            return self.means
        weights = np.exp(self.log_weights)
        return weights @ self.means / weights.sum()

    def of(self, batch: Batch) -> MixtureSums:
        check_finite(batch, self.who)
        X = batch.matrix
        n, (k, p) = X.shape[0], self.means.shape
        full = self.covariance_type == "full"
        shape = (k, p, p) if full else (p, p) if self.covariance_type == "tied" else (k, p)
        mass, first, second = np.zeros(k), np.zeros((k, p)), np.zeros(shape)
        likelihood, size = 0.0, max(64, BLOCK_BYTES // (8 * max(p, k)))
        for start in range(0, n, size):
            rows = X[start : start + size].astype(np.float64)
            joint = self._log_densities(rows) + self.log_weights
            top = joint.max(axis=1)
            resp = np.exp(joint - top[:, None])
            total = resp.sum(axis=1)
            likelihood += float((np.log(total) + top).sum())
            resp /= total[:, None]
            mass += resp.sum(axis=0)
            self._add(first, second, rows, resp)
        return MixtureSums(n, likelihood, mass, first, second)

    def merge(self, left: MixtureSums, right: MixtureSums) -> MixtureSums:
        return MixtureSums(
            left.n_rows + right.n_rows,
            left.log_likelihood + right.log_likelihood,
            left.mass + right.mass,
            left.first + right.first,
            left.second + right.second,
        )

    def finish(self, state: MixtureSums) -> MixtureSums:
        return state

    def _log_densities(self, rows: np.ndarray) -> np.ndarray:
        """Logarithms of the densities of all components: (n_samples, K)."""
        k, p = self.means.shape
        chol = self.precisions_cholesky
        out = np.empty((len(rows), k))
        for c in range(k):
            away = rows - self.means[c]
            if self.covariance_type == "full":
                away = away @ chol[c]
            elif self.covariance_type == "tied":
                away = away @ chol
            else:
                away *= chol[c]
            np.einsum("ij,ij->i", away, away, out=out[:, c])
        return -0.5 * (p * np.log(2 * np.pi) + out) + self._log_determinants()

    def _log_determinants(self) -> np.ndarray:
        """Logarithm of the determinant of each factor: (K,), or a scalar for "tied"."""
        chol, p = self.precisions_cholesky, self.means.shape[1]
        if self.covariance_type == "full":
            return np.log(np.diagonal(chol, axis1=1, axis2=2)).sum(axis=1)
        if self.covariance_type == "tied":
            return np.log(np.diag(chol)).sum()
        if self.covariance_type == "diag":
            return np.log(chol).sum(axis=1)
        return p * np.log(chol)

    def _add(
        self, first: np.ndarray, second: np.ndarray, rows: np.ndarray, resp: np.ndarray
    ) -> None:
        """Add one block to the sums, in place."""
        if self.covariance_type == "full":
            for c in range(len(self.means)):
                away = rows - self.means[c]
                first[c] += resp[:, c] @ away
                away *= np.sqrt(resp[:, c, None])
                second[c] += away.T @ away
            return
        away = rows - self.origin
        first += resp.T @ away
        second += away.T @ away if self.covariance_type == "tied" else resp.T @ (away * away)
