"""How rows are cut into batches, blocks and threads changes no bit of the answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import millrace as mr
from millrace.backends.numba import Executable
from millrace.ir import MatMul, Program
from millrace.ir.arrays import dense_array
from millrace.ir.ops import ImputeNearest
from millrace.rewrites import rewrite, simplify
from tests.conformance import rows as make
from tests.conformance.cases import EXAMPLES, Case, a_share, case, outcome, quiet
from tests.conformance.compare import difference
from tests.properties.programs import RECIPES, Recipe, random_columns, random_program

NATIVE = [name for name in EXAMPLES if EXAMPLES[name].native]
N_ROWS = 330
BLOCK_ROWS = (1, 16, 100)


def dense(answers: dict[str, Any]) -> dict[str, Any]:
    return {k: dense_array(v) for k, v in answers.items()}


def joined(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {name: np.concatenate([dense(p)[name] for p in parts]) for name in parts[0]}


def cut(columns: Any, first: int, stop: int) -> Any:
    if sp.issparse(columns):
        return columns[first:stop]
    return [c if c is None else c[first:stop] for c in columns]


def in_pieces(executable: Executable, columns: Sequence[Any], ends: Sequence[int]) -> Any:
    """One run for each piece of the rows."""
    pieces = list(zip([0, *ends[:-1]], ends, strict=True))
    return joined([executable.run(cut(columns, a, b), b - a) for a, b in pieces])


Bound = tuple[int, float]
"""How many units in the last place, and how much in absolute terms."""


def unlike(expected: dict[str, Any], got: dict[str, Any], bound: Bound = (0, 0.0)) -> str | None:
    expected, got = dense(expected), dense(got)
    found = (difference(expected[name], got[name], *bound) for name in expected)
    return next((f for f in found if f), None)


def in_any_order(program: Program) -> bool:
    """A BLAS chooses the order in which it adds up a row by the number of rows: so does the source."""
    return any(isinstance(step.op, (MatMul, ImputeNearest)) for step in program.steps)


def bound(found: Case, program: Program) -> Bound:
    """The bound of an example, where a BLAS or the layout of a row fixes the order of additions."""
    return (found.example.ulp, found.example.absolute) if in_any_order(program) else (0, 0.0)


def prepared(found: Case, method: str) -> tuple[Executable, list[Any], int]:
    """An executable of one method of an example, and a few hundred rows for it."""
    rows = make.take(found.rows, np.arange(N_ROWS) % make.n_rows(found.rows))
    with quiet():
        model = found.model.form_of(rows)
        batch = model.adapt(method, rows)
        program = model.runnable(method, batch.binding).program
    return Executable(program, {}), batch.columns, batch.n_rows


@pytest.mark.parametrize("name", a_share(NATIVE, 3))
def test_examples(name: str, threads: Callable[[int], None]) -> None:
    found = case(name)
    problems = []
    for method in found.methods:
        executable, columns, n = prepared(found, method)
        threads(1)
        whole = executable.run(columns, n)
        tried = {"pieces": in_pieces(executable, columns, [1, 2, 9, 33, 34, 200, n])}
        for block_rows in BLOCK_ROWS:
            executable.block_rows, executable.alone_rows = block_rows, 0
            threads(1)
            tried[f"blocks of {block_rows}"] = alone = executable.run(columns, n)
            threads(3)
            if problem := unlike(alone, executable.run(columns, n)):
                problems.append(f"{method} in blocks of {block_rows} on three threads: {problem}")
        allowed = bound(found, executable.program)
        compared = ((k, unlike(whole, got, allowed)) for k, got in tried.items())
        problems += [f"{method} in {k}: {p}" for k, p in compared if p]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("name", a_share(NATIVE, 2))
def test_one_row_of_an_example(name: str) -> None:
    """`Executable.row`, where there is one, answers as `run` does, for plain and for odd cells."""
    found = case(name)
    if not make.is_table(found.rows):
        pytest.skip("its input is no table")
    few = make.first(found.rows, 6)
    numbers = [c for c in make.numeric(few) if c in found.read]
    words = [c for c in make.textual(few) if c in found.read]
    batches = [few]
    batches += [make.with_value(few, numbers, v) for v in make.NUMBERS.values() if numbers]
    batches += [make.with_value(few, words, v) for v in make.WORDS.values() if words]
    problems = []
    for method in found.methods:
        for rows in batches:
            with quiet():
                batch, refused = outcome(lambda m=method, r=rows: found.model.adapt(m, r))
                if refused is not None:  # before any executable sees it
                    continue
                executable = found.model.runnable(method, batch.binding)
            for i in range(batch.n_rows):
                one = cut(batch.columns, i, i + 1)
                cells = [None if c is None else _cell(c) for c in one]
                if any(c is not None and v is None for c, v in zip(one, cells, strict=True)):
                    continue  # None is a null in a row of cells, and itself in an array of objects
                got, error = outcome(lambda e=executable, c=cells: e.row(c))
                if got is None and error is None:
                    continue  # only `run` will do
                with quiet():
                    expected, refused = outcome(lambda e=executable, o=one: e.run(o, 1))
                if error is not None or refused is not None:
                    problems.append(f"{method}: row gives {got} {error}, run {expected} {refused}")
                elif problem := unlike(expected, got, bound(found, executable.program)):
                    problems.append(f"{method} of {cells}: {problem}")
    assert not problems, "\n".join(problems[:8])


def _cell(column: Any) -> Any:
    return column[0] if isinstance(column, np.ndarray) else column[0].as_py()


@given(
    RECIPES,
    st.sampled_from(["float64", "float32"]),
    st.lists(st.integers(1, 299), unique=True, max_size=5).map(sorted),
    st.integers(1, 120),
    st.integers(1, 4),
)
@settings(max_examples=80)
def test_random_programs(
    recipe: Recipe, dtype: str, ends: list[int], block_rows: int, n_threads: int
) -> None:
    binding = (dtype,) * recipe.n_numbers + ("object",) * recipe.n_texts
    program = rewrite(simplify(random_program(recipe)).bound(binding))
    assume(not in_any_order(program))
    columns = random_columns(recipe, dtype, 300)
    executable = Executable(program, {})
    before = mr.get_threads()
    try:
        mr.set_threads(1)
        whole = executable.run(columns, 300)
        assert not unlike(whole, in_pieces(executable, columns, [*ends, 300]))
        mr.set_threads(n_threads)
        executable.block_rows, executable.alone_rows = block_rows, 0
        assert not unlike(whole, executable.run(columns, 300))
    finally:
        mr.set_threads(before)
