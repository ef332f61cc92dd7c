"""Approximate quantiles in a fixed amount of memory: the sketch of Karnin, Lang and Liberty (2016).

Approximate, as the only statistic of columns; no solver uses it. For exact quantiles see `quantiles`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from millrace.statistics.base import Batch, Statistic

_SHRINK = 2.0 / 3.0
"""Each level below the top has this share of the room of the one above it."""


@dataclass(frozen=True)
class Sketch:
    """Values by weight: those of level h stand for 2 ** h values each.

    Attributes
    ----------
    levels : tuple of numpy.ndarray of float64
    n : int
        Values that were seen.
    least, greatest : float
        Exact extremes.
    flips : tuple of int
        Times that each level was thinned; which half is kept alternates, without chance.
    """

    levels: tuple[np.ndarray, ...]
    n: int
    least: float
    greatest: float
    flips: tuple[int, ...]

    def quantiles(self, fractions: np.ndarray) -> np.ndarray:
        """About the values below which these fractions lie: float64, as many; NaN without values."""
        if not self.n:
            return np.full(len(fractions), np.nan)
        values = np.concatenate(self.levels)
        weights = np.concatenate([np.full(len(v), 2.0**h) for h, v in enumerate(self.levels)])
        order = np.argsort(values, kind="stable")
        reached = np.cumsum(weights[order])
        at = np.searchsorted(reached, np.asarray(fractions) * reached[-1], side="left")
        out = values[order][np.minimum(at, len(order) - 1)]
        out[np.asarray(fractions) <= 0] = self.least
        out[np.asarray(fractions) >= 1] = self.greatest
        return out


@dataclass(frozen=True)
class KLL(Statistic[tuple[Sketch, ...], tuple[Sketch, ...]]):
    """One sketch for each column; NaN is left out, weights are not used.

    The rank of an answer is off by less than 1 % of the rows with the default, as measured on sorted and
    on shuffled rows. Deterministic: the same batches give the same bits.

    Attributes
    ----------
    size : int
        Values in the top level; up to three times as many are kept in all.
    """

    size: int = 400

    def of(self, batch: Batch) -> tuple[Sketch, ...]:
        X = batch.matrix.toarray() if batch.is_sparse else batch.matrix
        return tuple(self._column(column[~np.isnan(column)].astype(np.float64)) for column in X.T)

    def merge(self, left: tuple[Sketch, ...], right: tuple[Sketch, ...]) -> tuple[Sketch, ...]:
        return tuple(self._joined(a, b) for a, b in zip(left, right, strict=True))

    def finish(self, state: tuple[Sketch, ...]) -> tuple[Sketch, ...]:
        return state

    def _column(self, values: np.ndarray) -> Sketch:
        least = float(values.min()) if len(values) else np.inf
        greatest = float(values.max()) if len(values) else -np.inf
        return self._thinned([values], len(values), least, greatest, [0])

    def _joined(self, left: Sketch, right: Sketch) -> Sketch:
        height = max(len(left.levels), len(right.levels))
        none = np.empty(0)
        levels = [
            np.concatenate([s.levels[h] if h < len(s.levels) else none for s in (left, right)])
            for h in range(height)
        ]
        flips = [
            sum(s.flips[h] if h < len(s.flips) else 0 for s in (left, right)) for h in range(height)
        ]
        return self._thinned(
            levels,
            left.n + right.n,
            min(left.least, right.least),
            max(left.greatest, right.greatest),
            flips,
        )

    def _thinned(
        self, levels: list[np.ndarray], n: int, least: float, greatest: float, flips: list[int]
    ) -> Sketch:
        """Every second value of a level that is too full moves up, until all fit."""
        at = 0
        while at < len(levels):
            room = max(int(self.size * _SHRINK ** (len(levels) - 1 - at)), 8)
            if len(levels[at]) > room:
                if at + 1 == len(levels):
                    levels.append(np.empty(0))
                    flips.append(0)
                values = np.sort(levels[at])
                odd = len(values) % 2
                # An odd value out stays where it is, so that the weights add up.
                kept, rest = values[:odd], values[odd:]
                levels[at + 1] = np.concatenate([levels[at + 1], rest[flips[at] % 2 :: 2]])
                levels[at] = kept
                flips[at] += 1
                at = -1  # a new level leaves less room below
            at += 1
        return Sketch(tuple(levels), n, least, greatest, tuple(flips))
