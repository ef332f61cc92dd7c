"""What every source of rows offers, and what is done with its batches on the way."""

# pyarrow ships no types.
# pyright: reportUnknownParameterType=false

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa

from millrace.errors import FileInputError


class Source(ABC):
    """Rows that can be read from the start, and again.

    Attributes
    ----------
    schema : pyarrow.Schema
        Of all columns; each has a type of `plain`.
    n_rows : int, optional
    name : str
        For messages.
    path : Path, optional
        Where it is one file.
    in_memory : bool
        A second read costs nothing.
    named : bool
        Whether the columns have names of their own.
    matrix : array or CSR matrix, optional
        The rows themselves where they are one.
    row_bytes : float, optional
        Bytes of a row in memory, where the source can tell better than the types.
    """

    schema: pa.Schema
    n_rows: int | None = None
    name: str = "a table"
    path: Path | None = None
    in_memory: bool = False
    named: bool = True
    matrix: Any = None
    row_bytes: float | None = None

    @abstractmethod
    def read(self, columns: Sequence[str], rows: int, start: int = 0) -> Iterator[pa.RecordBatch]:
        """Batches of any size with these columns, in this order, from row `start` on."""

    @abstractmethod
    def fingerprint(self) -> Iterable[object]:
        """What makes this source another one; equal in another process. Cheap."""

    def push(self, where: Any) -> None:
        """Leave out rows that do not meet a `Where`, as far as that is cheap. By default none are."""
        return None

    def fraction_read(self) -> float | None:
        """How much the latest `read` has taken, where the source tells."""
        return None


@contextmanager
def reading(path: object) -> Generator[None]:
    """Tell errors of the file system and of Arrow as `FileInputError`."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileInputError.unreadable(path, "there is no such file") from error
    except OSError as error:
        raise FileInputError.unreadable(path, error.strerror or one_line(error)) from error
    except (pa.ArrowException, UnicodeError) as error:
        raise FileInputError.unreadable(path, one_line(error)) from error


def one_line(error: BaseException) -> str:
    """A message without line breaks and the last full stop."""
    return " ".join(str(error).split()).rstrip(".")


def without_first(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """Drop the first rows of what has to be read to be skipped."""
    for batch in batches:
        if rows < batch.num_rows:
            yield batch.slice(rows)
        rows = max(rows - batch.num_rows, 0)


# --- types ----------------------------------------------------------------------------------------


def plain(kind: pa.DataType) -> pa.DataType:
    """The type that stands for all variants of one kind: text, binary, dictionary.

    >>> plain(pa.large_string()), plain(pa.dictionary(pa.uint8(), pa.large_string()))
    (DataType(string), DictionaryType(dictionary<values=string, indices=int32, ordered=0>))
    """
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return pa.binary()
    if pa.types.is_dictionary(kind):
        return pa.dictionary(pa.int32(), plain(kind.value_type), kind.ordered)
    if isinstance(kind, pa.ExtensionType):
        return plain(kind.storage_type)
    if pa.types.is_run_end_encoded(kind):
        return plain(kind.value_type)
    return kind


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """A schema of plain types, without metadata."""
    return pa.schema([(f.name, plain(f.type)) for f in schema])


def conform(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The columns of `schema`, by name, with its types; a value that does not fit raises ArrowInvalid."""
    if batch.schema.equals(schema):
        return batch
    columns = [_converted(batch.column(f.name), f.type) for f in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _converted(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if column.type.equals(kind):
        return column
    if isinstance(column.type, pa.ExtensionType):
        column = column.storage
    if pa.types.is_run_end_encoded(column.type):
        compute: Any = import_module("pyarrow.compute")
        column = compute.run_end_decode(column)
    if pa.types.is_dictionary(kind) and pa.types.is_dictionary(column.type):
        # Casting would decode and encode again, and so forget categories that no row has.
        return pa.DictionaryArray.from_arrays(
            column.indices.cast(kind.index_type),
            _converted(column.dictionary, kind.value_type),
            ordered=kind.ordered,
        )
    return column.cast(kind)


def common(left: pa.DataType, right: pa.DataType) -> pa.DataType | None:
    """The plain type that holds the values of both without loss; None where there is none.

    >>> common(pa.int64(), pa.float64()), common(pa.int64(), pa.string())
    (DataType(double), None)
    """
    if left.equals(right) or pa.types.is_null(right):
        return left
    if pa.types.is_null(left):
        return right
    if pa.types.is_dictionary(left) or pa.types.is_dictionary(right):
        inner = common(_value(left), _value(right))
        both = pa.types.is_dictionary(left) and pa.types.is_dictionary(right)
        return pa.dictionary(pa.int32(), inner) if both and inner is not None else inner
    if not (_is_number(left) and _is_number(right)):
        return None
    if pa.types.is_floating(left) and pa.types.is_floating(right):
        return left if left.bit_width >= right.bit_width else right
    if pa.types.is_integer(left) and pa.types.is_integer(right):
        return _integer(left, right)
    return pa.float64()


def _integer(left: pa.DataType, right: pa.DataType) -> pa.DataType:
    if pa.types.is_signed_integer(left) == pa.types.is_signed_integer(right):
        return left if left.bit_width >= right.bit_width else right
    return pa.int64()


def _value(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def width_of(kind: pa.DataType) -> float:
    """Bytes of a value in memory, roughly where they differ from value to value."""
    try:
        return max(kind.bit_width / 8, 1 / 8)
    except ValueError:
        if pa.types.is_dictionary(kind):
            return kind.index_type.bit_width / 8
        return 24.0
