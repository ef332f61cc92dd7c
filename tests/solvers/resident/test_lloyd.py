"""Rows as codes of 16 bits: labels, sums and starts are those of float64."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import KMeans, kmeans_plusplus

from millrace.solvers.resident._lloyd import Coded, summary
from millrace.solvers.resident.kernels import coded_tile
from millrace.solvers.resident.kmeans import kmeans_in_memory

pytestmark = pytest.mark.skipif(not coded_tile.available(), reason="no such instruction here")


def _rows(n: int, p: int, dtype: str, seed: int = 0) -> np.ndarray:
    X = np.random.default_rng(seed).standard_normal((n, p)) * np.arange(1, p + 1) + 3.0
    X[::7] = np.round(X[::7])  # some that lie in the middle between centres
    return X.astype(dtype)


def _coded(X: np.ndarray, weight: np.ndarray | None = None) -> tuple[Coded, np.ndarray]:
    found = summary(X)
    assert found is not None
    return Coded(X, weight, *found), (X - found[0].astype(X.dtype)).astype(np.float64)


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("n", "p", "k"), [(2, 1, 1), (530, 1, 3), (700, 5, 16), (1300, 33, 70)])
def test_steps_are_those_of_float64(n, p, k, dtype, weighted):
    X = _rows(n, p, dtype)
    rng = np.random.default_rng(1)
    weight = rng.integers(0, 3, n) / 2.0 if weighted else None
    coded, less = _coded(X, weight)
    centers = np.round(less[rng.integers(0, n, k)])
    for scale in (0.0, 1e-3, 1e-2, 1.0, 1e-4):
        centers = centers + scale * rng.standard_normal(centers.shape)
        found = coded.step(centers)
        label = (centers**2).sum(axis=1) - 2.0 * less @ centers.T
        ties = np.sort(label, axis=1)[:, :2]
        # where the two least differ by roundings alone, the order of sums decides
        sure = np.ones(n, bool) if k == 1 else ties[:, 1] - ties[:, 0] > 1e-10 * np.abs(label).max()
        np.testing.assert_array_equal(coded.label[sure], label.argmin(axis=1)[sure])
        times = np.ones(n) if weight is None else weight
        sums = np.zeros(centers.shape)
        np.add.at(sums, coded.label, less * times[:, None])
        np.testing.assert_allclose(found.sums, sums, rtol=1e-10, atol=1e-9 * np.abs(less).max())
        np.testing.assert_array_equal(found.weights, np.bincount(coded.label, times, k))


def test_of_equal_centres_the_first_is_the_nearest():
    coded, less = _coded(_rows(600, 4, "float32"))
    coded.step(np.repeat(less[:5], 20, axis=0))
    assert set(coded.label) <= {0, 20, 40, 60, 80}


def test_starts_are_those_of_the_source():
    X = _rows(3001, 6, "float64")
    X = X - X.mean(axis=0)
    for weight in (None, np.random.default_rng(2).integers(0, 4, len(X)) / 2.0):
        coded = Coded(X, weight, np.zeros(6), np.abs(X).max(axis=0))
        times = np.ones(len(X)) if weight is None else weight
        found = coded.seeds(30, times, np.random.RandomState(3))
        expected = kmeans_plusplus(X, 30, sample_weight=weight, random_state=3)[1]
        np.testing.assert_array_equal(found, expected)


def test_rows_that_codes_do_not_tell_apart_take_the_other_way():
    X = _rows(2000, 3, "float64")
    X[5] = 1e7
    params = {"n_clusters": 6, "random_state": 0}
    expected = KMeans(**params).fit(X)
    found = kmeans_in_memory(KMeans(**params), X, None, None)
    np.testing.assert_array_equal(found["labels_"], expected.labels_)
    np.testing.assert_allclose(found["cluster_centers_"], expected.cluster_centers_, rtol=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_processor_without_the_instruction_finds_the_same(monkeypatch, dtype):
    X, found = _rows(2000, 9, dtype), []
    for available in (True, False):
        monkeypatch.setattr(coded_tile, "available", lambda available=available: available)
        found.append(kmeans_in_memory(KMeans(20, init=X[:20], n_init=1), X, None, None))
    np.testing.assert_array_equal(found[0]["labels_"], found[1]["labels_"])
    for name in ("cluster_centers_", "inertia_"):
        np.testing.assert_allclose(found[0][name], found[1][name], rtol=1e-6)
    assert found[0]["n_iter_"] == found[1]["n_iter_"]


def test_centres_beyond_all_numbers_of_float32_take_the_other_way():
    X = _rows(400, 2, "float64")
    starts = np.vstack([X[:2], [[1e25, 0.0]]])
    expected = KMeans(3, init=starts, n_init=1).fit(X)
    found = kmeans_in_memory(KMeans(3, init=starts, n_init=1), X, None, None)
    np.testing.assert_array_equal(found["labels_"], expected.labels_)
