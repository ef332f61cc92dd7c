"""Products of rows that are read where they lie give the bits of products of columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from millrace.backends.numba import Executable
from millrace.backends.numba.groups import Group
from millrace.errors import NonFiniteError
from millrace.ir import Builder, Column, Guard

ROWS = 131
"""A tile and a few rows that are no four."""


def executable_of(weights: Any, guard: Guard | None = None) -> Executable:
    width = len(weights)
    builder = Builder([Column(f"x{i}", "number") for i in range(width)])
    table = builder.table if guard is None else builder.table.then(guard)
    builder.output("transform", (table @ weights) * [0.5], "matrix")
    return Executable(builder.program().bound(("float64",) * width), {})


def group_of(executable: Executable) -> Group:
    assert executable.schedule is not None
    (group,) = (a for a in executable.schedule.actions if isinstance(a, Group))
    return group


@pytest.mark.parametrize("n_targets", [1, 2, 3, 4, 5, 9])
def test_rows_and_columns_give_the_same_bits(n_targets: int) -> None:
    rng = np.random.default_rng(n_targets)
    for width in range(4, 17):
        weights = rng.normal(size=(width, n_targets)) * 10.0 ** rng.integers(-3, 4, (width, 1))
        executable = executable_of(weights)
        assert group_of(executable).of_rows is not None
        for n_rows in (8, 10, 128, ROWS):
            block = rng.normal(size=(n_rows, width))
            by_rows = executable.run(block, n_rows)["transform"]
            by_columns = executable.run(list(np.asfortranarray(block).T), n_rows)["transform"]
            assert (by_rows == by_columns).all(), (width, n_rows)


@pytest.mark.parametrize("n_targets", [1, 3])
@pytest.mark.parametrize("allow_nan", [False, True])
def test_a_refused_cell_is_found_wherever_it_stands(n_targets: int, allow_nan: bool) -> None:
    weights = np.ones((5, n_targets))
    executable = executable_of(weights, Guard("Step", allow_nan=allow_nan))
    assert group_of(executable).of_rows is not None
    for row in (0, 3, 127, 128, ROWS - 1):
        for column in range(5):
            for value in (np.nan, np.inf, -np.inf, 1e308):
                block = np.zeros((ROWS, 5))
                block[row, column] = value
                if value == 1e308 or (allow_nan and value != value):
                    answer = executable.run(block, ROWS)["transform"]
                    assert np.array_equal(answer, block @ weights * 0.5, equal_nan=True)
                else:
                    with pytest.raises(NonFiniteError, match=f"row {row}"):
                        executable.run(block, ROWS)


def test_columns_that_are_read_elsewhere_too_stay_columns() -> None:
    builder = Builder([Column(f"x{i}", "number") for i in range(4)])
    table = builder.table
    builder.output("transform", (table @ np.eye(4)) * table, "matrix")
    executable = Executable(builder.program().bound(("float64",) * 4), {})
    assert group_of(executable).of_rows is None
    block = np.random.default_rng(0).normal(size=(20, 4))
    assert (executable.run(block, 20)["transform"] == block * block).all()
