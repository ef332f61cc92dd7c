"""Products of whole rows of a matrix with weights, read where they lie.

The plain way turns rows into columns of the tile, looks at them, and multiplies: three passes and as many
columns of room. Where a product is all that reads the columns of a float64 matrix in C order, these
operations read its rows once, in vectors along the row, and write columns. Every sum is added up in the
order of `tile_cells`, so the bits are the same.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from millrace.backends.numba.kernels.operations import cells
from millrace.backends.numba.kernels.tile_cells import times_plus
from millrace.backends.numba.kernels.tile_form import OPERATIONS, PRODUCT_8, PRODUCT_ALONE_8
from millrace.backends.numba.kernels.tile_moves import turned

_I64 = ir.IntType(64)
_FOUR = ir.VectorType(ir.DoubleType(), 4)


# -- are they finite? ----------------------------------------------------------------------
_EXPONENT = np.int64(0x7FF0000000000000)
_ALL_BUT_SIGN = np.int64(0x7FFFFFFFFFFFFFFF)
_SHIFT, _BEYOND = np.int64(52), np.int64(0x800)

NO_GUARD, ALL_FINITE, NO_INFINITY = 0, 1, 2


@numba.njit(nogil=True)
def _refused(at, count, guard):  # type: ignore[no-untyped-def]
    """Whether some of so many floats are refused; they are looked at by their bits."""
    bits = cells(at, np.int64)
    if guard == ALL_FINITE:
        over = np.int64(0)
        for i in range(count):
            over |= ((bits[i] & _EXPONENT) >> _SHIFT) + 1
        return over >= _BEYOND
    below = np.int64(0)
    if guard == NO_INFINITY:
        for i in range(count):
            below |= ((bits[i] & _ALL_BUT_SIGN) ^ _EXPONENT) - 1
    return below < 0


# -- four rows at a time -------------------------------------------------------------------
class _Rows:
    """Writes the code of an intrinsic that multiplies four rows."""

    def __init__(self, builder: Any, rows: Any) -> None:
        self.builder = builder
        self.rows = [builder.extract_value(rows, k) for k in range(4)]
        form = ir.FunctionType(_FOUR, [_FOUR] * 3)
        self.fused = cgutils.get_or_insert_function(builder.module, form, "llvm.fmuladd.v4f64")

    def at(self, address: Any, cell: Any, kind: Any) -> Any:
        """A pointer to a cell, counted from an address."""
        byte = self.builder.add(address, self.builder.mul(cell, ir.Constant(_I64, 8)))
        return self.builder.inttoptr(byte, kind.as_pointer())

    def vector(self, address: Any, cell: Any) -> Any:
        return self.builder.load(self.at(address, cell, _FOUR), align=8)

    def splat(self, address: Any, cell: Any) -> Any:
        """One cell, four times."""
        word = ir.IntType(32)
        one = self.builder.load(self.at(address, cell, ir.DoubleType()), align=8)
        undefined = ir.Constant(_FOUR, ir.Undefined)
        first = self.builder.insert_element(undefined, one, ir.Constant(word, 0))
        zeros = ir.Constant(ir.VectorType(word, 4), [0] * 4)
        return self.builder.shuffle_vector(first, undefined, zeros)

    def plus(self, a: Any, b: Any, c: Any) -> Any:
        return self.builder.call(self.fused, [a, b, c])

    def summed(self, starts: list[Any], first: Any, stop: Any, step: int, term: Any) -> list[Any]:
        """A loop from cell `first` to `stop`; ``term(cell, sums)`` are the sums after a cell."""
        b, entry = self.builder, self.builder.block
        head, body, done = (b.append_basic_block(n) for n in ("head", "term", "done"))
        b.branch(head)
        b.position_at_end(head)
        cell, sums = b.phi(_I64), [b.phi(_FOUR) for _ in starts]
        cell.add_incoming(first, entry)
        for total, start in zip(sums, starts, strict=True):
            total.add_incoming(start, entry)
        b.cbranch(b.icmp_signed("<", cell, stop), body, done)
        b.position_at_end(body)
        for total, after in zip(sums, term(cell, sums), strict=True):
            total.add_incoming(after, body)
        cell.add_incoming(b.add(cell, ir.Constant(_I64, step)), body)
        b.branch(head)
        b.position_at_end(done)
        return sums

    def with_rest(self, total: Any, weights: Any, whole: Any, rest: int) -> Any:
        """`total` and the products of the last columns, which are added up by themselves."""
        if not rest:
            return total
        b = self.builder
        last = b.add(whole, ir.Constant(_I64, rest - 4))
        columns = turned(b, [self.vector(row, last) for row in self.rows])[4 - rest :]
        places = [b.add(whole, ir.Constant(_I64, k)) for k in range(rest)]
        w = [self.splat(weights, place) for place in places]
        if rest == 1:
            return self.plus(columns[0], w[0], total)
        more = self.plus(columns[0], w[0], b.fmul(columns[1], w[1]))
        if rest == 3:
            more = self.plus(columns[2], w[2], more)
        return b.fadd(total, more)


def _make_alone(rest: int) -> Any:
    """Four rows times one vector, of which `rest` columns are left over by fours."""

    @intrinsic
    def times_vector(typingctx, rows, weights, whole, target):  # type: ignore[no-untyped-def]
        sig = types.void(rows, types.int64, types.int64, types.int64)

        def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
            four, zero = _Rows(builder, args[0]), ir.Constant(_I64, 0)

            def term(cell: Any, sums: list[Any]) -> list[Any]:
                w = four.vector(args[1], cell)
                return [
                    four.plus(four.vector(row, cell), w, total)
                    for row, total in zip(four.rows, sums, strict=True)
                ]

            nothing = [ir.Constant(_FOUR, [0.0] * 4)] * 4
            lanes = turned(builder, four.summed(nothing, zero, args[2], 4, term))
            total = builder.fadd(builder.fadd(lanes[0], lanes[2]), builder.fadd(lanes[1], lanes[3]))
            total = four.with_rest(total, args[1], args[2], rest)
            builder.store(total, four.at(args[3], zero, _FOUR), align=8)
            return context.get_dummy_value()

        return sig, codegen

    return times_vector


_alone_0, _alone_1, _alone_2, _alone_3 = (_make_alone(rest) for rest in range(4))


def _make_many(n_targets: int) -> Any:
    """Four rows times up to four columns of weights, of which so many are written."""

    @intrinsic
    def times_columns(typingctx, rows, weights, apart, count, targets):  # type: ignore[no-untyped-def]
        sig = types.void(rows, types.int64, types.int64, types.int64, targets)

        def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
            four, zero = _Rows(builder, args[0]), ir.Constant(_I64, 0)
            first = four.vector(args[1], zero)
            starts = [builder.fmul(four.splat(row, zero), first) for row in four.rows]

            def term(cell: Any, sums: list[Any]) -> list[Any]:
                w = four.vector(args[1], builder.mul(cell, args[2]))
                return [
                    four.plus(four.splat(row, cell), w, total)
                    for row, total in zip(four.rows, sums, strict=True)
                ]

            one = ir.Constant(_I64, 1)
            columns = turned(builder, four.summed(starts, one, args[3], 1, term))
            for k in range(n_targets):
                place = four.at(builder.extract_value(args[4], k), zero, _FOUR)
                builder.store(columns[k], place, align=8)
            return context.get_dummy_value()

        return sig, codegen

    return times_columns


_many_2, _many_3, _many_4 = (_make_many(n) for n in (2, 3, 4))


# -- the operations ------------------------------------------------------------------------
@OPERATIONS.of(PRODUCT_ALONE_8)
def _product_alone(line, base, n, first, ports, places):  # type: ignore[no-untyped-def]
    """Rows times one vector, in the order of `tile_cells.DOT_ALONE_8`."""
    numbers = cells(line, np.int64)
    to, count, weights = base + numbers[1], numbers[3], base + numbers[4]
    wide = 8 * count
    at = cells(ports + 16 * numbers[2], np.int64)[0] + first * wide
    if _refused(at, n * count, numbers[5]):
        return 1
    whole, rest = count // 4 * 4, count % 4
    for i in range(0, n // 4 * 4, 4):
        x = at + i * wide
        rows, target = (x, x + wide, x + 2 * wide, x + 3 * wide), to + 8 * i
        if rest == 0:
            _alone_0(rows, weights, whole, target)
        elif rest == 1:
            _alone_1(rows, weights, whole, target)
        elif rest == 2:
            _alone_2(rows, weights, whole, target)
        else:
            _alone_3(rows, weights, whole, target)
    for i in range(n // 4 * 4, n):
        cells(to, np.float64)[i] = _alone(at + i * wide, weights, count)
    return 0


@numba.njit(nogil=True)
def _alone(row, weights, count):  # type: ignore[no-untyped-def]
    """One row times one vector."""
    x, w, whole = cells(row, np.float64), cells(weights, np.float64), count // 4 * 4
    a = b = c = d = 0.0
    for k in range(0, whole, 4):
        a, b = times_plus(x[k], w[k], a), times_plus(x[k + 1], w[k + 1], b)
        c, d = times_plus(x[k + 2], w[k + 2], c), times_plus(x[k + 3], w[k + 3], d)
    total = (a + c) + (b + d)
    if count - whole == 1:
        return times_plus(x[whole], w[whole], total)
    if count - whole == 0:
        return total
    more = times_plus(x[whole], w[whole], x[whole + 1] * w[whole + 1])
    if count - whole == 3:
        more = times_plus(x[whole + 2], w[whole + 2], more)
    return total + more


@OPERATIONS.of(PRODUCT_8)
def _product(line, base, n, first, ports, places):  # type: ignore[no-untyped-def]
    """Rows times several columns of weights, in the order of `tile_cells.DOT_8`."""
    numbers = cells(line, np.int64)
    place, n_targets = cells(places + 8 * numbers[1], np.int64), numbers[2] - numbers[1]
    count, weights, apart = numbers[4], base + numbers[5], max(n_targets, 4)
    wide = 8 * count
    at = cells(ports + 16 * numbers[3], np.int64)[0] + first * wide
    if _refused(at, n * count, numbers[6]):
        return 1
    for i in range(0, n // 4 * 4, 4):
        x, y = at + i * wide, base + 8 * i
        rows = (x, x + wide, x + 2 * wide, x + 3 * wide)
        if n_targets == 2:
            _many_2(rows, weights, apart, count, (y + place[0], y + place[1]))
        elif n_targets == 3:
            _many_3(rows, weights, apart, count, (y + place[0], y + place[1], y + place[2]))
        else:
            for group in range(0, n_targets, 4):  # the last four may be written twice
                c = min(group, n_targets - 4)
                own = y + place[c], y + place[c + 1], y + place[c + 2], y + place[c + 3]
                _many_4(rows, weights + 8 * c, apart, count, own)
    for i in range(n // 4 * 4, n):
        x = cells(at + i * wide, np.float64)
        for c in range(n_targets):
            w = cells(weights + 8 * c, np.float64)
            total = x[0] * w[0]
            for k in range(1, count):
                total = times_plus(x[k], w[k * apart], total)
            cells(base + place[c], np.float64)[i] = total
    return 0
