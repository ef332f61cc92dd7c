"""A change of a fitted object that scikit-learn would honour is noticed; reading it is no change."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    VotingRegressor,
)
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, SplineTransformer, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeRegressor

from millrace.accel.calls import NotHere
from millrace.accel.watch import Watch

_RNG = np.random.default_rng(5)
X = _RNG.normal(size=(80, 4))
Y = (X[:, 0] + X[:, 1] ** 2 > 0.5).astype(int)


def _forest() -> RandomForestClassifier:
    return RandomForestClassifier(4, max_depth=3, random_state=0).fit(X, Y)


def _pipeline() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)


def _histograms() -> HistGradientBoostingRegressor:
    return HistGradientBoostingRegressor(max_iter=3).fit(X, Y)


FITTED: dict[str, Callable[[], Any]] = {
    "linear": lambda: LinearRegression().fit(X, Y),
    "pipeline": _pipeline,
    "forest": _forest,
    "boosting": lambda: GradientBoostingClassifier(n_estimators=3).fit(X, Y),
    "histograms": _histograms,
    "splines": lambda: SplineTransformer().fit(X),
    "neighbors": lambda: KNeighborsClassifier(algorithm="kd_tree").fit(X, Y),
    "svm": lambda: SVC().fit(X, Y),
    "search": lambda: GridSearchCV(Ridge(), {"alpha": [1.0, 2.0]}, cv=2).fit(X, Y),
    "columns": lambda: ColumnTransformer([("a", OneHotEncoder(), [0]), ("b", "passthrough", [1])]).fit(
        np.round(X)
    ),
    "words": lambda: CountVectorizer().fit(["one two", "three"]),
}  # fmt: skip


@pytest.mark.parametrize("name", FITTED)
def test_reading_an_object_is_no_change(name: str) -> None:
    fitted = FITTED[name]()
    rows = ["two"] if name == "words" else np.round(X) if name == "columns" else X
    answer = fitted.predict if hasattr(fitted, "predict") else fitted.transform
    answer(rows)  # a spline is set up by its first call
    watch = Watch(fitted)
    answer(rows)
    for look in (pickle.dumps, copy.deepcopy, clone, repr, dir):
        look(fitted)
    assert watch.holds(fitted)


@pytest.mark.parametrize("name", FITTED)
def test_a_refit_is_a_change(name: str) -> None:
    fitted = FITTED[name]()
    watch = Watch(fitted)
    if name == "words":
        fitted.fit(["one two", "three"])
    else:
        fitted.fit(np.round(X) if name == "columns" else X, Y)
    assert not watch.holds(fitted)


def _assign(target: Any, at: Any, value: Any) -> None:
    target[at] = value


CHANGES: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "attribute": (FITTED["linear"], lambda m: setattr(m, "intercept_", 3.0)),
    "the same value in another array": (
        FITTED["linear"], lambda m: setattr(m, "coef_", m.coef_.copy()),
    ),
    "new attribute": (FITTED["linear"], lambda m: setattr(m, "other", 1)),
    "attribute gone": (FITTED["linear"], lambda m: delattr(m, "coef_")),
    "attribute renamed": (
        FITTED["linear"], lambda m: (setattr(m, "b", m.intercept_), delattr(m, "intercept_")),
    ),
    "other dict": (FITTED["linear"], lambda m: setattr(m, "__dict__", dict(vars(m)))),
    "other class": (FITTED["linear"], lambda m: setattr(m, "__class__", Ridge)),
    "parameter": (FITTED["linear"], lambda m: m.set_params(positive=True)),
    "parameter of a step": (_pipeline, lambda m: m.set_params(standardscaler__with_mean=False)),
    "output of a step": (_pipeline, lambda m: m[0].set_output(transform="pandas")),
    "one coefficient": (FITTED["linear"], lambda m: _assign(m.coef_, 0, 9.0)),
    "sign of all coefficients": (FITTED["linear"], lambda m: _assign(m.coef_, ..., -m.coef_)),
    "order of coefficients": (FITTED["linear"], lambda m: _assign(m.coef_, ..., m.coef_[::-1].copy())),
    "form of an array": (FITTED["linear"], lambda m: m.coef_.resize((2, 2), refcheck=False)),
    "coefficient of a step": (_pipeline, lambda m: _assign(m[-1].coef_, (0, 1), 2.0)),
    "step": (_pipeline, lambda m: _assign(m.steps, 0, ("s", "passthrough"))),
    "step removed": (_pipeline, lambda m: m.steps.pop(0)),
    "threshold": (_forest, lambda m: _assign(m.estimators_[2].tree_.threshold, 0, 0.123)),
    "leaf": (_forest, lambda m: _assign(m.estimators_[3].tree_.value, (-1, 0, 0), 0.5)),
    "child": (_forest, lambda m: _assign(m.estimators_[3].tree_.children_left, 0, 2)),
    "tree": (_forest, lambda m: _assign(m.estimators_, 1, m.estimators_[0])),
    "trees reversed": (_forest, lambda m: m.estimators_.reverse()),
    "one tree": (
        FITTED["boosting"],
        lambda m: _assign(m.estimators_, (1, 0), DecisionTreeRegressor(max_depth=1).fit(X, X[:, 0])),
    ),
    "leaf of boosting": (
        FITTED["boosting"], lambda m: _assign(m.estimators_[0, 0].tree_.value, (0, 0, 0), 7.0),
    ),
    "node": (_histograms, lambda m: _assign(m._predictors[1][0].nodes["value"], 1, 4.0)),
    "bin": (_histograms, lambda m: _assign(m._bin_mapper.bin_thresholds_[0], 0, 4.0)),
    "spline": (FITTED["splines"], lambda m: _assign(m.bsplines_[0].c, (0, 0), 0.5)),
    "neighbor": (FITTED["neighbors"], lambda m: _assign(m._fit_X, (0, 0), 0.5)),
    "point of a tree": (
        FITTED["neighbors"], lambda m: _assign(np.asarray(m._tree.data), (3, 1), 0.5),
    ),
    "vector": (FITTED["svm"], lambda m: _assign(m._dual_coef_, (0, 0), 0.5)),
    "best": (FITTED["search"], lambda m: _assign(m.best_estimator_.coef_, 0, 0.5)),
    "category": (
        FITTED["columns"], lambda m: _assign(m.named_transformers_["a"].categories_[0], 0, -9.0),
    ),
    "word": (FITTED["words"], lambda m: _assign(m.vocabulary_, "four", 3)),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_an_edit_is_noticed(name: str) -> None:
    make, change = CHANGES[name]
    fitted = make()
    watch = Watch(fitted)
    assert watch.holds(fitted)
    change(fitted)
    assert not watch.holds(fitted)


def test_every_bit_counts() -> None:
    """Signs of pairs of coefficients, wherever they stand: the digest mixes them apart."""
    fitted = LinearRegression().fit(X, Y)
    fitted.coef_ = _RNG.normal(size=131)
    watch = Watch(fitted)
    for other in range(1, 131):
        fitted.coef_[[0, other]] *= -1
        assert not watch.holds(fitted)
        fitted.coef_[[0, other]] *= -1
    assert watch.holds(fitted)


class _Foreign:
    """An object of a user's own."""


@pytest.mark.parametrize(
    "value",
    [_Foreign(), bytearray(b"a"), [_Foreign()], np.array([_Foreign()]), {"a": memoryview(b"a")}],
    ids=["object", "bytearray", "in a list", "in an array", "in a dict"],
)
def test_what_may_change_unseen_cannot_be_watched(value: Any) -> None:
    fitted = LinearRegression().fit(X, Y)
    vars(fitted)["extra_"] = value
    with pytest.raises(NotHere, match="may change unseen"):
        Watch(fitted)


def test_an_object_with_a_method_of_its_own_cannot_be_watched() -> None:
    fitted = _pipeline()
    fitted[-1].predict = lambda X: X
    with pytest.raises(NotHere, match="predict of its own"):
        Watch(fitted)


def test_an_object_is_not_kept_alive() -> None:
    voting = VotingRegressor([("a", Ridge()), ("b", LinearRegression())]).fit(X, Y)
    before = dict(vars(voting))
    watch, alive = Watch(voting), weakref.ref(voting)
    assert vars(voting) == before
    assert watch.holds(voting)
    del voting
    gc.collect()
    assert alive() is None
