"""Support vector machines on rows in memory: libsvm's iterates, bit for bit."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import pairwise_distances
from sklearn.svm import SVC, SVR, NuSVC, NuSVR, OneClassSVM

from millrace.runtime.pool import get_threads, set_threads
from millrace.solvers.registry import Decline, lookup_resident
from millrace.solvers.resident import _smo


def data(n: int, n_features: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, a number and a class each that overlap, so that many variables reach their bounds."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, n_features))
    score = X[:, 0] + X[:, 1] * X[:, 2] + 0.5 * rng.normal(size=n)
    return X, score, np.digitize(score, [-0.6, 0.6])


def solved(estimator: Any, X: Any, y: Any, weight: Any = None) -> Any:
    fitted: Any = clone(estimator)
    solver: Any = lookup_resident(type(fitted))
    for name, value in solver(fitted, X, y, weight).items():
        setattr(fitted, name, value)
    fitted.n_features_in_ = X.shape[1]
    return fitted


def assert_same_object(ours: Any, theirs: Any) -> None:
    """Every attribute, private ones too: the same type, dtype, shape and bits."""
    assert sorted(vars(ours)) == sorted(vars(theirs))
    for name, value in vars(theirs).items():
        own = getattr(ours, name)
        assert type(own) is type(value), name
        if isinstance(value, np.ndarray):
            assert own.dtype == value.dtype, name
            assert own.flags.writeable, name
        np.testing.assert_array_equal(own, value, err_msg=name)


@pytest.mark.parametrize(
    "estimator",
    [
        SVC(C=50.0, tol=1e-5),
        SVC(C=20.0, kernel="linear"),
        SVC(C=2.0, kernel="poly", coef0=0.5, degree=2),
        NuSVC(nu=0.3, tol=1e-6),
        SVR(C=20.0, epsilon=0.2),
        SVR(kernel="linear"),
        NuSVR(C=20.0, nu=0.3, tol=1e-5),
        OneClassSVM(nu=0.4, tol=1e-7),
    ],
    ids=str,
)
def test_thousands_of_iterations_with_shrinking_end_in_the_same_bits(estimator: Any) -> None:
    X, score, label = data(900)
    y = score if isinstance(estimator, (SVR, NuSVR)) else label
    expected = clone(estimator).fit(X, y)
    assert_same_object(solved(estimator, X, y), expected)


@pytest.mark.parametrize("n_features", [1, 3, 16, 33, 70])
def test_any_number_of_features_gives_the_same_bits(n_features: int) -> None:
    X, _, _ = data(300, max(n_features, 3))
    X = np.ascontiguousarray(X[:, :n_features])
    y = X.sum(axis=1) + np.random.default_rng(1).normal(size=len(X)) > 0
    assert_same_object(solved(SVC(), X, y), SVC().fit(X, y))


def test_equal_rows_tie_as_in_libsvm() -> None:
    rng = np.random.default_rng(0)
    X = rng.integers(0, 3, (400, 3)).astype(float)
    y = rng.integers(0, 2, len(X))
    for kernel in ("rbf", "linear", "poly"):
        estimator = SVC(kernel=kernel)
        assert_same_object(solved(estimator, X, y), clone(estimator).fit(X, y))


def test_float32_rows_become_float64_as_in_scikit_learn() -> None:
    X, _, label = data(200)
    X = X.astype(np.float32)
    ours = solved(SVC(), X, label)
    assert ours.support_vectors_.dtype == np.float64
    assert_same_object(ours, SVC().fit(X, label))


def test_threads_and_memory_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    X, _, label = data(500)
    expected = SVC(C=50.0).fit(X, label)
    monkeypatch.setattr(_smo, "_FIRST_BYTES", 1 << 12)  # rows are dropped, and memory grows
    monkeypatch.setattr(_smo, "_FEWEST_VALUES", 1)  # every thread gets its share
    before = get_threads()
    for threads in (1, 3):
        set_threads(threads)
        try:
            for cache_size in (0.01, 0.5, 200):
                ours = solved(SVC(C=50.0, cache_size=cache_size), X, label)
                assert_same_object(ours.set_params(cache_size=200), expected)
        finally:
            set_threads(before)


def test_the_object_is_scikit_learns_own_afterwards() -> None:
    X, _, label = data(300)
    y = np.array(["a", "b", "c"])[label]
    weight = np.random.default_rng(0).integers(1, 4, len(X)) / 2
    estimator = SVC(kernel="linear", break_ties=True, class_weight={"a": 2.0})
    expected = clone(estimator).fit(X, y, weight)
    ours = pickle.loads(pickle.dumps(solved(estimator, X, y, weight)))
    for name in ("coef_", "n_support_"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(expected, name))
    for method in ("predict", "decision_function"):
        np.testing.assert_array_equal(getattr(ours, method)(X), getattr(expected, method)(X))


def test_a_fit_moves_the_users_random_numbers_as_scikit_learn_does() -> None:
    X, _, label = data(100)
    np.random.seed(3)  # noqa: NPY002 - the generator that scikit-learn takes its seed from
    SVC().fit(X, label)
    expected = np.random.random()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    solved(SVC(), X, label)
    assert np.random.random() == expected  # noqa: NPY002


def test_max_iter_warns_and_leaves_the_same_half_done_result() -> None:
    X, score, _ = data(300)
    with pytest.warns(ConvergenceWarning, match="max_iter=40"):
        expected = SVR(max_iter=40).fit(X, score)
    with pytest.warns(ConvergenceWarning, match="max_iter=40"):
        ours = solved(SVR(max_iter=40), X, score)
    assert ours.fit_status_ == 1
    assert_same_object(ours, expected)


@pytest.mark.parametrize(
    ("estimator", "change", "reason"),
    [
        (SVC(kernel="precomputed"), {}, "matrix or a function"),
        (SVC(probability=True), {}, "random numbers"),
        (SVR(verbose=True), {}, "says what it does"),
        (SVC(), {"X": sp.csr_matrix(np.eye(12))}, "sparse"),
        (SVC(), {"X": np.full((12, 2), np.nan)}, "missing or too large"),
        (SVC(), {"X": np.full((12, 2), 1e200)}, "missing or too large"),
        (SVC(gamma=1.0), {"X": np.arange(24.0).reshape(12, 2) + 1e4}, "far from zero"),
        (SVC(), {"weight": np.arange(12.0)}, "not positive"),
        (SVC(class_weight={0: 0.0}), {}, "no positive weight"),
        (SVR(), {"y": np.full(12, np.inf)}, "missing or infinite"),
        (NuSVC(nu=0.9), {"y": np.arange(12) > 9}, "infeasible"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_is_not_covered_is_declined(
    estimator: Any, change: dict[str, Any], reason: str
) -> None:
    given: dict[str, Any] = {
        "X": np.arange(24.0).reshape(12, 2),
        "y": np.arange(12) % 2,
        "weight": None,
    }
    with pytest.raises(Decline, match=reason):
        solved(estimator, *{**given, **change}.values())


def test_one_class_is_refused_in_scikit_learns_words() -> None:
    X, y = np.arange(24.0).reshape(12, 2), np.zeros(12)
    with pytest.raises(ValueError, match="greater than one") as theirs:
        SVC().fit(X, y)
    with pytest.raises(ValueError, match="greater than one") as ours:
        solved(SVC(), X, y)
    assert str(ours.value) == str(theirs.value)


def test_kernel_values_are_those_of_float64_rounded_once() -> None:
    """Distances from 0 to beyond where the exponential leaves float32."""
    X = np.random.default_rng(0).normal(size=(260, 5)) * np.linspace(0, 6, 260)[:, None]
    rows = _smo._Rows(X, _smo.Kernel("rbf", 0.3, 0.0, 3), 1 << 20)
    places = np.arange(0, 260, 9)
    rows.fill(places)
    exact = np.exp(-0.3 * pairwise_distances(X[places], X, metric="sqeuclidean"))
    ours = rows.rows[rows.slot_of[places], : len(X)]
    # half a unit of float32 and the error of the distances; below 1e-38 float32 has fewer digits
    np.testing.assert_allclose(ours, exact, rtol=2**-24 + 1e-12, atol=1e-45)
