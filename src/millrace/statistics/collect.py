"""Rows themselves: all of them where memory allows it, or the first few."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from millrace.statistics.base import Batch, Columns, Statistic


@dataclass(frozen=True)
class Collected:
    """All rows that were asked for.

    Attributes
    ----------
    X : numpy.ndarray, scipy.sparse.csr_matrix or pandas.DataFrame
    y : numpy.ndarray, optional
    weight : numpy.ndarray, optional
    """

    X: Any
    y: Any
    weight: np.ndarray | None


@dataclass(frozen=True)
class Collect(Statistic[tuple[Batch, ...], Collected]):
    """The rows in memory, as the estimator itself would be given them.

    Attributes
    ----------
    most : int, optional
        Only the first rows, this many.
    """

    most: int | None = None

    def of(self, batch: Batch) -> tuple[Batch, ...]:
        return (batch,) if self.most is None else _first((batch,), self.most)

    def merge(self, left: tuple[Batch, ...], right: tuple[Batch, ...]) -> tuple[Batch, ...]:
        return left + right if self.most is None else _first(left + right, self.most)

    def finish(self, state: tuple[Batch, ...]) -> Collected:
        ys = [y for b in state if (y := labels(b.y)) is not None]
        weights = [b.weight for b in state if b.weight is not None]
        return Collected(
            stacked([b.X for b in state]),
            np.concatenate(ys) if ys else None,
            np.concatenate(weights) if weights else None,
        )


def _first(batches: tuple[Batch, ...], most: int) -> tuple[Batch, ...]:
    kept: list[Batch] = []
    for batch in batches:
        left = most - sum(map(len, kept))
        if left <= 0:
            break
        kept.append(batch if len(batch) <= left else _head(batch, left))
    return tuple(kept)


def _head(batch: Batch, n: int) -> Batch:
    X = batch.X.rows(slice(0, n)) if isinstance(batch.X, Columns) else batch.X[:n]
    y = None if batch.y is None else batch.y[:n]
    weight = None if batch.weight is None else batch.weight[:n]
    return Batch(batch.first, X, y, weight, None if batch.rows is None else batch.rows[:n])


def labels(y: Any) -> np.ndarray | None:
    """A target as a NumPy array."""
    if y is None or isinstance(y, np.ndarray):
        return y
    return y.to_numpy(zero_copy_only=False)


def stacked(blocks: list[Any]) -> Any:
    """Blocks one below the other: an array, a CSR matrix, or a data frame of columns."""
    if isinstance(blocks[0], Columns):
        import pandas as pd

        return pd.concat([frame(b) for b in blocks], ignore_index=True)
    return sp.vstack(blocks, "csr") if sp.issparse(blocks[0]) else np.concatenate(blocks)


def as_matrix(X: Any) -> Any:
    """Rows as one C-contiguous matrix of float32 or float64, or CSR, as scikit-learn would make of them.

    Raises
    ------
    TypeError, ValueError
        A column is not numeric.
    """
    if sp.issparse(X):
        return X.tocsr()
    if hasattr(X, "columns"):
        X = X.to_numpy()
    kept = X.dtype if X.dtype in (np.float32, np.float64) else np.float64
    return np.ascontiguousarray(X, kept)


def frame(columns: Columns) -> Any:
    """Columns as the pandas data frame that a user of scikit-learn would have read."""
    import pandas as pd

    found: dict[str, Any] = {}
    for name, array in zip(columns.names, columns.arrays, strict=True):
        found[name] = array if isinstance(array, np.ndarray) else array.to_pandas()
    return pd.DataFrame(found)
