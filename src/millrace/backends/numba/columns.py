"""Columns of a matrix that nobody has had to pick apart yet.

A program that gets one NumPy matrix hands its columns to the tree kernels by address; making an
array object for each of them would take longer than a small forest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class MatrixColumns(Sequence[Array]):
    """Some columns of a matrix, in some order; reads like a list of one-dimensional views.

    Parameters
    ----------
    matrix : ndarray (n_rows, width)
    positions : tuple of int, optional
        Which columns; all of them by default.
    """

    __slots__ = ("matrix", "positions")

    def __init__(self, matrix: Array, positions: tuple[int, ...] | None = None) -> None:
        self.matrix = matrix
        self.positions = positions

    def __len__(self) -> int:
        return self.matrix.shape[1] if self.positions is None else len(self.positions)

    def __getitem__(self, column: Any) -> Any:
        return self.matrix[:, column if self.positions is None else self.positions[column]]

    def __iter__(self) -> Iterator[Array]:
        return (self[c] for c in range(len(self)))

    def pick(self, positions: tuple[int, ...]) -> MatrixColumns:
        """Columns of these columns."""
        if self.positions is None:
            return MatrixColumns(self.matrix, positions)
        return MatrixColumns(self.matrix, tuple(self.positions[p] for p in positions))

    @property
    def is_whole(self) -> bool:
        """Whether these are all columns, in order, of a matrix in C order."""
        every = self.positions is None or self.positions == tuple(range(self.matrix.shape[1]))
        return every and self.matrix.flags.c_contiguous

    def rows(self, first: int, stop: int) -> MatrixColumns:
        """The same columns of a range of rows."""
        return MatrixColumns(self.matrix[first:stop], self.positions)

    def block(self) -> Array:
        """The columns as a matrix: the matrix itself where they are all of it, in order."""
        if self.positions is None or self.is_whole:
            return np.ascontiguousarray(self.matrix)
        return np.ascontiguousarray(self.matrix[:, list(self.positions)])

    def written(self, out: Array) -> Array:
        """The columns, copied to a matrix."""
        if self.positions is None:
            out[:] = self.matrix
            return out
        return self.matrix.take(self.positions, axis=1, out=out, mode="clip")


Columns = list[Any] | MatrixColumns
"""A value that is still columns: views, pyarrow arrays of text, or a matrix."""


def is_columns(value: Any) -> bool:
    """Whether a step's value is still columns and not a block."""
    return type(value) is list or type(value) is MatrixColumns


def addresses(columns: Columns, wanted: npt.NDArray[np.integer]) -> tuple[Array, Array]:
    """Memory address and bytes from row to row of some columns, int64 each."""
    if isinstance(columns, MatrixColumns):
        matrix = columns.matrix
        down, across = matrix.strides
        at = wanted if columns.positions is None else np.asarray(columns.positions)[wanted]
        start = matrix.__array_interface__["data"][0]
        return start + at * across, np.full(len(wanted), down)
    picked = [columns[c] for c in wanted]
    return (
        np.array([c.__array_interface__["data"][0] for c in picked], np.int64),
        np.array([c.strides[0] for c in picked], np.int64),
    )
