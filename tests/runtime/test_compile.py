"""What cannot be compiled says so by name; what can only be called is called, and described."""

from __future__ import annotations

from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, PowerTransformer, StandardScaler

import millrace as mr
from millrace.errors import MillraceError, UnfittedModelError, UnsupportedModelError
from tests.conformance.compare import difference
from tests.runtime.models import matrix, outcomes, people

UNFITTED = {
    "StandardScaler": StandardScaler,
    "RandomForestClassifier": RandomForestClassifier,
    "HistGradientBoostingClassifier": HistGradientBoostingClassifier,
    "LGBMClassifier": lgb.LGBMClassifier,
    "Pipeline": lambda: make_pipeline(StandardScaler(), LogisticRegression()),
    "ColumnTransformer": lambda: make_column_transformer((StandardScaler(), [0])),
}


@pytest.mark.parametrize("name", UNFITTED)
def test_unfitted(name: str) -> None:
    with pytest.raises(UnfittedModelError, match=rf"{name}.* is not fitted.*fit\(X, y\)"):
        mr.compile(UNFITTED[name]())


def test_a_step_that_is_not_fitted_is_named() -> None:
    fitted = make_pipeline(StandardScaler(), LogisticRegression()).fit(np.eye(4), [0, 1, 0, 1])
    fitted.steps[1] = ("logisticregression", LogisticRegression())
    with pytest.raises(UnfittedModelError, match="Pipeline is not fitted"):  # by its last step
        mr.compile(fitted)
    fitted.steps = [
        ("first", StandardScaler()),
        ("second", LogisticRegression().fit(np.eye(2), [0, 1])),
    ]
    with pytest.raises(UnfittedModelError, match=r"StandardScaler.* is not fitted"):
        mr.compile(fitted)


@pytest.mark.parametrize(
    "thing",
    [None, 7, "model", [1, 2], object(), RandomForestClassifier, np.eye(2)],
    ids=lambda t: type(t).__name__,
)
def test_what_is_no_model(thing: Any) -> None:
    with pytest.raises(MillraceError):
        mr.compile(thing)


class Mute(BaseEstimator):
    """Passes for fitted, and can do nothing."""

    n_features_in_ = 2

    def fit(self, X: Any, y: Any = None) -> Mute:
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True


class Doubler(TransformerMixin, BaseEstimator):
    """A transformer of the user's own."""

    def fit(self, X: Any, y: Any = None) -> Doubler:
        self.n_features_in_ = np.shape(X)[1]
        return self

    def transform(self, X: Any) -> np.ndarray:
        return np.asarray(X, dtype=float) * 2


class WordLengths(TransformerMixin, BaseEstimator):
    """A transformer of text."""

    def fit(self, X: Any, y: Any = None) -> WordLengths:
        self.n_features_in_ = np.shape(X)[1]
        return self

    def transform(self, X: Any) -> np.ndarray:
        return np.array([[len(cell) for cell in row] for row in np.asarray(X)], dtype=float)


def test_a_class_that_can_neither_be_converted_nor_called() -> None:
    with pytest.raises(UnsupportedModelError, match=r"Mute.*no converter.*neither a predict nor"):
        mr.compile(Mute())
    inside = Pipeline([("scale", StandardScaler()), ("mute", Mute())])
    inside.steps[0][1].fit(np.eye(2))
    with pytest.raises(UnsupportedModelError, match="at step 'mute'"):
        mr.compile(inside)


def test_a_class_of_the_users_own_is_called() -> None:
    X = np.nan_to_num(matrix(80))
    fitted = make_pipeline(Doubler(), RandomForestClassifier(5, random_state=0)).fit(X, X[:, 0] > 0)
    model = mr.compile(fitted)
    assert not difference(fitted.predict_proba(X), model.predict_proba(X))
    described = model.describe()
    assert not described.fully_native
    status = {path: (status, reason) for path, _, status, reason in described.steps}
    assert status["doubler"] == ("falls back", "no converter for this class")
    assert status["randomforestclassifier"] == ("native", "")
    assert "Doubler" in str(described)
    assert "falls back because no converter for this class" in str(described)


def test_an_option_that_has_no_native_form_is_called() -> None:
    X = np.abs(np.nan_to_num(matrix(80)))
    fitted = FunctionTransformer(lambda x: x + 1).fit(X)
    model = mr.compile(fitted)
    assert not difference(fitted.transform(X), model.transform(X))
    ((_, name, status, reason),) = model.describe().steps
    assert name == "sklearn.preprocessing.FunctionTransformer"
    assert status == "falls back"
    assert reason


def test_a_subclass_that_overrides_a_method_is_called() -> None:
    class Shouting(StandardScaler):
        def transform(self, X: Any, copy: bool | None = None) -> Any:
            return super().transform(X) * 100

    X = np.nan_to_num(matrix(40))
    fitted = Shouting().fit(X)
    model = mr.compile(fitted)
    assert model.describe().steps[0][2] == "falls back"
    assert not difference(fitted.transform(X), model.transform(X))


def test_a_step_that_is_called_with_text() -> None:
    """It cannot be asked with made-up rows alone: real ones are the `sample`."""
    frame = people(120).dropna().reset_index(drop=True)
    columns = make_column_transformer((WordLengths(), ["work"]), (StandardScaler(), ["hours"]))
    fitted = make_pipeline(columns, LogisticRegression()).fit(frame, outcomes(frame))
    model = mr.compile(fitted, sample=frame[:40])
    assert model.info.verification["differences"] == []
    assert not difference(fitted.predict(frame), model.predict(frame))
    for sample in (frame[:40], frame[:40].to_dict("records")):
        assert mr.compile(fitted, sample=sample, verify=False).predict(frame[:3]).shape == (3,)


class ThirdColumnOnly(TransformerMixin, BaseEstimator):
    """Refuses any row that it does not expect."""

    def fit(self, X: Any, y: Any = None) -> ThirdColumnOnly:
        self.n_features_in_ = np.shape(X)[1]
        return self

    def transform(self, X: Any) -> np.ndarray:
        if not (np.asarray(X) > 10).all():
            raise ValueError("too small")
        return np.asarray(X) - 10


def test_a_step_that_refuses_made_up_rows_asks_for_a_sample() -> None:
    X = np.abs(np.nan_to_num(matrix(30))) + 11
    fitted = make_pipeline(ThirdColumnOnly(), StandardScaler()).fit(X)
    with pytest.raises(UnsupportedModelError, match=r"thirdcolumnonly.*sample=X"):
        mr.compile(fitted)
    model = mr.compile(fitted, sample=X, verify=False)
    assert not difference(fitted.transform(X), model.transform(X))


def test_the_sample_is_verified() -> None:
    X = np.nan_to_num(matrix(60))
    fitted = make_pipeline(PowerTransformer(), LogisticRegression()).fit(X, X[:, 0] > 0)
    model = mr.compile(fitted, sample=X)
    assert model.info.verification["rows"]["sample"] == 60
    assert "verified" in str(model.describe())
    assert mr.compile(fitted, verify=False).info.verification is None


def test_compiling_changes_nothing_in_the_source() -> None:
    import pickle

    frame = people(60)
    fitted = make_pipeline(
        make_column_transformer((StandardScaler(), ["hours"])), LogisticRegression()
    ).fit(frame, outcomes(frame))
    before = pickle.dumps(fitted)
    mr.compile(fitted, sample=frame)
    assert pickle.dumps(fitted) == before


def test_attributes_are_those_of_the_source() -> None:
    frame = people(60)
    fitted = make_pipeline(
        make_column_transformer((StandardScaler(), ["hours"]), verbose_feature_names_out=False),
        LogisticRegression(),
    ).fit(frame, outcomes(frame))
    model = mr.compile(fitted, verify=False)
    assert model.n_features_in_ == fitted.n_features_in_
    assert model.feature_names_in_.tolist() == fitted.feature_names_in_.tolist()
    assert model.classes_.tolist() == fitted.classes_.tolist()
    assert model.used_columns == ("hours",)
    columns = mr.compile(fitted[0], verify=False)
    assert columns.get_feature_names_out().tolist() == fitted[0].get_feature_names_out().tolist()
    assert isinstance(pd.DataFrame(columns.transform(frame)), pd.DataFrame)
