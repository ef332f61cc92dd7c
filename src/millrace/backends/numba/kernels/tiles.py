"""Run the columns of a table through a list of inner loops, a few hundred rows at a time.

A **tile** is a few hundred rows of every column that is alive, each column contiguous, all of them in a
scratch memory that fits the caches. An instruction reads and writes columns of the tile. Most of them are
calls of NumPy's own inner loops by address (`backends/numba/loops.py`), so that the bits are NumPy's; the
others are operations of our own (`tile_moves`, `tile_cells`), which are called by address as well. One
call works through all tiles of a block of rows and holds no lock.
"""

from __future__ import annotations

import numba
import numpy as np

from millrace.backends.numba.kernels import (  # they add their operations
    tile_cells,
    tile_moves,
    tile_products,
)
from millrace.backends.numba.kernels.operations import call, call_loop, cells
from millrace.backends.numba.kernels.tile_form import CALL, OPERATIONS, WIDTH

__all__ = ["OPERATIONS", "run_tiles", "tile_cells", "tile_moves", "tile_products"]


_SIGNATURE = "int64(int64, int64, int64, int64[:, ::1], uint8[::1], int64, int64)"


@numba.njit(_SIGNATURE, nogil=True, cache=True)
def run_tiles(code_at, n_code, places, ports, scratch, n_rows, tile):  # type: ignore[no-untyped-def]
    """Work through a block of rows.

    Parameters
    ----------
    code_at, n_code : int
        The address of int64 (n_code, WIDTH). The first number of an instruction is `CALL`, or the
        address of its operation.
    places : int
        The address of lists of columns, by their byte offsets, for instructions of many inputs.
    ports : int64 (n_ports, 2)
        Columns of arrays outside: the address of the first cell, and the bytes from row to row.
    scratch : uint8 (n_bytes,)
        `HEAD` bytes for `CALL`, constants, room for the columns of a tile.
    n_rows, tile : int

    Returns
    -------
    int
        1 at the first tile with a row that is refused, else 0.
    """
    base, ports_at = scratch.ctypes.data, ports.ctypes.data
    given = cells(base, np.int64)  # three addresses, the count, three distances
    for first in range(0, n_rows, tile):
        n = min(tile, n_rows - first)
        for k in range(n_code):
            at = code_at + 8 * WIDTH * k
            line = cells(at, np.int64)
            if line[0] != CALL:
                if call(line[0], (at, base, n, first, ports_at, places)):
                    return 1
                continue
            given[0], given[1], given[2] = base + line[4], base + line[6], base + line[8]
            given[3] = n
            given[4], given[5], given[6] = line[5], line[7], line[9]
            call_loop(line[1], base, base + 24, base + 32, line[2])
    return 0
