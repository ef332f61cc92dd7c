"""Every primitive by itself: what ONNX Runtime answers, against the reference backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from millrace.backends.onnx import Facts, bind, elementwise, export
from millrace.errors import ExportError, MillraceError
from millrace.ir import Array, Builder, Column, Program, Text, Value
from millrace.ir.ops import (
    Accumulate,
    ArgSort,
    Call,
    Distances,
    Encode,
    Features,
    Gather,
    ImputeNearest,
    Interpolate,
    Nearest,
    OneHot,
    Op,
    PickAlong,
    Reduce,
    SearchSorted,
    Spline,
    Terms,
    Unary,
)
from millrace.ir.types import function
from tests.onnx.runtime import both, notes, run
from tests.properties.programs import RECIPES, Recipe, random_columns, random_program

NUMBERS = np.array(
    [0.0, -0.0, 0.3, -0.7, 1.0, -1.0, 1e-9, -1e-9, 2.5, -3.5, 20.0, -40.0, 1e5, 0.999, 1.7]
)
ULPS = 64
"""ONNX Runtime's functions are not NumPy's; the longest chains of them stay within this."""

NOT_FLOAT = {"bitwise_and", "bitwise_or", "bitwise_xor", "invert"}


def one_op(op: Op, n_columns: int, dtype: str) -> Program:
    """A program of one primitive on the whole table."""
    builder = Builder([Column(f"x{i}") for i in range(n_columns)])
    builder.output("y", builder.append(op, builder.table))
    return builder.program().bound((dtype,) * n_columns)


def compare(program: Program, rows: Any, absolute: float = 0.0) -> None:
    """The same shape, dtype, NaN and infinities; floats within `ULPS`, all else equal."""
    columns = rows if isinstance(rows, list) else list(rows.T)
    with np.errstate(all="ignore"):
        expected, got = both(program, columns)
    for name, answer in expected.items():
        close(answer, got[name], absolute)


def close(expected: Any, got: Any, absolute: float = 0.0) -> None:
    if expected.dtype == object:
        assert [str(v) for v in expected.ravel()] == [str(v) for v in got.ravel()]
        return
    assert (expected.dtype, expected.shape) == (got.dtype, got.shape)
    if expected.dtype.kind != "f":
        np.testing.assert_array_equal(got, expected)
        return
    ulps = ULPS * np.finfo(expected.dtype).eps
    np.testing.assert_allclose(got, expected, rtol=ulps, atol=absolute)


# -- functions -----------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(set(elementwise.UNARY) - NOT_FLOAT))
def test_unary(name: str, dtype: str) -> None:
    cells = np.concatenate([NUMBERS, [np.nan, np.inf, -np.inf]]).astype(dtype)
    program = one_op(Unary(name), 1, dtype)
    slack = {"tan": 1e-6, "sin": 1e-15, "cos": 1e-15}.get(name, 0.0)
    if name in ("arctanh", "logit", "arccosh", "arccos", "arcsin"):  # they cancel near 1
        slack = 1e-6 if dtype == "float32" else 1e-14
    compare(program, cells[:, None], slack)


def test_the_whole_range_of_the_normal_distribution() -> None:
    tails = np.array(
        [0.0, 1.0, 1e-300, 1e-20, 1e-7, 1 - 1e-7, 0.5, 0.075, 0.925, -0.1, 1.1, np.nan]
    )
    cells = np.concatenate([tails, np.random.default_rng(0).random(500)])
    compare(one_op(Unary("ndtri"), 1, "float64"), cells[:, None], 1e-15)
    compare(one_op(Unary("erf"), 1, "float64"), np.linspace(-7, 7, 2001)[:, None])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(set(elementwise.BINARY) - NOT_FLOAT))
def test_binary(name: str, dtype: str) -> None:
    builder = Builder([Column("a"), Column("b")], True)
    a, b = builder.table.column(0), builder.table.column(1)
    builder.output("y", a.combine(name, b))
    cells = np.concatenate([NUMBERS[:-2], [np.nan]]).astype(dtype)
    pairs = np.array([(p, q) for p in cells for q in cells], dtype)
    with np.errstate(all="ignore"):
        exact = function(name)(pairs[:, 0].astype(np.float64), pairs[:, 1])
    if name in ("power", "float_power", "boxcox", "boxcox1p", "floor_divide", "remainder", "mod"):
        pairs = pairs[np.isnan(exact) | (np.abs(exact) < 1e15)]
    slack = {"float32": 1e-5, "float64": 1e-13}[dtype] if name.startswith(("box", "xlog")) else 0.0
    compare(builder.program().bound((dtype, dtype)), pairs, slack)


@pytest.mark.parametrize("dtype", ["bool", "int32", "int64", "uint8", "int16", "float16"])
@pytest.mark.parametrize(
    "name", ["add", "multiply", "maximum", "less", "equal", "logical_and", "not_equal", "divide"]
)
def test_binary_of_other_dtypes(name: str, dtype: str) -> None:
    builder = Builder([Column("a"), Column("b")], True)
    a, b = (builder.table.column(i).cast(dtype) for i in (0, 1))
    builder.output("y", a.combine(name, b))
    rows = np.array([(p, q) for p in (0.0, 1.0, 5.0, 9.0) for q in (1.0, 2.0, 5.0)])
    compare(builder.program().bound(("float64", "float64")), rows)


def test_unknown_function_is_refused_by_name() -> None:
    with pytest.raises(ExportError, match=r"Unary \(step 1 of the program\): ONNX has no gammaln"):
        export(one_op(Unary("gammaln"), 1, "float64"), Facts("a test"))


# -- rows ----------------------------------------------------------------------------------
def table(dtype: str = "float64", n_rows: int = 40, n_columns: int = 4) -> Any:
    rng = np.random.default_rng(0)
    rows = rng.integers(-3, 4, (n_rows, n_columns)).astype(dtype)
    rows[:, 0] += rng.normal(size=n_rows).astype(dtype)
    return rows


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "name", ["sum", "mean", "max", "min", "prod", "any", "all", "argmax", "argmin"]
)
def test_reduce(name: str, dtype: str) -> None:
    rows = table(dtype)
    rows[3, 1] = rows[4, 3] = rows[4, 2] = np.nan
    compare(one_op(Reduce(name), 4, dtype), rows, 1e-6 if dtype == "float32" else 1e-14)


@pytest.mark.parametrize("ufunc", ["add", "multiply", "maximum", "logical_or"])
def test_accumulate(ufunc: str) -> None:
    compare(one_op(Accumulate(ufunc), 4, "float64"), table(), 1e-14)


def test_sorting_keeps_the_order_of_equal_cells() -> None:
    builder = Builder([Column(f"x{i}") for i in range(4)])
    order = builder.append(ArgSort(), builder.table)
    builder.output("order", order)
    builder.output("sorted", builder.append(PickAlong(), builder.table, order))
    compare(builder.program().bound(("float64",) * 4), table())


# -- points --------------------------------------------------------------------------------
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_search_sorted(side: Any, dtype: str) -> None:
    edges = Array([-1.0, 0.1, 0.1, 2.0, -2.0, 3.0])
    rows = np.array([[-1, -2], [0.1, 3], [np.nan, np.nan], [5, -5], [2, 0]]).astype(dtype)
    compare(one_op(SearchSorted(Array([0, 4, 6]), edges, side), 2, dtype), rows)


def test_interpolate() -> None:
    xp = Array([-1.0, 0.0, 0.0, 2.0, 5.0])
    fp = Array([3.0, 1.0, -1.0, 0.5, 7.0])
    rows = np.array(
        [[-2, 5], [-1, 0], [0, 5], [0.3, 9], [2, 1], [9, np.nan], [np.inf, -np.inf]], float
    )
    compare(one_op(Interpolate(Array([0, 4, 5]), xp, fp), 2, "float64"), rows)


@pytest.mark.parametrize("extrapolate", ["yes", "no", "periodic"])
@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_spline(degree: int, extrapolate: Any) -> None:
    rng = np.random.default_rng(degree)
    knots = np.sort(rng.normal(size=degree + 8))
    op = Spline(Array(knots), Array(rng.normal(size=(7, 3))), degree, extrapolate)
    cells = np.concatenate([rng.normal(0, 2, 60), knots[degree:-degree] if degree else knots])
    compare(one_op(op, 1, "float64"), np.append(cells, np.nan)[:, None], 1e-9)


POINTS = np.random.default_rng(1).normal(size=(9, 4))


@pytest.mark.parametrize(
    "metric", ["euclidean", "sqeuclidean", "cityblock", "chebyshev", "minkowski"]
)
def test_distances(metric: Any) -> None:
    compare(one_op(Distances(Array(POINTS), metric, 3.0), 4, "float64"), table())
    compare(one_op(Nearest(Array(POINTS), 3, metric, 3.0), 4, "float64"), table())


def with_holes(rows: Any, share: float) -> Any:
    rows = rows.copy()
    rows[np.random.default_rng(2).random(rows.shape) < share] = np.nan
    return rows


def test_distances_with_holes() -> None:
    points = Array(with_holes(POINTS, 0.4))
    op = Distances(points, "nan_euclidean")
    compare(one_op(op, 4, "float64"), with_holes(table(), 0.5), 1e-7)  # sums cancel in the source


@pytest.mark.parametrize("weights", ["uniform", "distance"])
def test_impute_nearest(weights: Any) -> None:
    points = with_holes(POINTS, 0.3)
    points[:, 2] = np.nan
    op = ImputeNearest(Array(points), 3, weights, Array([1.0, 2.0, 3.0, 4.0]))
    compare(one_op(op, 4, "float64"), with_holes(table(), 0.4), 1e-7)


# -- words ---------------------------------------------------------------------------------
def words(*cells: object) -> Any:
    return np.array([*cells, None], object)[:-1]


def text_program(value: Any) -> Program:
    builder = Builder([Column("word", kind="text")], True)
    builder.output("y", value(builder.table))
    return bind(builder.program(), "float32")


def encoded(**options: Any) -> Any:
    codes = Encode(Text(("a", "b", "")), Array([2, 0, 1], "int32"), **options)
    return lambda column: column.encode(codes).then(OneHot(4))


def test_words_and_missing_words() -> None:
    cells = words("a", "b", "", "c", np.nan, None)
    compare(text_program(encoded(nan=3, none=-1)), [cells])
    compare(text_program(encoded(nan=-1, none=3)), [cells])


def test_an_unknown_word_is_an_error_where_the_source_raises() -> None:
    program = text_program(encoded(strict=True, owner_column="word"))
    compare(program, [words("a", "b")])
    with pytest.raises(Exception, match="out of data bounds"):
        run(export(program, Facts("a test")), {"word": words("a", "c")[:, None]})


def test_words_out() -> None:
    def back(column: Value) -> Value:
        code = column.encode(Encode(Text(("a", "b")), Array([0, 1], "int32"), unknown=2))
        return code.then(Gather(Text(("first", "second", "neither"))))

    compare(text_program(back), [words("a", "b", "c")])


def test_notes_name_the_missing_words() -> None:
    model = export(text_program(encoded(nan=3)), Facts("a test"))
    assert any("'nan' (NaN)" in n for n in notes(model))
    assert "'nan' (NaN)" in model.doc_string


# -- refusals ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("op", "kind", "reason"),
    [
        (Terms("word", (1, 1), Text(("a",)), 1), "text", "Terms .*split text"),
        (Features("dict", Text(("a",)), 1), "object", "Features .*no mappings"),
        (Call("k", "predict", "step/x", "it is odd", 1), "number", "Call .*step/x.*it is odd"),
        (Encode(Array([1]), Array([0], "int32"), hashed=True), "text", "Encode .*hash"),
    ],
)
def test_refused_by_name(op: Op, kind: Any, reason: str) -> None:
    builder = Builder([Column("x", kind=kind)], True)
    builder.output("y", builder.append(op, builder.table))
    with pytest.raises(ExportError, match=reason):
        export(bind(builder.program(), "float32"), Facts("a test"))


# -- programs ------------------------------------------------------------------------------
@given(RECIPES)
@settings(max_examples=60)
def test_random_programs(recipe: Recipe) -> None:
    """Rows on every special number, words that are known, unknown and missing."""
    n_rows = 30
    program = random_program(recipe)
    binding = ("float64",) * recipe.n_numbers + ("object",) * recipe.n_texts
    bound = program.bound(binding)
    columns = random_columns(recipe, "float64", n_rows)
    try:
        expected, got = both(bound, columns)
    except MillraceError:  # rows that the source refuses, or a primitive that ONNX cannot say
        return
    for name, answer in expected.items():
        close(answer, got[name], 1e-12)
