"""A sparse matrix of one row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def row_maker(width: int, dtype: np.dtype[Any], kind: Any) -> Callable[[Any, Any], Any]:
    """What makes a CSR matrix of one row of its columns (int32, ascending, no two alike) and its cells.

    SciPy's constructor looks at everything that it is given, which takes longer than to count. So a
    matrix that the constructor has made is copied as `copy.copy` does it, and its arrays are replaced.
    """
    empty = (np.empty(0, dtype), np.empty(0, np.int32), np.zeros(2, np.int32))
    template = kind(empty, shape=(1, width))
    template.has_sorted_indices, template.has_canonical_format = True, True
    state, new = vars(template), kind.__new__

    def make(columns: Any, cells: Any) -> Any:
        matrix = new(kind)
        vars(matrix).update(state)
        matrix.data, matrix.indices = cells, columns
        matrix.indptr = np.array([0, len(columns)], np.int32)
        return matrix

    return make
