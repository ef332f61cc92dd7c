"""DBSCAN on the tree of points: the labels of scikit-learn, whatever lies on the border."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.cluster import DBSCAN

from millrace.runtime import pool
from millrace.solvers.registry import Decline
from millrace.solvers.resident import dbscan as module
from millrace.solvers.resident.dbscan import dbscan


def clustered(seed: int, n_features: int, n: int = 900) -> Any:
    """Clusters of very different densities, thin bridges and noise, in no order."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(-5, 5, (6, n_features))
    dense = centres[rng.integers(6, size=n)] + rng.exponential(0.4, (n, 1)) * rng.normal(
        size=(n, n_features)
    )
    bridge = centres[0] + np.linspace(0, 1, 60)[:, None] * (centres[1] - centres[0])
    X = np.vstack([dense, bridge, rng.uniform(-6, 6, (90, n_features)), dense[:20]])
    return rng.permutation(X)


def same(X: Any, weight: Any = None, **params: Any) -> None:
    expected = DBSCAN(**params).fit(X, sample_weight=weight)
    ours = dbscan(DBSCAN(**params), X, None, weight)
    for name in ("labels_", "core_sample_indices_", "components_"):
        theirs = getattr(expected, name)
        np.testing.assert_array_equal(ours[name], theirs, err_msg=name)
        assert ours[name].dtype == theirs.dtype, name


@pytest.mark.parametrize("n_features", [1, 2, 3, 5, 15])
@pytest.mark.parametrize("min_samples", [1, 4, 25])
def test_labels_are_those_of_the_source(n_features: int, min_samples: int) -> None:
    X = clustered(n_features, n_features)
    for part in (0.02, 0.1, 0.4, 3.0):
        same(X, eps=part * np.sqrt(n_features), min_samples=min_samples)


@pytest.mark.parametrize("kind", ["halves", "negative", "rounded"])
def test_weights_count_as_in_the_source(kind: str) -> None:
    rng = np.random.default_rng(4)
    X = clustered(0, 2)
    weight = {
        "halves": rng.integers(0, 7, len(X)) / 2.0,
        "negative": rng.integers(-3, 7, len(X)).astype(float),
        "rounded": rng.random(len(X)),
    }[kind]
    if kind == "negative":
        with pytest.raises(Decline, match="negative"):
            dbscan(DBSCAN(eps=0.3), X, None, weight)
        X = np.rint(4 * X) / 4
    same(X, weight, eps=0.5 if kind == "negative" else 0.3, min_samples=6)


@pytest.mark.parametrize("eps", [1.0, 2.0, 2.5, 5.0])
def test_distances_that_are_eps_count_on_a_lattice(eps: float) -> None:
    X = np.random.default_rng(1).integers(0, 40, (700, 2)).astype(np.float64)
    for min_samples in (2, 4, 9):
        same(X, eps=eps, min_samples=min_samples)
        same(X.astype(np.float32), eps=eps, min_samples=min_samples)


def test_what_rounding_decides_is_declined() -> None:
    tenths = np.random.default_rng(1).integers(0, 40, (700, 2)) / 10
    with pytest.raises(Decline, match="rounding"):
        dbscan(DBSCAN(eps=0.3), tenths, None, None)
    same(tenths, eps=0.25)


def test_doubts_that_change_nothing_are_none() -> None:
    X = np.vstack([np.random.default_rng(1).normal(0, 0.01, (50, 2)), [[0.1, 0.1], [0.3, 0.1]]])
    same(X, eps=0.1 + np.spacing(0.1), min_samples=50)


@pytest.mark.parametrize("threads", [1, 5])
def test_threads_change_no_label(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool._State, "threads", threads)
    monkeypatch.setattr(pool._State, "pool", None)
    same(clustered(2, 3, 4000), eps=0.3)


@pytest.mark.parametrize("n", [12, 15, 16, 17, 33])
def test_few_rows_and_equal_rows(n: int) -> None:
    X = clustered(3, 2)[:n]
    same(X, eps=0.7, min_samples=2)
    same(np.repeat(X[:1], 3 * n, axis=0), eps=0.1)


@pytest.mark.parametrize(
    "change",
    [
        {"metric": "cosine"},
        {"metric": "minkowski", "p": 3},
        {"algorithm": "brute"},
        {"metric_params": {"w": [1, 2]}},
        {"eps": 1e-200},
    ],
    ids=str,
)
def test_what_is_not_covered_is_declined_before_any_work(
    change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "point_tree", None)
    with pytest.raises(Decline):
        dbscan(DBSCAN(**change), clustered(0, 2), None, None)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e200])
def test_values_that_are_not_finite_are_declined(value: float) -> None:
    X = clustered(0, 2)
    X[7, 1] = value
    with pytest.raises(Decline, match="finite"):
        dbscan(DBSCAN(), X, None, None)
