"""Rows of a kernel matrix: products, and what the kernel makes of them, one tile of columns at a time.

Limit, for 28 features and the radial basis function: 28 multiply-adds and about 20 operations for the
exponential, that is 6 operations for each value with 8 lanes; the tile stays in the first-level cache.
"""

# Kernels are not Python: Numba gives them their types.
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false
# pyright: reportCallIssue=false

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from millrace.solvers.resident.kernels.bits import as_bits, as_float

LINEAR, POLY, RBF, SIGMOID = range(4)

WIDTH = 16
"""Points whose scalar products are added up at once. They lie feature after feature, side by side."""

TILE = 128
"""Points whose kernel values are worked out at once. Their number is padded to a multiple of this."""

jit: Any = njit(nogil=True, cache=True)
fused: Any = njit(nogil=True, cache=True, fastmath={"contract"})  # a * b + c in one step

_I64 = ir.IntType(64)
_VECTOR = ir.VectorType(ir.DoubleType(), WIDTH)

_LOG2_E = 1.4426950408889634
_LN2_HIGH, _LN2_LOW = 0.693147180369123816490, 1.90821492927058770002e-10
_SHIFT = 1.5 * 2.0**52
"""Added to a number, it leaves the nearest integer in the lowest bits."""

_LEAST = -708.0
"""Below this exp is 0 in float32."""


@fused
def _exp(x):
    """``e ** x`` for x from -708 to about 1, within 2 ulp of float64 and without a branch."""
    shifted = x * _LOG2_E + _SHIFT
    k = shifted - _SHIFT
    r = x - k * _LN2_HIGH
    r = r - k * _LN2_LOW
    s = 1.0 / 479001600.0
    s = s * r + 1.0 / 39916800.0
    s = s * r + 1.0 / 3628800.0
    s = s * r + 1.0 / 362880.0
    s = s * r + 1.0 / 40320.0
    s = s * r + 1.0 / 5040.0
    s = s * r + 1.0 / 720.0
    s = s * r + 1.0 / 120.0
    s = s * r + 1.0 / 24.0
    s = s * r + 1.0 / 6.0
    s = s * r + 0.5
    s = s * r + 1.0
    s = s * r + 1.0
    return s * as_float((as_bits(shifted) + 1023) << 52)


def _data(context, builder, signature, args, position):  # type: ignore[no-untyped-def]
    """The data pointer of an array argument."""
    return context.make_array(signature.args[position])(context, builder, args[position]).data


def _splat(builder, scalar):  # type: ignore[no-untyped-def]
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
    return builder.shuffle_vector(first, undefined, zeros)


@intrinsic
def _four_products(typingctx, tiles, first, n_features, V, row, products, at):  # type: ignore[no-untyped-def]
    """Scalar products of four rows of V and the points of a tile, added up feature by feature.

    Four vectors of sums stay in registers; ``products[q * TILE + at ...]`` receives them.
    """
    signature = types.void(tiles, types.intp, types.intp, V, types.intp, products, types.intp)

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        def const(value):  # type: ignore[no-untyped-def]
            return ir.Constant(_I64, value)

        tile = builder.gep(_data(context, builder, signature, args, 0), [args[1]])
        row = builder.gep(_data(context, builder, signature, args, 3), [args[4]])
        out = builder.gep(_data(context, builder, signature, args, 5), [args[6]])
        width, entry = args[2], builder.block
        head, body, done = (builder.append_basic_block(n) for n in ("head", "feature", "done"))
        builder.branch(head)

        builder.position_at_end(head)
        feature = builder.phi(_I64)
        feature.add_incoming(const(0), entry)
        sums = [builder.phi(_VECTOR) for _ in range(4)]
        for total in sums:
            total.add_incoming(ir.Constant(_VECTOR, [0.0] * WIDTH), entry)
        builder.cbranch(builder.icmp_signed("<", feature, width), body, done)

        builder.position_at_end(body)
        place = builder.bitcast(
            builder.gep(tile, [builder.mul(feature, const(WIDTH))]), _VECTOR.as_pointer()
        )
        points = builder.load(place, align=8)
        for q, total in enumerate(sums):
            where = builder.add(feature, builder.mul(width, const(q)))
            cell = _splat(builder, builder.load(builder.gep(row, [where])))
            product = builder.fmul(cell, points, flags=("contract",))
            total.add_incoming(builder.fadd(total, product, flags=("contract",)), body)
        feature.add_incoming(builder.add(feature, const(1)), body)
        builder.branch(head)

        builder.position_at_end(done)
        for q, total in enumerate(sums):
            target = builder.bitcast(builder.gep(out, [const(q * TILE)]), _VECTOR.as_pointer())
            builder.store(total, target, align=8)
        return context.get_dummy_value()

    return signature, codegen


@fused
def _rbf(products, squares, square, gamma, out):
    for t in range(TILE):
        x = -gamma * (square + squares[t] - 2.0 * products[t])
        x = x if x > _LEAST else _LEAST
        out[t] = np.float32(_exp(x))


@jit
def _power(products, gamma, coef0, degree, out):
    """The powers of libsvm's ``powi``: repeated squares, in its order."""
    for t in range(TILE):
        base = gamma * products[t] + coef0
        value = 1.0
        times = degree
        while times > 0:
            if times % 2 == 1:
                value *= base
            base = base * base
            times //= 2
        out[t] = np.float32(value)


@jit
def _values(products, squares, square, kind, gamma, coef0, degree, out):
    """What the kernel makes of products; rounded to float32 as libsvm does."""
    if kind == RBF:
        _rbf(products, squares, square, gamma, out)
    elif kind == POLY:
        _power(products, gamma, coef0, degree, out)
    elif kind == SIGMOID:
        for t in range(TILE):
            out[t] = np.float32(math.tanh(gamma * products[t] + coef0))
    else:
        for t in range(TILE):
            out[t] = np.float32(products[t])


@jit
def _products(tiles, at, V, n_features, r, products):
    """Scalar products of rows r to r + 3 and the points from `at` on."""
    for t in range(0, TILE, WIDTH):
        _four_products(tiles, (at + t) * n_features, n_features, V, r * n_features, products, t)


@jit
def fill_rows(tiles, squares, V, V_squares, kind, gamma, coef0, degree, first, stop, slots, rows):
    """Work out the kernel between rows and the points from `first` to `stop`.

    Parameters
    ----------
    tiles : float64 (n_points * n_features,)
        The points, `WIDTH` of them side by side; `n_points`, `first` and `stop` are multiples of `TILE`.
    squares : float64 (n_points,)
        Their squared norms.
    V, V_squares : float64 (n_rows * n_features,) and (n_rows,)
        The rows; `n_rows` is a multiple of four.
    kind, gamma, coef0, degree
        The kernel.
    slots : int64 (n_wanted,)
        Where each row goes; rows beyond them are padding.
    rows : float32 (n_slots, n_points)
        Receives the values.
    """
    n_rows = V_squares.shape[0]
    n_features = V.shape[0] // n_rows
    products = np.empty(4 * TILE)
    for at in range(first, stop, TILE):
        for r in range(0, n_rows, 4):
            _products(tiles, at, V, n_features, r, products)
            for q in range(min(4, slots.shape[0] - r)):
                _values(
                    products[q * TILE : (q + 1) * TILE], squares[at : at + TILE], V_squares[r + q],
                    kind, gamma, coef0, degree, rows[slots[r + q], at : at + TILE],
                )  # fmt: skip


@jit
def add_rows(tiles, squares, V, V_squares, kind, gamma, coef0, degree, first, stop, times, sums):
    """Add to each of `sums` the kernel rows times a coefficient each, one row after the other.

    Parameters
    ----------
    tiles, squares, V, V_squares, kind, gamma, coef0, degree, first, stop
        As for `fill_rows`.
    times : float64 (n_wanted,)
    sums : float64 (n_sums, n_points)
    """
    n_rows = V_squares.shape[0]
    n_features = V.shape[0] // n_rows
    products, values = np.empty(4 * TILE), np.empty(TILE, np.float32)
    for at in range(first, stop, TILE):
        for r in range(0, n_rows, 4):
            _products(tiles, at, V, n_features, r, products)
            for q in range(min(4, times.shape[0] - r)):
                _values(
                    products[q * TILE : (q + 1) * TILE], squares[at : at + TILE], V_squares[r + q],
                    kind, gamma, coef0, degree, values,
                )  # fmt: skip
                a = times[r + q]
                for s in range(sums.shape[0]):
                    total = sums[s, at : at + TILE]
                    for t in range(TILE):
                        total[t] += a * np.float64(values[t])


@jit
def narrow_rows(memory, old_width, new_width, slots, kept):
    """Leave only some columns of some rows, in the memory where they are.

    Parameters
    ----------
    memory : float32 (n,)
        Rows of `old_width` values; afterwards the first ``len(slots)`` rows of `new_width` values.
    slots : int64 (n_rows,)
        The rows, ascending.
    kept : int64 (n_kept,)
        The columns, at most `new_width`.
    """
    room = np.empty(kept.shape[0], np.float32)
    for k in range(slots.shape[0]):
        old = memory[slots[k] * old_width : (slots[k] + 1) * old_width]
        for t in range(kept.shape[0]):
            room[t] = old[kept[t]]
        memory[k * new_width : k * new_width + kept.shape[0]] = room


@jit
def oldest(stamps, owner, slot_of, slots):
    """Free the slots that were used longest ago, and stamp them as new.

    Parameters
    ----------
    stamps : int64 (n_usable,)
        When each slot was used last.
    owner, slot_of : int64 (n_slots,) and (n_columns,)
        Whose row is in each slot, and which slot has each row; -1 for none.
    slots : int64 (n_wanted,)
        Receives the slots.
    """
    n = slots.shape[0]
    ages = np.full(n, np.int64(2**63 - 1))
    newest, limit = np.int64(0), ages[n - 1]
    for s in range(stamps.shape[0]):
        age = stamps[s]
        newest = max(newest, age)
        if age < limit:
            k = n - 1
            while k > 0 and age < ages[k - 1]:
                ages[k], slots[k] = ages[k - 1], slots[k - 1]
                k -= 1
            ages[k], slots[k] = age, s
            limit = ages[n - 1]
    for slot in slots:
        if owner[slot] >= 0:
            slot_of[owner[slot]] = -1
        stamps[slot] = newest
