"""Programs that are a function or two of a matrix, or one constant row: no block, no list of values.

What they compute takes a few microseconds for a thousand rows, and so does the general way to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.ir.arrays import Text
from millrace.ir.ops import Constant, Select
from millrace.ir.program import Program
from millrace.ir.types import Block

Array = npt.NDArray[Any]
Brief = Callable[[Array, int], dict[str, Any]]
"""A C-contiguous matrix of all columns, and its number of rows, to the outputs by name."""


def plan_brief(
    program: Program, types: Sequence[Block], lines: Sequence[Callable[..., Any] | None]
) -> Brief | None:
    """How to answer some rows of a matrix; None where the program has another form.

    Parameters
    ----------
    program : Program
        Bound.
    types : sequence of Block
        Of its steps.
    lines : sequence
        Each step as a call on dense blocks, where it is one; see `steps.Steps`.
    """
    steps = program.steps
    if len(program.outputs) != 1 or program.outputs[0].step != len(steps) - 1:
        return None
    output, first = program.outputs[0], steps[0].op
    if len(steps) == 1 and isinstance(first, Constant) and not isinstance(first.row, Text):
        row = first.row.values
        if output.shape == "vector":
            return _constant(output.name, row[0], (), row.dtype)
        return (
            _constant(output.name, row, row.shape, row.dtype) if output.shape == "matrix" else None
        )
    chain = [lines[k] for k in range(1, len(steps)) if steps[k].inputs == (k - 1,)]
    every = Select(tuple(range(len(program.columns))))
    if output.shape != "matrix" or first != every or not chain or len(chain) < len(steps) - 1:
        return None
    if any(t.sparse or t.dtype == "object" for t in types) or None in chain:
        return None
    return _chain(output.name, [line for line in chain if line is not None])


def _constant(name: str, row: Any, shape: tuple[int, ...], dtype: Any) -> Brief:
    def answer(matrix: Array, n_rows: int) -> dict[str, Any]:
        out = np.empty((n_rows, *shape), dtype)
        out[...] = row
        return {name: out}

    return answer


def _chain(name: str, lines: Sequence[Callable[..., Any]]) -> Brief:
    if len(lines) == 1 and isinstance(lines[0], np.ufunc):
        return _function(name, lines[0])

    def answer(matrix: Array, n_rows: int) -> dict[str, Any]:
        value = matrix
        with np.errstate(all="ignore"):
            for line in lines:
                value = line(value)
        if value is matrix or not value.flags.owndata:  # the caller's own rows are not handed back
            value = value.copy()
        return {name: value}

    return answer


def _function(name: str, ufunc: np.ufunc) -> Brief:
    def answer(matrix: Array, n_rows: int) -> dict[str, Any]:
        with np.errstate(all="ignore"):
            return {name: ufunc(matrix)}

    return answer
