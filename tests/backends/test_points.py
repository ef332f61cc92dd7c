"""`Distances` and `Nearest`: the kernels give the bits of the reference, which gives those of scipy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist

from millrace.backends.numba import points as numba_points
from millrace.backends.reference import points as reference
from millrace.ir import Array
from millrace.ir.numeric import metric_of
from millrace.ir.ops import Distances, Metric, Nearest
from millrace.statistics.kernels import nearest as search
from millrace.statistics.kernels.points import nearest_in_tree, nearest_of_all

Measure = tuple[Metric, float]

ROOTED: list[Measure] = [("euclidean", 2.0), ("minkowski", 3.0), ("minkowski", 1.5)]

MEASURES: list[Measure] = [
    ("euclidean", 2.0),
    ("sqeuclidean", 2.0),
    ("cityblock", 2.0),
    ("chebyshev", 2.0),
    ("minkowski", 0.5),
    ("minkowski", 1.0),
    ("minkowski", 1.5),
    ("minkowski", 2.0),
    ("minkowski", 3.0),
    ("minkowski", np.inf),
    ("nan_euclidean", 2.0),
]
SHAPES = [(1, 1), (5, 3), (31, 2), (32, 1), (33, 4), (200, 1), (300, 9), (150, 20)]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with np.errstate(all="ignore"):
        yield


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Shape, dtype and bits; any NaN is as good as another."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return bool(((a.view(np.int64) == b.view(np.int64)) | (np.isnan(a) & np.isnan(b))).all())


def awkward(points: np.ndarray, seed: int, grid: bool) -> np.ndarray:
    """Ordinary rows and rows that overflow, are no numbers, or stand on a point."""
    rows = np.random.default_rng(seed).normal(0, 2, (40, points.shape[1]))
    rows = rows.round() if grid else rows
    odd = [np.nan, np.inf, -np.inf, 1e39, 1e300, -0.0, 5e-324, 1e-160]
    rows[: len(odd)] = np.array(odd)[:, None]
    rows[len(odd) : 2 * len(odd), 0] = odd
    rows[-3:] = points[0]
    return rows


def some_points(shape: tuple[int, int], grid: bool) -> np.ndarray:
    points = np.random.default_rng(sum(shape)).normal(size=shape)
    return points.round() if grid else points  # on a grid, most distances are tied


@pytest.mark.parametrize("measure", MEASURES, ids=str)
@pytest.mark.parametrize("grid", [False, True])
def test_kernels_give_the_bits_of_the_reference(measure: Measure, grid: bool) -> None:
    metric, p = measure
    for shape in SHAPES:
        points = some_points(shape, grid)
        rows = awkward(points, shape[0], grid)
        far = Distances(Array(points), metric, p)
        assert same_bits(numba_points.distances(rows, far), reference.distances(rows, far)), shape
        for k in {1, min(5, len(points)), len(points)}:
            op = Nearest(Array(points), k, metric, p)
            assert same_bits(numba_points.nearest(rows, op), reference.nearest(rows, op)), (
                shape,
                k,
            )


@pytest.mark.parametrize("measure", MEASURES[:-1], ids=str)
@pytest.mark.parametrize("grid", [False, True])
def test_a_tree_and_all_tiles_answer_alike(measure: Measure, grid: bool) -> None:
    for shape in ((40, 1), (300, 3), (700, 6), (500, 13)):
        points = some_points(shape, grid)
        rows = awkward(points, 1, grid)
        for k in (1, 7, 40):
            op = Nearest(Array(points), k, *measure)
            expected = reference.nearest(rows, op)
            tiles = numba_points._tiles(op.points)
            code = search.CODES[metric_of(op)]
            by_tree, by_all = np.empty((2, len(rows), 2 * k))
            nearest_in_tree(*tiles.in_tree, rows, code, op.p, len(points), by_tree)
            nearest_of_all(*tiles.in_order, rows, code, op.p, len(points), 3, by_all)
            assert same_bits(by_tree, expected), (shape, k)
            assert same_bits(by_all, expected), (shape, k)


@pytest.mark.parametrize(
    "kind", ["normal", "far off", "grid", "scales", "outlier", "copies", "tiny", "huge", "clusters"]
)
@pytest.mark.parametrize("width", [4, 17, 28])
def test_behind_a_screen_the_same_are_found(
    kind: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_pays", lambda *_: False)
    rng = np.random.default_rng(width)
    points = rng.normal(size=(700, width))
    match kind:
        case "far off":
            points += 1e7
        case "grid":
            points = points.round()
        case "scales":
            points *= np.logspace(-9, 9, width)
        case "outlier":
            points[5] = 1e14
        case "copies":
            points[50:400] = points[:1] + rng.normal(size=(350, width)) * 1e-13
        case "tiny":
            points *= 1e-150
        case "huge":
            points *= 1e90
        case "clusters":
            points = rng.normal(size=(7, width))[rng.integers(7, size=700)] + 1e-6 * points
        case _:
            pass
    rows = np.concatenate([points[:9], points[:20] * 1.001, points[:1] * 1e40, points[3:4] - 1e-9])
    for metric in ("euclidean", "sqeuclidean"):
        for k in (1, 6, 20):
            op = Nearest(Array(points), k, metric)
            for some in (rows, rows[:-2], rows[:4]):
                expected = reference.nearest(some, op)
                assert same_bits(numba_points.nearest(some, op), expected), (k, len(some))


def test_where_few_tiles_are_visited_a_tree_is_walked() -> None:
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(4000, 2)) @ rng.normal(size=(2, 5))
    assert search.Tiles(flat).visited < search._FEW_VISITED
    assert search.Tiles(rng.normal(size=(4000, 9))).visited > search._FEW_VISITED


@settings(max_examples=80, deadline=None)
@given(data=st.data(), measure=st.sampled_from(MEASURES[:-1]), seed=st.integers(0, 99))
def test_any_numbers(data: st.DataObject, measure: Measure, seed: int) -> None:
    width = data.draw(st.integers(1, 4))
    numbers = st.one_of(
        st.sampled_from([0.0, -0.0, 1.0, 1e-300, 1e200, 1 + 2**-52]),
        st.floats(allow_nan=False, allow_infinity=False),
    )
    few = data.draw(arrays(np.float64, (data.draw(st.integers(1, 9)), width), elements=numbers))
    points = few[np.random.default_rng(seed).integers(0, len(few), 150)]
    rows = data.draw(arrays(np.float64, (4, width), elements=numbers))
    op = Nearest(Array(points), data.draw(st.sampled_from([1, 3, 150])), *measure)
    assert same_bits(numba_points.nearest(rows, op), reference.nearest(rows, op))


def test_totals_that_have_the_same_root_are_tied() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(size=(60, 2))
    points = np.concatenate([base + i * 2e-16 for i in range(5)])
    rows = rng.normal(size=(30, 2))
    for metric, p in ROOTED:
        op = Nearest(Array(points), 9, metric, p)
        assert same_bits(numba_points.nearest(rows, op), reference.nearest(rows, op))


def test_of_tied_points_the_first_ones() -> None:
    points = np.tile(np.random.default_rng(0).normal(size=(1, 3)), (500, 1))
    answer = numba_points.nearest(points[:1] + 1.0, Nearest(Array(points), 4))
    assert answer[0, 4:].tolist() == [0, 1, 2, 3]
    far = numba_points.nearest(np.full((1, 3), 1e39), Nearest(Array(points), 2, "cityblock"))
    assert far[0, 2:].tolist() == [0, 1]


@pytest.mark.parametrize("missing", [np.nan, np.inf])
def test_points_that_are_not_finite(missing: float) -> None:
    points = some_points((300, 3), grid=False)
    points[::7, 1] = missing
    rows = awkward(points, 0, grid=False)
    for measure in MEASURES:
        op = Nearest(Array(points), 6, *measure)
        assert same_bits(numba_points.nearest(rows, op), reference.nearest(rows, op)), measure


@pytest.mark.parametrize("dtype", ["float32", "int64", "bool"])
def test_rows_of_other_kinds(dtype: str) -> None:
    points = some_points((40, 3), grid=False)
    rows = np.random.default_rng(0).integers(-3, 4, (7, 3)).astype(dtype)
    frozen = rows[::2]
    frozen.flags.writeable = False
    op = Nearest(Array(points), 5)
    assert same_bits(numba_points.nearest(frozen, op), reference.nearest(frozen, op))
    for empty in (rows[:0], rows[:0, :]):
        assert numba_points.nearest(empty, op).shape == (0, 10)


@pytest.mark.parametrize("measure", MEASURES[:-1], ids=str)
def test_the_reference_is_scipy(measure: Measure) -> None:
    metric, p = measure
    points, rows = some_points((50, 7), grid=False), some_points((20, 7), grid=False)
    by_scipy: Any = cdist
    options = {"p": p} if metric == "minkowski" else {}
    expected = by_scipy(rows, points, metric, **options)
    far = Distances(Array(points), metric, p)
    assert same_bits(reference.distances(rows, far), expected)


def test_missing_cells_are_left_out_as_in_scikit_learn() -> None:
    from sklearn.metrics.pairwise import nan_euclidean_distances

    points, rows = some_points((50, 7), grid=False), some_points((20, 7), grid=False)
    points[::3, 2], rows[::4, 5], rows[1] = np.nan, np.nan, np.nan
    got = reference.distances(rows, Distances(Array(points), "nan_euclidean"))
    # The source takes distances from products, which lose a few digits where points are near.
    np.testing.assert_allclose(got, nan_euclidean_distances(rows, points), rtol=1e-12)
