"""The likelihood of power transforms: derivatives against differences, sums against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from millrace.errors import FitError
from millrace.statistics import Batch
from millrace.statistics.powers import PowerLikelihood
from tests.statistics.batches import batches, in_pairs


def cells(box_cox: bool) -> np.ndarray:
    rng = np.random.default_rng(5)
    X = np.column_stack([rng.lognormal(0, 1, 300), rng.gamma(2, 3, 300) + 0.1])
    return X if box_cox else np.column_stack([X, rng.normal(size=300) ** 3, -X[:, 0]])


@pytest.mark.parametrize("box_cox", [True, False], ids=["box-cox", "yeo-johnson"])
@pytest.mark.parametrize("power", [-1.3, -0.01, 0.0, 0.2, 1.0, 2.0, 2.01, 3.1], ids=str)
def test_derivatives_and_moments_are_those_of_scipys_transform(box_cox: bool, power: float) -> None:
    X = cells(box_cox)
    found = in_pairs(PowerLikelihood(np.full(X.shape[1], power), box_cox), batches(X))
    transform = stats.boxcox if box_cox else stats.yeojohnson
    llf = stats.boxcox_llf if box_cox else stats.yeojohnson_llf
    for j, column in enumerate(X.T):
        there = transform(column, power)
        np.testing.assert_allclose(found.mean[j], there.mean(), rtol=1e-10)
        np.testing.assert_allclose(found.m2[j], there.var() * 300, rtol=1e-10)
        step = 1e-3
        low, mid, high = (llf(power + k * step, column) / 300 for k in (-1, 0, 1))
        # Differences of second order: off by about the square of the step.
        np.testing.assert_allclose(found.slope[j], (high - low) / (2 * step), rtol=1e-4, atol=1e-5)
        curvature = (high - 2 * mid + low) / step**2
        np.testing.assert_allclose(found.curvature[j], curvature, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("box_cox", [True, False], ids=["box-cox", "yeo-johnson"])
@pytest.mark.parametrize("special", [0.0, 2.0], ids=str)
def test_nothing_jumps_where_the_closed_forms_cancel(box_cox: bool, special: float) -> None:
    X = cells(box_cox)
    for gap in (1e-12, 1e-9, 1e-7):
        near, there = (
            in_pairs(PowerLikelihood(np.full(X.shape[1], p), box_cox), batches(X))
            for p in (special + gap, special)
        )
        for name in ("mean", "m2", "slope", "curvature"):
            # What lambda itself changes: less than 100 times the gap, relatively.
            np.testing.assert_allclose(getattr(near, name), getattr(there, name), 1e-9 + 100 * gap)


def test_missing_cells_are_left_out() -> None:
    X = cells(False)
    some = np.random.default_rng(1).random(300) < 0.3
    holes = X.copy()
    holes[some] = np.nan
    ask = PowerLikelihood(np.full(4, 0.4), False)
    with_holes, without = in_pairs(ask, batches(holes)), in_pairs(ask, [Batch(0, X[~some])])
    np.testing.assert_allclose(with_holes.slope, without.slope, rtol=1e-9)
    np.testing.assert_allclose(with_holes.m2, without.m2, rtol=1e-12)


def test_box_cox_refuses_what_is_not_positive() -> None:
    X = cells(True)
    X[40, 1] = 0.0
    with pytest.raises(FitError, match="strictly positive"):
        in_pairs(PowerLikelihood(np.ones(2), True), batches(X))
