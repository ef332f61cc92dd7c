"""Folds that differ by affine maps: one Gram matrix for all of them, and what it does not tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Lasso, LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.model_selection import cross_validate as sklearn_cross_validate
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    RobustScaler,
    StandardScaler,
)

import millrace as mr
from millrace.errors import FitError
from millrace.fitting import source
from millrace.fitting.affine import Level, Number, Word, made_by
from millrace.fitting.shared import Shared

N = 2_400
NUMBERS, WORDS = ["far", "near", "whole"], ["town", "kind"]
FOLDS = KFold(4)
SCORES = ["r2", "neg_mean_squared_error", "neg_root_mean_squared_error"]


def table(seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """A column of mean 1e6 and deviation 1 with 30 % missing among others, and two of words."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "far": rng.normal(1e6, 1.0, N),
            "near": rng.normal(0.0, 3.0, N) + np.linspace(0, 5, N),
            "whole": rng.integers(0, 9, N),
            "town": rng.choice(["Ulm", "Bonn", "Köln", "Trier"], N, p=[0.5, 0.3, 0.15, 0.05]),
            "kind": rng.choice(["a", "b"], N),
        }
    )
    y = (frame["far"] - 1e6) * 2 + frame["near"] + (frame["town"] == "Ulm") * 3.0
    y = (y + rng.normal(size=N)).to_numpy() + 50.0
    frame.loc[rng.random(N) < 0.3, "far"] = np.nan
    frame.loc[rng.random(N) < 0.1, "near"] = np.nan
    frame.loc[rng.random(N) < 0.1, "town"] = np.nan
    return frame, y


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "_FEWEST", 64)
    monkeypatch.setattr(source, "FEWEST_CHUNKS", 20)


def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer every request from the rows."""
    monkeypatch.setattr(Shared, "look", lambda *_: None)
    monkeypatch.setattr(Shared, "_bases", lambda *_: [])


def columns(numbers: Any, words: Any = None, **given: Any) -> Any:
    words = OneHotEncoder(handle_unknown="ignore") if words is None else words
    return make_column_transformer((numbers, NUMBERS), (words, WORDS), **given)


PREPARED: dict[str, Callable[[], Any]] = {
    "mean, standard": lambda: columns(make_pipeline(SimpleImputer(), StandardScaler())),
    "median, min-max": lambda: columns(
        make_pipeline(SimpleImputer(strategy="median"), MinMaxScaler((-1, 2))),
        OneHotEncoder(drop="first"),
    ),
    "constant, max-abs": lambda: columns(
        make_pipeline(SimpleImputer(strategy="constant", fill_value=-1.0), MaxAbsScaler())
    ),
    "indicator, robust": lambda: columns(
        make_pipeline(SimpleImputer(add_indicator=True), RobustScaler(), StandardScaler())
    ),
    "scaler first": lambda: columns(make_pipeline(StandardScaler(), SimpleImputer())),
    "words imputed": lambda: columns(
        make_pipeline(SimpleImputer(), StandardScaler()),
        make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(sparse_output=False)),
        sparse_threshold=0.0,
    ),
    "whole numbers encoded": lambda: make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), ["far", "near"]),
        (OneHotEncoder(handle_unknown="ignore"), ["whole", "kind"]),
    ),
    "weighted parts, remainder": lambda: ColumnTransformer(
        [
            ("i", make_pipeline(SimpleImputer(), StandardScaler()), ["far", "near"]),
            ("w", OneHotEncoder(drop="if_binary", handle_unknown="ignore"), WORDS),
        ],
        remainder="passthrough",
        transformer_weights={"i": 3.0, "w": 0.5},
    ),
    "scaled as a whole": lambda: make_pipeline(
        columns(SimpleImputer()), MaxAbsScaler(), StandardScaler(with_mean=False)
    ),
    "union": lambda: make_pipeline(
        make_column_transformer((SimpleImputer(), NUMBERS)),
        FeatureUnion([("s", StandardScaler()), ("m", MinMaxScaler())]),
    ),
}


@pytest.mark.parametrize("name", PREPARED)
def test_scores_and_coefficients_are_those_of_the_rows(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = table()
    model = make_pipeline(PREPARED[name](), Ridge(alpha=2.0))
    given: dict[str, Any] = {"scoring": SCORES, "return_train_score": True}
    options: dict[str, Any] = {**given, "folds": FOLDS, "return_estimator": True, "progress": False}
    ours = mr.cross_validate(model, X, y, **options)
    theirs = sklearn_cross_validate(model, X, y, cv=FOLDS, **given)
    direct(monkeypatch)
    slow = mr.cross_validate(model, X, y, **options)
    for score in SCORES:
        for part in ("test", "train"):
            found = ours[f"{part}_{score}"]
            np.testing.assert_allclose(found, slow[f"{part}_{score}"], rtol=1e-9)
            # scikit-learn's own solver for sparse rows stops at its tolerance of 1e-4
            np.testing.assert_allclose(found, theirs[f"{part}_{score}"], rtol=1e-4)
    for one, other in zip(ours["estimator"], slow["estimator"], strict=True):
        np.testing.assert_allclose(one[-1].coef_, other[-1].coef_, rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(one.predict(X), other.predict(X), rtol=1e-8)
    assert any("AtomGram" in a for s in ours["report"].sweeps for a in s.asked)
    if name != "scaled as a whole":  # there a mean of 1e6 deviations leaves a sum too few digits
        assert not any("Predictions" in a for s in ours["report"].sweeps for a in s.asked)


def test_a_search_reads_the_table_twice_and_is_that_of_scikit_learn() -> None:
    X, y = table()
    dense = columns(make_pipeline(SimpleImputer(), StandardScaler()), sparse_threshold=0.0)
    model = Pipeline([("prepare", dense), ("ridge", Ridge(solver="cholesky"))])
    grid = {"ridge__alpha": np.geomspace(1e-2, 1e3, 6)}
    ours = mr.search(model, grid, X, y, folds=FOLDS, progress=False)
    theirs = GridSearchCV(model, grid, cv=FOLDS).fit(X, y)
    np.testing.assert_allclose(
        ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"], rtol=1e-9
    )
    assert ours.best_params_ == theirs.best_params_
    best, other = ours.best_estimator_, theirs.best_estimator_
    np.testing.assert_allclose(best[-1].coef_, other[-1].coef_, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-9)
    assert len(mr.fit_report(ours).sweeps) == 2
    assert best[0] is not model[0]
    assert not hasattr(model[0], "transformers_")


def test_candidates_with_other_transformers_each_have_their_own() -> None:
    X, y = table()
    model = make_pipeline(columns(make_pipeline(SimpleImputer(), StandardScaler())), Ridge())
    grid = {
        "columntransformer__pipeline__simpleimputer__strategy": ["mean", "median"],
        "ridge__alpha": [0.5, 50.0],
    }
    given: dict[str, Any] = {"scoring": "neg_mean_squared_error"}
    ours = mr.search(model, grid, X, y, folds=FOLDS, progress=False, **given)
    model.set_params(ridge__tol=1e-14)
    theirs = GridSearchCV(model, grid, cv=FOLDS, **given).fit(X, y)
    np.testing.assert_allclose(
        ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"], rtol=1e-9
    )
    assert ours.best_params_ == theirs.best_params_


@pytest.mark.parametrize("last", [LinearRegression(), Lasso(alpha=0.1, tol=1e-12)], ids=str)
def test_other_regressors(last: Any) -> None:
    X, y = table()
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    model = make_pipeline(columns(numbers, OneHotEncoder(drop="first"), sparse_threshold=0.0), last)
    ours = mr.cross_validate(model, X, y, folds=FOLDS, progress=False)
    theirs = sklearn_cross_validate(model, X, y, cv=FOLDS)
    np.testing.assert_allclose(ours["test_score"], theirs["test_score"], rtol=1e-8)


def test_folds_whose_columns_are_far_from_the_first_rows_are_read_again() -> None:
    """Sums about the first rows would have no digits left in the folds without them."""
    rng = np.random.default_rng(4)
    X = rng.normal(size=(N, 3))
    X[:600, 1] += 1e9  # the first fold
    y = X[:, 0] + X[:, 1] / 10 + rng.normal(size=N)
    model = make_pipeline(StandardScaler(), Ridge())
    ours = mr.cross_validate(model, X, y, folds=FOLDS, return_estimator=True, progress=False)
    for k, (rows, _) in enumerate(FOLDS.split(X)):
        theirs: Any = make_pipeline(StandardScaler(), Ridge())
        theirs.fit(X[rows], y[rows])
        np.testing.assert_allclose(ours["estimator"][k][-1].coef_, theirs[-1].coef_, rtol=1e-7)


def test_a_constant_column_stays_exactly_constant() -> None:
    rng = np.random.default_rng(5)
    X = np.column_stack([rng.normal(size=N), np.full(N, 0.1), rng.normal(size=N)])
    y = X[:, 0] + rng.normal(size=N)
    model = make_pipeline(StandardScaler(), LinearRegression())
    ours = mr.cross_validate(model, X, y, folds=FOLDS, return_estimator=True, progress=False)
    assert [one[-1].coef_[1] for one in ours["estimator"]] == [0.0] * 4


def test_an_unknown_word_in_a_held_out_fold_is_refused_as_before() -> None:
    X, y = table()
    X.loc[:3, "kind"] = "only here"
    model = make_pipeline(columns(SimpleImputer(), OneHotEncoder()), Ridge())
    with pytest.raises(ValueError, match="unknown categories"):
        mr.cross_validate(model, X, y, folds=FOLDS, progress=False)


@pytest.mark.parametrize("bad", [np.nan, np.inf], ids=["missing", "infinite"])
def test_a_cell_that_the_regressor_refuses_is_named(bad: float) -> None:
    X = np.random.default_rng(6).normal(size=(N, 3))
    X[77, 1] = bad
    with pytest.raises(FitError, match="row 77"):
        mr.cross_validate(
            make_pipeline(StandardScaler(), Ridge()), X, X[:, 0], folds=FOLDS, progress=False
        )


def test_rounded_numbers_and_other_maps_are_not_taken_for_affine() -> None:
    X, y = table()
    numbers = X[["near", "whole"]].fillna(0.0).to_numpy()
    for given, step in ((numbers.astype(np.float32), StandardScaler()), (numbers, PCA(2))):
        model = make_pipeline(step, Ridge())
        found = mr.cross_validate(model, given, y, folds=FOLDS, progress=False)
        assert not any("AtomGram" in a for s in found["report"].sweeps for a in s.asked)
        theirs = sklearn_cross_validate(model, given, y, cv=FOLDS)
        np.testing.assert_allclose(found["test_score"], theirs["test_score"], rtol=1e-4)


def test_a_single_fit_has_its_own_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = table()
    make = PREPARED["mean, standard"]
    ours = mr.fit(make_pipeline(make(), Ridge()), X, y, progress=False)
    direct(monkeypatch)
    again = mr.fit(make_pipeline(make(), Ridge()), X, y, progress=False)
    assert ours[-1].coef_.tobytes() == again[-1].coef_.tobytes()


def value(column: Any, cell: Any) -> float:
    """What a column answers for a cell of the table."""
    missing = cell is None or (isinstance(cell, float) and np.isnan(cell))
    if isinstance(column, Level):
        return column.at(None if missing else cell)
    if missing:
        return column.missing
    return column.slope * (cell - column.centre) + column.offset


@pytest.mark.parametrize("name", PREPARED)
def test_the_formulas_are_what_transform_answers(name: str) -> None:
    X, _ = table()
    made = PREPARED[name]().fit(X)
    given = tuple(Word(j) if c in WORDS else Number(j) for j, c in enumerate(X.columns))
    formulas = made_by(made, given)
    assert formulas is not None
    rows = X.iloc[:40]
    expected = made.transform(rows)
    expected = expected.toarray() if hasattr(expected, "toarray") else np.asarray(expected)
    cells = rows.astype(object).to_numpy()
    found = [[value(c, line[c.column]) for c in formulas] for line in cells]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-9)


def test_threads_change_no_bit_of_a_search() -> None:
    X, y = table()
    model = make_pipeline(PREPARED["mean, standard"](), Ridge())
    before, found = mr.get_threads(), []
    try:
        for n in (1, 2, 5):
            mr.set_threads(n)
            one = mr.search(model, {"ridge__alpha": [0.1, 10.0]}, X, y, folds=3, progress=False)
            found.append((one.best_estimator_[-1].coef_.tobytes(), str(one.cv_results_["params"])))
    finally:
        mr.set_threads(before)
    assert len(set(found)) == 1


def test_infrequent_words_and_weights_are_read_directly() -> None:
    X, y = table()
    rare = OneHotEncoder(min_frequency=200, handle_unknown="infrequent_if_exist")
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    weight = np.random.default_rng(8).random(N)
    plain = make_pipeline(columns(numbers, sparse_threshold=0.0), Ridge())
    other = make_pipeline(columns(numbers, rare, sparse_threshold=0.0), Ridge())
    given: dict[str, Any] = {"folds": FOLDS, "return_estimator": True, "progress": False}
    for model, weights in ((other, None), (plain, weight)):
        found = mr.cross_validate(model, X, y, weight=weights, **given)
        for k, (rows, _) in enumerate(FOLDS.split(X)):
            fit = {} if weights is None else {"ridge__sample_weight": weights[rows]}
            theirs: Any = clone(model)
            theirs.fit(X.iloc[rows], y[rows], **fit)
            ours = found["estimator"][k]
            np.testing.assert_allclose(ours[-1].coef_, theirs[-1].coef_, rtol=1e-8)
