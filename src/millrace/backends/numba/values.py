"""Values of steps: a block of rows, dense or sparse, or a list of columns where they lie."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.backends.numba.columns import Columns, MatrixColumns, is_columns
from millrace.backends.numba.encode import text_cells
from millrace.ir.ops import Call
from millrace.ir.program import Output
from millrace.ir.types import promote
from millrace.runtime import sparse

Array = npt.NDArray[Any]


def is_at(piece: Array, out: Array) -> bool:
    """Whether an answer is in its place already."""
    return piece.__array_interface__["data"][0] == out.__array_interface__["data"][0]


def put_in_place(value: Any, out: Array) -> Any:
    """A value of an output where it belongs; as it is, where it is no block of numbers of all rows."""
    if type(value) is MatrixColumns:
        return value.written(out)
    if type(value) is np.ndarray and value.shape == out.shape and not is_at(value, out):
        out[:] = value
        return out
    return value


def is_all(positions: tuple[int, ...], matrix: Any) -> bool:
    """Whether positions are those of all columns of a matrix, in order."""
    return len(positions) == matrix.shape[1] and positions == tuple(range(len(positions)))


def split_columns(matrix: Any, used: Any, dtype: Any) -> Columns:
    """The columns that a forest reads out of a sparse block, each in full; None for the others."""
    wanted = sorted(used)
    cells = np.asfortranarray(matrix[:, wanted].toarray().astype(dtype, copy=False))
    columns: list[Any] = [None] * matrix.shape[1]
    for k, c in enumerate(wanted):
        columns[c] = cells[:, k]
    return columns


def pick(columns: Any, positions: tuple[int, ...]) -> Any:
    """Columns of columns."""
    if isinstance(columns, MatrixColumns):
        return columns.pick(positions)
    return [columns[p] for p in positions]


def block_of(value: Any, n_rows: int) -> Array:
    """A value as a two-dimensional block in C order."""
    if not is_columns(value):
        return value
    if not len(value):
        return np.empty((n_rows, 0))
    if isinstance(value, MatrixColumns):
        return value.block()
    arrays = [c if isinstance(c, np.ndarray) else text_cells(c) for c in value]
    if len(arrays) == 1:
        return arrays[0][:, None]
    whole = _common_base(arrays)
    if whole is not None:
        return whole
    block = np.empty((n_rows, len(arrays)), promote([str(a.dtype) for a in arrays]))
    for c, array in enumerate(arrays):
        block[:, c] = array
    return block


def _common_base(arrays: list[Array]) -> Array | None:
    """The C-ordered matrix whose neighbouring columns these are, if they are."""
    first = arrays[0]
    size = first.itemsize
    at = first.__array_interface__["data"][0]
    step = first.strides[0]
    if step < size * len(arrays) or any(
        a.dtype != first.dtype
        or a.strides[0] != step
        or a.__array_interface__["data"][0] != at + c * size
        for c, a in enumerate(arrays)
    ):
        return None
    return np.lib.stride_tricks.as_strided(
        first, (len(first), len(arrays)), (step, size), writeable=False
    )


def only_column(value: Any) -> Any:
    """The column of a value that has one."""
    return value[0] if is_columns(value) else value[:, 0]


def concat(inputs: list[Any], dtype: str, n_rows: int) -> Any:
    """Columns side by side; a block only where not all inputs are columns."""
    if all(is_columns(i) or i.shape[1] == 1 for i in inputs):
        return [c for i in inputs for c in (i if is_columns(i) else [full(i, n_rows)[:, 0]])]
    blocks = [full(block_of(i, n_rows), n_rows) for i in inputs]
    out = np.empty((n_rows, sum(b.shape[1] for b in blocks)), dtype)
    at = 0
    for block in blocks:
        out[:, at : at + block.shape[1]] = block
        at += block.shape[1]
    return out


def full(block: Array, n_rows: int) -> Array:
    """A constant row repeated for every row."""
    return block if len(block) == n_rows else np.broadcast_to(block, (n_rows, block.shape[1]))


def call(op: Call, value: Any, target: Any, n_rows: int) -> Any:
    """What a method of an object of another library answers, as a block."""
    rows: Any
    if op.series:
        rows = block_of(value, n_rows)[:, 0]
    elif op.sparse is not None:
        rows = sparse.call_argument(block_of(value, n_rows), op.sparse)
    elif op.frame is None:
        rows = np.require(block_of(value, n_rows), requirements="W")
    else:
        import pandas as pd

        columns = value if is_columns(value) else list(value.T)
        data = {
            n: c if isinstance(c, np.ndarray) else text_cells(c)
            for n, c in zip(op.frame, columns, strict=True)
        }
        rows = pd.DataFrame(data)
    answer = getattr(target, op.method)(rows)
    if sparse.is_sparse(answer):
        return sparse.as_csr(answer) if op.gives_sparse else answer.toarray()
    answer = np.asarray(answer)
    return answer[:, None] if answer.ndim == 1 else answer


def shaped(block: Any, output: Output, n_rows: int) -> Any:
    """A block in the shape of an output: a vector, a matrix in C order, or CSR."""
    if output.shape.startswith("csr"):
        return sparse.as_csr(block if sparse.is_sparse(block) else full(block, n_rows))
    if len(block) != n_rows or not block.flags.writeable:  # a constant, which is not handed out
        whole = full(block, n_rows)
        return whole[:, 0].copy() if output.shape == "vector" else whole.copy("C")
    return np.ascontiguousarray(block[:, 0] if output.shape == "vector" else block)


def stacked(pieces: list[Any], output: Output) -> Any:
    """The sparse answers of all blocks as one."""
    return sparse.call_argument(
        pieces[0] if len(pieces) == 1 else sparse.stacked(pieces), output.shape
    )
