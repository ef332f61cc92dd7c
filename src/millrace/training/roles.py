"""What part each column plays: number, category, text, date, or left out with a note."""

# pyarrow ships no types.
# pyright: reportUnknownParameterType=false, reportUnknownVariableType=false

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from millrace.data.derive import Derived
from millrace.statistics.profile import CAP, ColumnProfile, is_number

Part = Literal["number", "category", "text", "date", "left out"]

MANY = 0.9
"""Share of rows with a value of their own from which words are taken for identifiers."""

WORDS = 3.0
"""Mean number of words from which many different strings are taken for free text."""

DATES = "dates are not used as they are; add year, month, weekday or hour as columns of their own"

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?")


@dataclass(frozen=True)
class Role:
    """The part of one column, and why, where that is not plain.

    Attributes
    ----------
    column : str
    part : {"number", "category", "text", "date", "left out"}
        A date is used through its parts alone, which are columns of numbers.
    note : str
    date : str
        The date column that it is a part of; empty for a column of the table.
    """

    column: str
    part: Part
    note: str = ""
    date: str = ""


def roles_of(
    profiles: Sequence[ColumnProfile], dates: Mapping[str, Derived] | None = None
) -> tuple[Role, ...]:
    """The role of every column; `dates` tells which of them are parts of others."""
    dates = dates or {}
    found = {p.name: _part_of_date(p, dates[p.name]) for p in profiles if p.name in dates}
    return tuple(found.get(p.name) or _date(p, dates, found) or role_of(p) for p in profiles)


def _part_of_date(profile: ColumnProfile, source: Derived) -> Role:
    """A part that is the same in all dates tells nothing, also where dates are missing."""
    note = f"part of the date {source.column}"
    if profile.distinct in (0, 1):
        shown = f", always {profile.minimum:g}" if profile.distinct else ""
        return Role(profile.name, "left out", f"{note}{shown}", source.column)
    return Role(profile.name, "number", note, source.column)


def _date(
    profile: ColumnProfile, dates: Mapping[str, Derived], parts: Mapping[str, Role]
) -> Role | None:
    """The role of a column that others are parts of; None where there are none to use."""
    used = [
        d.part for n, d in dates.items() if d.column == profile.name and parts[n].part == "number"
    ]
    return Role(profile.name, "date", f"used as {', '.join(used)}") if used else None


def role_of(profile: ColumnProfile) -> Role:
    """The role of one column."""
    name, present = profile.name, profile.n - profile.missing
    if present == 0:
        return Role(name, "left out", "every cell is missing")
    if profile.distinct == 1 and profile.missing == 0:
        return Role(name, "left out", f"constant: every row has {_short(profile.minimum)}")
    if pa.types.is_temporal(profile.type):
        return Role(name, "left out", DATES)
    if pa.types.is_boolean(profile.type) and profile.missing:
        return Role(name, "left out", "truth values of which some are missing are not supported")
    if pa.types.is_decimal(profile.type):
        return Role(name, "left out", "decimal numbers are not supported; make them floats first")
    if is_number(profile.type):
        return _number(profile, present)
    if pa.types.is_string(profile.type) or pa.types.is_large_string(profile.type):
        return _words(profile, present)
    return Role(name, "left out", f"columns of type {profile.type} are not supported")


def _short(value: object, most: int = 40) -> str:
    shown = repr(value)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def _number(profile: ColumnProfile, present: int) -> Role:
    if math.isinf(profile.minimum) or math.isinf(profile.maximum):
        return Role(profile.name, "left out", "it holds infinite values; clean or clip them first")
    all_differ = profile.distinct in (None, present)
    if pa.types.is_integer(profile.type) and all_differ and present > 20:
        span = int(profile.maximum) - int(profile.minimum) + 1
        if profile.ascending or (profile.distinct == present and span == present):
            return Role(profile.name, "left out", "an identifier: it numbers the rows")
    return Role(profile.name, "number")


def _words(profile: ColumnProfile, present: int) -> Role:
    shown = list(profile.counts or {profile.minimum: 1, profile.maximum: 1})[:1000]
    if all(_DATE.fullmatch(word) for word in profile.counts or shown):
        return Role(profile.name, "left out", DATES)
    several = profile.distinct is None or profile.distinct > max(50, 0.1 * present)
    if profile.words >= WORDS and several:
        if profile.missing:
            return Role(
                profile.name, "left out", "free text of which some is missing; fill it first"
            )
        return Role(profile.name, "text")
    if profile.distinct is None or (present > 20 and profile.distinct > MANY * present):
        count = f"more than {CAP:,}" if profile.distinct is None else f"{profile.distinct:,}"
        note = f"an identifier: {count} different values in {present:,} rows"
        return Role(profile.name, "left out", note)
    return Role(profile.name, "category", _mostly_numbers(shown))


def _mostly_numbers(words: Sequence[str]) -> str:
    """A hint where a few cells keep a column from being one of numbers."""
    others = [w for w in words if not _is_float(w)]
    if not 0 < len(others) <= 2 or len(words) < 5 * len(others) or len(words) < 6:
        return ""
    listed = " and ".join(map(_short, others))
    return f"numbers but for {listed}; read such cells as missing and it is a number"


def _is_float(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
