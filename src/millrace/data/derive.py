"""Dates as numbers: year, month, day, weekday, hour and days since 1970.

The parts are those of the calendar and clock in the column's own time zone, as pandas gives them:
``year``, ``month`` and ``day`` of the proleptic Gregorian calendar, ``weekday`` from Monday = 0, ``hour``
from 0 to 23, and ``days`` since 1970-01-01 00:00, the time of day as a fraction.
"""

# pyarrow ships no types, and makes its functions when it is imported.
# pyright: reportUnknownParameterType=false, reportUnknownVariableType=false

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa

from millrace.data.source import Source
from millrace.data.table import Table
from millrace.errors import ColumnTypeError, FileInputError, MissingColumnsError

pc: Any = import_module("pyarrow.compute")

Part = Literal["year", "month", "day", "weekday", "hour", "days"]

PARTS: tuple[Part, ...] = get_args(Part)

_TICKS = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}
"""Ticks of a day, by the unit of a timestamp."""

_UNITS = ("us", "ns")
"""Microseconds hold the years 1 to 9999, nanoseconds nine digits of a second: texts are tried as both."""

_TEXT = r"\d{4}-\d\d-\d\d([ T]\d\d(:\d\d(:\d\d(\.\d{1,9})?)?)?(Z|[+-]\d\d(:?\d\d)?)?)?"
_ISO = re.compile(_TEXT)

_PEEK = 1000
"""Rows by which a column of texts is taken for one of dates."""


@dataclass(frozen=True)
class Derived:
    """A numeric column that is one part of a date column.

    Attributes
    ----------
    column : str
        The date column.
    part : {"year", "month", "day", "weekday", "hour", "days"}
    zone : str
        The time zone whose calendar and clock are meant; empty for dates without one. Dates of another
        zone are converted; dates with a zone and dates without are never taken for each other.
    """

    column: str
    part: Part
    zone: str = ""

    def __post_init__(self) -> None:
        if self.part not in PARTS:
            raise ValueError(f"a part of a date is one of {', '.join(PARTS)}, got {self.part!r}")


@dataclass(frozen=True)
class Moments:
    """Dates as whole days and the time of day, exact for every unit.

    Attributes
    ----------
    day : numpy.ndarray of int64
        (n_rows,), since 1970-01-01.
    clock : numpy.ndarray of int64
        (n_rows,), nanoseconds since midnight.
    missing : numpy.ndarray of bool, optional
        (n_rows,); None where no cell is.
    """

    day: np.ndarray
    clock: np.ndarray
    missing: np.ndarray | None

    def part(self, part: Part) -> np.ndarray:
        """One part: float64 (n_rows,), NaN where the date is missing.

        Exact but for `days`, which is rounded twice, the time of day and the sum: within 1 ulp. The same
        date has the same bits in any unit.
        """
        found = self._part(part).astype(np.float64)
        if self.missing is not None:
            found[self.missing] = np.nan
        return found

    def _part(self, part: Part) -> np.ndarray:
        match part:
            case "days":
                early = self.day < 0  # counted towards 1970, so that nothing cancels
                return self.day + early + (self.clock - early * _TICKS["ns"]) / _TICKS["ns"]
            case "hour":
                return self.clock // (_TICKS["ns"] // 24)
            case "weekday":
                return (self.day + 3) % 7  # 1970-01-01 was a Thursday
            case "year":
                return self._months // 12 + 1970
            case "month":
                return self._months % 12 + 1
            case "day":
                first = self._months.astype("M8[M]").astype("M8[D]").astype(np.int64)
                return self.day - first + 1

    @property
    def _months(self) -> np.ndarray:
        """Months since January 1970."""
        return self.day.astype("M8[D]").astype("M8[M]").astype(np.int64)


def parts_of(
    array: Any,
    parts: Iterable[Part] = PARTS,
    *,
    zone: str | None = None,
    column: str = "date",
    first: int = 0,
) -> dict[Part, np.ndarray]:
    """The parts of a column of dates.

    Parameters
    ----------
    array : pyarrow.Array or ChunkedArray
        (n_rows,), see `moments_of`.
    parts : iterable of str
    zone, column, first
        As of `moments_of`.

    Returns
    -------
    dict
        Part -> float64 (n_rows,), NaN where the date is missing.

    Examples
    --------
    >>> found = parts_of(pa.array(["2024-02-29 18:00"]))
    >>> " ".join(f"{part}={values[0]:g}" for part, values in found.items())
    'year=2024 month=2 day=29 weekday=3 hour=18 days=19782.8'
    """
    moments = moments_of(array, zone, column, first)
    return {p: moments.part(p) for p in parts}


def moments_of(
    array: Any, zone: str | None = None, column: str = "date", first: int = 0
) -> Moments:
    """Read a column of dates.

    Parameters
    ----------
    array : pyarrow.Array or ChunkedArray
        (n_rows,): timestamps of any unit, with or without a time zone; dates; texts in ISO form such as
        ``2024-05-01``, ``2024-05-01 13:00`` or ``2024-05-01T13:00:00.25+02:00``; dictionaries of these;
        nulls.
    zone : str, optional
        As of `Derived`; by default that of the column, UTC for texts with an offset.
    column : str
        Its name, for errors.
    first : int
        Number of its first row, for errors.

    Raises
    ------
    ColumnTypeError
        The column holds no dates; a text is no date; the dates have a time zone and should have none, or
        the other way round.
    """
    array = _plain(array)
    kind = array.type
    zone = zone_of(array) if zone is None else zone
    n_rows = len(array)
    if (
        array.null_count == n_rows
    ):  # of whatever type: an empty column of a file may be one of floats
        return Moments(
            np.zeros(n_rows, np.int64), np.zeros(n_rows, np.int64), np.ones(n_rows, bool)
        )
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _read(array, zone or "", column, first)
    if not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        raise ColumnTypeError.unsupported(
            f"the dates in column {column!r} of type {kind}", _EXPECTED
        )
    has_zone = pa.types.is_timestamp(kind) and kind.tz is not None
    if has_zone != bool(zone):
        raise _other_zone(f"column {column!r} of type {kind}", zone or "")
    return _split(array, zone or "")


_EXPECTED = (
    "timestamps, dates, texts in ISO form such as 2024-05-01 or 2024-05-01 13:00, or nulls for missing "
    "dates"
)


def zone_of(array: Any) -> str | None:
    """The time zone of a column of dates, empty where it has none; None where it holds no dates.

    Columns of texts are judged by their first cells: UTC where these have an offset.
    """
    kind = array.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_timestamp(kind):
        return kind.tz or ""
    if pa.types.is_date(kind):
        return ""
    if not _is_text(kind):
        return None
    shown = [cell for cell in array[:_PEEK].to_pylist() if cell is not None]
    found = [_ISO.fullmatch(cell) for cell in shown]
    if not found or not all(found):
        return None
    return "UTC" if found[0] is not None and found[0][5] else ""


def _is_text(kind: pa.DataType) -> bool:
    is_any_of = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(is_a(kind) for is_a in is_any_of)


def _plain(array: Any) -> Any:
    """One array, of no dictionary and no views."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    return array.cast(pa.large_string()) if pa.types.is_string_view(array.type) else array


def _split(array: Any, zone: str) -> Moments:
    """Days and times of day of an array of timestamps or dates, on the clock of a time zone."""
    missing = None
    if array.null_count:
        missing = array.is_null().to_numpy(zero_copy_only=False)
    kind = array.type
    if pa.types.is_date32(kind):
        day = _whole(array.view(pa.int32())).astype(np.int64)
        return Moments(day, np.zeros(len(day), np.int64), missing)
    unit = "ms" if pa.types.is_date64(kind) else kind.unit
    if zone:
        # A cast between time zones changes no instant; Arrow then reads the clock on the wall there.
        try:
            array = pc.local_timestamp(array.cast(pa.timestamp(unit, zone)))
        except pa.ArrowInvalid as error:
            raise ColumnTypeError.unsupported(
                f"dates in the time zone {zone!r}", "one that this machine's time zone data has"
            ) from error
    day, clock = np.divmod(_whole(array.view(pa.int64())), _TICKS[unit])
    if pa.types.is_date64(kind):
        clock = np.zeros_like(clock)
    return Moments(day, clock * (_TICKS["ns"] // _TICKS[unit]), missing)


def _whole(array: Any) -> np.ndarray:
    """Integers as NumPy; 0 for nulls."""
    return (array.fill_null(0) if array.null_count else array).to_numpy()


def _read(array: Any, zone: str, column: str, first: int) -> Moments:
    """Texts as moments. Where not all can be read in one unit, each half is read on its own."""
    for unit in _UNITS:
        try:
            stamps = array.cast(pa.timestamp(unit, "UTC" if zone else None))
        except pa.ArrowInvalid:
            continue
        return _split(stamps, zone)
    if len(array) == 1:
        raise _no_date(array[0].as_py(), zone, column, first)
    half = len(array) // 2
    one = _read(array[:half], zone, column, first)
    other = _read(array[half:], zone, column, first + half)
    missing = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
    return Moments(
        np.concatenate([one.day, other.day]), np.concatenate([one.clock, other.clock]), missing
    )


def _no_date(text: str, zone: str, column: str, row: int) -> ColumnTypeError:
    """Why a text cannot be read."""
    where = f"{text!r} in row {row} of the date column {column!r}"
    found = zone_of(pa.array([text]))
    if found is not None and bool(found) != bool(zone):
        return _other_zone(where, zone)
    return ColumnTypeError.unsupported(where, _EXPECTED)


def _other_zone(what: str, zone: str) -> ColumnTypeError:
    if zone:
        expected = f"dates with a time zone or an offset, as in the rows to learn from ({zone})"
        return ColumnTypeError.unsupported(f"{what}: it has no time zone", expected)
    expected = "dates without a time zone, on the same clock as those in the rows to learn from"
    return ColumnTypeError.unsupported(f"{what}: it has a time zone", expected)


# --- tables ---------------------------------------------------------------------------------------


def all_parts(column: str, zone: str = "") -> dict[str, Derived]:
    """All parts of a date column, by their names: ``when.month``."""
    return {f"{column}.{part}": Derived(column, part, zone) for part in PARTS}


def date_columns(table: Table, names: Sequence[str] | None = None) -> dict[str, str]:
    """Columns of dates -> their time zone, empty for none.

    Types tell; columns of texts are dates if all of the first cells are. Reads the first rows of these.

    Parameters
    ----------
    table : Table
    names : sequence of str, optional
        Only these are looked at.
    """
    fields = [table.schema.field(n) for n in (table.schema.names if names is None else names)]
    found = {f.name: zone_of(pa.nulls(0, f.type)) for f in fields}
    if texts := [f.name for f in fields if _may_be_dates(f.type)]:
        with closing(table.batches(texts, _PEEK)) as batches:  # type: ignore[type-var]
            for batch in batches:
                found |= {n: zone_of(batch.column(n)) for n in texts}
                break
    return {name: zone for name, zone in found.items() if zone is not None}


def _may_be_dates(kind: pa.DataType) -> bool:
    return _is_text(kind.value_type if pa.types.is_dictionary(kind) else kind)


def with_parts(table: Table, dates: Mapping[str, Derived]) -> Table:
    """A table with parts of its date columns behind its own columns.

    They are computed as batches are read, and only those that are asked for.

    Parameters
    ----------
    table : Table
    dates : mapping of str to Derived
        Name of a new column -> what it is.

    Returns
    -------
    Table
        Its new columns are float64, null where the date is. `table` itself where there are none.

    Raises
    ------
    MissingColumnsError
        A date column is not in the table.
    FileInputError
        The table has a column of the name of a part.
    ColumnTypeError
        While reading, as of `moments_of`, with the number of the row.
    """
    if not dates:
        return table
    names = table.schema.names
    if missing := list(dict.fromkeys(d.column for d in dates.values() if d.column not in names)):
        raise MissingColumnsError.of(missing, names)
    if twice := [name for name in dates if name in names]:
        raise FileInputError.unreadable(
            table.describe_source(), f"it has a column {twice[0]!r} of its own, rename or drop it"
        )
    found = Table(WithParts(table._source, dates), [*names, *dates])
    found.named = table.named
    return found


class WithParts(Source):
    """A source with parts of its date columns.

    Parameters
    ----------
    source : Source
    dates : mapping of str to Derived
        Name of the new column -> what it is.
    """

    def __init__(self, source: Source, dates: Mapping[str, Derived]) -> None:
        self._source = source
        self._dates = dict(dates)
        # A column of a part's name may have been dropped from the table; the source still has it.
        own = [f for f in source.schema if f.name not in dates]
        self.schema = pa.schema([*own, *(pa.field(name, pa.float64()) for name in dates)])
        self.n_rows, self.name, self.path = source.n_rows, source.name, source.path
        self.in_memory, self.named = source.in_memory, source.named
        if source.row_bytes is not None:
            self.row_bytes = source.row_bytes + 8.0 * len(dates)

    def read(self, columns: Sequence[str], rows: int, start: int = 0) -> Iterator[pa.RecordBatch]:
        """As the source, which is asked for each date column once."""
        wanted = (self._dates[c].column if c in self._dates else c for c in columns)
        schema = pa.schema([self.schema.field(c) for c in columns])
        first = start
        for batch in self._source.read(list(dict.fromkeys(wanted)), rows, start):
            moments: dict[tuple[str, str], Moments] = {}
            arrays = [self._column(batch, c, moments, first) for c in columns]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)
            first += batch.num_rows

    def _column(
        self, batch: pa.RecordBatch, name: str, moments: dict[tuple[str, str], Moments], first: int
    ) -> Any:
        date = self._dates.get(name)
        if date is None:
            return batch.column(name)
        key = date.column, date.zone
        if key not in moments:
            moments[key] = moments_of(batch.column(date.column), date.zone, date.column, first)
        return pa.array(moments[key].part(date.part), mask=moments[key].missing)

    def fraction_read(self) -> float | None:
        """Of the source."""
        return self._source.fraction_read()

    def fingerprint(self) -> Iterator[object]:
        """The source's, and the parts."""
        yield from self._source.fingerprint()
        yield sorted((name, d.column, d.part, d.zone) for name, d in self._dates.items())
