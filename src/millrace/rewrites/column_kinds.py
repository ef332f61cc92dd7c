"""Say of each input column whether the program needs numbers or text there.

Before::

    column "workclass" any
    %0 = Select {"columns": [0]}
    %1 = Encode %0 {"categories": {"Text": ...} ...}

After::

    column "workclass" text
    ...

A column is ``number`` where every step that looks into it converts it to numbers: the input adapter
may then do that itself, and say which cell of which column is no number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from millrace.ir.arrays import Text
from millrace.ir.ops import Cast, Concat, Encode, Features, Select, Take, Terms
from millrace.ir.program import Kind, Program
from millrace.ir.types import widths
from millrace.rewrites.encode_columns import follow


def column_kinds(program: Program) -> Program:
    """The program with the kind of every column that only one kind of step reads."""
    width = list(widths(program))
    kinds: dict[int, set[Kind]] = {}
    as_they_are: set[int] = {
        c for output in program.outputs for c in _table_columns(program, output.step, width)
    }
    for step in program.steps:
        match step.op:
            case Encode(categories=categories):
                kind: Kind = "text" if isinstance(categories, Text) else "any"
                for c in _table_columns(program, step.inputs[0], width):
                    kinds.setdefault(c, set()).add(kind)
            case Terms() | Features():
                kind = "text" if isinstance(step.op, Terms) else "object"
                for c in _table_columns(program, step.inputs[0], width):
                    kinds.setdefault(c, set()).add(kind)
            case Cast():
                for c in _table_columns(program, step.inputs[0], width):
                    kinds.setdefault(c, set()).add("number")
            case Select() | Take() | Concat():
                pass
            case _:
                for i in step.inputs:
                    as_they_are.update(_table_columns(program, i, width))
    columns = list(program.columns)
    for c, found in kinds.items():
        if len(found) == 1 and not ("number" in found and c in as_they_are):
            columns[c] = replace(columns[c], kind=next(iter(found)))
    return replace(program, columns=tuple(columns))


def _table_columns(program: Program, at: int, width: list[int]) -> Iterator[int]:
    """The columns of the table that stand, untouched or with words filled in, in a block."""
    for c in range(width[at]):
        reached = follow(program, at, c, width)
        if reached is not None:
            yield reached[0]
