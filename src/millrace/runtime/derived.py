"""Columns that a model computes itself: a model that was fitted on parts of dates takes the dates.

A column of the table goes before one that could be computed. All computing is `millrace.data.derive`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from millrace.errors import ColumnTypeError, ShapeError

if TYPE_CHECKING:
    from millrace.data.derive import Derived, Moments

Get = Callable[[Any], Any]
"""The position of a column -> the column, of any kind."""


def with_derived(
    names: Sequence[str], get: Get, derived: Mapping[str, Derived], wanted: Collection[str]
) -> tuple[list[str], Get]:
    """The columns of a table with those that can be computed, and without their dates.

    Parameters
    ----------
    names : sequence of str
        Of the table.
    get : callable
    derived : mapping of str to Derived
    wanted : collection of str
        The columns that the model was fitted on: a date among them stays.

    Returns
    -------
    tuple of names and getter
        Derived columns are float64 (n_rows,), NaN where the date is missing; a date is read when the
        first of its parts is asked for.

    Raises
    ------
    ShapeError
        Two columns have the name of a date.
    """
    present = set(names)
    dates = {d.column for d in derived.values()} & present
    if twice := [d for d in dates if names.count(d) > 1]:
        raise ShapeError.repeated_names(twice)
    kept = [i for i, n in enumerate(names) if n not in dates or n in wanted]
    made = [n for n, d in derived.items() if n not in present and d.column in dates]
    moments: dict[tuple[str, str], Moments] = {}

    def column(position: Any) -> Any:
        if position < len(kept):
            return get(kept[position])
        source = derived[made[position - len(kept)]]
        key = source.column, source.zone
        if key not in moments:
            moments[key] = _moments(get(names.index(source.column)), source)
        return moments[key].part(source.part)

    return [*(names[i] for i in kept), *made], column


def with_parts(rows: Any, derived: Mapping[str, Derived], wanted: Sequence[str]) -> Any:
    """A pandas frame as the source of a model takes it; rows of other kinds as they are.

    Parameters
    ----------
    rows : table-like
    derived : mapping of str to Derived
    wanted : sequence of str
        The columns that the source was fitted on: they come first, in this order.
    """
    if type(rows).__module__.split(".")[0] != "pandas" or not hasattr(rows, "columns"):
        return rows
    names = [str(c) for c in rows.columns]
    found, get = with_derived(names, lambda c: rows.iloc[:, c], derived, wanted)
    whole = rows.assign(**{n: get(i) for i, n in enumerate(found) if n not in names})
    first = [n for n in wanted if n in found]
    return whole[[*first, *(n for n in found if n not in wanted)]]


def sources_of(names: Sequence[str], derived: Mapping[str, Derived]) -> list[str]:
    """Columns as a table may have them: dates instead of their parts, each once."""
    return list(dict.fromkeys(derived[n].column if n in derived else n for n in names))


def _moments(data: Any, source: Derived) -> Moments:
    from millrace.data.derive import moments_of

    return moments_of(_arrow(data, source.column), source.zone, source.column)


def _arrow(data: Any, column: str) -> Any:
    """A column of any kind as Arrow holds dates."""
    import pyarrow as pa

    kind = type(data).__module__.split(".")[0]
    if kind == "pyarrow":
        return data
    if kind == "polars":
        return data.to_arrow()
    dtype = getattr(data, "dtype", None)
    letter = dtype.kind if isinstance(dtype, np.dtype) else ""
    if isinstance(data, list) or letter == "O":
        return pa.array([_text(cell, column, row) for row, cell in enumerate(data)], pa.string())
    if letter == "M":
        data = np.asarray(data)
        if np.datetime_data(data.dtype)[0] not in ("D", "s", "ms", "us", "ns"):
            data = data.astype("M8[s]")
    try:
        return pa.array(data, from_pandas=True)
    except (pa.ArrowException, TypeError, NotImplementedError) as error:
        what = f"the dates in column {column!r} of type {dtype}"
        raise ColumnTypeError.unsupported(what, "dates, or texts in ISO form") from error


def _text(cell: Any, column: str, row: int) -> str | None:
    """One Python object as text in ISO form; None where it is missing.

    Arrow would take the clock off a time that stands behind a date, and one without a zone for UTC.
    """
    if isinstance(cell, str):
        return cell
    if cell is None or type(cell).__name__ == "NAType" or bool(cell != cell):
        return None
    if isinstance(cell, datetime):
        return (cell if cell.tzinfo is None else cell.astimezone(UTC)).isoformat()
    if isinstance(cell, date):
        return cell.isoformat()
    if isinstance(cell, np.datetime64):
        plain = np.datetime_data(cell.dtype)[0] in ("D", "s", "ms", "us", "ns")
        return str(cell if plain else cell.astype("M8[s]"))
    raise ColumnTypeError.unsupported(
        f"{cell!r} ({type(cell).__name__}) in row {row} of the date column {column!r}",
        "a date, or a text in ISO form such as 2024-05-01 or 2024-05-01 13:00",
    )
