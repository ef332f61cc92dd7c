"""The rows with given numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from millrace.statistics.base import Batch, Statistic
from millrace.statistics.sample import joined, taken


@dataclass(frozen=True)
class Picked(Statistic[Batch, Batch]):
    """Some rows by their numbers, in the order of the table, each once.

    Attributes
    ----------
    numbers : numpy.ndarray of int64
        Sorted and distinct (n_picked,).
    """

    numbers: np.ndarray

    def of(self, batch: Batch) -> Batch:
        rows = batch.row_numbers()
        at = np.minimum(np.searchsorted(self.numbers, rows), len(self.numbers) - 1)
        return taken(batch, np.flatnonzero(self.numbers[at] == rows))

    def merge(self, left: Batch, right: Batch) -> Batch:
        return joined([left, right])

    def finish(self, state: Batch) -> Batch:
        return state
