"""Small tables with everything that a column can be, trained on once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import millrace as mr

SHARED = Path(__file__).parents[3] / "shared" / "data"

WORDS = [
    "mild rain and wind",
    "clear sky all day",
    "heavy snow at night",
    "fog in the morning hours",
]
AWKWARD = "<b>\"work\" & 'co'</b>"
"""A column name that would break a page that does not escape it."""


def people(n_rows: int = 320, seed: int = 0) -> pd.DataFrame:
    """Numbers, words, holes, free text; an identifier, a constant and nothing, which are left out."""
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 90, n_rows).astype(float)
    work = rng.choice(["private", "state", "<script>alert()</script>"], n_rows)
    hours = rng.normal(40, 10, n_rows).round(1)
    income = np.where(age / 40 + (work == "state") + hours / 100 > 2.0, "over", "under")
    age[::17] = np.nan
    work = np.where(np.arange(n_rows) % 13 == 0, None, work)
    return pd.DataFrame(
        {
            "id": np.arange(n_rows) + 10**9,
            "age": age,
            "größe $x^2$": hours,
            AWKWARD: work,
            "weather": [f"{rng.choice(WORDS)} {rng.integers(100)}" for _ in range(n_rows)],
            "planet": "Earth",
            "nothing": np.nan,
            "income": income,
        }
    )


def houses(n_rows: int = 900, seed: int = 1) -> pd.DataFrame:
    """A price that is no sum of its parts."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "rooms": rng.integers(1, 9, n_rows),
            "south": rng.random(n_rows),
            "noise": rng.random(n_rows),
        }
    )
    frame["town"] = np.where(frame["noise"] < 0.1, None, rng.choice(["Ulm", "Bonn"], n_rows))
    price = frame["rooms"] * 30 * (1 + frame["south"]) + rng.normal(0, 5, n_rows)
    return frame.assign(price=price.round(2))


def flowers(n_rows: int = 300, seed: int = 2) -> pd.DataFrame:
    """Three classes, and a fourth of three rows."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(n_rows, 3)), columns=["a", "b", "c"])
    kind = np.digitize(frame["a"] + 0.3 * rng.normal(size=n_rows), [-0.5, 0.5])
    names = np.array(["_rose", "iris", "a tulip of a kind whose name does not fit anywhere"])[kind]
    names[:3] = "orchid"
    return frame.assign(kind=names)


@pytest.fixture(scope="session")
def binary() -> mr.TrainResult:
    return mr.train(people(), "income", progress=False)


@pytest.fixture(scope="session")
def regression() -> mr.TrainResult:
    return mr.train(houses(), "price", progress=False)


@pytest.fixture(scope="session")
def multiclass() -> mr.TrainResult:
    return mr.train(flowers(), "kind", progress=False)
