"""Operations of a tile on the cells of its columns that NumPy has no inner loop for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.extending import intrinsic

from millrace.backends.numba.kernels.operations import cells
from millrace.backends.numba.kernels.tile_form import (
    ARGMAX_8,
    ARGMIN_8,
    BOOL_TO_4,
    BOOL_TO_8,
    BOOL_TO_INT,
    DOT_4,
    DOT_8,
    DOT_ALONE_8,
    FINITE_8,
    GUARD_4,
    GUARD_8,
    INT_TO_8,
    INT_TO_INT,
    NARROW_8,
    NO_INFINITY_8,
    OPERATIONS,
    PICK_8,
    REQUIRE,
    WHERE_1,
    WHERE_4,
    WHERE_8,
    WIDEN_4,
)


@intrinsic
def times_plus(typingctx, a, b, c):  # type: ignore[no-untyped-def]
    """``a * b + c``, rounded once where the machine can, as a BLAS has it."""
    sig = a(a, b, c)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        real = args[0].type
        form = ir.FunctionType(real, [real] * 3)
        return builder.call(builder.module.declare_intrinsic("llvm.fmuladd", [real], form), args)

    return sig, codegen


# -- what is refused -----------------------------------------------------------------------
def _guard(kind: Any) -> Callable[..., int]:
    def guard(line, base, n, first, ports, places):  # type: ignore[no-untyped-def]
        numbers = cells(line, np.int64)
        column = cells(base + numbers[1], kind)
        low, high = cells(base + numbers[2], kind)[0], cells(base + numbers[3], kind)[0]
        may_be_nan, refused = numbers[4] != 0, False
        for i in range(n):
            value = column[i]
            inside = (value >= low) & (value <= high)
            refused |= not (inside | (may_be_nan & (value != value)))
        return np.int64(refused)

    return guard


OPERATIONS.of(GUARD_8)(_guard(np.float64))
OPERATIONS.of(GUARD_4)(_guard(np.float32))

_EXPONENT = np.int64(0x7FF0000000000000)
_ALL_BUT_SIGN = np.int64(0x7FFFFFFFFFFFFFFF)
_SHIFT, _BEYOND = np.int64(52), np.int64(0x800)


@OPERATIONS.of(FINITE_8)
def _are_finite(line, base, n, first, ports, places):  # type: ignore[no-untyped-def]
    """Whether floats, given by their bits, are finite: none has an exponent of ones."""
    numbers, place = cells(line, np.int64), cells(places, np.int64)
    over = np.int64(0)
    for k in range(numbers[1], numbers[2]):
        column = cells(base + place[k], np.int64)
        for i in range(n):
            over |= ((column[i] & _EXPONENT) >> _SHIFT) + 1
    return np.int64(over >= _BEYOND)


@OPERATIONS.of(NO_INFINITY_8)
def _hold_no_infinity(line, base, n, first, ports, places):  # type: ignore[no-untyped-def]
    """Whether no float is infinite; NaN may be there."""
    numbers, place = cells(line, np.int64), cells(places, np.int64)
    below = np.int64(0)
    for k in range(numbers[1], numbers[2]):
        column = cells(base + place[k], np.int64)
        for i in range(n):
            below |= ((column[i] & _ALL_BUT_SIGN) ^ _EXPONENT) - 1
    return np.int64(below < 0)


@OPERATIONS.of(REQUIRE)
def _require(line, base, n, first, ports, places):  # type: ignore[no-untyped-def]
    column, refused = cells(base + cells(line, np.int64)[1], np.uint8), False
    for i in range(n):
        refused |= column[i] == 0
    return np.int64(refused)


# -- products ------------------------------------------------------------------------------
def _dot(kind: Any) -> Callable[..., int]:
    """The sum of columns times weights in their order, four of them at once.

    It is the order of OpenBLAS's matrix product, which keeps one sum for each cell of the answer.
    """

    def dot(line, base, n, first, ports, places):  # type: ignore[no-untyped-def]
        numbers = cells(line, np.int64)
        place, count = cells(places + 8 * numbers[2], np.int64), numbers[3] - numbers[2]
        target, weights = cells(base + numbers[1], kind), cells(base + numbers[4], kind)
        a, wa = cells(base + place[0], kind), weights[0]
        for i in range(n):
            target[i] = a[i] * wa
        k = 1
        while k + 4 <= count:
            a, wa = cells(base + place[k], kind), weights[k]
            b, wb = cells(base + place[k + 1], kind), weights[k + 1]
            c, wc = cells(base + place[k + 2], kind), weights[k + 2]
            d, wd = cells(base + place[k + 3], kind), weights[k + 3]
            for i in range(n):
                total = times_plus(b[i], wb, times_plus(a[i], wa, target[i]))
                target[i] = times_plus(d[i], wd, times_plus(c[i], wc, total))
            k += 4
        for j in range(k, count):
            a, wa = cells(base + place[j], kind), weights[j]
            for i in range(n):
                target[i] = times_plus(a[i], wa, target[i])
        return 0

    return dot


OPERATIONS.of(DOT_8)(_dot(np.float64))
OPERATIONS.of(DOT_4)(_dot(np.float32))


@OPERATIONS.of(DOT_ALONE_8)
def _dot_alone(line, base, n, first, ports, places):  # type: ignore[no-untyped-def]
    """The sum of columns times weights in the order of OpenBLAS's product of rows and one vector.

    Four sums side by side, of every fourth column each; what is left over is added up by itself.
    """
    numbers = cells(line, np.int64)
    place, count = cells(places + 8 * numbers[2], np.int64), numbers[3] - numbers[2]
    target, weights = cells(base + numbers[1], np.float64), cells(base + numbers[4], np.float64)
    lanes, apart = base + numbers[5], numbers[6]
    whole = count // 4 * 4
    for j in range(4):
        lane = cells(lanes + j * apart, np.float64)
        for i in range(n):
            lane[i] = 0.0
        for k in range(j, whole, 4):
            a, wa = cells(base + place[k], np.float64), weights[k]
            for i in range(n):
                lane[i] = times_plus(a[i], wa, lane[i])
    a, b = cells(lanes, np.float64), cells(lanes + apart, np.float64)
    c, d = cells(lanes + 2 * apart, np.float64), cells(lanes + 3 * apart, np.float64)
    for i in range(n):
        target[i] = (a[i] + c[i]) + (b[i] + d[i])
    if count - whole == 1:
        a, wa = cells(base + place[whole], np.float64), weights[whole]
        for i in range(n):
            target[i] = times_plus(a[i], wa, target[i])
    elif count - whole > 1:
        _add_rest(base, place, weights, whole, count, n, target)
    return 0


@numba.njit(nogil=True)
def _add_rest(base, place, weights, at, count, n, target):  # type: ignore[no-untyped-def]
    """The last two or three columns of a product with one vector."""
    a, wa = cells(base + place[at], np.float64), weights[at]
    b, wb = cells(base + place[at + 1], np.float64), weights[at + 1]
    if count - at == 2:
        for i in range(n):
            target[i] += times_plus(a[i], wa, b[i] * wb)
        return
    c, wc = cells(base + place[at + 2], np.float64), weights[at + 2]
    for i in range(n):
        target[i] += times_plus(c[i], wc, times_plus(a[i], wa, b[i] * wb))


# -- cells chosen by other cells -----------------------------------------------------------
def _where(kind: Any) -> Callable[..., int]:
    def where(line, base, n, first, ports, places):  # type: ignore[no-untyped-def]
        numbers = cells(line, np.int64)
        target, mask = cells(base + numbers[1], kind), cells(base + numbers[2], np.uint8)
        a, b = cells(base + numbers[3], kind), cells(base + numbers[5], kind)
        one, other = a[0], b[0]
        if numbers[4] and numbers[6]:
            for i in range(n):
                target[i] = a[i] if mask[i] else b[i]
        elif numbers[4]:
            for i in range(n):
                target[i] = a[i] if mask[i] else other
        elif numbers[6]:
            for i in range(n):
                target[i] = one if mask[i] else b[i]
        else:
            for i in range(n):
                target[i] = one if mask[i] else other
        return 0

    return where


for _number, _kind in ((WHERE_8, np.int64), (WHERE_4, np.int32), (WHERE_1, np.uint8)):
    OPERATIONS.of(_number)(_where(_kind))


def _best(sign: float) -> Callable[..., int]:
    """The first column that holds the largest value times `sign`, or the first NaN."""

    def best_of(line, base, n, first, ports, places):  # type: ignore[no-untyped-def]
        numbers, place = cells(line, np.int64), cells(places, np.int64)
        target = cells(base + numbers[1], np.int64)
        for i in range(n):
            best, at = sign * cells(base + place[numbers[2]], np.float64)[i], 0
            for j in range(numbers[2] + 1, numbers[3]):
                value = sign * cells(base + place[j], np.float64)[i]
                if value > best or (value != value and best == best):
                    best, at = value, j - numbers[2]
            target[i] = at
        return 0

    return best_of


OPERATIONS.of(ARGMAX_8)(_best(1.0))
OPERATIONS.of(ARGMIN_8)(_best(-1.0))


@OPERATIONS.of(PICK_8)
def _pick(line, base, n, first, ports, places):  # type: ignore[no-untyped-def]
    numbers = cells(line, np.int64)
    target, codes = cells(base + numbers[1], np.int64), cells(base + numbers[2], np.int64)
    table, n_codes = cells(base + numbers[3], np.int64), numbers[4]
    width, column = numbers[5], numbers[6]
    for i in range(n):
        code = codes[i]
        if code < 0 or code >= n_codes:
            return 1
        target[i] = table[code * width + column]
    return 0


# -- dtypes --------------------------------------------------------------------------------
def _convert(source: Any, target: Any) -> Callable[..., int]:
    def convert(line, base, n, first, ports, places):  # type: ignore[no-untyped-def]
        numbers = cells(line, np.int64)
        come, to = cells(base + numbers[2], source), cells(base + numbers[1], target)
        for i in range(n):
            to[i] = target(come[i])
        return 0

    return convert


OPERATIONS.of(WIDEN_4)(_convert(np.float32, np.float64))
OPERATIONS.of(NARROW_8)(_convert(np.float64, np.float32))
OPERATIONS.of(BOOL_TO_8)(_convert(np.uint8, np.float64))
OPERATIONS.of(BOOL_TO_4)(_convert(np.uint8, np.float32))
OPERATIONS.of(BOOL_TO_INT)(_convert(np.uint8, np.int64))
OPERATIONS.of(INT_TO_8)(_convert(np.int64, np.float64))
OPERATIONS.of(INT_TO_INT)(_convert(np.int32, np.int64))
