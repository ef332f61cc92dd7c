"""A number that changes with any byte of many pieces of memory.

It has to run at the speed of the memory, since it runs before each answer. So it takes 32 words at a
time in lanes that do not wait for each other. Each step of a lane is one to one, so an edit of one
word is always seen; the rotation brings every bit, a sign for one, down to where multiplication spreads
it, so that edits in two places do not cancel out but by accident, once in 2**64.
"""

# Kernels are not Python: Numba gives them their types.
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, uint64

from millrace.backends.numba.kernels.vectors import load_at

LANES = 32
_load: Any = load_at
_jit: Any = njit(nogil=True, cache=True)

_ODD = np.uint64(0x9E3779B97F4A7C15)
_WORD, _BYTE = np.uint64(0), np.uint8(0)
_LEFT, _RIGHT = np.uint64(29), np.uint64(35)


@_jit
def _mixed(state, word):
    state = (state ^ word) * _ODD
    return (state << _LEFT) | (state >> _RIGHT)


@njit("uint64(int64[::1], int64[::1])", nogil=True, cache=True)
def digest(addresses, sizes):
    """Digest pieces of memory.

    Parameters
    ----------
    addresses, sizes : int64 (n_pieces,)
        Where each begins, and its bytes. The memory must be there.

    Returns
    -------
    uint64
    """
    state = _ODD
    lanes = np.empty(LANES, np.uint64)
    for piece in range(len(addresses)):
        at, left = addresses[piece], sizes[piece]
        state = _mixed(state, uint64(left))
        if left >= 8 * LANES:
            for lane in range(LANES):
                lanes[lane] = uint64(lane)
            while left >= 8 * LANES:
                for lane in range(LANES):
                    lanes[lane] = _mixed(lanes[lane], _load(at + 8 * lane, _WORD))
                at += 8 * LANES
                left -= 8 * LANES
            for lane in range(LANES):
                state = _mixed(state, lanes[lane])
        while left >= 8:
            state = _mixed(state, _load(at, _WORD))
            at += 8
            left -= 8
        while left > 0:
            state = _mixed(state, uint64(_load(at, _BYTE)))
            at += 1
            left -= 1
    return state
