"""Libraries whose calls end in scikit-learn profit without knowing."""

from __future__ import annotations

import warnings

import numpy as np
from imblearn.over_sampling import RandomOverSampler
from imblearn.pipeline import make_pipeline
from mlxtend.classifier import StackingCVClassifier
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, RidgeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import StandardScaler

import millrace
from millrace.accel.records import Ran

X, Y = make_classification(300, 6, weights=[0.8], random_state=0)


def in_millrace() -> set[tuple[str, str]]:
    return {(k.estimator, k.method) for k, _ in millrace.report().lines if k.ran is Ran.MILLRACE}


def test_a_pipeline_of_imbalanced_learn(always: None) -> None:
    def answers() -> np.ndarray:
        model = make_pipeline(
            StandardScaler(), RandomOverSampler(random_state=0), RidgeClassifier()
        )
        return model.fit(X, Y).predict(X)

    theirs = answers()
    with millrace.accelerated():
        ours = answers()
    np.testing.assert_array_equal(ours, theirs)
    assert {("StandardScaler", "fit"), ("RidgeClassifier", "fit")} <= in_millrace()


def test_stacking_of_mlxtend(always: None) -> None:
    def answers() -> np.ndarray:
        model = StackingCVClassifier(
            [RandomForestClassifier(10, random_state=1), GaussianNB()],
            RidgeClassifier(),
            cv=3,
            random_state=0,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it passes deprecated arguments to scikit-learn
            return model.fit(X, Y).predict(X)

    theirs = answers()
    with millrace.accelerated():
        ours = answers()
    np.testing.assert_array_equal(ours, theirs)
    assert {("RandomForestClassifier", "predict"), ("GaussianNB", "fit")} <= in_millrace()


def test_a_user_estimator_that_holds_one_of_scikit_learn(always: None) -> None:
    class Twice:
        def __init__(self) -> None:
            self.inner = LinearRegression()

        def fit(self, X: np.ndarray, y: np.ndarray) -> Twice:
            self.inner.fit(X, 2 * y)
            return self

    with millrace.accelerated():
        Twice().fit(X, Y)
    assert in_millrace() == {("LinearRegression", "fit")}
