"""Compute only the columns that reach an output.

Before (the forest splits on column 2 alone)::

    %0 = Select {"columns": [0, 1, 2]}
    %1 = Cast %0 {"dtype": "float32"}
    %2 = Trees %1 ...

After::

    %0 = Select {"columns": [2]}
    %1 = Cast %0 {"dtype": "float32"}
    %2 = Trees %1 ...

The dtype of a narrowed `Select` stays what all its columns together had.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from millrace.ir.arrays import Array, Text
from millrace.ir.build import Builder, Value
from millrace.ir.liveness import needed_columns
from millrace.ir.ops import (
    Binary,
    Cast,
    CastLike,
    Concat,
    Constant,
    Dense,
    Forest,
    Guard,
    IsMissing,
    Leaves,
    Select,
    Sparse,
    Take,
    Trees,
    Unary,
    Where,
)
from millrace.ir.program import Program, Step
from millrace.ir.types import Block, infer


def narrow(program: Program) -> Program:
    """The program without the columns that nothing needs."""
    types = infer(program, program.binding)
    needed = needed_columns(program, tuple(t.width for t in types))
    if all(len(n) == t.width for n, t in zip(needed, types, strict=True)):
        return program
    builder = Builder.like(program)
    kept: list[_Kept | None] = []
    for position, step in enumerate(program.steps):
        wanted = sorted(needed[position])
        live = bool(wanted) or types[position].width == 0
        kept.append(_rebuild(builder, step, wanted, kept, types, position) if live else None)
    for output in program.outputs:
        source = kept[output.step]
        assert source is not None
        builder.output(
            output.name,
            source.pick(list(range(types[output.step].width))),
            output.shape,
            output.depth,
        )
    return builder.program()


class _Kept:
    """A rebuilt step and which columns of the original block it holds, in order."""

    def __init__(self, value: Value, columns: list[int]) -> None:
        self.value = value
        self.position = {c: i for i, c in enumerate(columns)}

    def pick(self, columns: list[int]) -> Value:
        return self.value.take([self.position[c] for c in columns])


def _rebuild(
    builder: Builder,
    step: Step,
    wanted: list[int],
    kept: list[_Kept | None],
    types: tuple[Block, ...],
    position: int,
) -> _Kept:
    width = types[position].width

    def whole(i: int) -> Value:
        source = kept[i]
        assert source is not None
        return source.pick(list(range(types[i].width)))

    def part(i: int) -> Value:
        source = kept[i]
        assert source is not None
        return source.pick(wanted if types[i].width > 1 else list(range(types[i].width)))

    match step.op:
        case Select(columns):
            value = builder.append(Select(tuple(columns[c] for c in wanted)))
            return _Kept(_with_dtype(value, types[position].dtype), wanted)
        case Constant(row) if width > 1:
            return _Kept(builder.constant(_pick_row(row, wanted)), wanted)
        case Take(columns):
            source = kept[step.inputs[0]]
            assert source is not None
            return _Kept(source.pick([columns[c] for c in wanted]), wanted)
        case Concat():
            return _Kept(
                _with_dtype(_concat(builder, step, wanted, kept, types), types[position].dtype),
                wanted,
            )
        case CastLike():
            return _Kept(_with_dtype(part(step.inputs[0]), types[position].dtype), wanted)
        case Guard():
            guard = replace(
                step.op, low=_limit(step.op.low, wanted), high=_limit(step.op.high, wanted)
            )
            return _Kept(builder.append(guard, part(step.inputs[0])), wanted)
        case Unary() | Binary() | Cast() | IsMissing() | Where() | Sparse() | Dense() if width > 1:
            return _Kept(builder.append(step.op, *(part(i) for i in step.inputs)), wanted)
        case Trees(forest) | Leaves(forest):
            source = kept[step.inputs[0]]
            if source is None:  # no split at all: the input only says how many rows there are
                return _Kept(
                    builder.append(step.op, builder.append(Select(()))), list(range(width))
                )
            forest = _renumbered(forest, source.position)
            return _Kept(builder.append(type(step.op)(forest), source.value), list(range(width)))
        case _:
            return _Kept(
                builder.append(step.op, *(whole(i) for i in step.inputs)), list(range(width))
            )


def _with_dtype(value: Value, dtype: str) -> Value:
    """The value in the dtype that it had among its neighbours."""
    builder = value.builder
    have = infer(builder.program(), builder.program().binding)[value.at].dtype
    if have == dtype or "object" in (have, dtype):
        return value
    return value.then(Cast(dtype))  # pyright: ignore[reportArgumentType]


def _pick_row(row: Array | Text, columns: list[int]) -> np.ndarray | Text:  # type: ignore[type-arg]
    if isinstance(row, Text):
        return Text(tuple(row.values[c] for c in columns), row.dtype)
    return row.values[columns]


def _limit(limit: Array | None, columns: list[int]) -> Array | None:
    return Array(limit.values[columns]) if limit is not None and len(limit) > 1 else limit


def _concat(
    builder: Builder,
    step: Step,
    wanted: list[int],
    kept: list[_Kept | None],
    types: tuple[Block, ...],
) -> Value:
    parts: list[Value] = []
    first = 0
    for i in step.inputs:
        inside = [c - first for c in wanted if first <= c < first + types[i].width]
        source = kept[i]
        if inside and source is not None:
            parts.append(source.pick(inside))
        first += types[i].width
    return parts[0] if len(parts) == 1 else builder.append(step.op, *parts)


def _renumbered(forest: Forest, position: dict[int, int]) -> Forest:
    """The forest for a block that holds only some of its columns."""
    if all(old == new for old, new in position.items()):
        return forest
    table = np.full(max(position) + 2, -1, np.int32)
    table[list(position)] = list(position.values())
    linear = forest.linear
    if linear is not None:
        linear = replace(linear, feature=Array(table[linear.feature.values]))
    return replace(forest, feature=Array(table[forest.feature.values]), linear=linear)
