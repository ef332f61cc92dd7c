"""What part a column plays follows from what it holds."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from millrace.statistics.base import Batch, Columns
from millrace.statistics.profile import Profile
from millrace.training.roles import roles_of

N = 60
RNG = np.random.default_rng(0)
TEXT = ["the quick brown fox", "jumps over lazy dogs", "and runs away again"]
CASES: dict[str, tuple[list[Any], str, str]] = {
    "floats": (RNG.random(N).tolist(), "number", ""),
    "floats with holes": ([None, *RNG.random(N - 1)], "number", ""),
    "few whole numbers": (RNG.integers(0, 5, N).tolist(), "number", ""),
    "truth values": ((RNG.random(N) < 0.5).tolist(), "number", ""),
    "truth values with holes": ([None, *[True, False] * 30][:N], "left out", "missing"),
    "row numbers": (list(range(N)), "left out", "numbers the rows"),
    "row numbers in disorder": (RNG.permutation(N).tolist(), "left out", "numbers the rows"),
    "whole numbers that differ": (RNG.permutation(10 * N)[:N].tolist(), "number", ""),
    "words": (RNG.choice(["a", "b"], N).tolist(), "category", ""),
    "codes of every row": ([f"K{i:05}" for i in range(N)], "left out", "identifier"),
    "texts": ([f"{TEXT[i % 3]} {i}" for i in range(N)], "text", ""),
    "texts with holes": (
        [None, *(f"{TEXT[i % 3]} {i}" for i in range(N - 1))],
        "left out",
        "fill it",
    ),
    "one value": ([3.5] * N, "left out", "constant"),
    "a long constant": (["x" * 500] * N, "left out", "…"),
    "one value and holes": ([None, *["x"] * (N - 1)], "category", ""),
    "nothing": ([None] * N, "left out", "every cell is missing"),
    "infinite": ([float("inf"), *RNG.random(N - 1)], "left out", "infinite"),
    "dates": ([date(2024, 1, 1 + i % 28) for i in range(N)], "left out", "dates"),
    "dates as words": ([f"2024-01-{1 + i % 28:02}" for i in range(N)], "left out", "dates"),
    "decimals": ([Decimal(i) / 7 for i in range(N)], "left out", "decimal"),
    "bytes": ([b"%d" % i for i in range(N)], "left out", "not supported"),
    "numbers but for a mark": ([*map(str, range(20)), "?"] * 3, "category", "numbers but for '?'"),
}


@pytest.mark.filterwarnings("ignore:invalid value encountered")  # the deviation of infinite values
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_part_of_a_column(case: str) -> None:
    values, part, note = CASES[case]
    statistic, columns = Profile(), Columns(("column",), (pa.array(values),))
    (role,) = roles_of(statistic.finish(statistic.of(Batch(0, columns, None, None))))
    assert role.part == part
    assert note in role.note
    assert len(role.note) < 200
