"""What the machine does to the cells of a row, by their addresses.

Cells are read and written by address, and not as Numba's arrays: an array is a dozen words that the
compiler must first see through. The loops whose speed matters (products) are the exception.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from millrace.backends.numba.instructions import (
    CITYBLOCK,
    COUNT,
    FLOAT32,
    FLOAT64,
    INT8,
    INT16,
    INT32,
    INT64,
    MORE,
    SQUARED,
    STRIDE,
    UINT8,
    UINT16,
)
from millrace.backends.numba.kernels.packed import pointer


def _reader(kind: Any, size: int) -> Any:
    @intrinsic
    def read(typingctx, address, i):  # type: ignore[no-untyped-def]
        """Cell `i` of those at an address."""

        def codegen(context: Any, builder: Any, sig: Any, given: Any) -> Any:
            cell = context.get_data_type(kind).as_pointer()
            at = builder.add(given[0], builder.mul(given[1], ir.Constant(ir.IntType(64), size)))
            return builder.load(builder.inttoptr(at, cell), align=1)

        return kind(types.int64, types.int64), codegen

    return read


def _writer(kind: Any, size: int) -> Any:
    @intrinsic
    def write(typingctx, address, i, value):  # type: ignore[no-untyped-def]
        """Write cell `i` of those at an address."""

        def codegen(context: Any, builder: Any, sig: Any, given: Any) -> Any:
            cell = context.get_data_type(kind).as_pointer()
            at = builder.add(given[0], builder.mul(given[1], ir.Constant(ir.IntType(64), size)))
            builder.store(given[2], builder.inttoptr(at, cell), align=1)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, kind), codegen

    return write


get8, put8 = _reader(types.float64, 8), _writer(types.float64, 8)
get4, put4 = _reader(types.float32, 4), _writer(types.float32, 4)
long8, put_long8 = _reader(types.int64, 8), _writer(types.int64, 8)
long4, put_long4 = _reader(types.int32, 4), _writer(types.int32, 4)
long2, ulong2, ulong4 = (
    _reader(k, s) for k, s in ((types.int16, 2), (types.uint16, 2), (types.uint32, 4))
)
long1, byte, put_byte = _reader(types.int8, 1), _reader(types.uint8, 1), _writer(types.uint8, 1)


# -- moving cells --------------------------------------------------------------------------
@numba.njit(cache=True)
def move(source, stride, target, size, n):  # type: ignore[no-untyped-def]
    """Copy `n` cells of `size` bytes to neighbouring ones."""
    for i in range(n):
        here = source + i * stride
        if size == 8:
            put_long8(target, i, long8(here, 0))
        elif size == 4:
            put4(target, i, get4(here, 0))
        else:
            for k in range(size):
                put_byte(target, i * size + k, byte(here, k))


@numba.njit(cache=True)
def take(source, target, size, index, n):  # type: ignore[no-untyped-def]
    """Copy the cells at positions."""
    for i in range(n):
        move(source + long8(index, i) * size, 0, target + i * size, size, 1)


@numba.njit(cache=True)
def as_double(address, code, i):  # type: ignore[no-untyped-def]
    """Cell `i` of an array of any dtype but int64, as float64: exactly."""
    if code == FLOAT64:
        return get8(address, i)
    if code == FLOAT32:
        return np.float64(get4(address, i))
    return np.float64(as_long(address, code, i))


@numba.njit(cache=True)
def as_long(address, code, i):  # type: ignore[no-untyped-def]
    """Cell `i` of an array of integers as int64."""
    if code == INT64:
        return long8(address, i)
    if code == INT32:
        return np.int64(long4(address, i))
    if code == UINT8:
        return np.int64(byte(address, i))
    if code == INT8:
        return np.int64(long1(address, i))
    if code == INT16:
        return np.int64(long2(address, i))
    if code == UINT16:
        return np.int64(ulong2(address, i))
    return np.int64(ulong4(address, i))


@numba.njit(cache=True)
def cast(source, code, target, wanted, n):  # type: ignore[no-untyped-def]
    """Convert cells to another dtype."""
    for i in range(n):
        if wanted == FLOAT64:
            put8(target, i, as_double(source, code, i))
        elif wanted == FLOAT32:
            put4(target, i, np.float32(as_double(source, code, i)))
        else:
            value = (
                np.int64(as_double(source, code, i))
                if code <= FLOAT32
                else as_long(source, code, i)
            )
            if wanted == INT64:
                put_long8(target, i, value)
            else:
                put_long4(target, i, np.int32(value))


@numba.njit(cache=True)
def where(words, condition, a, b, target):  # type: ignore[no-untyped-def]
    """``np.where``; the strides are those of the condition and both choices."""
    size = words[MORE + 1]
    for i in range(words[COUNT]):
        if byte(condition + i * words[STRIDE], 0):
            move(a + i * words[STRIDE + 1], 0, target + i * size, size, 1)
        else:
            move(b + i * words[STRIDE + 2], 0, target + i * size, size, 1)


@numba.njit(cache=True)
def one_hot(code, target, width, size, one):  # type: ignore[no-untyped-def]
    """Zeros, and the bytes of a one at the place of the code."""
    for i in range(width * size):
        put_byte(target, i, np.uint8(0))
    if 0 <= code < width:
        move(one, 0, target + code * size, size, 1)


@numba.njit(cache=True)
def pick(source, positions, target, width, size, n):  # type: ignore[no-untyped-def]
    """``np.take_along_axis``; false where a position is outside."""
    for i in range(n):
        where = long8(positions, i)
        if where < 0:
            where += width
        if not 0 <= where < width:
            return False
        move(source + where * size, 0, target + i * size, size, 1)
    return True


# -- looking at cells ----------------------------------------------------------------------
@numba.njit(cache=True)
def passes(cells, n, single, allow_nan, limits):  # type: ignore[no-untyped-def]
    """A guard: ``low <= x <= high`` (or finite), or NaN where that is allowed."""
    for i in range(n):
        value = np.float64(get4(cells, i)) if single else get8(cells, i)
        if limits:
            fine = get8(limits, i) <= value <= get8(limits, n + i)
        else:
            fine = abs(value) < np.inf
        if not (fine or (allow_nan and np.isnan(value))):
            return False
    return True


@numba.njit(cache=True)
def extreme(cells, code, n, largest):  # type: ignore[no-untyped-def]
    """``np.argmax`` or ``np.argmin``: the first of the best, the first NaN before all."""
    best = 0
    if code == INT64:
        for i in range(1, n):
            a, b = as_long(cells, code, i), as_long(cells, code, best)
            if (a > b) if largest else (a < b):
                best = i
        return best
    for i in range(n):
        value, other = as_double(cells, code, i), as_double(cells, code, best)
        if np.isnan(value):
            return i
        if (value > other) if largest else (value < other):
            best = i
    return best


@numba.njit(cache=True)
def all_true(cells, n):  # type: ignore[no-untyped-def]
    """``np.all`` of bools."""
    for i in range(n):  # noqa: SIM110  # Numba has no generators here
        if byte(cells, i) == 0:
            return False
    return True


@numba.njit(cache=True)
def _above(numbers, n, value):  # type: ignore[no-untyped-def]
    """The first of `n` ascending numbers that is larger."""
    low, high = 0, n
    while low < high:
        middle = (low + high) >> 1
        if get8(numbers, middle) <= value:
            low = middle + 1
        else:
            high = middle
    return low


@numba.njit(cache=True)
def edges(words, source, target, model):  # type: ignore[no-untyped-def]
    """``np.searchsorted`` of each cell among the edges of its column; NaN comes last."""
    n, right = words[COUNT], words[MORE + 1]
    start, edges = model - words[MORE + 2], model - words[MORE + 3]
    for i in range(n):
        value = get8(source, i)
        low, high = long8(start, i), long8(start, i + 1)
        while low < high:
            middle = (low + high) >> 1
            edge = get8(edges, middle)
            if right:
                below = edge <= value or (np.isnan(value))
            else:
                below = edge < value or (np.isnan(value) and not np.isnan(edge))
            if below:
                low = middle + 1
            else:
                high = middle
        put_long8(target, i, low - long8(start, i))


@numba.njit(cache=True)
def between(words, source, target, model):  # type: ignore[no-untyped-def]
    """``np.interp`` of each cell between the points of its column, in the steps of its source."""
    n = words[COUNT]
    start, xs, ys = model - words[MORE + 1], model - words[MORE + 2], model - words[MORE + 3]
    for i in range(n):
        value = get8(source, i)
        first, last = long8(start, i), long8(start, i + 1) - 1
        if np.isnan(value):
            answer = value
        elif value < get8(xs, first):
            answer = get8(ys, first)
        elif value >= get8(xs, last):
            answer = get8(ys, last)
        else:
            j = first + _above(xs + 8 * first, last + 1 - first, value) - 1
            answer = _on_line(value, get8(xs, j), get8(xs, j + 1), get8(ys, j), get8(ys, j + 1))
        put8(target, i, answer)


@numba.njit(cache=True)
def _on_line(value, left, right, low, high):  # type: ignore[no-untyped-def]
    if value == left:
        return low
    slope = (high - low) / (right - left)
    answer = slope * (value - left) + low
    if np.isnan(answer):
        answer = slope * (value - right) + high
        if np.isnan(answer) and low == high:
            answer = low
    return answer


@numba.njit(cache=True)
def code_of(words, value, model):  # type: ignore[no-untyped-def]
    """The code of a number among sorted categories."""
    n = words[MORE + 1]
    if np.isnan(value):
        return words[MORE + 4]
    numbers = model - words[MORE + 2]
    at = _above(numbers, n, value) - 1
    if at >= 0 and get8(numbers, at) == value:
        return long8(model - words[MORE + 3], at)
    return words[MORE + 5]


@numba.njit(cache=True)
def sort(source, target, n):  # type: ignore[no-untyped-def]
    """``np.argsort(kind="stable")`` by insertion; NaN comes last."""
    for i in range(n):
        value, k = get8(source, i), i
        while k > 0:
            before = long8(target, k - 1)
            other = get8(source, before)
            if not (value < other or (np.isnan(other) and not np.isnan(value))):
                break
            put_long8(target, k, before)
            k -= 1
        put_long8(target, k, i)


# -- arithmetic whose order of additions is open, or given ---------------------------------
@numba.njit(cache=True)
def doubles(address, n):  # type: ignore[no-untyped-def]
    """Cells of float64 as an array."""
    return numba.carray(pointer(address), n, np.float64)


@numba.njit(cache=True)
def singles(address, n):  # type: ignore[no-untyped-def]
    """Cells of float32 as an array."""
    return numba.carray(pointer(address), n, np.float32)


@numba.njit(cache=True)
def product(source, weights, target, n, m, single):  # type: ignore[no-untyped-def]
    """A row times ``weights`` (n, m)."""
    if single:
        x4, w4, y4 = singles(source, n), singles(weights, n * m), singles(target, m)
        for j in range(m):
            y4[j] = 0
        for i in range(n):
            for j in range(m):
                y4[j] += x4[i] * w4[i * m + j]
        return
    x, w, y = doubles(source, n), doubles(weights, n * m), doubles(target, m)
    if m == 1:
        y[0] = _dot(x, w, n)
        return
    for j in range(m):
        y[j] = 0.0
    for i in range(n):
        cell = x[i]
        part = w[i * m : i * m + m]
        for j in range(m):
            y[j] += cell * part[j]


@numba.njit(cache=True)
def _dot(x, w, n):  # type: ignore[no-untyped-def]
    """Four sums at once: additions that wait for each other take four times as long."""
    a = b = c = d = 0.0
    whole = n & ~3
    for i in range(0, whole, 4):
        a += x[i] * w[i]
        b += x[i + 1] * w[i + 1]
        c += x[i + 2] * w[i + 2]
        d += x[i + 3] * w[i + 3]
    for i in range(whole, n):
        a += x[i] * w[i]
    return (a + b) + (c + d)


@numba.njit(cache=True)
def square_sum(address, n, lanes, cells):  # type: ignore[no-untyped-def]
    """``np.einsum("i,i->", x, x)`` with its order of additions.

    A vector of `lanes` sums takes the products four vectors at a time, the last of the four first; the
    cells that are left fill vectors of their own; then the lanes are added, pairs of neighbours first.
    `cells` is any array of the dtype.
    """
    x = numba.carray(pointer(address), n, cells.dtype)
    sums = np.zeros(16, cells.dtype)
    at = 0
    while n - at >= 4 * lanes:
        for vector in (3, 2, 1, 0):
            for lane in range(lanes):
                value = x[at + vector * lanes + lane]
                sums[lane] = value * value + sums[lane]
        at += 4 * lanes
    while at < n:
        for lane in range(min(lanes, n - at)):
            sums[lane] = x[at + lane] * x[at + lane] + sums[lane]
        at += lanes
    while lanes > 1:
        lanes >>= 1
        for lane in range(lanes):
            sums[lane] = sums[2 * lane] + sums[2 * lane + 1]
    return sums[0]


@numba.njit(cache=True)
def add_squares(source, target, n, single, lanes):  # type: ignore[no-untyped-def]
    """`square_sum` as an operation."""
    if single:
        put4(target, 0, square_sum(source, n, lanes, np.empty(0, np.float32)))
    else:
        put8(target, 0, square_sum(source, n, lanes, np.empty(0, np.float64)))


@numba.njit(cache=True)
def running_sum(source, target, n):  # type: ignore[no-untyped-def]
    """``np.add.accumulate``."""
    total = get8(source, 0)
    put8(target, 0, total)
    for i in range(1, n):
        total += get8(source, i)
        put8(target, i, total)


@numba.njit(cache=True)
def _total(x, points, first, n, how):  # type: ignore[no-untyped-def]
    """The differences of a row to a point, added up in the order of the columns."""
    total = 0.0
    for c in range(n):
        gap = x[c] - points[first + c]
        if how == SQUARED:
            total += gap * gap
        elif how == CITYBLOCK:
            total += abs(gap)
        elif abs(gap) > total:
            total = abs(gap)
    return total


@numba.njit(cache=True)
def far(words, source, target, model):  # type: ignore[no-untyped-def]
    """The distance to every point; false for a row with NaN."""
    n, n_points, how, root = words[COUNT], words[MORE + 1], words[MORE + 3], words[MORE + 4]
    x, points = doubles(source, n), doubles(model - words[MORE + 2], n * n_points)
    out = doubles(target, n_points)
    for c in range(n):
        if np.isnan(x[c]):
            return False
    for k in range(n_points):
        total = _total(x, points, k * n, n, how)
        out[k] = np.sqrt(total) if root else total
    return True


@numba.njit(cache=True)
def near(words, source, target, model):  # type: ignore[no-untyped-def]
    """The nearest points, kept sorted by distance and then position; false for a row with NaN."""
    n, n_points, how, root = words[COUNT], words[MORE + 1], words[MORE + 3], words[MORE + 4]
    kept = words[MORE + 5]
    x, points = doubles(source, n), doubles(model - words[MORE + 2], n * n_points)
    out = doubles(target, 2 * kept)
    for c in range(n):
        if np.isnan(x[c]):
            return False
    for k in range(n_points):
        far = _total(x, points, k * n, n, how)
        if root:
            far = np.sqrt(far)
        j = min(k, kept)
        if j == kept and not far < out[kept - 1]:
            continue
        while j > 0 and far < out[j - 1]:
            if j < kept:
                out[j], out[kept + j] = out[j - 1], out[kept + j - 1]
            j -= 1
        out[j], out[kept + j] = far, k
    return True
