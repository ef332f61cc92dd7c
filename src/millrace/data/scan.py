"""``millrace.scan``: anything that holds rows, as a table."""

# pyarrow ships no types, and pandas, polars and DuckDB are optional.
# pyright: reportUnknownParameterType=false, reportUnknownVariableType=false

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from millrace.data.options import CsvOptions
from millrace.data.source import Source
from millrace.data.table import Table
from millrace.data.where import Filtered, Where
from millrace.errors import FileInputError, MissingColumnsError


def scan(
    source: Any,
    *,
    columns: Sequence[str | int] | None = None,
    where: Any = None,
    csv: CsvOptions | None = None,
    connection: Any = None,
) -> Table:
    """A table of any size, read batch by batch when it is used.

    Parameters
    ----------
    source : path-like, list of them, frame, Arrow object, relation, SQL text, array or list of rows
        A file (CSV, Parquet, Arrow IPC, JSON lines, ``.npy``), a pattern such as ``"part-*.csv"`` or a
        folder, whose ``key=value`` folders become columns; a pandas or polars frame, also a lazy one;
        a pyarrow Table, RecordBatch, Dataset or RecordBatchReader; anything with
        ``__arrow_c_stream__``; a DuckDB relation; SQL text together with `connection`; a NumPy array
        or memory map, or a SciPy sparse matrix.
    columns : sequence of str, optional
        Only these, in this order. Positions for a matrix; they are copied where they are no range.
    where : pyarrow.dataset.Expression, or list of (column, operator, value), optional
        Only rows that meet all conditions. Parquet files and row groups that have none are not read.
    csv : CsvOptions, optional
        What CSV files do not say about themselves.
    connection : duckdb.DuckDBPyConnection, optional
        For SQL text.

    Returns
    -------
    Table

    Raises
    ------
    FileInputError
        There is no such file, it is damaged, or the files of one table differ in their columns; the
        object is no table.
    MissingColumnsError
        A column is not in the table.

    Examples
    --------
    >>> scan(np.zeros((10, 3)))
    <Table a float64 array of 10 x 3: 3 columns, 10 rows>
    """
    if isinstance(source, Table):
        if columns is None and where is None:
            return source
        columns = source.schema.names if columns is None else columns
        if missing := [
            str(c) for c in columns if isinstance(c, str) and c not in source.schema.names
        ]:
            raise MissingColumnsError.of(missing, source.schema.names)
        source = source._source
    found = _source(source, csv or CsvOptions(), connection)
    if found.matrix is not None:
        return _matrix(found, columns, where)
    if where is not None:
        found = _filtered(found, Where(where, found.schema))
    return Table(found, None if columns is None else [str(c) for c in columns])


def _source(source: Any, csv: CsvOptions, connection: Any) -> Source:
    if isinstance(source, Source):
        return source
    if isinstance(source, str) and connection is not None:
        return _query(source, connection)
    if isinstance(source, (str, os.PathLike)):
        return _path(source, csv)
    if isinstance(source, np.ndarray) or _is_sparse(source):
        from millrace.data.matrix import Matrix

        return Matrix(source)
    if isinstance(source, (list, tuple)):
        return _list(source, csv)
    return _of_library(source)


def _path(path: str | os.PathLike[str], csv: CsvOptions) -> Source:
    from millrace.data.files import files_of
    from millrace.data.matrix import mapped

    text = os.fspath(path)
    words = text.split(None, 1)
    if (
        len(words) == 2
        and words[0].lower() in ("select", "with", "from")
        and not Path(text).exists()
    ):
        why = "it looks like SQL; pass connection=duckdb.connect() with it"
        raise FileInputError.not_a_table(repr(text[:60]), why)
    if text.lower().endswith(".npy"):
        return mapped(Path(text))
    return files_of([text], csv)


def _list(rows: Sequence[Any], csv: CsvOptions) -> Source:
    """Paths, mappings or rows of a matrix."""
    if not rows:
        raise FileInputError.not_a_table("an empty list", "it names no file and has no row")
    if all(isinstance(r, (str, os.PathLike)) for r in rows):
        from millrace.data.files import files_of

        return files_of(rows, csv)
    if all(isinstance(r, Mapping) for r in rows):
        from millrace.data.frames import ArrowTable

        try:
            return ArrowTable(pa.Table.from_pylist([dict(r) for r in rows]))
        except pa.ArrowException as error:
            raise FileInputError.not_a_table("this list of mappings", str(error)) from error
    from millrace.data.matrix import Matrix

    try:
        return Matrix(np.asarray(rows))
    except ValueError as error:
        raise FileInputError.not_a_table("this list", "its rows differ in length") from error


def _of_library(source: Any) -> Source:
    """Objects of pyarrow, pandas, polars and DuckDB, none of which is imported for the question."""
    from millrace.data import frames, streams

    if isinstance(source, (pa.Table, pa.RecordBatch)):
        return frames.ArrowTable(source)
    if isinstance(source, pa.RecordBatchReader):
        return streams.Stream(source)
    home = type(source).__module__.split(".")[0]
    kind = type(source).__name__
    if _is_a(source, "pandas", "Series"):
        source = source.to_frame(source.name if source.name is not None else "x0")
    if _is_a(source, "pandas", "DataFrame"):
        return frames.Pandas(source)
    if _is_a(source, "polars", "DataFrame"):
        return frames.Polars(source)
    if _is_a(source, "polars", "LazyFrame"):
        return streams.LazyFrame(source)
    if _is_a(source, "pyarrow.dataset", "Dataset"):
        return streams.Dataset(source)
    if kind == "DuckDBPyRelation":
        return streams.DuckDB(source, source.sql_query())
    if hasattr(source, "__arrow_c_stream__"):
        return streams.Stream(source)
    raise FileInputError.not_a_table(f"a {home}.{kind}", "it is no table")


def _is_a(source: Any, module: str, name: str) -> bool:
    """Whether it is of a class of a module, which then has been imported."""
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(source, kind)


def _is_sparse(source: Any) -> bool:
    return hasattr(source, "tocsr") and hasattr(source, "nnz")


def _query(text: str, connection: Any) -> Source:
    if "duckdb" not in sys.modules:
        raise FileInputError.not_a_table(
            f"SQL with a {type(connection).__name__}", "the connection is not one of DuckDB"
        )
    import duckdb

    from millrace.data.streams import DuckDB

    try:
        try:
            relation = connection.cursor().sql(text)
        except duckdb.CatalogException:  # a frame that is registered with the connection alone
            relation = connection.sql(text)
    except duckdb.Error as error:
        raise FileInputError.unreadable("the query", " ".join(str(error).split())) from error
    if relation is None:
        raise FileInputError.unreadable("the query", "it gives no rows; pass a SELECT")
    return DuckDB(relation, text)


def _filtered(source: Source, where: Where) -> Source:
    """The condition applied to every batch, and beforehand by the source as far as it can."""
    source = copy(source)  # a table that has it already keeps all its rows
    source.push(where)
    return Filtered(source, where)


def _matrix(source: Source, columns: Sequence[str | int] | None, where: Any) -> Table:
    from millrace.data.matrix import Matrix

    if where is not None:
        why = "where=... goes by column names; choose rows of the array itself: X[X[:, 0] > 0]"
        raise FileInputError.not_a_table(source.name, why)
    if columns is None:
        return Table(source)
    names = source.schema.names
    if missing := [str(c) for c in columns if isinstance(c, str) and c not in names]:
        raise MissingColumnsError.of(missing, names)
    places = [names.index(c) if isinstance(c, str) else int(c) for c in columns]
    if outside := [p for p in places if not 0 <= p < len(names)]:
        raise MissingColumnsError.of([f"x{outside[0]}"], names)
    chosen: Any = places
    if places == list(range(places[0], places[0] + len(places))):
        chosen = slice(places[0], places[0] + len(places))
    return Table(Matrix(source.matrix[:, chosen]))
