"""Sums by the nearest centre."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import scipy.sparse as sp

from millrace.errors import FitError
from millrace.statistics import Batch
from millrace.statistics.kmeans import Assignment, Clusters
from millrace.statistics.nearest import Bounds, neighbours


def _data(n=200, p=5, k=6, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)) + rng.integers(0, 4, (n, 1))
    return X, X[rng.permutation(n)[:k]] + 0.1, rng.random(n)


def _plain(X, centers, weight):
    away = ((X[:, None, :] - centers[None]) ** 2).sum(axis=2)
    label = away.argmin(axis=1)
    sums = np.stack(
        [(weight[label == c, None] * X[label == c]).sum(0) for c in range(len(centers))]
    )
    return label, sums, np.bincount(label, weight, len(centers)), weight @ away.min(axis=1)


@pytest.mark.parametrize("k", [1, 3, 4, 6, 9])
@pytest.mark.parametrize("p", [1, 4, 7])
def test_sums_are_those_of_the_nearest_rows(k, p):
    X, centers, weight = _data(p=p, k=k)
    _, sums, weights, _ = _plain(X, centers, weight)
    found = Clusters(centers).of(Batch(0, X, None, weight))
    np.testing.assert_allclose(found.sums, sums, rtol=1e-12)
    np.testing.assert_allclose(found.weights, weights, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_labels_and_inertia(dtype):
    X, centers, weight = _data()
    X, centers = X.astype(dtype), centers.astype(dtype)
    label, _, _, inertia = _plain(X.astype(float), centers.astype(float), weight)
    statistic = Assignment(centers.astype(float))
    found = statistic.finish(statistic.of(Batch(0, X, None, weight)))
    np.testing.assert_array_equal(found.labels, label)
    assert found.labels.dtype == np.int32
    np.testing.assert_allclose(found.inertia, inertia, rtol=1e-5 if dtype == np.float32 else 1e-12)


def test_near_ties_are_decided_in_float64():
    X = np.repeat(np.linspace(-1.0, 1.0, 41)[:, None], 3, axis=1)
    centers = np.array([[-1.0] * 3, [1.0] * 3, [1.0 + 1e-12] * 3, [1e30] * 3])
    exact = ((X[:, None, :] - centers[None, :3]) ** 2).sum(axis=2).argmin(axis=1)
    statistic = Assignment(centers)
    found = statistic.finish(statistic.of(Batch(0, np.delete(X, 20, axis=0))))
    np.testing.assert_array_equal(found.labels >= 1, np.delete(exact, 20) >= 1)


def test_a_shift_moves_rows_and_not_answers():
    X, centers, weight = _data()
    shift = np.array([100.0, -3.0, 0.0, 7.0, 1e4])
    moved = Clusters(centers, shift).of(Batch(0, X + shift, None, weight))
    plain = Clusters(centers).of(Batch(0, X, None, weight))
    np.testing.assert_allclose(moved.sums, plain.sums, rtol=1e-9, atol=1e-9)


def test_sparse_rows_give_what_dense_ones_give():
    X, centers, weight = _data()
    X = np.where(X > 1.0, X, 0.0)
    dense = Clusters(centers).of(Batch(0, X, None, weight))
    sparse = Clusters(centers).of(Batch(0, sp.csr_matrix(X), None, weight))
    np.testing.assert_allclose(sparse.sums, dense.sums, rtol=1e-12)
    far = Assignment(centers, n_far=3)
    a = far.finish(far.of(Batch(0, X, None, weight)))
    b = far.finish(far.of(Batch(0, sp.csr_matrix(X), None, weight)))
    np.testing.assert_array_equal(a.labels, b.labels)
    np.testing.assert_allclose(a.far_distance, b.far_distance, rtol=1e-12)


def test_a_weight_is_a_repetition():
    X, centers, _ = _data()
    times = np.random.default_rng(1).integers(0, 3, len(X))
    weighted = Clusters(centers).of(Batch(0, X, None, times.astype(float)))
    repeated = Clusters(centers).of(Batch(0, np.repeat(X, times, axis=0)))
    np.testing.assert_allclose(weighted.sums, repeated.sums, rtol=1e-12, atol=1e-12)


def test_merging_is_the_whole_and_associative():
    X, centers, weight = _data()
    far = Assignment(centers, n_far=4)
    parts = [far.of(Batch(i, X[i : i + 50], None, weight[i : i + 50])) for i in range(0, 200, 50)]
    a, b, c, d = parts
    left = far.finish(far.merge(far.merge(far.merge(a, b), c), d))
    right = far.finish(far.merge(far.merge(a, b), far.merge(c, d)))
    whole = far.finish(far.of(Batch(0, X, None, weight)))
    for other in (right, whole):
        np.testing.assert_array_equal(left.labels, other.labels)
        np.testing.assert_array_equal(left.far, other.far)
        np.testing.assert_array_equal(left.far_label, other.far_label)
        np.testing.assert_allclose(left.inertia, other.inertia, rtol=1e-13)


def test_infinite_rows_are_refused_with_their_place():
    X, centers, _ = _data()
    X[17, 2] = np.inf
    with pytest.raises(FitError, match="row 17"):
        Clusters(centers).of(Batch(0, X))


def _steps(X, k, n_steps, jump=3):
    """Centres of some steps of Lloyd's, with a jump in between that no bound can foresee."""
    rng = np.random.default_rng(4)
    centers = X[:k].astype(np.float64) + 0.01
    for step in range(n_steps):
        yield centers
        label = ((X[:, None, :] - centers[None]) ** 2).sum(axis=2).argmin(axis=1)
        some = np.bincount(label, minlength=k) > 0
        centers = centers.copy()
        centers[some] = np.stack([X[label == c].mean(axis=0) for c in np.flatnonzero(some)])
        if step == jump:
            centers[rng.integers(k, size=3)] += 2.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize(("p", "k"), [(2, 3), (5, 40), (19, 33)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_with_bounds_the_labels_are_those_of_all_distances(dtype, p, k, order):
    rng = np.random.default_rng(p)
    X = rng.standard_normal((700, p)) + 4.0 * rng.integers(0, 3, (700, p))
    X = np.asarray(X.astype(dtype), order=order)
    wide, weight, bounds = X.astype(np.float64), rng.random(700), Bounds()
    for centers in _steps(wide, k, 12):
        found = Clusters(centers, bounds=bounds).of(Batch(0, X, None, weight))
        label, sums, weights, _ = _plain(wide, centers, weight)
        np.testing.assert_allclose(found.sums, sums, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(found.weights, weights, rtol=1e-12)
        seen = Assignment(centers, bounds=bounds)
        np.testing.assert_array_equal(seen.finish(seen.of(Batch(0, X))).labels, label)


def test_without_bounds_the_sums_have_the_same_bits():
    X = np.random.default_rng(3).standard_normal((900, 6))
    bounds = Bounds()
    for centers in _steps(X, 20, 6):
        with_bounds = Clusters(centers, bounds=bounds).of(Batch(0, X))
        without = Clusters(centers).of(Batch(0, X))
        np.testing.assert_array_equal(with_bounds.sums, without.sums)


def test_of_centers_that_are_as_near_the_first_one_is_taken():
    X = np.repeat(np.arange(12.0)[:, None], 20, axis=0)
    centers = np.repeat(np.arange(0.0, 12.0, 0.5), 2)[:, None]
    bounds = Bounds()
    for _ in range(3):
        statistic = Assignment(centers, bounds=bounds)
        found = statistic.finish(statistic.of(Batch(0, X)))
        np.testing.assert_array_equal(found.labels, 4 * X[:, 0].astype(int))


def test_rows_that_float32_cannot_hold_are_compared_in_float64():
    X = np.array([[1e60, 0.0], [-1e60, 1.0], [3e30, 1e30], [0.0, 0.0]])
    centers = np.array([[1e60, 0.0], [-1e60, 0.0], [2e30, 1e30], [1.0, 1.0]])
    bounds = Bounds()
    for _ in range(2):
        statistic = Assignment(centers, bounds=bounds)
        found = statistic.finish(statistic.of(Batch(0, X)))
        np.testing.assert_array_equal(found.labels, [0, 1, 2, 3])


def test_bounds_are_no_part_of_the_question_and_are_not_pickled():
    X, centers, _ = _data()
    bounds = Bounds()
    Clusters(centers, bounds=bounds).of(Batch(0, X))
    assert Clusters(centers, bounds=bounds).key == Clusters(centers).key
    assert len(pickle.dumps(bounds)) < 200
    shorter = Clusters(centers, bounds=bounds).of(Batch(0, X[:50]))
    np.testing.assert_array_equal(shorter.sums, Clusters(centers).of(Batch(0, X[:50])).sums)


@pytest.mark.parametrize("k", [1, 16, 17, 50, 100])
def test_neighbours_are_all_centers_in_some_order(k):
    centers = np.random.default_rng(k).standard_normal((k, 3))
    np.testing.assert_array_equal(np.sort(neighbours(centers)), np.arange(k))
