"""BisectingKMeans of rows in memory: the source's tree, with other splits of the same ends."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.cluster import BisectingKMeans

from millrace.solvers.registry import Decline
from millrace.solvers.resident import bisecting
from millrace.solvers.resident.bisecting import bisecting_in_memory


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("strategy", ["biggest_inertia", "largest_cluster"])
@pytest.mark.parametrize("fewest", [2, 500])
def test_the_tree_is_that_of_the_source(monkeypatch, fewest, strategy, weighted):
    monkeypatch.setattr(bisecting, "FEWEST", fewest)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((1500, 5)) + 4.0 * rng.integers(0, 3, (1500, 5)) + 50.0
    before = X.copy()
    weight = rng.integers(1, 5, len(X)) / 2.0 if weighted else None
    estimator = BisectingKMeans(9, random_state=0, bisecting_strategy=strategy, copy_x=False)
    found = bisecting_in_memory(estimator, X, None, weight)
    np.testing.assert_array_equal(X, before)
    expected = estimator.fit(X.copy(), sample_weight=weight)
    np.testing.assert_array_equal(found["labels_"], expected.labels_)
    np.testing.assert_allclose(found["cluster_centers_"], expected.cluster_centers_, rtol=1e-9)
    np.testing.assert_allclose(found["inertia_"], expected.inertia_, rtol=1e-9)
    assert found["_kmeans_single"] is expected._kmeans_single
    assert "_bisect" not in found


@pytest.mark.parametrize("X", [sp.eye_array(5, format="csr"), np.full((5, 2), np.nan)])
def test_what_it_does_not_cover_is_left_to_others(X):
    with pytest.raises(Decline):
        bisecting_in_memory(BisectingKMeans(2), X, None, None)
