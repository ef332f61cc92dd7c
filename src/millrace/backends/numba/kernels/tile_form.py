"""What the instructions of a tile are, and the operations that carry them out.

An instruction is a row of `WIDTH` int64: what to do, and places as byte offsets into the scratch memory,
each with the distance from cell to cell where it may be a constant (distance 0). An operation gets the
addresses of its instruction and of the scratch memory, the number of rows of the tile and how many come
before it, and the addresses of the ports and of the places (see `tiles.run_tiles`).
"""

from __future__ import annotations

from millrace.backends.numba.kernels.operations import Operations

WIDTH = 10
"""Numbers of an instruction."""

HEAD = 64
"""Bytes of the scratch memory that `CALL` needs."""

(
    CALL,
    LOAD_8,
    LOAD_4,
    LOAD_1,
    STORE_8,
    STORE_4,
    STORE_1,
    GUARD_8,
    GUARD_4,
    DOT_8,
    DOT_4,
    WHERE_8,
    WHERE_4,
    WHERE_1,
    WIDEN_4,
    NARROW_8,
    BOOL_TO_8,
    BOOL_TO_4,
    BOOL_TO_INT,
    INT_TO_8,
    REQUIRE,
    PICK_8,
    ARGMAX_8,
    ARGMIN_8,
    FILL_8,
    INT_TO_INT,
    LOAD_MANY,
    STORE_MANY,
    FINITE_8,
    NO_INFINITY_8,
    DOT_ALONE_8,
    PRODUCT_8,
    PRODUCT_ALONE_8,
) = range(33)

OPERATIONS = Operations(6)
"""All but `CALL`, which the interpreter does itself."""
