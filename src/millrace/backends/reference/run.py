"""Run a program step by step on whole columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, assert_never

import numpy as np
import numpy.typing as npt

from millrace.backends.reference.encode import encode, is_missing, to_dtype
from millrace.backends.reference.impute_nearest import impute_nearest
from millrace.backends.reference.points import distances, nearest
from millrace.backends.reference.terms import count_terms, spread_features
from millrace.backends.reference.trees import leaf_rows, tree_sums
from millrace.errors import NonFiniteError, RefusedRowError
from millrace.ir import numeric, ops
from millrace.ir.program import Output, Program
from millrace.ir.types import function, promote
from millrace.runtime import sparse

Block = npt.NDArray[Any]


def run(
    program: Program,
    columns: Sequence[Any],
    foreign: Mapping[str, Any] | None = None,
    disturb: Callable[[ops.Op, list[Any], Any], Any] | None = None,
) -> dict[str, Block]:
    """The outputs of a program.

    Parameters
    ----------
    program : Program
    columns : sequence of 1-D arrays (n_samples,), or CSR matrix (n_samples, n_columns)
        One per program column, numeric or object (str, None, NaN), unused ones may be None; a matrix
        where the program is for a sparse table.
    foreign : mapping, optional
        The objects that `Call` steps name.
    disturb : callable, optional
        A primitive, its inputs and its result -> the result to go on with: for asking what follows from a
        slightly different step.

    Returns
    -------
    dict of str to ndarray
        By output name; (n_samples, width), (n_samples,) for a vector, and for a cube
        (n_samples, width / depth, depth).
    """
    if sparse.is_sparse(columns):
        n = columns.shape[0]  # pyright: ignore[reportAttributeAccessIssue]
    else:
        n = next((len(c) for c in columns if c is not None), 0)
    names = [c.name for c in program.columns]
    blocks: list[Block] = []
    for step in program.steps:
        inputs = [blocks[i] for i in step.inputs]
        with np.errstate(all="ignore"):
            block = _apply(step.op, inputs, columns, n, names, foreign or {})
        blocks.append(block if disturb is None else disturb(step.op, inputs, block))
    outputs: dict[str, Block] = {}
    for output in program.outputs:
        block = blocks[output.step]
        if sparse.is_sparse(block):
            outputs[output.name] = sparse.call_argument(block, output.shape)
            continue
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
    op: ops.Op,
    inputs: list[Block],
    columns: Sequence[npt.NDArray[Any]],
    n: int,
    names: Sequence[str],
    foreign: Mapping[str, Any],
) -> Block:
    if any(sparse.is_sparse(i) for i in inputs) and not isinstance(
        op, (ops.Trees, ops.Leaves, ops.Call, ops.Require)
    ):
        return sparse.apply(op, inputs, names)
    match op:
        case ops.Select(positions) if sparse.is_sparse(columns):
            return columns[:, list(positions)]  # pyright: ignore[reportCallIssue, reportArgumentType]
        case ops.Select(positions):
            return _select([columns[p] for p in positions], n)
        case ops.Constant(row):
            return row.array()[None, :]
        case ops.Cast(dtype):
            return to_dtype(inputs[0], dtype)
        case ops.CastLike():
            return inputs[0].astype(inputs[1].dtype)
        case ops.Unary(name) | ops.Binary(name):
            return function(name)(*inputs)
        case ops.IsMissing():
            return is_missing(inputs[0], op)
        case ops.Where():
            a, b = (i.astype(promote([str(x.dtype) for x in inputs[1:]])) for i in inputs[1:])
            return np.where(inputs[0], a, b)
        case ops.Concat():
            rows = max(len(i) for i in inputs)
            dtype = promote([str(i.dtype) for i in inputs])
            wide = [np.broadcast_to(i, (rows, i.shape[1])).astype(dtype) for i in inputs]
            return np.hstack(wide)
        case ops.Take(positions):
            return inputs[0][:, list(positions)]
        case ops.MatMul(weights):
            return inputs[0] @ weights.values
        case ops.Reduce(name):
            return numeric.reduce_rows(inputs[0], name)
        case ops.Accumulate(name):
            return getattr(np, name).accumulate(inputs[0], axis=1)
        case ops.ArgSort():
            return np.argsort(inputs[0], axis=1, kind="stable")
        case ops.PickAlong():
            return numeric.pick_along(*inputs)
        case ops.SearchSorted():
            return numeric.search_sorted(inputs[0], op)
        case ops.Interpolate():
            return numeric.interpolate(inputs[0], op)
        case ops.Spline():
            return numeric.spline(op)(inputs[0][:, 0])
        case ops.Distances():
            return distances(inputs[0], op)
        case ops.Nearest():
            return nearest(inputs[0], op)
        case ops.ImputeNearest():
            return impute_nearest(inputs[0], op)
        case ops.Terms():
            return count_terms(inputs[0][:, 0], op)
        case ops.Features():
            return spread_features(inputs[0][:, 0], op)
        case ops.Sparse():
            return sparse.as_csr(inputs[0])
        case ops.Dense():
            return inputs[0]
        case ops.Require():
            if not np.all(inputs[1]):
                row = int(np.argwhere(~np.asarray(inputs[1], bool))[0][0])
                raise RefusedRowError.at(row, op.owner, op.problem)
            return inputs[0]
        case ops.Encode():
            return encode(inputs[0][:, 0], op)[:, None]
        case ops.OneHot(width, dtype):
            indicators = (inputs[0] == np.arange(width)).astype(dtype)
            return sparse.as_csr(indicators) if op.sparse else indicators
        case ops.Gather(table):
            return numeric.gather(table, inputs[0])
        case ops.Guard():
            return _guard(inputs[0], op, names)
        case ops.Trees(forest):
            return tree_sums(forest, _dense(inputs[0]))
        case ops.Leaves(forest):
            return forest.leaf_id.values[leaf_rows(forest, _dense(inputs[0]))]
        case ops.Call():
            return _call(op, inputs[0], foreign[op.key])
        case _:
            assert_never(op)


def _select(columns: Sequence[npt.NDArray[Any]], n: int) -> Block:
    arrays = [np.asarray(c) if c.dtype.kind in "biuf" else c.astype(object) for c in columns]
    block = np.empty((n, len(arrays)), dtype=promote([str(a.dtype) for a in arrays]))
    for position, array in enumerate(arrays):
        block[:, position] = array
    return block


def _dense(block: Any) -> Block:
    return block.toarray() if sparse.is_sparse(block) else block


def _guard(block: Block, op: ops.Guard, names: Sequence[str]) -> Block:
    if block.dtype == object and not op.allow_nan:
        for row, column in np.argwhere(is_missing(block, ops.IsMissing("nan"))):
            raise NonFiniteError.at(
                sparse.column_name(names, block, column), "nan", int(row), op.owner
            )
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
            sparse.column_name(names, block, column), float(block[row, column]), row, op.owner
        )
    return block


def _call(op: ops.Call, block: Any, target: Any) -> Any:
    rows: Any = block
    if op.series:
        rows = block[:, 0]
    elif op.sparse is not None:
        rows = sparse.call_argument(block, op.sparse)
    elif op.frame is not None:
        import pandas as pd

        rows = pd.DataFrame(block, columns=list(op.frame)).infer_objects()
    answer = getattr(target, op.method)(rows)
    if sparse.is_sparse(answer):
        return sparse.as_csr(answer) if op.gives_sparse else answer.toarray()
    answer = np.asarray(answer)
    return answer[:, None] if answer.ndim == 1 else answer
