"""A forest as one array of addresses and sizes.

Every array that a compiled function takes costs about a tenth of a microsecond before it begins. What
answers one row or a few therefore takes the forest as a single int64 array: at the positions named
here stand the memory addresses of the forest's arrays (which the caller keeps alive) and their sizes.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

(
    N_NUMERIC,
    N_PLANES,
    COLUMN,
    RULE,
    TABLE,
    TABLE_SIZE,
    TABLE_AT,
    HALF,
    SIZE,
    NAN_RANK,
    ZERO_MISSING,
    N_CODED,
    CODED_COLUMN,
    CODED_RULE,
    MEMBERS,
    MEMBERS_AT,
    N_SETS,
    LUT,
    LUT_WIDTH,
    LUT_SOURCE,
    N_TREES,
    N_NODES,
    NODES,
    BOUNDS,
    ROOT,
    LEAF_START,
    N_LEAVES,
    VALUE,
    N_VALUES,
    TARGET,
    N_OUTPUTS,
    BASE,
    HAS_CURSOR,
    N_SPLITS,
    SPLIT_START,
    SPLIT_PLANE,
    SPLIT_RANK,
    SPLIT_HERE,
    SPLIT_THERE,
    NO_TOP,
    N_WATCHED,
    WATCHED,
    LOW,
    HIGH,
    REFUSES_NAN,
    FIELDS,
) = range(46)


@intrinsic
def pointer(typingctx: Any, address: Any) -> Any:
    """An address as a pointer, for `numba.carray`."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.intp), codegen


@numba.njit(nogil=True, cache=True, inline="always")
def longs(model, field, n):  # type: ignore[no-untyped-def]
    """An int64 array of the packed forest."""
    return numba.carray(pointer(model[field]), n, np.int64)


@numba.njit(nogil=True, cache=True)
def passes(model, row):  # type: ignore[no-untyped-def]
    """Whether a row meets the guards on the forest's input."""
    n = model[N_WATCHED]
    watched = longs(model, WATCHED, n)
    low = numba.carray(pointer(model[LOW]), n, np.float64)
    high = numba.carray(pointer(model[HIGH]), n, np.float64)
    refuses_nan = numba.carray(pointer(model[REFUSES_NAN]), n, np.uint8)
    for k in range(n):
        value = np.float64(row[watched[k]])
        if np.isnan(value):
            if refuses_nan[k]:
                return False
        elif not low[k] <= value <= high[k]:
            return False
    return True
