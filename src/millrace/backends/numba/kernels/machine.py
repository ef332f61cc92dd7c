"""A small machine that runs a whole program on one row: one call instead of one a step.

A step of a program on one row is a few nanoseconds of arithmetic and a microsecond of calling. The
machine takes the steps as a list of *instructions*, 16 words each, and runs them over a scratch memory.
It and its operations (`cells`) are compiled once, each by itself, so a model costs no compilation. What
an elementwise function or a reduction computes is left to NumPy's own inner loops, which an instruction
calls by address: the bits are NumPy's. The other instructions move cells, or compare them.

How instructions and memory are laid out is said in `millrace.backends.numba.instructions`.

Limit: about 5 ns an instruction, and 5 to 15 ns for NumPy's loop.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import types

from millrace.backends.numba.instructions import (
    COUNT,
    HEADER,
    INPUT,
    MACHINE,
    MORE,
    N_INSTRUCTIONS,
    PLACE,
    SCRATCH,
    STRIDE,
    WORDS,
)
from millrace.backends.numba.kernels.cells import OPERATIONS
from millrace.backends.numba.kernels.operations import at_place, call, call_loop, cells, copy

__all__ = ["OPERATIONS", "entry", "run"]

_ARGUMENTS = 64
"""Bytes before the scratch memory in which the arguments of NumPy's loops stand."""


@numba.njit(nogil=True)
def _run(model, memory, out):  # type: ignore[no-untyped-def]
    """Run all instructions over a memory in which the row stands."""
    base = memory.ctypes.data
    scratch, args = base + _ARGUMENTS, cells(base, np.int64)
    n = cells(model, np.int64)[N_INSTRUCTIONS]
    for k in range(n):
        here = model + 8 * (HEADER + k * WORDS)
        words = cells(here, np.int64)
        a = at_place(words[PLACE], scratch, model, out)
        b = at_place(words[PLACE + 1], scratch, model, out)
        c = at_place(words[PLACE + 2], scratch, model, out)
        if words[0] == 0:
            args[0], args[1], args[2] = a, b, c
            call_loop(words[MORE], base, here + 8 * COUNT, here + 8 * STRIDE, words[MORE + 1])
        elif call(words[0], (here, model, a, b, c, scratch, out)):
            return 1
    return 0


@numba.cfunc(types.int64(*[types.int64] * 6), cache=True)
def run(model, row, stride, size, n_cells, out):  # type: ignore[no-untyped-def]
    """Run a model on one row: 0, or 1 where the row is for the general way.

    Parameters
    ----------
    model : int
        The address of a model's memory.
    row, stride, size, n_cells : int
        The address of the row, bytes from cell to cell, bytes of a cell, number of cells.
    out : int
        The address of the answer.
    """
    head = cells(model, np.int64)
    if n_cells != head[INPUT]:
        return 1
    # The call holds the memory: Numba lets go of an array after its last mention.
    memory = np.empty((head[SCRATCH] + _ARGUMENTS) // 8 + 1, np.int64)
    target = memory.ctypes.data + _ARGUMENTS
    if stride == size:
        copy(row, target, size * n_cells)
    else:
        for i in range(n_cells):
            copy(row + i * stride, target + i * size, size)
    return _run(model, memory, out)


_BY_SIZE: dict[int, Any] = {8: types.float64, 4: types.float32, 2: types.int16, 1: types.uint8}
_entries: dict[tuple[int, int], Any] = {}


def entry(size: int, answer: int) -> Any:
    """`run` as a function of a model's address, a row and an answer with cells of so many bytes.

    The function looks at nothing but the sizes: what it takes must be one-dimensional arrays. It is the
    compiled function itself and not Numba's dispatcher, which takes longer to look at the arguments than
    the machine takes to run.
    """
    found = _entries.get((size, answer))
    if found is None:
        row, out = (types.Array(_BY_SIZE[s], 1, "A") for s in (size, answer))
        _enter.compile((types.int64, row, out))
        (result,) = (v for k, v in _enter.overloads.items() if k[1:] == (row, out))
        found = _entries[size, answer] = result.entry_point
    return found


@numba.njit(cache=True)
def _enter(model, row, out):  # type: ignore[no-untyped-def]
    # By address: compiled into this function, the machine would be compiled once for every pair of sizes.
    machine = cells(model, np.int64)[MACHINE]
    start, answer = row.ctypes.data, out.ctypes.data
    return call(machine, (model, start, row.strides[0], row.itemsize, len(row), answer))
