"""A small forest for the rows of a matrix as they lie; when that is quicker than by ranks."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.backends.numba.columns import MatrixColumns
from millrace.backends.numba.kernels.by_value import value_sums
from millrace.backends.numba.kernels.vectors import VALUE_LANES
from millrace.backends.numba.quantize import QuantizedForest
from millrace.ir.ops import Forest

Array = npt.NDArray[Any]

_SHORT = 32
"""Words of thresholds of a plane that are compared one by one; more are searched."""


class ByValue:
    """What `kernels.by_value` takes.

    Parameters
    ----------
    forest : Forest
    quantized : QuantizedForest
        Of the same, with a cursor and without categories; see `pays`.
    target : int32 (n_trees,)
        `Forest.target`, writable.
    """

    def __init__(self, forest: Forest, quantized: QuantizedForest, target: Array) -> None:
        q, p, s = quantized, quantized.planes, quantized.splits
        self.dtype, self.column = p.table.dtype, p.column.astype(np.int64)
        wide = np.dtype(f"i{self.dtype.itemsize}")
        bound = p.table[p.table_at[s.plane.astype(np.int64)] + s.rank]
        value, base = q.value, np.array(forest.base.values)
        if forest.n_trees == 1 and value.shape[1] == forest.n_outputs:
            value, base = base + value, base[:0]
        cursors = bound, s.here.astype(wide), s.there.astype(wide)
        self.rules = p.rule.astype(np.int64)
        self.rest = s.start, s.plane, *cursors, q.leaf_start, value, target, base

    @staticmethod
    def pays(forest: Forest, quantized: QuantizedForest) -> bool:
        """Whether comparing floats in every split takes less time than ranks.

        The terms are nanoseconds a row, fitted to some sixty trees and forests of 3 to 250 splits with
        AVX-512; what matters is which side is the larger, and narrower vectors slow both alike.
        """
        q, size = quantized, quantized.planes.size
        if not q.has_cursor or forest.linear is not None or q.planes.members or not len(size):
            return False
        words = q.planes.table.itemsize / 8
        n_planes, n_splits = len(size), len(q.splits.plane)
        sums = forest.n_trees * q.value.shape[1]
        by_value = 0.4 + 0.1 * words * n_splits + 0.4 * n_planes + 0.6 * sums
        searched = np.where(size * words <= _SHORT, size * words, 16 * np.log2(size + 1.0)).sum()
        by_rank = 0.03 * searched + 0.7 * n_planes + 0.02 * n_splits + 0.5 * sums
        return bool(by_value < by_rank + 1.2 * forest.n_outputs)

    def sums(self, columns: Any, n_rows: int, out: Array | None) -> Array | None:
        """The sums of all trees, (n_rows, n_outputs) in C order, in `out` if there is one.

        None where the rows do not lie as the kernel takes them.
        """
        if type(columns) is not MatrixColumns or n_rows < VALUE_LANES:
            return None
        matrix, positions = columns.matrix, columns.positions
        if not matrix.flags.c_contiguous or matrix.dtype != self.dtype:
            return None
        *_, value, _, base = self.rest
        if out is None or not out.flags.c_contiguous or out.dtype != value.dtype:
            out = np.empty((n_rows, len(base) or value.shape[1]), value.dtype)
        column = self.column if positions is None else np.asarray(positions)[self.column]
        value_sums(matrix, column, self.rules, *self.rest, out)
        return out
