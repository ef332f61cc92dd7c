"""The primitives on sparse blocks: SciPy's CSR operations, cells that are absent stay absent.

Every CPU backend calls `apply` for a step that has a sparse input; which primitives can have one is said
by `millrace.ir.types.result`.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from millrace.errors import NonFiniteError
from millrace.ir.ops import (
    Binary,
    Cast,
    CastLike,
    Concat,
    Dense,
    Guard,
    MatMul,
    Op,
    Reduce,
    Select,
    Sparse,
    Take,
    Unary,
)
from millrace.ir.program import Program
from millrace.ir.types import Block as Type
from millrace.ir.types import cast_dtype, function, promote
from millrace.runtime.memory import room

Block = Any
"""A dense block, or a CSR matrix."""


def is_sparse(block: Any) -> bool:
    """Whether a block is a sparse matrix."""
    return sp.issparse(block)


def apply(op: Op, inputs: Sequence[Block], names: Sequence[str] = (), first: int = 0) -> Block:
    """The result of a primitive that has a sparse input.

    Parameters
    ----------
    op : Op
    inputs : sequence of CSR matrices and dense blocks
    names : sequence of str
        Names of the columns, for errors.
    first : int
        Number of the first row, for errors.
    """
    block = inputs[0]
    match op:
        case Take(columns):
            return block[:, list(columns)]
        case Cast(dtype):
            return _cast(block, cast_dtype(str(block.dtype), dtype))
        case CastLike():
            return _cast(block, inputs[1].dtype)
        case Unary(name):
            return with_data(block, function(name)(block.data))
        case Binary("multiply"):
            if not sp.issparse(block):
                block, other = inputs[1], block
            else:
                other = inputs[1]
            if sp.issparse(other):
                return sp.csr_matrix(block.multiply(other))
            return with_data(block, block.data * _beside(other, block))
        case Binary(name):
            return with_data(block, function(name)(block.data, _beside(inputs[1], block)))
        case MatMul(weights):
            return block @ weights.values
        case Reduce(name):
            return _reduced(block, name)
        case Concat():
            dtype = promote([str(b.dtype) for b in inputs])
            return sp.hstack([sp.csr_matrix(b) for b in inputs], format="csr", dtype=dtype)
        case Guard():
            return _guard(block, op, names, first)
        case Sparse():
            return block
        case Dense():
            return block.toarray()
        case _:
            raise AssertionError(f"{type(op).__name__} has no sparse form")


def with_data(block: Block, data: Any) -> Block:
    """The same cells with other numbers."""
    if type(block) is not sp.csr_matrix:
        return _put_together(sp.csr_matrix, data, block.indices, block.indptr, block.shape)
    matrix = copy.copy(block)  # SciPy's constructor makes arrays of its own first
    matrix.data = data
    return matrix


def _cast(block: Block, dtype: Any) -> Block:
    if not sp.issparse(block):
        return block.astype(dtype, copy=False)
    data = block.data.astype(dtype, copy=False)
    return block if data is block.data else with_data(block, data)


def _put_together(kind: Any, data: Any, indices: Any, indptr: Any, shape: tuple[int, int]) -> Block:
    """A matrix of arrays that are known to belong together; SciPy's constructor reads them to see."""
    matrix = kind(shape, dtype=data.dtype)
    matrix.data, matrix.indices, matrix.indptr = data, indices, indptr
    return matrix


def rows_between(matrix: Block, first: int, stop: int) -> Block:
    """Some rows of a CSR matrix, as views of its cells."""
    start, end = matrix.indptr[first], matrix.indptr[stop]
    return _put_together(
        type(matrix),
        matrix.data[start:end],
        matrix.indices[start:end],
        matrix.indptr[first : stop + 1] - start,
        (stop - first, matrix.shape[1]),
    )


def _beside(dense: Any, block: Block) -> Any:
    """The cells of a row, a column or a block that stand where the sparse block has cells."""
    if len(dense) == 1:
        row = dense[0]
        return row.take(block.indices) if len(row) > 1 else row
    cells_of_row = np.diff(block.indptr)
    if dense.shape[1] == 1:
        return np.repeat(dense[:, 0], cells_of_row)
    return dense[np.repeat(np.arange(block.shape[0]), cells_of_row), block.indices]


def _reduced(block: Block, name: str) -> Any:
    if name == "square_sum":
        block, name = with_data(block, np.square(block.data)), "sum"
    answer = getattr(block, name)(axis=1)
    return np.asarray(answer.toarray() if sp.issparse(answer) else answer).reshape(-1, 1)


def _guard(block: Block, op: Guard, names: Sequence[str], first: int) -> Block:
    data = block.data
    if data.dtype.kind != "f":
        return block
    passes = np.isfinite(data)
    if op.allow_nan:
        passes |= np.isnan(data)
    if not passes.all():
        at = int(np.argmin(passes))
        row = int(np.searchsorted(block.indptr, at, side="right")) - 1
        column = int(block.indices[at])
        name = column_name(names, block, column)
        raise NonFiniteError.at(name, float(data[at]), first + row, op.owner)
    return block


def column_name(names: Sequence[str], block: Block, column: int) -> str:
    """The name of a column of a block, or its number where the names are not those of its columns."""
    return names[column] if len(names) == block.shape[1] else f"#{column}"


def call_argument(block: Block, kind: str) -> Any:
    """A block as the sparse container that a source gives or a foreign step takes."""
    if kind == "csr_array":
        return sp.csr_array(block)
    return block if type(block) is sp.csr_matrix else sp.csr_matrix(block)


def as_csr(answer: Any) -> Any:
    """A dense block, or a sparse matrix of any kind, as a CSR matrix."""
    if sp.issparse(answer):
        return answer if type(answer) is sp.csr_matrix else sp.csr_matrix(answer)
    rows, columns = np.nonzero(answer)
    ends = np.zeros(len(answer) + 1, np.int64)
    np.cumsum(np.bincount(rows, minlength=len(answer)), out=ends[1:])
    small = ends[-1] <= np.iinfo(np.int32).max
    index = np.int32 if small else np.int64
    parts = (answer[rows, columns], columns.astype(index), ends.astype(index))
    return sp.csr_matrix(parts, shape=answer.shape)


def own(matrix: Block, other: Block) -> Block:
    """A CSR matrix that shares no memory with another: whoever changes one keeps the other.

    The primitives that keep the cells of a matrix hand on its columns and ends of rows as they are.
    """
    if matrix is other:
        return matrix.copy()
    indices, indptr, data = (
        k.copy() if np.may_share_memory(k, of) else k
        for k, of in (
            (matrix.indices, other.indices),
            (matrix.indptr, other.indptr),
            (matrix.data, other.data),
        )
    )
    return _put_together(type(matrix), data, indices, indptr, matrix.shape)


def keeps_cells(program: Program, types: Sequence[Type], step: int) -> bool:
    """Whether a value has the cells of the program's input, with other numbers at most."""
    here = program.steps[step]
    match here.op:
        case Select(columns):
            return types[step].sparse and columns == tuple(range(len(program.columns)))
        case Cast() | CastLike() | Unary() | Guard() | Sparse() | Binary():
            among = here.inputs if isinstance(here.op, Binary) else here.inputs[:1]
            from_sparse = [i for i in among if types[i].sparse]
            return len(from_sparse) == 1 and keeps_cells(program, types, from_sparse[0])
        case _:
            return False


class SameCells:
    """An answer with the cells of the input, which threads fill block by block.

    Parameters
    ----------
    matrix : CSR matrix (n_rows, n_columns)
        The input.
    dtype : str
        Of the answer.
    """

    def __init__(self, matrix: Block, dtype: str) -> None:
        self.source = matrix
        self.data = room(matrix.data.shape, dtype)
        self.indices = room(matrix.indices.shape, matrix.indices.dtype)

    def fill(self, first: int, piece: Block) -> None:
        """Put a block, the rows from `first` on, in its place."""
        start, end = (int(self.source.indptr[k]) for k in (first, first + piece.shape[0]))
        if piece.indices.ctypes.data != self.source.indices[start:end].ctypes.data:
            raise AssertionError("a step that keeps the cells has changed them")
        self.data[start:end] = piece.data
        self.indices[start:end] = piece.indices

    def matrix(self) -> Block:
        """The whole."""
        parts = self.data, self.indices, self.source.indptr.copy()
        return _put_together(sp.csr_matrix, *parts, self.source.shape)


def stacked(pieces: Sequence[Block]) -> Block:
    """Blocks of rows, one under another."""
    return sp.vstack(pieces, format="csr")
