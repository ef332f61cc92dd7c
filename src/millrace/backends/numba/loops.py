"""NumPy's own inner loops, by address: what a ufunc runs once it has looked at its arguments.

The head of a ufunc object, and the form of its loops, are part of NumPy's C interface (`ufuncobject.h`;
the same in NumPy 1 and 2). What is read there is believed only after a trial: the loop must give the bits
that the ufunc gives. SciPy's ufuncs are of the same kind.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from millrace.ir.types import function

_TRIALS = (0.75, -1.5, 3.0, 0.0, 1e-3, -2.25, 40.0, float("nan"), 0.5, -0.0, 1.0, float("inf"))
"""Cells on which a loop must agree with its ufunc: more of them than any vector has lanes."""

_LOOP = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4)


class _Head(ctypes.Structure):
    """The first fields of a ``PyUFuncObject``."""

    _fields_ = (
        ("head", ctypes.c_char * object.__basicsize__),
        ("nin", ctypes.c_int),
        ("nout", ctypes.c_int),
        ("nargs", ctypes.c_int),
        ("identity", ctypes.c_int),
        ("functions", ctypes.POINTER(ctypes.c_void_p)),
        ("data", ctypes.POINTER(ctypes.c_void_p)),
        ("ntypes", ctypes.c_int),
    )


@dataclass(frozen=True)
class Loop:
    """The inner loop of a ufunc for some dtypes.

    Attributes
    ----------
    address, data : int
        The loop, and what it takes as its last argument.
    given : tuple of dtype
        Dtypes of the inputs.
    result : dtype
    """

    address: int
    data: int
    given: tuple[np.dtype[Any], ...]
    result: np.dtype[Any]


@cache
def inner_loop(name: str, *dtypes: str) -> Loop | None:
    """The loop that the ufunc of this name runs on arrays of these dtypes; None where it is not known."""
    ufunc: Any = function(name)
    if ufunc.nin != len(dtypes) or ufunc.nout != 1 or ufunc.signature is not None:
        return None
    head = _Head.from_address(id(ufunc))
    if (head.nin, head.nout, head.ntypes) != (ufunc.nin, ufunc.nout, ufunc.ntypes):
        return None
    try:
        *given, result = ufunc.resolve_dtypes((*map(np.dtype, dtypes), None))
    except TypeError:
        return None
    wanted = f"{''.join(d.char for d in given)}->{result.char}"
    if wanted not in ufunc.types:
        return None
    at = ufunc.types.index(wanted)
    loop = Loop(
        head.functions[at] or 0, (head.data[at] or 0) if head.data else 0, (*given,), result
    )
    return loop if loop.address and _agrees(ufunc, loop) else None


def _agrees(ufunc: Any, loop: Loop) -> bool:
    """Whether a loop gives what its ufunc gives, along arrays and beside a single cell."""
    with np.errstate(all="ignore"):
        cells = [_cells(d, k) for k, d in enumerate(loop.given)]
        for n_first in (len(_TRIALS), 1):
            first = cells[0][:n_first] if len(cells) > 1 else cells[0]
            args = [first, *cells[1:]]
            expected = ufunc(*args)
            if expected.dtype != loop.result or run(loop, *args).tobytes() != expected.tobytes():
                return False
    return True


def _cells(dtype: np.dtype[Any], k: int) -> Any:
    """The trials in a dtype, turned by `k` places."""
    cells = np.roll(np.array(_TRIALS), k)
    return (
        cells.astype(dtype)
        if dtype.kind == "f"
        else (np.nan_to_num(cells, posinf=7) > 0).astype(dtype)
    )


def run(loop: Loop, *args: Any) -> Any:
    """The loop on one-dimensional arrays of its dtypes; of one cell those that stand for all others."""
    n = max(len(a) for a in args)
    out = np.empty(n, loop.result)
    steps = [0 if len(a) < n else a.itemsize for a in args] + [out.itemsize]
    places = (ctypes.c_void_p * (len(args) + 1))(*[a.ctypes.data for a in args], out.ctypes.data)
    strides = (ctypes.c_ssize_t * len(steps))(*steps)
    length = ctypes.c_ssize_t(n)
    given = (ctypes.addressof(a) for a in (places, length, strides))
    _LOOP(loop.address)(*given, loop.data)
    return out


MOST_LANES = 16
"""Sums that ``np.einsum`` may keep at once."""


@cache
def lanes_of_einsum(dtype: str) -> int:
    """How many sums ``np.einsum`` keeps at once when it adds up squares; 0 where none fits."""
    from millrace.backends.numba.kernels.cells import square_sum

    rng = np.random.default_rng(0)
    rows = [rng.normal(size=(1, n)).astype(dtype) for n in (*range(1, 18), 67, 130)]
    squares = [np.einsum("ij,ij->i", r, r)[0] for r in rows]
    room = np.empty(MOST_LANES, dtype)
    for lanes in (2, 4, 8, MOST_LANES):
        sums = [square_sum(r[0], r.shape[1], lanes, room) for r in rows]
        if sums == squares:
            return lanes
    return 0
