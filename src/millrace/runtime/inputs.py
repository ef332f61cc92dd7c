"""Tables of any kind -> one array per program column, without copying what can be viewed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.errors import (
    ColumnTypeError,
    ExtraColumnsError,
    MissingColumnsError,
    ShapeError,
    UnknownCategoryError,
)
from millrace.ir.arrays import NULL
from millrace.ir.program import Column, Program
from millrace.ir.types import ABSENT, CSR

ColumnData = Any
"""A one-dimensional NumPy array (numbers, or objects), or a pyarrow array of text."""


@dataclass(frozen=True)
class Batch:
    """Rows on their way into a program.

    Attributes
    ----------
    columns : list, or CSR matrix
        One per program column, None where the program does not read it; a matrix for a program of
        sparse tables.
    n_rows : int
    binding : tuple of str
        The dtype of each column, ``object`` for text and mixed values, `ABSENT` for what is not there.
    """

    columns: Any
    n_rows: int
    binding: tuple[str, ...]


def adapt(rows: Any, program: Program, ignore_extra: bool = False) -> Batch:
    """The columns that a program reads, from any table-like object.

    Parameters
    ----------
    rows : NumPy array, pandas or polars DataFrame, pyarrow Table, RecordBatch or Dataset, list of \
            dicts, dict of columns, list of lists, anything that exports Arrow or DLPack; a sparse \
            matrix or a series where the program is for one
    program : Program
    ignore_extra : bool
        Whether columns that the model was not fitted on are passed over silently.

    Raises
    ------
    MissingColumnsError, ExtraColumnsError, ShapeError, ColumnTypeError, UnknownCategoryError
    """
    if program.form.startswith("csr"):
        return _sparse_batch(rows, program)
    if program.form == "series":
        return _series_batch(rows, program.columns[0])
    names, get, n_rows = _reader(rows)
    used = program.used_columns
    columns: list[ColumnData | None] = [None] * len(program.columns)
    if names is not None and program.named:
        own = _own_names(names, program)
        _check_names(names, own, program, ignore_extra)
        for position in used:
            column = program.columns[position]
            columns[position] = _column(get(own[column.name]), column)
    else:
        width = len(names) if names is not None else get(None)
        if width != len(program.columns):
            raise ShapeError.wrong_width(width, len(program.columns))
        for position in used:
            source = names[position] if names is not None else position
            columns[position] = _column(get(source), program.columns[position])
    binding = tuple(
        _unread_dtype(rows, names, i, program) if c is None else _dtype(c)
        for i, c in enumerate(columns)
    )
    return Batch(columns, n_rows, binding)


def is_sparse(rows: Any) -> bool:
    """Whether rows are a SciPy sparse matrix, or a pandas DataFrame of sparse columns alone."""
    if hasattr(rows, "tocsr"):
        return True
    if type(rows).__module__.split(".")[0] != "pandas" or not hasattr(rows, "sparse"):
        return False
    dtypes = list(getattr(rows, "dtypes", ()))
    return bool(dtypes) and all(hasattr(d, "fill_value") for d in dtypes)


def sparse_kind(rows: Any) -> str:
    """The container that scikit-learn makes of sparse rows: ``csr_matrix`` or ``csr_array``."""
    return "csr_array" if type(rows).__name__.endswith("_array") else "csr_matrix"


def _sparse_batch(rows: Any, program: Program) -> Batch:
    matrix = rows.tocsr() if hasattr(rows, "tocsr") else rows.sparse.to_coo().tocsr()
    if matrix.ndim != 2:
        raise ShapeError.wrong_dimensions(matrix.ndim)
    if matrix.shape[1] != len(program.columns):
        raise ShapeError.wrong_width(matrix.shape[1], len(program.columns))
    if matrix.dtype.kind not in "biuf":
        raise ColumnTypeError.unsupported(f"a sparse matrix of {matrix.dtype}", "numbers")
    if not matrix.has_canonical_format:
        matrix = matrix.copy()
        matrix.sum_duplicates()
    binding = (f"{CSR}{matrix.dtype}",) * len(program.columns)
    return Batch(matrix, matrix.shape[0], binding)


def _series_batch(rows: Any, column: Column) -> Batch:
    """One cell a row."""
    if isinstance(rows, (str, bytes, Mapping)) or not hasattr(rows, "__iter__"):
        raise ColumnTypeError.unsupported(
            f"a single {type(rows).__name__}", "a series: one cell a row, e.g. a list of them"
        )
    if len(getattr(rows, "shape", (0,))) != 1:
        raise ShapeError.not_a_series(tuple(rows.shape))
    kind = type(rows).__module__.split(".")[0]
    if column.kind == "object" or kind not in ("numpy", "pandas", "polars", "pyarrow"):
        cells = list(rows)
        if column.kind == "any" and cells and not any(isinstance(c, str) for c in cells):
            rows = np.asarray(cells)
        else:
            rows = np.empty(len(cells), object)
            rows[:] = cells
    data = rows if column.kind == "object" else _column(rows, column)
    return Batch([data], len(data), (_dtype(data),))


def _dtype(column: ColumnData) -> str:
    return str(column.dtype) if isinstance(column, np.ndarray) else "object"


def _unread_dtype(rows: Any, names: Sequence[str] | None, position: int, program: Program) -> str:
    """The dtype of a column that is not read but takes part in the source's type promotion."""
    if isinstance(rows, np.ndarray):
        return str(rows.dtype)
    name = (
        program.columns[position].name if program.named else (names or ())[position : position + 1]
    )
    dtypes = getattr(rows, "dtypes", None)
    if program.named and hasattr(rows, "iloc") and name in rows.columns:
        dtype = dtypes[name]  # pyright: ignore[reportOptionalSubscript]
        if isinstance(dtype, np.dtype) and dtype.kind in "biuf":
            return str(dtype)
    return ABSENT


def _own_names(names: Sequence[str], program: Program) -> dict[str, str]:
    """The name of each column of the model -> its name in the table, where it has that column.

    LightGBM writes the blanks of names as underscores: its "capital_gain" may be a "capital gain".
    """
    present = set(names)
    own = {c.name: c.name for c in program.columns if c.name in present}
    if len(own) < len(program.columns):
        lacking = {c.name for c in program.columns} - present
        for name in names:
            if " " in name and (written := name.replace(" ", "_")) in lacking:
                own[written] = name
    return own


def _check_names(
    names: Sequence[str], own: Mapping[str, str], program: Program, ignore_extra: bool
) -> None:
    wanted = [program.columns[c].name for c in program.used_columns]
    missing = [n for n in wanted if n not in own]
    if missing:
        raise MissingColumnsError.of(missing, list(names))
    if not ignore_extra:
        known = set(own.values())
        extra = [n for n in names if n not in known]
        if extra:
            raise ExtraColumnsError.of(extra, [c.name for c in program.columns])


def _reader(rows: Any) -> tuple[list[str] | None, Any, int]:
    """Column names (None for a plain array), a getter of one column, and the number of rows."""
    kind = type(rows).__module__.split(".")[0]
    if isinstance(rows, np.ndarray):
        return _array_reader(rows)
    if kind == "pandas" and hasattr(rows, "columns"):
        names = [str(c) for c in rows.columns]
        series = dict(zip(names, range(len(names)), strict=False))
        return names, lambda name: rows.iloc[:, series[name]], len(rows)
    if kind == "polars" and hasattr(rows, "get_column"):
        return list(rows.columns), rows.get_column, rows.height
    if kind == "polars" and hasattr(rows, "collect"):
        return _reader(rows.collect())
    if kind == "pyarrow" and hasattr(rows, "to_table"):  # a dataset, or a scanner of one
        return _reader(rows.to_table())
    if kind == "pyarrow" and hasattr(rows, "read_all"):
        return _reader(rows.read_all())
    if kind == "pyarrow" and hasattr(rows, "schema"):
        names = list(rows.schema.names)
        return names, lambda name: rows.column(names.index(name)), rows.num_rows
    if isinstance(rows, Mapping):
        names = [str(n) for n in rows]
        table = {str(n): np.asarray(v) for n, v in rows.items()}
        lengths = {len(v) for v in table.values()}
        if len(lengths) > 1:
            raise ShapeError.unequal_columns({n: len(v) for n, v in table.items()})
        return names, table.__getitem__, lengths.pop() if lengths else 0
    if isinstance(rows, (list, tuple)) and rows and isinstance(rows[0], Mapping):
        return _dicts_reader(rows)
    if isinstance(rows, (list, tuple)):
        return _array_reader(_listed(rows))
    if hasattr(rows, "__arrow_c_stream__") or hasattr(rows, "__arrow_c_array__"):
        import pyarrow as pa

        return _reader(pa.table(rows))
    if hasattr(rows, "__dlpack__"):
        return _array_reader(_from_dlpack(rows))
    if hasattr(rows, "__dataframe__"):
        import pyarrow.interchange as interchange

        return _reader(interchange.from_dataframe(rows))
    if hasattr(rows, "__array__"):
        return _array_reader(np.asarray(rows))
    raise ColumnTypeError.unsupported(
        f"rows of type {type(rows).__module__}.{type(rows).__name__}",
        "a NumPy array, pandas or polars DataFrame, pyarrow Table or a list of dicts",
    )


def _from_dlpack(rows: Any) -> npt.NDArray[Any]:
    """A view of a tensor that lies in this machine's memory."""
    try:
        return np.from_dlpack(rows)
    except (BufferError, RuntimeError, TypeError) as error:
        raise ColumnTypeError.unsupported(
            f"a tensor that cannot be viewed ({error})",
            "a tensor on the CPU, e.g. x.detach().cpu()",
        ) from error


def _listed(rows: Sequence[Any]) -> npt.NDArray[Any]:
    try:
        array = np.asarray(rows)
    except ValueError as error:
        raise ColumnTypeError.unsupported(
            "rows of different lengths", "rows of equal length"
        ) from error
    return np.asarray(rows, dtype=object) if array.dtype.kind in "US" else array


def _array_reader(rows: npt.NDArray[Any]) -> tuple[None, Any, int]:
    if rows.ndim != 2:
        raise ShapeError.wrong_dimensions(rows.ndim)
    if isinstance(rows, np.ma.MaskedArray):
        rows = rows.filled(np.nan)
    return None, lambda c: rows.shape[1] if c is None else rows[:, c], len(rows)


def _dicts_reader(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], Any, int]:
    names = list(dict.fromkeys(str(k) for row in rows for k in row))

    def column(name: str) -> list[Any]:
        return [row.get(name) for row in rows]

    return names, column, len(rows)


def _column(data: Any, column: Column) -> ColumnData:
    """One column as a NumPy array or a pyarrow array of text; as numbers where these are needed."""
    if column.categories is not None:
        codes = _category_codes(data, column)
        if codes is not None:
            return codes
    kind = type(data).__module__.split(".")[0]
    if kind == "pandas":
        data = _from_pandas(data)
    elif kind == "polars":
        data = _from_polars(data)
    elif isinstance(data, list):
        data = _from_cells(data, column)
    if not isinstance(data, np.ndarray):
        data = _from_arrow(data, column.name)
    if isinstance(data, np.ndarray):
        data = _plain(data, column.name)
        is_text = data.dtype == object
    else:
        is_text = True
    return _numbers(data, column.name) if is_text and column.kind == "number" else data


def _from_cells(cells: list[Any], column: Column) -> npt.NDArray[Any]:
    """Cells of dicts: None is NaN among numbers, and null where the program wants text."""
    if column.kind == "text":
        cells = [NULL if c is None else c for c in cells]
    elif all(isinstance(c, (int, float, np.number)) or c is None for c in cells):
        return np.array([np.nan if c is None else c for c in cells])
    return np.array([*cells, None], dtype=object)[:-1]


def _numbers(data: Any, name: str) -> npt.NDArray[np.float64]:
    """Text and mixed values as Python's ``float`` reads them; None and nulls are NaN."""
    if not isinstance(data, np.ndarray):
        data = np.asarray(data.to_numpy(zero_copy_only=False), object)
    try:
        return data.astype(np.float64)
    except (TypeError, ValueError):
        return np.array([_number(v, name, row) for row, v in enumerate(data)])


def _number(value: Any, name: str, row: int) -> float:
    if _is_null(value):
        return np.nan
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise ColumnTypeError.not_a_number(name, value, row) from error


def _is_null(value: Any) -> bool:
    """None, NaN, or pandas' NA (which compares as neither)."""
    return value is None or type(value).__name__ == "NAType" or bool(value != value)


def _plain(data: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    if data.dtype.kind in "US":
        return data.astype(object)
    if data.dtype.kind not in "biufO":
        raise ColumnTypeError.unsupported(
            f"column {name!r} of type {data.dtype}", "numbers, booleans or text"
        )
    if not data.dtype.isnative:
        return data.astype(data.dtype.newbyteorder("="))
    return data.astype(np.float64) if data.dtype.itemsize > 8 and data.dtype.kind == "f" else data


def _from_pandas(series: Any) -> Any:
    dtype = series.dtype
    if isinstance(dtype, np.dtype):
        return series.to_numpy()
    if hasattr(series, "cat"):
        return _from_pandas_categorical(series)
    if hasattr(dtype, "fill_value"):  # sparse
        return series.sparse.to_dense().to_numpy()
    array = series.array
    if hasattr(array, "_pa_array"):
        return array._pa_array
    if dtype.kind in "biuf":
        missing = bool(series.isna().any())
        target = "float32" if str(dtype) == "Float32" else "float64"
        if missing or dtype.kind == "f":
            return series.to_numpy(dtype=target, na_value=np.nan)
        return series.to_numpy(dtype=dtype.numpy_dtype)
    return series.to_numpy(dtype=object)


def _from_pandas_categorical(series: Any) -> Any:
    codes = series.cat.codes.to_numpy()
    values = series.cat.categories.to_numpy()
    if values.dtype.kind in "biuf":
        table = np.append(values.astype(np.float64), np.nan)
        return table[codes]
    if not all(isinstance(v, str) for v in values):
        table = np.append(values.astype(object), np.nan)
        return table[codes]
    import pyarrow as pa

    mask = codes < 0
    return pa.DictionaryArray.from_arrays(
        pa.array(codes, mask=mask if mask.any() else None, type=pa.int32()),
        pa.array(values, pa.string()),
    )


def _from_polars(series: Any) -> Any:
    if series.dtype.is_numeric() and series.null_count() == 0:
        return series.to_numpy()
    return series.to_arrow()


def _from_arrow(array: Any, name: str) -> Any:
    """Numbers as NumPy (nulls are NaN), text as one pyarrow array."""
    import pyarrow as pa

    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks == 1 else array.combine_chunks()
        if isinstance(array, pa.ChunkedArray):
            array = pa.concat_arrays(array.chunks)
    kind = array.type
    if pa.types.is_dictionary(kind) and not _is_text(kind.value_type):
        array = array.dictionary_decode()
        kind = array.type
    if _is_text(kind) or pa.types.is_dictionary(kind):
        return array
    if pa.types.is_null(kind):
        return np.full(len(array), np.nan)
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        if array.null_count and not pa.types.is_floating(kind):
            array = array.cast(pa.float64(), safe=False)
        return array.to_numpy(zero_copy_only=False)
    if pa.types.is_decimal(kind):
        return array.cast(pa.float64()).to_numpy(zero_copy_only=False)
    raise ColumnTypeError.unsupported(
        f"column {name!r} of type {kind}", "numbers, booleans or text"
    )


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return (
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _category_codes(data: Any, column: Column) -> npt.NDArray[np.float64] | None:
    """Codes of a categorical or text column; None for a column of numbers that are codes already."""
    if hasattr(getattr(data, "cat", None), "categories"):  # pandas; -1 is missing
        cells = [*data.cat.categories.tolist(), None]
        at = data.cat.codes.to_numpy()
    else:
        kind = str(getattr(data, "dtype", getattr(data, "type", ""))).lower()
        numeric = any(word in kind for word in ("int", "float", "double", "bool"))
        if numeric and "dictionary" not in kind:
            return None
        cells = data.to_pylist() if hasattr(data, "to_pylist") else list(data)
        at = np.arange(len(cells))
    missing = np.array([_is_null(c) for c in cells], bool)
    table: dict[Any, float] = {v: float(i) for i, v in enumerate(column.categories or ())}
    known = [np.nan if m else table.get(c, np.nan) for m, c in zip(missing, cells, strict=True)]
    codes = np.array(known, np.float64)[at]
    if column.strict and (unseen := np.isnan(codes) & ~missing[at]).any():
        row = int(np.argmax(unseen))
        raise UnknownCategoryError.without_number(column.name, cells[at[row]], row)
    return codes
