"""Inner loops written as LLVM vector code.

Vectors are wider than any register (256 bytes of cursors at once); LLVM splits them into what the
CPU has: 4 registers with AVX-512, 8 with AVX2, 16 with SSE2 or NEON.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from millrace.statistics.kernels.lanes import data_of as _data
from millrace.statistics.kernels.lanes import splat as _splat

LANES = 256
"""Rows that a tree is stepped through at once."""

VALUE_LANES = 64
"""The same where floats are compared: few enough that the cursors stay in registers."""

SEARCH_LANES = 32
"""Rows that are searched for at once: as many independent loads in flight."""

TILE = 16
"""Rows whose values of one plane lie side by side, for the walks."""

WALKS = 16
"""Walks from node to node that go on at once."""

_I8, _I32, _I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)


def _as_index(builder: Any, value: Any) -> Any:
    return value if value.type.width == 64 else builder.zext(value, _I64)


def _make_advance(lanes: int) -> Any:
    """The steps through a tree for so many rows at once."""

    @intrinsic
    def steps(typingctx, planes, stride, plane, rank, here, there, first, stop, cursor):  # type: ignore[no-untyped-def]
        sig = types.void(
            planes, types.intp, plane, rank, here, there, types.intp, types.intp, cursor
        )

        def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
            by_value = isinstance(sig.args[0].dtype, types.Float)
            cells = ir.VectorType(context.get_data_type(sig.args[0].dtype), lanes)
            vector = ir.VectorType(context.get_data_type(sig.args[8].dtype), lanes)
            at = [_data(context, builder, sig, args, k) for k in (0, 2, 3, 4, 5, 8)]
            blocks, plane_at, rank_at, here_at, there_at, cursor_at = at
            stride, first, stop = args[1], args[6], args[7]
            cursor_vector = builder.bitcast(cursor_at, vector.as_pointer())
            start = builder.load(cursor_vector, align=1)
            entry = builder.block
            head, body, done = (builder.append_basic_block(n) for n in ("head", "split", "done"))
            builder.branch(head)

            builder.position_at_end(head)
            split, state = builder.phi(_I64), builder.phi(vector)
            split.add_incoming(first, entry)
            state.add_incoming(start, entry)
            builder.cbranch(builder.icmp_signed("<", split, stop), body, done)

            builder.position_at_end(body)
            offset = builder.mul(
                _as_index(builder, builder.load(builder.gep(plane_at, [split]))), stride
            )
            rows = builder.load(
                builder.bitcast(builder.gep(blocks, [offset]), cells.as_pointer()), align=1
            )
            bound, old, new = (
                _splat(builder, builder.load(builder.gep(a, [split])), lanes)
                for a in (rank_at, here_at, there_at)
            )
            compare = builder.fcmp_unordered if by_value else builder.icmp_unsigned
            right = compare(">", rows, bound)
            moves = builder.and_(right, builder.icmp_unsigned("==", state, old))
            state.add_incoming(builder.select(moves, new, state), body)
            split.add_incoming(builder.add(split, ir.Constant(_I64, 1)), body)
            builder.branch(head)

            builder.position_at_end(done)
            builder.store(state, cursor_vector, align=1)
            return context.get_dummy_value()

        return sig, codegen

    return steps


advance = _make_advance(LANES)
"""Step 256 rows through the splits ``first:stop`` of one tree.

For each split: ``cursor = there if planes[plane] > rank and cursor == here else cursor``. `planes`
points at the first of 256 rows of plane 0, plane p starts ``p * stride`` elements later; `plane`, `rank`,
`here`, `there` are arrays over splits; `cursor` has 256 elements of the dtype of `planes`.
"""

advance_by_value = _make_advance(VALUE_LANES)
"""The same for 64 rows of floats: `rank` holds thresholds, NaN goes right, and `cursor`, `here` and
`there` are integers as wide as the floats."""


@intrinsic
def count_below(typingctx, table, first, half, values, out, out_at, nan_rank):  # type: ignore[no-untyped-def]
    """For 32 values, how many table entries are smaller; `nan_rank` for NaN.

    The table is ascending and padded with +inf to ``2 * half - 1`` entries, `half` a power of
    two, so that the search has no branch: ``out[out_at : out_at + 32]``.
    """
    sig = types.void(table, types.intp, types.intp, values, out, types.intp, types.intp)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        lanes = SEARCH_LANES
        real = context.get_data_type(sig.args[3].dtype)
        element = context.get_data_type(sig.args[4].dtype)
        counts = ir.VectorType(_I32, lanes)
        small = ir.VectorType(element, lanes)
        base = builder.gep(_data(context, builder, sig, args, 0), [args[1]])
        sought = builder.load(
            builder.bitcast(
                _data(context, builder, sig, args, 3), ir.VectorType(real, lanes).as_pointer()
            ),
            align=1,
        )
        target = builder.gep(_data(context, builder, sig, args, 4), [args[5]])
        half = builder.trunc(args[2], _I32)
        for_nan = _splat(builder, builder.trunc(args[6], element), lanes)
        entry = builder.block
        head, body, done = (builder.append_basic_block(n) for n in ("head", "halve", "done"))
        builder.branch(head)

        builder.position_at_end(head)
        step, count = builder.phi(_I32), builder.phi(counts)
        step.add_incoming(half, entry)
        count.add_incoming(ir.Constant(counts, [0] * lanes), entry)
        builder.cbranch(builder.icmp_signed(">", step, ir.Constant(_I32, 0)), body, done)

        builder.position_at_end(body)
        beyond = builder.add(count, _splat(builder, step, lanes))
        last = builder.sub(beyond, ir.Constant(counts, [1] * lanes))
        probe = ir.Constant(ir.VectorType(real, lanes), ir.Undefined)
        for lane in range(lanes):
            index = builder.zext(builder.extract_element(last, ir.Constant(_I32, lane)), _I64)
            entry_value = builder.load(builder.gep(base, [index]))
            probe = builder.insert_element(probe, entry_value, ir.Constant(_I32, lane))
        smaller = builder.fcmp_ordered("<", probe, sought)
        count.add_incoming(builder.select(smaller, beyond, count), body)
        step.add_incoming(builder.lshr(step, ir.Constant(_I32, 1)), body)
        builder.branch(head)

        builder.position_at_end(done)
        is_nan = builder.fcmp_unordered("uno", sought, sought)
        ranks = builder.select(is_nan, for_nan, builder.trunc(count, small))
        builder.store(ranks, builder.bitcast(target, small.as_pointer()), align=1)
        return context.get_dummy_value()

    return sig, codegen


@intrinsic
def count_among(typingctx, table, first, n, values, out, out_at, nan_rank):  # type: ignore[no-untyped-def]
    """`count_below` for a short table of `n` entries, by comparing with every one of them."""
    sig = types.void(table, types.intp, types.intp, values, out, types.intp, types.intp)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        lanes = SEARCH_LANES
        real = context.get_data_type(sig.args[3].dtype)
        element = context.get_data_type(sig.args[4].dtype)
        wide = ir.VectorType(ir.IntType(sig.args[3].dtype.bitwidth), lanes)
        small = ir.VectorType(element, lanes)
        base = builder.gep(_data(context, builder, sig, args, 0), [args[1]])
        pointer = ir.VectorType(real, lanes).as_pointer()
        sought = builder.load(
            builder.bitcast(_data(context, builder, sig, args, 3), pointer), align=1
        )
        target = builder.gep(_data(context, builder, sig, args, 4), [args[5]])
        for_nan = _splat(builder, builder.trunc(args[6], element), lanes)
        entry = builder.block
        head, body, done = (builder.append_basic_block(k) for k in ("head", "compare", "done"))
        builder.branch(head)

        builder.position_at_end(head)
        index, count = builder.phi(_I64), builder.phi(wide)
        index.add_incoming(ir.Constant(_I64, 0), entry)
        count.add_incoming(ir.Constant(wide, [0] * lanes), entry)
        builder.cbranch(builder.icmp_signed("<", index, args[2]), body, done)

        builder.position_at_end(body)
        bound = _splat(builder, builder.load(builder.gep(base, [index])), lanes)
        smaller = builder.fcmp_ordered("<", bound, sought)
        count.add_incoming(builder.sub(count, builder.sext(smaller, wide)), body)
        index.add_incoming(builder.add(index, ir.Constant(_I64, 1)), body)
        builder.branch(head)

        builder.position_at_end(done)
        is_nan = builder.fcmp_unordered("uno", sought, sought)
        ranks = builder.select(is_nan, for_nan, builder.trunc(count, small))
        builder.store(ranks, builder.bitcast(target, small.as_pointer()), align=1)
        return context.get_dummy_value()

    return sig, codegen


def _make_walk(apart: int) -> Any:
    """The walk for lanes that read values `apart` elements from each other."""

    @intrinsic
    def walk(typingctx, nodes, bounds, tile, first, at):  # type: ignore[no-untyped-def]
        sig = types.void(nodes, bounds, tile, types.intp, at)

        def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
            node_at, bound_at, tile_at, start_at = (
                _data(context, builder, sig, args, k) for k in (0, 1, 2, 4)
            )
            base = builder.gep(tile_at, [args[3]])
            by_value = isinstance(sig.args[2].dtype, types.Float)
            lanes = [ir.Constant(_I64, k) for k in range(WALKS)]
            starts = [builder.load(builder.gep(start_at, [k])) for k in lanes]

            def visit(here: Any, lane: int) -> Any:
                word = builder.load(builder.gep(node_at, [here]))
                high = builder.lshr(word, ir.Constant(_I64, 32))
                offset = high if by_value else builder.and_(word, ir.Constant(_I64, 0xFFFF))
                place = builder.gep(builder.gep(base, [ir.Constant(_I64, lane * apart)]), [offset])
                value = builder.load(place)
                if by_value:
                    bound = builder.load(builder.gep(bound_at, [here]))
                    right = builder.fcmp_unordered(">", value, bound)
                    left = builder.and_(word, ir.Constant(_I64, 0xFFFFFFFF))
                else:
                    rank = builder.trunc(builder.lshr(word, ir.Constant(_I64, 16)), ir.IntType(16))
                    wide = value if value.type.width == 16 else builder.zext(value, ir.IntType(16))
                    right, left = builder.icmp_unsigned(">", wide, rank), high
                return builder.add(left, builder.zext(right, _I64))

            entry = builder.block
            body = builder.append_basic_block("visit")
            done = builder.append_basic_block("arrived")
            builder.branch(body)

            builder.position_at_end(body)
            here = [builder.phi(_I64) for _ in lanes]
            moved = ir.Constant(_I64, 0)
            last = []
            for phi, start in zip(here, starts, strict=True):
                phi.add_incoming(start, entry)
            once = [visit(phi, lane) for lane, phi in enumerate(here)]
            for lane, node in enumerate(once):  # a leaf stays: two visits for one test
                last.append(visit(node, lane))
                moved = builder.or_(moved, builder.xor(node, last[-1]))
            for phi, node in zip(here, last, strict=True):
                phi.add_incoming(node, body)
            builder.cbranch(builder.icmp_unsigned("!=", moved, ir.Constant(_I64, 0)), body, done)

            builder.position_at_end(done)
            for k, node in zip(lanes, last, strict=True):
                builder.store(node, builder.gep(start_at, [k]))
            return context.get_dummy_value()

        return sig, codegen

    return walk


walk_rows = _make_walk(1)
"""Take 16 walks, one a row, from the nodes ``at`` to their leaves, which replace them.

``walk_rows(nodes, bounds, tile, first, at)``: walk k reads plane p at ``tile[first + 16 p + k]``. A node
is a word of `nodes`. With integer tiles it holds 16 p (16 bits), rank (16 bits) and left child (32 bits);
with float tiles left child (32 bits) and 16 p (32 bits), and its bound is in `bounds`. The right child
follows the left one; NaN goes right. A leaf is its own left child and sends nothing right.
"""

walk_trees = _make_walk(0)
"""The same for 16 trees and one row: all walks read plane p at ``tile[first + 16 p]``."""


@intrinsic
def load_at(typingctx, address, like):  # type: ignore[no-untyped-def]
    """The number at a memory address; its type is that of the scalar `like`."""
    sig = like(types.intp, like)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        pointer = context.get_data_type(sig.return_type).as_pointer()
        return builder.load(builder.inttoptr(args[0], pointer), align=1)

    return sig, codegen
