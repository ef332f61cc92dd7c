"""Fitted models and files of rows for the commands."""

from __future__ import annotations

import json
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from typer.testing import CliRunner

from millrace.cli import app


class Workshop:
    """A folder with files, and the program run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def run(self, *words, code=0):
        """Run ``millrace`` and expect an exit code."""
        result = CliRunner().invoke(app, [str(w) for w in words])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    def json(self, *words, code=0):
        """The JSON object that a command prints, and nothing else."""
        return json.loads(self.run(*words, "--json", code=code).stdout)


def people(n_rows=400, seed=0):
    """Numbers and words with empty cells, codes that look like numbers, an unused column."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "id": np.arange(n_rows) + 10**9,
            "age": rng.integers(18, 90, n_rows).astype(float),
            "hours": rng.normal(40, 10, n_rows).round(1),
            "work": rng.choice(["private", "state", "own"], n_rows),
            "code": rng.choice(["007", "42", "A1"], n_rows),
        }
    )
    frame.loc[::17, "age"] = np.nan
    frame.loc[::13, "work"] = np.nan
    return frame


def people_target(frame):
    score = frame["age"].fillna(50) / 40 + (frame["code"] == "007") + (frame["work"] == "own")
    return np.where(score + frame["hours"] / 100 > 2.2, "over", "under")


def fitted_people():
    words = make_pipeline(
        SimpleImputer(strategy="most_frequent"),
        OneHotEncoder(handle_unknown="ignore", sparse_output=False),
    )
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), ["age", "hours"]),
        (words, ["work", "code"]),
    )
    frame = people()
    boosting = HistGradientBoostingClassifier(max_iter=5, random_state=0)
    return make_pipeline(columns, boosting).fit(frame, people_target(frame))


def fitted_array():
    X = np.random.default_rng(0).normal(size=(200, 4))
    return RandomForestRegressor(n_estimators=5, random_state=0).fit(X, X[:, 0] + X[:, 2] ** 2)


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Files that no test changes."""
    workshop = Workshop(tmp_path_factory.mktemp("made"))
    joblib.dump(fitted_people(), workshop / "people.joblib")
    joblib.dump(fitted_array(), workshop / "array.pkl")
    for name in ("people", "array"):
        fitted = next(workshop.folder.glob(f"{name}.*"))
        workshop.run("compile", fitted, "--trust-pickle", "-o", workshop / f"{name}.mill", "-q")
    frame = people(300, seed=1)
    frame.to_csv(workshop / "people.csv", index=False)
    frame.to_parquet(workshop / "people.parquet", index=False)
    frame.to_feather(workshop / "people.feather")
    numbers = pd.DataFrame(np.random.default_rng(2).normal(size=(50, 4)), columns=list("abcd"))
    numbers.assign(target=1.0).to_csv(workshop / "array.csv", index=False)
    numbers.to_csv(workshop / "bare.csv", index=False, header=False)
    return workshop


@pytest.fixture
def workshop(tmp_path, monkeypatch):
    """An empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return Workshop(tmp_path)
