"""KMeans of rows in memory: scikit-learn's starts, and its iterations."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from millrace.fitting.fit import fit_by_solvers
from millrace.runtime.pool import get_threads, set_threads
from millrace.solvers.registry import Decline
from millrace.solvers.resident import _lloyd
from millrace.solvers.resident.kmeans import kmeans_in_memory


def _rows(n: int = 3000, p: int = 5, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, p)) + 4.0 * rng.integers(0, 3, (n, p)) + 50.0


CASES = {
    "k-means++": {"n_clusters": 20, "random_state": 0},
    "several": {"n_clusters": 4, "random_state": 1, "n_init": 3},
    "random": {"n_clusters": 9, "random_state": 2, "init": "random", "n_init": 2},
    "short": {"n_clusters": 18, "random_state": 3, "max_iter": 2},
    "to the end": {"n_clusters": 6, "random_state": 4, "tol": 0.0, "algorithm": "elkan"},
    "callable": {"n_clusters": 3, "init": lambda X, k, random_state: X[:k].copy(), "n_init": 1},
    "one": {"n_clusters": 1, "random_state": 0},
}


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("params", CASES.values(), ids=CASES.keys())
def test_the_fit_is_that_of_the_source(params, weighted):
    X = _rows()
    weight = np.random.default_rng(1).integers(1, 5, len(X)) / 2.0 if weighted else None
    expected = KMeans(**params).fit(X, sample_weight=weight)
    found = KMeans(**params)
    fit_by_solvers(found, X, None, weight)
    np.testing.assert_array_equal(found.labels_, expected.labels_)
    np.testing.assert_allclose(found.cluster_centers_, expected.cluster_centers_, rtol=1e-9)
    np.testing.assert_allclose(found.inertia_, expected.inertia_, rtol=1e-9)
    assert found.n_iter_ == expected.n_iter_
    assert vars(found).keys() == vars(expected).keys()


def test_float32_stays_and_is_as_good():
    X = _rows().astype(np.float32)
    params = {"n_clusters": 12, "random_state": 0}
    expected, found = KMeans(**params).fit(X), KMeans(**params)
    fit_by_solvers(found, X)
    assert found.cluster_centers_.dtype == np.float32
    assert found.inertia_ <= expected.inertia_ * 1.001  # what is asked of another start


def test_a_cluster_that_loses_its_rows_gets_the_farthest():
    X = _rows(500)
    starts = np.vstack([X[:3], np.full((2, X.shape[1]), 1e3)])
    expected = KMeans(5, init=starts, n_init=1).fit(X)
    found = kmeans_in_memory(KMeans(5, init=starts, n_init=1), X, None, None)
    np.testing.assert_array_equal(found["labels_"], expected.labels_)


def test_equal_rows_warn_as_the_source_does():
    X = np.repeat(_rows(3), 10, axis=0)
    with pytest.warns(ConvergenceWarning, match=r"distinct clusters \(3\) found smaller"):
        kmeans_in_memory(KMeans(4, random_state=0), X, None, None)


def test_the_number_of_threads_changes_no_bit(monkeypatch):
    monkeypatch.setattr(_lloyd, "BLOCK_ROWS", 256)
    X, before, found = _rows(), get_threads(), []
    try:
        for threads in (1, 3):
            set_threads(threads)
            found.append(kmeans_in_memory(KMeans(17, random_state=0), X, None, None))
    finally:
        set_threads(before)
    for name in ("cluster_centers_", "labels_", "inertia_"):
        np.testing.assert_array_equal(found[0][name], found[1][name])


@pytest.mark.parametrize("X", [sp.eye_array(5, format="csr"), np.full((5, 2), np.nan)])
def test_what_it_does_not_cover_is_left_to_others(X):
    with pytest.raises(Decline):
        kmeans_in_memory(KMeans(2), X, None, None)
