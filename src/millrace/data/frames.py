"""Data frames and Arrow tables in memory as tables; slices are converted as they are read."""

# pyarrow ships no types, and pandas and polars are optional.
# pyright: reportUnknownParameterType=false, reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from millrace.data.matrix import sample_rows
from millrace.data.source import Source, conform, plain, plain_schema
from millrace.errors import FileInputError


class InMemory(Source):
    """Rows in memory, of which a slice can be taken as a record batch.

    Subclasses have `schema`, `n_rows`, `name` and `slice`.
    """

    in_memory = True

    def slice(self, columns: Sequence[str], first: int, stop: int) -> pa.RecordBatch:
        """Some rows of some columns, with the types of the schema."""
        raise NotImplementedError

    def read(self, columns: Sequence[str], rows: int, start: int = 0) -> Iterator[pa.RecordBatch]:
        """Slices; numbers without nulls are not copied."""
        for first in range(start, self.n_rows or 0, rows):
            yield self.slice(columns, first, min(first + rows, self.n_rows or 0))

    def fingerprint(self) -> Iterable[object]:
        """The number of rows and a sample of them."""
        yield self.n_rows
        for row in sample_rows(self.n_rows or 0):
            yield repr(self.slice(self.schema.names, row, row + 1).to_pylist())


class ArrowTable(InMemory):
    """A pyarrow Table or RecordBatch."""

    def __init__(self, table: pa.Table | pa.RecordBatch) -> None:
        if isinstance(table, pa.RecordBatch):
            table = pa.Table.from_batches([table])
        self._table = table
        self.schema = plain_schema(table.schema)
        self.n_rows = table.num_rows
        self.row_bytes = table.nbytes / max(table.num_rows, 1)
        self.name = f"an Arrow table of {table.num_rows:,} rows"

    def slice(self, columns: Sequence[str], first: int, stop: int) -> pa.RecordBatch:
        """Views, unless the rows lie in several chunks."""
        schema = pa.schema([self.schema.field(c) for c in columns])
        return one_batch(self._table.select(list(columns)).slice(first, stop - first), schema)


class Polars(InMemory):
    """A polars DataFrame."""

    def __init__(self, frame: Any) -> None:
        self._frame = frame
        self.schema = plain_schema(frame.head(0).to_arrow().schema)
        self.n_rows = frame.height
        self.row_bytes = frame.estimated_size() / max(frame.height, 1)
        self.name = f"a polars frame of {frame.height:,} rows"

    def slice(self, columns: Sequence[str], first: int, stop: int) -> pa.RecordBatch:
        """Texts are copied, as polars keeps them in another form."""
        schema = pa.schema([self.schema.field(c) for c in columns])
        rows = self._frame.select(list(columns)).slice(first, stop - first)
        return one_batch(rows.to_arrow(), schema)


def one_batch(table: pa.Table, schema: pa.Schema) -> pa.RecordBatch:
    """A small table as one batch with the types of `schema`."""
    batches = [conform(b, schema) for b in table.to_batches()]
    if not batches:
        return pa.RecordBatch.from_pylist([], schema=schema)
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)


class Pandas(InMemory):
    """A pandas DataFrame.

    NaN stays NaN in columns of floats and is null in columns of objects and texts. Categoricals are
    dictionaries. The index is left out. Column names that are not texts stand there as texts, and the
    table counts as unnamed, as scikit-learn sees it.

    Raises
    ------
    FileInputError
        Two columns have one name; a column of objects mixes types or holds what Arrow has no type for.
    """

    def __init__(self, frame: Any) -> None:
        self.name = f"a pandas frame of {len(frame):,} rows"
        if frame.columns.nlevels > 1:
            why = "its columns have names of several levels; flatten them first"
            raise FileInputError.not_a_table("this pandas frame", why)
        names = [str(c) for c in frame.columns]
        if twice := [n for n in names if names.count(n) > 1]:
            raise FileInputError.not_a_table(
                "this pandas frame", f"column {twice[0]!r} stands there twice"
            )
        self.named = all(isinstance(c, str) for c in frame.columns)
        self.n_rows = len(frame)
        columns = [_column(frame.iloc[:, j], name, self.name) for j, name in enumerate(names)]
        self._take = {n: take for n, (_, take) in zip(names, columns, strict=True)}
        self.schema = pa.schema([(n, t) for n, (t, _) in zip(names, columns, strict=True)])
        self.row_bytes = float(frame.memory_usage(index=False).sum()) / max(len(frame), 1)

    def slice(self, columns: Sequence[str], first: int, stop: int) -> pa.RecordBatch:
        """Columns of NumPy numbers are not copied."""
        schema = pa.schema([self.schema.field(c) for c in columns])
        arrays = [self._take[c](first, stop) for c in columns]
        batch = pa.RecordBatch.from_arrays(arrays, list(columns))
        return conform(batch, schema)


_Take = Callable[[int, int], pa.Array]


def _column(series: Any, name: str, owner: str) -> tuple[pa.DataType, _Take]:
    """The Arrow type of a pandas column, and what gives a slice of it."""
    dtype: Any = series.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "biuf":
        values = series.to_numpy()
        return pa.from_numpy_dtype(dtype), lambda i, j: pa.array(values[i:j], from_pandas=False)
    if isinstance(dtype, np.dtype) and dtype.kind == "O":
        return _objects(series.to_numpy(), name, owner)
    if dtype.name == "category":
        return _categories(series)
    if str(dtype).startswith("Sparse"):
        kind = pa.from_numpy_dtype(getattr(dtype, "subtype"))  # noqa: B009
        return kind, lambda i, j: pa.array(series.iloc[i:j].to_numpy(), from_pandas=False)
    try:
        kind = plain(pa.array(series.iloc[:0]).type)
    except (pa.ArrowException, NotImplementedError, TypeError) as error:
        raise FileInputError.not_a_table(
            owner, f"column {name!r} is of {dtype}, for which Arrow has no type"
        ) from error

    def take(i: int, j: int) -> pa.Array:
        found = pa.array(series.iloc[i:j])
        return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found

    return kind, take


def _categories(series: Any) -> tuple[pa.DataType, _Take]:
    codes = series.cat.codes.to_numpy()
    ordered = bool(series.cat.ordered)
    words = pa.array(series.cat.categories)
    words = words.combine_chunks() if isinstance(words, pa.ChunkedArray) else words
    words = words.cast(plain(words.type))

    def take(i: int, j: int) -> pa.Array:
        part = codes[i:j].astype(np.int32)
        return pa.DictionaryArray.from_arrays(pa.array(part, mask=part < 0), words, ordered=ordered)

    return pa.dictionary(pa.int32(), words.type, ordered), take


def _objects(values: np.ndarray, name: str, owner: str) -> tuple[pa.DataType, _Take]:
    """A column of Python objects: of one type, beside missing ones.

    Whole columns are looked through, so that a type does not depend on the first rows.
    """
    import pandas as pd

    found = pd.api.types.infer_dtype(values, skipna=True)
    if found in ("mixed-integer", "mixed"):
        _refuse_mixed(values, name, owner)
    if found == "empty":
        return pa.string(), lambda i, j: pa.nulls(j - i, pa.string())
    try:
        some = values[~pd.isna(values)] if found != "mixed" else values
        kind = pa.float64() if found == "mixed-integer-float" else None
        kind = plain(pa.array(some[:1000], kind, from_pandas=True).type)
        if found == "integer":
            kind = pa.int64()
        return kind, lambda i, j: pa.array(values[i:j], kind, from_pandas=True)
    except (pa.ArrowException, TypeError) as error:
        raise FileInputError.not_a_table(
            owner, f"column {name!r} holds {found} objects, for which Arrow has no type"
        ) from error


def _refuse_mixed(values: np.ndarray, name: str, owner: str) -> None:
    """Raise where two scalar types stand in one column."""
    import pandas as pd

    first: type | None = None
    for row, value in enumerate(values):
        if pd.api.types.is_scalar(value) and pd.isna(value):
            continue
        first = first or type(value)
        if type(value) is not first:
            raise FileInputError.mixed_column(owner, name, row, value, first.__name__)
