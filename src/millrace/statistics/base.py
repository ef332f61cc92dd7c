"""The contract of a statistic, and what a batch of rows is."""

# pyarrow ships no types.
# pyright: reportUnknownParameterType=false, reportUnknownVariableType=false

from __future__ import annotations

import dataclasses
import hashlib
import pickle
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from types import CodeType, FunctionType
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

import numpy as np
import pyarrow as pa
import scipy.sparse as sp

from millrace.errors import FitError

State = TypeVar("State")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Columns:
    """Columns of any types, as a table holds them.

    Attributes
    ----------
    names : tuple of str
    arrays : tuple of pyarrow.Array or numpy.ndarray
        One-dimensional, of one length. Null is missing in Arrow arrays; None and NaN are in those of
        NumPy objects.
    """

    names: tuple[str, ...]
    arrays: tuple[Any, ...]

    def __len__(self) -> int:
        return len(self.arrays[0]) if self.arrays else 0

    def chosen(self, columns: Sequence[int]) -> Columns:
        """Some of the columns, in this order."""
        return Columns(
            tuple(self.names[j] for j in columns), tuple(self.arrays[j] for j in columns)
        )

    def rows(self, where: Any) -> Columns:
        """Some of the rows: a slice, a boolean mask or row positions."""
        return Columns(self.names, tuple(_rows_of(a, where) for a in self.arrays))

    def matrix(self) -> np.ndarray:
        """All columns as one matrix (n_samples, n_columns), missing cells as NaN.

        float32 where every column is float32, else float64, as scikit-learn makes of a data frame.

        Raises
        ------
        TypeError
            A column is not numeric.
        """
        arrays = [numbers(a, name) for a, name in zip(self.arrays, self.names, strict=True)]
        same = {a.dtype for a in arrays}
        out = np.empty(
            (len(self), len(arrays)), np.float32 if same == {np.dtype("f4")} else np.float64
        )
        for j, array in enumerate(arrays):
            out[:, j] = array
        return out


def numbers(column: Any, name: str = "") -> np.ndarray:
    """One numeric column as a NumPy array: integers and floats keep their dtype, missing is NaN."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if isinstance(column, pa.Array):
        kind = column.type
        if pa.types.is_boolean(kind):
            column = column.cast(pa.uint8())
        elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            if not pa.types.is_null(kind) and not pa.types.is_decimal(kind):
                raise TypeError(f"column {name!r} holds {kind}, not numbers")
            column = column.cast(pa.float64())
        if column.null_count and pa.types.is_integer(column.type):
            column = column.cast(pa.float64(), safe=False)
        return column.to_numpy(zero_copy_only=False)
    if column.dtype == object:
        try:
            return np.asarray([np.nan if v is None else v for v in column], np.float64)
        except (TypeError, ValueError) as error:
            raise TypeError(f"column {name!r} holds objects that are not numbers") from error
    if column.dtype.kind not in "biuf":
        raise TypeError(f"column {name!r} holds {column.dtype}, not numbers")
    return column


def _rows_of(array: Any, where: Any) -> Any:
    if isinstance(array, np.ndarray):
        return array[where]
    if isinstance(where, slice):
        start, stop, _ = where.indices(len(array))
        return array.slice(start, stop - start)
    where = np.asarray(where)
    return array.filter(pa.array(where)) if where.dtype == bool else array.take(pa.array(where))


Block: TypeAlias = "np.ndarray | sp.csr_matrix | sp.csr_array | Columns"


@dataclass(frozen=True)
class Batch:
    """Some consecutive rows, as one step of a pipeline receives them.

    Attributes
    ----------
    first : int
        Number of the first row in the table; with folds left out, of the first row of its chunk.
    X : numpy.ndarray, scipy.sparse.csr_matrix or Columns
        (n_samples, n_features). A matrix of any dtype (numbers or objects), CSR, or the columns of a
        table.
    y : numpy.ndarray or pyarrow.Array, optional
        The target as the table holds it, (n_samples,) or (n_samples, n_targets).
    weight : numpy.ndarray of float64, optional
        (n_samples,)
    rows : numpy.ndarray of int64, optional
        The number of every row, where they are not ``first, first + 1, ...``.
    names : tuple of str, optional
        Names of the columns of a matrix that was made of columns; for messages.
    """

    first: int
    X: Any
    y: Any = None
    weight: np.ndarray | None = None
    rows: np.ndarray | None = None
    names: tuple[str, ...] | None = None
    _codes: dict[str, np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.X) if isinstance(self.X, Columns) else int(self.X.shape[0])

    @property
    def is_sparse(self) -> bool:
        """Whether X is a sparse matrix (then CSR)."""
        return sp.issparse(self.X)

    @cached_property
    def matrix(self) -> Any:
        """X as numbers: an array of float32 or float64 (missing is NaN), or the CSR matrix.

        Raises
        ------
        TypeError
            A column is not numeric.
        """
        if isinstance(self.X, Columns):
            try:
                return self.X.matrix()
            except TypeError as error:
                raise TypeError(f"{error}{self._first_word()}") from error
        if sp.issparse(self.X) or self.X.dtype in (np.float32, np.float64):
            return self.X
        if self.X.dtype.kind in "biu":
            return self.X.astype(np.float64)
        return np.column_stack([numbers(c, f"x{j}") for j, c in enumerate(self.X.T)]).astype("f8")

    def _first_word(self) -> str:
        """Where the first cell is that is no number, for a message."""
        for array in self.X.arrays:
            kind = getattr(array, "type", None)
            if kind is None or not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
                continue
            for i, cell in enumerate(array.to_pylist()):
                try:
                    float(cell or 0)
                except ValueError:
                    return f": {cell!r} in row {int(self.row_numbers()[i])}"
        return ""

    @cached_property
    def target(self) -> np.ndarray:
        """Y as float64: (n_samples,) or (n_samples, n_targets)."""
        if isinstance(self.y, np.ndarray) and self.y.ndim == 2:
            return self.y.astype(np.float64, copy=False)
        return numbers(self.y, "target").astype(np.float64, copy=False)

    def column(self, j: int) -> Any:
        """One column: a pyarrow array or a one-dimensional NumPy array."""
        if isinstance(self.X, Columns):
            return self.X.arrays[j]
        if sp.issparse(self.X):
            return self.X[:, [j]].toarray().ravel()
        return self.X[:, j]

    @property
    def n_features(self) -> int:
        """Columns of X."""
        return len(self.X.arrays) if isinstance(self.X, Columns) else int(self.X.shape[1])

    def codes(self, classes: np.ndarray) -> np.ndarray:
        """The target as positions in `classes` (sorted, see `Classes`): int64 of (n_samples,)."""
        key = digest(classes)
        if key not in self._codes:
            self._codes[key] = codes_of(self.y, classes)
        return self._codes[key]

    def row_numbers(self) -> np.ndarray:
        """The number of every row in the table: int64 of (n_samples,)."""
        if self.rows is not None:
            return self.rows
        return np.arange(self.first, self.first + len(self), dtype=np.int64)


def codes_of(values: Any, classes: np.ndarray) -> np.ndarray:
    """Positions of `values` in the sorted `classes`: int64; -1 where it is none of them."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if isinstance(values, pa.Array):
        if not pa.types.is_dictionary(values.type) and (
            pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
        ):
            values = values.dictionary_encode()
        if pa.types.is_dictionary(values.type):
            words = values.dictionary.to_numpy(zero_copy_only=False)
            of_word = np.append(codes_of(words, classes), -1)
            return of_word[values.indices.fill_null(len(words)).to_numpy()]
        values = values.to_numpy(zero_copy_only=False)
    if values.dtype == object or classes.dtype == object:
        place = {c: i for i, c in enumerate(classes.tolist())}
        return np.fromiter((place.get(v, -1) for v in values.tolist()), np.int64, len(values))
    found = np.minimum(np.searchsorted(classes, values), len(classes) - 1)
    return np.where(classes[found] == values, found, -1)


def check_finite(batch: Batch, who: str, *, allow_nan: bool = False) -> None:
    """Refuse NaN (unless allowed) and infinities in the numbers of a batch, as `who` would.

    Raises
    ------
    FitError
        With the column and the row.
    """
    values = batch.matrix.data if batch.is_sparse else batch.matrix
    if values.dtype.kind != "f" or np.isfinite(values.sum(dtype=values.dtype)):
        return
    bad = np.isinf(values) if allow_nan else ~np.isfinite(values)
    if not bad.any():
        return
    at = tuple(int(i) for i in np.argwhere(bad)[0])
    if batch.is_sparse:
        row = int(np.searchsorted(batch.matrix.indptr, at[0], side="right")) - 1
        column = int(batch.matrix.indices[at[0]])
    else:
        row, column = at
    names = batch.X.names if isinstance(batch.X, Columns) else batch.names
    name = column if names is None else names[column]
    raise FitError.non_finite(who, name, int(batch.row_numbers()[row]), float(values[at]))


class Statistic(ABC, Generic[State, Answer]):
    """A question about rows that can be answered batch by batch; a frozen dataclass.

    Two statistics with equal fields are one question and are answered once. `of` may be called from
    several threads; `merge` must not change what it is given.
    """

    @abstractmethod
    def of(self, batch: Batch) -> State:
        """The summary of one batch (of one row at least)."""

    @abstractmethod
    def merge(self, left: State, right: State) -> State:
        """The summary of the rows of `left` followed by those of `right`."""

    @abstractmethod
    def finish(self, state: State) -> Answer:
        """What the solver that asked receives."""

    def declines(self, n_features: int | None) -> str | None:
        """Why it cannot be asked of rows of so many columns; None where it can.

        A phrase as of `millrace.solvers.registry.Decline`; `n_features` is None where it is not known.
        """
        return None

    @cached_property
    def key(self) -> str:
        """Equal for equal questions."""
        return f"{type(self).__qualname__}:{digest(_fields(self))}"


class OrderedStatistic(Statistic[State, Answer]):
    """A question that wants the rows one batch after the other, in order (`partial_fit`).

    `of` prepares a batch and may run in any thread; `step` takes what it made, in order.
    """

    ordered: ClassVar[bool] = True

    @abstractmethod
    def start(self) -> State:
        """The state before the first row."""

    @abstractmethod
    def step(self, state: State, prepared: Any) -> State:
        """The state after one more batch; `state` may be changed."""

    def of(self, batch: Batch) -> Any:
        """What `step` needs of a batch; by default the batch itself."""
        return batch

    def merge(self, left: State, right: State) -> State:
        """Ordered statistics are not merged."""
        raise TypeError(f"{type(self).__name__} takes its rows in order and cannot be merged")


def _fields(value: Any) -> Any:
    return [(f.name, getattr(value, f.name)) for f in dataclasses.fields(value) if f.compare]


def digest(value: Any) -> str:
    """A fingerprint of nested values and arrays: equal for equal contents."""
    found = hashlib.sha256()  # processors have instructions for it
    _feed(found, value)
    return found.hexdigest()[:32]


def _feed(found: Any, value: Any) -> None:
    if isinstance(value, np.ndarray) and value.dtype != object:
        found.update(f"array{value.shape}{value.dtype}".encode())
        if value.nbytes:
            found.update(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
    elif isinstance(value, np.ndarray):
        found.update(f"objects{value.shape}".encode())
        _feed(found, value.ravel().tolist())
    elif isinstance(value, (list, tuple)):
        found.update(f"{type(value).__name__}{len(value)}".encode())
        for item in value:
            _feed(found, item)
    elif isinstance(value, dict):
        found.update(f"dict{len(value)}".encode())
        for name, item in value.items():
            _feed(found, name)
            _feed(found, item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        found.update(type(value).__qualname__.encode())
        _feed(found, _fields(value))
    elif isinstance(value, (frozenset, set)):
        _feed(found, sorted(digest(v) for v in value))
    elif isinstance(value, (str, int, float, complex, bool, bytes, type(None), type(...))):
        found.update(f"{type(value).__name__}{value!r};".encode())
    elif isinstance(value, np.generic):
        found.update(f"{value.dtype}{value!r};".encode())
    elif isinstance(value, (FunctionType, CodeType)):
        _feed_code(found, value)
    elif isinstance(value, type):
        found.update(f"{value.__module__}.{value.__qualname__};".encode())
    elif hasattr(value, "get_params"):
        found.update(f"{type(value).__module__}.{type(value).__qualname__}".encode())
        _feed(found, _params_of(value))
    else:
        found.update(_pickled(value))


def _pickled(value: Any) -> bytes:
    try:
        return pickle.dumps(value)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise FitError.not_pickled(value) from error


def _params_of(value: Any) -> list[tuple[str, Any]]:
    """An estimator's parameters, or those of what only looks like one: a kernel, a CatBoost model."""
    names = _names_of(type(value))
    if names is None:
        return sorted(value.get_params(deep=False).items())
    return [(name, getattr(value, name, None)) for name in names]


@cache
def _names_of(cls: type) -> tuple[str, ...] | None:
    """Names of an estimator's parameters; None where the class does not tell."""
    names = getattr(cls, "_get_param_names", None)
    return None if names is None else tuple(sorted(names()))


def _feed_code(found: Any, value: FunctionType | CodeType) -> None:
    """A function is what it does: two lambdas of one place may differ."""
    if isinstance(value, CodeType):
        found.update(value.co_code)
        _feed(found, [value.co_names, value.co_consts])
        return
    cells = [c.cell_contents for c in value.__closure__ or ()]
    found.update(f"{value.__module__}.{value.__qualname__};".encode())
    _feed(found, [value.__code__, value.__defaults__, value.__kwdefaults__, cells])
