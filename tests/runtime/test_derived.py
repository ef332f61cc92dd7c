"""A model that was fitted on parts of a date takes the date, in every form that rows have."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor
from typer.testing import CliRunner

import millrace as mr
from millrace.cli.app import app
from millrace.data.derive import Derived
from millrace.errors import ColumnTypeError, ExtraColumnsError, MissingColumnsError, ShapeError

POLLUTION = Path(__file__).parents[3] / "shared" / "data" / "pollution.csv"
PARTS = ("month", "weekday", "hour", "days")
N = 400


def measured(zone: str | None = None) -> tuple[pd.DataFrame, pd.DataFrame, pd.Series]:
    """Hours of real measurements as dates, the same as numbers by pandas, and the target."""
    frame = pd.read_csv(POLLUTION).iloc[:: 43_824 // N][:N].reset_index(drop=True)
    when = pd.to_datetime(frame[["year", "month", "day", "hour"]])
    if zone is not None:
        when = when.dt.tz_localize(zone, ambiguous="NaT", nonexistent="shift_forward")
    rows = pd.DataFrame({"when": when, "TEMP": frame["TEMP"].astype(float)})
    return rows, numbers(rows), frame["DEWP"]


def numbers(rows: pd.DataFrame) -> pd.DataFrame:
    """The columns that a model is fitted on, by pandas."""
    when = rows["when"].dt
    wall = rows["when"] if when.tz is None else when.tz_localize(None)
    parts = {
        "when.month": when.month,
        "when.weekday": when.day_of_week,
        "when.hour": when.hour,
        "when.days": (wall - pd.Timestamp(0)) / pd.Timedelta(days=1),
    }
    return pd.DataFrame({"TEMP": rows["TEMP"], **parts}).astype(float)


def derived(zone: str = "") -> dict[str, Derived]:
    return {f"when.{p}": Derived("when", p, zone) for p in PARTS}  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def model() -> mr.CompiledModel:
    _, X, y = measured()
    fitted = make_pipeline(StandardScaler(), DecisionTreeRegressor(max_depth=8)).fit(X, y)
    return mr.compile(fitted, derived=derived())


def wanted(model: Any, X: pd.DataFrame) -> np.ndarray:
    return model.source.predict(X)


FORMS: dict[str, Callable[[pd.DataFrame], Any]] = {
    "numbers": numbers,
    "datetime64[us]": lambda r: r,
    "datetime64[s]": lambda r: r.assign(when=r["when"].dt.as_unit("s")),
    "datetime64[ns]": lambda r: r.assign(when=r["when"].dt.as_unit("ns")),
    "texts": lambda r: r.assign(when=r["when"].dt.strftime("%Y-%m-%d %H:%M")),
    "objects": lambda r: r.assign(when=r["when"].astype(object)),
    "texts as objects": lambda r: r.assign(when=r["when"].astype(str).astype(object)),
    "categories": lambda r: r.assign(when=r["when"].astype("category")),
    "arrow-backed": lambda r: r.assign(when=r["when"].astype("timestamp[ms][pyarrow]")),
    "another order": lambda r: r[["TEMP", "when"]],
    "polars": pl.from_pandas,
    "lazy polars": lambda r: pl.from_pandas(r).lazy(),
    "polars texts": lambda r: pl.from_pandas(r.assign(when=r["when"].astype(str))),
    "arrow": lambda r: pa.Table.from_pandas(r),
    "arrow batch": lambda r: pa.RecordBatch.from_pandas(r),
    "arrow reader": lambda r: pa.Table.from_pandas(r).to_reader(max_chunksize=70),
    "dicts": lambda r: r.to_dict("records"),
    "dicts of datetimes": lambda r: [
        {"when": w.to_pydatetime(), "TEMP": t} for w, t in zip(r["when"], r["TEMP"], strict=True)
    ],
    "dict of lists": lambda r: r.to_dict("list"),
    "dict of arrays": lambda r: {c: r[c].to_numpy() for c in r},
    "hours of NumPy": lambda r: {
        "when": r["when"].to_numpy().astype("M8[h]"), "TEMP": r["TEMP"].to_numpy(),
    },
}  # fmt: skip


@pytest.mark.parametrize("form", list(FORMS))
def test_rows_in_every_form(model: mr.CompiledModel, form: str) -> None:
    rows, X, _ = measured()
    np.testing.assert_array_equal(model.predict(FORMS[form](rows)), wanted(model, X))


def test_dates_without_time(model: mr.CompiledModel) -> None:
    rows, _, _ = measured()
    days = rows.assign(when=rows["when"].dt.normalize())
    expected = wanted(model, numbers(days))
    day = days["when"].to_numpy().astype("M8[D]")
    temperature = rows["TEMP"].to_numpy()
    for when in (pa.array(day), pa.array(day).cast(pa.date64()), pa.array(day.astype(str))):
        table = pa.table({"when": when, "TEMP": temperature})
        np.testing.assert_array_equal(model.predict(table), expected)
    as_dicts = [{"when": d, "TEMP": t} for d, t in zip(day.tolist(), temperature, strict=True)]
    assert isinstance(as_dicts[0]["when"], date)
    np.testing.assert_array_equal(model.predict(as_dicts), expected)


@pytest.mark.parametrize(
    "when",
    [
        "2012-02-29 18:00",
        datetime(2012, 2, 29, 18),
        pd.Timestamp("2012-02-29 18:00"),
        np.datetime64("2012-02-29T18"),
    ],
    ids=["text", "datetime", "pandas", "NumPy"],
)
def test_one_row(model: mr.CompiledModel, when: Any) -> None:
    rows = pd.DataFrame({"when": pd.to_datetime(["2012-02-29 18:00"]), "TEMP": [3.0]})
    (expected,) = wanted(model, numbers(rows))
    assert model.predict_one({"when": when, "TEMP": 3.0}) == expected
    assert model.row_function()({"TEMP": 3.0, "when": when}) == expected
    assert model.predict_one(rows.iloc[0]) == expected
    assert model.predict_one(numbers(rows).iloc[0].to_dict()) == expected


def test_missing_dates_are_missing_numbers(model: mr.CompiledModel) -> None:
    rows, _, _ = measured()
    rows.loc[::3, "when"] = pd.NaT
    expected = wanted(model, numbers(rows))
    for form in ("datetime64[us]", "objects", "polars", "arrow", "dicts", "dict of lists"):
        np.testing.assert_array_equal(model.predict(FORMS[form](rows)), expected)
    texts = [None if w is pd.NaT else str(w) for w in rows["when"]]
    for column in (texts, pa.array(texts), pl.Series(texts), pd.Series(texts)):
        data = {"when": column, "TEMP": rows["TEMP"].to_numpy()}
        np.testing.assert_array_equal(model.predict(data), expected)
    none = model.predict([{"when": None, "TEMP": 3.0}, {"TEMP": 3.0, "when": float("nan")}])
    hole = pd.DataFrame([[3.0] + 4 * [np.nan]] * 2, columns=numbers(rows).columns)
    np.testing.assert_array_equal(none, wanted(model, hole))


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Shanghai"])
def test_time_zones(zone: str) -> None:
    """The clock is that of the rows to learn from, wherever the date comes from."""
    rows, X, y = measured(zone)
    fitted = make_pipeline(StandardScaler(), DecisionTreeRegressor(max_depth=8)).fit(X, y)
    model = mr.compile(fitted, derived=derived(zone))
    expected = fitted.predict(X)
    abroad = rows.assign(when=rows["when"].dt.tz_convert("America/New_York"))
    texts = rows.assign(when=[w.isoformat() for w in abroad["when"]])
    for same in (rows, abroad, texts, pl.from_pandas(rows), abroad.to_dict("records")):
        np.testing.assert_array_equal(model.predict(same), expected)
    with pytest.raises(ColumnTypeError, match="it has no time zone"):
        model.predict(rows.assign(when=rows["when"].dt.tz_localize(None)))
    with pytest.raises(ColumnTypeError, match=r"row 0 .* it has no time zone"):
        model.predict_one({"when": "2012-02-29 18:00", "TEMP": 3.0})


def test_a_time_zone_that_no_one_expects(model: mr.CompiledModel) -> None:
    rows, _, _ = measured("UTC")
    for form in (rows, pl.from_pandas(rows), rows.astype({"when": str}), rows.to_dict("records")):
        with pytest.raises(ColumnTypeError, match=r"'when'.* it has a time zone"):
            model.predict(form)
    with pytest.raises(ColumnTypeError, match=r"row 1 .* it has a time zone"):
        model.predict(
            {"when": [datetime(2024, 5, 1), datetime(2024, 5, 1, tzinfo=UTC)], "TEMP": [1, 1]}
        )


BAD = {
    "no date": (["2012-02-29", "leap day"], "'leap day' in row 1 of the date column 'when'"),
    "no such day": (
        ["2011-02-29", "2012-02-29"],
        "'2011-02-29' in row 0 of the date column 'when'",
    ),
    "empty": (["2012-02-29", ""], "'' in row 1 of the date column 'when'"),
    "number": ([1.5, 2.5], "column 'when' of type"),
    "mixed": ([date(2012, 2, 29), 7], r"7 \(int\) in row 1 of the date column 'when'"),
}


@pytest.mark.parametrize("case", list(BAD))
def test_what_is_no_date_is_named(model: mr.CompiledModel, case: str) -> None:
    cells, message = BAD[case]
    with pytest.raises(ColumnTypeError, match=message):
        model.predict(pd.DataFrame({"when": cells, "TEMP": [1.0, 2.0]}))


def test_columns_that_are_not_there(model: mr.CompiledModel) -> None:
    rows, X, _ = measured()
    with pytest.raises(MissingColumnsError, match=r"lacks 1 column.* 'when'"):
        model.predict(rows.drop(columns="when"))
    with pytest.raises(MissingColumnsError, match="'TEMP'"):
        model.predict_one({"when": "2012-02-29"})
    with pytest.raises(ExtraColumnsError, match=r"1 column.* 'where'"):
        model.predict(rows.assign(where=1.0))
    twice = pd.concat([rows, rows[["when"]]], axis=1)
    with pytest.raises(ShapeError, match="'when'"):
        model.predict(twice)
    np.testing.assert_array_equal(model.predict(X), wanted(model, X))


def test_a_column_of_the_table_goes_before_the_date(model: mr.CompiledModel) -> None:
    rows, X, _ = measured()
    both = rows.assign(**{"when.month": 7.0})
    np.testing.assert_array_equal(
        model.predict(both), wanted(model, X.assign(**{"when.month": 7.0}))
    )


def test_a_matrix_has_the_parts(model: mr.CompiledModel) -> None:
    _, X, _ = measured()
    np.testing.assert_array_equal(model.predict(X.to_numpy()), wanted(model, X))


def test_the_file_remembers(model: mr.CompiledModel, tmp_path: Path) -> None:
    rows, X, _ = measured()
    loaded = mr.load(model.save(tmp_path / "dates.mill"))
    assert loaded.info.derived == derived()
    np.testing.assert_array_equal(loaded.predict(rows), wanted(model, X))
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(rows), wanted(model, X))
    for described in (str(loaded.describe()), model.describe()._repr_html_()):
        assert "month, weekday, hour, days of the date when" in described
    assert model.describe().derived == {"when": PARTS}


def test_a_file_without_the_key_is_one_without_dates(tmp_path: Path) -> None:
    """As the files are that were written before models knew dates."""
    from millrace.runtime.file import _info

    _, X, y = measured()
    plain = mr.compile(DecisionTreeRegressor(max_depth=2).fit(X, y))
    assert plain.info.derived == {}
    loaded = mr.load(plain.save(tmp_path / "plain.mill"))
    assert loaded.info.derived == {}
    assert loaded.describe().derived == {}
    older = {
        "source": "a", "classes": None, "feature_names": None, "feature_names_out": None,
        "ignore_extra": False, "steps": [], "notes": [], "provenance": {}, "verification": None,
    }  # fmt: skip
    assert _info(json.loads(json.dumps(older))).derived == {}


def test_samples_may_have_dates(model: mr.CompiledModel) -> None:
    rows, X, _ = measured()
    for sample in (rows, rows[["TEMP", "when"]], rows.to_dict("records"), X):
        report = mr.compile(model.source, sample=sample, derived=derived()).verify(sample)
        assert report
        assert report.rows["sample"] == N


def test_extra_columns_where_the_source_passes_over_them() -> None:
    rows, X, y = measured()
    kept = ColumnTransformer([("numbers", StandardScaler(), ["when.hour", "TEMP"])])
    fitted = Pipeline([("columns", kept), ("tree", DecisionTreeRegressor(max_depth=5))]).fit(X, y)
    model = mr.compile(fitted, derived=derived(), sample=rows)
    np.testing.assert_array_equal(
        model.predict(rows.assign(other="x", when=rows["when"].astype(str))), fitted.predict(X)
    )


def test_derived_columns_are_columns_of_the_source() -> None:
    _, X, y = measured()
    fitted = DecisionTreeRegressor(max_depth=2).fit(X, y)
    with pytest.raises(MissingColumnsError, match=r"'when\.hours'.*did you mean 'when\.hour'"):
        mr.compile(fitted, derived={"when.hours": Derived("when", "hour")})


@pytest.mark.parametrize("kind", ["csv", "parquet", "csv of parts"])
def test_files_with_dates(model: mr.CompiledModel, tmp_path: Path, kind: str) -> None:
    rows, X, _ = measured()
    rows.loc[:9, "when"] = pd.NaT
    X.iloc[:10, 1:] = np.nan
    name = tmp_path / f"rows.{kind[:3]}"
    match kind:
        case "csv":
            rows.to_csv(name, index=False)
        case "csv of parts":
            X.to_csv(name, index=False)
        case _:
            name = tmp_path / "rows.parquet"
            rows.to_parquet(name)
    output = tmp_path / "answers.parquet"
    file = str(model.save(tmp_path / "dates.mill"))
    said = CliRunner().invoke(
        app, ["predict", file, str(name), "-o", str(output), "--batch-rows", "64"]
    )
    assert said.exit_code == 0, said.output
    np.testing.assert_array_equal(pd.read_parquet(output)["predict"], wanted(model, X))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            ["when,TEMP", "2012-02-29,1", "Thursday,2"],
            "'Thursday' in row 1 of the date column 'when'",
        ),
        (["TEMP", "1"], "lacks 1 column(s) that the model reads: 'when'"),
        (["when,TEMP", "3,1"], "'3' in row 0 of the date column 'when'"),
    ],
    ids=["no date", "no column", "a number"],
)
def test_files_without_dates(
    model: mr.CompiledModel, tmp_path: Path, lines: list[str], message: str
) -> None:
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")
    file = str(model.save(tmp_path / "dates.mill"))
    said = CliRunner().invoke(app, ["predict", file, str(tmp_path / "rows.csv")])
    assert said.exit_code == 2
    assert message in " ".join(said.output.split())


def test_a_file_without_a_date_in_any_row(model: mr.CompiledModel, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("when,TEMP\n,3\n,3\n")
    file, output = str(model.save(tmp_path / "dates.mill")), tmp_path / "answers.parquet"
    said = CliRunner().invoke(app, ["predict", file, str(tmp_path / "rows.csv"), "-o", str(output)])
    assert said.exit_code == 0, said.output
    expected = model.predict_one({"when": None, "TEMP": 3.0})
    assert pd.read_parquet(output)["predict"].tolist() == [expected, expected]
