"""``millrace predict``: the answers of the source, whatever the files."""

from __future__ import annotations

import io

import joblib
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from millrace.data import open_table
from tests.cli.conftest import people


def table(path):
    return pd.concat([b.to_pandas() for b in open_table(path).batches()], ignore_index=True)


@pytest.fixture(scope="module")
def source(made):
    return joblib.load(made / "people.joblib")


@pytest.mark.parametrize("rows", ["people.csv", "people.parquet", "people.feather"])
@pytest.mark.parametrize("output", ["out.parquet", "out.csv", "out.arrow", "out.tsv.gz"])
def test_every_pair_of_formats(made, workshop, source, rows, output):
    workshop.run("predict", made / "people.mill", made / rows, "-o", output)
    answers = table(output)
    assert list(answers) == ["predict"]
    assert answers["predict"].tolist() == source.predict(people(300, seed=1)).tolist()


@pytest.mark.parametrize("method", ["predict_proba", "decision_function"])
def test_other_methods_have_the_same_bits(made, workshop, source, method):
    workshop.run(
        "predict", made / "people.mill", made / "people.csv", "-o", "o.csv", "--method", method
    )
    expected = getattr(source, method)(people(300, seed=1))
    answers = table("o.csv")
    assert (answers.to_numpy().reshape(expected.shape) == expected).all()
    names = {"predict_proba": ["predict_proba_over", "predict_proba_under"]}
    assert list(answers) == names.get(method, [method])


@pytest.mark.parametrize("batch_rows", [1, 7, 299, 300, 65536])
def test_batches_change_no_answer(made, workshop, batch_rows):
    arguments = [made / "people.mill", made / "people.csv", "--method", "predict_proba"]
    workshop.run("predict", *arguments, "-o", "whole.parquet")
    workshop.run("predict", *arguments, "-o", "parts.parquet", "--batch-rows", batch_rows)
    assert pq.read_table("parts.parquet").equals(pq.read_table("whole.parquet"))


def test_columns_are_kept_with_their_types_and_order(made, workshop):
    keep = ["--keep", "work", "--keep", "id", "--keep", "age"]
    workshop.run("predict", made / "people.mill", made / "people.parquet", "-o", "o.parquet", *keep)
    answers = pq.read_table("o.parquet")
    frame = people(300, seed=1)
    assert answers.schema.names == ["work", "id", "age", "predict"]
    assert answers["id"].to_pylist() == frame["id"].tolist()
    assert (
        answers["work"].to_pylist()
        == frame["work"].astype(object).where(frame["work"].notna(), None).tolist()
    )


def test_csv_goes_to_standard_output_alone(made, workshop, source):
    result = workshop.run("predict", made / "people.mill", made / "people.csv")
    answers = pd.read_csv(io.StringIO(result.stdout))
    assert answers["predict"].tolist() == source.predict(people(300, seed=1)).tolist()
    assert "300 rows" in result.stderr
    assert workshop.run("predict", made / "people.mill", made / "people.csv", "-q").stderr == ""


def test_the_outcome_as_json(made, workshop):
    found = workshop.json("predict", made / "people.mill", made / "people.csv", "-o", "o.csv")
    assert found["rows"] == 300
    assert found["columns"] == ["predict"]
    assert found["method"] == "predict"
    workshop.run("predict", made / "people.mill", made / "people.csv", "--json", code=2)


def test_a_column_that_the_model_does_not_read_is_not_parsed(made, workshop, source):
    """`id` is no feature: what stands in its cells, even further down, is no matter."""
    frame = people(300, seed=1).astype({"id": object})
    frame.loc[250, "id"] = "not a number"
    frame.to_csv("rows.csv", index=False)
    workshop.run("predict", made / "people.mill", "rows.csv", "-o", "o.csv")
    assert table("o.csv")["predict"].tolist() == source.predict(frame).tolist()


def test_codes_that_look_like_numbers_stay_text(made, workshop, source):
    """Every code of this file is a number, but the encoder was fitted on texts."""
    frame = people(300, seed=1).assign(code=["007", "42", "007"] * 100)
    frame.to_csv("rows.csv", index=False)
    workshop.run(
        "predict", made / "people.mill", "rows.csv", "-o", "o.csv", "--method", "predict_proba"
    )
    assert (table("o.csv").to_numpy() == source.predict_proba(frame)).all()


def test_columns_in_another_order_and_others_between(made, workshop, source):
    frame = people(300, seed=1)
    frame[["code", "hours", "id", "work", "age"]].assign(more=1).to_csv("rows.csv", index=False)
    workshop.run("predict", made / "people.mill", "rows.csv", "-o", "o.csv")
    assert table("o.csv")["predict"].tolist() == source.predict(frame).tolist()


def test_a_model_fitted_without_names_takes_columns_by_position(made, workshop):
    source = joblib.load(made / "array.pkl")
    frame = pd.read_csv(made / "array.csv")
    expected = source.predict(frame[list("abcd")].to_numpy())
    for extra in (["--drop", "target"], ["--keep", "target"]):
        workshop.run("predict", made / "array.mill", made / "array.csv", "-o", "o.csv", *extra)
        assert (table("o.csv")["predict"] == expected).all()
    workshop.run("predict", made / "array.mill", made / "bare.csv", "-o", "o.csv", "--no-header")
    assert (table("o.csv")["predict"] == expected).all()


def test_a_file_without_rows_gives_a_table_without_rows(made, workshop):
    people(300).head(0).to_csv("rows.csv", index=False)
    workshop.run(
        "predict", made / "people.mill", "rows.csv", "-o", "o.parquet", "--method", "predict_proba"
    )
    answers = pq.read_table("o.parquet")
    assert answers.num_rows == 0
    assert answers.schema.names == ["predict_proba_over", "predict_proba_under"]


def test_a_fitted_object_is_compiled_on_the_way(made, workshop, source):
    arguments = ["predict", made / "people.joblib", made / "people.csv", "-o", "o.csv"]
    assert "--trust-pickle" in workshop.run(*arguments, code=2).stderr
    workshop.run(*arguments, "--trust-pickle")
    assert table("o.csv")["predict"].tolist() == source.predict(people(300, seed=1)).tolist()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["absent.csv"], "there is no such file"),
        (["rows.txt"], "Cannot tell the format"),
        (["short.csv"], "'age' (did you mean 'agee'?)"),
        (["{people}", "--method", "transform"], "has no transform"),
        (["{people}", "--keep", "wrok"], "'wrok' (did you mean 'work'?)"),
        (["{people}", "-o", "out.txt"], "Cannot tell the format of out.txt"),
        (["{people}", "-o", "absent/out.csv"], "Could not write absent/out.csv"),
        (["words.csv"], "must be numeric, but row 0 holds 'many'"),
        (["late.csv"], "column 'hours' is double by the first rows"),
    ],
)
def test_what_the_user_can_put_right_is_told_in_a_line(made, workshop, words, message):
    frame = people(30)
    frame.to_csv("rows.txt", index=False)
    frame.rename(columns={"age": "agee"}).to_csv("short.csv", index=False)
    frame.assign(hours="many").to_csv("words.csv", index=False)
    (workshop / "late.csv").write_text(
        "age,hours,work,code\n" + "30,38.5,own,A1\n" * 400_000 + "30,many,own,A1\n"
    )
    (workshop / "out.parquet").write_text("old")
    words = [w.format(people=made / "people.csv") for w in words]
    output = [] if "-o" in words else ["-o", "out.parquet"]
    result = workshop.run("predict", made / "people.mill", *words, *output, code=2)
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert (workshop / "out.parquet").read_text() == "old"


def test_an_answer_that_would_hide_a_kept_column(made, workshop):
    people(30).assign(predict=0).to_csv("rows.csv", index=False)
    result = workshop.run("predict", made / "people.mill", "rows.csv", "--keep", "predict", code=2)
    assert "--keep" in result.stderr


def test_answers_of_several_outputs_are_named():
    from types import SimpleNamespace

    from millrace.cli.answers import as_columns

    model = SimpleNamespace(
        classes_=[np.array(["no", "yes"]), np.array([1, 2, 3])],
        info=SimpleNamespace(feature_names_out=("u", "v")),
    )
    listed = as_columns(model, "predict_proba", [np.ones((2, 2)), np.ones((2, 3))])
    assert list(listed) == [
        "predict_proba_0_no", "predict_proba_0_yes",
        "predict_proba_1_1", "predict_proba_1_2", "predict_proba_1_3",
    ]  # fmt: skip
    assert list(as_columns(model, "predict", np.ones((2, 2)))) == ["predict_0", "predict_1"]
    assert list(as_columns(model, "predict(raw_score)", np.ones(2))) == ["predict_raw_score"]
    assert list(as_columns(model, "transform", np.ones((2, 2)))) == ["u", "v"]
    assert list(as_columns(model, "apply", np.ones((2, 3), int))) == [
        "apply_0",
        "apply_1",
        "apply_2",
    ]
