"""Operations of a tile that move columns: from arrays outside into the tile, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from millrace.backends.numba.kernels.operations import cells
from millrace.backends.numba.kernels.tile_form import (
    FILL_8,
    LOAD_1,
    LOAD_4,
    LOAD_8,
    LOAD_MANY,
    OPERATIONS,
    STORE_1,
    STORE_4,
    STORE_8,
    STORE_MANY,
)
from millrace.backends.numba.kernels.vectors import load_at


@intrinsic
def store_at(typingctx, address, value):  # type: ignore[no-untyped-def]
    """Write a number to a memory address."""
    sig = types.void(types.intp, value)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        builder.store(args[1], builder.inttoptr(args[0], args[1].type.as_pointer()), align=1)
        return context.get_dummy_value()

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
        for k, column in enumerate(turned(builder, rows)):
            builder.store(column, at(args[1], k), align=1)
        return context.get_dummy_value()

    return sig, codegen


def turned(builder: Any, rows: list[Any]) -> list[Any]:
    """Rows of words or floats as columns: pairs of words change places first, then halves of rows."""
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


# -- one column ----------------------------------------------------------------------------
def _load(kind: Any) -> Callable[..., int]:
    def load(line, base, n, first, ports, places):  # type: ignore[no-untyped-def]
        numbers, port = cells(line, np.int64), cells(ports, np.int64)
        stride = port[2 * numbers[2] + 1]
        at = port[2 * numbers[2]] + first * stride
        target = cells(base + numbers[1], kind)
        for i in range(n):
            target[i] = load_at(at + i * stride, kind(0))
        return 0

    return load


def _store(kind: Any) -> Callable[..., int]:
    def store(line, base, n, first, ports, places):  # type: ignore[no-untyped-def]
        numbers, port = cells(line, np.int64), cells(ports, np.int64)
        stride = port[2 * numbers[2] + 1]
        at = port[2 * numbers[2]] + first * stride
        source = cells(base + numbers[1], kind)
        for i in range(n):
            store_at(at + i * stride, source[i])
        return 0

    return store


for _number, _kind in ((LOAD_8, np.int64), (LOAD_4, np.int32), (LOAD_1, np.uint8)):
    OPERATIONS.of(_number)(_load(_kind))
for _number, _kind in ((STORE_8, np.int64), (STORE_4, np.int32), (STORE_1, np.uint8)):
    OPERATIONS.of(_number)(_store(_kind))


@OPERATIONS.of(FILL_8)
def _fill(line, base, n, first, ports, places):  # type: ignore[no-untyped-def]
    numbers = cells(line, np.int64)
    target, value = cells(base + numbers[1], np.int64), cells(base + numbers[2], np.int64)[0]
    for i in range(n):
        target[i] = value
    return 0


# -- neighbouring columns of words ---------------------------------------------------------
# Where the columns lie side by side: four rows of four words at a time, the last four may be moved
# twice. Two kernels and not one, for a compiler takes long over what it has to write twice.
def _move_many(loads: bool) -> Callable[..., int]:
    def move(line, base, n, first, ports, places):  # type: ignore[no-untyped-def]
        numbers = cells(line, np.int64)
        port = cells(ports + 16 * numbers[1], np.int64)
        columns, count = cells(places + 8 * numbers[2], np.int64), numbers[3] - numbers[2]
        stride, whole = port[1], n // 4 * 4
        for k in range(1, count):
            if port[2 * k] != port[0] + 8 * k or port[2 * k + 1] != stride:
                whole = 0
        if count < 4:
            whole = 0
        at = port[0] + first * stride
        for i in range(0, whole, 4):
            for group in range(0, count, 4):
                c = min(group, count - 4)
                x, y = at + i * stride + 8 * c, base + 8 * i
                rows = (x, x + stride, x + 2 * stride, x + 3 * stride)
                own = (
                    y + columns[c],
                    y + columns[c + 1],
                    y + columns[c + 2],
                    y + columns[c + 3],
                )
                if loads:
                    turn(rows, own)
                else:
                    turn(own, rows)
        for k in range(count):
            at, stride = port[2 * k] + first * port[2 * k + 1], port[2 * k + 1]
            for i in range(whole, n):
                if loads:
                    store_at(base + columns[k] + 8 * i, load_at(at + i * stride, 0))
                else:
                    store_at(at + i * stride, load_at(base + columns[k] + 8 * i, 0))
        return 0

    return move


OPERATIONS.of(LOAD_MANY)(_move_many(True))
OPERATIONS.of(STORE_MANY)(_move_many(False))
