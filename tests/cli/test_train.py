"""``millrace train`` from the command line: files, words and exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import millrace as mr
from tests.cli.conftest import Workshop, people, people_target


@pytest.fixture
def table(workshop: Workshop) -> Path:
    """A file of people with a target, in the current folder."""
    frame = people(250)
    frame.assign(income=people_target(frame)).to_csv(workshop / "people.csv", index=False)
    return workshop / "people.csv"


def files_of(workshop: Workshop) -> list[str]:
    return sorted(p.name for p in workshop.folder.iterdir() if p.name != "people.csv")


def test_a_table_becomes_a_model_and_a_report(workshop: Workshop, table: Path) -> None:
    words = ["train", table, "--target", "income", "-o", "income.mill", "--report", "income.html"]
    shown = workshop.run(*words).stdout
    assert files_of(workshop) == ["income.html", "income.joblib", "income.mill"]
    for part in ("fit both candidates", "log loss", "boosted forest", "income.joblib", "Next"):
        assert part in shown
    assert "id: left out, an identifier: it numbers the rows" in shown
    assert (workshop / "income.html").read_text().startswith("<!DOCTYPE html>")
    predicted = workshop / "answers.parquet"
    workshop.run("predict", "income.mill", table, "-o", predicted, "-q")
    expected = mr.load(workshop / "income.mill").predict(pd.read_csv(table))
    assert pq.read_table(predicted)["predict"].to_pylist() == expected.tolist()


def test_the_outcome_is_one_json_object(workshop: Workshop, table: Path) -> None:
    found = workshop.json("train", table, "-t", "income", "--drop", "code", "--seed", "3")
    assert found["files"] == ["people.mill", "people.joblib"]
    assert found["task"] == "binary"
    assert found["rows"] == 250
    assert "code" not in found["columns"]
    assert found["columns"]["id"]["part"] == "left out"
    scores = found["metrics"][found["best"]]
    assert scores["accuracy"]["low"] <= scores["accuracy"]["value"] <= scores["accuracy"]["high"]
    assert found["fit"]["sweeps"][0]["asked"] == ["Profile"]


def test_quiet_says_nothing(workshop: Workshop, table: Path) -> None:
    result = workshop.run("train", table, "-t", "income", "-o", "income.mill", "--quiet")
    assert result.output == ""
    assert files_of(workshop) == ["income.joblib", "income.mill"]


def test_regression_without_header_and_with_marks_for_missing(workshop: Workshop) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.random(200).round(3), "b": rng.random(200).round(3)})
    frame["y"] = (frame["a"] * 3 + frame["b"]).round(3)
    frame = frame.astype(str)
    frame.loc[::9, "b"] = "?"
    frame.loc[::20, "y"] = "?"
    frame.to_csv(workshop / "rows.csv", index=False, header=False, sep=";")
    words = ["train", "rows.csv", "-t", "x2", "--no-header", "--delimiter", ";", "--missing", "?"]
    refused = workshop.run(*words, code=2)
    assert "no value in 10 of 200 rows" in refused.stderr
    assert not (workshop / "rows.mill").exists()
    found = workshop.json(*words, "--drop-missing-target", "--skops")
    assert found["files"] == ["rows.mill", "rows.skops"]
    assert found["rows"] == 190
    assert found["notes"] == ["10 of 200 rows are left out: they have no target"]
    assert found["columns"]["x1"] == {"part": "number", "note": ""}
    assert found["metrics"][found["best"]]["R²"]["value"] > 0.8


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["people.csv", "-t", "incom"], "did you mean 'income'"),
        (["persons.csv", "-t", "income"], "persons.csv"),
        (["people.csv", "-t", "income", "--drop", "cod"], "cod"),
        (["people.csv", "-t", "work"], "no value in 20 of 250 rows"),
        (["people.csv", "-t", "income", "--task", "regression"], "Regression needs"),
        (["people.csv", "-t", "income", "-o", "nowhere/income.mill"], "there is no folder nowhere"),
        (["people.csv", "-t", "income", "-o", "income.pkl"], "does not end in .mill"),
        (["people.csv", "-t", "income", "--report", "people.csv"], "that is the table"),
        (["people.csv", "-t", "income", "--memory", "much"], "memory is a size"),
        (["people.csv", "-t", "income", "--memory", "1MB"], "too small"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_can_be_put_right_is_told(
    workshop: Workshop, table: Path, words: list[str], message: str
) -> None:
    result = workshop.run("train", *words, code=2)
    assert message in " ".join(result.stderr.replace("│", " ").split())
    assert files_of(workshop) == []


@pytest.mark.parametrize("where", ["predictions", "importances"])
def test_an_interrupted_training_leaves_no_file(
    workshop: Workshop, table: Path, monkeypatch: Any, where: str
) -> None:
    from importlib import import_module

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(import_module("millrace.training.train"), where, interrupted)
    words = ["train", table, "-t", "income", "-o", "income.mill", "--report", "income.html"]
    result = workshop.run(*words, code=130)
    assert "interrupted" in result.stderr
    assert files_of(workshop) == []


def test_names_with_markup_are_shown_as_they_are(workshop: Workshop, table: Path) -> None:
    frame = pd.read_csv(table).rename(columns={"id": "[bold]id[/bold]"})
    frame.to_csv(table, index=False)
    shown = workshop.run("train", table, "-t", "income").stdout
    assert "[bold]id[/bold]: left out" in shown


def test_the_json_is_strict(workshop: Workshop, table: Path) -> None:
    out = workshop.run("train", table, "-t", "income", "--json").stdout
    json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
