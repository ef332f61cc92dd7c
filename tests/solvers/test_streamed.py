"""Solvers with a path of their own for small tables: the path for tables that do not fit in the sample.

The sample is made as small as it gets (2,000 rows), so that tables of 5,000 rows are swept.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from millrace.fitting import fit, source
from millrace.solvers import Example, examples
from millrace.solvers.sklearn import _newton
from tests.conformance.test_solvers import compare, oracle


@pytest.fixture(autouse=True)
def small_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_newton, "SAMPLE_BYTES", 0)


def _classes(n_classes: int = 2, n: int = 5_000) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(n_classes)
    X = rng.standard_normal((n, 4)) * [1.0, 3.0, 0.3, 1.0] + [0.0, 2.0, 0.0, 1.0]
    z = (X - X.mean(axis=0)) @ rng.standard_normal((4, n_classes)) * 0.5
    return X, (z + rng.gumbel(size=z.shape)).argmax(axis=1), rng.integers(1, 4, n) / 2.0


GRIDS: dict[str, dict[str, Any]] = {
    "accuracy": {"scoring": None},
    "log loss": {"scoring": "neg_log_loss", "use_legacy_attributes": False},
    "scorer of decisions": {"scoring": "roc_auc", "cv": 4},
    "scorer of classes": {"scoring": "balanced_accuracy"},
    "scorer with labels": {"scoring": "neg_brier_score", "cv": 2},
    "no refit": {"refit": False},
    "no intercept": {"fit_intercept": False, "Cs": [0.01, 1.0]},
    "balanced": {"class_weight": "balanced", "Cs": [1e-3, 1.0]},
    "class weights": {"class_weight": {0: 3.0}, "cv": 2},
    "old ratios": {"l1_ratios": None, "cv": 2},
    "old ratios, new attributes": {"l1_ratios": None, "use_legacy_attributes": False, "cv": 2},
    "liblinear": {"solver": "liblinear", "intercept_scaling": 5.0, "cv": 2},
    "l1": {"solver": "liblinear", "l1_ratios": (1.0,), "cv": 2, "Cs": [1e-3, 1e-2]},
    "elastic net": {"solver": "saga", "l1_ratios": [0.2, 0.7], "cv": 2, "Cs": [1e-3, 1e-2]},
}


def _search(**params: Any) -> Any:
    from sklearn.linear_model import LogisticRegressionCV

    given: dict[str, Any] = {
        "Cs": 3,
        "cv": 3,
        "l1_ratios": (0.0,),
        "scoring": None,
        "use_legacy_attributes": True,
        **params,
    }
    return LogisticRegressionCV(**given)


def _tight(estimator: Any) -> Any:
    from sklearn.base import clone

    solver = "newton-cholesky" if estimator.solver == "lbfgs" else estimator.solver
    oracle: Any = clone(estimator)
    return oracle.set_params(solver=solver, tol=1e-9, max_iter=10_000)


def _agree(ours: Any, theirs: Any, rtol: float) -> None:
    for name, value in vars(theirs).items():
        if not name.endswith("_") or name == "n_iter_":
            continue
        mine = getattr(ours, name)
        if isinstance(value, dict):
            assert list(mine) == list(value), name
            mine, value = np.stack(list(mine.values())), np.stack(list(value.values()))
        assert np.shape(mine) == np.shape(value), name
        assert np.asarray(mine).dtype == np.asarray(value).dtype, name
        if np.asarray(value).dtype.kind in "OU":
            assert np.asarray(mine).tolist() == np.asarray(value).tolist(), name
        else:
            np.testing.assert_allclose(mine, value, rtol=rtol, atol=rtol, err_msg=name)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("name", GRIDS)
def test_a_grid_of_logistic_regressions_is_that_of_the_source(name: str, weighted: bool) -> None:
    X, y, weight = _classes()
    estimator, oracle = _search(**GRIDS[name]), _tight(_search(**GRIDS[name]))
    if weighted:
        fit(estimator, X, y, weight=weight, progress=False)
        oracle.fit(X, y, sample_weight=weight)
    else:
        fit(estimator, X, y, progress=False)
        oracle.fit(X, y)
    # liblinear and SAGA stop at a change of the coefficients, short of the optimum
    _agree(estimator, oracle, 1e-6 if oracle.solver == "newton-cholesky" else 2e-4)
    assert np.shape(estimator.n_iter_) == np.shape(oracle.n_iter_)


@pytest.mark.parametrize("form", ["words", "sparse", "weights of classes"])
def test_a_grid_of_several_classes(form: str) -> None:
    X, y, _ = _classes(3)
    y = np.array(["c", "a", "b"])[y]
    given: Any = sp.csr_matrix(np.where(X > 0.5, X, 0.0)) if form == "sparse" else X
    weights = {"a": 2.0, "b": 1.0, "c": 0.5} if form == "weights of classes" else None
    estimator = _search(class_weight=weights)
    fit(estimator, given, y, progress=False)
    _agree(estimator, _tight(_search(class_weight=weights)).fit(given, y), 1e-6)


def test_folds_of_consecutive_rows_and_rare_classes() -> None:
    from sklearn.model_selection import KFold

    X, y, _ = _classes()
    estimator = _search(cv=KFold(4))
    fit(estimator, X, y, progress=False)
    _agree(estimator, _tight(_search(cv=KFold(4))).fit(X, y), 1e-6)
    rare = np.where(np.isin(np.arange(len(y)), [7, 4_000]), 2, y)
    rare_grid: dict[str, Any] = {"cv": 3, "Cs": [1e-2, 1.0]}
    estimator, oracle = _search(**rare_grid), _tight(_search(**rare_grid))
    with pytest.warns(UserWarning, match="only 2 members"):
        fit(estimator, X, rare, progress=False)
    with pytest.warns(UserWarning, match="only 2 members"):
        oracle.fit(X, rare)
    _agree(estimator, oracle, 1e-6)


def test_folds_drawn_at_random_are_declined() -> None:
    from sklearn.model_selection import StratifiedKFold

    from millrace.errors import NotStreamableError

    X, y, _ = _classes()
    with pytest.raises(NotStreamableError, match="at random"):
        fit(_search(cv=StratifiedKFold(3, shuffle=True)), X, y, progress=False)


def _blobs(n: int = 5_000, sparse: bool = False) -> Any:
    """Clusters whose splits in two are beyond doubt: distances of 100, 30 and 8."""
    rng = np.random.default_rng(4)
    part = rng.integers(0, 8, n)
    X = rng.standard_normal((n, 3)) * 0.5
    X += np.stack([part % 2 * 8.0, part // 2 % 2 * 30.0, part // 4 * 100.0], axis=1) + 20.0
    return sp.csr_matrix(np.where(X > 20.0, X, 0.0)) if sparse else X


SPLITS: dict[str, dict[str, Any]] = {
    "plain": {},
    "by size": {"bisecting_strategy": "largest_cluster", "n_clusters": 8},
    "careful starts": {"init": "k-means++", "n_init": 3, "tol": 0.0},
    "one cluster": {"n_clusters": 1},
}


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("name", SPLITS)
def test_splits_in_two_are_those_of_the_source(name: str, weighted: bool) -> None:
    from sklearn.cluster import BisectingKMeans

    X = _blobs()
    weight = np.random.default_rng(1).integers(1, 4, len(X)) / 2.0
    params: dict[str, Any] = {"n_clusters": 4, "n_init": 5, "random_state": 0, **SPLITS[name]}
    ours, theirs = BisectingKMeans(**params), BisectingKMeans(**params)
    streamed = {"memory": "4GB"}  # without a budget rows at hand go to the resident solver
    fit(ours, X, weight=weight if weighted else None, progress=False, **streamed)
    theirs.fit(X, sample_weight=weight if weighted else None)
    np.testing.assert_allclose(ours.inertia_, theirs.inertia_, rtol=1e-9)
    ours_at = np.argsort(ours.cluster_centers_ @ [1.0, 10.0, 100.0])
    theirs_at = np.argsort(theirs.cluster_centers_ @ [1.0, 10.0, 100.0])
    np.testing.assert_allclose(
        ours.cluster_centers_[ours_at], theirs.cluster_centers_[theirs_at], rtol=1e-9
    )
    np.testing.assert_array_equal(ours.predict(X), ours.labels_)
    same = np.argsort(ours_at)[ours.labels_] == np.argsort(theirs_at)[theirs.labels_]
    assert same.all()
    assert sorted(vars(ours)) == sorted(set(vars(theirs)) - {"_kmeans_single"})


@pytest.mark.parametrize("form", ["sparse", "equal rows", "float32"])
def test_splits_in_two_of_other_rows(form: str) -> None:
    from sklearn.cluster import BisectingKMeans

    X = _blobs(sparse=form == "sparse")
    if form == "equal rows":
        X = np.repeat(np.arange(3.0), 2_000)[:, None]
    if form == "float32":
        X = X.astype(np.float32)
    n_clusters = 5 if form == "equal rows" else 4
    ours, theirs = (BisectingKMeans(n_clusters, random_state=0) for _ in range(2))
    fit(ours, X, progress=False)
    theirs.fit(X)
    rtol = 1e-5 if form == "float32" else 1e-9
    if form == "sparse":  # where the starts decide which of two splits is found
        assert ours.inertia_ <= theirs.inertia_
        assert ours.inertia_ == pytest.approx(-ours.score(X), rel=1e-9)
    else:
        np.testing.assert_allclose(ours.inertia_, theirs.inertia_, rtol=rtol, atol=1e-9)
    np.testing.assert_array_equal(ours.predict(X), ours.labels_)
    assert ours.cluster_centers_.dtype == theirs.cluster_centers_.dtype
    assert ours.cluster_centers_.shape == theirs.cluster_centers_.shape


def test_a_small_cluster_far_away_is_split_though_the_sample_lacks_it() -> None:
    from sklearn.cluster import BisectingKMeans

    rng = np.random.default_rng(0)
    X = rng.standard_normal((20_000, 2))
    X[:4] += [[1e4, 0.0], [1e4, 0.0], [1e4, 5e3], [1e4, 5e3]]
    ours, theirs = (BisectingKMeans(3, random_state=0, n_init=5) for _ in range(2))
    fit(ours, X, progress=False)
    theirs.fit(X)
    np.testing.assert_allclose(ours.inertia_, theirs.inertia_, rtol=1e-9)


@pytest.mark.parametrize("left_out", [0, 1, 2])
def test_a_sample_of_all_but_one_fold_is_of_all_other_folds(left_out: int) -> None:
    from millrace.data.splits import Folds
    from millrace.statistics.base import Batch
    from millrace.statistics.sample import Sample

    numbers = np.arange(30_000)
    fold = Folds(3).of(0, len(numbers))
    kept = numbers[fold != left_out]
    sample = Sample(3_000, len(numbers))
    batch = Batch(int(kept[0]), np.zeros((len(kept), 1)), rows=kept)
    found = sample.finish(sample.of(batch)).batch.row_numbers()
    shares = np.bincount(fold[found], minlength=3) / len(found)
    assert len(found) > 1_500  # the share that all rows would have had
    assert shares[left_out] == 0
    assert (np.abs(np.delete(shares, left_out) - 0.5) < 0.05).all()  # 5 standard deviations


def test_a_logistic_regression_is_cross_validated_beyond_its_sample() -> None:
    from sklearn.linear_model import LogisticRegression

    import millrace as mr
    from millrace.data.splits import Folds

    X, y, _ = _classes()
    found = mr.cross_validate(LogisticRegression(), X, y, folds=3)["test_score"]
    fold = Folds(3).of(0, len(y))
    for k, score in enumerate(found):
        model = LogisticRegression(solver="newton-cholesky", tol=1e-10)
        model.fit(X[fold != k], y[fold != k])
        assert score == pytest.approx(model.score(X[fold == k], y[fold == k]), abs=1e-3)


FAMILIES = (
    "sklearn.logistic",
    "sklearn.glm",
    "sklearn.kmeans",
    "sklearn.svm",
)
# Where chance chooses the starts, another sample leads to another end.
SMALL = [e for module, e in examples() if module in FAMILIES and e.quality is None]


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("example", SMALL, ids=[e.name for e in SMALL])
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_examples_with_a_sample_of_some_of_their_rows(
    monkeypatch: pytest.MonkeyPatch, example: Example, weighted: bool
) -> None:
    if weighted and not example.weight:
        pytest.skip("takes no weights")
    monkeypatch.setattr(_newton, "FEWEST_ROWS", 80)
    monkeypatch.setattr(source, "_FEWEST", 16)
    monkeypatch.setattr(source, "FEWEST_CHUNKS", 5)
    estimator, X, y = example.make()
    weight = np.random.default_rng(1).integers(1, 4, X.shape[0]) / 2.0 if weighted else None
    expected = oracle(example, estimator, X, y, weight)
    fit(estimator, X, y, weight=weight, progress=False)
    told = replace(example, ignore=(*example.ignore, "n_iter_"))
    compare(estimator, expected, told, type(estimator).__name__)


@pytest.mark.parametrize("seed", range(4))
def test_a_sample_that_a_plane_divides_does_not_lead_astray(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    from sklearn.linear_model import LogisticRegression

    monkeypatch.setattr(_newton, "FEWEST_ROWS", 50)
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((2_000, 6))
    y = (X[:, 0] + 2.0 * rng.logistic(size=2_000) > 4.0).astype(int)
    ours = LogisticRegression(C=1e6)
    fit(ours, X, y, progress=False)
    theirs = LogisticRegression(C=1e6, solver="newton-cholesky", tol=1e-12).fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-6, atol=1e-8)
