"""Searches and cross-validation through their doors, against scikit-learn's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import Ridge, RidgeClassifier
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    RandomizedSearchCV,
    ShuffleSplit,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

import millrace
from millrace.accel.records import Ran

RNG = np.random.default_rng(0)
X = RNG.normal(size=(150, 4))
Y = X @ [1.0, 2.0, 0.0, -1.0] + RNG.normal(size=150)
CLASS = np.where(Y > 0, "up", "down")
TIMES = ("fit_time", "score_time")


def pipeline() -> Pipeline:
    return make_pipeline(StandardScaler(), Ridge())


def same_results(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert list(ours) == list(theirs)
    for name, value in theirs.items():
        if not any(t in name for t in TIMES) and np.asarray(value).dtype.kind == "f":
            np.testing.assert_allclose(ours[name], value, rtol=1e-9, atol=1e-12, err_msg=name)
        elif "estimator" not in name and not any(t in name for t in TIMES):
            np.testing.assert_array_equal(ours[name], value, err_msg=name)


SEARCHES = {
    "grid": lambda: GridSearchCV(pipeline(), {"ridge__alpha": [0.1, 10.0]}, cv=3),
    "lists": lambda: GridSearchCV(
        pipeline(),
        [{"ridge__alpha": [0.1]}, {"standardscaler__with_mean": [False], "ridge__alpha": [1.0]}],
        cv=KFold(4, shuffle=True, random_state=0),
        return_train_score=True,
    ),
    "scorers": lambda: GridSearchCV(
        Ridge(),
        {"alpha": [0.1, 1.0]},
        scoring=["r2", "neg_mean_absolute_error"],
        refit="r2",
    ),
    "random": lambda: RandomizedSearchCV(
        pipeline(), {"ridge__alpha": np.logspace(-2, 2, 20)}, n_iter=4, random_state=3
    ),
    "no refit": lambda: GridSearchCV(pipeline(), {"ridge__alpha": [0.1, 1.0]}, refit=False),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_is_filled_as_by_scikit_learn(always: None, name: str) -> None:
    theirs = SEARCHES[name]().fit(X, Y)
    with millrace.accelerated():
        ours = SEARCHES[name]().fit(X, Y)
    assert [(k.estimator, k.ran) for k, _ in millrace.report().lines] == [
        (type(ours).__name__, Ran.MILLRACE)
    ]
    assert vars(ours).keys() == vars(theirs).keys()
    same_results(ours.cv_results_, theirs.cv_results_)
    for attribute in ("best_params_", "best_index_", "n_splits_", "multimetric_"):
        assert getattr(ours, attribute) == getattr(theirs, attribute)
    if ours.refit:
        np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-9)


def test_strata_are_those_of_scikit_learn(always: None) -> None:
    theirs = cross_val_score(RidgeClassifier(), X, CLASS, cv=4)
    with millrace.accelerated():
        ours = cross_val_score(RidgeClassifier(), X, CLASS, cv=4)
    assert millrace.report().lines[0][0].ran is Ran.MILLRACE
    np.testing.assert_array_equal(ours, theirs)


def test_cross_validate_returns_what_scikit_learn_does(always: None) -> None:
    asked: dict[str, Any] = {
        "cv": 5,
        "scoring": ["r2", "neg_max_error"],
        "return_train_score": True,
        "return_estimator": True,
    }
    theirs = cross_validate(pipeline(), X, Y, **asked)
    with millrace.accelerated():
        ours = cross_validate(pipeline(), X, Y, **asked)
    assert millrace.report().lines[0][0].ran is Ran.MILLRACE
    same_results(ours, theirs)
    for one, other in zip(ours["estimator"], theirs["estimator"], strict=True):
        np.testing.assert_allclose(one[-1].coef_, other[-1].coef_, rtol=1e-8)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: GridSearchCV(Ridge(), {"alpha": [1.0]}, cv=ShuffleSplit(5)), "share out the rows"),
        (lambda: GridSearchCV(Ridge(), {"alpha": [1.0]}, verbose=1), "prints its progress"),
        (
            lambda: GridSearchCV(Ridge(), {"alpha": [1.0]}, refit=lambda _: 0),
            "`refit` is a function",
        ),
        (
            lambda: RandomizedSearchCV(Ridge(), {"alpha": [1.0, 2.0]}, n_iter=2),
            "shared random state",
        ),
    ],
)
def test_what_cannot_be_shared_says_why(always: None, make: Any, reason: str) -> None:
    with millrace.accelerated():
        found = make().fit(X, Y)
    assert hasattr(found, "cv_results_")
    reasons = [k.reason for k, _ in millrace.report().lines if k.estimator == type(found).__name__]
    assert reason in reasons[0]


def test_a_mistake_is_scikit_learns_own(always: None) -> None:
    with pytest.raises(ValueError, match="alfa") as theirs:
        GridSearchCV(Ridge(), {"alfa": [1.0]}).fit(X, Y)
    with millrace.accelerated(), pytest.raises(ValueError, match="alfa") as ours:
        GridSearchCV(Ridge(), {"alfa": [1.0]}).fit(X, Y)
    assert str(ours.value) == str(theirs.value)
