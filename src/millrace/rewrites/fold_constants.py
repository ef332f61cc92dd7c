"""Compute what does not depend on the input.

Before::

    %0 = Constant {"row": {"float64[1]": [2.0]}}
    %1 = Unary %0 {"ufunc": "sqrt"}

After::

    %0 = Constant {"row": {"float64[1]": [1.4142135623730951]}}
"""

from __future__ import annotations

import numpy as np

from millrace.ir.build import Builder, Value
from millrace.ir.ops import Binary, Cast, Concat, Constant, Op, Take, Unary
from millrace.ir.program import Program
from millrace.ir.types import cast_dtype, function


def fold_constants(program: Program) -> Program:
    """The program with constant subgraphs replaced by their value."""
    builder = Builder.like(program)
    new: list[Value] = []
    changed = False
    for step in program.steps:
        rows = [_row(builder, new[i]) for i in step.inputs]
        folded = _fold(step.op, rows) if rows and all(r is not None for r in rows) else None
        changed |= folded is not None
        new.append(
            builder.append(step.op, *(new[i] for i in step.inputs))
            if folded is None
            else builder.constant(folded)
        )
    if not changed:
        return program
    for output in program.outputs:
        builder.output(output.name, new[output.step], output.shape, output.depth)
    return builder.program().live()


def _row(builder: Builder, value: Value) -> np.ndarray | None:  # type: ignore[type-arg]
    op = builder.steps[value.at].op
    return (
        op.row.values if isinstance(op, Constant) and not isinstance(op.row.values, tuple) else None
    )


def _fold(op: Op, rows: list[np.ndarray | None]) -> np.ndarray | None:  # type: ignore[type-arg]
    values = [r for r in rows if r is not None]
    with np.errstate(all="ignore"):
        match op:
            case Unary(name) | Binary(name):
                return function(name)(*values)
            case Cast(dtype):
                return values[0].astype(cast_dtype(str(values[0].dtype), dtype))
            case Take(columns):
                return values[0][list(columns)]
            case Concat():
                return np.concatenate(values)
            case _:
                return None
