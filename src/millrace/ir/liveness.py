"""Which columns of which blocks can reach an output: what need not be read, computed or kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from millrace.ir.ops import (
    Binary,
    Cast,
    CastLike,
    Concat,
    Dense,
    Forest,
    Guard,
    IsMissing,
    Leaves,
    Sparse,
    Take,
    Trees,
    Unary,
    Where,
)

if TYPE_CHECKING:
    from millrace.ir.program import Program


def features_of(forest: Forest) -> set[int]:
    """The columns that some split or leaf model reads."""
    read = set(np.unique(forest.feature.values).tolist()) - {-1}
    if forest.linear is not None:
        read |= set(np.unique(forest.linear.feature.values).tolist())
    return read


def needed_columns(program: Program, widths: tuple[int, ...]) -> list[set[int]]:
    """For every step, the columns of its block that some output depends on.

    Parameters
    ----------
    program : Program
    widths : tuple of int
        The width of every step.
    """
    needed: list[set[int]] = [set() for _ in program.steps]
    for output in program.outputs:
        needed[output.step].update(range(widths[output.step]))
    for position in range(len(program.steps) - 1, -1, -1):
        step, wanted = program.steps[position], needed[position]
        if not wanted and widths[position]:
            continue
        match step.op:
            case Take(()):  # no column: the input says how many rows there are, and is checked
                needed[step.inputs[0]].update(range(widths[step.inputs[0]]))
            case Take(columns):
                needed[step.inputs[0]].update(columns[c] for c in wanted)
            case Concat():
                first = 0
                for i in step.inputs:
                    needed[i].update(c - first for c in wanted if first <= c < first + widths[i])
                    first += widths[i]
            case Trees(forest) | Leaves(forest):
                needed[step.inputs[0]].update(features_of(forest))
            case CastLike() | Sparse() | Dense():
                needed[step.inputs[0]].update(wanted)
            case Unary() | Binary() | Cast() | IsMissing() | Where() | Guard():
                for i in step.inputs:
                    needed[i].update(wanted if widths[i] > 1 else range(widths[i]))
            case _:
                for i in step.inputs:
                    needed[i].update(range(widths[i]))
    return needed
