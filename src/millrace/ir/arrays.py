"""Constants of a program: read-only arrays and texts that compare by content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt


def offsets(sizes: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Where each part begins when parts of these sizes stand one after another, and the end: (n + 1,)."""
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def dense_array(matrix: Any) -> npt.NDArray[Any]:
    """An array, or all cells of a sparse matrix as one."""
    return matrix.toarray() if hasattr(matrix, "toarray") else np.asarray(matrix)


class Array:
    """A read-only NumPy array that is compared and hashed by its content.

    Parameters
    ----------
    values : array-like of numbers or booleans
        Copied to C order only when it is not already contiguous; never changed afterwards.
    dtype : dtype, optional
        Converts while reading.
    """

    __slots__ = ("__dict__", "values")

    def __init__(self, values: npt.ArrayLike, dtype: npt.DTypeLike | None = None) -> None:
        array = np.ascontiguousarray(values, dtype=dtype).reshape(np.shape(values))
        if array.dtype.kind not in "biuf":
            raise TypeError(f"an IR array holds numbers or booleans, not {array.dtype}")
        view = array.view()
        view.flags.writeable = False
        self.values: npt.NDArray[Any] = view

    @cached_property
    def digest(self) -> str:
        """SHA-256 of dtype, shape and bytes, 16 hex digits."""
        header = f"{self.values.dtype.str}{self.values.shape}".encode()
        return hashlib.sha256(header + self.values.tobytes()).hexdigest()[:16]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.values.dtype

    def array(self) -> npt.NDArray[Any]:
        """The values, as `Text.array` gives those of a text."""
        return self.values

    def __len__(self) -> int:
        return len(self.values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Array) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __reduce__(self) -> tuple[type[Array], tuple[npt.NDArray[Any]]]:
        return Array, (self.values,)

    def __repr__(self) -> str:
        shape = "x".join(str(n) for n in self.shape) or "scalar"
        return f"Array({self.dtype.name}[{shape}] #{self.digest[:6]})"


@dataclass(frozen=True)
class Text:
    """A vector of strings, as categories or class labels.

    Attributes
    ----------
    values : tuple of str
    dtype : str
        NumPy dtype of the labels in the source object: ``"object"`` or ``"<U9"``.
    """

    values: tuple[str, ...]
    dtype: str = "object"

    def __len__(self) -> int:
        return len(self.values)

    def array(self) -> npt.NDArray[np.object_]:
        """The strings as a NumPy array of `dtype`."""
        return np.array(self.values, dtype=self.dtype)


class Null:
    """A missing cell of text that is neither NaN nor None, as JSON and dicts have it.

    `Encode` gives it the code of None where that is a category, else the code of NaN; everywhere else
    it counts as NaN.
    """

    def __repr__(self) -> str:
        return "null"

    def __reduce__(self) -> str:
        return "NULL"


NULL = Null()
