"""Second moments of what preprocessing is made of: numbers, missing cells and levels of words.

Every fold of a cross-validation has its own imputer, encoder and scaler, but all of them are affine maps
of the same columns, called *atoms* here::

    x - shift, or 0 where x is missing          one for each column of numbers
    1 where x is missing, else 0                one for each column of numbers
    1 where the word is this one, else 0        one for each level; then missing, then any other word

So their Gram matrices are all maps of the Gram matrix of the atoms.
"""

# pyarrow ships no types.
# pyright: reportUnknownParameterType=false, reportUnknownVariableType=false

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from millrace.statistics.base import Batch, Statistic, codes_of
from millrace.statistics.gram import CrossMoments, about_mean, is_flat, merged, spread

_BLOCK_ROWS = 2048


@dataclass(frozen=True)
class AtomGram(Statistic[CrossMoments, CrossMoments]):
    """Second moments of [atoms, y] about the mean, in float64; the rows have no weights.

    Relative rounding error of an entry, against the product of the norms of its two columns: 1e-13 for a
    million rows; the columns are numbers about `shift`, not about their mean. Infinities are not refused:
    the moments are then not finite.

    Attributes
    ----------
    numbers : tuple of int
        Columns of the batch that are numbers.
    shift : tuple of float
        Subtracted from each of them.
    words : tuple of int
        Columns of the batch that have levels.
    levels : tuple of tuple
        For each of them, its levels; of one type, sorted unless they are text.
    target : bool
        Whether the target is among the columns.
    """

    numbers: tuple[int, ...]
    shift: tuple[float, ...]
    words: tuple[int, ...]
    levels: tuple[tuple[Any, ...], ...]
    target: bool

    @property
    def n_levels(self) -> int:
        """All levels of all words, with missing and any other."""
        return sum(len(one) + 2 for one in self.levels)

    @property
    def n_atoms(self) -> int:
        """Columns before the target."""
        return 2 * len(self.numbers) + self.n_levels

    def of(self, batch: Batch) -> CrossMoments:
        X = self._numbers(batch)
        codes = self._codes(batch)
        y = batch.target if self.target else np.empty((len(batch), 0))
        y = y if y.ndim == 2 else y[:, None]
        shift = np.zeros(self.n_atoms + y.shape[1])
        shift[self.n_atoms :] = spread(y).mean(axis=0)
        with np.errstate(invalid="ignore", over="ignore"):
            sums = self._sums(X, codes, y, shift[self.n_atoms :])
            flat = not self.target or is_flat(batch.y)
            kind = (self.n_atoms, flat, np.dtype(np.float64), False)
            return about_mean(shift, sums, len(batch), kind)

    def merge(self, left: CrossMoments, right: CrossMoments) -> CrossMoments:
        with np.errstate(invalid="ignore", over="ignore"):
            return merged(left, right)

    def finish(self, state: CrossMoments) -> CrossMoments:
        return state

    def _numbers(self, batch: Batch) -> np.ndarray:
        """The columns of numbers: float64 (n_samples, n_numbers)."""
        if not self.numbers:
            return np.empty((len(batch), 0))
        if isinstance(batch.X, np.ndarray):
            same = self.numbers == tuple(range(batch.X.shape[1]))
            X = batch.X if same else batch.X[:, list(self.numbers)]
            return np.ascontiguousarray(X, np.float64)
        return batch.X.chosen(self.numbers).matrix().astype(np.float64, copy=False)

    def _codes(self, batch: Batch) -> np.ndarray:
        """The level of every word, counted over all columns: int64 (n_samples, n_words)."""
        codes = np.empty((len(batch), len(self.words)), np.int64)
        first = 0
        for k, (column, levels) in enumerate(zip(self.words, self.levels, strict=True)):
            codes[:, k] = level_codes(batch.column(column), levels) + first
            first += len(levels) + 2
        return codes

    def _sums(
        self, X: np.ndarray, codes: np.ndarray, y: np.ndarray, y_shift: np.ndarray
    ) -> np.ndarray:
        """Sums of products of (atoms, y, 1)."""
        from millrace.statistics.kernels.atoms import atom_rows

        p, n_atoms, n_targets = len(self.numbers), self.n_atoms, y.shape[1]
        marked = np.flatnonzero(np.isnan(X).any(axis=0))
        places = np.concatenate(
            [np.arange(p), p + marked, np.arange(n_atoms, n_atoms + n_targets + 1)]
        )
        shift = np.append(np.asarray(self.shift), y_shift)
        dense = np.zeros((len(places), len(places)))
        product = np.empty_like(dense)
        by_level = np.zeros((self.n_levels, len(places)))
        pairs = np.zeros((self.n_levels, self.n_levels))
        buffer = np.empty((min(_BLOCK_ROWS, len(X)), len(places)))
        for first in range(0, len(X), _BLOCK_ROWS):
            here = slice(first, first + _BLOCK_ROWS)
            rows = buffer[: len(X[here])]
            atom_rows(X[here], y[here], shift, marked, codes[here], rows, by_level, pairs)
            np.matmul(rows.T, rows, out=product)  # NumPy calls dsyrk for this
            dense += product
        sums = np.zeros((n_atoms + n_targets + 1, n_atoms + n_targets + 1))
        sums[np.ix_(places, places)] = dense
        levels = np.arange(2 * p, n_atoms)
        sums[np.ix_(levels, places)] = by_level
        sums[np.ix_(places, levels)] = by_level.T
        sums[np.ix_(levels, levels)] = pairs + pairs.T + np.diag(by_level[:, -1])
        return sums


def level_codes(column: Any, levels: tuple[Any, ...]) -> np.ndarray:
    """Places of the values of a column among `levels`, then one for missing, then one for all others."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if isinstance(column, pa.Array):
        if pa.types.is_dictionary(column.type) and column.dictionary.null_count:
            column = column.dictionary_decode()
        some = column.null_count or pa.types.is_floating(column.type)
        missing = column.is_null(nan_is_null=True).to_numpy(zero_copy_only=False) if some else None
    else:
        import pandas as pd

        missing = pd.isna(column)
    known = np.array(levels, object if levels and isinstance(levels[0], str) else None)
    codes = codes_of(column, known) if levels else np.full(len(column), -1)
    other = codes < 0
    if other.any():
        codes = np.where(other, len(levels) + 1, codes)
        if missing is not None:
            codes[missing] = len(levels)
    return codes
