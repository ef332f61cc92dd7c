"""Answers through the door are scikit-learn's own, in every respect, and come when they pay."""

from __future__ import annotations

import copy
import gc
import pickle
import warnings
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

import millrace
from millrace.accel import answer_door, costs, kept
from millrace.accel.calls import originals
from millrace.accel.kept import Kept, Pace
from millrace.accel.records import RECORDS, Ran

_RNG = np.random.default_rng(11)
X = _RNG.normal(size=(90, 4))
Y = np.where(X[:, 0] + X[:, 1] ** 2 > 0.5, "yes", "no")
TWO = np.column_stack([X[:, 0], X[:, 1] * X[:, 2]])
FRAME = pd.DataFrame(X, columns=list("abcd"))
MIXED = FRAME.assign(e=np.where(X[:, 3] > 0, "left", "right"))


@pytest.fixture
def on(always: None) -> None:
    """Acceleration, whatever the size."""
    millrace.accelerate(strict=True)


def ran() -> list[Ran]:
    """Where the calls ran that are in the report, each place once."""
    return list(dict.fromkeys(key.ran for key, _ in RECORDS.lines()))


FITTED: dict[str, Callable[[], tuple[Any, Any]]] = {
    "LogisticRegression": lambda: (LogisticRegression().fit(X, Y), X),
    "LinearRegression two": lambda: (LinearRegression().fit(X, TWO), X),
    "GaussianNB": lambda: (GaussianNB().fit(X, Y), X),
    "Scaler": lambda: (StandardScaler().fit(X), X),
    "PCA": lambda: (PCA(2).fit(X), X),
    "Tree": lambda: (DecisionTreeClassifier(max_depth=4).fit(X, Y), X),
    "Forest": lambda: (RandomForestClassifier(5, random_state=0).fit(X, Y), X),
    "Forest two": lambda: (
        RandomForestClassifier(3, random_state=0).fit(X, np.column_stack([Y, Y == "no"])), X,
    ),
    "ExtraTrees": lambda: (ExtraTreesRegressor(5, random_state=0).fit(X, TWO), X),
    "Boosting": lambda: (GradientBoostingClassifier(n_estimators=5).fit(X, Y), X),
    "Histograms": lambda: (HistGradientBoostingClassifier(max_iter=5).fit(X, Y), X),
    "Pipeline": lambda: (
        make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()).fit(X, Y), X,
    ),
    "Frame": lambda: (Ridge().fit(FRAME, X[:, 0]), FRAME),
    "Mixed": lambda: (
        make_pipeline(
            make_column_transformer((OneHotEncoder(), ["e"]), (StandardScaler(), ["a", "b"])),
            LogisticRegression(),
        ).fit(MIXED, Y),
        MIXED,
    ),
}  # fmt: skip

KINDS: dict[str, Callable[[Any], Any]] = {
    "rows": lambda rows: rows,
    "one row": lambda rows: rows[:1],
    "columns": np.asfortranarray,
    "every other": lambda rows: rows[::2],
    "float32": lambda rows: rows.astype(np.float32),
    "float16": lambda rows: rows.astype(np.float16),
    "int": lambda rows: (9 * rows).astype(np.int64),
    "int8": lambda rows: (9 * rows).astype(np.int8),
    "bool": lambda rows: rows > 0,
    "object": lambda rows: rows.astype(object),
    "swapped": lambda rows: rows.astype(">f8"),
    "list": lambda rows: rows.tolist(),
    "readonly": lambda rows: np.frombuffer(rows.tobytes()).reshape(rows.shape),
}
"""Kinds of rows in which an array may come."""


def answers_of(fitted: Any, rows: Any) -> dict[str, Any]:
    return {m: getattr(fitted, m)(rows) for m in answer_door.METHODS if hasattr(fitted, m)}


def assert_same(a: Any, b: Any) -> None:
    """The same values, of the same type, in the same layout."""
    assert type(a) is type(b)
    if isinstance(a, list):
        for one, other in zip(a, b, strict=True):
            assert_same(one, other)
    elif isinstance(a, pd.DataFrame):
        pd.testing.assert_frame_equal(a, b)
    else:
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        if min(a.shape) > 1:
            assert a.flags.c_contiguous == b.flags.c_contiguous
            assert a.flags.f_contiguous == b.flags.f_contiguous
        assert a.flags.writeable == b.flags.writeable
        if a.dtype.kind == "f":  # the bounds that converters state
            np.testing.assert_allclose(a, b, rtol=1e-5 if a.dtype == np.float32 else 1e-12)
        else:
            np.testing.assert_array_equal(a, b)


def assert_as_original(fitted: Any, rows: Any) -> None:
    with originals():
        expected = answers_of(fitted, rows)
    for method, answer in answers_of(fitted, rows).items():
        assert_same(answer, expected[method])


@pytest.mark.parametrize("name", FITTED)
def test_answers_are_the_originals_and_come_from_millrace(on: None, name: str) -> None:
    fitted, rows = FITTED[name]()
    RECORDS.clear()
    for _ in range(2):
        assert_as_original(fitted, rows)
    assert ran() == [Ran.MILLRACE]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["LogisticRegression", "Scaler", "Forest", "Pipeline"])
def test_rows_of_every_kind_are_answered_as_by_the_original(on: None, name: str, kind: str) -> None:
    fitted, rows = FITTED[name]()
    given = KINDS[kind](rows)
    before = copy.deepcopy(given)
    for _ in range(2):
        assert_as_original(fitted, given)
    np.testing.assert_array_equal(given, before)


BAD: dict[str, Any] = {
    "no rows": X[:0],
    "too few columns": X[:, :3],
    "nan": np.where(X > 2, np.nan, X),
    "infinite": np.where(X > 2, np.inf, X),
    "one dimension": X[0],
    "text": X.astype(str).astype(object) + "a",
    "complex": X.astype(complex),
    "nothing": None,
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("name", ["LogisticRegression", "Boosting", "Pipeline"])
def test_bad_rows_raise_what_the_original_raises(on: None, name: str, bad: str) -> None:
    fitted, rows = FITTED[name]()
    fitted.predict(rows)
    answered: list[Any] = []
    for own in (True, False):
        try:
            with originals() if own else warnings.catch_warnings():
                answered.append(fitted.predict(BAD[bad]).tolist())
        except Exception as error:
            answered.append((type(error), str(error)))
    assert answered[0] == answered[1]


def test_names_that_do_not_fit_are_told_by_scikit_learn(on: None) -> None:
    named, unnamed = Ridge().fit(FRAME, X[:, 0]), Ridge().fit(X, X[:, 0])
    named.predict(FRAME)
    unnamed.predict(X)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        named.predict(X)
    with pytest.warns(UserWarning, match="X has feature names"):
        unnamed.predict(FRAME)
    with pytest.raises(ValueError, match="same order"):
        named.predict(FRAME[list("badc")])


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_the_container_that_was_chosen_is_returned(on: None, container: str) -> None:
    scaler = StandardScaler().fit(FRAME)
    assert_as_original(scaler, FRAME)
    with sklearn.config_context(transform_output=container):
        assert type(scaler.transform(FRAME)).__module__.startswith(container)
    scaler.set_output(transform=container)
    assert type(scaler.transform(FRAME)).__module__.startswith(container)
    scaler.set_output(transform="default")
    assert_as_original(scaler, FRAME)


def test_an_input_is_edited_where_the_original_edits_it(on: None) -> None:
    scaler = StandardScaler(copy=False).fit(X.copy())
    rows = X.copy()
    scaler.transform(rows)
    assert not np.array_equal(rows, X)


def test_each_answer_is_an_array_of_its_own(on: None) -> None:
    for fitted, rows in (FITTED["LogisticRegression"](), FITTED["Scaler"](), FITTED["Tree"]()):
        first = answers_of(fitted, rows)
        second = answers_of(fitted, rows)
        for method, answer in first.items():
            kept_before = answer.copy()
            second[method][:] = second[method][0]
            np.testing.assert_array_equal(answer, kept_before)
            assert not np.shares_memory(answer, rows)


EDITS: dict[str, Callable[[Any], Any]] = {
    "refit": lambda p: p.fit(-X, Y[::-1]),
    "refit of a step": lambda p: p[-1].fit(X, Y[::-1]),
    "coefficient": lambda p: np.negative(p[-1].coef_, out=p[-1].coef_),
    "attribute": lambda p: setattr(p[0], "mean_", p[0].mean_ + 1.0),
    "parameter": lambda p: p.set_params(standardscaler__with_mean=False),
    "class": lambda p: p[-1].classes_.__setitem__(0, "ja"),
    "step": lambda p: p.steps.pop(0),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_object_is_never_answered_from_before(on: None, name: str) -> None:
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(X + 1.0, Y)
    before = pipeline.decision_function(X)
    EDITS[name](pipeline)
    assert_as_original(pipeline, X)
    if name != "class":
        assert not np.array_equal(before, pipeline.decision_function(X))


def test_an_edited_tree_is_never_answered_from_before(on: None) -> None:
    forest, rows = FITTED["Forest"]()
    before = forest.predict_proba(rows)
    forest.estimators_[0].tree_.value[:] = 0.5
    assert_as_original(forest, rows)
    assert not np.array_equal(before, forest.predict_proba(rows))


class _Halved(Ridge):
    """A user's own."""

    def predict(self, X: Any) -> Any:
        return super().predict(X) / 2


def test_subclasses_and_steps_of_others_are_their_own(on: None) -> None:
    own = _Halved().fit(X, X[:, 0])
    halved = Ridge().fit(X, X[:, 0]).predict(X) / 2
    np.testing.assert_allclose(own.predict(X), halved, rtol=1e-14)
    inside = make_pipeline(FunctionTransformer(np.tan), own)
    assert_as_original(inside, X)


def test_the_object_is_neither_changed_nor_kept_alive(on: None) -> None:
    fitted, rows = FITTED["Pipeline"]()
    attributes, pickled = dict(vars(fitted)), pickle.dumps(fitted)
    answers_of(fitted, rows)
    assert vars(fitted) == attributes
    assert pickle.dumps(fitted) == pickled
    assert_as_original(pickle.loads(pickled), rows)
    alive = weakref.ref(fitted)
    count = len(answer_door._KEPT)
    del fitted
    gc.collect()
    assert alive() is None
    assert len(answer_door._KEPT) < count


def test_threads_share_one_object(on: None) -> None:
    fitted, rows = FITTED["Histograms"]()
    with originals():
        expected = fitted.predict_proba(rows)
    with ThreadPoolExecutor(4) as pool:
        for answer in pool.map(lambda _: fitted.predict_proba(rows), range(40)):
            np.testing.assert_array_equal(answer, expected)


def test_an_error_of_ours_is_told_and_the_original_answers(
    always: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("ours")

    fitted, rows = FITTED["LogisticRegression"]()
    expected = fitted.predict(rows)
    monkeypatch.setattr(kept.Kept, "answer", broken)
    with millrace.accelerated():
        np.testing.assert_array_equal(fitted.predict(rows), expected)
    ((key, _),) = RECORDS.lines()
    assert key.ran is Ran.SKLEARN
    assert key.reason == "ZeroDivisionError inside Millrace"
    assert "in broken" in key.trace
    with millrace.accelerated(strict=True), pytest.raises(ZeroDivisionError):
        fitted.predict(rows)


def _expecting(monkeypatch: pytest.MonkeyPatch, theirs: float, ours: float) -> None:
    monkeypatch.setattr(costs, "estimate", lambda *_: costs.Estimate(theirs, ours))


def test_compiling_waits_until_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Warm: 5 ms and a little for the base; a call gains 1 ms."""
    _expecting(monkeypatch, 2e-3, 1e-3)
    fitted, _ = FITTED["LogisticRegression"]()
    monkeypatch.setattr(kept, "PROCESS", kept._Process({"LogisticRegression"}))
    known = Kept(fitted, "LogisticRegression", lambda _: None)
    pace = known.pace("predict", 90, 4)
    assert pace is not None
    calls = 0
    while not known.ready(fitted, pace):
        calls += 1
        pace.took(2e-3)
        known.forgo(pace.gain)
    assert 4 <= calls <= 8


def test_the_first_object_of_a_process_waits_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    _expecting(monkeypatch, 0.5, 0.1)
    fitted, _ = FITTED["LogisticRegression"]()
    for classes, ready in ((set[str](), False), ({"other"}, True)):
        monkeypatch.setattr(kept, "PROCESS", kept._Process(classes))
        known = Kept(fitted, "LogisticRegression", lambda _: None)
        pace = known.pace("predict", 90, 4)
        assert pace is not None
        assert known.ready(fitted, pace) is ready


def test_the_faster_side_answers() -> None:
    pace = Pace.of(costs.Estimate(2e-3, 1e-3))
    assert pace.prefers_us
    pace.took(1e-3)
    pace.we_took(3e-3)
    assert not pace.prefers_us
    pace.we_took(0.5e-3)
    assert pace.prefers_us
    pace.took(9.0)  # a busy machine is no slow one
    assert pace.theirs < 2e-3


def test_where_nothing_is_gained_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    _expecting(monkeypatch, 1e-3, 2e-3)
    fitted, _ = FITTED["LogisticRegression"]()
    assert Kept(fitted, "LogisticRegression", lambda _: None).pace("predict", 90, 4) is None
