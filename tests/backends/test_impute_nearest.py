"""Cells filled from the nearest points: the kernel chooses the donors that the reference does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from millrace.backends.numba import impute_nearest as ours
from millrace.backends.reference.impute_nearest import impute_nearest as reference
from millrace.ir.arrays import Array
from millrace.ir.ops import ImputeNearest


def holed(seed: int, shape: tuple[int, int], kind: str) -> Any:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=shape)
    if kind == "grid":
        values = rng.integers(0, 3, shape).astype(float)  # most distances are tied
    if kind == "huge":
        values[::3, 0] = 1e200  # infinitely far
    return np.where(rng.random(shape) < 0.3, np.nan, values)


@pytest.mark.parametrize("kind", ["normal", "grid", "huge"])
@pytest.mark.parametrize("weights", ["uniform", "distance"])
@pytest.mark.parametrize("k", [1, 5, 300])
@pytest.mark.filterwarnings("ignore:(overflow|invalid value|divide by zero)")
def test_the_same_donors_are_averaged(
    kind: str, weights: Any, k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ours, "_CELLS", 2000)  # many chunks
    points, rows = holed(0, (250, 5), kind), holed(1, (120, 5), kind)
    points[:, 4] = np.nan
    points[7, 4] = 3.0  # one donor
    rows[5] = np.nan  # nothing in common with any point
    op = ImputeNearest(Array(points), k, weights, Array(np.arange(5.0)))
    filled = ours.impute_nearest(rows, op)
    assert not np.isnan(filled).any() or kind == "huge"
    np.testing.assert_allclose(filled, reference(rows, op), rtol=1e-11, atol=1e-12)
    assert ours.impute_nearest(rows[:0], op).shape == (0, 5)
