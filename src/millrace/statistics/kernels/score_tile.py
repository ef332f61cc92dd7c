"""Scores of eight rows against sixteen centres, in registers, and their least two for each row.

A score is ``|c|^2 - 2 x c``. What is kept of it is the value with the number of its centre in the lowest
four bits: the least one then brings its centre along, at the price of fifteen units in the last place.

Limit: 16 products an instruction. With 28 features 28 of them for each row and 16 centres; the least two
of 16 scores are 6 more.
"""

# Code generators take LLVM values, for which llvmlite has no types.
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16
"""Centres of a group: one register of AVX-512; LLVM takes several where they are shorter."""

ROWS = 8
"""Rows of a tile: as many sums as are needed to keep the multipliers busy."""

STEP = 4
"""Features in one turn of the loop; blocks are padded to a multiple of it."""

_LINE = 64
"""Bytes that a cache fetches at once."""

_FLOAT, _INT, _LONG = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_VECTOR, _INTS = ir.VectorType(_FLOAT, LANES), ir.VectorType(_INT, LANES)
_intrinsic: Any = intrinsic


def _ints(values: Any) -> Any:
    values = list(values)
    return ir.Constant(ir.VectorType(_INT, len(values)), values)


def _call(builder: Any, name: str, *args: Any, flags: Any = ()) -> Any:
    kind = args[0].type
    form = ir.FunctionType(kind, [kind] * len(args))
    name = f"llvm.{name}.v{kind.count}f32"
    made = cgutils.get_or_insert_function(builder.module, form, name)
    return builder.call(made, args, fastmath=flags)


def _least(builder: Any, a: Any, b: Any) -> Any:
    return _call(builder, "minnum", a, b, flags=("nnan", "nsz"))


def _most(builder: Any, a: Any, b: Any) -> Any:
    return _call(builder, "maxnum", a, b, flags=("nnan", "nsz"))


def _loaded(builder: Any, place: Any, kind: Any = _VECTOR) -> Any:
    found = builder.load(builder.bitcast(place, kind.as_pointer()))
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
    a = builder.shuffle_vector(left[0], right[0], low)
    b = builder.shuffle_vector(left[0], right[0], high)
    second = _most(builder, a, b)
    if left[1] is not None:
        c = builder.shuffle_vector(left[1], right[1], low)
        d = builder.shuffle_vector(left[1], right[1], high)
        second = _least(builder, second, _least(builder, c, d))
    return _least(builder, a, b), second


def _least_two(builder: Any, scores: list[Any]) -> Any:
    """The least and the second score of each row, with their lanes: two vectors of `ROWS`."""
    pairs: list[Any] = []
    for score in scores:
        bits = builder.and_(builder.bitcast(score, _INTS), _ints([-LANES] * LANES))
        marked = builder.or_(bits, _ints(range(LANES)))
        pairs.append((builder.bitcast(marked, _VECTOR), None))
    part = LANES // 2
    while len(pairs) > 1:
        pairs = [_halved(builder, a, b, part) for a, b in zip(pairs[::2], pairs[1::2], strict=True)]
        part //= 2
    return _halved(builder, pairs[0], pairs[0], part)


def _scores(builder: Any, rows: list[Any], centers: Any, start: Any, width: Any) -> list[Any]:
    """The loop over the features."""
    entry = builder.block
    loop, done = builder.append_basic_block("features"), builder.append_basic_block("scored")
    builder.branch(loop)
    builder.position_at_end(loop)
    j = builder.phi(_LONG)
    sums = [builder.phi(_VECTOR) for _ in rows]
    j.add_incoming(_LONG(0), entry)
    for total in sums:
        total.add_incoming(start, entry)
    now: list[Any] = list(sums)
    nothing = ir.Constant(_VECTOR, ir.Undefined)
    for q in range(STEP):
        at = builder.add(j, _LONG(q))
        center = _loaded(builder, builder.gep(centers, [builder.mul(at, _LONG(LANES))]))
        for r, row in enumerate(rows):
            value = builder.load(builder.gep(row, [at]))
            value = builder.insert_element(nothing, value, _INT(0))
            value = builder.shuffle_vector(value, nothing, _ints([0] * LANES))
            now[r] = _call(builder, "fmuladd", value, center, now[r])
    following = builder.add(j, _LONG(STEP))
    j.add_incoming(following, loop)
    for total, value in zip(sums, now, strict=True):
        total.add_incoming(value, loop)
    builder.cbranch(builder.icmp_signed("<", following, width), loop, done)
    builder.position_at_end(done)
    return now


@_intrinsic
def score_tile(typingctx, block, places, at, centers, norms, group, best, second):
    """Score the rows ``block[places[at : at + 8]]`` against the centres of one group.

    Parameters
    ----------
    block : float32 of (n_rows, stride)
    places : int64 of (n_places,)
    at : int
    centers : float32 of (n_groups, width, 16)
        The centres times -2, feature by feature; the width is a multiple of 4, at most the stride.
    norms : float32 of (n_groups, 16)
        Their squared norms; very large for lanes without a centre.
    group : int
    best, second : float32 of (n_places,)
        Receive the least scores at ``at`` to ``at + 7``, the lane in the lowest four bits.
    """
    long = types.int64
    sig = types.void(block, places, long, centers, norms, long, best, second)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        def array(k: int) -> Any:
            return context.make_array(sig.args[k])(context, builder, args[k])

        table, listed, packed = array(0), array(1), array(3)
        stride = cgutils.unpack_tuple(builder, table.shape, 2)[1]
        width = cgutils.unpack_tuple(builder, packed.shape, 3)[1]
        first, of_group = args[2], args[5]
        rows: list[Any] = []
        for r in range(ROWS):
            place = builder.load(builder.gep(listed.data, [builder.add(first, _LONG(r))]))
            rows.append(builder.gep(table.data, [builder.mul(place, stride)]))
        lane = builder.mul(of_group, _LONG(LANES))
        own = builder.gep(packed.data, [builder.mul(lane, width)])
        start = _loaded(builder, builder.gep(array(4).data, [lane]))
        found = _least_two(builder, _scores(builder, rows, own, start, width))
        for k, values in zip((6, 7), found, strict=True):
            place = builder.gep(array(k).data, [first])
            builder.store(values, builder.bitcast(place, values.type.as_pointer())).align = 4
        return context.get_dummy_value()

    return sig, codegen


@_intrinsic
def squares(typingctx, block, row, centers, center):
    """``|x - c|^2`` and ``|x|^2`` of one row of a block and one centre, as float32.

    Parameters
    ----------
    block, centers : float32 of (n_rows, stride), (n_clusters, stride)
        The stride is a multiple of 16, filled up with zeros.
    row, center : int
    """
    sig = types.UniTuple(types.float32, 2)(block, types.int64, centers, types.int64)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        table = context.make_array(sig.args[0])(context, builder, args[0])
        others = context.make_array(sig.args[2])(context, builder, args[2])
        stride = cgutils.unpack_tuple(builder, table.shape, 2)[1]
        x = builder.gep(table.data, [builder.mul(args[1], stride)])
        c = builder.gep(others.data, [builder.mul(args[3], stride)])
        entry = builder.block
        loop, done = builder.append_basic_block("features"), builder.append_basic_block("summed")
        builder.branch(loop)
        builder.position_at_end(loop)
        j, sums = builder.phi(_LONG), [builder.phi(_VECTOR) for _ in range(2)]
        j.add_incoming(_LONG(0), entry)
        value = _loaded(builder, builder.gep(x, [j]))
        away = builder.fsub(value, _loaded(builder, builder.gep(c, [j])))
        following = builder.add(j, _LONG(LANES))
        j.add_incoming(following, loop)
        new = [_call(builder, "fmuladd", v, v, s) for v, s in zip((away, value), sums, strict=True)]
        for total, one in zip(sums, new, strict=True):
            total.add_incoming(ir.Constant(_VECTOR, [0.0] * LANES), entry)
            total.add_incoming(one, loop)
        builder.cbranch(builder.icmp_signed("<", following, stride), loop, done)
        builder.position_at_end(done)
        found = [_total(builder, one) for one in new]
        return context.make_tuple(builder, sig.return_type, found)

    return sig, codegen


@_intrinsic
def copy_row(typingctx, rows, row, shift, block, double):
    """``block[row] = rows[row] - shift`` as float32, and ``double[row]`` too where `rows` are float64.

    Parameters
    ----------
    rows : float32 or float64 of (n_samples, n_features)
        The features of a row lie side by side.
    row : int
    shift : as `rows`, of (n_features,)
    block : float32 of (n_rows, stride)
        The stride is a multiple of 16; zeros beyond the features stay.
    double : float64 of (n_rows, stride)
    """
    sig = types.void(rows, types.int64, shift, block, double)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        table, less, to, wide = (
            context.make_array(sig.args[k])(context, builder, args[k]) for k in (0, 2, 3, 4)
        )
        n_features = cgutils.unpack_tuple(builder, table.shape, 2)[1]
        stride = cgutils.unpack_tuple(builder, to.shape, 2)[1]
        step = cgutils.unpack_tuple(builder, table.strides, 2)[0]
        bytes_ = builder.bitcast(table.data, ir.IntType(8).as_pointer())
        x = builder.bitcast(builder.gep(bytes_, [builder.mul(args[1], step)]), table.data.type)
        kind = ir.VectorType(x.type.pointee, LANES)
        out = builder.mul(args[1], stride)
        lanes = ir.Constant(ir.VectorType(_LONG, LANES), list(range(LANES)))
        with cgutils.for_range_slice(builder, _LONG(0), n_features, _LONG(LANES)) as (j, _):
            left = _spread(builder, builder.sub(n_features, j))
            mask = builder.icmp_signed("<", lanes, left)
            value, sub = (
                _masked(builder, builder.gep(place, [j]), mask, kind) for place in (x, less.data)
            )
            value = builder.fsub(value, sub)
            at = builder.add(out, j)
            if kind != _VECTOR:
                place = builder.bitcast(builder.gep(wide.data, [at]), kind.as_pointer())
                builder.store(value, place).align = 8
                value = builder.fptrunc(value, _VECTOR)
            place = builder.bitcast(builder.gep(to.data, [at]), _VECTOR.as_pointer())
            builder.store(value, place).align = 4
        return context.get_dummy_value()

    return sig, codegen


@_intrinsic
def fetch_row(typingctx, rows, row):
    """Have the cache fetch a row that will be needed soon; there need not be one."""
    sig = types.void(rows, types.int64)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        table = context.make_array(sig.args[0])(context, builder, args[0])
        n_features = cgutils.unpack_tuple(builder, table.shape, 2)[1]
        step = cgutils.unpack_tuple(builder, table.strides, 2)[0]
        byte = ir.IntType(8).as_pointer()
        start = builder.gep(builder.bitcast(table.data, byte), [builder.mul(args[1], step)])
        form = ir.FunctionType(ir.VoidType(), [byte, _INT, _INT, _INT])
        fetch = cgutils.get_or_insert_function(builder.module, form, "llvm.prefetch.p0i8")
        size = builder.mul(n_features, _LONG(sig.args[0].dtype.bitwidth // 8))
        with cgutils.for_range_slice(builder, _LONG(0), size, _LONG(_LINE)) as (at, _):
            builder.call(fetch, [builder.gep(start, [at]), _INT(0), _INT(2), _INT(1)])
        return context.get_dummy_value()

    return sig, codegen


def _spread(builder: Any, value: Any) -> Any:
    """One 64-bit number in all lanes."""
    kind = ir.VectorType(_LONG, LANES)
    vector = builder.insert_element(ir.Constant(kind, ir.Undefined), value, _INT(0))
    return builder.shuffle_vector(vector, vector, _ints([0] * LANES))


def _masked(builder: Any, place: Any, mask: Any, kind: Any) -> Any:
    """The lanes of a mask, zeros elsewhere; memory beyond is not touched."""
    to, size = kind.as_pointer(), "f32" if kind == _VECTOR else "f64"
    form = ir.FunctionType(kind, [to, _INT, mask.type, kind])
    name = f"llvm.masked.load.v{LANES}{size}.p0v{LANES}{size}"
    made = cgutils.get_or_insert_function(builder.module, form, name)
    return builder.call(made, [builder.bitcast(place, to), _INT(4), mask, kind([0.0] * LANES)])


@_intrinsic
def add_row(typingctx, block, row, weight, sums, label):
    """``sums[label] += weight * block[row]`` in float64.

    Parameters
    ----------
    block : float32 or float64 of (n_rows, stride)
        The stride is a multiple of 16.
    row, label : int
    weight : float64
    sums : float64 of (n_clusters, stride)
    """
    sig = types.void(block, types.int64, weight, sums, types.int64)
    lanes = LANES // 2

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        table = context.make_array(sig.args[0])(context, builder, args[0])
        total = context.make_array(sig.args[3])(context, builder, args[3])
        stride = cgutils.unpack_tuple(builder, table.shape, 2)[1]
        x = builder.gep(table.data, [builder.mul(args[1], stride)])
        to = builder.gep(total.data, [builder.mul(args[4], stride)])
        doubles = ir.VectorType(ir.DoubleType(), lanes)
        kind = ir.VectorType(x.type.pointee, lanes)
        times = builder.insert_element(ir.Constant(doubles, ir.Undefined), args[2], _INT(0))
        times = builder.shuffle_vector(times, times, _ints([0] * lanes))
        with cgutils.for_range_slice(builder, _LONG(0), stride, _LONG(lanes)) as (j, _):
            value = _loaded(builder, builder.gep(x, [j]), kind)
            if kind != doubles:
                value = builder.fpext(value, doubles)
            place = builder.gep(to, [j])
            new = builder.fadd(_loaded(builder, place, doubles), builder.fmul(times, value))
            builder.store(new, builder.bitcast(place, doubles.as_pointer())).align = 8
        return context.get_dummy_value()

    return sig, codegen


def _total(builder: Any, vector: Any) -> Any:
    """The sum of the lanes, always in the same order."""
    size = LANES
    while size > 1:
        size //= 2
        low = builder.shuffle_vector(vector, vector, _ints(range(size)))
        high = builder.shuffle_vector(vector, vector, _ints(range(size, 2 * size)))
        vector = builder.fadd(low, high)
    return builder.extract_element(vector, _INT(0))
