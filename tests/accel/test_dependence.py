"""Partial dependence by recursion has the bits of scikit-learn's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.inspection import partial_dependence

import millrace
from millrace.accel import dependence_door
from millrace.accel.calls import originals
from millrace.accel.records import RECORDS, Ran

_RNG = np.random.default_rng(3)
X = _RNG.normal(size=(200, 5))
Y = X[:, 0] + X[:, 1] * X[:, 2]
LABELS = np.digitize(Y, [-0.5, 0.5])

FITTED: dict[str, Callable[[], Any]] = {
    "forest": lambda: RandomForestRegressor(7, random_state=0).fit(X, Y),
    "boosting": lambda: GradientBoostingRegressor(n_estimators=9, random_state=0).fit(X, Y),
    "classes": lambda: GradientBoostingClassifier(n_estimators=5, random_state=0).fit(X, LABELS),
    "histograms": lambda: HistGradientBoostingRegressor(max_iter=9).fit(
        np.where(X > 1.5, np.nan, X), Y
    ),
    "histograms of classes": lambda: HistGradientBoostingClassifier(max_iter=5).fit(X, LABELS),
    "categories": lambda: HistGradientBoostingRegressor(max_iter=5, min_samples_leaf=5)
    .set_params(categorical_features=[0])
    .fit(np.column_stack([np.arange(200) % 7, X[:, 1:]]), Y),
}  # fmt: skip


@pytest.mark.parametrize("features", [[0], [1], [0, 1], [2, 0, 1]], ids=str)
@pytest.mark.parametrize("name", FITTED)
def test_the_bits_are_those_of_the_original(
    always: None, monkeypatch: pytest.MonkeyPatch, name: str, features: list[int]
) -> None:
    monkeypatch.setattr(dependence_door, "LEAST", 0.0)
    fitted = FITTED[name]()
    grid = _RNG.normal(size=(37, len(features)))
    grid[3, 0] = np.nan
    with originals():
        expected = fitted._compute_partial_dependence_recursion(grid, np.array(features))
    RECORDS.clear()
    with millrace.accelerated(strict=True):
        answer = fitted._compute_partial_dependence_recursion(grid, np.array(features))
    assert answer.dtype == expected.dtype
    np.testing.assert_array_equal(answer, expected)
    assert [key.ran for key, _ in RECORDS.lines()] == [Ran.MILLRACE]


def test_the_public_function_takes_it(always: None) -> None:
    fitted = FITTED["histograms of classes"]()
    expected = partial_dependence(fitted, X, [0, 1], grid_resolution=6)
    with millrace.accelerated(strict=True):
        answer = partial_dependence(fitted, X, [0, 1], grid_resolution=6)
    np.testing.assert_array_equal(answer["average"], expected["average"])
