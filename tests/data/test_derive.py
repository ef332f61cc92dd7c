"""Parts of dates are those of pandas, in every unit and time zone; tables compute them while read."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import millrace as mr
from millrace.data import CsvOptions
from millrace.data.derive import (
    PARTS,
    Derived,
    all_parts,
    date_columns,
    moments_of,
    parts_of,
    with_parts,
    zone_of,
)
from millrace.errors import ColumnTypeError, FileInputError, MissingColumnsError

POLLUTION = Path(__file__).parents[3] / "shared" / "data" / "pollution.csv"

AWKWARD = [
    "1970-01-01", "1969-12-31 23:59:59", "1900-02-28 23:00", "1900-03-01", "2000-02-29 12:30",
    "2100-03-01", "2024-02-29 23:59:59", "2024-12-31", "1677-09-22", "2262-04-11 23:00", "1582-10-10",
    "0001-01-01 01:00", "9999-12-31 23:00",
]  # fmt: skip
"""Leap years and years without, both sides of 1970, the limits of nanoseconds and of texts."""

ZONES = ["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "+05:30", "-03:00"]


def hours(step: int = 7) -> pd.Series:
    """Hours of real measurements, 2010 to 2014."""
    frame = pd.read_csv(POLLUTION, usecols=["year", "month", "day", "hour"])
    return pd.to_datetime(frame).iloc[::step].reset_index(drop=True)


def of_pandas(stamps: pd.Series) -> dict[str, np.ndarray]:
    """The parts as pandas gives them; days by the clock on the wall."""
    wall = stamps.dt.tz_localize(None) if stamps.dt.tz is not None else stamps
    found = {p: getattr(stamps.dt, p) for p in ("year", "month", "day", "hour")}
    found["weekday"] = stamps.dt.day_of_week
    found["days"] = (wall - pd.Timestamp(0).as_unit(wall.dt.unit)) / pd.Timedelta(days=1)
    return {p: found[p].to_numpy(np.float64) for p in PARTS}


def assert_parts(array: Any, wanted: dict[str, np.ndarray], **options: Any) -> None:
    found = parts_of(array, **options)
    assert list(found) == list(PARTS)
    for part in PARTS:
        assert found[part].dtype == np.float64
        np.testing.assert_array_equal(found[part], wanted[part], err_msg=part)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_parts_are_those_of_pandas(unit: Any) -> None:
    stamps = hours().dt.as_unit(unit)
    stamps[::11] = pd.NaT
    assert_parts(pa.array(stamps), of_pandas(stamps))


@pytest.mark.parametrize("unit", ["s", "ms", "us"])
def test_awkward_dates(unit: Any) -> None:
    stamps = pd.Series(np.array(AWKWARD, f"M8[{unit}]"))
    assert_parts(pa.array(stamps), of_pandas(stamps))


@pytest.mark.parametrize("zone", ZONES)
def test_parts_are_of_the_clock_in_the_time_zone(zone: str) -> None:
    """Also in the hours around a change to summer time, and before time zones had whole minutes."""
    stamps = hours(5).dt.tz_localize("UTC").dt.tz_convert(zone)
    old = pd.Series(np.array(["1880-01-01 00:00:07", "1950-06-01"], "M8[s]")).dt.tz_localize("UTC")
    stamps = pd.concat([stamps.dt.as_unit("s"), old.dt.tz_convert(zone)])
    assert_parts(pa.array(stamps), of_pandas(stamps))


@pytest.mark.parametrize("kind", [pa.date32(), pa.date64()], ids=str)
def test_dates_without_time(kind: pa.DataType) -> None:
    days = np.array([d[:10] for d in AWKWARD], "M8[D]")
    wanted = of_pandas(pd.Series(days.astype("M8[s]")))
    assert_parts(pa.array(days).cast(kind), wanted)


def test_nanoseconds_count() -> None:
    """The days of a date are the nearest float to the true fraction, or its neighbour."""
    ticks = np.random.default_rng(0).integers(-(2**62), 2**62, 2000)
    found = parts_of(pa.array(ticks.view("M8[ns]")), ["days"])["days"]
    wanted = np.array([float(Fraction(int(t), 86_400 * 10**9)) for t in ticks])
    assert (np.abs(found - wanted) <= np.spacing(np.abs(wanted))).all()
    assert (found == wanted).mean() > 0.99


def test_one_date_has_the_same_bits_in_every_form() -> None:
    milliseconds = np.random.default_rng(1).integers(-(2**42), 2**42, 2000).view("M8[ms]")
    wanted = parts_of(pa.array(milliseconds))
    words = pa.array([str(m) for m in milliseconds])
    for form in (
        pa.array(milliseconds.astype("M8[us]")),
        pa.array(milliseconds.astype("M8[ns]")),
        words,
        words.cast(pa.large_string()),
        words.cast(pa.string_view()),
        words.dictionary_encode(),
        pa.chunked_array([words[:700], words[700:]]),
    ):
        assert_parts(form, wanted)  # type: ignore[arg-type]


TEXTS = {
    "2024-05-01": "2024-05-01",
    "2024-05-01 13": "2024-05-01 13:00",
    "2024-05-01 13:45": "2024-05-01 13:45",
    "2024-05-01T13:45:59": "2024-05-01 13:45:59",
    "2024-05-01 13:45:59.25": "2024-05-01 13:45:59.25",
    "0001-02-03 04:05": "0001-02-03 04:05",
    "1999-12-31 23:59:59.123456789": "1999-12-31 23:59:59.123456789",
}


def test_texts_in_iso_form() -> None:
    """Also where no unit holds all of them: nine digits of a second, and the year 1."""
    units = ["M8[ns]" if "." in t else "M8[us]" for t in TEXTS.values()]
    stamps = [np.array([t], u) for t, u in zip(TEXTS.values(), units, strict=True)]
    wanted = [parts_of(pa.array(stamp)) for stamp in stamps]
    found = parts_of(pa.array([*TEXTS, None]))
    for part in PARTS:
        np.testing.assert_array_equal(found[part], [*(w[part][0] for w in wanted), np.nan])


def test_texts_with_an_offset_are_instants() -> None:
    texts = ["2024-05-01T01:30:00+02:00", "2024-04-30 23:30Z", "2024-05-01 05:00+0530", None]
    found = parts_of(pa.array(texts))
    np.testing.assert_array_equal(found["hour"], [23, 23, 23, np.nan])
    np.testing.assert_array_equal(found["day"], [30, 30, 30, np.nan])
    there = parts_of(pa.array(texts), zone="Asia/Kolkata")
    np.testing.assert_array_equal(there["hour"], [5, 5, 5, np.nan])


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.float64(), pa.timestamp("us", "UTC"), pa.null()], ids=str
)
def test_no_date_at_all(kind: pa.DataType) -> None:
    for zone in ("", "UTC"):
        found = parts_of(pa.nulls(3, kind), zone=zone)
        assert all(np.isnan(v).all() and len(v) == 3 for v in found.values())
        assert all(len(v) == 0 for v in parts_of(pa.nulls(0, kind), zone=zone).values())


@pytest.mark.parametrize(
    "bad",
    ["yesterday", "2023-02-29", "2024-13-01", "2024-05-01 24:00", "", " 2024-05-01", "1.5.2024"],
)
def test_a_text_that_is_no_date_is_named(bad: str) -> None:
    cells = ["2024-05-01 10:00"] * 9
    cells[6] = bad
    with pytest.raises(ColumnTypeError, match="date column 'when'") as error:
        parts_of(pa.array(cells), column="when", first=100)
    assert f"{bad!r} in row 106 " in str(error.value)


@pytest.mark.parametrize(
    ("array", "zone", "message"),
    [
        (pa.array(["2024-05-01", "2024-05-01T10:00Z"]), "", "row 1 .* it has a time zone"),
        (pa.array(["2024-05-01T10:00Z", "2024-05-01"]), "UTC", "row 1 .* it has no time zone"),
        (pa.nulls(1, pa.timestamp("s", "UTC")).fill_null(0), "", "it has a time zone"),
        (pa.array([date(2024, 5, 1)]), "UTC", "it has no time zone"),
        (pa.array([1, 2]), "", "of type int64"),
        (pa.array(["2024-05-01T10:00Z"]), "Mars/Olympus", "time zone 'Mars/Olympus'"),
    ],
    ids=["offset", "no offset", "zone", "date", "number", "unknown zone"],
)
def test_dates_that_cannot_be_meant(array: Any, zone: str, message: str) -> None:
    with pytest.raises(ColumnTypeError, match=message):
        moments_of(array, zone)


def test_a_part_is_one_of_six() -> None:
    with pytest.raises(ValueError, match="'minute'"):
        Derived("when", "minute")  # type: ignore[arg-type]


def test_which_columns_are_dates() -> None:
    table = pa.table(
        {
            "stamp": pa.array([0], pa.timestamp("s")),
            "zoned": pa.array([0], pa.timestamp("ns", "Europe/Berlin")),
            "day": pa.array([0], pa.date32()),
            "iso": ["2024-05-01"],
            "offset": ["2024-05-01T10:00Z"],
            "category": pa.array(["2024-05-01"]).dictionary_encode(),
            "word": ["May"],
            "empty": pa.nulls(1, pa.string()),
            "clock": pa.array([0], pa.time32("s")),
            "number": [1.0],
        }
    )
    wanted = {
        "stamp": "", "zoned": "Europe/Berlin", "day": "", "iso": "", "offset": "UTC", "category": "",
    }  # fmt: skip
    assert date_columns(mr.scan(table)) == wanted
    assert date_columns(mr.scan(table), ["iso", "word"]) == {"iso": ""}
    assert zone_of(table["word"]) is None


@pytest.fixture(params=["frame", "arrow", "csv", "parquet"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    frame = pd.DataFrame({"n": np.arange(500), "when": hours(80)[:500]})
    match request.param:
        case "frame":
            return mr.scan(frame)
        case "arrow":
            return mr.scan(pa.Table.from_pandas(frame))
        case "csv":
            frame.to_csv(tmp_path / "a.csv", index=False)
            return mr.scan(tmp_path / "a.csv", csv=CsvOptions())
        case _:
            frame.to_parquet(tmp_path / "a.parquet")
            return mr.scan(tmp_path / "a.parquet")


def test_a_table_computes_parts_as_it_is_read(table: Any) -> None:
    wanted = of_pandas(hours(80)[:500])
    zones = date_columns(table)
    assert zones == {"when": ""}
    derived = with_parts(table, all_parts("when"))
    assert derived.schema.names == ["n", "when", *(f"when.{p}" for p in PARTS)]
    assert (derived.n_rows, derived.named, derived.in_memory) == (
        table.n_rows, table.named, table.in_memory,
    )  # fmt: skip
    for rows, start in ((64, 0), (128, 256), (1000, 0)):
        columns = ["when.days", "n", "when.month"]
        batches = list(derived.batches(columns, rows, start))
        assert [b.num_rows for b in batches[:-1]] == [rows] * (len(batches) - 1)
        whole = pa.Table.from_batches(batches)
        assert whole.schema.names == columns
        np.testing.assert_array_equal(whole["when.days"], wanted["days"][start:])
        np.testing.assert_array_equal(whole["when.month"], wanted["month"][start:])
        np.testing.assert_array_equal(whole["n"], np.arange(start, 500))


def test_a_table_with_parts_can_be_scanned_again(table: Any) -> None:
    derived = with_parts(table, all_parts("when"))
    chosen = mr.scan(derived, columns=["when.hour"], where=[("when.year", "==", 2012)])
    found = pa.Table.from_batches(chosen.batches())["when.hour"].to_numpy()
    wanted = of_pandas(hours(80)[:500])
    np.testing.assert_array_equal(found, wanted["hour"][wanted["year"] == 2012])


def test_identity_tells_the_parts(table: Any) -> None:
    one, other = all_parts("when"), {"when.year": Derived("when", "month")}
    seen = {
        table.identity(),
        with_parts(table, one).identity(),
        with_parts(table, other).identity(),
    }
    assert len(seen) == 3
    assert with_parts(table, one).identity() in seen
    assert with_parts(table, {}) is table


def test_missing_dates_are_nulls() -> None:
    table = mr.scan(pa.table({"when": ["2024-05-01", None]}))
    (batch,) = with_parts(table, all_parts("when")).batches()
    assert [batch.column(f"when.{p}").null_count for p in PARTS] == [1] * 6


def test_the_row_of_a_bad_cell_is_that_of_the_table() -> None:
    cells = ["2024-05-01"] * 300
    cells[217] = "soon"
    derived = with_parts(mr.scan(pa.table({"when": cells})), all_parts("when"))
    with pytest.raises(ColumnTypeError, match="'soon' in row 217 of the date column 'when'"):
        list(derived.batches(["when.day"], 64))
    with pytest.raises(ColumnTypeError, match="row 217 "):
        list(derived.batches(["when.day"], 64, 128))


def test_wrong_names() -> None:
    table = mr.scan(pa.table({"when": ["2024-05-01"], "when.day": [1]}))
    with pytest.raises(MissingColumnsError, match=r"'wen'.*did you mean 'when'"):
        with_parts(table, all_parts("wen"))
    with pytest.raises(FileInputError, match=r"'when\.day' of its own"):
        with_parts(table, all_parts("when"))


def test_a_part_may_have_the_name_of_a_column_that_was_dropped() -> None:
    table = mr.scan(pa.table({"when.day": ["x"], "when": ["2024-05-07"]}), columns=["when"])
    (batch,) = with_parts(table, all_parts("when")).batches()
    assert batch.column("when.day").to_pylist() == [7.0]
