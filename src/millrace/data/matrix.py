"""Arrays, memory-mapped arrays and sparse matrices as tables: columns x0, x1 ..."""

# pyarrow ships no types.
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from millrace.data.source import Source, reading
from millrace.errors import FileInputError

_SAMPLE = 64


class Matrix(Source):
    """A matrix in memory or mapped from a file; it is not copied.

    Parameters
    ----------
    array : numpy.ndarray or SciPy sparse matrix
        (n_samples, n_features). A sparse matrix that is not CSR is converted, which takes a copy.
    path : Path, optional
        The ``.npy`` file that it is mapped from.

    Raises
    ------
    FileInputError
        It is not two-dimensional, or its dtype is none of numbers, booleans, texts and objects.
    """

    in_memory = True
    named = False

    def __init__(self, array: Any, path: Path | None = None) -> None:
        is_sparse = not isinstance(array, np.ndarray)
        if array.ndim != 2:
            why = f"it has {array.ndim} dimension(s); pass X.reshape(-1, 1) for a single column"
            raise FileInputError.not_a_table("an array", why)
        self.matrix = array.tocsr() if is_sparse else array
        self.n_rows = int(array.shape[0])
        kind = "sparse matrix" if is_sparse else "array"
        self.name = f"a {array.dtype} {kind} of {array.shape[0]:,} x {array.shape[1]:,}"
        self.path = path
        if path is not None:
            self.name = str(path)
        size = array.nnz * (array.dtype.itemsize + 4) if is_sparse else array.nbytes
        self.row_bytes = size / max(self.n_rows, 1)
        if array.dtype == object:
            types = [pa.array(c, from_pandas=True).type for c in array[:_SAMPLE].T]
        else:
            types = [_arrow_type(array.dtype)] * array.shape[1]
        self.schema = pa.schema([(f"x{i}", t) for i, t in enumerate(types)])

    def read(self, columns: Sequence[str], rows: int, start: int = 0) -> Iterator[pa.RecordBatch]:
        """Copies of the rows, column by column."""
        assert self.n_rows is not None
        places = [int(c[1:]) for c in columns]
        schema = pa.schema([self.schema.field(i) for i in places])
        for first in range(start, self.n_rows, rows):
            block = self.matrix[first : first + rows]
            block = block.toarray() if not isinstance(block, np.ndarray) else block
            arrays = [
                pa.array(np.ascontiguousarray(block[:, j]), t, from_pandas=block.dtype == object)
                for j, t in zip(places, schema.types, strict=True)
            ]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    def fingerprint(self) -> Iterable[object]:
        """The file, or the shape and a sample of rows."""
        if self.path is not None:
            seen = os.stat(self.path)
            yield str(self.path), seen.st_size, seen.st_mtime_ns
            return
        yield self.matrix.shape
        yield str(self.matrix.dtype)
        for row in sample_rows(self.n_rows or 0):
            one = self.matrix[row : row + 1]
            one = one if isinstance(one, np.ndarray) else one.toarray()
            yield one.tolist() if one.dtype == object else one.tobytes()


def mapped(path: Path) -> Matrix:
    """The array in a ``.npy`` file, mapped.

    Raises
    ------
    FileInputError
        The file is absent, damaged, or holds Python objects.
    """
    with reading(path):
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise FileInputError.unreadable(path, " ".join(str(error).split())) from error
        return Matrix(array, path)


def sample_rows(n_rows: int) -> list[int]:
    """Row numbers of a small sample: the ends and evenly between them."""
    return np.unique(np.linspace(0, max(n_rows - 1, 0), min(_SAMPLE, n_rows)).astype(int)).tolist()


def _arrow_type(dtype: np.dtype[Any]) -> pa.DataType:
    if dtype.kind in "US":
        return pa.string() if dtype.kind == "U" else pa.binary()
    try:
        return pa.from_numpy_dtype(dtype)
    except (pa.ArrowException, NotImplementedError) as error:
        raise FileInputError.not_a_table(
            f"an array of {dtype}", "only numbers, booleans, dates, texts and objects are taken"
        ) from error
