"""Trees, forests and boosting from binned rows, against scikit-learn and the boosting libraries."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, export_text

from millrace.errors import FitError, NotStreamableError
from millrace.fitting import fit
from millrace.runtime.pool import get_threads, set_threads
from millrace.solvers.sklearn import _trees, boosting, forest, tree
from millrace.solvers.sklearn.tree import few_values
from millrace.statistics import binned

DATA = Path(__file__).parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data")


def _cases(module):
    return [pytest.param(e, id=e.name) for e in module.examples() if e.quality is None]


def _same_tree(one, other, exact):
    a, b = one.tree_.__getstate__(), other.tree_.__getstate__()
    assert a["node_count"] == b["node_count"]
    assert a["max_depth"] == b["max_depth"]
    for name in a["nodes"].dtype.names:
        if exact or a["nodes"][name].dtype.kind != "f":
            assert np.array_equal(a["nodes"][name], b["nodes"][name]), name
        else:  # sums of the same numbers in another order
            np.testing.assert_allclose(
                a["nodes"][name], b["nodes"][name], 1e-12, 1e-12, err_msg=name
            )
    np.testing.assert_allclose(a["values"], b["values"], 0 if exact else 1e-12)


@pytest.mark.parametrize("example", _cases(tree) + _cases(forest))
def test_trees_are_those_of_scikit_learn(example):
    estimator, X, y = example.make()
    theirs = clone(estimator).fit(X, y)
    ours = fit(estimator, X, y, progress=False)
    exact = hasattr(ours, "classes_") and ours.class_weight is None
    pairs = zip(
        getattr(ours, "estimators_", [ours]), getattr(theirs, "estimators_", [theirs]), strict=True
    )
    for one, other in pairs:
        _same_tree(one, other, exact)
    assert vars(ours).keys() == vars(theirs).keys()


@pytest.mark.parametrize("example", _cases(boosting))
def test_boosting_is_that_of_scikit_learn(example):
    estimator, X, y = example.make()
    theirs = clone(estimator).fit(X, y)
    ours = pickle.loads(pickle.dumps(fit(estimator, X, y, progress=False)))
    # A bound method that scikit-learn leaves behind after stopping by a score.
    assert vars(ours).keys() == vars(theirs).keys() - {"_raw_predict"}
    assert np.array_equal(ours.predict(X), theirs.predict(X))
    assert np.array_equal(ours.train_score_, theirs.train_score_)
    assert np.array_equal(ours.validation_score_, theirs.validation_score_)
    for one, other in zip(ours._predictors, theirs._predictors, strict=True):
        for a, b in zip(one, other, strict=True):
            assert np.array_equal(a.nodes, b.nodes)


def test_boosting_draws_the_rows_that_scikit_learn_draws(monkeypatch):
    from sklearn.ensemble._hist_gradient_boosting.binning import _BinMapper

    # As with more than 200,000 rows, at a size that a test can afford.
    monkeypatch.setattr(boosting, "_DRAWN", 500)
    monkeypatch.setattr(
        "sklearn.ensemble._hist_gradient_boosting.gradient_boosting._BinMapper",
        lambda **settings: _BinMapper(subsample=500, **settings),
    )
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2_000, 3))
    y, weight = X[:, 0] + X[:, 1] * X[:, 2], rng.random(2_000)
    settings = {"max_iter": 3, "random_state": 4, "max_bins": 64, "early_stopping": True}
    theirs = HistGradientBoostingRegressor(**settings).fit(X, y, weight)
    ours = fit(HistGradientBoostingRegressor(**settings), X, y, weight=weight, progress=False)
    assert np.array_equal(ours.predict(X), theirs.predict(X))


@pytest.mark.parametrize("bootstrap", [False, True])
@pytest.mark.parametrize("class_weight", [None, "balanced", "balanced_subsample"])
def test_weights_are_taken_as_scikit_learn_takes_them(bootstrap, class_weight):
    # Leaves of 20 rows, so that no two splits are equal but for the rounding of balanced weights.
    X, y = few_values("many")
    weight = np.random.default_rng(2).integers(0, 4, len(y)).astype(float)
    estimator = RandomForestClassifier(
        4, min_samples_leaf=20, bootstrap=bootstrap, class_weight=class_weight, random_state=1
    )
    theirs = clone(estimator).fit(X, y, weight)
    ours = fit(estimator, X, y, weight=weight, progress=False)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), 1e-10)
    np.testing.assert_allclose(ours.feature_importances_, theirs.feature_importances_, 1e-10)


def test_disk_and_threads_change_no_bit(monkeypatch):
    X, y = few_values("binary", True)
    before = get_threads()
    answers = []
    try:
        for threads, memory in ((1, 1 << 30), (3, 1 << 30), (3, 0)):
            set_threads(threads)
            monkeypatch.setattr("millrace.solvers.sklearn._trees.IN_MEMORY", memory)
            model = fit(ExtraTreesClassifier(5, random_state=0), X, y, progress=False)
            answers.append(model.predict_proba(X))
    finally:
        set_threads(before)
    assert np.array_equal(answers[0], answers[1])
    assert np.array_equal(answers[0], answers[2])


@pytest.mark.parametrize("room", [1, 6 * 40, 6 * 150])
def test_subtrees_with_bins_of_their_own_are_the_same(room, monkeypatch):
    X, y = few_values("many", True)
    model = RandomForestClassifier(5, random_state=0)
    theirs = clone(model).fit(X, y)
    monkeypatch.setattr("millrace.solvers.sklearn._trees._LOCAL", room)
    ours = fit(model, X, y, progress=False)
    for one, other in zip(ours.estimators_, theirs.estimators_, strict=True):
        _same_tree(one, other, exact=True)


@pytest.mark.parametrize("kind", ["binary", "many"])
@pytest.mark.parametrize("criterion", ["gini", "entropy"])
def test_counted_rows_split_like_weighed_ones(kind, criterion):
    X, y = few_values(kind, True)
    weight = np.random.default_rng(0).integers(1, 5, len(y)).astype(float)
    model = DecisionTreeClassifier(criterion=criterion, random_state=0)
    theirs = clone(model).fit(X, y, weight)
    # Halves are not whole, and change no share by a bit.
    for scale in (1.0, 0.5):
        ours = fit(clone(model), X, y, weight=scale * weight, progress=False)
        one, other = ours.tree_.__getstate__()["nodes"], theirs.tree_.__getstate__()["nodes"]
        for name in ("feature", "threshold", "left_child", "impurity", "missing_go_to_left"):
            assert np.array_equal(one[name], other[name]), name
        seen = ours.tree_.weighted_n_node_samples
        assert np.array_equal(seen, scale * theirs.tree_.weighted_n_node_samples)


@pytest.mark.parametrize(
    "weight", [np.array([1.0, 2.5]), np.array([1.0, 65536.0]), np.array([-1.0, 2.0])]
)
def test_weights_that_do_not_fit_a_record_are_not_counted(weight):
    assert not _trees._are_counts(weight)
    assert _trees._are_counts(np.array([0.0, 65535.0]))


def test_boosting_takes_fewer_threads_on_a_busy_machine(monkeypatch):
    monkeypatch.setattr(boosting, "get_threads", lambda: 2)
    monkeypatch.setattr("sklearn.utils._openmp_helpers._openmp_effective_n_threads", lambda: 4)
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    for load, threads in ((0.0, 2), (4.9, 2), (8.0, 1), (400.0, 1)):
        monkeypatch.setattr("os.getloadavg", lambda load=load: (load, 0.0, 0.0))
        assert boosting._openmp_threads() == threads


def test_threads_of_boosting_change_no_bit(monkeypatch):
    X, y = few_values("many", True)
    answers = []
    for threads in (1, 2):
        monkeypatch.setattr(boosting, "_openmp_threads", lambda threads=threads: threads)
        model = HistGradientBoostingClassifier(max_iter=4, random_state=0)
        answers.append(fit(model, X, y, progress=False).predict_proba(X))
    assert np.array_equal(*answers)


def test_a_forest_is_a_plain_one_of_scikit_learn():
    X, y = few_values("many")
    model = fit(RandomForestClassifier(3, max_depth=3, random_state=0), X, y, progress=False)
    again = pickle.loads(pickle.dumps(model))
    assert type(again.estimators_[0]) is DecisionTreeClassifier
    assert np.array_equal(again.apply(X), model.apply(X))
    assert again.decision_path(X)[0].shape[0] == len(X)
    assert "class: 0" in export_text(again.estimators_[0])
    assert len(again.estimators_samples_[0]) == len(X)


@pytest.mark.parametrize("cls", [RandomForestClassifier, RandomForestRegressor])
def test_warm_start_adds_the_trees_that_scikit_learn_adds(cls):
    X, y = few_values("many")
    ours, theirs = (cls(2, warm_start=True, random_state=0, min_samples_leaf=9) for _ in range(2))
    fit(ours, X, y, progress=False)
    theirs.fit(X, y)
    first = ours.estimators_[0]
    fit(ours.set_params(n_estimators=4), X, y, progress=False)
    theirs.set_params(n_estimators=4).fit(X, y)
    assert ours.estimators_[0] is first
    assert vars(ours).keys() == vars(theirs).keys()
    for one, other in zip(ours.estimators_, theirs.estimators_, strict=True):
        _same_tree(one, other, exact=cls is RandomForestClassifier)


def test_warm_start_refuses_what_it_cannot_add_to():
    X, y = few_values("binary")
    model = fit(RandomForestClassifier(2, warm_start=True), X, y, progress=False)
    with pytest.raises(NotStreamableError, match="grows no trees"):
        fit(model, X, y, progress=False)
    with pytest.raises(NotStreamableError, match="other columns"):
        fit(model.set_params(n_estimators=3), X[:, :4], y, progress=False)
    with pytest.raises(NotStreamableError, match="oob_score"):
        fit(model.set_params(oob_score=True), X, y, progress=False)


@pytest.mark.parametrize("n_features", [3, 33, 70])
@pytest.mark.parametrize("kind", ["number", "many"])
def test_random_splits_of_few_and_of_many_columns(n_features, kind):
    """What is looked at in vectors of 32 columns ends where the columns end."""
    X, y = few_values(kind, True)
    X = np.round(X[:, np.arange(n_features) % 6] * (1 + np.arange(n_features) // 6))
    cls = ExtraTreesClassifier if kind == "many" else ExtraTreesRegressor
    model = cls(2, random_state=0, max_features=0.4)
    theirs = clone(model).fit(X, y)
    ours = fit(model, X, y, progress=False)
    for one, other in zip(ours.estimators_, theirs.estimators_, strict=True):
        _same_tree(one, other, exact=kind == "many")


def test_random_thresholds_are_not_drawn_within_wide_outer_bins():
    rng = np.random.default_rng(0)
    X = rng.lognormal(0, 1, (20_000, 4))
    y = np.log(X).sum(axis=1) + rng.standard_normal(len(X))
    model = ExtraTreesRegressor(4, random_state=0, min_samples_leaf=5)
    theirs = clone(model).fit(X[::2], y[::2]).score(X[1::2], y[1::2])
    ours = fit(model, X[::2], y[::2], progress=False).score(X[1::2], y[1::2])
    assert ours > theirs - 0.002


def test_sparse_rows():
    import scipy.sparse as sp

    X, y = few_values("binary")
    ours = fit(RandomForestClassifier(3, random_state=0), sp.csr_matrix(X), y, progress=False)
    dense = fit(RandomForestClassifier(3, random_state=0), X, y, progress=False)
    assert np.array_equal(ours.predict_proba(X), dense.predict_proba(X))


@pytest.mark.parametrize(
    "estimator",
    [
        DecisionTreeRegressor(criterion="absolute_error"),
        DecisionTreeRegressor(monotonic_cst=[1, 0, 0, 0, 0, 0]),
    ],
    ids=["absolute_error", "monotonic_cst"],
)
def test_what_histograms_cannot_do_is_refused(estimator):
    with pytest.raises(NotStreamableError):
        fit(estimator, *few_values("number"), progress=False)


def test_several_targets_are_refused():
    X, y = few_values("number")
    with pytest.raises(NotStreamableError, match="one target"):
        fit(RandomForestRegressor(2), X, np.column_stack([y, y]), progress=False)


@pytest.mark.parametrize("bad", [np.inf, -np.inf])
def test_infinities_are_refused(bad):
    X, y = few_values("binary")
    X[7, 2] = bad
    with pytest.raises(FitError, match="row 7"):
        fit(DecisionTreeClassifier(), X, y, progress=False)


def test_a_negative_target_is_refused_by_poisson():
    X, y = few_values("number")
    with pytest.raises(FitError, match="negative"):
        fit(DecisionTreeRegressor(criterion="poisson"), X, y, progress=False)


@needs_data
def test_quality_on_adult():
    import pandas as pd
    from sklearn.metrics import roc_auc_score

    def numbers(name):
        table = pd.read_csv(DATA / name, skipinitialspace=True, comment="|")
        return table.select_dtypes("number").to_numpy(float), table.iloc[:, -1].str.startswith(">")

    X, y = numbers("adult_train.csv")
    X_test, y_test = numbers("adult_test.csv")
    model = RandomForestClassifier(10, min_samples_leaf=5, random_state=0)
    scores = [
        roc_auc_score(y_test, fitted.predict_proba(X_test)[:, 1])
        for fitted in (clone(model).fit(X, y), fit(clone(model), X, y.to_numpy(), progress=False))
    ]
    # fnlwgt has more than 20,000 values, which become 255 bins.
    assert scores[1] > scores[0] - 0.005


@needs_data
def test_quality_on_wine_with_few_bins(monkeypatch):
    import pandas as pd

    monkeypatch.setattr(
        "millrace.solvers.sklearn._trees.quantile_edges",
        lambda X, **_: binned.quantile_edges(X, 30),
    )
    table = pd.read_csv(DATA / "winequality-white.csv", sep=None, engine="python").to_numpy(float)
    train, test = table[::2], table[1::2]
    model = RandomForestRegressor(20, random_state=0, oob_score=True)
    theirs = clone(model).fit(train[:, :-1], train[:, -1])
    ours = fit(model, train[:, :-1], train[:, -1], progress=False)
    assert ours.score(test[:, :-1], test[:, -1]) > theirs.score(test[:, :-1], test[:, -1]) - 0.03
    # No threshold parts a bin, so the out-of-bag answers from bins are those of the rows.
    answers = np.zeros(len(train))
    seen = np.zeros(len(train))
    for one, rows in zip(ours.estimators_, ours.estimators_samples_, strict=True):
        out = np.setdiff1d(np.arange(len(train)), rows)
        answers[out] += one.predict(train[out, :-1])
        seen[out] += 1
    np.testing.assert_allclose(
        ours.oob_prediction_[seen > 0], (answers / np.maximum(seen, 1))[seen > 0]
    )


def _boosters():
    xgboost = pytest.importorskip("xgboost")
    lightgbm = pytest.importorskip("lightgbm")
    yield xgboost.XGBClassifier(n_estimators=4, n_jobs=1)
    yield lightgbm.LGBMClassifier(n_estimators=4, n_jobs=1, verbose=-1)


@pytest.mark.parametrize("which", [0, 1], ids=["xgboost", "lightgbm"])
def test_boosting_libraries_fit_mapped_rows_alike(which, monkeypatch):
    import pandas as pd

    monkeypatch.setattr("millrace.solvers._own_fit.IN_MEMORY", 0)
    estimator = list(_boosters())[which]
    X, y = few_values("many", True)
    table = pd.DataFrame(X, columns=list("abcdef"))
    weight = np.random.default_rng(0).random(len(y))
    theirs = clone(estimator).fit(table, y, sample_weight=weight)
    ours = fit(estimator, table, y, weight=weight, progress=False)
    assert np.array_equal(ours.predict_proba(table), theirs.predict_proba(table))
    assert ours.feature_names_in_.tolist() == list("abcdef")


def test_early_stopping_scorer_belongs_to_the_estimator():
    X, y = few_values("binary")
    model = HistGradientBoostingClassifier(max_iter=4, early_stopping=True, scoring=None)
    fitted = fit(model, X, y, progress=False)
    assert type(fitted) is HistGradientBoostingClassifier
    assert np.isclose(fitted._scorer(fitted, X, y), fitted.score(X, y))


@pytest.mark.parametrize("max_leaf_nodes", [None, 9])
def test_bins_and_rows_that_are_mapped_from_files(
    max_leaf_nodes: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same trees, whether what they grow from lies in memory or in files, of which few pages are."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3_000, 5))
    y = (X[:, 0] + X[:, 1] ** 2 + rng.normal(size=len(X)) > 1).astype(int)
    model = RandomForestClassifier(3, max_leaf_nodes=max_leaf_nodes, random_state=0)
    wanted = fit(clone(model), X, y, progress=False)
    array = _trees._array
    monkeypatch.setattr(_trees, "cache_memory", lambda rows: 0)
    monkeypatch.setattr(_trees, "_SHARE_OF_PAGES", 1 << 40)
    monkeypatch.setattr(_trees, "_array", lambda shape, dtype, room: array(shape, dtype, 0))
    found = fit(clone(model), X, y, progress=False)
    for a, b in zip(found.estimators_, wanted.estimators_, strict=True):
        assert a.tree_.threshold.tobytes() == b.tree_.threshold.tobytes()
        assert a.tree_.value.tobytes() == b.tree_.value.tobytes()
