"""Fitted models and their rows for the tests of this folder; each is made once a session."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

import millrace as mr


def people(n_rows: int = 300, seed: int = 0) -> pd.DataFrame:
    """Numbers and words with empty cells, and a column that no model reads."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "id": np.arange(n_rows) + 10**6,
            "age": rng.integers(18, 90, n_rows).astype(float),
            "hours": rng.normal(40, 10, n_rows).round(1),
            "work": rng.choice(["private", "state", "own"], n_rows).astype(object),
        }
    )
    frame.loc[::17, "age"] = np.nan
    frame.loc[::13, "work"] = np.nan
    return frame


def outcomes(frame: pd.DataFrame) -> np.ndarray:
    return np.where((frame.age.fillna(40) > 45) ^ (frame.work == "own"), ">50K", "<=50K")


@cache
def pipeline() -> Any:
    """Imputed, scaled and encoded columns, and a forest: matched by name."""
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    words = make_pipeline(
        SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")
    )
    columns = make_column_transformer((numbers, ["age", "hours"]), (words, ["work"]))
    forest = RandomForestClassifier(10, max_leaf_nodes=20, random_state=0)
    frame = people()
    return make_pipeline(columns, forest).fit(frame, outcomes(frame))


@cache
def strict_frame() -> Any:
    """A model whose source refuses columns that it was not fitted on."""
    frame = people()[["age", "hours"]]
    return HistGradientBoostingClassifier(max_iter=8, max_leaf_nodes=8, random_state=0).fit(
        frame, outcomes(people())
    )


@cache
def ordinals() -> Any:
    """A transformer of a frame."""
    frame = people()
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    return make_column_transformer((encoder, ["work"]), (StandardScaler(), ["hours"])).fit(frame)


def matrix(n_rows: int = 300, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 4))
    X[rng.random(X.shape) < 0.05] = np.nan
    return X


@cache
def boosted() -> Any:
    """A model of plain rows, with missing values."""
    X = matrix()
    y = np.digitize(np.nan_to_num(X[:, 0] + X[:, 1] * X[:, 2]), [-0.7, 0.7])
    return HistGradientBoostingClassifier(
        max_iter=6, max_leaf_nodes=8, min_samples_leaf=5, random_state=0
    ).fit(X, y)


@cache
def model(make: Any) -> mr.CompiledModel:
    """One of the above, compiled."""
    return mr.compile(make(), verify=False)
