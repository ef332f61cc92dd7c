"""Run the columns of a table through a list of inner loops, a few hundred rows at a time.

A **tile** is a few hundred rows of every column that is alive, each column contiguous, all of them in a
scratch memory that fits the caches. An instruction reads and writes columns of the tile. Most of them are
calls of NumPy's own inner loops by address (`backends/numba/loops.py`), so that the bits are NumPy's; the
others are written here. One call works through all tiles of a block of rows and holds no lock.

An instruction is a row of int64: what to do, and places as byte offsets into the scratch memory, each
with the distance from cell to cell where it may be a constant (distance 0).
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from millrace.backends.numba.kernels.vectors import load_at

WIDTH = 10
"""Numbers of an instruction."""

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
) = range(31)


@intrinsic
def call_loop(typingctx, address, args, counts, strides, data):  # type: ignore[no-untyped-def]
    """``loop(args, counts, strides, data)``: an inner loop of a ufunc at an address."""
    sig = types.void(types.intp, types.intp, types.intp, types.intp, types.intp)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        word = ir.IntType(64)
        loop = ir.FunctionType(ir.VoidType(), [word] * 4)
        builder.call(builder.inttoptr(args[0], loop.as_pointer()), args[1:])
        return context.get_dummy_value()

    return sig, codegen


@intrinsic
def store_at(typingctx, address, value):  # type: ignore[no-untyped-def]
    """Write a number to a memory address."""
    sig = types.void(types.intp, value)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        builder.store(args[1], builder.inttoptr(args[0], args[1].type.as_pointer()), align=1)
        return context.get_dummy_value()

    return sig, codegen


@intrinsic
def times_plus(typingctx, a, b, c):  # type: ignore[no-untyped-def]
    """``a * b + c``, rounded once where the machine can, as a BLAS has it."""
    sig = a(a, b, c)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        real = args[0].type
        form = ir.FunctionType(real, [real] * 3)
        return builder.call(builder.module.declare_intrinsic("llvm.fmuladd", [real], form), args)

    return sig, codegen


@intrinsic
def turn(typingctx, sources, targets):  # type: ignore[no-untyped-def]
    """Rows of 2 or 4 words at as many addresses become columns, at as many other addresses."""
    sig = types.void(sources, targets)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        size = len(sig.args[0])
        row = ir.VectorType(ir.IntType(64), size).as_pointer()

        def at(addresses: Any, k: int) -> Any:
            return builder.inttoptr(builder.extract_value(addresses, k), row)

        rows = [builder.load(at(args[0], k), align=1) for k in range(size)]
        for k, column in enumerate(_turned(builder, rows)):
            builder.store(column, at(args[1], k), align=1)
        return context.get_dummy_value()

    return sig, codegen


def _turned(builder: Any, rows: list[Any]) -> list[Any]:
    """Rows of words as columns: pairs of words change places first, then halves of rows."""
    size, word = len(rows), ir.IntType(32)

    def mixed(a: Any, b: Any, picks: list[int]) -> Any:
        return builder.shuffle_vector(
            a, b, ir.Constant(ir.VectorType(word, len(picks)), [word(p) for p in picks])
        )

    if size == 2:
        return [mixed(rows[0], rows[1], [0, 2]), mixed(rows[0], rows[1], [1, 3])]
    a, b, c, d = rows
    pairs = [mixed(x, y, p) for x, y in ((a, b), (c, d)) for p in ([0, 4, 2, 6], [1, 5, 3, 7])]
    low, high = [0, 1, 4, 5], [2, 3, 6, 7]
    return [
        mixed(pairs[0], pairs[2], low),
        mixed(pairs[1], pairs[3], low),
        mixed(pairs[0], pairs[2], high),
        mixed(pairs[1], pairs[3], high),
    ]


@numba.njit(nogil=True)
def _load(address, stride, target):  # type: ignore[no-untyped-def]
    like = target.dtype.type(0)
    for i in range(len(target)):
        target[i] = load_at(address + i * stride, like)


@numba.njit(nogil=True)
def _store(source, address, stride):  # type: ignore[no-untyped-def]
    for i in range(len(source)):
        store_at(address + i * stride, source[i])


@numba.njit(nogil=True)
def _are_neighbours(ports, first, count):  # type: ignore[no-untyped-def]
    """Whether ports are columns of words that lie side by side."""
    for k in range(1, count):
        if ports[first + k, 0] != ports[first, 0] + 8 * k or ports[first + k, 1] != ports[first, 1]:
            return False
    return True


@numba.njit(nogil=True)
def _load_words(at, stride, n, base, columns):  # type: ignore[no-untyped-def]
    """Neighbouring columns of words: four rows of four at a time, the last four may be read twice."""
    count = len(columns)
    size = 4 if count >= 4 else 2
    whole = n // size * size
    for i in range(0, whole, size):
        row, to = at + i * stride, base + 8 * i
        for group in range(0, count, size):
            c = min(group, count - size)
            x, a, b = row + 8 * c, to + columns[c], to + columns[c + 1]
            if size == 2:
                turn((x, x + stride), (a, b))
                continue
            rows = (x, x + stride, x + 2 * stride, x + 3 * stride)
            turn(rows, (a, b, to + columns[c + 2], to + columns[c + 3]))
    for i in range(whole, n):
        for c in range(count):
            store_at(base + columns[c] + 8 * i, load_at(at + i * stride + 8 * c, 0))


@numba.njit(nogil=True)
def _store_words(at, stride, n, base, columns):  # type: ignore[no-untyped-def]
    """The way back."""
    count = len(columns)
    size = 4 if count >= 4 else 2
    whole = n // size * size
    for i in range(0, whole, size):
        row, come = at + i * stride, base + 8 * i
        for group in range(0, count, size):
            c = min(group, count - size)
            x, a, b = row + 8 * c, come + columns[c], come + columns[c + 1]
            if size == 2:
                turn((a, b), (x, x + stride))
                continue
            rows = (x, x + stride, x + 2 * stride, x + 3 * stride)
            turn((a, b, come + columns[c + 2], come + columns[c + 3]), rows)
    for i in range(whole, n):
        for c in range(count):
            store_at(at + i * stride + 8 * c, load_at(base + columns[c] + 8 * i, 0))


@numba.njit(nogil=True)
def _move_words(op, columns, port, ports, first, n, base):  # type: ignore[no-untyped-def]
    """Some columns of words, to the tile or from it."""
    if _are_neighbours(ports, port, len(columns)):
        stride = ports[port, 1]
        at = ports[port, 0] + first * stride
        if op == LOAD_MANY:
            _load_words(at, stride, n, base, columns)
        else:
            _store_words(at, stride, n, base, columns)
        return
    for k in range(len(columns)):
        stride, column = ports[port + k, 1], base + columns[k]
        at = ports[port + k, 0] + first * stride
        for i in range(n):
            if op == LOAD_MANY:
                store_at(column + 8 * i, load_at(at + i * stride, 0))
            else:
                store_at(at + i * stride, load_at(column + 8 * i, 0))


@numba.njit(nogil=True)
def _passes(column, low, high, allow_nan):  # type: ignore[no-untyped-def]
    refused = False
    if allow_nan:
        for i in range(len(column)):
            refused |= (column[i] < low) | (column[i] > high)
    else:
        for i in range(len(column)):
            refused |= not ((column[i] >= low) & (column[i] <= high))
    return not refused


_EXPONENT = np.int64(0x7FF0000000000000)
_ALL_BUT_SIGN = np.int64(0x7FFFFFFFFFFFFFFF)
_SHIFT, _BEYOND = np.int64(52), np.int64(0x800)


@numba.njit(nogil=True)
def _are_finite(words, places, n):  # type: ignore[no-untyped-def]
    """Whether floats, given by their bits, are finite: none has an exponent of ones."""
    over = np.int64(0)
    for k in range(len(places)):
        column = words[places[k] >> 3 :][:n]
        for i in range(n):
            over |= ((column[i] & _EXPONENT) >> _SHIFT) + 1
    return over < _BEYOND


@numba.njit(nogil=True)
def _hold_no_infinity(words, places, n):  # type: ignore[no-untyped-def]
    """Whether no float is infinite; NaN may be there."""
    below = np.int64(0)
    for k in range(len(places)):
        column = words[places[k] >> 3 :][:n]
        for i in range(n):
            below |= ((column[i] & _ALL_BUT_SIGN) ^ _EXPONENT) - 1
    return below >= 0


@numba.njit(nogil=True)
def _dot(cells, shift, places, weights, target):  # type: ignore[no-untyped-def]
    """The sum of columns times weights in their order, four of them at once.

    It is the order of OpenBLAS's matrix product, which keeps one sum for each cell of the answer.
    """
    n, k = len(target), 0
    while k + 4 <= len(places):
        a = cells[places[k] >> shift :][:n]
        b = cells[places[k + 1] >> shift :][:n]
        c = cells[places[k + 2] >> shift :][:n]
        d = cells[places[k + 3] >> shift :][:n]
        wa, wb, wc, wd = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
        if k == 0:
            for i in range(n):
                total = times_plus(b[i], wb, a[i] * wa)
                target[i] = times_plus(d[i], wd, times_plus(c[i], wc, total))
        else:
            for i in range(n):
                total = times_plus(b[i], wb, times_plus(a[i], wa, target[i]))
                target[i] = times_plus(d[i], wd, times_plus(c[i], wc, total))
        k += 4
    for j in range(k, len(places)):
        e, we = cells[places[j] >> shift :][:n], weights[j]
        if j == 0:
            for i in range(n):
                target[i] = e[i] * we
        else:
            for i in range(n):
                target[i] = times_plus(e[i], we, target[i])


@numba.njit(nogil=True)
def _dot_alone(cells, places, weights, lanes, target):  # type: ignore[no-untyped-def]
    """The sum of columns times weights in the order of OpenBLAS's product of rows and one vector.

    Four sums side by side, of every fourth column each; what is left over is added up by itself.
    """
    n, count = len(target), len(places)
    whole = count // 4 * 4
    for j in range(4):
        lane = lanes[j][:n]
        lane[:] = 0.0
        for k in range(j, whole, 4):
            column, weight = cells[places[k] >> 3 :][:n], weights[k]
            for i in range(n):
                lane[i] = times_plus(column[i], weight, lane[i])
    for i in range(n):
        target[i] = (lanes[0, i] + lanes[2, i]) + (lanes[1, i] + lanes[3, i])
    left = count - whole
    if left == 0:
        return
    a, wa = cells[places[whole] >> 3 :][:n], weights[whole]
    if left == 1:
        for i in range(n):
            target[i] = times_plus(a[i], wa, target[i])
        return
    b, wb = cells[places[whole + 1] >> 3 :][:n], weights[whole + 1]
    if left == 2:
        for i in range(n):
            target[i] += times_plus(a[i], wa, b[i] * wb)
        return
    c, wc = cells[places[whole + 2] >> 3 :][:n], weights[whole + 2]
    for i in range(n):
        target[i] += times_plus(c[i], wc, times_plus(a[i], wa, b[i] * wb))


@numba.njit(nogil=True)
def _where(mask, a, a_step, b, b_step, target):  # type: ignore[no-untyped-def]
    n = len(target)
    if a_step and b_step:
        for i in range(n):
            target[i] = a[i] if mask[i] else b[i]
    elif a_step:
        fixed = b[0]
        for i in range(n):
            target[i] = a[i] if mask[i] else fixed
    elif b_step:
        fixed = a[0]
        for i in range(n):
            target[i] = fixed if mask[i] else b[i]
    else:
        one, other = a[0], b[0]
        for i in range(n):
            target[i] = one if mask[i] else other


@numba.njit(nogil=True)
def _convert(source, target):  # type: ignore[no-untyped-def]
    kind = target.dtype.type
    for i in range(len(target)):
        target[i] = kind(source[i])


@numba.njit(nogil=True)
def _argmax(cells, places, sign, target):  # type: ignore[no-untyped-def]
    """The first column that holds the largest value times `sign`, or the first NaN."""
    n = len(target)
    for i in range(n):
        best, at = sign * cells[(places[0] >> 3) + i], 0
        for j in range(1, len(places)):
            value = sign * cells[(places[j] >> 3) + i]
            if value > best or (value != value and best == best):
                best, at = value, j
        target[i] = at


@numba.njit(nogil=True)
def _pick(table, codes, n_codes, width, column, target):  # type: ignore[no-untyped-def]
    for i in range(len(target)):
        code = codes[i]
        if code < 0 or code >= n_codes:
            return False
        target[i] = table[code * width + column]
    return True


@numba.njit(nogil=True, cache=True)
def run_tiles(code, places, ports, scratch, n_rows, tile):  # type: ignore[no-untyped-def]
    """Work through a block of rows.

    Parameters
    ----------
    code : int64 (n_instructions, WIDTH)
    places : int64 (n_places,)
        Lists of columns, by their byte offsets, which instructions of many inputs refer to.
    ports : int64 (n_ports, 2)
        Columns of arrays outside: the address of the first cell, and the bytes from row to row.
    scratch : uint8 (n_bytes,)
        Constants, and room for the columns of a tile.
    n_rows, tile : int

    Returns
    -------
    bool
        Whether all rows passed; False at the first tile with a row that is refused.
    """
    base = scratch.ctypes.data
    f8, f4 = scratch.view(np.float64), scratch.view(np.float32)
    i8, i4, u1 = scratch.view(np.int64), scratch.view(np.int32), scratch
    call = np.zeros(8, np.int64)  # three addresses, the count, three distances
    call_at = call.ctypes.data
    lanes = np.empty((4, tile))
    for first in range(0, n_rows, tile):
        n = min(tile, n_rows - first)
        for k in range(len(code)):
            line = code[k]
            op, to = line[0], line[1]
            if op == CALL:
                call[0], call[1], call[2] = base + line[4], base + line[6], base + line[8]
                call[3] = n
                call[4], call[5], call[6] = line[5], line[7], line[9]
                call_loop(line[1], call_at, call_at + 24, call_at + 32, line[2])
            elif op <= LOAD_1:
                stride = ports[line[2], 1]
                at = ports[line[2], 0] + first * stride
                if op == LOAD_8:
                    _load(at, stride, i8[to >> 3 :][:n])
                elif op == LOAD_4:
                    _load(at, stride, i4[to >> 2 :][:n])
                else:
                    _load(at, stride, u1[to:][:n])
            elif op <= STORE_1:
                stride = ports[line[2], 1]
                at = ports[line[2], 0] + first * stride
                if op == STORE_8:
                    _store(i8[to >> 3 :][:n], at, stride)
                elif op == STORE_4:
                    _store(i4[to >> 2 :][:n], at, stride)
                else:
                    _store(u1[to:][:n], at, stride)
            elif op == GUARD_8:
                low, high = f8[line[2] >> 3], f8[line[3] >> 3]
                if not _passes(f8[to >> 3 :][:n], low, high, line[4] != 0):
                    return False
            elif op == GUARD_4:
                narrow_low, narrow_high = f4[line[2] >> 2], f4[line[3] >> 2]
                if not _passes(f4[to >> 2 :][:n], narrow_low, narrow_high, line[4] != 0):
                    return False
            elif op == DOT_8:
                own = places[line[2] : line[3]]
                _dot(f8, 3, own, f8[line[4] >> 3 :][: len(own)], f8[to >> 3 :][:n])
            elif op == DOT_ALONE_8:
                own = places[line[2] : line[3]]
                weights = f8[line[4] >> 3 :][: len(own)]
                _dot_alone(f8, own, weights, lanes, f8[to >> 3 :][:n])
            elif op == DOT_4:
                own = places[line[2] : line[3]]
                _dot(f4, 2, own, f4[line[4] >> 2 :][: len(own)], f4[to >> 2 :][:n])
            elif op == WHERE_8:
                a, b = i8[line[3] >> 3 :], i8[line[5] >> 3 :]
                _where(u1[line[2] :], a, line[4], b, line[6], i8[to >> 3 :][:n])
            elif op == WHERE_4:
                a4, b4 = i4[line[3] >> 2 :], i4[line[5] >> 2 :]
                _where(u1[line[2] :], a4, line[4], b4, line[6], i4[to >> 2 :][:n])
            elif op == WHERE_1:
                a1, b1 = u1[line[3] :], u1[line[5] :]
                _where(u1[line[2] :], a1, line[4], b1, line[6], u1[to:][:n])
            elif op == WIDEN_4:
                _convert(f4[line[2] >> 2 :][:n], f8[to >> 3 :][:n])
            elif op == NARROW_8:
                _convert(f8[line[2] >> 3 :][:n], f4[to >> 2 :][:n])
            elif op == BOOL_TO_8:
                _convert(u1[line[2] :][:n], f8[to >> 3 :][:n])
            elif op == BOOL_TO_4:
                _convert(u1[line[2] :][:n], f4[to >> 2 :][:n])
            elif op == BOOL_TO_INT:
                _convert(u1[line[2] :][:n], i8[to >> 3 :][:n])
            elif op == INT_TO_8:
                _convert(i8[line[2] >> 3 :][:n], f8[to >> 3 :][:n])
            elif op == INT_TO_INT:
                _convert(i4[line[2] >> 2 :][:n], i8[to >> 3 :][:n])
            elif op == REQUIRE:
                if not u1[to:][:n].all():
                    return False
            elif op == PICK_8:
                codes = i8[line[2] >> 3 :][:n]
                table = i8[line[3] >> 3 :]
                if not _pick(table, codes, line[4], line[5], line[6], i8[to >> 3 :][:n]):
                    return False
            elif op in (ARGMAX_8, ARGMIN_8):
                sign = 1.0 if op == ARGMAX_8 else -1.0
                _argmax(f8, places[line[2] : line[3]], sign, i8[to >> 3 :][:n])
            elif op == FINITE_8:
                if not _are_finite(i8, places[line[1] : line[2]], n):
                    return False
            elif op == NO_INFINITY_8:
                if not _hold_no_infinity(i8, places[line[1] : line[2]], n):
                    return False
            elif op >= LOAD_MANY:
                _move_words(op, places[line[2] : line[3]], line[1], ports, first, n, base)
            elif op == FILL_8:
                i8[to >> 3 :][:n] = i8[line[2] >> 3]
    return True
