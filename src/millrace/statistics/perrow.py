"""One value for every row, in the order of the table."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from millrace.statistics.base import Batch, Statistic


@dataclass(frozen=True)
class PerRow(Statistic[tuple[np.ndarray, ...], np.ndarray]):
    """What `values` makes of every batch, one after the other. It grows with the table: keep it small."""

    @abstractmethod
    def values(self, batch: Batch) -> np.ndarray:
        """An array whose first axis is the rows of the batch."""

    def of(self, batch: Batch) -> tuple[np.ndarray, ...]:
        return (self.values(batch),)

    def merge(
        self, left: tuple[np.ndarray, ...], right: tuple[np.ndarray, ...]
    ) -> tuple[np.ndarray, ...]:
        return left + right

    def finish(self, state: tuple[np.ndarray, ...]) -> np.ndarray:
        return np.concatenate(state)
