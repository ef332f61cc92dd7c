"""The distinct values of every column with their counts, and with sums of the target.

Values stay in the kind of array that the table holds (Arrow or NumPy), so that what a solver receives
has the dtype that scikit-learn would see. Rows are never visited one by one: Arrow and pandas encode a
column as codes, and codes are counted.
"""

# pyarrow ships no types.
# pyright: reportUnknownParameterType=false, reportUnknownVariableType=false

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from millrace.errors import FitError
from millrace.statistics.base import Batch, Statistic, check_finite


@dataclass(frozen=True)
class Counted:
    """The distinct values of one column.

    Attributes
    ----------
    values : pyarrow.Array or numpy.ndarray
        Distinct, none of them missing, in no particular order (n_values,).
    counts : numpy.ndarray of int64
        Rows of each value.
    sums : numpy.ndarray of float64
        Sums of the target's columns and of their squared deviations over the rows of each value
        (n_values, n_sums); no columns where only rows are counted.
    nans : int
        Rows with NaN, or null in an Arrow array.
    nones : int
        Rows with None in an array of objects.
    missing_sums : numpy.ndarray of float64
        As `sums`, over the rows that are missing (n_sums,).
    """

    values: Any
    counts: np.ndarray
    nans: int
    nones: int
    sums: np.ndarray
    missing_sums: np.ndarray

    def complete(self) -> tuple[Any, np.ndarray, np.ndarray]:
        """Values with the missing ones last (NaN or null, then None), their counts and sums."""
        extra = [n for n in (self.nans, self.nones) if n]
        if not extra:
            return self.values, self.counts, self.sums
        if isinstance(self.values, np.ndarray):
            missing = [*([np.nan] if self.nans else []), *([None] if self.nones else [])]
            wanted = object if self.values.dtype == object else None
            values = np.concatenate([self.values, np.array(missing, wanted)])
        else:
            values = pa.concat_arrays([self.values, pa.nulls(1, self.values.type)])
        lines = np.zeros((len(extra), self.sums.shape[1]))
        lines[0] = self.missing_sums
        return values, np.append(self.counts, extra), np.concatenate([self.sums, lines])


@dataclass(frozen=True)
class Distinct(Statistic[tuple[Counted, ...], tuple[Counted, ...]]):
    """Distinct values of every column and how many rows have them. Weights are not counted.

    Attributes
    ----------
    finite : bool
        Refuse infinities in columns of floats, as scikit-learn's encoders do.
    who : str
        The estimator's class, for the error.
    """

    finite: bool = True
    who: str = field(default="", compare=False)

    def of(self, batch: Batch) -> tuple[Counted, ...]:
        if self.finite and isinstance(batch.X, np.ndarray) and batch.X.dtype.kind == "f":
            check_finite(batch, self.who, allow_nan=True)
        return tuple(_counted(batch.column(j)) for j in range(batch.n_features))

    def merge(self, left: tuple[Counted, ...], right: tuple[Counted, ...]) -> tuple[Counted, ...]:
        return tuple(_joined(a, b) for a, b in zip(left, right, strict=True))

    def finish(self, state: tuple[Counted, ...]) -> tuple[Counted, ...]:
        return state


@dataclass(frozen=True)
class Presence(Statistic[tuple[Counted, ...], tuple[Counted, ...]]):
    """Missing and present cells of every column, and one value of each: `Distinct` without the values.

    Attributes
    ----------
    who : str
        The estimator's class, for the error where a float is infinite.
    """

    who: str = field(default="", compare=False)

    def of(self, batch: Batch) -> tuple[Counted, ...]:
        if isinstance(batch.X, np.ndarray) and batch.X.dtype.kind == "f":
            check_finite(batch, self.who, allow_nan=True)
        return tuple(_present(batch, j, self.who) for j in range(batch.n_features))

    def merge(self, left: tuple[Counted, ...], right: tuple[Counted, ...]) -> tuple[Counted, ...]:
        return tuple(_both(a, b) for a, b in zip(left, right, strict=True))

    def finish(self, state: tuple[Counted, ...]) -> tuple[Counted, ...]:
        return state


def _present(batch: Batch, j: int, who: str) -> Counted:
    import pandas as pd

    column, nones = batch.column(j), 0
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if isinstance(column, np.ndarray):
        missing = pd.isna(column)
        if column.dtype == object and missing.any():
            nones = int(np.equal(column[missing], None).sum())  # type: ignore[arg-type]
    else:
        missing = column.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
        if pa.types.is_floating(column.type):
            infinite = np.isinf(column.to_numpy(zero_copy_only=False))
            if infinite.any():
                at = int(np.argmax(infinite))
                row, value = int(batch.row_numbers()[at]), column[at].as_py()
                raise FitError.non_finite(who, batch.X.names[j], row, value)
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
    n, first = int((~missing).sum()), int(np.argmin(missing))
    values, none = column[first : first + min(n, 1)], np.empty((min(n, 1), 0))
    counts = np.full(len(values), n, np.int64)
    return Counted(values, counts, len(missing) - n - nones, nones, none, np.empty(0))


def _both(left: Counted, right: Counted) -> Counted:
    """The value of `left` if it has one."""
    one = left if len(left.values) else right
    return Counted(
        one.values,
        np.full(len(one.values), int(left.counts.sum() + right.counts.sum()), np.int64),
        left.nans + right.nans,
        left.nones + right.nones,
        one.sums,
        one.missing_sums,
    )


@dataclass(frozen=True)
class TargetSums(Statistic[tuple[Counted, ...], tuple[Counted, ...]]):
    """Distinct values of every column with sums of the target over their rows.

    Attributes
    ----------
    shift : numpy.ndarray of float64
        About the mean of the target (n_targets,): the sums are of ``y - shift`` and of its square, one
        after the other, so that the spread within a value keeps its digits.
    classes : numpy.ndarray, optional
        The target is one column for each of these labels, 1 in the rows that have it; a target with two
        labels is one column, of the second.
    who : str
    """

    shift: np.ndarray
    classes: np.ndarray | None = None
    who: str = field(default="", compare=False)

    def of(self, batch: Batch) -> tuple[Counted, ...]:
        if isinstance(batch.X, np.ndarray) and batch.X.dtype.kind == "f":
            check_finite(batch, self.who, allow_nan=True)
        if self.classes is None:
            y = batch.target.reshape(len(batch), -1)
        else:
            codes = batch.codes(self.classes)
            labels = [1] if len(self.classes) == 2 else range(len(self.classes))
            y = np.column_stack([codes == k for k in labels]).astype(np.float64)
        gap = y - self.shift
        parts = np.concatenate([gap, gap * gap], axis=1)
        return tuple(_counted(batch.column(j), parts) for j in range(batch.n_features))

    def merge(self, left: tuple[Counted, ...], right: tuple[Counted, ...]) -> tuple[Counted, ...]:
        return tuple(_joined(a, b) for a, b in zip(left, right, strict=True))

    def finish(self, state: tuple[Counted, ...]) -> tuple[Counted, ...]:
        return state


def _counted(column: Any, parts: np.ndarray | None = None) -> Counted:
    """One column of a batch; `parts` (n_samples, n_sums) is summed for each value."""
    parts = np.empty((len(column), 0)) if parts is None else parts
    codes, values = _encoded(column)
    present = codes >= 0
    nones = 0
    if present.all():
        missing_sums = np.zeros(parts.shape[1])
    else:
        missing_sums = parts[~present].sum(axis=0)
        if isinstance(column, np.ndarray) and column.dtype == object:
            nones = int(np.equal(column[~present], None).sum())  # type: ignore[arg-type]
        codes, parts = codes[present], parts[present]
    n = len(values)
    counts = np.bincount(codes, minlength=n).astype(np.int64)
    return Counted(
        values,
        counts,
        len(column) - len(codes) - nones,
        nones,
        _summed(codes, parts, n),
        missing_sums,
    )


def _summed(codes: np.ndarray, parts: np.ndarray, n: int) -> np.ndarray:
    return np.column_stack([np.bincount(codes, part, n) for part in parts.T] or [np.empty((n, 0))])


def _encoded(column: Any) -> tuple[np.ndarray, Any]:
    """Codes of the rows (-1 where missing) and the distinct values."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if isinstance(column, np.ndarray):
        return _encoded_numpy(column)
    if pa.types.is_null(column.type):
        return np.full(len(column), -1), column.slice(0, 0)
    if pa.types.is_floating(column.type):
        numbers = column.to_numpy(zero_copy_only=False)
        codes, values = _encoded_numpy(numbers)
        return codes, pa.array(values, column.type)
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    codes = pc.fill_null(column.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
    words = column.dictionary
    # A dictionary may hold values that no row has, and they may repeat or be null.
    used = np.bincount(codes + 1, minlength=len(words) + 1)[1:] > 0
    if words.null_count or len(words.unique()) != len(words):
        again = words.dictionary_encode()
        places = pc.fill_null(again.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
        codes, words = np.append(places, -1)[codes], again.dictionary
        used = np.bincount(codes + 1, minlength=len(words) + 1)[1:] > 0
    if used.all():
        return codes, words
    places = np.append(np.cumsum(used) - 1, -1)
    return places[codes], words.take(pa.array(np.flatnonzero(used)))


def _encoded_numpy(column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    import pandas as pd

    if column.dtype.kind in "US":
        column = column.astype(object)
    if column.dtype.kind == "f":
        column = column + column.dtype.type(0)  # one zero, not two
    codes, values = pd.factorize(np.ascontiguousarray(column))
    return codes, np.asarray(values, column.dtype)


def _joined(left: Counted, right: Counted) -> Counted:
    """The values of `left`, then those that only `right` has."""
    if not len(right.values):
        values, codes = left.values, np.empty(0, np.int64)
        n = len(values)
    else:
        both = _concatenated(left.values, right.values)
        places, values = _encoded(both)
        codes, n = places[len(left.values) :], len(values)
    counts, sums = np.zeros(n, np.int64), np.zeros((n, left.sums.shape[1]))
    counts[: len(left.counts)] = left.counts
    sums[: len(left.counts)] = left.sums
    counts[codes] += right.counts
    sums[codes] += right.sums
    return Counted(
        values,
        counts,
        left.nans + right.nans,
        left.nones + right.nones,
        sums,
        left.missing_sums + right.missing_sums,
    )


def _concatenated(left: Any, right: Any) -> Any:
    if isinstance(left, np.ndarray):
        return np.concatenate([left, right])
    if pa.types.is_null(left.type):
        return right
    return pa.concat_arrays([left, right if right.type == left.type else right.cast(left.type)])
