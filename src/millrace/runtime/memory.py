"""Room for big answers: pages that the system has handed out once are used again.

The C library gives a block of more than 32 MB back to the system as soon as it is freed. The next answer
of that size begins with pages that the system has to clear one by one, which takes longer than many a
model. So the room of the last big answers is kept, and used again once nobody holds the answer.
"""

from __future__ import annotations

import math
import os
import sys
import threading
from typing import Any

import numpy as np
import numpy.typing as npt

LEAST, MOST = 32 << 20, 128 << 20
"""Bytes of an answer whose room is kept, and bytes that are kept at most."""

_ALONE = 3
"""References to a buffer that nobody uses: the tuple, the loop, and the call that counts them."""


class _Kept:
    buffers: tuple[npt.NDArray[np.uint8], ...] = ()
    lock = threading.Lock()


def room(shape: tuple[int, ...], dtype: Any) -> npt.NDArray[Any]:
    """As ``numpy.empty``; where it is big, in memory of an earlier answer that is gone."""
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    if not LEAST <= n_bytes <= MOST:
        return np.empty(shape, dtype)
    with _Kept.lock:
        return _buffer(n_bytes)[:n_bytes].view(dtype).reshape(shape)


def _buffer(n_bytes: int) -> npt.NDArray[np.uint8]:
    """A buffer that is large enough, and kept from now on.

    Whatever looks at an answer or at a part of it holds the buffer: NumPy's views refer to their owner.
    """
    for buffer in _Kept.buffers:
        if n_bytes <= len(buffer) <= 2 * n_bytes and sys.getrefcount(buffer) == _ALONE:
            return buffer
    fresh = np.empty(n_bytes, np.uint8)
    kept = [fresh, *_Kept.buffers]
    while sum(map(len, kept)) > MOST:
        kept.pop()
    _Kept.buffers = tuple(kept)
    return fresh


def _renew_lock() -> None:
    """Another thread, which a forked child does not have, may hold the lock."""
    _Kept.lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)
