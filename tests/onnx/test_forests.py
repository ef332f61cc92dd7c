"""Random forests with everything that the IR allows answer in ONNX Runtime as in the reference."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millrace.backends.onnx import Facts, export, trees
from millrace.errors import ExportError
from tests.onnx.runtime import both
from tests.properties.forests import SHAPES, Shape, boundary_rows, program, random_forest
from tests.properties.test_forests import same_bits

DTYPES = st.sampled_from(["float32", "float64"])


def check(shape: Shape, dtype: str, kind: str, n_rows: int = 60) -> None:
    """Every row goes where it should, and one thread adds up the values in the same order."""
    forest = random_forest(shape)
    rows = boundary_rows(forest, shape.n_features, dtype, n_rows, shape.seed)
    expected, got = both(program(forest, shape.n_features, dtype, kind), list(rows.T))
    same_bits(got[kind], expected[kind])


@given(SHAPES, DTYPES)
@settings(max_examples=120)
def test_sums(shape: Shape, dtype: str) -> None:
    check(shape, dtype, "sums")


@given(SHAPES, DTYPES)
@settings(max_examples=60)
def test_leaves(shape: Shape, dtype: str) -> None:
    check(shape, dtype, "leaves")


@given(SHAPES, DTYPES)
@settings(max_examples=40)
def test_sums_of_found_leaves(shape: Shape, dtype: str) -> None:
    """As a forest of many values a leaf that would be too large as one tree a value."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trees, "MOST_NODES", 0)
        check(replace(shape, vector_leaves=True, n_outputs=3), dtype, "sums")


@pytest.mark.parametrize("n_rows", [0, 1])
@pytest.mark.parametrize("kind", ["sums", "leaves"])
def test_few_rows(n_rows: int, kind: str) -> None:
    check(Shape(seed=3, categories=True), "float64", kind, n_rows)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_forest_of_single_leaves(dtype: str) -> None:
    check(Shape(seed=5, n_leaves=1, n_outputs=2), dtype, "sums")
    check(Shape(seed=5, n_leaves=1), dtype, "leaves")


def test_linear_leaves_are_refused() -> None:
    bound = program(random_forest(Shape(seed=1, linear=True)), 3, "float64", "sums")
    with pytest.raises(ExportError, match=r"Trees \(step 1 .*linear models.*linear leaves"):
        export(bound, Facts("a test"))
