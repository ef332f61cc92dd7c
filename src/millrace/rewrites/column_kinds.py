"""Say of each input column whether the program needs numbers or text there.

Before::

    column "workclass" any
    %0 = Select {"columns": [0]}
    %1 = Encode %0 {"categories": {"Text": ...} ...}

After::

    column "workclass" text
    ...
"""

from __future__ import annotations

from dataclasses import replace

from millrace.ir.arrays import Text
from millrace.ir.ops import Cast, Encode
from millrace.ir.program import Kind, Program
from millrace.ir.types import widths
from millrace.rewrites.encode_columns import follow


def column_kinds(program: Program) -> Program:
    """The program with the kind of every column that only one kind of step reads."""
    width = list(widths(program))
    found: dict[int, set[Kind]] = {}
    for step in program.steps:
        if isinstance(step.op, Encode):
            reached = follow(program, step.inputs[0], 0, width)
            if reached is not None:
                found.setdefault(reached[0], set()).add(
                    "text" if isinstance(step.op.categories, Text) else "any"
                )
        elif isinstance(step.op, Cast):
            for c in range(width[step.inputs[0]]):
                reached = follow(program, step.inputs[0], c, width)
                if reached is not None:
                    found.setdefault(reached[0], set()).add("number")
    columns = list(program.columns)
    for c, kinds in found.items():
        if len(kinds) == 1:
            columns[c] = replace(columns[c], kind=next(iter(kinds)))
    return replace(program, columns=tuple(columns))
