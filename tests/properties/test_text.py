"""The text form of a program holds all of it: parse(*unparse(program)) == program."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millrace.errors import ProgramError
from millrace.ir import Array, Builder, Column, Constant, Program, Text, parse, unparse
from millrace.rewrites import rewrite, simplify
from tests.conformance.cases import EXAMPLES, case
from tests.properties.programs import RECIPES, Recipe, random_program


def comes_back(program: Program) -> None:
    text, constants = unparse(program)
    again = parse(text, constants)
    assert again == program
    assert unparse(again) == (text, constants)


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples(name: str) -> None:
    program = case(name).program
    comes_back(program)
    comes_back(simplify(program))


@given(RECIPES)
@settings(max_examples=80)
def test_random_programs(recipe: Recipe) -> None:
    comes_back(random_program(recipe))


@given(RECIPES)
@settings(max_examples=30)
def test_rewritten_random_programs(recipe: Recipe) -> None:
    """A bound program comes back without its binding, which is not part of the text."""
    program = simplify(random_program(recipe))
    binding = ("float32",) * recipe.n_numbers + ("object",) * recipe.n_texts
    text, constants = unparse(rewrite(program.bound(binding)))
    assert unparse(parse(text, constants)) == (text, constants)


NAMES = st.text(st.characters(exclude_categories=[]), max_size=12)


@given(NAMES, st.lists(NAMES, max_size=5), NAMES)
@settings(max_examples=100)
def test_any_words(name: str, words: list[str], output: str) -> None:
    builder = Builder([Column(name, categories=(*words, 1, 2.5, True))], named=True)
    builder.output(output, builder.constant(Text(tuple(words), "<U9")))
    comes_back(builder.program())


@given(
    st.sampled_from(["float64", "float32", "float16", "int64", "int32", "uint8", "bool"]),
    st.lists(st.integers(0, 5), min_size=1, max_size=2),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=100)
def test_any_array(dtype: str, shape: list[int], seed: int) -> None:
    """Every bit pattern: NaN with a payload, -0.0, subnormal numbers."""
    n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.random.default_rng(seed).bytes(n_bytes)
    values = np.frombuffer(raw, dtype if dtype != "bool" else "uint8").reshape(shape)
    builder = Builder([Column("x")])
    row = Array(values.ravel() & 1, "bool") if dtype == "bool" else Array(values.ravel())
    builder.output("transform", builder.append(Constant(row)))
    comes_back(builder.program())
    again = parse(*unparse(builder.program()))
    assert again.steps[0].op.row.values.tobytes() == row.values.tobytes()


GOOD = 'program\ncolumn "x" any\n%0 = Select {"columns": [0]}\noutput "transform" = %0 matrix\n'


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("program\n", "programme\n"),
        ("Select", "Sellect"),
        ("Select", "Array"),
        ("Select", "__import__"),
        ('{"columns": [0]}', '{"columns": [0]'),
        ('{"columns": [0]}', '{"column": [0]}'),
        ('{"columns": [0]}', '{"columns": {"array": "0123456789abcdef"}}'),
        ('column "x" any', "column x any"),
        ("%0 matrix", "matrix"),
    ],
)
def test_what_is_no_program(old: str, new: str) -> None:
    assert parse(GOOD) is not None
    with pytest.raises(ProgramError, match="line"):
        parse(GOOD.replace(old, new))


def test_an_empty_text_is_no_program() -> None:
    with pytest.raises(ProgramError, match=re.escape("line 1")):
        parse("")
