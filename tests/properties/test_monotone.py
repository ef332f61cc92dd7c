"""The inverse of a cell's way to a split, against a look at the floats around the answer."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from millrace.ir import Array
from millrace.rewrites.monotone import (
    Arithmetic,
    Fill,
    Function,
    Path,
    Round,
    largest_at_most,
    smallest_at_least,
)

NEIGHBOURS = 60

ORDINARY = st.floats(-1e6, 1e6, allow_nan=False)
FINITE = st.one_of(ORDINARY, st.floats(allow_nan=False, allow_infinity=False))
BOUNDS = st.lists(st.one_of(ORDINARY, st.floats(allow_nan=False)), min_size=1, max_size=5)


@st.composite
def constants(draw: st.DrawFn, positive: bool = False) -> Array:
    """One number that a scaler or an imputer may hold, float32 or float64."""
    dtype = draw(st.sampled_from(["float32", "float64"]))
    value = draw(FINITE)
    with np.errstate(over="ignore", under="ignore"):
        number = np.array([abs(value) if positive else value], dtype)
    if not np.isfinite(number).all() or (positive and not (number > 0).all()):
        number = np.array([0.1], dtype)
    return Array(number)


ARITHMETIC = st.one_of(
    st.builds(Arithmetic, st.sampled_from(["add", "subtract", "minimum", "maximum"]), constants()),
    st.builds(Arithmetic, st.sampled_from(["multiply", "divide"]), constants(positive=True)),
)
ROUND = st.builds(Round, st.sampled_from(["float16", "float32", "float64"]))
FILL = st.builds(Fill, constants())


@st.composite
def paths(draw: st.DrawFn) -> Path:
    dtype = np.dtype(draw(st.sampled_from(["float32", "float64"])))
    functions: list[Function] = draw(st.lists(st.one_of(ARITHMETIC, ROUND, FILL), max_size=4))
    return Path(0, dtype, tuple(functions))


def around(x: float, dtype: np.dtype) -> np.ndarray:
    """A float and its neighbours in ascending order."""
    up, down = np.array(np.inf, dtype), np.array(-np.inf, dtype)
    above, below = [np.array(x, dtype)], [np.array(x, dtype)]
    with np.errstate(over="ignore"):
        for _ in range(NEIGHBOURS):
            above.append(np.nextafter(above[-1], up))
            below.append(np.nextafter(below[-1], down))
    return np.unique(np.array([*below, *above], dtype))


def somewhere(dtype: np.dtype) -> np.ndarray:
    """Floats of every size."""
    exponents = np.arange(-44, 38, 4.0)
    with np.errstate(over="ignore", under="ignore"):
        sizes = np.concatenate([[0.0, np.inf], 10.0**exponents]).astype(dtype)
    return np.concatenate([-sizes, sizes])


@given(paths(), BOUNDS, st.booleans())
@settings(max_examples=400)
def test_largest_at_most(path: Path, bounds: list[float], strict: bool) -> None:
    found = largest_at_most(path, np.array(bounds), strict)
    for bound, last in zip(bounds, found, strict=True):
        tried = np.concatenate(
            [around(0.0 if np.isnan(last) else last, path.dtype), somewhere(path.dtype)]
        )
        image = path(tried).astype(np.float64)
        holds = image < bound if strict else image <= bound
        expected = np.zeros(len(tried), bool) if np.isnan(last) else tried <= last
        np.testing.assert_array_equal(holds, expected, f"{bound!r} -> {last!r}")


@given(paths(), BOUNDS)
@settings(max_examples=400)
def test_smallest_at_least(path: Path, bounds: list[float]) -> None:
    found = smallest_at_least(path, np.array(bounds))
    for bound, first in zip(bounds, found, strict=True):
        near = around(0.0 if np.isnan(first) else first, path.dtype)
        tried = np.concatenate([near, somewhere(path.dtype)])
        holds = path(tried).astype(np.float64) >= bound
        expected = np.zeros(len(tried), bool) if np.isnan(first) else tried >= first
        np.testing.assert_array_equal(holds, expected, f"{bound!r} -> {first!r}")


@given(paths(), st.lists(FINITE, min_size=2, max_size=20))
@settings(max_examples=200)
def test_a_path_never_decreases(path: Path, values: list[float]) -> None:
    with np.errstate(over="ignore"):
        ascending = np.sort(np.array(values).astype(path.dtype))
    image = path(ascending).astype(np.float64)
    assert (image[:-1] <= image[1:]).all()
