"""Answers of ``transform`` as data frames, where the source object gives them so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.errors import ColumnTypeError
from millrace.ir.ops import Concat, Guard, Require, Select, Take
from millrace.ir.program import Program
from millrace.ir.types import Binding, infer

CONTAINERS = ("default", "pandas", "polars")
"""What ``set_output(transform=...)`` takes."""


def column_dtypes(program: Program, step: int, binding: Binding) -> list[str]:
    """The dtype of each column in a frame: what is only picked or put side by side keeps its own."""
    types = infer(program, binding)

    def dtypes(at: int) -> list[str]:
        here = program.steps[at]
        match here.op:
            case Select(columns):
                return [binding[c] for c in columns]
            case Guard() | Require():
                return dtypes(here.inputs[0])
            case Concat(apart=True):
                return [d for i in here.inputs for d in dtypes(i)]
            case Take(columns):
                below = dtypes(here.inputs[0])
                return [below[c] for c in columns]
            case _:
                return [types[at].dtype] * types[at].width

    return dtypes(step)


def frame(
    block: npt.NDArray[Any], names: Sequence[str], dtypes: Sequence[str], rows: Any, container: str
) -> Any:
    """A block as a pandas or polars frame; a pandas frame keeps the index of the rows.

    Raises
    ------
    ColumnTypeError
        The block is sparse: there is no frame of it that is not dense.
    """
    if hasattr(block, "tocsr"):
        raise ColumnTypeError.unsupported(
            f"a sparse answer for a {container} frame",
            "set_output(transform='default'), or a step that gives dense rows (sparse_output=False)",
        )
    block = block[:, None] if block.ndim == 1 else block
    apart = any(d != block.dtype for d in dtypes)
    columns = {
        name: _typed(block[:, c], dtype)
        for c, (name, dtype) in enumerate(zip(names, dtypes, strict=True))
    }
    if container == "polars":
        import polars as pl

        if apart:
            return pl.DataFrame(columns)
        return pl.DataFrame(block, schema=list(names), orient="row")
    import pandas as pd

    made = pd.DataFrame(columns if apart else block, columns=list(names))
    if isinstance(rows, (pd.DataFrame, pd.Series)):
        made = made.set_axis(rows.index, axis=0)
    return made


def _typed(cells: npt.NDArray[Any], dtype: str) -> Any:
    if dtype == "object" or str(cells.dtype) == dtype:
        return cells
    return cells.astype(np.dtype(dtype))
