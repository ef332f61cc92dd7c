"""Scores of eight rows of 16-bit codes against all centres, in registers, and the least two of each row.

One instruction (``vpdpwssd`` of AVX-512 VNNI) multiplies two features of a row with those of sixteen
centres and adds the products to sums of 32 bits: half as many instructions as in float32, no rounding.
What is kept of a score is its value with the number of its centre in the lowest bits.
"""

# Code generators take LLVM values, for which llvmlite has no types.
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic

LANES = 16
"""Centres of a group: the sums in one register."""

ROWS = 8
"""Rows of a tile: as many sums as are needed to keep the multipliers busy."""

STEP = 2
"""Pairs of features in one turn of the loop; codes are padded to a multiple of it."""

NOTHING = 2**31 - 1
"""Above every score."""

_INT, _LONG = ir.IntType(32), ir.IntType(64)
_VECTOR = ir.VectorType(_INT, LANES)
_intrinsic: Any = intrinsic


def available() -> bool:
    """Whether the processor that Numba compiles for has the instruction."""
    target: Any = cpu_target
    features = target.target_context.codegen().magic_tuple()[2].split(",")
    return {"+avx512f", "+avx512vnni"}.issubset(features)


def _ints(values: Any) -> Any:
    values = list(values)
    return ir.Constant(ir.VectorType(_INT, len(values)), values)


def _call(builder: Any, name: str, *args: Any) -> Any:
    kind = args[0].type
    form = ir.FunctionType(kind, [kind] * len(args))
    return builder.call(cgutils.get_or_insert_function(builder.module, form, name), args)


def _least(builder: Any, a: Any, b: Any) -> Any:
    return _call(builder, f"llvm.smin.v{a.type.count}i32", a, b)


def _most(builder: Any, a: Any, b: Any) -> Any:
    return _call(builder, f"llvm.smax.v{a.type.count}i32", a, b)


def _everywhere(builder: Any, value: Any) -> Any:
    one = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, _INT(0))
    return builder.shuffle_vector(one, one, _ints([0] * LANES))


def _loaded(builder: Any, place: Any) -> Any:
    found = builder.load(builder.bitcast(place, _VECTOR.as_pointer()))
    found.align = 4
    return found


def _halved(builder: Any, left: Any, right: Any, part: int) -> Any:
    """From two pairs (least, second) with ``2 * part`` lanes a row to one with `part` lanes a row."""
    places = [
        side + 2 * part * row + lane
        for side in (0, LANES)
        for row in range(LANES // (2 * part))
        for lane in range(part)
    ]
    if left is right:  # the last pair: what is left of it fills half a register
        places = places[:ROWS]
    low, high = _ints(places), _ints(p + part for p in places)
    a, b, c, d = (
        builder.shuffle_vector(left[k], right[k], side) for k in (0, 1) for side in (low, high)
    )
    second = _least(builder, _most(builder, a, b), _least(builder, c, d))
    return _least(builder, a, b), second


def _across(builder: Any, pairs: list[Any]) -> Any:
    """From the least two of each lane to those of each row: two vectors of `ROWS`."""
    part = LANES // 2
    while len(pairs) > 1:
        pairs = [_halved(builder, a, b, part) for a, b in zip(pairs[::2], pairs[1::2], strict=True)]
        part //= 2
    return _halved(builder, pairs[0], pairs[0], part)


def _looped(builder: Any, name: str, stop: Any, step: int, starts: list[Any], body: Any) -> Any:
    """``for j in range(0, stop, step): values = body(j, values)``; the values at the end."""
    entry = builder.block
    loop, done = builder.append_basic_block(name), builder.append_basic_block(name + ".done")
    builder.branch(loop)
    builder.position_at_end(loop)
    j, values = builder.phi(_LONG), [builder.phi(one.type) for one in starts]
    new = body(j, values)
    following, end = builder.add(j, _LONG(step)), builder.block
    for phi, before, after in zip(
        [j, *values], [_LONG(0), *starts], [following, *new], strict=True
    ):
        phi.add_incoming(before, entry)
        phi.add_incoming(after, end)
    builder.cbranch(builder.icmp_signed("<", following, stop), loop, done)
    builder.position_at_end(done)
    return new


def _group(builder: Any, rows: list[Any], centers: Any, start: Any, pairs: Any) -> list[Any]:
    """The scores of one group: the loop over the pairs of features."""

    def body(j: Any, sums: list[Any]) -> list[Any]:
        for q in range(STEP):
            at = builder.add(j, _LONG(q))
            center = _loaded(builder, builder.gep(centers, [builder.mul(at, _LONG(LANES))]))
            values = [_everywhere(builder, builder.load(builder.gep(row, [at]))) for row in rows]
            name = "llvm.x86.avx512.vpdpwssd.512"
            sums = [
                _call(builder, name, total, value, center)
                for total, value in zip(sums, values, strict=True)
            ]
        return sums

    return _looped(builder, "features", pairs, STEP, [start] * len(rows), body)


@_intrinsic
def coded_tile(typingctx, codes, places, at, centers, starts, mask, best, second):
    """Score the rows ``codes[places[at : at + 8]]`` against all centres.

    Parameters
    ----------
    codes : int32 of (n_rows, n_pairs)
        Two features in each, of 16 bits; the number of pairs is even.
    places : int64 of (n_places,)
    at : int
    centers : int32 of (n_groups, n_pairs, 16)
        The centres, the same way, times -1.
    starts : int32 of (n_groups, 16)
        Where their sums begin; very large for lanes without a centre.
    mask : int32
        Clears the bits that receive the number of the centre.
    best, second : int32 of (n_places,)
        Receive the least scores at ``at`` to ``at + 7``.
    """
    long = types.int64
    sig = types.void(codes, places, long, centers, starts, types.int32, best, second)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        table, listed, packed, begin, out, other = (
            context.make_array(sig.args[k])(context, builder, args[k]) for k in (0, 1, 3, 4, 6, 7)
        )
        n_groups, pairs, _ = cgutils.unpack_tuple(builder, packed.shape, 3)
        clear = _everywhere(builder, args[5])
        rows: list[Any] = []
        for r in range(ROWS):
            place = builder.load(builder.gep(listed.data, [builder.add(args[2], _LONG(r))]))
            rows.append(builder.gep(table.data, [builder.mul(place, pairs)]))

        def body(g: Any, values: list[Any]) -> list[Any]:
            names, found = values[0], values[1:]
            lane = builder.mul(g, _LONG(LANES))
            own = builder.gep(packed.data, [builder.mul(lane, pairs)])
            start = _loaded(builder, builder.gep(begin.data, [lane]))
            new: list[Any] = []
            scores = _group(builder, rows, own, start, pairs)
            for score, least, following in zip(scores, found[::2], found[1::2], strict=True):
                marked = builder.or_(builder.and_(score, clear), names)
                beaten = _most(builder, least, marked)
                new += [_least(builder, least, marked), _least(builder, following, beaten)]
            return [builder.add(names, _ints([LANES] * LANES)), *new]

        nothing = _ints([NOTHING] * LANES)
        ends = [_ints(range(LANES)), *[nothing] * (2 * ROWS)]
        values = _looped(builder, "groups", n_groups, 1, ends, body)[1:]
        found = _across(builder, list(zip(values[::2], values[1::2], strict=True)))
        for array, value in zip((out, other), found, strict=True):
            place = builder.gep(array.data, [args[2]])
            builder.store(value, builder.bitcast(place, value.type.as_pointer())).align = 4
        return context.get_dummy_value()

    return sig, codegen


@_intrinsic
def coded_below(typingctx, codes, first, centers, starts, group, limits, out):
    """Which scores of the rows ``codes[first : first + 8]`` and of one group are below a limit.

    Parameters
    ----------
    codes, centers, starts
        As in `coded_tile`.
    first, group : int
    limits : int32 of (n_rows,)
    out : uint16 of (n_rows,)
        Receives a bit for each of sixteen centres.
    """
    long = types.int64
    sig = types.void(codes, long, centers, starts, long, limits, out)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        table, packed, begin, most, to = (
            context.make_array(sig.args[k])(context, builder, args[k]) for k in (0, 2, 3, 5, 6)
        )
        pairs = cgutils.unpack_tuple(builder, packed.shape, 3)[1]
        at = [builder.add(args[1], _LONG(r)) for r in range(ROWS)]
        rows = [builder.gep(table.data, [builder.mul(one, pairs)]) for one in at]
        lane = builder.mul(args[4], _LONG(LANES))
        own = builder.gep(packed.data, [builder.mul(lane, pairs)])
        start = _loaded(builder, builder.gep(begin.data, [lane]))
        for score, one in zip(_group(builder, rows, own, start, pairs), at, strict=True):
            limit = _everywhere(builder, builder.load(builder.gep(most.data, [one])))
            below = builder.icmp_signed("<", score, limit)
            builder.store(builder.bitcast(below, ir.IntType(16)), builder.gep(to.data, [one]))
        return context.get_dummy_value()

    return sig, codegen
