"""LocalOutlierFactor: the neighbours of scikit-learn, or none at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors

from millrace.solvers.registry import Decline
from millrace.solvers.resident._neighbors import own_neighbors
from millrace.solvers.resident.outlier_factor import local_outlier_factor


@pytest.mark.parametrize("n_features", [1, 3, 9, 20])
@pytest.mark.parametrize("k", [1, 6, 30])
@pytest.mark.parametrize("metric", ["euclidean", "manhattan", "chebyshev"])
def test_neighbours_are_those_of_the_source(n_features: int, k: int, metric: str) -> None:
    X = np.random.default_rng(n_features).normal(size=(700, n_features))
    source = NearestNeighbors(metric=metric).fit(X)
    far, at = source.kneighbors(n_neighbors=k)
    ours_far, ours_at = own_neighbors(source, X, k)
    np.testing.assert_array_equal(ours_at, at)
    np.testing.assert_allclose(ours_far, far, rtol=1e-12)
    assert ours_at.dtype == at.dtype


@pytest.mark.filterwarnings("ignore:Duplicate values")
@pytest.mark.parametrize(("n_features", "copies"), [(2, 1), (2, 4), (2, 20), (20, 1), (20, 4)])
def test_copies_of_rows_change_nothing(n_features: int, copies: int) -> None:
    rng = np.random.default_rng(n_features)
    X = rng.normal(size=(400, n_features))
    X = rng.permutation(np.vstack([X, *[X[:30]] * copies]))
    ours = local_outlier_factor(LocalOutlierFactor(n_neighbors=10), X, None, None)
    source = LocalOutlierFactor(n_neighbors=10).fit(X)
    np.testing.assert_allclose(
        ours["negative_outlier_factor_"], source.negative_outlier_factor_, rtol=1e-6
    )


@pytest.mark.parametrize("n_features", [2, 20])
def test_equally_far_rows_are_declined(n_features: int) -> None:
    X = np.random.default_rng(0).integers(0, 5, (300, n_features)).astype(float)
    with pytest.raises(Decline, match="equally far"):
        local_outlier_factor(LocalOutlierFactor(), X, None, None)


@pytest.mark.parametrize(
    "params",
    [{"metric": "cosine"}, {"p": 3}, {"n_neighbors": 300}, {"metric_params": {"w": [1, 2]}}],
)
def test_what_is_not_covered_is_declined(params: dict[str, Any]) -> None:
    X = np.random.default_rng(0).normal(size=(300, 2))
    with pytest.raises(Decline):
        local_outlier_factor(LocalOutlierFactor(**params), X, None, None)
