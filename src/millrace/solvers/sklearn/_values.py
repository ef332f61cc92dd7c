"""Rows that stand in for all rows, made of the distinct values of every column."""

from __future__ import annotations

from typing import Any

import numpy as np

from millrace.statistics.base import Columns
from millrace.statistics.categories import Counted
from millrace.statistics.collect import frame


def stand_in(counted: tuple[Counted, ...], head: Any, names: Any = None) -> Any:
    """Every distinct value of every column, missing last, with the dtypes that all rows would have.

    Parameters
    ----------
    counted : tuple of Counted
        One for each column.
    head : pandas.DataFrame or numpy.ndarray
        The first rows, for the kind of container and the dtype of an array.
    names : tuple of str, optional

    Returns
    -------
    pandas.DataFrame or numpy.ndarray
        (n_values of the column with most, n_features); the first value is repeated in shorter columns.
    """
    columns = [one.complete()[0] for one in counted]
    longest = max(map(len, columns))
    padded = [_padded(column, longest) for column in columns]
    if hasattr(head, "iloc"):
        return frame(Columns(tuple(names or map(str, head.columns)), tuple(padded)))
    dtype = head.dtype if head is not None and head.dtype.kind != "U" else None
    arrays = [np.asarray(c) if isinstance(c, np.ndarray) else c.to_numpy(False) for c in padded]
    return np.column_stack(arrays).astype(dtype if dtype is not None else object)


def _padded(column: Any, length: int) -> Any:
    places = np.zeros(length, np.int64)
    places[: len(column)] = np.arange(len(column))
    if isinstance(column, np.ndarray):
        return column[places]
    import pyarrow as pa

    return column.take(pa.array(places))
