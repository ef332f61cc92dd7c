"""Samples of rows in a container that the source of a model takes, too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from millrace.ir.program import Form


def for_source(rows: Any, form: Form) -> Any:
    """Rows that can be read more than once, by a library that knows no Arrow.

    Columns in a dict, lists of dicts and what exports Arrow become pandas frames, Arrow series and
    iterators become lists. All else stays as it is.

    Parameters
    ----------
    rows : table-like or series, optional
    form : {"table", "series", "csr_matrix", "csr_array"}
        The input of the model's program.
    """
    if isinstance(rows, Iterator):
        rows = list(rows)
    kind = type(rows).__module__.split(".")[0]
    if kind in ("pandas", "numpy", "scipy") or rows is None:
        return rows
    if form == "series":
        if kind == "pyarrow":
            return rows.to_pylist()
        return rows if kind == "polars" or isinstance(rows, (list, tuple)) else list(rows)
    if kind == "polars":
        return rows.collect() if hasattr(rows, "collect") else rows
    is_dicts = isinstance(rows, (list, tuple)) and rows and isinstance(rows[0], Mapping)
    if is_dicts or isinstance(rows, Mapping):
        import pandas as pd

        return pd.DataFrame(rows)
    for name in ("to_table", "read_all"):
        if kind == "pyarrow" and hasattr(rows, name):
            return getattr(rows, name)().to_pandas()
    if hasattr(rows, "null_count"):
        return np.asarray(rows)
    if hasattr(rows, "__arrow_c_stream__") or hasattr(rows, "__arrow_c_array__"):
        import pyarrow as pa

        return pa.table(rows).to_pandas()
    return rows


def first(rows: Any, n: int) -> Any:
    """The first rows of a sample; all where it cannot be cut."""
    if hasattr(rows, "tocsr"):
        rows = rows.tocsr()
    return rows[:n] if hasattr(rows, "__getitem__") else rows
