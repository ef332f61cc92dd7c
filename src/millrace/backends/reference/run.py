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
from millrace.ir.arrays import Text
from millrace.ir.ops import (
    Accumulate,
    ArgSort,
    Binary,
    Call,
    Cast,
    CastLike,
    Concat,
    Constant,
    Dense,
    Distances,
    Encode,
    Features,
    Gather,
    Guard,
    ImputeNearest,
    Interpolate,
    IsMissing,
    Leaves,
    MatMul,
    Nearest,
    OneHot,
    Op,
    PickAlong,
    Reduce,
    Require,
    SearchSorted,
    Select,
    Sparse,
    Spline,
    Take,
    Terms,
    Trees,
    Unary,
    Where,
)
from millrace.ir.program import Output, Program
from millrace.ir.types import function, promote
from millrace.runtime import sparse

Block = npt.NDArray[Any]


def run(
    program: Program,
    columns: Sequence[Any],
    foreign: Mapping[str, Any] | None = None,
    disturb: Callable[[Op, list[Any], Any], Any] | None = None,
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
    op: Op,
    inputs: list[Block],
    columns: Sequence[npt.NDArray[Any]],
    n: int,
    names: Sequence[str],
    foreign: Mapping[str, Any],
) -> Block:
    if any(sparse.is_sparse(i) for i in inputs) and not isinstance(
        op, (Trees, Leaves, Call, Require)
    ):
        return sparse.apply(op, inputs, names)
    match op:
        case Select(positions) if sparse.is_sparse(columns):
            return columns[:, list(positions)]  # pyright: ignore[reportCallIssue, reportArgumentType]
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
        case Reduce("square_sum"):
            rows = np.ascontiguousarray(inputs[0])
            return np.einsum("ij,ij->i", rows, rows)[:, None]
        case Reduce(name):
            rows = np.ascontiguousarray(inputs[0])
            return np.asarray(getattr(np, name)(rows, axis=1))[:, None]
        case Accumulate(name):
            return getattr(np, name).accumulate(inputs[0], axis=1)
        case ArgSort():
            return np.argsort(inputs[0], axis=1, kind="stable")
        case PickAlong():
            rows = np.broadcast_to(inputs[0], (len(inputs[1]), inputs[0].shape[1]))
            return np.take_along_axis(rows, inputs[1], axis=1)
        case SearchSorted() | Interpolate():
            return _by_column(inputs[0], op)
        case Spline():
            return _spline(inputs[0][:, 0], op)
        case Distances():
            return distances(inputs[0], op.points.values, op.metric, op.p)
        case Nearest():
            return nearest(inputs[0], op)
        case ImputeNearest():
            return impute_nearest(inputs[0], op)
        case Terms():
            return count_terms(inputs[0][:, 0], op)
        case Features():
            return spread_features(inputs[0][:, 0], op)
        case Sparse():
            return sparse.as_csr(inputs[0])
        case Dense():
            return inputs[0]
        case Require():
            if not np.all(inputs[1]):
                row = int(np.argwhere(~np.asarray(inputs[1], bool))[0][0])
                raise RefusedRowError.at(row, op.owner, op.problem)
            return inputs[0]
        case Encode():
            return encode(inputs[0][:, 0], op)[:, None]
        case OneHot(width, dtype):
            indicators = (inputs[0] == np.arange(width)).astype(dtype)
            return sparse.as_csr(indicators) if op.sparse else indicators
        case Gather(table):
            rows = table.array() if isinstance(table, Text) else table.values
            picked = rows[inputs[0][:, 0]]
            return picked[:, None] if picked.ndim == 1 else picked
        case Guard():
            return _guard(inputs[0], op, names)
        case Trees(forest):
            return tree_sums(forest, _dense(inputs[0]))
        case Leaves(forest):
            return forest.leaf_id.values[leaf_rows(forest, _dense(inputs[0]))]
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


def _dense(block: Any) -> Block:
    return block.toarray() if sparse.is_sparse(block) else block


def _by_column(block: Block, op: SearchSorted | Interpolate) -> Block:
    start = op.start.values
    answer = np.empty(block.shape, np.float64 if isinstance(op, Interpolate) else np.int64)
    for c in range(block.shape[1]):
        own = slice(start[c], start[c + 1])
        if isinstance(op, Interpolate):
            answer[:, c] = np.interp(block[:, c], op.xp.values[own], op.fp.values[own])
        else:
            answer[:, c] = np.searchsorted(op.edge.values[own], block[:, c], side=op.side)
    return answer


def _spline(column: Block, op: Spline) -> Block:
    from scipy.interpolate import BSpline

    extrapolate: Any = {"yes": True, "no": False, "periodic": "periodic"}[op.extrapolate]
    return BSpline(op.knots.values, op.coefficients.values, op.degree, extrapolate)(column)


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


def _call(op: Call, block: Any, target: Any) -> Any:
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
