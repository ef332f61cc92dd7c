"""A compiled model inside scikit-learn: steps, scores, inspection, copies, frames, processes."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import tracemalloc
from functools import cache, partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import polars as pl
import polars.testing
import pyarrow as pa
import pytest
import scipy.sparse as sp
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    cross_val_predict,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import (
    LabelBinarizer,
    MaxAbsScaler,
    MinMaxScaler,
    MultiLabelBinarizer,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
)
from sklearn.utils.validation import check_is_fitted

import millrace as mr
from millrace.errors import MethodMissingError, ShapeError
from tests.conformance.compare import difference
from tests.runtime.models import boosted, matrix, model, ordinals, outcomes, people, pipeline
from tests.runtime.test_concurrency import together

NUMBERS = ["age", "hours"]


def filled(n_rows: int = 120) -> pd.DataFrame:
    frame = people(n_rows)
    return frame.assign(age=frame.age.fillna(40.0), work=frame.work.fillna("own"))


@cache
def columns() -> Any:
    """A transformer whose answer is a frame of numbers."""
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    words = OneHotEncoder(sparse_output=False)
    return make_column_transformer((numbers, NUMBERS), (words, ["work"])).fit(filled())


@cache
def regressor() -> Any:
    frame = filled()
    return make_pipeline(StandardScaler(), Ridge()).fit(frame[NUMBERS], frame.age * 2 - frame.hours)


# -- in scikit-learn -------------------------------------------------------------------------------
def test_scores() -> None:
    frame, y = people(120), outcomes(people(120))
    for scoring in (None, "accuracy", "roc_auc", "neg_log_loss"):
        expected = cross_val_score(_Frozen(pipeline()), frame, y, scoring=scoring, cv=3)
        got = cross_val_score(model(pipeline), frame, y, scoring=scoring, cv=3)
        assert np.array_equal(expected, got)
    weight = np.arange(120.0)
    assert model(pipeline).score(frame, y, weight) == pipeline().score(frame, y, weight)
    X, z = filled()[NUMBERS], filled().age
    assert model(regressor).score(X, z) == pytest.approx(regressor().score(X, z), rel=1e-12)
    predicted = cross_val_predict(model(pipeline), frame, y, method="predict_proba", cv=3)
    assert not difference(pipeline().predict_proba(frame), predicted)


def _Frozen(source: Any) -> Any:
    from sklearn.frozen import FrozenEstimator

    return FrozenEstimator(source)


def test_a_search_is_scored_as_it_was_told() -> None:
    X, y = matrix(80)[:, :2], np.arange(80) % 2
    X = np.nan_to_num(X)
    source = GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}, scoring="roc_auc", cv=2).fit(X, y)
    assert mr.compile(source).score(X, y) == source.score(X, y)


def test_inspection() -> None:
    frame, y = people(80), outcomes(people(80))
    options = {"random_state": 0, "n_repeats": 2}
    expected = permutation_importance(pipeline(), frame, y, **options).importances
    assert np.array_equal(
        expected, permutation_importance(model(pipeline), frame, y, **options).importances
    )
    X = filled(80)[NUMBERS]
    expected = partial_dependence(regressor(), X, ["age"], grid_resolution=5)
    got = partial_dependence(model(regressor), X, ["age"], grid_resolution=5)
    assert np.allclose(expected["average"], got["average"], rtol=1e-12)


def test_a_step_of_a_pipeline() -> None:
    frame, y = filled(), outcomes(filled())
    expected = make_pipeline(clone(columns()), LogisticRegression()).fit(frame, y)
    got = make_pipeline(model(columns), LogisticRegression()).fit(frame, y)
    assert np.array_equal(expected.predict_proba(frame), got.predict_proba(frame))
    assert "CompiledModel" in repr(got)
    assert got._repr_html_()
    last = make_pipeline("passthrough", model(pipeline))
    assert not difference(pipeline().predict_proba(frame), last.fit(frame, y).predict_proba(frame))
    both = make_union(model(columns), model(ordinals)).fit_transform(frame)
    assert not difference(
        np.hstack([columns().transform(frame), ordinals().transform(frame)]), both
    )


def test_inside_other_estimators() -> None:
    X, y = np.nan_to_num(matrix(60)), boosted().predict(np.nan_to_num(matrix(60))) > 0
    fitted = LogisticRegression().fit(X, y)
    for make in (
        lambda inner: VotingClassifier([("a", inner)], voting="soft"),
        lambda inner: StackingClassifier([("a", inner)], cv="prefit"),
        lambda inner: FixedThresholdClassifier(inner, threshold=0.3),
    ):
        expected = make(_Frozen(fitted)).fit(X, y).predict(X)
        assert np.array_equal(expected, make(mr.compile(fitted)).fit(X, y).predict(X))


def test_what_scikit_learn_asks() -> None:
    check_is_fitted(model(pipeline))
    assert is_classifier(model(pipeline))
    assert is_regressor(model(regressor))
    assert not is_classifier(model(ordinals))
    assert clone(model(pipeline)) is model(pipeline)
    assert model(pipeline).get_params() == {}
    assert model(pipeline).fit(None, None) is model(pipeline)
    assert not difference(
        columns().transform(filled()), model(columns).fit_transform(filled(), None)
    )
    assert not hasattr(model(pipeline), "fit_transform")
    with pytest.raises(MethodMissingError, match="parameter C"):
        model(pipeline).set_params(C=1)
    with pytest.raises(MethodMissingError, match="score"):
        model(ordinals).score(filled(), outcomes(filled()))


# -- copies ----------------------------------------------------------------------------------------
def through_a_file(compiled: mr.CompiledModel, path: Path) -> mr.CompiledModel:
    joblib.dump(compiled, path / "model.joblib")
    return joblib.load(path / "model.joblib")


@pytest.mark.parametrize("loaded", [False, True])
def test_copies_answer_alike(loaded: bool, tmp_path: Path) -> None:
    compiled = model(pipeline)
    if loaded:
        compiled = mr.load(compiled.save(tmp_path / "model.mill"))
    frame = people(40)
    expected = compiled.predict_proba(frame)  # prepares what a copy must not need
    copies = [
        pickle.loads(pickle.dumps(compiled)),
        copy.deepcopy(compiled),
        copy.copy(compiled),
        through_a_file(compiled, tmp_path),
    ]
    for other in copies:
        assert not difference(expected, other.predict_proba(frame))
        assert not difference(expected[3], other.predict_proba_one(frame.iloc[3].to_dict()))


def test_methods_and_row_functions_pickle() -> None:
    frame = people(20)
    function = model(pipeline).row_function("predict_proba")
    row = frame.iloc[2].to_dict()
    expected = function(row)
    assert not difference(expected, pickle.loads(pickle.dumps(function))(row))
    method = pickle.loads(pickle.dumps(model(pipeline).predict))
    assert not difference(pipeline().predict(frame), method(X=frame))
    assert method.__name__ == "predict"


# -- processes and threads -------------------------------------------------------------------------
@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_joblib(backend: str) -> None:
    frame = people(60)
    expected = model(pipeline).predict_proba(frame)
    task = joblib.delayed(model(pipeline).predict_proba)
    for got in joblib.Parallel(2, backend=backend)(task(frame) for _ in range(4)):
        assert not difference(expected, got)


def _sparse_and_texts() -> list[tuple[mr.CompiledModel, str, Any]]:
    """Models whose first calls prepare more than one program, with rows for them."""
    rows = sp.random(400, 30, density=0.2, format="csr", random_state=0)
    y = np.arange(400) % 2
    linear = make_pipeline(MaxAbsScaler(), LogisticRegression()).fit(rows, y)
    documents = [f"word{i % 7} word{i % 5} mill" for i in range(400)]
    words = make_pipeline(CountVectorizer(), LogisticRegression()).fit(documents, y)
    return [
        (mr.compile(linear, verify=False), "predict_proba", rows),
        (mr.compile(words, verify=False), "predict_proba", documents),
        (mr.compile(pipeline(), verify=False), "predict_proba", people(400)),
    ]


def test_eight_threads_at_once() -> None:
    for compiled, method, rows in _sparse_and_texts():
        ask = partial(getattr(compiled, method), rows)
        answers = together([ask] * 8)
        assert all(not difference(ask(), got) for got in answers)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process")
def test_after_a_fork() -> None:
    prepared = _sparse_and_texts()
    expected = [getattr(compiled, method)(rows) for compiled, method, rows in prepared]
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def child() -> None:
        answers = [getattr(compiled, method)(rows) for compiled, method, rows in prepared]
        sender.send([not difference(e, a) for e, a in zip(expected, answers, strict=True)])

    process = context.Process(target=child)
    process.start()
    assert receiver.poll(60)
    assert receiver.recv() == [True, True, True]
    process.join(60)


# -- frames ----------------------------------------------------------------------------------------
TRANSFORMERS = {
    "scaler": StandardScaler(),
    "projection": PCA(2),
    "pipeline": make_pipeline(SimpleImputer(), MinMaxScaler()),
    "columns": make_column_transformer(
        (StandardScaler(), ["a", "b"]), ("passthrough", ["c"]), verbose_feature_names_out=False
    ),
    "union": make_union(MaxAbsScaler(), StandardScaler()),
    "one-hot": OneHotEncoder(sparse_output=False, handle_unknown="ignore"),
}


@pytest.mark.parametrize("container", ["pandas", "polars"])
@pytest.mark.parametrize("name", TRANSFORMERS)
def test_set_output(name: str, container: str, tmp_path: Path) -> None:
    frame = pd.DataFrame(
        np.nan_to_num(matrix(12))[:, :3].round(), columns=list("abc"), index=range(7, 19)
    )
    source = copy.deepcopy(TRANSFORMERS[name]).set_output(transform=container).fit(frame)
    compiled = mr.compile(source)
    loaded = mr.load(compiled.save(tmp_path / "model.mill"))
    check = {
        "pandas": pd.testing.assert_frame_equal,
        "polars": polars.testing.assert_frame_equal,
    }[container]
    for made in (compiled, loaded):
        for rows in (frame, frame[:1], pl.from_pandas(frame), frame.astype(int)):
            check(source.transform(rows), made.transform(rows))
        reader = pa.Table.from_pandas(frame, preserve_index=False).to_reader()
        assert made.transform(reader).shape == source.transform(frame).shape
        assert made.transform(frame[:0]).shape == (0, source.transform(frame).shape[1])


def test_set_output_on_the_compiled_model() -> None:
    frame = filled()
    compiled = mr.compile(columns())
    expected = columns().transform(frame)
    framed = compiled.set_output(transform="pandas").transform(frame)
    assert list(framed.columns) == list(columns().get_feature_names_out())
    assert np.array_equal(framed.to_numpy(), expected)
    assert np.array_equal(compiled.set_output(transform="default").transform(frame), expected)
    with pytest.raises(ValueError, match="transform must be one of"):
        compiled.set_output(transform="arrow")


# -- the way back ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "source",
    [
        StandardScaler(),
        MinMaxScaler(),
        PCA(2),
        make_pipeline(StandardScaler(), PCA(2)),
    ],
    ids=["standard", "range", "projection", "pipeline"],
)
def test_inverse_transform(source: Any, tmp_path: Path) -> None:
    X = np.nan_to_num(matrix(40))
    compiled = mr.compile(source.fit(X))
    loaded = mr.load(compiled.save(tmp_path / "model.mill"))
    rows = source.transform(X)
    for made in (compiled, loaded):
        for form in (np.asarray, pd.DataFrame, np.ndarray.tolist):
            expected = source.inverse_transform(form(rows))
            assert not difference(expected, made.inverse_transform(form(rows)), 64, 1e-14)
        with pytest.raises(ShapeError):
            made.inverse_transform(np.ones((2, 9)))


def test_inverse_transform_gives_words_back(tmp_path: Path) -> None:
    words = filled()[["work"]]
    for source in (OrdinalEncoder(), OneHotEncoder(sparse_output=False)):
        compiled = mr.compile(source.fit(words))
        loaded = mr.load(compiled.save(tmp_path / "model.mill"))
        for made in (compiled, loaded):
            assert np.array_equal(made.inverse_transform(source.transform(words)), words.to_numpy())


def test_an_inverse_that_only_the_source_has(tmp_path: Path) -> None:
    """It is called as it is, so its answer has the form that it has there."""
    texts = ["a bb cc", "bb dd"]
    counted = CountVectorizer(token_pattern=r"\w+").fit(texts)
    rows = counted.transform(texts)
    compiled = mr.compile(counted)
    expected = counted.inverse_transform(rows)
    got = compiled.inverse_transform(rows)
    assert isinstance(got, list)
    assert [w.tolist() for w in got] == [w.tolist() for w in expected]
    labels = MultiLabelBinarizer().fit([["a", "b"], ["c"]])
    flags = labels.transform([["a", "c"], []])
    assert mr.compile(labels).inverse_transform(flags) == labels.inverse_transform(flags)
    binary = LabelBinarizer().fit(["no", "yes"])
    flags = binary.transform(["yes", "no"])
    assert np.array_equal(mr.compile(binary).inverse_transform(flags), ["yes", "no"])
    with pytest.raises(MethodMissingError, match="inverse_transform"):
        mr.load(compiled.save(tmp_path / "model.mill")).inverse_transform(rows)


def test_no_inverse() -> None:
    assert not hasattr(model(pipeline), "inverse_transform")
    assert not hasattr(model(ordinals), "inverse_transform")


# -- large files -----------------------------------------------------------------------------------
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_mapped_array_is_not_copied(order: Any, tmp_path: Path) -> None:
    shape = (200_000, 4)
    mapped = np.memmap(tmp_path / "rows", dtype=float, mode="w+", shape=shape, order=order)
    mapped[:] = np.arange(4.0)
    mapped.flush()
    rows = np.memmap(tmp_path / "rows", dtype=float, mode="r", shape=shape, order=order)
    model(boosted).predict(rows[:100])
    tracemalloc.start()
    answer = model(boosted).predict(rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(answer, np.repeat(boosted().predict(rows[:1]), shape[0]))
    assert peak < rows.nbytes / 2 + answer.nbytes * 2
