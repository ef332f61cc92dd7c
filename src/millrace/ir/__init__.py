"""What a program is: an immutable typed graph of primitives, and nothing about hardware.

Enters: nothing but NumPy arrays. Leaves: `Program` values that converters build (`Builder`),
rewrites transform, `check` judges, `unparse`/`parse` write and read, and backends run.
Never: imports another room, looks at a fitted object, runs a program.
"""

from millrace.ir.arrays import NULL, Array, Text
from millrace.ir.build import Builder, Value
from millrace.ir.check import check
from millrace.ir.ops import (
    Binary,
    Call,
    Cast,
    CastLike,
    Concat,
    Constant,
    Encode,
    Forest,
    Gather,
    Guard,
    IsMissing,
    Leaves,
    LinearLeaves,
    MatMul,
    OneHot,
    Op,
    Reduce,
    Select,
    Take,
    Trees,
    Unary,
    Where,
)
from millrace.ir.program import Column, Output, Program, Step
from millrace.ir.text import parse, unparse
from millrace.ir.types import Block, infer

__all__ = [
    "NULL",
    "Array",
    "Binary",
    "Block",
    "Builder",
    "Call",
    "Cast",
    "CastLike",
    "Column",
    "Concat",
    "Constant",
    "Encode",
    "Forest",
    "Gather",
    "Guard",
    "IsMissing",
    "Leaves",
    "LinearLeaves",
    "MatMul",
    "OneHot",
    "Op",
    "Output",
    "Program",
    "Reduce",
    "Select",
    "Step",
    "Take",
    "Text",
    "Trees",
    "Unary",
    "Value",
    "Where",
    "check",
    "infer",
    "parse",
    "unparse",
]
