"""Forests in the kernels' layouts answer bit for bit as the plain walk of the reference backend."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millrace.backends import reference
from millrace.backends.numba import Executable
from tests.properties.forests import SHAPES, Shape, boundary_rows, program, random_forest

DTYPES = st.sampled_from(["float32", "float64"])

# One row, the last rows of a step-by-step walk, a kernel tile, and more than one block of each.
N_ROWS = st.sampled_from([1, 2, 7, 23, 24, 25, 64, 255, 256, 257, 700])


def same_bits(a: Any, b: Any) -> None:
    """Fail unless dtype, shape and every bit agree; all NaN are one."""
    assert (a.dtype, a.shape) == (b.dtype, b.shape)
    if a.dtype.kind == "f":
        whole = f"i{a.dtype.itemsize}"
        differ = np.ascontiguousarray(a).view(whole) != np.ascontiguousarray(b).view(whole)
        differ &= ~(np.isnan(a) & np.isnan(b))
        assert not differ.any(), f"{int(differ.sum())} cells, first at {np.argwhere(differ)[0]}"
    else:
        np.testing.assert_array_equal(a, b)


def check(shape: Shape, dtype: str, n_rows: int, kind: str) -> None:
    forest = random_forest(shape)
    rows = boundary_rows(forest, shape.n_features, dtype, n_rows, shape.seed)
    bound = program(forest, shape.n_features, dtype, kind)
    executable = Executable(bound, {})
    got = executable.run(list(rows.T), n_rows)[kind]
    same_bits(got, reference.run(bound, list(rows.T))[kind])


@given(SHAPES, DTYPES, N_ROWS)
@settings(max_examples=150)
def test_sums(shape: Shape, dtype: str, n_rows: int) -> None:
    check(shape, dtype, n_rows, "sums")


@given(SHAPES, DTYPES, N_ROWS)
@settings(max_examples=60)
def test_leaves(shape: Shape, dtype: str, n_rows: int) -> None:
    check(shape, dtype, n_rows, "leaves")


@given(SHAPES, DTYPES)
@settings(max_examples=100)
def test_one_row(shape: Shape, dtype: str) -> None:
    forest = random_forest(shape)
    rows = boundary_rows(forest, shape.n_features, dtype, 20, shape.seed)
    bound = program(forest, shape.n_features, dtype, "sums")
    executable = Executable(bound, {})
    expected = reference.run(bound, list(rows.T))["sums"]
    for row, one in zip(rows, expected, strict=True):
        answer = executable.row(row)
        if answer is not None:
            same_bits(answer["sums"], one[None])


@given(SHAPES, DTYPES, N_ROWS)
@settings(max_examples=40)
def test_linear_leaves(shape: Shape, dtype: str, n_rows: int) -> None:
    shape = replace(shape, linear=True, vector_leaves=False, value_dtype="float64")
    check(shape, dtype, n_rows, "sums")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "shape",
    [
        Shape(1, n_trees=2, n_leaves=254, n_features=1, pool=400),  # ranks fill a byte
        Shape(2, n_trees=2, n_leaves=300, n_features=1, pool=1000),  # and need two
        Shape(3, n_trees=3, n_leaves=3000, n_features=2, pool=3000, categories=True),  # deep trees
        Shape(4, n_trees=300, n_leaves=5, n_features=300, pool=50, categories=True),  # many planes
        Shape(5, n_trees=2, n_leaves=150_000, n_features=1, pool=1_000_000),  # compared as values
        Shape(6, n_trees=4, n_leaves=1, n_features=2),  # nothing but leaves
    ],
    ids=["byte ranks", "word ranks", "deep", "many planes", "by value", "single leaves"],
)
def test_large_shapes(shape: Shape, dtype: str) -> None:
    check(shape, dtype, 300, "sums")
    check(shape, dtype, 5, "sums")
    check(shape, dtype, 300, "leaves")
