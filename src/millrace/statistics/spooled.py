"""All rows as one matrix, in memory or mapped from disk, for libraries that read rows themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from millrace.errors import FitError
from millrace.statistics.base import Batch, Statistic
from millrace.statistics.binned import span_of
from millrace.statistics.mapped import Store


@dataclass(frozen=True)
class Written:
    """The state of `SpooledRows`: which rows were written, not the rows.

    Attributes
    ----------
    spans : tuple of (int, int)
        First and last place of rows that stand in the matrix.
    blocks : tuple of (int, numpy.ndarray)
        First place and values of rows that do not: those of a state that was pickled.
    store : Store, optional
    """

    spans: tuple[tuple[int, int], ...]
    blocks: tuple[tuple[int, np.ndarray], ...]
    store: Store | None

    def __reduce__(self) -> Any:
        own = (
            tuple((a, np.array(self.store.get()[a:b])) for a, b in self.spans) if self.store else ()
        )
        return Written, ((), self.blocks + own, None)


@dataclass(frozen=True)
class SpooledRows(Statistic[Written, np.ndarray]):
    """The rows as a matrix (n_samples, n_features), row-major; missing cells are NaN.

    Attributes
    ----------
    who : str
        Class name of the estimator, for messages.
    shape : (int, int)
    dtype : str
        ``"float32"`` or ``"float64"``.
    memory : int
        Bytes up to which the matrix is kept in memory; beyond, it is mapped from a file.
    rows : numpy.ndarray of int64, optional
        The numbers of all rows, ascending, where they are not 0, 1, 2 ...
    """

    who: str
    shape: tuple[int, int]
    dtype: str
    memory: int
    rows: np.ndarray | None = None
    store: Store = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "store", Store(self.shape, self.memory, self.dtype))

    def of(self, batch: Batch) -> Written:
        try:
            X = batch.matrix
        except TypeError as error:
            raise FitError.not_numeric(self.who, str(error)) from error
        first, stop = span_of(batch, self.rows)
        self.store.get()[first:stop] = X
        self.store.let_go()
        return Written(((first, stop),), (), self.store)

    def merge(self, left: Written, right: Written) -> Written:
        return Written(
            left.spans + right.spans, left.blocks + right.blocks, left.store or right.store
        )

    def finish(self, state: Written) -> np.ndarray:
        matrix = self.store.get()
        count = sum(b - a for a, b in state.spans)
        for first, block in state.blocks:
            matrix[first : first + len(block)] = block
            count += len(block)
        if count != self.shape[0]:
            raise FitError(
                f"{self.who}: the table had {self.shape[0]:,} rows in one sweep and {count:,} in "
                f"the next; it must not change during a fit."
            )
        return matrix
