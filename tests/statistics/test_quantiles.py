"""Exact order statistics: against numpy, whatever the memory, the batches and the values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from millrace.errors import FitError
from millrace.solvers.rows import Rows, Source
from millrace.statistics import quantiles
from millrace.statistics.picked import Picked
from millrace.statistics.quantiles import Sorted, keys_of, numbers_of, percentiles
from millrace.statistics.sketches import KLL
from tests.statistics.batches import batches, in_pairs

POINTS = np.array([0, 0.1, 25, 50, 61.8, 99.9, 100])


def values(n: int = 3000) -> np.ndarray:
    rng = np.random.default_rng(0)
    X = np.column_stack(
        [
            rng.normal(size=n),
            rng.integers(0, 4, n),
            np.zeros(n),
            rng.lognormal(0, 6, n) * rng.choice([-1, 1], n),
            np.where(rng.random(n) < 0.5, 0.0, rng.normal(size=n)),
        ]
    )
    X[rng.random(X.shape) < 0.1] = np.nan
    X[7, 2] = -0.0
    return X


def asked(X: np.ndarray, points: np.ndarray, **given: Any) -> tuple[np.ndarray, int]:
    """The percentiles and the number of sweeps."""
    rows = Rows(Source(("X",)), head=X[:50], n_rows=len(X))
    asking, sweeps = percentiles(rows, points, "Test", **given), 0
    request = next(asking)
    while True:
        sweeps += 1
        try:
            request = asking.send(in_pairs(request.statistic, batches(X, size=333)))
        except StopIteration as stop:
            return stop.value, sweeps


@pytest.mark.parametrize(
    ("memory", "most"), [(1 << 26, 1), (1 << 14, 3), (1 << 9, 6), (8, 20)], ids=str
)
def test_percentiles_are_numpys_whatever_the_memory(
    monkeypatch: pytest.MonkeyPatch, memory: int, most: int
) -> None:
    monkeypatch.setattr(quantiles, "BUFFER_BYTES", memory)
    X = values()
    found, sweeps = asked(X, POINTS)
    np.testing.assert_array_equal(found, np.nanpercentile(X, POINTS, axis=0))
    assert sweeps <= most


@pytest.mark.parametrize("method", ["linear", "inverted_cdf", "averaged_inverted_cdf"])
@pytest.mark.parametrize("memory", [1 << 26, 1 << 10], ids=str)
def test_the_methods_are_numpys(monkeypatch: pytest.MonkeyPatch, method: Any, memory: int) -> None:
    monkeypatch.setattr(quantiles, "BUFFER_BYTES", memory)
    X = np.nan_to_num(values(600))
    points = np.linspace(0, 100, 21)
    found, _ = asked(X, points, method=method)
    np.testing.assert_array_equal(found, np.percentile(X, points, axis=0, method=method))


def test_a_column_without_values_has_no_quantiles(monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.column_stack([np.full(400, np.nan), np.arange(400.0)])
    for memory in (1 << 26, 8):
        monkeypatch.setattr(quantiles, "BUFFER_BYTES", memory)
        found, _ = asked(X, np.array([50.0]))
        np.testing.assert_array_equal(found, [[np.nan, 199.5]])


def test_rows_of_the_first_rows_may_tell_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantiles, "BUFFER_BYTES", 64)
    X = np.concatenate([np.full(50, np.nan), np.random.default_rng(1).normal(size=950)])[:, None]
    found, _ = asked(X, POINTS)
    np.testing.assert_array_equal(found, np.nanpercentile(X, POINTS, axis=0))


def test_nan_is_refused_where_the_source_refuses_it() -> None:
    with pytest.raises(FitError, match="Test"):
        asked(values(), POINTS, allow_nan=False)


def test_keys_are_in_the_order_of_the_numbers() -> None:
    tiny = np.finfo(np.float64).smallest_subnormal
    numbers = np.array([-np.inf, -1e300, -1.0, -tiny, 0.0, tiny, 1.0, 1e300, np.inf])
    keys = keys_of(numbers)
    assert (keys[1:] > keys[:-1]).all()
    np.testing.assert_array_equal(numbers_of(keys), numbers)
    assert keys_of(np.array([-0.0])) == keys_of(np.array([0.0]))


def test_sorted_columns_leave_nan_out() -> None:
    X = values(200)
    for j, column in enumerate(in_pairs(Sorted(), batches(X)).columns):
        np.testing.assert_array_equal(column, np.sort(X[:, j][~np.isnan(X[:, j])]))


def test_picked_rows_are_found_by_their_numbers() -> None:
    X, numbers = values(200), np.array([0, 36, 37, 120, 199])
    found = in_pairs(Picked(numbers), batches(X))
    np.testing.assert_array_equal(found.matrix, X[numbers])
    np.testing.assert_array_equal(found.row_numbers(), numbers)


@pytest.mark.parametrize("order", ["sorted", "shuffled"])
def test_the_sketch_is_within_its_bound_and_loses_no_weight(order: str) -> None:
    X = np.random.default_rng(6).lognormal(size=(50_000, 1))
    X = np.sort(X, axis=0) if order == "sorted" else X
    (sketch,) = in_pairs(KLL(), batches(X, size=1000))
    assert sketch.n == sum(len(v) << h for h, v in enumerate(sketch.levels)) == 50_000
    assert sum(map(len, sketch.levels)) < 1200
    fractions = np.linspace(0, 1, 51)
    ranks = np.searchsorted(np.sort(X[:, 0]), sketch.quantiles(fractions)) / len(X)
    assert np.abs(ranks - fractions).max() < 0.01
