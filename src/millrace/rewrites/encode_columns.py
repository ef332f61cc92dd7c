"""Encode straight from the input column, with imputation folded into the table of codes.

Before::

    %0 = Select {"columns": [3]}
    %1 = IsMissing %0 {"rule": "nan", "value": null}
    %2 = Constant {"row": {"Text": {"values": ["Private"], "dtype": "object"}}}
    %3 = Where %1 %2 %0 {}
    %4 = Encode %3 {... "nan": -1, ...}

After::

    %0 = Select {"columns": [3]}
    %1 = Encode %0 {... "nan": 4, ...}

Exact: a code is looked up for each category, for NaN and for None by following the steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from millrace.ir.arrays import Array, Text
from millrace.ir.build import Builder
from millrace.ir.ops import Concat, Constant, Encode, Guard, IsMissing, Select, Take, Where
from millrace.ir.program import Program, Step
from millrace.ir.types import infer


@dataclass(frozen=True)
class _Replacement:
    """Cells that meet the rule become a word."""

    rule: IsMissing
    word: str


def encode_columns(program: Program) -> Program:
    """The program with every possible `Encode` reading its table column."""
    types = infer(program, program.binding)
    plans: dict[int, tuple[int, Encode]] = {}
    for position, step in enumerate(program.steps):
        if isinstance(step.op, Encode) and isinstance(step.op.categories, Text):
            found = follow(program, step.inputs[0], 0, [t.width for t in types])
            if found is not None and not isinstance(program.steps[step.inputs[0]].op, Select):
                column, replacements = found
                plans[position] = (column, _composed(step.op, replacements))
    if not plans:
        return program
    builder = Builder.like(program)
    new = []
    for position, step in enumerate(program.steps):
        if position in plans:
            column, encode = plans[position]
            new.append(builder.append(encode, builder.append(Select((column,)))))
        else:
            new.append(builder.append(step.op, *(new[i] for i in step.inputs)))
    for output in program.outputs:
        builder.output(output.name, new[output.step], output.shape, output.depth)
    return builder.program().live()


def follow(
    program: Program, at: int, c: int, widths: list[int]
) -> tuple[int, list[_Replacement]] | None:
    """The table column behind a cell, and the replacements on the way, first applied first."""
    step = program.steps[at]
    match step.op:
        case Select(columns):
            return columns[c], []
        case Take(columns):
            return follow(program, step.inputs[0], columns[c], widths)
        case Concat():
            for i in step.inputs:
                if c < widths[i]:
                    return follow(program, i, c, widths)
                c -= widths[i]
            return None
        case Guard(allow_nan=True):
            return follow(program, step.inputs[0], c, widths)
        case Where():
            return _follow_where(program, step, c, widths)
        case _:
            return None


def _follow_where(
    program: Program, step: Step, c: int, widths: list[int]
) -> tuple[int, list[_Replacement]] | None:
    condition, word, below = (program.steps[i] for i in step.inputs)
    if not isinstance(condition.op, IsMissing) or not isinstance(word.op, Constant):
        return None
    if program.steps[condition.inputs[0]] != below or not isinstance(word.op.row, Text):
        return None
    found = follow(program, step.inputs[2], c, widths)
    if found is None:
        return None
    row = word.op.row.values
    return found[0], [*found[1], _Replacement(condition.op, row[c if len(row) > 1 else 0])]


def _composed(encode: Encode, replacements: list[_Replacement]) -> Encode:
    """The encoder of the raw column."""
    assert isinstance(encode.categories, Text)
    table: dict[Any, int] = dict(
        zip(encode.categories.values, encode.codes.values.tolist(), strict=True)
    )

    def code(value: str | float | None) -> int:
        for replacement in replacements:
            if _hit(replacement.rule, value):
                value = replacement.word
        if value is None:
            return encode.none
        return encode.nan if isinstance(value, float) else table.get(value, encode.unknown)

    extra = [r.rule.value for r in replacements if isinstance(r.rule.value, str)]
    words = tuple(dict.fromkeys([*encode.categories.values, *extra]))
    codes = Array(np.array([code(w) for w in words], np.int32))
    return replace(
        encode, categories=Text(words), codes=codes, nan=code(float("nan")), none=code(None)
    )


def _hit(rule: IsMissing, value: str | float | None) -> bool:
    if rule.rule == "value":
        return value == rule.value
    return isinstance(value, float) or (rule.rule == "none" and value is None)
