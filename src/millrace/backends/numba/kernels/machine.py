"""A small machine that runs a whole program on one row: one call instead of one a step.

A step of a program on one row is a few nanoseconds of arithmetic and a microsecond of calling. The
machine takes the steps as a list of *instructions*, 16 words each, and runs them over a scratch memory.
It is compiled once, so a model costs no compilation. What an elementwise function or a reduction computes
is left to NumPy's own inner loops, which an instruction calls by address: the bits are NumPy's. The other
instructions move cells, or compare them.

How instructions and memory are laid out is said in `millrace.backends.numba.instructions`.

Limit: about 5 ns an instruction, and 5 to 15 ns for NumPy's loop.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from millrace.backends.numba.instructions import (
    ARGUMENT,
    BETWEEN,
    CAST,
    COPY,
    COUNT,
    EDGES,
    FAR,
    FIRST_LOOK,
    GATHER,
    GUARD,
    HEADER,
    INPUT,
    LOOP,
    MACHINE,
    MORE,
    N_INSTRUCTIONS,
    NEAR,
    ONE_HOT,
    OUT,
    PICK,
    PLACE,
    PRODUCT,
    REQUIRE,
    RUNNING_SUM,
    SCRATCH,
    SORT,
    SQUARE_SUM,
    STRIDE,
    TAKE,
    WHERE,
    WORDS,
)
from millrace.backends.numba.kernels.cells import (
    add_squares,
    all_true,
    as_double,
    as_long,
    between,
    cast,
    code_of,
    edges,
    extreme,
    far,
    long8,
    move,
    near,
    one_hot,
    passes,
    pick,
    product,
    put_long4,
    put_long8,
    running_sum,
    sort,
    take,
    where,
)
from millrace.backends.numba.kernels.packed import pointer


@intrinsic
def call_loop(typingctx, loop, args, dimensions, steps, data):  # type: ignore[no-untyped-def]
    """Call an inner loop of NumPy, ``void (char **, npy_intp *, npy_intp *, void *)``, by addresses."""
    word = ir.IntType(64)

    def codegen(context: Any, builder: Any, sig: Any, given: Any) -> Any:
        of = ir.FunctionType(ir.VoidType(), [word] * 4).as_pointer()
        builder.call(builder.inttoptr(given[0], of), given[1:])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), codegen


@intrinsic
def _call_machine(typingctx, machine, model, row, stride, size, n_cells, out):  # type: ignore[no-untyped-def]
    """Call `run` by its address."""
    word = ir.IntType(64)

    def codegen(context: Any, builder: Any, sig: Any, given: Any) -> Any:
        of = ir.FunctionType(word, [word] * 6).as_pointer()
        return builder.call(builder.inttoptr(given[0], of), given[1:])

    return types.int64(*[types.int64] * 7), codegen


@numba.njit(cache=True)
def _at(place, scratch, model, out):  # type: ignore[no-untyped-def]
    """The address of a place."""
    if place < 0:
        return model - place
    if place >= OUT:
        return out + (place - OUT)
    return scratch + place


# -- the machine ---------------------------------------------------------------------------
@numba.njit(cache=True)
def _loop(words, model, k, a, b, c, args):  # type: ignore[no-untyped-def]
    """Call NumPy's loop; its dimensions and strides are words of the instruction."""
    args[0], args[1], args[2] = a, b, c
    here = model + 8 * (HEADER + k * WORDS)
    call_loop(words[MORE], args.ctypes.data, here + 8 * COUNT, here + 8 * STRIDE, words[MORE + 1])


@numba.njit(cache=True)
def _looked_at(words, model, a, b, c):  # type: ignore[no-untyped-def]
    """Run an instruction that can give up; false where it does."""
    operation, n = words[0], words[COUNT]
    if operation == GUARD:
        limits = model - words[MORE + 3] if words[MORE + 3] else 0
        return passes(a, n, words[MORE + 1], words[MORE + 2], limits)
    if operation == REQUIRE:
        return all_true(a, n)
    if operation == PICK:
        return pick(a, b, c, words[MORE + 2], words[MORE + 1], n)
    if operation == FAR:
        return far(words, a, b, model)
    if operation == NEAR:
        return near(words, a, b, model)
    if operation == GATHER:
        code, size = as_long(a, words[MORE + 1], 0), words[MORE + 2]
        if not 0 <= code < words[MORE + 3]:
            return False
        move(model - words[MORE + 4] + code * size, 1, b, 1, size)
        return True
    found = code_of(words, as_double(a, words[MORE + 7], 0), model)
    put_long4(b, 0, np.int32(found))
    return not (words[MORE + 6] and found == words[MORE + 5])


@numba.njit(cache=True)
def _computed(words, model, a, b, c):  # type: ignore[no-untyped-def]
    """Run an instruction that always has an answer."""
    operation, n = words[0], words[COUNT]
    if operation == PRODUCT:
        product(a, b, c, n, words[MORE + 1], words[MORE + 2])
    elif operation == CAST:
        cast(a, words[MORE + 1], b, words[MORE + 2], n)
    elif operation == TAKE:
        take(a, b, words[MORE + 1], model - words[MORE + 2], n)
    elif operation == ARGUMENT:
        put_long8(b, 0, extreme(a, words[MORE + 1], n, words[MORE + 2]))
    elif operation == SQUARE_SUM:
        add_squares(a, b, n, words[MORE + 1], words[MORE + 2])
    elif operation == RUNNING_SUM:
        running_sum(a, b, n)
    elif operation == ONE_HOT:
        code = as_long(a, words[MORE + 1], 0)
        one_hot(code, b, n, words[MORE + 2], model - words[MORE + 3])
    elif operation == EDGES:
        edges(words, a, b, model)
    elif operation == BETWEEN:
        between(words, a, b, model)
    elif operation == SORT:
        sort(a, b, n)


@numba.njit(cache=True)
def _run(model, memory, args, out):  # type: ignore[no-untyped-def]
    """Run all instructions over a memory in which the row stands."""
    n, scratch = long8(model, N_INSTRUCTIONS), memory.ctypes.data
    code = numba.carray(pointer(model), HEADER + n * WORDS, np.int64)
    for k in range(n):
        words = code[HEADER + k * WORDS : HEADER + (k + 1) * WORDS]
        a = _at(words[PLACE], scratch, model, out)
        b = _at(words[PLACE + 1], scratch, model, out)
        c = _at(words[PLACE + 2], scratch, model, out)
        operation = words[0]
        if operation == LOOP:
            _loop(words, model, k, a, b, c, args)
        elif operation == COPY:
            move(a, words[STRIDE], b, words[MORE + 1], words[COUNT])
        elif operation == WHERE:
            where(words, a, b, c, _at(words[MORE + 2], scratch, model, out))
        elif operation >= FIRST_LOOK:
            if not _looked_at(words, model, a, b, c):
                return 1
        else:
            _computed(words, model, a, b, c)
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
    if n_cells != long8(model, INPUT):
        return 1
    # The call holds the memory: Numba lets go of an array after its last mention.
    memory = np.empty(long8(model, SCRATCH) // 8 + 4, np.float64)
    move(row, stride, memory.ctypes.data, size, n_cells)
    return _run(model, memory, np.empty(3, np.int64), out)


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
    machine = long8(model, MACHINE)
    given = (row.ctypes.data, row.strides[0], row.itemsize, len(row), out.ctypes.data)
    return _call_machine(machine, model, *given)
