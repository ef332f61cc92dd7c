"""Many linear models in one read, each with a fold of its own left out: their sums, and their scores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from millrace.statistics.base import Batch, Statistic, check_finite
from millrace.statistics.glm import GLM, Sums
from millrace.statistics.strata import DealtFolds

LEAST_LOG = -float(np.log(np.finfo(np.float64).eps))
"""What scikit-learn's log loss of a row is at most: it clips probabilities."""


@dataclass(frozen=True)
class FoldedGLMs(Statistic[tuple["Sums | None", ...], tuple[Sums, ...]]):
    """The answer of each `GLM` for the rows that are not in its fold.

    Rows are converted, and multiplied by the coefficients of all models, once.

    Attributes
    ----------
    folds : DealtFolds
    glms : tuple of GLM
        Of one loss, intercept and centre; their labels are positions of classes.
    left_out : tuple of int
        The fold that each leaves out.
    """

    folds: DealtFolds
    glms: tuple[GLM, ...]
    left_out: tuple[int, ...]

    def of(self, batch: Batch) -> tuple[Sums | None, ...]:
        for who in {g.who for g in self.glms if g.who}:
            check_finite(batch, who)
        found: list[Sums | None] = [None] * len(self.glms)
        for fold, part in _parts(batch, self.folds):
            kept = [i for i, left_out in enumerate(self.left_out) if left_out != fold]
            for i, sums in zip(kept, _sums([self.glms[i] for i in kept], part), strict=True):
                found[i] = _joined(self.glms[i], found[i], sums)
        return tuple(found)

    def merge(
        self, left: tuple[Sums | None, ...], right: tuple[Sums | None, ...]
    ) -> tuple[Sums | None, ...]:
        return tuple(_joined(g, a, b) for g, a, b in zip(self.glms, left, right, strict=True))

    def finish(self, state: tuple[Sums | None, ...]) -> tuple[Sums, ...]:
        return tuple(_no_rows(g) if s is None else s for g, s in zip(self.glms, state, strict=True))


def _no_rows(glm: GLM) -> Sums:
    size = glm.coef[0].size
    hessian = np.zeros((size, size)) if glm.hessian else None
    return Sums(np.zeros(len(glm.coef)), np.zeros(glm.coef.shape), hessian, 0.0, 0)


def _joined(glm: GLM, a: Sums | None, b: Sums | None) -> Sums | None:
    return b if a is None else a if b is None else glm.merge(a, b)


def _sums(glms: list[GLM], part: Batch) -> list[Sums]:
    """The sums of several models of the same rows; those without a Hessian in one go."""
    plain = [i for i, g in enumerate(glms) if not g.hessian]
    found: dict[int, Sums] = {
        i: replace(g, who="").of(part) for i, g in enumerate(glms) if g.hessian
    }
    if plain:
        coef = np.concatenate([glms[i].coef for i in plain])
        both = replace(glms[plain[0]], coef=coef, who="").of(part)
        at = 0
        for i in plain:
            here = slice(at, at + len(glms[i].coef))
            at = here.stop
            found[i] = replace(both, loss=both.loss[here], gradient=both.gradient[here])
    return [found[i] for i in range(len(glms))]


def _parts(batch: Batch, folds: DealtFolds) -> Iterator[tuple[int, Batch]]:
    """The rows of each fold that a batch has rows of; y becomes the position of the class."""
    codes, numbers = batch.codes(folds.classes), batch.row_numbers()
    fold = folds.of(batch)
    for k in np.unique(fold):
        where = np.flatnonzero(fold == k)
        X = batch.matrix if len(where) == len(batch) else batch.matrix[where]
        weight = None if batch.weight is None else batch.weight[where]
        yield int(k), Batch(batch.first, X, codes[where], weight, numbers[where])


@dataclass(frozen=True)
class Scored:
    """The answer of `HeldOut`.

    Attributes
    ----------
    weight, correct, loss : numpy.ndarray of float64
        Sums over the held-out rows: of the weights, of those of rows whose class is predicted, and of
        the log losses (n_models,).
    z : tuple of numpy.ndarray of float64
        With `HeldOut.keep`: the linear predictors of each model (n_samples, n_outputs).
    codes, row_weight : tuple of numpy.ndarray
        With `HeldOut.keep`: classes and weights of the rows of each model.
    """

    weight: np.ndarray
    correct: np.ndarray
    loss: np.ndarray
    z: tuple[np.ndarray, ...] = ()
    codes: tuple[np.ndarray, ...] = ()
    row_weight: tuple[np.ndarray, ...] = ()


@dataclass(frozen=True)
class HeldOut(Statistic[Scored, Scored]):
    """How well linear classifiers do on the fold that each has not seen.

    Attributes
    ----------
    folds : DealtFolds
    coef, intercept : numpy.ndarray of float64
        (n_models, n_outputs, n_features) and (n_models, n_outputs); n_outputs is 1 for two classes.
    held_out : numpy.ndarray of int64
        The fold of each model (n_models,).
    keep : bool
        Whether the linear predictors are wanted: 8 bytes a row and output for each model of its fold.
    """

    folds: DealtFolds
    coef: np.ndarray
    intercept: np.ndarray
    held_out: np.ndarray
    keep: bool = False

    def of(self, batch: Batch) -> Scored:
        n_models = len(self.coef)
        sums = Scored(np.zeros(n_models), np.zeros(n_models), np.zeros(n_models))
        kept: list[tuple[list[Any], ...]] = [([], [], []) for _ in range(n_models)]
        for fold, part in _parts(batch, self.folds):
            for i in np.flatnonzero(self.held_out == fold):
                z = np.asarray(part.matrix @ self.coef[i].T, np.float64) + self.intercept[i]
                weight = np.ones(len(part)) if part.weight is None else part.weight
                sums.weight[i] += weight.sum()
                sums.correct[i] += weight @ (_predicted(z) == part.y)
                sums.loss[i] += weight @ _log_loss(z, part.y)
                if self.keep:
                    for into, values in zip(kept[i], (z, part.y, weight), strict=True):
                        into.append(values)
        if not self.keep:
            return sums
        none = np.zeros((0, self.coef.shape[1])), np.zeros(0, np.int64), np.zeros(0)
        z, codes, weights = (
            tuple(np.concatenate([none[part], *k[part]]) for k in kept) for part in range(3)
        )
        return replace(sums, z=z, codes=codes, row_weight=weights)

    def merge(self, left: Scored, right: Scored) -> Scored:
        def both(a: tuple[np.ndarray, ...], b: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
            return tuple(np.concatenate(pair) for pair in zip(a, b, strict=True))

        return Scored(
            left.weight + right.weight,
            left.correct + right.correct,
            left.loss + right.loss,
            both(left.z, right.z),
            both(left.codes, right.codes),
            both(left.row_weight, right.row_weight),
        )

    def finish(self, state: Scored) -> Scored:
        return state


def _predicted(z: np.ndarray) -> np.ndarray:
    return (z[:, 0] > 0).astype(np.int64) if z.shape[1] == 1 else z.argmax(axis=1)


def _log_loss(z: np.ndarray, codes: np.ndarray) -> np.ndarray:
    if z.shape[1] == 1:
        away = np.where(codes == 1, -z[:, 0], z[:, 0])
        return np.minimum(np.logaddexp(0.0, away), LEAST_LOG)
    top = z.max(axis=1)
    total = np.log(np.exp(z - top[:, None]).sum(axis=1)) + top
    return np.minimum(total - z[np.arange(len(z)), codes], LEAST_LOG)
