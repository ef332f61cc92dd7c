"""The rewrites, in the order in which they run: the order is meaning.

`SIMPLIFY` runs once, when a model is compiled: it holds for any input. `REWRITES` runs when the
dtypes of the input are known.
"""

from __future__ import annotations

from collections.abc import Callable

from millrace.ir.program import Program
from millrace.rewrites.absorb import absorb
from millrace.rewrites.column_kinds import column_kinds
from millrace.rewrites.dense_one_hot import dense_one_hot
from millrace.rewrites.encode_columns import encode_columns
from millrace.rewrites.fold_constants import fold_constants
from millrace.rewrites.narrow import narrow
from millrace.rewrites.prune import prune
from millrace.rewrites.resolve_casts import resolve_casts

Rewrite = Callable[[Program], Program]

SIMPLIFY: tuple[Rewrite, ...] = (
    prune,
    dense_one_hot,
    fold_constants,
    column_kinds,
)

REWRITES: tuple[Rewrite, ...] = (
    prune,
    resolve_casts,
    fold_constants,
    narrow,
    encode_columns,
    absorb,
    narrow,
)


def simplify(program: Program) -> Program:
    """The rewrites that need not know the dtypes of the input."""
    for step in SIMPLIFY:
        program = step(program)
    return program


def rewrite(program: Program) -> Program:
    """All rewrites of a bound program, one after another."""
    for step in REWRITES:
        program = step(program)
    return program
