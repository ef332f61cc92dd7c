"""The same rows in another container get the same answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp

from tests.conformance import rows as make
from tests.conformance.cases import EXAMPLES, Case, case, outcome
from tests.conformance.compare import difference

NULLABLE = {"float64": "Float64", "float32": "Float32", "int64": "Int64", "bool": "boolean"}


def frame(rows: Any) -> pd.DataFrame:
    """The rows as a data frame; the columns of an array get made-up names."""
    if isinstance(rows, pd.DataFrame):
        return rows
    return pd.DataFrame(rows, columns=[f"x{i}" for i in range(rows.shape[1])])


def nullable(rows: Any) -> pd.DataFrame:
    columns = frame(rows)
    kinds = {name: NULLABLE[str(d)] for name, d in columns.dtypes.items() if str(d) in NULLABLE}
    words = {
        name: "string"
        for name, d in columns.dtypes.items()
        if str(d) in ("object", "str") and pd.api.types.is_string_dtype(columns[name].dropna())
    }
    return columns.astype(kinds | words)


def arrow_backed(rows: Any) -> pd.DataFrame:
    kinds = {
        field.name: pd.ArrowDtype(field.type)
        for field in table(rows).schema
        if not pa.types.is_dictionary(field.type)
    }
    return frame(rows).astype(kinds)


def table(rows: Any) -> pa.Table:
    return pa.Table.from_pandas(frame(rows), preserve_index=False)


def chunked(rows: Any) -> pa.Table:
    whole = table(rows)
    return pa.concat_tables([whole[:7], whole[7:8], whole[8:]])


def reversed_columns(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[list(rows.columns)[::-1]]


def strange_index(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.set_axis([7] * len(rows), axis=0)


Containers = Mapping[str, Callable[[Any], Any]]

FRAMES: Containers = {
    "pandas": frame,
    "dict of columns": lambda rows: {name: frame(rows)[name].to_numpy() for name in frame(rows)},
}
DICTS: Containers = {
    "list of dicts": lambda rows: frame(rows).to_dict("records"),
}
ARROW: Containers = {
    "pandas nullable": nullable,
    "pandas Arrow": arrow_backed,
    "polars": lambda rows: pl.from_arrow(table(rows)),
    "polars lazy": lambda rows: pl.from_arrow(table(rows)).lazy(),
    "Arrow table": table,
    "Arrow table in chunks": chunked,
    "Arrow batch": lambda rows: table(rows).combine_chunks().to_batches()[0],
}
NAMED: Containers = {
    "columns in another order": reversed_columns,
    "rows that share one label": strange_index,
}
SPARSE: Containers = {
    "CSC": lambda rows: rows.tocsc(),
    "COO": lambda rows: rows.tocoo(),
    "cells out of order": lambda rows: rows[:, ::-1][:, ::-1],
}
SERIES: Containers = {
    "list": list,
    "pandas series": lambda rows: pd.Series(list(rows)),
    "pandas series of another index": lambda rows: pd.Series(list(rows), index=[7] * len(rows)),
}
ARRAYS: Containers = {
    "Fortran order": np.asfortranarray,
    "every other row": lambda rows: np.repeat(rows, 2, axis=0)[::2],
    "rows from last to first": lambda rows: rows[::-1].copy()[::-1],
    "columns of a wider array": lambda rows: np.hstack([rows, rows])[:, : rows.shape[1]],
    "the other byte order": lambda rows: rows.astype(rows.dtype.newbyteorder()),
}


def without_none(found: Case, rows: Any) -> Any:
    """Objects with NaN for None: Arrow and dicts have one kind of missing cell."""
    objects = {c: make.column(rows, c) for c in make.textual(rows) if c in found.read}
    chosen = {c: cells for c, cells in objects.items() if cells.dtype == object}
    return make.replaced(
        rows,
        {
            c: np.array([np.nan if v is None else v for v in cells] + [None], object)[:-1]
            for c, cells in chosen.items()
        },
    )


def mixed(rows: Any) -> bool:
    """Whether a column holds values of several types, which Arrow cannot."""
    objects = (make.column(rows, c) for c in make.textual(rows))
    kinds = ({type(v) for v in cells if v is not None and v == v} for cells in objects)
    return any(len(k) > 1 for k in kinds)


def problems(found: Case, rows: Any, containers: Containers) -> list[str]:
    """Where the answer to converted rows is not the source's answer to the rows."""
    seen = []
    for method in found.methods:
        expected, refused = outcome(lambda m=method: found.by_source(m, rows))
        for kind, convert in containers.items():
            got, error = outcome(lambda m=method, c=convert: found.by_numba(m, c(rows)))
            if refused is not None:
                problem = "answered, the source raises" if error is None else None
            elif error is not None:
                problem = f"raised {type(error).__name__}: {str(error)[:300]}"
            else:
                problem = difference(expected, got, found.example.ulp, found.example.absolute)
            if problem:
                seen.append(f"{method} on {kind}: {problem}")
    return seen


@pytest.mark.parametrize("name", [n for n in EXAMPLES if EXAMPLES[n].native])
def test_containers_agree(name: str) -> None:
    found = case(name)
    rows = make.first(found.rows, 30)
    if not make.is_table(rows):
        seen = problems(found, rows, SPARSE if sp.issparse(rows) else SERIES)
        assert not seen, "\n".join(seen)
        return
    seen = problems(found, rows, FRAMES)
    if isinstance(rows, pd.DataFrame):
        seen += problems(found, rows, NAMED)
    else:
        seen += problems(found, rows, ARRAYS)
    if make.numeric(rows) and not isinstance(rows, pd.DataFrame):
        seen += problems(
            found, make.as_dtype(rows, "float64"), {"list of lists": lambda r: r.tolist()}
        )
    doubles = (
        make.as_dtype(rows, "float64") if make.numeric(rows) else rows
    )  # Python has no float32
    seen += problems(found, without_none(found, doubles), DICTS)
    if not mixed(rows):
        seen += problems(found, without_none(found, rows), ARROW)
    assert not seen, "\n".join(seen)
