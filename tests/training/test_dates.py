"""Dates are learned from through their parts, and the model takes the dates themselves."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.metrics import root_mean_squared_error

import millrace as mr
from millrace.data.derive import Derived
from millrace.errors import ColumnTypeError
from millrace.statistics.base import Batch, Columns
from millrace.statistics.profile import Profile
from millrace.training.importance import REPEATS
from millrace.training.opening import HeldOut
from millrace.training.roles import Role, roles_of
from tests.training.conftest import SHARED

N = 600
USED = ["month", "day", "weekday", "hour", "days"]
"""What differs within one year."""


def measured() -> pd.DataFrame:
    """Weather of 2010, every 14th hour of it."""
    frame = pd.read_csv(SHARED / "pollution.csv").iloc[: 14 * N : 14].reset_index(drop=True)
    when = pd.to_datetime(frame[["year", "month", "day", "hour"]])
    return pd.DataFrame({"wind": frame["cbwd"], "when": when, "TEMP": frame["TEMP"]})


def numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """The columns that the candidates see, by pandas."""
    when = frame["when"].dt
    parts = {
        "month": when.month,
        "day": when.day,
        "weekday": when.day_of_week,
        "hour": when.hour,
        "days": (frame["when"] - pd.Timestamp(0)) / pd.Timedelta(days=1),
    }
    own = {f"when.{p}": values.astype(float) for p, values in parts.items()}
    return frame[["wind"]].assign(**own)


@pytest.fixture(scope="module")
def result() -> mr.TrainResult:
    return mr.train(measured(), "TEMP", progress=False)


def test_roles_tell_the_date_and_its_parts(result: mr.TrainResult) -> None:
    note = "part of the date when"
    assert result.roles == (
        Role("wind", "category"),
        Role("when", "date", "used as month, day, weekday, hour, days"),
        Role("when.year", "left out", f"{note}, always 2010", "when"),
        *(Role(f"when.{p}", "number", note, "when") for p in USED),
    )
    assert [p.name for p in result.profiles] == [r.column for r in result.roles]
    assert result.profiles[1].minimum == pd.Timestamp("2010-01-01")


def test_candidates_are_those_of_scikit_learn_on_the_parts(result: mr.TrainResult) -> None:
    frame = measured()
    held = HeldOut(0.2, 0).of(0, N).astype(bool)
    X, y = numbers(frame), frame["TEMP"]
    np.testing.assert_array_equal(result.y, y[held])
    for candidate in result.candidates:
        own = clone(candidate.estimator).fit(X[~held], y[~held])
        answers = candidate.answers["predict"]
        np.testing.assert_allclose(answers, own.predict(X[held]), rtol=1e-8)


def test_the_model_takes_the_dates(result: mr.TrainResult, tmp_path: Path) -> None:
    frame = measured()
    expected = result.estimator.predict(numbers(frame))
    assert result.model.info.derived == {f"when.{p}": Derived("when", p) for p in USED}  # type: ignore[arg-type]
    loaded = mr.load(result.save(tmp_path / "weather.mill")[0])
    for model in (result.model, loaded):
        for rows in (
            frame,
            frame.astype({"when": str}),
            pa.Table.from_pandas(frame),
            numbers(frame),
        ):
            np.testing.assert_array_equal(model.predict(rows), expected)
        row = {"when": str(frame["when"][7]), "wind": frame["wind"][7]}
        assert model.predict_one(row) == expected[7]


def test_importance_shuffles_all_parts_of_a_date_as_one(result: mr.TrainResult) -> None:
    assert sorted(i.column for i in result.importances) == ["when", "wind"]
    frame, y = result.sample, result.y
    before = root_mean_squared_error(y, result.model.predict(frame[["when", "wind"]]))
    rng, added = np.random.default_rng(0), []
    for order in [rng.permutation(len(frame)) for _ in range(REPEATS)]:
        shuffled = frame[["wind"]].assign(when=frame["when"].to_numpy()[order])
        added.append(root_mean_squared_error(y, result.model.predict(shuffled)) - before)
    (found,) = (i for i in result.importances if i.column == "when")
    assert found.mean == pytest.approx(np.mean(added), rel=1e-9)


def test_the_report_shows_a_record_with_the_date(result: mr.TrainResult, tmp_path: Path) -> None:
    page = result.write_report(tmp_path / "report.html").read_text()
    (record,) = re.findall(r"record = (\{.*?\})", page.replace("&#34;", '"'), re.DOTALL)
    assert re.search(r'"when": "2010-\d\d-\d\d \d\d:00:00"', record)
    assert "when.month" not in record
    assert "used as month, day, weekday, hour, days" in page


@pytest.mark.parametrize("form", ["arrow", "csv"])
def test_texts_are_dates_as_well(result: mr.TrainResult, tmp_path: Path, form: str) -> None:
    """The same model to the bit, for dates in a file have no type."""
    frame = measured()
    texts: Any = frame.assign(when=frame["when"].dt.strftime("%Y-%m-%d %H:%M"))
    if form == "arrow":
        texts = pa.Table.from_pandas(texts)
    else:
        texts.to_csv(tmp_path / "rows.csv", index=False)
        texts = tmp_path / "rows.csv"
    again = mr.train(texts, "TEMP", progress=False)
    assert [(r.column, r.part) for r in again.roles] == [(r.column, r.part) for r in result.roles]
    assert again.model.info.derived == result.model.info.derived
    for one, other in zip(result.candidates, again.candidates, strict=True):
        np.testing.assert_array_equal(one.answers["predict"], other.answers["predict"])


def test_missing_dates_and_time_zones() -> None:
    frame = measured()[:300]
    frame["when"] = frame["when"].dt.tz_localize("Asia/Shanghai")
    frame.loc[::9, "when"] = pd.NaT
    result = mr.train(frame, "TEMP", progress=False)
    assert {d.zone for d in result.model.info.derived.values()} == {"Asia/Shanghai"}
    wall = frame.assign(when=frame["when"].dt.tz_localize(None))
    expected = result.estimator.predict(numbers(wall)[list(result.model.feature_names_in_)])
    for rows in (frame, frame.assign(when=frame["when"].dt.tz_convert("UTC"))):
        np.testing.assert_array_equal(result.model.predict(rows), expected)
    with pytest.raises(ColumnTypeError, match="no time zone"):
        result.model.predict(wall)


def test_a_text_among_dates_makes_them_categories() -> None:
    frame = measured()[:60].astype({"when": str})
    table = pa.Table.from_pandas(pd.concat([frame] * 30, ignore_index=True))
    when = table["when"].to_pylist()
    when[1500] = "in spring"
    table = table.set_column(1, "when", pa.array(when))
    result = mr.train(table, "TEMP", progress=False)
    assert [r.part for r in result.roles if r.column == "when"] == ["category"]


def roles_of_columns(dates: dict[str, Derived], **columns: Any) -> dict[str, Role]:
    arrays = tuple(pa.array(c) for c in columns.values())
    batch = Batch(0, Columns(tuple(columns), arrays), None, None)
    statistic = Profile()
    return {r.column: r for r in roles_of(statistic.finish(statistic.of(batch)), dates)}


def test_dates_that_tell_nothing_are_left_out() -> None:
    dates = {"d.year": Derived("d", "year"), "e.year": Derived("e", "year")}
    stamps = np.array(["2024-05-01"] * 30, "M8[s]")
    found = roles_of_columns(
        dates, d=stamps, e=pa.nulls(30, pa.date32()),
        **{"d.year": [2024.0] * 29 + [None], "e.year": pa.nulls(30, pa.float64())},
    )  # fmt: skip
    assert {r.part for r in found.values()} == {"left out"}
    assert found["d"].note.startswith("constant")
    assert found["e"].note == "every cell is missing"
    assert found["d.year"].note == "part of the date d, always 2024"


def test_a_column_of_the_table_goes_before_a_part() -> None:
    frame = measured()[:120].assign(**{"when.hour": np.arange(120) % 5.0})
    result = mr.train(frame, "TEMP", progress=False)
    (role,) = (r for r in result.roles if r.column == "when.hour")
    assert role.date == ""
    assert "when.hour" not in result.model.info.derived


def test_a_column_that_only_begins_with_dates_is_one_of_words() -> None:
    rng = np.random.default_rng(0)
    day = rng.integers(1, 5, 1_400)
    frame = pd.DataFrame({"when": [f"2024-05-0{d}" for d in day]})
    frame["also"] = [f"2024-06-0{d}" for d in day]
    frame["y"] = np.where(day + rng.normal(0, 1, len(day)) > 2.5, "late", "early")
    frame.loc[1_200, "when"] = "unknown"
    result = mr.train(frame, "y", progress=False)
    parts = {r.column: r.part for r in result.roles}
    assert (parts["when"], parts["also"]) == ("category", "date")
    (note,) = (n for n in result.notes if n.startswith("when:"))
    assert "'unknown' in row 1200" in note
