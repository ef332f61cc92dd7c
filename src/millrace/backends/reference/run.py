"""Run a program step by step on whole columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, assert_never

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from millrace.backends.reference.encode import encode, is_missing, to_dtype
from millrace.backends.reference.trees import leaf_rows, tree_sums
from millrace.errors import NonFiniteError
from millrace.ir.arrays import Text
from millrace.ir.ops import (
    Binary,
    Call,
    Cast,
    CastLike,
    Concat,
    Constant,
    Encode,
    Gather,
    Guard,
    IsMissing,
    Leaves,
    MatMul,
    OneHot,
    Op,
    Reduce,
    Select,
    Take,
    Trees,
    Unary,
    Where,
)
from millrace.ir.program import Output, Program
from millrace.ir.types import function, promote

Block = npt.NDArray[Any]


def run(
    program: Program,
    columns: Sequence[Any],
    foreign: Mapping[str, Any] | None = None,
) -> dict[str, Block]:
    """The outputs of a program.

    Parameters
    ----------
    program : Program
    columns : sequence of 1-D arrays (n_samples,)
        One per program column, numeric or object (str, None, NaN). Unused ones may be None.
    foreign : mapping, optional
        The objects that `Call` steps name.

    Returns
    -------
    dict of str to ndarray
        By output name; (n_samples, width), (n_samples,) for a vector, and for a cube
        (n_samples, width / depth, depth).
    """
    n = next((len(c) for c in columns if c is not None), 0)
    names = [c.name for c in program.columns]
    blocks: list[Block] = []
    for step in program.steps:
        inputs = [blocks[i] for i in step.inputs]
        with np.errstate(all="ignore"):
            blocks.append(_apply(step.op, inputs, columns, n, names, foreign or {}))
    outputs: dict[str, Block] = {}
    for output in program.outputs:
        block = blocks[output.step]
        if len(block) != n:
            block = np.broadcast_to(block, (n, block.shape[1]))
        outputs[output.name] = _shaped(block, output)
    return outputs


def _shaped(block: Block, output: Output) -> Block:
    if output.shape == "vector":
        return block[:, 0]
    if output.shape == "cube":
        return block.reshape(len(block), block.shape[1] // output.depth, output.depth)
    return block


def _apply(
    op: Op,
    inputs: list[Block],
    columns: Sequence[npt.NDArray[Any]],
    n: int,
    names: Sequence[str],
    foreign: Mapping[str, Any],
) -> Block:
    match op:
        case Select(positions):
            return _select([columns[p] for p in positions], n)
        case Constant(row):
            return (row.array() if isinstance(row, Text) else row.values)[None, :]
        case Cast(dtype):
            return to_dtype(inputs[0], dtype)
        case CastLike():
            return inputs[0].astype(inputs[1].dtype)
        case Unary(name) | Binary(name):
            return function(name)(*inputs)
        case IsMissing():
            return is_missing(inputs[0], op)
        case Where():
            a, b = (i.astype(promote([str(x.dtype) for x in inputs[1:]])) for i in inputs[1:])
            return np.where(inputs[0], a, b)
        case Concat():
            rows = max(len(i) for i in inputs)
            dtype = promote([str(i.dtype) for i in inputs])
            wide = [np.broadcast_to(i, (rows, i.shape[1])).astype(dtype) for i in inputs]
            return np.hstack(wide)
        case Take(positions):
            return inputs[0][:, list(positions)]
        case MatMul(weights):
            return inputs[0] @ weights.values
        case Reduce(name):
            rows = np.ascontiguousarray(inputs[0])
            return np.asarray(getattr(np, name)(rows, axis=1))[:, None]
        case Encode():
            return encode(inputs[0][:, 0], op)[:, None]
        case OneHot(width, dtype):
            return (inputs[0] == np.arange(width)).astype(dtype)
        case Gather(table):
            rows = table.array() if isinstance(table, Text) else table.values
            picked = rows[inputs[0][:, 0]]
            return picked[:, None] if picked.ndim == 1 else picked
        case Guard():
            return _guard(inputs[0], op, names)
        case Trees(forest):
            return tree_sums(forest, inputs[0])
        case Leaves(forest):
            return forest.leaf_id.values[leaf_rows(forest, inputs[0])]
        case Call():
            return _call(op, inputs[0], foreign[op.key])
        case _:
            assert_never(op)


def _select(columns: Sequence[npt.NDArray[Any]], n: int) -> Block:
    arrays = [np.asarray(c) if c.dtype.kind in "biuf" else c.astype(object) for c in columns]
    block = np.empty((n, len(arrays)), dtype=promote([str(a.dtype) for a in arrays]))
    for position, array in enumerate(arrays):
        block[:, position] = array
    return block


def _guard(block: Block, op: Guard, names: Sequence[str]) -> Block:
    if block.dtype == object and not op.allow_nan:
        for row, column in np.argwhere(is_missing(block, IsMissing("nan"))):
            raise NonFiniteError.at(_name(names, block, column), "nan", int(row), op.owner)
    if block.dtype.kind != "f":
        return block
    limit = np.finfo(block.dtype).max
    low = op.low.values if op.low is not None else -limit
    high = op.high.values if op.high is not None else limit
    passes = (block >= low) & (block <= high)
    if op.allow_nan:
        passes |= np.isnan(block)
    if not passes.all():
        row, column = (int(i) for i in np.argwhere(~passes)[0])
        raise NonFiniteError.at(
            _name(names, block, column), float(block[row, column]), row, op.owner
        )
    return block


def _name(names: Sequence[str], block: Block, column: int) -> str:
    return names[column] if len(names) == block.shape[1] else f"#{column}"


def _call(op: Call, block: Block, target: Any) -> Block:
    rows: Any = block
    if op.sparse is not None:
        rows = sp.csr_array(block) if op.sparse == "csr_array" else sp.csr_matrix(block)
    elif op.frame is not None:
        import pandas as pd

        rows = pd.DataFrame(block, columns=list(op.frame)).infer_objects()
    answer = getattr(target, op.method)(rows)
    if hasattr(answer, "toarray"):
        answer = answer.toarray()
    answer = np.asarray(answer)
    return answer[:, None] if answer.ndim == 1 else answer
