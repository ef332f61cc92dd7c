"""Say outright to what dtype a block is converted, now that all dtypes are known.

Before (the column is float32)::

    %0 = Select {"columns": [0]}
    %1 = Constant {"row": {"float64[1]": [2.5]}}
    %2 = CastLike %1 %0 {}

After::

    %0 = Select {"columns": [0]}
    %1 = Constant {"row": {"float64[1]": [2.5]}}
    %2 = Cast %1 {"dtype": "float32"}
"""

from __future__ import annotations

from dataclasses import replace

from millrace.ir.ops import Cast, CastLike
from millrace.ir.program import Program, Step
from millrace.ir.types import infer


def resolve_casts(program: Program) -> Program:
    """The program with `Cast` in place of every `CastLike` to a number."""
    types = infer(program, program.binding)
    steps = list(program.steps)
    for position, step in enumerate(program.steps):
        dtype = types[position].dtype
        if isinstance(step.op, CastLike) and dtype != "object":
            steps[position] = Step(Cast(dtype), step.inputs[:1])  # pyright: ignore[reportArgumentType]
    return replace(program, steps=tuple(steps))
