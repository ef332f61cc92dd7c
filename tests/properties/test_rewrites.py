"""Each rewrite, and all of them in order, keep what a program means, to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from millrace.backends import reference
from millrace.errors import MillraceError
from millrace.ir import MatMul, Program, check, unparse
from millrace.rewrites import REWRITES, SIMPLIFY, rewrite, simplify
from millrace.runtime.inputs import adapt
from tests.conformance import rows as make
from tests.conformance.cases import EXAMPLES, Case, a_share, case, outcome, plain_columns, quiet
from tests.conformance.compare import difference
from tests.properties.programs import RECIPES, Recipe, random_columns, random_program

FEW = 12


def chain(program: Program) -> Iterator[tuple[str, Program]]:
    """The program after every rewrite, each checked against the grammar of programs."""
    for step in (*SIMPLIFY, *REWRITES):
        written = step(program)
        if written is not program:
            yield step.__name__, check(written)
        program = written


def disagreement(
    before: Any,
    refused: Exception | None,
    after: Any,
    error: Exception | None,
    bound: tuple[int, float] = (0, 0.0),
) -> str | None:
    if refused is not None:
        return None if error is not None else "answers what was refused before"
    if error is not None:
        return f"raises {type(error).__name__}: {str(error)[:200]}"
    found = (difference(before[name], after[name], *bound) for name in before)
    return next((f for f in found if f), None)


# -- every example ---------------------------------------------------------------------------------
def batches(found: Case, dtype: str) -> Iterator[tuple[str, Any]]:
    """Own rows with odd numbers in the columns that are read, and rows on the boundaries."""
    rows = found.rows
    if make.numeric(rows):
        rows = make.as_dtype(rows, dtype)
    elif sp.issparse(rows):
        rows = rows.astype(dtype)
    few = make.first(rows, FEW)
    yield "own rows", few
    numbers = [c for c in make.numeric(few) if c in found.read]
    words = [c for c in make.textual(few) if c in found.read]
    for name in ("NaN", "inf", "-0.0", "beyond float32"):
        if numbers:
            yield name, make.with_value(few, numbers, make.NUMBERS[name])
    for name in ("unseen", "None", "NaN"):
        if words:
            yield f"{name} in text", make.with_value(few, words, make.WORDS[name])
    for kind, batch, _ in make.batches(found, rows):
        if kind == "boundaries":
            yield kind, batch


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", a_share(EXAMPLES, 2))
def test_examples(name: str, dtype: str) -> None:
    found = case(name)
    written: dict[tuple[str, ...], list[tuple[str, Program]]] = {}
    problems = []
    for kind, rows in batches(found, dtype):
        columns, refused = outcome(lambda r=rows: plain_columns(found.program, r))
        if refused is not None:  # before any program sees it
            continue
        binding = adapt(rows, found.program, ignore_extra=True).binding
        if found.program.form == "table":
            binding = tuple(str(c.dtype) for c in columns)
        bound = found.program.bound(binding)
        if binding not in written:
            written[binding] = list(chain(bound))
        with quiet():
            expected, refused = outcome(lambda p=bound, c=columns: run(found, p, c))
            for rewritten, after in written[binding]:
                got, error = outcome(lambda p=after, c=columns: run(found, p, c))
                allowed = slack(found, bound)
                if problem := disagreement(expected, refused, got, error, allowed):
                    problems.append(f"after {rewritten}, on {kind}: {problem}")
    assert not problems, "\n".join(problems)


def slack(found: Case, program: Program) -> tuple[int, float]:
    """BLAS adds up another way where a rewrite leaves it a block of another layout."""
    products = any(isinstance(s.op, MatMul) for s in program.steps)
    return (found.example.ulp, found.example.absolute) if products else (0, 0.0)


def run(found: Case, program: Program, columns: Any) -> Any:
    return reference.run(program, columns, found.translation.foreign)


# -- random programs -------------------------------------------------------------------------------
def bound(recipe: Recipe, dtype: str) -> Program:
    binding = (dtype,) * recipe.n_numbers + ("object",) * recipe.n_texts
    return random_program(recipe).bound(binding)


@given(RECIPES, st.sampled_from(["float64", "float32", "int32", "int64"]))
@settings(max_examples=250)
def test_random_programs(recipe: Recipe, dtype: str) -> None:
    program = check(bound(recipe, dtype))
    with np.errstate(invalid="ignore"):
        columns = random_columns(recipe, "float64" if "int" in dtype else dtype, 60)
        columns = [c if c.dtype == object else c.astype(dtype) for c in columns]
    expected, refused = outcome(lambda: reference.run(program, columns))
    for name, after in chain(program):
        got, error = outcome(lambda p=after: reference.run(p, columns))
        problem = disagreement(expected, refused, got, error)
        assert not problem, f"after {name}: {problem}\n{unparse(program)[0]}"


@given(RECIPES, st.sampled_from(["float64", "float32"]), st.data())
@settings(max_examples=100)
def test_alone(recipe: Recipe, dtype: str, data: st.DataObject) -> None:
    """A rewrite does not lean on those before it."""
    program = bound(recipe, dtype)
    columns = random_columns(recipe, dtype, 40)
    expected, refused = outcome(lambda: reference.run(program, columns))
    step = data.draw(st.sampled_from(sorted({*SIMPLIFY, *REWRITES}, key=lambda r: r.__name__)))
    after = check(step(program))
    got, error = outcome(lambda: reference.run(after, columns))
    assert not disagreement(expected, refused, got, error)


@given(RECIPES, st.sampled_from(["float64", "float32"]))
@settings(max_examples=60)
def test_pure(recipe: Recipe, dtype: str) -> None:
    """The same program gives the same result twice, and is itself left alone."""
    program = bound(recipe, dtype)
    text = unparse(program)
    once = rewrite(simplify(program))
    assert rewrite(simplify(program)) == once
    assert unparse(program) == text
    assert [o.name for o in once.outputs] == [o.name for o in program.outputs]
    assert once.columns == simplify(program).columns


def test_a_broken_program_is_not_passed_on() -> None:
    """The checker that stands between the rewrites tells a program that refers to nothing."""
    from dataclasses import replace

    from millrace.ir import Builder, Column, Step, Take

    builder = Builder([Column("x")])
    builder.output("transform", builder.table.cast("float"))
    good = check(builder.program())
    with pytest.raises(MillraceError, match="later or unknown"):
        check(replace(good, steps=(*good.steps, Step(Take((0,)), (7,)))))
    with pytest.raises(MillraceError, match="Take"):
        check(replace(good, steps=(*good.steps, Step(Take((3,)), (0,)))))
