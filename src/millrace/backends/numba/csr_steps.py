"""Steps on a sparse block that have kernels; the others are `runtime.sparse`'s."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from millrace.backends.numba.guards import is_below
from millrace.backends.numba.kernels import csr
from millrace.ir.ops import Binary, Guard, Op
from millrace.ir.types import function
from millrace.runtime import sparse


def apply(op: Op, inputs: Sequence[Any], names: Sequence[str], first: int) -> Any:
    """As `sparse.apply`, with the same bits."""
    block = inputs[0]
    match op:
        case Binary(name) if sparse.is_sparse(block) and not sparse.is_sparse(inputs[1]):
            other = _beside(inputs[1], block)
            if other is not None:
                in_place = name in ("multiply", "divide") and other.dtype == block.data.dtype
                out = other if in_place else None
                return sparse.with_data(block, function(name)(block.data, other, out=out))
        case Guard() if block.data.dtype.kind == "f" and block.data.itemsize >= 4:
            if is_below(block.data, np.inf):
                return block
        case _:
            pass
    return sparse.apply(op, inputs, names, first)


def _beside(dense: Any, block: Any) -> Any:
    """The cells of a row or a column beside those of a block; None where there is no kernel."""
    if dense.dtype not in (np.float64, np.float32):
        return None
    if len(dense) == 1 and dense.shape[1] > 1:
        return csr.of_columns(np.array(dense[0]), block.indices)
    if dense.shape[1] == 1 and len(dense) == block.shape[0] > 1:
        return csr.of_rows(dense[:, 0].copy(), block.indptr)
    return None
