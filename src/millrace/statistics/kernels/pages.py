"""Working on an array that is mapped from a file, a few of its pages at a time.

Mapped pages count as memory of the process, and a kernel that runs for seconds maps all that it reads.
So it says what it has touched, and beyond a limit the pages are unmapped again. They stay in the system's
file cache. Where nothing is mapped, no code is made for it.
"""

# Kernels are not Python: Numba gives them their types.
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

_overload: Any = overload

_madvise: Any = types.ExternalFunction("madvise", types.int32(types.intp, types.uintp, types.int32))

_ADVICE = np.int32(getattr(mmap, "MADV_DONTNEED", 0))


def mapped_pages(array: np.ndarray, limit: int) -> np.ndarray | None:
    """What `touch` keeps of a mapped array; None of one in memory, or where a system cannot do it.

    Parameters
    ----------
    array : numpy.ndarray
        All of a shared mapping of a file; of any other memory the contents would be lost.
    limit : int
        Bytes that may be touched before they are unmapped.

    Returns
    -------
    numpy.ndarray of int64 (4,), optional
        Address, length, limit, bytes touched. Every thread has its own.
    """
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    if not isinstance(base, mmap.mmap) or not hasattr(mmap, "MADV_DONTNEED"):
        return None
    return np.array([array.ctypes.data, array.nbytes, limit, 0])


def touch(pages, size):
    """Note that so many bytes were read; by the type of `pages` this is something or nothing."""
    raise NotImplementedError


@_overload(touch, jit_options={"error_model": "numpy", "_nrt": False})
def _touch_by_type(pages, size):
    return _nothing if isinstance(pages, types.NoneType) else _noted


def _nothing(pages, size):
    pass


def _noted(pages, size):
    pages[3] += size
    if pages[3] > pages[2]:
        _madvise(pages[0], np.uint64(pages[1]), _ADVICE)
        pages[3] = 0
