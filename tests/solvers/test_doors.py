"""Rows beyond a quarter of the budget: external memory, against the libraries' own fits in memory."""

import importlib
import pickle
import tempfile
import weakref
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone

from millrace.errors import NotStreamableError
from millrace.fitting import fit
from millrace.solvers import _own_fit

xgboost = pytest.importorskip("xgboost")
lightgbm = pytest.importorskip("lightgbm")

XGB = {"n_estimators": 4, "max_depth": 4, "n_jobs": 1}
LGBM = {"n_estimators": 4, "num_leaves": 7, "n_jobs": 1, "verbose": -1}


def _rows(decimals, n=5_000):
    """Four columns with missing cells and a target of their product."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 4)).round(decimals)
    y = X[:, 0] * X[:, 1] + 0.3 * rng.normal(size=n)
    X[rng.random(X.shape) < 0.05] = np.nan
    return X, y, rng.random(n)


@pytest.fixture
def outside(monkeypatch):
    """Every matrix goes to a file, and is read in five parts."""
    monkeypatch.setattr(_own_fit, "IN_MEMORY", 0)
    monkeypatch.setattr(_own_fit.parts, "__defaults__", (1,))
    monkeypatch.setattr("millrace.solvers.lightgbm.PART", 1)


EXACT = [
    pytest.param(xgboost.XGBClassifier(**XGB), "labels", id="xgb-binary"),
    pytest.param(xgboost.XGBClassifier(**XGB), "codes", id="xgb-multiclass"),
    pytest.param(xgboost.XGBRegressor(**XGB, subsample=0.5, random_state=1), "y", id="xgb-rows"),
    pytest.param(xgboost.XGBRegressor(**XGB, objective="reg:absoluteerror"), "y", id="xgb-l1"),
    pytest.param(xgboost.XGBRegressor(**XGB, booster="dart"), "y", id="xgb-dart"),
    pytest.param(xgboost.XGBRegressor(**XGB, feature_weights=[1, 0, 2, 1],
        colsample_bynode=0.5, random_state=1), "y", id="xgb-feature-weights"),
    pytest.param(xgboost.XGBRegressor(**XGB, missing=0.0), "y", id="xgb-missing"),
    pytest.param(xgboost.XGBRFClassifier(**XGB, random_state=1), "labels", id="xgbrf"),
    pytest.param(xgboost.XGBRFRegressor(**XGB, random_state=1), "y", id="xgbrf-number"),
    pytest.param(lightgbm.LGBMClassifier(**LGBM), "names", id="lgbm-multiclass"),
    pytest.param(lightgbm.LGBMClassifier(**LGBM, class_weight="balanced"), "names", id="lgbm-balanced"),
    pytest.param(lightgbm.LGBMClassifier(**LGBM, class_weight={"a": 2, "b": 1, "c": 1}), "names",
        id="lgbm-class-weight"),
    pytest.param(lightgbm.LGBMClassifier(**LGBM, is_unbalance=True), "labels", id="lgbm-binary"),
    pytest.param(lightgbm.LGBMRegressor(**LGBM, metric=["l1", "l2"]), "y", id="lgbm-metrics"),
    pytest.param(lightgbm.LGBMRegressor(**LGBM, subsample_for_bin=300, random_state=1), "y",
        id="lgbm-sample"),
    pytest.param(lightgbm.LGBMRegressor(**LGBM, boosting_type="rf", subsample=0.5,
        subsample_freq=1), "y", id="lgbm-rf"),
    pytest.param(lightgbm.LGBMRegressor(**LGBM, linear_tree=True), "y", id="lgbm-linear"),
]  # fmt: skip


def _target(y, kind):
    if kind == "y":
        return y
    if kind == "labels":
        return (y > 0).astype(int)
    codes = np.digitize(y, [-0.5, 0.5])
    return codes if kind == "codes" else np.array(list("abc"))[codes]


def _answer(model, X):
    return model.predict_proba(X) if hasattr(model, "predict_proba") else model.predict(X)


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize(("estimator", "kind"), EXACT)
def test_the_same_trees_as_in_memory(estimator, kind, weighted, outside):
    # XGBoost's sketch is exact with fewer distinct values than bins; LightGBM needs no such thing.
    X, y, w = _rows(1 if "xgb" in type(estimator).__module__ else 9)
    y, weight = _target(y, kind), w if weighted else None
    theirs = clone(estimator).fit(X, y, sample_weight=weight)
    ours = pickle.loads(pickle.dumps(fit(clone(estimator), X, y, weight=weight, progress=False)))
    assert np.array_equal(_answer(ours, X), _answer(theirs, X))
    assert np.array_equal(ours.predict(X), theirs.predict(X))
    assert vars(ours).keys() == vars(theirs).keys()
    for name in ("classes_", "n_classes_", "n_features_in_", "best_iteration_", "objective_"):
        assert np.array_equal(getattr(ours, name, None), getattr(theirs, name, None)), name
    assert np.array_equal(ours.feature_importances_, theirs.feature_importances_)
    assert repr(ours.get_params()) == repr(theirs.get_params())


@pytest.mark.parametrize("make", [xgboost.XGBRegressor, xgboost.XGBRFRegressor])
def test_xgboost_merges_sketches_of_about_the_same_quality(make, outside):
    X, y, _ = _rows(9)
    settings = {"n_estimators": 10, "n_jobs": 1, "max_bin": 16, "random_state": 1}
    train, test = slice(0, None, 2), slice(1, None, 2)
    theirs = make(**settings).fit(X[train], y[train]).score(X[test], y[test])
    ours = fit(make(**settings), X[train], y[train], progress=False).score(X[test], y[test])
    assert ours > theirs - 0.02


@pytest.mark.parametrize("make", [xgboost.XGBClassifier, lightgbm.LGBMClassifier])
def test_names_saved_models_and_compiled_ones(make, outside, tmp_path):
    import pandas as pd

    from millrace.compiler.build import compile

    X, y, _ = _rows(1)
    table, y = pd.DataFrame(X, columns=list("abcd")), (y > 0).astype(int)
    settings = XGB if make is xgboost.XGBClassifier else LGBM
    theirs = make(**settings).fit(table, y)
    ours = fit(make(**settings), table, y, progress=False)
    assert ours.feature_names_in_.tolist() == list("abcd")
    saved = []
    for name, model in (("ours", ours), ("theirs", theirs)):
        booster = model.get_booster() if make is xgboost.XGBClassifier else model.booster_
        booster.save_model(tmp_path / f"{name}.json")
        saved.append((tmp_path / f"{name}.json").read_bytes())
    assert saved[0] == saved[1]
    assert np.array_equal(compile(ours).predict(table), theirs.predict(table))


@pytest.mark.parametrize(
    "estimator",
    [
        xgboost.XGBRegressor(early_stopping_rounds=3),
        lightgbm.LGBMRegressor(early_stopping_round=3),
        lightgbm.LGBMRegressor(n_iter_no_change=3),
    ],
    ids=["xgboost", "lightgbm", "lightgbm-alias"],
)
def test_early_stopping_is_declined(estimator):
    X, y, _ = _rows(1, 200)
    with pytest.raises(NotStreamableError, match="early stopping"):
        fit(estimator, X, y, progress=False)


def test_nothing_is_left_behind(outside, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    X, y, _ = _rows(1)
    model = fit(xgboost.XGBRegressor(**XGB), X, y, progress=False)
    assert list(Path(tmp_path).iterdir()) == []
    assert "_create_dmatrix" not in vars(model)


def test_the_budget_chooses_the_door(monkeypatch):
    seen = []

    def watched(X):
        seen.append(isinstance(X, np.memmap))
        return seen[-1]

    monkeypatch.setattr("millrace.solvers.xgboost.is_mapped", watched)
    monkeypatch.setattr(
        importlib.import_module("millrace.fitting.fit"), "check_budget", lambda *_: None
    )
    X, y, _ = _rows(1)
    model = xgboost.XGBRegressor(n_estimators=1, n_jobs=1)
    for memory in (
        16 * X.size,
        16 * X.size - 4,
    ):  # four times the rows as float32, and a little less
        fit(clone(model), X, y, memory=memory, progress=False)
    assert seen == [False, True]


def test_parts_cover_all_rows_and_copies_outlive_the_pages(tmp_path):
    X = np.memmap(tmp_path / "x", np.float32, "w+", shape=(2_500, 3))
    X[:] = np.arange(7_500).reshape(2_500, 3)
    read = [_own_fit.taken(X, part) for part in _own_fit.parts(X, 1)]
    assert [len(r) for r in read] == [1024, 1024, 452]
    gone = weakref.ref(X)
    del X
    assert gone() is None
    assert np.array_equal(np.concatenate(read).ravel(), np.arange(7_500))
