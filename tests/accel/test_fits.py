"""The door of ``fit``: what it lets through, what it leaves to scikit-learn, and that nobody can tell."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn import (
    base,
    cluster,
    ensemble,
    feature_selection,
    linear_model,
    naive_bayes,
    pipeline,
    preprocessing,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._test_common.instance_generator import _get_expected_failed_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

import millrace
from benchmarks.accel_cases import classes_with_solvers, is_measured, made
from millrace.accel import costs, fit_door
from millrace.accel.records import Ran
from millrace.catalog.registry import public_name
from millrace.solvers import Example, examples, registry
from tests.conformance.test_solvers import compare

# As the checker should see them: the tests pass what the signatures do not allow.
clone: Any = base.clone
KMeans: Any = cluster.KMeans
RandomForestClassifier: Any = ensemble.RandomForestClassifier
SelectKBest: Any = feature_selection.SelectKBest
ElasticNet: Any = linear_model.ElasticNet
Lasso: Any = linear_model.Lasso
LogisticRegression: Any = linear_model.LogisticRegression
Ridge: Any = linear_model.Ridge
GaussianNB: Any = naive_bayes.GaussianNB
OneHotEncoder: Any = preprocessing.OneHotEncoder
StandardScaler: Any = preprocessing.StandardScaler

RNG = np.random.default_rng(0)
X = RNG.normal(size=(150, 4))
Y = X @ [1.0, 2.0, 0.0, -1.0] + RNG.normal(size=150)
LABELS = (Y > 0).astype(int)
FRAME = pd.DataFrame(X, columns=list("abcd"))


def ran(estimator: str) -> list[tuple[Ran, str]]:
    """``(who, reason)`` of the fits of a class."""
    lines = millrace.report().lines
    return [(k.ran, k.reason) for k, _ in lines if k.estimator == estimator and k.method == "fit"]


def by_millrace(estimator: Any, *args: Any, level: Any = "equivalent", **kwargs: Any) -> Any:
    """The estimator, fitted with acceleration on; by Millrace."""
    with millrace.accelerated(level, strict=True):
        estimator.fit(*args, **kwargs)
    assert ran(type(estimator).__name__)[-1] == (Ran.MILLRACE, "")
    return estimator


def outcome(work: Callable[[], Any]) -> Any:
    """What a call raises and warns of, or None where it returns."""
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        try:
            work()
            raised = None
        except Exception as error:
            raised = type(error), str(error)
    return raised, [(w.category, str(w.message)) for w in given]


# --- what solvers promise -------------------------------------------------------------------------

SLOW = ("sklearn.compose", "sklearn.text", "sklearn.forest", "sklearn.boosting")
EXAMPLES = [
    (m, e) for m, e in examples() if m.startswith(("sklearn.", "resident.")) and m not in SLOW
]


@pytest.mark.parametrize(
    ("module", "example"), EXAMPLES, ids=[f"{m}-{e.name}" for m, e in EXAMPLES]
)
@pytest.mark.filterwarnings("ignore")
def test_a_fit_sets_the_attributes_of_scikit_learn_and_their_values_unless_marked(
    always: None, module: str, example: Example
) -> None:
    estimator, rows, y = example.make()
    if not is_measured(public_name(type(estimator))):
        pytest.skip("has no door")
    theirs, ours = clone(estimator), clone(estimator)
    args = (rows,) if y is None else (rows, y)
    theirs.fit(*args)
    with millrace.accelerated("equivalent"):
        ours.fit(*args)
    assert vars(ours).keys() == vars(theirs).keys()
    if not registry.is_equivalent(estimator, rows.shape):
        compare(ours, theirs, Example("", example.make, ignore=("n_iter_",)), type(ours).__name__)


@pytest.mark.parametrize(
    ("estimator", "equivalent"),
    [
        (Ridge(), False),
        (Ridge(solver="sag"), True),
        (Ridge(positive=True), True),
        (LogisticRegression(), True),
        (KMeans(3), True),
        (KMeans(3, init=X[:3]), False),
        (RandomForestClassifier(), True),
    ],
    ids=repr,
)
def test_marks_depend_on_parameters(estimator: Any, equivalent: bool) -> None:
    assert registry.is_equivalent(estimator, (1000, 4)) is equivalent


def test_the_exact_level_leaves_equivalent_solvers_out(always: None) -> None:
    theirs = LogisticRegression().fit(X, LABELS)
    with millrace.accelerated("exact"):
        ours = LogisticRegression().fit(X, LABELS)
    assert ran("LogisticRegression")[0][0] is Ran.SKLEARN
    np.testing.assert_array_equal(ours.coef_, theirs.coef_)


# --- what is let through --------------------------------------------------------------------------

NO_EXAMPLE = Example("", lambda: (None, None, None))
KINDS: dict[str, tuple[Any, Any, Any]] = {
    "whole numbers": (Ridge(), np.round(X * 3).astype(int), Y),
    "columns first": (Ridge(), np.asfortranarray(X), Y),
    "strided": (Ridge(), np.repeat(X, 2, axis=1)[:, ::2], Y),
    "read only": (Ridge(), np.frombuffer(X.tobytes()).reshape(X.shape), Y),
    "frame": (Ridge(), FRAME, pd.Series(Y, index=np.arange(150)[::-1])),
    "labels": (GaussianNB(), FRAME, pd.Series(np.where(LABELS, "yes", "no"))),
    "labels of numbers": (GaussianNB(), X, LABELS.astype(float)),
    "texts": (OneHotEncoder(), FRAME.round().astype(str).astype("str"), None),
    "y that is ignored": (StandardScaler(), X, "anything"),
    "y that is not required": (SelectKBest(k=2), X, LABELS),
    "two targets": (Ridge(), X, np.stack([Y, -Y], axis=1)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_rows_and_targets(always: None, kind: str) -> None:
    estimator, rows, y = KINDS[kind]
    args = (rows,) if y is None else (rows, y)
    theirs = clone(estimator).fit(*args)
    ours = by_millrace(clone(estimator), *args, level="exact")
    assert vars(ours).keys() == vars(theirs).keys()
    compare(ours, theirs, NO_EXAMPLE, type(ours).__name__)


@pytest.mark.parametrize("place", ["third", "by name"])
def test_weights(always: None, place: str) -> None:
    weight = np.arange(150) % 4 / 2.0
    theirs = Ridge().fit(X, Y, weight)
    args, kwargs = (
        ((X, Y, weight), {}) if place == "third" else ((X,), {"y": Y, "sample_weight": weight})
    )
    ours = by_millrace(Ridge(), *args, **kwargs)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-9)


def test_a_refit_forgets_the_names_of_columns(always: None) -> None:
    model = by_millrace(Ridge(), FRAME, Y)
    assert model.feature_names_in_.tolist() == list("abcd")
    by_millrace(model, X[:, :3], Y)
    assert not hasattr(model, "feature_names_in_")
    assert model.n_features_in_ == 3


def test_steps_of_a_pipeline_have_their_own_doors(
    always: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(costs, "is_known", lambda name, _: "Pipeline" not in name)
    with millrace.accelerated():
        pipeline.make_pipeline(StandardScaler(), Ridge()).fit(X, Y)
    assert ran("StandardScaler") == ran("Ridge") == [(Ran.MILLRACE, "")]


# --- what is left to scikit-learn -----------------------------------------------------------------

UNUSUAL: dict[str, Callable[[], Any]] = {
    "warm start": lambda: Lasso(warm_start=True).fit(X, Y),
    "shared stream": lambda: Ridge(random_state=np.random.RandomState(0)).fit(X, Y),
    "in place": lambda: Ridge(copy_X=False).fit(X.copy(), Y),
    "list": lambda: Ridge().fit(X.tolist(), Y),
    "sparse": lambda: Ridge().fit(sp.csr_matrix(X), Y),
    "column of targets": lambda: Ridge().fit(X, Y[:, None]),
    "objects": lambda: Ridge().fit(FRAME.astype(object), Y),
    "numbered columns": lambda: Ridge().fit(pd.DataFrame(X), Y),
    "true and false": lambda: Ridge().fit(X, Y > 0),
    "a stop before the optimum": lambda: Ridge(solver="lsqr", max_iter=2).fit(X, Y),
    "one weight": lambda: Ridge().fit(X, Y, sample_weight=2.0),
}
BAD: dict[str, Callable[[], Any]] = {
    "missing": lambda: Ridge().fit(np.where(X > 2, np.nan, X), Y),
    "infinite": lambda: StandardScaler().fit(np.where(X > 2, np.inf, X)),
    "missing target": lambda: Ridge().fit(X, np.where(Y > 2, np.nan, Y)),
    "lengths": lambda: Ridge().fit(X, Y[:-1]),
    "one dimension": lambda: Ridge().fit(Y, Y),
    "no target": lambda: Ridge().fit(X, None),
    "nothing": lambda: Ridge().fit(),
    "parameter": lambda: Ridge(alpha=-1).fit(X, Y),
    "another argument": lambda: Ridge().fit(X, Y, weight=1),
    "twice": lambda: Ridge().fit(X, Y, X=X),
    "mixed names": lambda: Ridge().fit(FRAME.rename(columns={"a": 0}), Y),
    "texts": lambda: Ridge().fit(FRAME.assign(e="x").astype({"e": "str"}), Y),
    "continuous labels": lambda: GaussianNB().fit(X, Y),
    "negative weights": lambda: Ridge().fit(X, Y, sample_weight=-np.ones(150)),
    "one class": lambda: LogisticRegression().fit(X, np.zeros(150)),
    "no rows": lambda: Ridge().fit(X[:0], Y[:0]),
    "no columns": lambda: Ridge().fit(X[:, :0], Y),
    "too many clusters": lambda: KMeans(200, n_init=1).fit(X),
    "no convergence": lambda: ElasticNet(alpha=1e-6, max_iter=1, tol=1e-12).fit(X, Y),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_what_is_unusual_is_not_ours(always: None, name: str) -> None:
    theirs = UNUSUAL[name]
    expected = vars(theirs())
    with millrace.accelerated("equivalent", strict=True):
        found = vars(theirs())
    assert {who for who, _ in ran("Ridge") + ran("Lasso")} == {Ran.SKLEARN}
    assert found.keys() == expected.keys()
    assert repr(found["coef_"]) == repr(expected["coef_"])


@pytest.mark.parametrize("name", BAD)
def test_what_is_bad_gets_the_errors_and_warnings_of_scikit_learn(always: None, name: str) -> None:
    expected = outcome(BAD[name])
    assert expected != (None, [])
    with millrace.accelerated("equivalent"):
        assert outcome(BAD[name]) == expected


def test_a_warning_is_given_once_and_by_scikit_learn(always: None) -> None:
    model = ElasticNet(alpha=1e-6, max_iter=1, tol=1e-12)
    with millrace.accelerated("exact"), pytest.warns(ConvergenceWarning) as given:
        model.fit(X, Y)
    assert len(given) == 1
    assert ran("ElasticNet") == [(Ran.SKLEARN, "it gives a warning")]


def test_small_fits_are_not_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    few = costs._measured([[1_000, 4, 0.1, 0.01]], 1.0, 1.0)
    monkeypatch.setattr(costs, "_table", lambda: {"sklearn.linear_model.Ridge": {"fit": few}})
    with millrace.accelerated():
        Ridge().fit(X, Y)
    assert not ran("Ridge")


def test_a_failure_halfway_changes_nothing(always: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(estimator: Any, *_: Any) -> None:
        estimator.half_done_, estimator.coef_ = 1, None
        raise RuntimeError("out of luck")

    monkeypatch.setattr(sys.modules["millrace.fitting.fit"], "fit_by_solvers", fails)
    with millrace.accelerated():
        model = Ridge().fit(X, Y)
    assert vars(model).keys() == vars(Ridge().fit(X, Y)).keys()
    assert ran("Ridge") == [(Ran.SKLEARN, "RuntimeError inside Millrace")]
    with millrace.accelerated(strict=True), pytest.raises(RuntimeError, match="out of luck"):
        Ridge().fit(X, Y)


def test_an_error_that_both_raise_is_no_error_of_millrace(always: None) -> None:
    with millrace.accelerated("equivalent"), pytest.raises(ValueError, match="must be > 0"):
        linear_model.RidgeCV(alphas=(1.0, 0.0)).fit(X, Y)
    assert [key.trace for key, _ in millrace.report().lines] == [""]


def test_a_parameter_that_cannot_be_pickled_is_left_to_scikit_learn(always: None) -> None:
    class Local:
        def split(self, X: Any, y: Any = None, groups: Any = None) -> Any:
            yield np.arange(100), np.arange(100, 150)

        def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
            return 1

    with millrace.accelerated("equivalent", strict=True):
        linear_model.RidgeCV(cv=Local()).fit(X, Y)  # type: ignore[arg-type]
    assert [who for who, _ in ran("RidgeCV")] == [Ran.SKLEARN]


def test_other_parameters_need_a_larger_gain() -> None:
    assert fit_door._has_defaults(Ridge(random_state=3))
    assert not fit_door._has_defaults(Ridge(alpha=2.0))
    assert not fit_door._has_defaults(Ridge(solver="svd"))


# --- scikit-learn's own checks --------------------------------------------------------------------

ALL = bool(os.environ.get("MILLRACE_ALL_CHECKS"))  # takes minutes
CHECKED = [made(cls) for cls in classes_with_solvers()] if ALL else [StandardScaler(), GaussianNB()]


@parametrize_with_checks(CHECKED, expected_failed_checks=_get_expected_failed_checks)
@pytest.mark.filterwarnings("ignore")
def test_checks_of_scikit_learn(always: None, estimator: Any, check: Any) -> None:
    with millrace.accelerated("equivalent"):
        check(estimator)
