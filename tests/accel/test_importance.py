"""Permutation importance of trees has the bits of scikit-learn's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.inspection import permutation_importance
from sklearn.metrics import accuracy_score

import millrace
from millrace.accel import importance_door
from millrace.accel.calls import originals
from millrace.accel.records import RECORDS, Ran
from millrace.backends.numba.permuted import keys_of

_RNG = np.random.default_rng(5)
X = _RNG.normal(size=(90, 4)).round(1)
Y = X[:, 0] + X[:, 1] * X[:, 2]
LABELS = np.digitize(Y, [-0.5, 0.5])
NAMES = np.array(["low", "mid", "top"])[LABELS]
FRAME = pd.DataFrame(X, columns=list("abcd"))
STRATIFIED = DummyClassifier(strategy="stratified", random_state=0)

MODELS: dict[str, tuple[Callable[[], Any], Any, Any]] = {
    "forest": (lambda: RandomForestRegressor(5, random_state=0), X, Y),
    "single": (lambda: RandomForestRegressor(5, random_state=0), X.astype(np.float32), Y),
    "frame": (lambda: ExtraTreesRegressor(5, random_state=0), FRAME, Y),
    "classes": (lambda: RandomForestClassifier(5, random_state=0), X, LABELS),
    "texts": (lambda: RandomForestClassifier(5, random_state=0), X, NAMES),
    "boosting": (lambda: GradientBoostingRegressor(n_estimators=5, random_state=0), X, Y),
    "boosted pair": (lambda: GradientBoostingClassifier(n_estimators=5), X, LABELS > 0),
    "boosted three": (lambda: GradientBoostingClassifier(n_estimators=5), X, LABELS),
}

OPTIONS: dict[str, dict[str, Any]] = {
    "default": {"random_state": 0},
    "shared state": {"n_repeats": 3},
    "part of the rows": {
        "max_samples": 0.4,
        "random_state": 1,
        "sample_weight": np.arange(1.0, 91),
    },
    "several scores": {"scoring": ["neg_max_error", "r2"], "random_state": 2},
}


@pytest.fixture
def small(always: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importance_door, "LEAST", 0.0)


def _both(fitted: Any, rows: Any, y: Any, **given: Any) -> tuple[Any, Any, list[Ran]]:
    """scikit-learn's answer, ours, and where ours ran."""
    given.setdefault("random_state", None)
    np.random.seed(9)  # noqa: NPY002
    with originals():
        expected = permutation_importance(fitted, rows, y, **given)
    after = np.random.random()  # noqa: NPY002
    RECORDS.clear()
    np.random.seed(9)  # noqa: NPY002
    with millrace.accelerated():
        answer = permutation_importance(fitted, rows, y, **given)
    assert np.random.random() == after  # noqa: NPY002
    return expected, answer, [key.ran for key, _ in RECORDS.lines()]


def _assert_same(answer: Any, expected: Any) -> None:
    assert list(answer) == list(expected)
    for name in expected:
        if isinstance(expected[name], dict):
            _assert_same(answer[name], expected[name])
        else:
            np.testing.assert_array_equal(answer[name], expected[name])


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("model", MODELS)
def test_the_bits_are_those_of_the_original(small: None, model: str, option: str) -> None:
    make, rows, y = MODELS[model]
    options: dict[str, Any] = dict(OPTIONS[option])
    if "scoring" in options and np.asarray(y).dtype.kind != "f":
        options["scoring"] = ["accuracy", "neg_log_loss"]
    expected, answer, ran = _both(make().fit(rows, y), rows, y, **options)
    _assert_same(answer, expected)
    assert ran == [Ran.MILLRACE]


def test_columns_in_several_parts_are_the_same(
    small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importance_door, "BYTES", 8 * 5 * 90 * 3)
    fitted = MODELS["forest"][0]().fit(X, Y)
    expected, answer, _ = _both(fitted, X, Y, random_state=0)
    _assert_same(answer, expected)


def test_an_edit_of_a_tree_counts(small: None) -> None:
    fitted = MODELS["forest"][0]().fit(X, Y)
    _both(fitted, X, Y, random_state=0)
    fitted.estimators_[2].tree_.value[:] *= 2.0
    expected, answer, ran = _both(fitted, X, Y, random_state=0)
    _assert_same(answer, expected)
    assert ran == [Ran.MILLRACE]


UNUSUAL: dict[str, tuple[Callable[[], Any], Any, dict[str, Any]]] = {
    "missing values": (
        lambda: RandomForestRegressor(3, random_state=0).fit(np.where(X > 1.0, np.nan, X), Y),
        np.where(X > 1.0, np.nan, X),
        {"random_state": 0},
    ),
    "initial predictor": (
        lambda: GradientBoostingClassifier(n_estimators=2, init=STRATIFIED).fit(X, LABELS),
        X,
        {"random_state": 0},
    ),
    "scorer of its own": (
        lambda: RandomForestClassifier(3, random_state=0).fit(X, LABELS),
        X,
        {"scoring": lambda e, rows, y: accuracy_score(y, e.predict(rows + 1.0)), "random_state": 0},
    ),
    "several outputs": (
        lambda: RandomForestRegressor(3, random_state=0).fit(X, np.column_stack([Y, -Y])),
        X,
        {"scoring": lambda e, rows, y: float(e.predict(rows)[0, 0])},
    ),
}


@pytest.mark.parametrize("case", UNUSUAL)
def test_what_is_unusual_is_answered_by_the_original(small: None, case: str) -> None:
    make, rows, options = UNUSUAL[case]
    y = LABELS if "initial" in case or "scorer" in case else Y
    expected, answer, _ = _both(make(), rows, y, **options)
    _assert_same(answer, expected)
    functions = [k for k, _ in RECORDS.lines() if k.method == "permutation_importance"]
    assert all(key.ran is Ran.SKLEARN for key in functions)


def test_errors_are_those_of_the_original(small: None) -> None:
    fitted = MODELS["forest"][0]().fit(X, Y)
    with pytest.raises(ValueError, match="inconsistent") as expected, originals():
        permutation_importance(fitted, X, Y[:-1])
    with (
        pytest.raises(ValueError, match="inconsistent") as error,
        millrace.accelerated(strict=True),
    ):
        permutation_importance(fitted, X, Y[:-1])
    assert str(error.value) == str(expected.value)


def test_predictions_keep_their_own_doors_where_the_function_has_none(always: None) -> None:
    fitted = HistGradientBoostingRegressor(max_iter=3).fit(X, Y)
    expected, answer, ran = _both(fitted, X, Y, random_state=0)
    np.testing.assert_allclose(
        answer["importances"], expected["importances"], rtol=1e-9, atol=1e-12
    )
    assert set(ran) == {Ran.MILLRACE}


def test_keys_are_in_the_order_of_the_values() -> None:
    values = np.array([-np.inf, -3.5, -1e-45, -0.0, 0.0, 1e-45, 2.0, np.inf], np.float32)
    keys = keys_of(values)
    assert keys[3] == keys[4]
    np.testing.assert_array_equal(np.sign(np.diff(keys)), np.sign(np.diff(values)))
