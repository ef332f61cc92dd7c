"""An overview of every column: what a person looks at first, and what preprocessing is chosen by."""

# pyarrow ships no types, and makes its functions when it is imported.
# pyright: reportUnknownParameterType=false, reportUnknownVariableType=false
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from millrace.statistics.base import Batch, Columns, Statistic

CAP = 10_000
"""Distinct values that are counted; beyond, a column has 'many'."""


@dataclass(frozen=True)
class ColumnProfile:
    """One column.

    Attributes
    ----------
    name : str
    type : pyarrow.DataType
    n, missing : int
        Rows, and those whose cell is null or NaN.
    counts : dict, optional
        Value -> rows, exact; None where there are more than `CAP` distinct values.
    minimum, maximum : object
        Of the present cells; None where there is none or they have no order.
    mean, deviation : float
        Of numbers (deviation with divisor n); NaN otherwise.
    length, words : float
        Mean number of characters and of words in texts; NaN otherwise.
    ascending : bool
        Whether every cell is larger than the one before.
    """

    name: str
    type: pa.DataType
    n: int
    missing: int
    counts: dict[Any, int] | None
    minimum: Any
    maximum: Any
    mean: float
    deviation: float
    length: float
    words: float
    ascending: bool

    @property
    def distinct(self) -> int | None:
        """Distinct present values; None where they were too many to count."""
        return None if self.counts is None else len(self.counts)


@dataclass(frozen=True)
class _Part:
    """A column of some rows; `m2` is the sum of squared deviations from `mean`."""

    name: str
    type: pa.DataType
    n: int
    missing: int
    counts: dict[Any, int] | None
    minimum: Any
    maximum: Any
    mean: float
    m2: float
    length: float
    words: float
    ascending: bool
    last: Any
    first: Any


@dataclass(frozen=True)
class Profile(Statistic[tuple[_Part, ...], tuple[ColumnProfile, ...]]):
    """`ColumnProfile` of every column of X, which must be columns of a table.

    Attributes
    ----------
    part : {"X", "target"}
        Of what.
    """

    part: str = "X"

    def of(self, batch: Batch) -> tuple[_Part, ...]:
        if self.part == "target":
            return (_part("target", _arrow(batch.y)),)
        if not isinstance(batch.X, Columns):
            raise TypeError("a profile is made of the columns of a table, not of a matrix")
        return tuple(
            _part(n, _arrow(a)) for n, a in zip(batch.X.names, batch.X.arrays, strict=True)
        )

    def merge(self, left: tuple[_Part, ...], right: tuple[_Part, ...]) -> tuple[_Part, ...]:
        return tuple(_joined(a, b) for a, b in zip(left, right, strict=True))

    def finish(self, state: tuple[_Part, ...]) -> tuple[ColumnProfile, ...]:
        return tuple(_finished(part) for part in state)


def _arrow(array: Any) -> Any:
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if not isinstance(array, pa.Array):
        array = pa.array(array, from_pandas=True)
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _part(name: str, array: Any) -> _Part:
    kind = array.type
    present = array.drop_null()
    if pa.types.is_floating(kind):
        present = present.filter(pc.invert(pc.is_nan(present)))
    n, missing = len(array), len(array) - len(present)
    mean = m2 = length = words = math.nan
    minimum = maximum = first = last = None
    ascending = False
    if len(present):
        limits = pc.min_max(present).as_py()
        minimum, maximum = limits["min"], limits["max"]
        first, last = present[0].as_py(), present[-1].as_py()
        if len(present) > 1:
            ascending = bool(pc.all(pc.greater(present[1:], present[:-1])).as_py())
        else:
            ascending = True
        if is_number(kind):
            values = present.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
            with np.errstate(invalid="ignore", over="ignore"):  # infinities have no mean
                mean = float(values.mean())
                m2 = float(np.square(values - mean).sum())
        elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
            length = float(pc.mean(pc.utf8_length(present)).as_py())
            words = float(pc.mean(pc.count_substring_regex(present, pattern=r"\w+")).as_py())
    return _Part(
        name, kind, n, missing, _counted(present), minimum, maximum, mean, m2, length, words,
        ascending, last, first,
    )  # fmt: skip


def is_number(kind: pa.DataType) -> bool:
    """Whether a column holds numbers (truth values included)."""
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_decimal(kind)
    )


def _counted(present: Any) -> dict[Any, int] | None:
    counts = present.value_counts()
    if len(counts) > CAP:
        return None
    return dict(zip(counts.field(0).to_pylist(), counts.field(1).to_pylist(), strict=True))


def _joined(a: _Part, b: _Part) -> _Part:
    counts = None
    if a.counts is not None and b.counts is not None:
        counts = dict(a.counts)
        for value, count in b.counts.items():
            counts[value] = counts.get(value, 0) + count
        if len(counts) > CAP:
            counts = None
    na, nb = a.n - a.missing, b.n - b.missing
    if not na or not nb:
        some = b if nb else a
        return _Part(
            a.name, a.type, a.n + b.n, a.missing + b.missing, counts, some.minimum, some.maximum,
            some.mean, some.m2, some.length, some.words, some.ascending, some.last, some.first,
        )  # fmt: skip
    share = nb / (na + nb)
    return _Part(
        a.name,
        a.type,
        a.n + b.n,
        a.missing + b.missing,
        counts,
        min(a.minimum, b.minimum),
        max(a.maximum, b.maximum),
        a.mean + (b.mean - a.mean) * share,
        a.m2 + b.m2 + (b.mean - a.mean) ** 2 * na * share,
        a.length + (b.length - a.length) * share,
        a.words + (b.words - a.words) * share,
        a.ascending and b.ascending and b.first > a.last,
        b.last,
        a.first,
    )


def _finished(part: _Part) -> ColumnProfile:
    present = part.n - part.missing
    return ColumnProfile(
        part.name,
        part.type,
        part.n,
        part.missing,
        part.counts,
        part.minimum,
        part.maximum,
        part.mean,
        math.sqrt(part.m2 / present) if present else math.nan,
        part.length,
        part.words,
        part.ascending,
    )
