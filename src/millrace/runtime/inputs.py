"""Tables of any kind -> one array per program column, without copying what can be viewed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from millrace.errors import (
    ColumnTypeError,
    ExtraColumnsError,
    MissingColumnsError,
    ShapeError,
)
from millrace.ir.ops import Call, Features, Terms
from millrace.ir.program import Program, have_names
from millrace.ir.types import ABSENT, CSR
from millrace.runtime.columns import ColumnData, column_data
from millrace.runtime.derived import sources_of, with_derived

if TYPE_CHECKING:
    from millrace.data.derive import Derived

FLAT = "sklearn.isotonic.IsotonicRegression"
"""The only class that takes its only column as a one-dimensional array, too."""

_BY_COLUMN = ("OneHotEncoder", "OrdinalEncoder", "TargetEncoder")
"""Encoders read a frame column by column, also one of sparse columns; of a matrix they want it dense."""


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


def adapt(
    rows: Any,
    program: Program,
    ignore_extra: bool = False,
    flat: bool = False,
    derived: Mapping[str, Derived] | None = None,
) -> Batch:
    """The columns that a program reads, from any table-like object.

    Parameters
    ----------
    rows : NumPy array, pandas or polars DataFrame, pyarrow Table, RecordBatch or Dataset, list of \
            dicts, dict of columns, list of lists, anything that exports Arrow or DLPack; a sparse \
            matrix or a series where the program is for one
    program : Program
    ignore_extra : bool
        Whether columns that the model was not fitted on are passed over silently.
    flat : bool
        Whether the only column may come as a one-dimensional array or series.
    derived : mapping of str to Derived, optional
        Columns that are computed from others of the table, where it does not have them.

    Raises
    ------
    MissingColumnsError, ExtraColumnsError, ShapeError, ColumnTypeError, UnknownCategoryError
    """
    if program.form.startswith("csr"):
        return _sparse_batch(rows, program, ignore_extra)
    if program.form == "series":
        return _series_batch(rows, program)
    names, get, n_rows = _reader({"x0": rows} if flat and is_flat(rows) else rows)
    used = program.used_columns
    columns: list[ColumnData | None] = [None] * len(program.columns)
    if names is not None and program.named:
        if derived:
            names, get = with_derived(names, get, derived, {c.name for c in program.columns})
        own = _own_names(names, program)
        _check_names(names, own, program, ignore_extra, derived)
        places = _places(names)
        for position in used:
            column = program.columns[position]
            columns[position] = column_data(get(places[own[column.name]]), column)
    else:
        width = len(names) if names is not None else get(None)
        if width != len(program.columns):
            raise ShapeError.wrong_width(width, len(program.columns))
        for position in used:
            columns[position] = column_data(get(position), program.columns[position])
    binding = tuple(map(_dtype, columns))
    if len(used) < len(columns):
        unread = _unread_dtypes(rows, program)
        binding = tuple(
            u if c is None else b for u, b, c in zip(unread, binding, columns, strict=True)
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


def reads_by_column(classes: Sequence[str]) -> bool:
    """Whether an object is an encoder of columns, or a pipeline that begins with one.

    Parameters
    ----------
    classes : sequence of str
        Of the object and what it is made of, in the order of conversion.
    """
    names = (c.rsplit(".", 1)[-1] for c in classes)
    return next((n for n in names if n != "Pipeline"), "") in _BY_COLUMN


def sparse_kind(rows: Any) -> str:
    """The container that scikit-learn makes of sparse rows: ``csr_matrix`` or ``csr_array``."""
    return "csr_array" if type(rows).__name__.endswith("_array") else "csr_matrix"


def is_flat(rows: Any) -> bool:
    """Whether rows are one-dimensional: an array or series, or a list of numbers."""
    if isinstance(rows, (list, tuple)):
        return all(c is None or isinstance(c, (int, float, np.generic)) for c in rows[:1])
    if type(rows).__module__.split(".")[0] == "pyarrow":
        return hasattr(rows, "null_count")
    return len(getattr(rows, "shape", ())) == 1


def _sparse_batch(rows: Any, program: Program, ignore_extra: bool) -> Batch:
    matrix = rows.tocsr() if hasattr(rows, "tocsr") else _frame_matrix(rows, program, ignore_extra)
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


def _frame_matrix(rows: Any, program: Program, ignore_extra: bool) -> Any:
    """A pandas frame of sparse columns as a CSR matrix of the program's columns, found by name."""
    names = [str(c) for c in rows.columns]
    if have_names(program.columns):
        own = _own_names(names, program)
        _check_names(names, own, program, ignore_extra)
        places = _places(names)
        to = {places[own[c.name]]: i for i, c in enumerate(program.columns) if c.name in own}
    elif len(names) == len(program.columns):
        to = {i: i for i in range(len(names))}
    else:
        raise ShapeError.wrong_width(len(names), len(program.columns))
    rows = rows.iloc[:, list(to)]
    filled = [n for n, d in zip(rows.columns, rows.dtypes, strict=True) if d.fill_value != 0]
    if filled:
        raise ColumnTypeError.unsupported(
            f"the sparse column {filled[0]!r}, whose absent cells are not zeros",
            "columns with the fill value 0, or dense ones: X.sparse.to_dense()",
        )
    cells = rows.sparse.to_coo()
    if cells.dtype.kind == "f":  # where a source asks for floats it reads frames of any as float64
        cells = cells.astype(np.float64)
    columns = np.fromiter(to.values(), np.int32, len(to))[cells.col]
    shape = (len(rows), len(program.columns))
    return type(cells)((cells.data, (cells.row, columns)), shape=shape).tocsr()


def _series_batch(rows: Any, program: Program) -> Batch:
    """One cell a row."""
    column = program.columns[0]
    if isinstance(rows, Mapping) and _takes_one_mapping(program):
        rows = [rows]
    shape = getattr(rows, "shape", (0,))
    labels = _are_labels(program)
    if labels and len(shape) == 2 and shape[1] == 1 and not is_sparse(rows):
        _, get, _ = _reader(
            rows
        )  # labels in the only column of a table, as scikit-learn takes them
        rows, shape = get(0), shape[:1]
    if len(shape) > 1:
        raise ShapeError.not_a_series(tuple(shape))
    if isinstance(rows, (str, bytes, Mapping)) or not shape or not hasattr(rows, "__iter__"):
        raise ColumnTypeError.unsupported(
            f"a single {type(rows).__name__}", "a series: one cell a row, e.g. a list of them"
        )
    kind = type(rows).__module__.split(".")[0]
    if column.kind == "object" or kind not in ("numpy", "pandas", "polars", "pyarrow"):
        cells = list(rows)
        if labels:
            _check_labels(cells)
        if column.kind == "any" and cells and not any(isinstance(c, str) for c in cells):
            rows = np.asarray(cells)
        else:
            rows = np.empty(len(cells), object)
            rows[:] = cells
    data = rows if column.kind == "object" else column_data(rows, column)
    return Batch([data], len(data), (_dtype(data),))


def _takes_one_mapping(program: Program) -> bool:
    """A DictVectorizer takes a single mapping as one row."""
    ops = (s.op for s in program.steps)
    return any(isinstance(op, Features) and op.kind == "dict" and op.names for op in ops)


def _are_labels(program: Program) -> bool:
    """Whether the cells are labels, not texts or collections."""
    if program.columns[0].kind in ("text", "number"):
        return not any(isinstance(s.op, (Terms, Features, Call)) for s in program.steps)
    return program.columns[0].kind == "any"


def _check_labels(cells: Sequence[Any]) -> None:
    for row, cell in enumerate(cells):
        if isinstance(cell, (bytes, list, tuple, set, frozenset, dict, np.ndarray)):
            raise ColumnTypeError.unsupported(
                f"the label {cell!r} ({type(cell).__name__}) in row {row}", "text or a number"
            )


_dtype_name = lru_cache(maxsize=256)(str)
"""The name of a NumPy dtype, which NumPy makes anew each time."""


def _dtype(column: ColumnData) -> str:
    return _dtype_name(column.dtype) if isinstance(column, np.ndarray) else "object"


def _unread_dtypes(rows: Any, program: Program) -> list[str]:
    """The dtypes of columns as they take part in the source's type promotion without being read."""
    if isinstance(rows, np.ndarray):
        return [_dtype_name(rows.dtype)] * len(program.columns)
    known: dict[Any, str] = {}
    if program.named and hasattr(rows, "iloc"):
        labels = rows.columns.tolist()
        known = {
            name: _dtype_name(dtype)
            for name, dtype in zip(labels, rows.dtypes, strict=True)
            if isinstance(dtype, np.dtype) and dtype.kind in "biuf"
        }
        for name in _repeated(labels):
            known.pop(name, None)
    return [known.get(column.name, ABSENT) for column in program.columns]


def _repeated(names: Sequence[Any]) -> list[Any]:
    """The names that several columns have."""
    if len(set(names)) == len(names):
        return []
    return [name for name, times in Counter(names).items() if times > 1]


def _places(names: Sequence[str]) -> dict[str, int]:
    """Where each name stands first."""
    return {name: place for place, name in reversed(list(enumerate(names)))}


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
    names: Sequence[str],
    own: Mapping[str, str],
    program: Program,
    ignore_extra: bool,
    derived: Mapping[str, Derived] | None = None,
) -> None:
    wanted = [program.columns[c].name for c in program.used_columns]
    missing = [n for n in wanted if n not in own]
    if missing:
        raise MissingColumnsError.of(sources_of(missing, derived or {}), list(names))
    known = set(own.values())
    if repeated := [n for n in _repeated(names) if n in known]:
        raise ShapeError.repeated_names(repeated)
    if not ignore_extra:
        extra = [n for n in names if n not in known]
        if extra:
            raise ExtraColumnsError.of(extra, [c.name for c in program.columns])


def _reader(rows: Any) -> tuple[list[str] | None, Any, int]:
    """Column names (None for a plain array), a getter of one column by position, number of rows."""
    kind = type(rows).__module__.split(".")[0]
    if isinstance(rows, np.ndarray):
        return _array_reader(rows)
    if kind == "pandas" and hasattr(rows, "columns"):
        labels = rows.columns.tolist()
        by_label = rows.columns.is_unique and rows.columns.nlevels == 1  # the quicker way
        get = (lambda c: rows[labels[c]]) if by_label else (lambda c: rows.iloc[:, c])
        return [str(label) for label in labels], get, len(rows)
    if kind == "polars" and hasattr(rows, "get_column"):
        return list(rows.columns), rows.to_series, rows.height
    if kind == "polars" and hasattr(rows, "collect"):
        return _reader(rows.collect())
    if kind == "pyarrow" and hasattr(rows, "to_table"):  # a dataset, or a scanner of one
        return _reader(rows.to_table())
    if kind == "pyarrow" and hasattr(rows, "read_all"):
        return _reader(rows.read_all())
    if kind == "pyarrow" and hasattr(rows, "schema"):
        return list(rows.schema.names), rows.column, rows.num_rows
    if isinstance(rows, Mapping):
        names = [str(n) for n in rows]
        table = {str(n): _cells(v) for n, v in rows.items()}
        lengths = {len(v) for v in table.values()}
        if len(lengths) > 1:
            raise ShapeError.unequal_columns({n: len(v) for n, v in table.items()})
        return names, list(table.values()).__getitem__, lengths.pop() if lengths else 0
    if isinstance(rows, (list, tuple)) and rows and isinstance(rows[0], Mapping):
        return _dicts_reader(rows)
    if isinstance(rows, (list, tuple)):
        return _array_reader(_listed(rows))
    if kind in ("pandas", "polars", "pyarrow") and is_flat(rows):
        raise ShapeError.wrong_dimensions(1)
    if hasattr(rows, "__arrow_c_stream__") or hasattr(rows, "__arrow_c_array__"):
        return _reader(_from_arrow_export(rows))
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


def _from_arrow_export(rows: Any) -> Any:
    """A view of what another library holds in Arrow's form."""
    import pyarrow as pa

    try:
        return pa.table(rows)
    except (pa.ArrowInvalid, TypeError) as error:
        raise ColumnTypeError.unsupported(
            f"an Arrow export that is no table ({error})", "a stream of record batches"
        ) from error


def _from_dlpack(rows: Any) -> npt.NDArray[Any]:
    """A view of a tensor that lies in this machine's memory."""
    try:
        return np.from_dlpack(rows)
    except (BufferError, RuntimeError, TypeError) as error:
        raise ColumnTypeError.unsupported(
            f"a tensor that cannot be viewed ({error})",
            "a dense tensor on the CPU of a NumPy dtype, e.g. x.detach().cpu().float()",
        ) from error


def _cells(column: Any) -> npt.NDArray[Any]:
    """One column of a mapping; a list of strings and missing cells keeps the missing ones."""
    array = np.asarray(column)
    if array.dtype.kind in "US" and not hasattr(column, "dtype"):
        return np.array([*column, None], dtype=object)[:-1]
    return array


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

    def column(position: int) -> list[Any]:
        name = names[position]
        return [row.get(name) for row in rows]

    return names, column, len(rows)
