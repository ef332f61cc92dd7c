"""Random small programs of every primitive that converters write, and columns for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from millrace.ir import (
    Array,
    Builder,
    Column,
    Encode,
    Guard,
    IsMissing,
    MatMul,
    OneHot,
    Program,
    Reduce,
    Text,
    Value,
    Where,
)
from millrace.ir.ops import Gather
from tests.properties.forests import SPECIAL, Shape, random_forest

WORDS = ("", "a", "b", "é", 'say "x"', "two\nlines", "%1 = Select", "\u2028", "NaN", "[1]")
CODES = (0.0, 1.0, 2.0, -1.0, 0.5)
UNARY = ("absolute", "negative", "sqrt", "log1p", "expit", "sign", "floor")
BINARY = ("add", "subtract", "multiply", "divide", "minimum", "maximum")


@dataclass(frozen=True)
class Recipe:
    """What a random program looks like."""

    seed: int
    n_numbers: int = 3
    n_texts: int = 1
    n_steps: int = 8
    trees: bool = True


RECIPES = st.builds(
    Recipe,
    seed=st.integers(0, 2**32 - 1),
    n_numbers=st.integers(1, 5),
    n_texts=st.integers(0, 2),
    n_steps=st.integers(0, 14),
    trees=st.booleans(),
)


def random_program(recipe: Recipe) -> Program:
    """A program of this shape; the same one for the same recipe."""
    return _Author(recipe).write()


def random_columns(recipe: Recipe, dtype: str, n_rows: int) -> list[Any]:
    """Cells on special numbers and beside them, words that are known, unknown and missing."""
    rng = np.random.default_rng(recipe.seed + 1)
    with np.errstate(over="ignore"):
        odd = np.array([*SPECIAL, *CODES, np.nan, 7.0]).astype(dtype)
        near = np.concatenate([odd, np.nextafter(odd, np.array(np.inf, dtype))])
    numbers = [
        np.where(rng.random(n_rows) < 0.6, rng.normal(size=n_rows), rng.choice(near, n_rows))
        for _ in range(recipe.n_numbers)
    ]
    cells = np.array([*WORDS, "unknown", None, np.nan], dtype=object)
    return [
        *(n.astype(dtype) for n in numbers),
        *(rng.choice(cells, n_rows) for _ in range(recipe.n_texts)),
    ]


class _Author:
    """Writes one program: each step is drawn from those that fit the blocks written so far."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.rng = np.random.default_rng(recipe.seed)
        names = [f"n{i}" for i in range(recipe.n_numbers)]
        texts = [f"t{i}" for i in range(recipe.n_texts)]
        self.builder = Builder([*(Column(n) for n in names), *(Column(t) for t in texts)], True)
        numbers = self.builder.table.take(range(recipe.n_numbers))
        self.blocks: list[Value] = [numbers.cast("float")]
        self.texts = [
            self.builder.table.column(recipe.n_numbers + i) for i in range(recipe.n_texts)
        ]

    def write(self) -> Program:
        steps = [self.unary, self.binary, self.pair, self.cast, self.fill, self.take, self.join]
        steps += [self.reduce, self.weigh, self.guard, self.code]
        steps += [self.word] * bool(self.texts) + [self.forest] * (2 * self.recipe.trees)
        for _ in range(self.recipe.n_steps):
            self.blocks.append(self.choose(steps)())
        self.builder.output("transform", self.blocks[-1])
        one = self.choose(self.blocks)
        self.builder.output("predict", one.column(int(self.rng.integers(one.width))), "vector")
        return self.builder.program()

    def choose(self, things: Any) -> Any:
        return things[int(self.rng.integers(len(things)))]

    def block(self) -> Value:
        return self.choose(self.blocks[-4:])

    def row(self, width: int) -> np.ndarray:
        dtype = self.choose(["float32", "float64"])
        with np.errstate(over="ignore"):
            return self.rng.choice([*SPECIAL, 2.5, 38.6, -7.25], width).astype(dtype)

    def unary(self) -> Value:
        return self.block().apply(self.choose(UNARY))

    def binary(self) -> Value:
        x = self.block()
        return x.combine(self.choose(BINARY), self.row(self.choose([1, x.width])))

    def pair(self) -> Value:
        x, y = self.block(), self.block()
        return x.combine(self.choose(BINARY), y.column(0) if x.width != y.width else y)

    def cast(self) -> Value:
        if self.rng.random() < 0.3:
            return self.block().cast_like(self.block())
        return self.block().cast(self.choose(["float", "float32", "float64"]))

    def fill(self) -> Value:
        x = self.block()
        missing = self.builder.append(IsMissing("nan"), x)
        finite = np.nan_to_num(self.row(x.width), posinf=1.5, neginf=-1.5)
        return self.builder.append(Where(), missing, self.builder.constant(finite), x)

    def take(self) -> Value:
        x = self.block()
        return x.take(self.rng.integers(0, x.width, self.rng.integers(1, x.width + 1)))

    def join(self) -> Value:
        return self.builder.concat([self.block(), self.block()])

    def reduce(self) -> Value:
        name = self.choose(["sum", "mean", "max", "min", "argmax"])
        return self.builder.append(Reduce(name), self.block()).cast("float64")

    def weigh(self) -> Value:
        x = self.block()
        return self.builder.append(MatMul(Array(self.rng.normal(size=(x.width, 2)))), x)

    def guard(self) -> Value:
        # It passes everything: what a guard refuses on a column that nothing reads is refused
        # before the rewrites and not after them.
        wide = Array([-np.inf]), Array([np.inf])
        return self.builder.append(Guard("Author", True, *wide), self.block())

    def code(self) -> Value:
        codes = Array(self.rng.integers(-1, 4, len(CODES)), "int32")
        encode = Encode(Array(CODES), codes, nan=int(self.rng.integers(-1, 3)))
        number = self.builder.table.column(int(self.rng.integers(self.recipe.n_numbers)))
        return self.used(self.builder.append(encode, number))

    def word(self) -> Value:
        known = tuple(self.rng.permutation(WORDS)[: int(self.rng.integers(1, len(WORDS)))].tolist())
        codes = Array(self.rng.integers(-1, 4, len(known)), "int32")
        nan, none, unknown = (int(c) for c in self.rng.integers(-1, 4, 3))
        encode = Encode(Text(known), codes, nan, none, unknown)
        return self.used(self.builder.append(encode, self.choose(self.texts)))

    def used(self, code: Value) -> Value:
        """Codes as indicators, as numbers, or as places in a table."""
        way = int(self.rng.integers(3))
        if way == 0:
            return self.builder.append(OneHot(3, self.choose(["float64", "float32"])), code)
        if way == 1:
            return code.cast("float64")
        table = Array(self.rng.normal(size=(5, 2)))
        return self.builder.append(Gather(table), code.combine("maximum", np.zeros(1, "int32")))

    def forest(self) -> Value:
        x = self.block()
        shape = Shape(
            int(self.rng.integers(2**31)),
            n_features=x.width,
            n_outputs=2,
            categories=bool(self.rng.random() < 0.3),
            operator=self.choose(["<=", "<"]),
            value_dtype=self.choose(["float32", "float64"]),
        )
        if self.rng.random() < 0.2:
            return x.leaves(random_forest(shape)).cast("float64")
        return x.trees(random_forest(shape))
