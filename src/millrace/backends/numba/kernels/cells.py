"""What the machine does to the cells of a row: its operations, each compiled by itself.

An operation gets the addresses of its instruction and of the model's memory, those of up to three places,
and those of the scratch memory and of the answer. Where what it does depends on a dtype, there is a form
of it for each.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from millrace.backends.numba.instructions import (
    ARGUMENT,
    BETWEEN,
    CAST,
    CITYBLOCK,
    CODE,
    COPY,
    COUNT,
    EDGES,
    F4,
    F8,
    FAR,
    GATHER,
    GUARD,
    I4,
    I8,
    KINDS,
    MORE,
    NEAR,
    ONE_HOT,
    PICK,
    PRODUCT,
    REQUIRE,
    RUNNING_SUM,
    SORT,
    SQUARE_SUM,
    SQUARED,
    STRIDE,
    TAKE,
    WHERE,
)
from millrace.backends.numba.kernels.operations import Body, Operations, at_place, cells, copy

OPERATIONS = Operations(7)
"""All but `LOOP`, which the machine does itself."""

_FLOATS = tuple((KINDS[d],) for d in (F8, F4))
_INDICES = tuple((KINDS[d],) for d in (I8, I4))
_ALL = tuple(dict.fromkeys((kind,) for kind in KINDS.values()))


# -- moving cells --------------------------------------------------------------------------
@OPERATIONS.of(COPY)
def _copy(at, model, a, b, c, scratch, out):  # type: ignore[no-untyped-def]
    words = cells(at, np.int64)
    copy(a, b, words[COUNT] * words[MORE])
    return 0


@OPERATIONS.of(TAKE)
def _take(at, model, a, b, c, scratch, out):  # type: ignore[no-untyped-def]
    """The cells at positions."""
    words = cells(at, np.int64)
    size, index = words[MORE], cells(model - words[MORE + 1], np.int64)
    source, target = cells(a, np.int64), cells(b, np.int64)
    for i in range(words[COUNT]):
        if size == 8:
            target[i] = source[index[i]]
        else:
            copy(a + index[i] * size, b + i * size, size)
    return 0


@OPERATIONS.made(CAST, *((s, t) for (s,) in _ALL for (t,) in (*_FLOATS, *_INDICES) if s != t))
def _cast(source: Any, target: Any) -> Body:
    """Convert cells to another dtype, floats to integers by way of int64."""
    way = np.int64 if np.dtype(target).kind == "i" else target

    def cast(at, model, a, b, c, scratch, out):  # type: ignore[no-untyped-def]
        come, to = cells(a, source), cells(b, target)
        for i in range(cells(at, np.int64)[COUNT]):
            to[i] = target(way(come[i]))
        return 0

    return cast


@OPERATIONS.of(WHERE)
def _where(at, model, a, b, c, scratch, out):  # type: ignore[no-untyped-def]
    """``np.where``; the strides are those of the condition and both choices."""
    words = cells(at, np.int64)
    size, target = words[MORE], at_place(words[MORE + 1], scratch, model, out)
    condition = cells(a, np.uint8)
    for i in range(words[COUNT]):
        if condition[i * words[STRIDE]]:
            source = b + i * words[STRIDE + 1]
        else:
            source = c + i * words[STRIDE + 2]
        if size == 8:
            cells(target, np.int64)[i] = cells(source, np.int64)[0]
        else:
            copy(source, target + i * size, size)
    return 0


@OPERATIONS.made(ONE_HOT, *_INDICES)
def _one_hot(kind: Any) -> Body:
    """Zeros, and the bytes of a one at the place of the code."""

    def one_hot(at, model, a, b, c, scratch, out):  # type: ignore[no-untyped-def]
        words = cells(at, np.int64)
        width, size, code = words[COUNT], words[MORE], np.int64(cells(a, kind)[0])
        target = cells(b, np.uint8)
        for i in range(width * size):
            target[i] = 0
        if 0 <= code < width:
            copy(model - words[MORE + 1], b + code * size, size)
        return 0

    return one_hot


@OPERATIONS.of(PICK)
def _pick(at, model, a, b, c, scratch, out):  # type: ignore[no-untyped-def]
    """``np.take_along_axis``; gives up where a position is outside."""
    words, positions = cells(at, np.int64), cells(b, np.int64)
    size, width = words[MORE], words[MORE + 1]
    for i in range(words[COUNT]):
        where = positions[i]
        if where < 0:
            where += width
        if not 0 <= where < width:
            return 1
        copy(a + where * size, c + i * size, size)
    return 0


@OPERATIONS.made(GATHER, *_INDICES)
def _gather(kind: Any) -> Body:
    """A row of a table; gives up where there is none."""

    def gather(at, model, a, b, c, scratch, out):  # type: ignore[no-untyped-def]
        words = cells(at, np.int64)
        size, code = words[MORE], np.int64(cells(a, kind)[0])
        if not 0 <= code < words[MORE + 1]:
            return 1
        copy(model - words[MORE + 2] + code * size, b, size)
        return 0

    return gather


# -- looking at cells ----------------------------------------------------------------------
@OPERATIONS.made(GUARD, *_FLOATS)
def _guard(kind: Any) -> Body:
    """``low <= x <= high`` (or finite), or NaN where that is allowed."""

    def guard(at, model, a, b, c, scratch, out):  # type: ignore[no-untyped-def]
        words, row = cells(at, np.int64), cells(a, kind)
        n, allow_nan, limits = words[COUNT], words[MORE], words[MORE + 1]
        bounds = cells(model - limits, np.float64)
        for i in range(n):
            value = np.float64(row[i])
            if limits:
                fine = bounds[i] <= value <= bounds[n + i]
            else:
                fine = abs(value) < np.inf
            if not (fine or (allow_nan and value != value)):
                return 1
        return 0

    return guard


@OPERATIONS.of(REQUIRE)
def _require(at, model, a, b, c, scratch, out):  # type: ignore[no-untyped-def]
    """``np.all`` of bools."""
    row = cells(a, np.uint8)
    for i in range(cells(at, np.int64)[COUNT]):
        if not row[i]:
            return 1
    return 0


@OPERATIONS.made(ARGUMENT, *((k, largest) for (k,) in _ALL for largest in (True, False)))
def _argument(kind: Any, largest: bool) -> Body:
    """``np.argmax`` or ``np.argmin``: the first of the best, the first NaN before all."""

    def argument(at, model, a, b, c, scratch, out):  # type: ignore[no-untyped-def]
        row, best = cells(a, kind), 0
        for i in range(cells(at, np.int64)[COUNT]):
            value = row[i]
            if value != value:
                best = i
                break
            if (value > row[best]) if largest else (value < row[best]):
                best = i
        cells(b, np.int64)[0] = best
        return 0

    return argument


@OPERATIONS.of(EDGES)
def _edges(at, model, a, b, c, scratch, out):  # type: ignore[no-untyped-def]
    """``np.searchsorted`` of each cell among the edges of its column; NaN comes last."""
    words = cells(at, np.int64)
    row, target, right = cells(a, np.float64), cells(b, np.int64), words[MORE] != 0
    start = cells(model - words[MORE + 1], np.int64)
    edges = cells(model - words[MORE + 2], np.float64)
    for i in range(words[COUNT]):
        value = row[i]
        low, high = start[i], start[i + 1]
        while low < high:
            middle = (low + high) >> 1
            edge = edges[middle]
            if right:
                below = edge <= value or value != value
            else:
                below = edge < value or (value != value and edge == edge)
            if below:
                low = middle + 1
            else:
                high = middle
        target[i] = low - start[i]
    return 0


@numba.njit(nogil=True)
def _above(numbers, low, high, value):  # type: ignore[no-untyped-def]
    """The first of ascending numbers that is larger."""
    while low < high:
        middle = (low + high) >> 1
        if numbers[middle] <= value:
            low = middle + 1
        else:
            high = middle
    return low


@OPERATIONS.of(BETWEEN)
def _between(at, model, a, b, c, scratch, out):  # type: ignore[no-untyped-def]
    """``np.interp`` of each cell between the points of its column, in the steps of its source."""
    words = cells(at, np.int64)
    row, target = cells(a, np.float64), cells(b, np.float64)
    start = cells(model - words[MORE], np.int64)
    xs, ys = cells(model - words[MORE + 1], np.float64), cells(model - words[MORE + 2], np.float64)
    for i in range(words[COUNT]):
        value = row[i]
        first, last = start[i], start[i + 1] - 1
        if value != value:
            target[i] = value
        elif value < xs[first]:
            target[i] = ys[first]
        elif value >= xs[last]:
            target[i] = ys[last]
        else:
            j = _above(xs, first, last + 1, value) - 1
            target[i] = _on_line(value, xs[j], xs[j + 1], ys[j], ys[j + 1])
    return 0


@numba.njit(nogil=True, error_model="numpy")
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


@OPERATIONS.made(CODE, *(k for k in _ALL if k != (np.int64,)))
def _code(kind: Any) -> Body:
    """The code of a number among sorted categories."""

    def code(at, model, a, b, c, scratch, out):  # type: ignore[no-untyped-def]
        words, value = cells(at, np.int64), np.float64(cells(a, kind)[0])
        n, unknown = words[MORE], words[MORE + 4]
        numbers = cells(model - words[MORE + 1], np.float64)
        found = unknown
        if value != value:
            found = words[MORE + 3]
        else:
            where = _above(numbers, 0, n, value) - 1
            if where >= 0 and numbers[where] == value:
                found = cells(model - words[MORE + 2], np.int64)[where]
        cells(b, np.int32)[0] = found
        return np.int64(words[MORE + 5] != 0 and found == unknown)

    return code


@OPERATIONS.of(SORT)
def _sort(at, model, a, b, c, scratch, out):  # type: ignore[no-untyped-def]
    """``np.argsort(kind="stable")`` by insertion; NaN comes last."""
    row, order = cells(a, np.float64), cells(b, np.int64)
    for i in range(cells(at, np.int64)[COUNT]):
        value, k = row[i], i
        while k > 0:
            other = row[order[k - 1]]
            if not (value < other or (other != other and value == value)):
                break
            order[k] = order[k - 1]
            k -= 1
        order[k] = i
    return 0


# -- arithmetic whose order of additions is open, or given ---------------------------------
@OPERATIONS.made(PRODUCT, *_FLOATS)
def _product(kind: Any) -> Body:
    """A row times a matrix."""

    def product(at, model, a, b, c, scratch, out):  # type: ignore[no-untyped-def]
        words = cells(at, np.int64)
        n, m = words[COUNT], words[MORE]
        x, w, y = cells(a, kind), cells(b, kind), cells(c, kind)
        if m == 1:
            y[0] = _dot(x, w, n)
            return 0
        for j in range(m):
            y[j] = 0
        for i in range(n):
            cell, part = x[i], cells(b + i * m * size, kind)
            for j in range(m):
                y[j] += cell * part[j]
        return 0

    size = np.dtype(kind).itemsize
    return product


@numba.njit(nogil=True)
def _dot(x, w, n):  # type: ignore[no-untyped-def]
    """Four sums at once: additions that wait for each other take four times as long."""
    a = b = c = d = x[0] * 0
    whole = n & ~3
    for i in range(0, whole, 4):
        a += x[i] * w[i]
        b += x[i + 1] * w[i + 1]
        c += x[i + 2] * w[i + 2]
        d += x[i + 3] * w[i + 3]
    for i in range(whole, n):
        a += x[i] * w[i]
    return (a + b) + (c + d)


@numba.njit(nogil=True, cache=True)
def square_sum(x, n, lanes, sums):  # type: ignore[no-untyped-def]
    """``np.einsum("i,i->", x, x)`` with its order of additions.

    A vector of `lanes` sums takes the products four vectors at a time, the last of the four first; the
    cells that are left fill vectors of their own; then the lanes are added, pairs of neighbours first.
    `sums` has room for the lanes.
    """
    for lane in range(lanes):
        sums[lane] = 0
    at = 0
    while n - at >= 4 * lanes:
        for vector in range(3, -1, -1):
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


@OPERATIONS.made(SQUARE_SUM, *_FLOATS)
def _squares(kind: Any) -> Body:
    def squares(at, model, a, b, c, scratch, out):  # type: ignore[no-untyped-def]
        words = cells(at, np.int64)
        total = square_sum(cells(a, kind), words[COUNT], words[MORE], cells(c, kind))
        cells(b, kind)[0] = total
        return 0

    return squares


@OPERATIONS.of(RUNNING_SUM)
def _running_sum(at, model, a, b, c, scratch, out):  # type: ignore[no-untyped-def]
    """``np.add.accumulate``."""
    row, sums = cells(a, np.float64), cells(b, np.float64)
    sums[0] = row[0]
    for i in range(1, cells(at, np.int64)[COUNT]):
        sums[i] = sums[i - 1] + row[i]
    return 0


# -- points --------------------------------------------------------------------------------
@numba.njit(nogil=True)
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


@OPERATIONS.of(FAR)
def _far(at, model, a, b, c, scratch, out):  # type: ignore[no-untyped-def]
    """The distance to every point; gives up on a row with NaN."""
    words = cells(at, np.int64)
    n, n_points, how, root = words[COUNT], words[MORE], words[MORE + 2], words[MORE + 3]
    x, points = cells(a, np.float64), cells(model - words[MORE + 1], np.float64)
    distances = cells(b, np.float64)
    for i in range(n):
        if x[i] != x[i]:
            return 1
    for k in range(n_points):
        total = _total(x, points, k * n, n, how)
        distances[k] = np.sqrt(total) if root else total
    return 0


@OPERATIONS.of(NEAR)
def _near(at, model, a, b, c, scratch, out):  # type: ignore[no-untyped-def]
    """The nearest points, kept sorted by distance and then position; gives up on a row with NaN."""
    words = cells(at, np.int64)
    n, n_points, how, root = words[COUNT], words[MORE], words[MORE + 2], words[MORE + 3]
    kept = words[MORE + 4]
    x, points = cells(a, np.float64), cells(model - words[MORE + 1], np.float64)
    found = cells(b, np.float64)
    for i in range(n):
        if x[i] != x[i]:
            return 1
    for k in range(n_points):
        far = _total(x, points, k * n, n, how)
        if root:
            far = np.sqrt(far)
        j = min(k, kept)
        if j == kept and not far < found[kept - 1]:
            continue
        while j > 0 and far < found[j - 1]:
            if j < kept:
                found[j], found[kept + j] = found[j - 1], found[kept + j - 1]
            j -= 1
        found[j], found[kept + j] = far, k
    return 0
