"""A forest on one row in the form of an inner loop of NumPy, for the machine to call.

The arguments are those of a ufunc: the addresses of the row and of the sums, the number of cells of the
row, the strides (which are not looked at), and the packed forest (see `packed`).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numba
import numpy as np
from numba import types

from millrace.backends.numba.kernels.packed import FIELDS, N_OUTPUTS, pointer
from millrace.backends.numba.kernels.row import row_sums, row_sums_by_value

_LONGS = types.CPointer(types.int64)
_SIGNATURE = types.void(_LONGS, _LONGS, _LONGS, types.int64)


@cache
def forest_loop(row: str, value: str, by_value: bool) -> Any:
    """The loop for rows and leaf values of these dtypes; its ``address`` is what the machine calls."""
    make = _by_value if by_value else _by_rank
    return make(np.dtype(row).type, np.dtype(value).type)


def _by_rank(row_type: Any, value_type: Any) -> Any:
    @numba.cfunc(_SIGNATURE, cache=True)
    def loop(args, dimensions, steps, data):  # type: ignore[no-untyped-def]
        model = numba.carray(pointer(data), FIELDS, np.int64)
        row = numba.carray(pointer(args[0]), dimensions[0], row_type)
        sums = numba.carray(pointer(args[1]), model[N_OUTPUTS], value_type)
        row_sums(model, row, value_type(0), sums)

    return loop


def _by_value(row_type: Any, value_type: Any) -> Any:
    @numba.cfunc(_SIGNATURE, cache=True)
    def loop(args, dimensions, steps, data):  # type: ignore[no-untyped-def]
        model = numba.carray(pointer(data), FIELDS, np.int64)
        row = numba.carray(pointer(args[0]), dimensions[0], row_type)
        sums = numba.carray(pointer(args[1]), model[N_OUTPUTS], value_type)
        row_sums_by_value(model, row, value_type(0), sums)

    return loop
