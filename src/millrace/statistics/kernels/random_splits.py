"""Splits whose thresholds are drawn at random, as extremely randomised trees have them.

A threshold lies between the extremes of a feature at a node; scikit-learn 1.9's generator draws it. So no
values are sorted: for each feature the extremes of the bins are found, then the sums on the left. For the
rows of a subtree, whose bins lie side by side row by row, both are found for all features at a time.
"""

# Kernels are not Python: Numba gives them their types.
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from millrace.statistics.kernels.candidates import allowed, draw, is_one
from millrace.statistics.kernels.criteria import judge, sides
from millrace.statistics.kernels.histograms import (
    MISSING,
    ROW,
    bin_of,
    class_of,
    weight_of,
    within,
)
from millrace.statistics.kernels.lanes import data_of, splat

_intrinsic: Any = intrinsic

FIRST, MOST, LAST, SHIFT, SPAN = range(5)
"""What is kept of each feature, a byte each: its least and its greatest bin, missing values among them;
the greatest of values, plus one (0: none); and where its left side begins, turned round, and ends."""


LANES = 32
"""Features that are looked at together; what is kept of them is padded to a multiple of this."""


def padded(n_features: int) -> int:
    """The length of what is kept of all features."""
    return -(-n_features // LANES) * LANES


_BYTES = ir.VectorType(ir.IntType(8), LANES)


def _vector_at(context: Any, builder: Any, sig: Any, args: Any, position: int, of: Any) -> Any:
    """A pointer to a vector, where an array argument has the position of the argument after it."""
    pointer = data_of(context, builder, sig, args, position)
    return builder.bitcast(builder.gep(pointer, [args[position + 1]]), of.as_pointer())


@_intrinsic
def _widen(typingctx: Any, rows: Any, at: Any, found: Any, f: Any, stride: Any) -> Any:
    """Widen the extremes of 32 features from f on by a row, the bytes of `rows` from `at` on."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        row = builder.load(_vector_at(context, builder, sig, args, 0, _BYTES), align=1)
        data, lane = data_of(context, builder, sig, args, 2), args[3]
        turned = builder.add(row, ir.Constant(_BYTES, [1] * LANES))
        for value, better in ((row, "<"), (row, ">"), (turned, ">")):
            own = builder.bitcast(builder.gep(data, [lane]), _BYTES.as_pointer())
            kept = builder.load(own, align=1)
            wider = builder.icmp_unsigned(better, value, kept)
            builder.store(builder.select(wider, value, kept), own, align=1)
            lane = builder.add(lane, args[4])
        return context.get_dummy_value()

    return types.none(rows, types.uint64, found, types.uint64, types.uint64), codegen


@_intrinsic
def _goes_left(typingctx: Any, rows: Any, at: Any, found: Any, shift: Any, stride: Any) -> Any:
    """A bit for each of 32 features: whether a row goes left."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        row = builder.load(_vector_at(context, builder, sig, args, 0, _BYTES), align=1)
        data, lane = data_of(context, builder, sig, args, 2), args[3]
        turn, most = (
            builder.load(builder.bitcast(builder.gep(data, [i]), _BYTES.as_pointer()), align=1)
            for i in (lane, builder.add(lane, args[4]))
        )
        left = builder.icmp_unsigned("<=", builder.add(row, turn), most)
        return builder.bitcast(left, ir.IntType(LANES))

    return types.uint32(rows, types.uint64, found, types.uint64, types.uint64), codegen


@_intrinsic
def _add_where(typingctx: Any, bits: Any, value: Any, sums: Any, at: Any) -> Any:
    """Add a number to those of 32 sums, from `at` on, whose bit is set."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        numbers = ir.VectorType(ir.DoubleType(), LANES)
        where = builder.bitcast(args[0], ir.VectorType(ir.IntType(1), LANES))
        own = _vector_at(context, builder, sig, args, 2, numbers)
        added = builder.select(
            where, splat(builder, args[1], LANES), ir.Constant(numbers, [0.0] * LANES)
        )
        builder.store(builder.fadd(builder.load(own, align=8), added), own, align=8)
        return context.get_dummy_value()

    return types.none(types.uint32, types.float64, sums, types.uint64), codegen


@within
def extremes(table, held, work, start, end):
    """The extremes of all features, of rows that were gathered."""
    found, rows, records = work.bytes, table.local.T, held.records
    wide = np.uint64(found.shape[1])
    found[FIRST, :], found[MOST, :], found[LAST, :] = 255, 0, 0
    for i in range(np.uint64(start), np.uint64(end)):
        at = (records[i] & ROW) * wide
        for f in range(np.uint64(0), wide, np.uint64(LANES)):
            _widen(rows, at + f, found, f, wide)


@within
def extremes_of(column, feature, held, work, start, end):
    """The extremes of one feature."""
    first, most, last, records = np.uint8(255), np.uint8(0), np.uint8(0), held.records
    for i in range(np.uint64(start), np.uint64(end)):
        b = column[records[i] & ROW]
        first, most = min(first, b), max(most, b)
        last = max(last, np.uint8(b + np.uint8(1)))
    found = work.bytes
    found[FIRST, feature], found[MOST, feature], found[LAST, feature] = first, most, last


@within
def draw_threshold(feature, low, high, edges, work, at):
    """Draw the `at`-th candidate of a node; whether the feature is constant, and has none."""
    found = work.bytes
    first, last = np.int64(found[FIRST, feature]), np.int64(found[LAST, feature]) - 1
    missing = found[MOST, feature] == MISSING
    if last < 0 or (not missing and is_one(low, high, first, last)):
        return True
    # Of outer bins, which are wide, the side that most of a node's values are near to.
    least, greatest = np.float64(high[first]), np.float64(low[last])
    threshold = (greatest - least) * np.float64(draw(work.pad.state)) / 2147483647.0 + least
    side = missing and draw(work.pad.state) % 2 == 1
    if threshold == greatest:
        threshold = least
    threshold, cut = _between_bins(low, high, edges, first, last, threshold)
    work.picked[at], work.thresholds[at] = feature, threshold
    found[SHIFT, feature] = np.uint8(side)
    found[SPAN, feature] = np.uint8(cut + side)
    return False


@within
def _between_bins(low, high, edges, first, last, threshold):
    """A threshold that parts no bin, and the last bin that it sends left.

    One that lies within a bin moves to the nearer of its edges, but not beyond the node's values.
    """
    b = np.int64(bin_of(threshold, edges))
    if high[b] <= threshold:
        return threshold, b
    if low[b] > threshold:
        return threshold, b - 1
    up = b == first or (b < last and threshold - low[b] >= high[b] - threshold)
    return (edges[b], b) if up else (edges[b - 1], b - 1)


@within
def best_drawn(local, table, held, rule, work, start, end, n_drawn):
    """The best of the candidates that were drawn: a split as `search` returns it."""
    if local:
        _tally_all(table, held, rule, work, start, end)
    best, of = -np.inf, np.int64(-1)
    feature, cut, missing_left = np.int64(-1), np.int64(-1), False
    for k in range(n_drawn):
        if end - start == 2 and best > -np.inf:
            break  # what follows is equal, and the first one wins
        f = work.picked[k]
        if not local:
            _tally_one(table.codes[f], f, held, rule, work, start, end)
        _left_of(f, rule, work)
        if not allowed(rule, work, 0, end - start):
            continue
        judge(rule.kind, work, np.int64(0), np.int64(1))
        if work.pad.value[0] > best:
            best, of, feature = work.pad.value[0], k, f
            side = np.int64(work.bytes[SHIFT, f])
            cut = np.int64(work.bytes[SPAN, f]) - side
            missing_left = side == 1
            if work.bytes[MOST, f] != MISSING:
                missing_left = 2.0 * work.pad.n_left[0] > end - start
    return feature, cut, np.int64(-1), missing_left, work.thresholds[of] if of >= 0 else 0.0


@within
def _tally_all(table, held, rule, work, start, end):
    """Sums on the left of every feature, of rows that were gathered."""
    sums, rows, records, found = work.drawn, table.local.T, held.records, work.bytes
    sums[:] = 0.0
    wide, w, wy = np.uint64(found.shape[1]), 0.0, 0.0
    for i in range(np.uint64(start), np.uint64(end)):
        record = records[i]
        own = np.uint64(2)
        if rule.n_classes == 0:
            w = held.real[i, 0]
            wy = w * held.real[i, 1]
        else:
            w = np.float64(weight_of(record)) if rule.counted else held.real[i, 0]
            own += class_of(record, rule.counted)
            wy = w
        at = (record & ROW) * wide
        for f in range(np.uint64(0), wide, np.uint64(LANES)):
            left = _goes_left(rows, at + f, found, np.uint64(SHIFT) * wide + f, wide)
            _add_where(left, 1.0, sums, f)
            _add_where(left, w, sums, wide + f)
            _add_where(left, wy, sums, own * wide + f)


@within
def _tally_one(column, feature, held, rule, work, start, end):
    """Sums on the left of one feature."""
    sums, shift, span = work.drawn, work.bytes[SHIFT, feature], work.bytes[SPAN, feature]
    for c in range(len(sums)):
        sums[c, feature] = 0.0
    weight = n = of = 0.0
    for i in range(np.uint64(start), np.uint64(end)):
        record = held.records[i]
        left = np.uint8(column[record & ROW] + shift) <= span
        if rule.n_classes == 0:
            w = held.real[i, 0] if left else 0.0
            of += w * held.real[i, 1]
        else:
            w = np.float64(weight_of(record)) if rule.counted else held.real[i, 0]
            w = w if left else 0.0
            sums[np.uint64(2) + class_of(record, rule.counted), feature] += w
        weight += w
        n += 1.0 if left else 0.0
    sums[0, feature], sums[1, feature] = n, weight
    if rule.n_classes == 0:
        sums[2, feature] = of


@within
def _left_of(feature, rule, work):
    """The sums of a feature as those of a candidate, for `judge`."""
    sums, left = work.drawn, work.left
    for c in range(len(left)):
        left[c] = sums[c + 2, feature]
    work.pad.n_left[0], work.pad.w_left[0] = sums[0, feature], sums[1, feature]
    sides(rule, left, work.total, sums[1, feature], work, 0)
