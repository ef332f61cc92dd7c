"""The sweep: same bits for any number of threads, equal requests once, folds by merging."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.model_selection import cross_validate as sklearn_cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import millrace as mr
from millrace.errors import FitError, NotStreamableError
from millrace.fitting import source

RNG = np.random.default_rng(0)
X = RNG.normal(3.0, 2.0, (3_000, 6))
Y = X @ RNG.normal(size=6) + RNG.normal(size=len(X))
LABELS = np.where(np.median(Y) < Y, "high", "low")


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "_FEWEST", 64)
    monkeypatch.setattr(source, "FEWEST_CHUNKS", 40)


@pytest.fixture
def threads() -> Iterator[Any]:
    before = mr.get_threads()
    yield mr.set_threads
    mr.set_threads(before)


def pipeline(alpha: float = 1.0) -> Any:
    return make_pipeline(StandardScaler(), Ridge(alpha=alpha))


def test_threads_change_no_bit(threads: Any) -> None:
    found = []
    for n in (1, 2, 5, 8):
        threads(n)
        ridge = mr.fit(pipeline(), X, Y, progress=False)
        logistic = mr.fit(make_pipeline(StandardScaler(), LogisticRegression()), X, LABELS)
        found.append((ridge[-1].coef_.tobytes(), logistic[-1].coef_.tobytes()))
    assert len(set(found)) == 1


def test_the_users_object_is_fitted_in_place_and_pickles_alone() -> None:
    import pickle
    import subprocess
    import sys

    ours = pipeline()
    assert mr.fit(ours, X, Y, progress=False) is ours
    code = (
        "import sys, pickle; sys.modules['millrace'] = None\n"
        "m = pickle.load(sys.stdin.buffer); print(m.predict([[1., 2, 3, 4, 5, 6]])[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(ours), capture_output=True, check=True
    )
    assert float(done.stdout) == ours.predict([[1.0, 2, 3, 4, 5, 6]])[0]


def test_a_pipeline_takes_one_sweep_a_step_and_the_plan_says_so() -> None:
    plan = mr.plan(pipeline(), X, Y)
    ours = mr.fit(pipeline(), X, Y, progress=False)
    report = mr.fit_report(ours)
    assert [s.asked for s in report.sweeps] == list(plan.sweeps)
    assert len(plan.sweeps) == 2
    assert all(s.rows == len(X) for s in report.sweeps)


def test_folds_are_those_of_scikit_learn() -> None:
    folds = KFold(5)
    ours = mr.cross_validate(pipeline(), X, Y, folds=folds, return_train_score=True, progress=False)
    theirs = sklearn_cross_validate(pipeline(), X, Y, cv=folds, return_train_score=True)
    np.testing.assert_allclose(ours["test_score"], theirs["test_score"], rtol=1e-9)
    np.testing.assert_allclose(ours["train_score"], theirs["train_score"], rtol=1e-9)


def test_scorers_of_classifiers_that_want_probabilities() -> None:
    folds = KFold(3)
    scoring = ["roc_auc", "neg_log_loss", "accuracy"]
    model = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-10, max_iter=1000))
    ours = mr.cross_validate(model, X, LABELS, folds=folds, scoring=scoring, progress=False)
    theirs = sklearn_cross_validate(model, X, LABELS, cv=folds, scoring=scoring)
    for name in scoring:
        np.testing.assert_allclose(ours[f"test_{name}"], theirs[f"test_{name}"], rtol=1e-6)


def test_a_search_is_that_of_scikit_learn_and_shares_its_sweeps() -> None:
    grid = {"ridge__alpha": [0.1, 1.0, 10.0, 1e4]}
    ours = mr.search(pipeline(), grid, X, Y, folds=KFold(4), progress=False)
    theirs = GridSearchCV(pipeline(), grid, cv=KFold(4)).fit(X, Y)
    assert ours.best_params_ == theirs.best_params_
    assert set(ours.cv_results_) == set(theirs.cv_results_)
    for name in ("mean_test_score", "std_test_score", "split2_test_score", "rank_test_score"):
        np.testing.assert_allclose(ours.cv_results_[name], theirs.cv_results_[name], rtol=1e-8)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-9)
    report = mr.fit_report(ours)
    assert len(report.sweeps) == 2  # scalers, Grams; the scores and the best one follow from them
    grams = [a for a in report.sweeps[1].asked if "Gram" in a]
    assert len(grams) == 4  # one a fold, for all candidates


def test_a_step_that_cannot_be_streamed_says_what_it_would_take() -> None:
    from sklearn.neighbors import KNeighborsRegressor

    with pytest.raises(NotStreamableError, match=r"KNeighborsRegressor.*141 kB.*in_memory=True"):
        mr.fit(KNeighborsRegressor(), X, Y, progress=False)
    ours = mr.fit(KNeighborsRegressor(), X, Y, in_memory=True, progress=False)
    np.testing.assert_array_equal(
        ours.predict(X[:50]), KNeighborsRegressor().fit(X, Y).predict(X[:50])
    )
    assert "in memory" in str(mr.fit_report(ours))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (np.where(np.arange(len(Y)) == 7, np.nan, Y), "missing in row 7"),
        (np.where(np.arange(len(Y)) == 9, np.inf, Y), "infinite in row 9"),
        (Y[:-1], "2,999 values, the table has 3,000 rows"),
    ],
    ids=["nan", "inf", "short"],
)
def test_a_target_that_cannot_be(target: Any, message: str) -> None:
    with pytest.raises(FitError, match=message):
        mr.fit(pipeline(), X, target, progress=False)


def test_a_target_with_one_class() -> None:
    with pytest.raises(FitError, match="two classes"):
        mr.fit(LogisticRegression(), X, np.zeros(len(X), int), progress=False)


def test_no_rows() -> None:
    with pytest.raises(FitError, match="no rows"):
        mr.fit(pipeline(), X[:0], Y[:0], progress=False)


def test_the_nearest_name_of_a_missing_target() -> None:
    import pandas as pd

    frame = pd.DataFrame(X, columns=list("abcdef")).assign(income=Y)
    with pytest.raises(FitError, match="did you mean 'income'"):
        mr.fit(pipeline(), frame, "incme", progress=False)


def test_infinite_features_are_refused_with_row_and_column() -> None:
    bad = X.copy()
    bad[41, 3] = np.inf
    with pytest.raises(FitError, match=r"column 3 is infinite in row 41"):
        mr.fit(Ridge(), bad, Y, progress=False)
