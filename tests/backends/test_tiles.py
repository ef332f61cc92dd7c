"""Groups of steps on tiles of columns give the bits of the reference, and refuse what it refuses."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from millrace.backends.numba import Executable
from millrace.backends.numba.groups import Group
from millrace.backends.reference import run
from millrace.errors import NonFiniteError
from millrace.ir import Builder, Column, Guard, Program
from millrace.ir.arrays import Array

ROWS = (8, 127, 128, 129, 700)
"""Fewer than a tile, about a tile, and several with a rest."""


def program_of(width: int, dtype: str, write: Any, shape: str = "matrix") -> Program:
    """A program of one output on a table of one dtype."""
    builder = Builder([Column(f"x{i}", "number") for i in range(width)])
    builder.output("transform", write(builder.table), shape)  # pyright: ignore[reportArgumentType]
    return builder.program().bound((dtype,) * width)


def cells(n: int, width: int, dtype: str, odd: bool = False) -> Any:
    """Numbers of many magnitudes, if asked for with NaN, infinities and zeros of both signs."""
    rng = np.random.default_rng(n * 131 + width)
    block = rng.normal(size=(n, width)) * 10.0 ** rng.integers(-3, 4, (n, width))
    if odd:
        at = rng.random(block.shape) < 0.3
        block[at] = rng.choice([np.nan, np.inf, -np.inf, 0.0, -0.0], at.sum())
    return block.astype(dtype)


def is_tiled(executable: Executable) -> bool:
    """Whether a group runs the program."""
    schedule = executable.schedule
    return schedule is not None and any(isinstance(a, Group) for a in schedule.actions)


def same(a: Any, b: Any) -> bool:
    """The same dtype, shape and bits; any NaN is a NaN."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    bits = f"i{a.dtype.itemsize}"
    equal = np.ascontiguousarray(a).view(bits) == np.ascontiguousarray(b).view(bits)
    return bool((equal | ((a != a) & (b != b))).all())


def compared(program: Program, block: Any) -> tuple[Any, Any]:
    """The answers of the backend and of the reference."""
    executable = Executable(program, {})
    assert is_tiled(executable)
    columns = [block[:, c] for c in range(block.shape[1])]
    got = executable.run(np.ascontiguousarray(block), len(block))["transform"]
    return got, run(program, columns)["transform"]


REDUCTIONS = ("sum", "mean", "max", "min", "prod", "square_sum")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", REDUCTIONS)
def test_rows_are_added_up_in_numpys_order(name: str, dtype: str) -> None:
    for width in (1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 24, 33, 128):
        program = program_of(width, dtype, lambda x: (x * [3.0]).reduce(name) * [1.0])
        got, expected = compared(program, cells(300, width, dtype))
        assert same(got, expected), width


@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_the_first_of_the_largest_is_found(name: str) -> None:
    program = program_of(5, "float64", lambda x: (x * [1.0]).reduce(name))
    block = np.clip(np.round(cells(300, 5, "float64", odd=True)), -2.0, 2.0)
    got, expected = compared(program, block)
    assert same(got, expected)


ELEMENTWISE = (
    "exp",
    "log1p",
    "expit",
    "sqrt",
    "abs",
    "sign",
    "tanh",
    "square",
    "isfinite",
    "floor",
)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_functions_have_numpys_bits(name: str, dtype: str) -> None:
    program = program_of(3, dtype, lambda x: (x * [0.5]).apply(name))
    for n in ROWS:
        got, expected = compared(program, cells(n, 3, dtype, odd=True))
        assert same(got, expected), n


PAIRS = ("add", "subtract", "multiply", "divide", "maximum", "minimum", "hypot", "greater", "equal")


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "bool"])
@pytest.mark.parametrize("name", PAIRS)
def test_pairs_have_numpys_bits(name: str, dtype: str) -> None:
    def write(x: Any) -> Any:
        left, right = x.take([0, 1]).cast("float64"), x.take([2]).cast("float64")
        return left.combine(name, right).combine(name, [2.0, -0.0])

    got, expected = compared(program_of(3, dtype, write), cells(300, 3, "float64").astype(dtype))
    assert same(got, expected)


def test_masks_choose() -> None:
    def write(x: Any) -> Any:
        missing = x.is_missing()
        filled = missing.where([7.0, -0.0, np.inf], x)
        either = missing.where(x * [2.0], [1.0])
        return x.builder.concat([filled, either, missing, missing.where([1.0], [0.0])])

    got, expected = compared(program_of(3, "float64", write), cells(300, 3, "float64", odd=True))
    assert same(got, expected)


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 8, 11])
def test_neighbouring_columns_are_moved_whole(width: int) -> None:
    program = program_of(width, "float64", lambda x: (x - [0.0]) * [1.0])
    for n in ROWS:
        block = cells(n, width, "float64")
        got, expected = compared(program, block)
        assert same(got, expected), n


def test_tables_of_every_layout() -> None:
    program = program_of(5, "float64", lambda x: (x - [1.0]) / [1.0, 2.0, 3.0, 4.0, 5.0])
    executable, block = Executable(program, {}), cells(300, 10, "float64")
    layouts: dict[str, Any] = {
        "every other column": block[:, ::2],
        "every other row": np.repeat(block, 2, axis=0)[::2, :5],
        "backwards": block[::-1, 4::-1],
        "columns one after another": np.asfortranarray(block[:, :5]),
        "unaligned": np.frombuffer(b"x" + block[:, :5].tobytes(), np.uint8)[1:]
        .view("float64")
        .reshape(300, 5),
    }
    for name, rows in layouts.items():
        columns = [rows[:, c] for c in range(5)]
        expected = run(program, columns)["transform"]
        assert same(executable.run(rows, 300)["transform"], expected), name
        assert same(executable.run(columns, 300)["transform"], expected), name


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("allow_nan", [False, True])
@pytest.mark.parametrize("limit", [None, 1e4])
def test_a_refused_row_is_named(dtype: str, allow_nan: bool, limit: float | None) -> None:
    bounds = {} if limit is None else {"low": Array([-limit]), "high": Array([limit])}
    guard = Guard("Step", allow_nan=allow_nan, **bounds)
    program = program_of(3, dtype, lambda x: (x.then(guard) * [1.0]).apply("sqrt"))
    executable = Executable(program, {})
    assert is_tiled(executable)
    for value in (np.nan, np.inf, -np.inf, 2e4, -2e4, float(np.finfo(dtype).max)):
        for row in (0, 127, 128, 299):
            block = np.ones((300, 3), dtype)
            block[row, 1] = value
            passes = allow_nan if value != value else abs(value) <= (limit or np.finfo(dtype).max)
            if passes:
                executable.run(block, 300)
                continue
            with pytest.raises(NonFiniteError, match=f"row {row}"):
                executable.run(block, 300)


def test_threads_do_not_share_a_tile() -> None:
    program = program_of(4, "float64", lambda x: (x * [2.0]).apply("exp").reduce("sum"), "vector")
    executable = Executable(program, {})
    blocks = [cells(2_000 + k, 4, "float64") for k in range(16)]
    expected = [executable.run(b, len(b))["transform"] for b in blocks]
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda b: executable.run(b, len(b))["transform"], blocks * 4))
    assert all(same(a, b) for a, b in zip(got, expected * 4, strict=True))


def test_a_product_keeps_its_bound() -> None:
    rng = np.random.default_rng(0)
    for inside, outside in ((1, 1), (7, 3), (16, 5)):
        weights, block = rng.normal(size=(inside, outside)), cells(300, inside, "float64")
        got, expected = compared(
            program_of(inside, "float64", lambda x, w=weights: (x @ w) * [1.0]), block
        )
        room = 2 * inside * np.finfo(np.float64).eps * (np.abs(block) @ np.abs(weights))
        assert (np.abs(got - expected) <= room).all()


def test_powers_are_left_to_numpy() -> None:
    # NumPy squares where one exponent of 2 stands for all cells, and raises where it does not.
    program = program_of(2, "float64", lambda x: (x * [1.0]).combine("power", [2.0, 2.0]))
    block = np.abs(cells(300, 2, "float64"))
    got = Executable(program, {}).run(block, 300)["transform"]
    assert same(got, run(program, [block[:, 0], block[:, 1]])["transform"])
