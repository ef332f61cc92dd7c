"""One column of any kind -> numbers in a NumPy array, or text in a NumPy or pyarrow array."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.errors import ColumnTypeError, UnknownCategoryError
from millrace.ir.arrays import NULL
from millrace.ir.program import Column

ColumnData = Any
"""A one-dimensional NumPy array (numbers, or objects), or a pyarrow array of text."""


def column_data(data: Any, column: Column) -> ColumnData:
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
        text = data.dtype == object
    else:
        text = True
    return _numbers(data, column.name) if text and column.kind == "number" else data


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
    if pa.types.is_string_view(kind):
        return array.cast(pa.large_string())
    if pa.types.is_dictionary(kind):
        if pa.types.is_string_view(kind.value_type):
            words = array.dictionary.cast(pa.large_string())
            return pa.DictionaryArray.from_arrays(array.indices, words)
        if not _is_text(kind.value_type):
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
