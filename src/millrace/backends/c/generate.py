"""A whole program to one C file and one header."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace.backends.c import pages
from millrace.backends.c.elementwise import refuse
from millrace.backends.c.function import Buffer, Function, Place
from millrace.backends.c.lower import cast, lower
from millrace.backends.c.unit import Unit, check_texts
from millrace.backends.c.words import distinct, identifier
from millrace.errors import ExportError
from millrace.ir.arrays import Text
from millrace.ir.ops import Concat, Constant, Gather, Guard, Require, Take
from millrace.ir.program import Program
from millrace.ir.types import CSR, infer

STACK_BYTES = 4096
"""A function that computes in more than this gets its memory from the caller."""


@dataclass(frozen=True)
class Generated:
    """What became of a program.

    Attributes
    ----------
    source, header : str
        The two files.
    about : dict
        Columns and functions, for a program that calls them; JSON types only.
    """

    source: str
    header: str
    about: dict[str, Any]


def generate(
    program: Program, name: str, comments: Mapping[str, str] | None = None, title: str = ""
) -> Generated:
    """C for every output of a program.

    Parameters
    ----------
    program : Program
        Rewritten, and bound to float64 or float32 numbers and text.
    name : str
        What every public name begins with.
    comments : mapping of output to str, optional
        What the numbers of an output mean, for the header.
    title : str
        What the model is, for the header.

    Raises
    ------
    ExportError
        A step has no counterpart in C with the same answers.
    """
    place = _place(program)
    unit = Unit(name)
    public = distinct([f"{name}_{identifier(o.name)}" for o in program.outputs])
    exports = [
        _export(
            unit, program.only(o.name).live(), place, public_name, (comments or {}).get(o.name, "")
        )
        for o, public_name in zip(program.outputs, public, strict=True)
    ]
    unit.has_text |= bool(place.text) or any(e.result.is_text for e in exports)
    columns = pages.Columns(program, place)
    return Generated(
        pages.source(unit, exports, columns, title),
        pages.header(unit, exports, columns, title),
        pages.about(unit, exports, columns),
    )


def _place(program: Program) -> Place:
    """Numbers and texts, each counted in the order of the columns."""
    texts = [c for c, dtype in enumerate(program.binding) if dtype == "object"]
    numbers = [c for c, dtype in enumerate(program.binding) if dtype != "object"]
    dtypes = {program.binding[c].removeprefix(CSR) for c in numbers} or {"float64"}
    for c in texts:
        if program.columns[c].kind == "object":
            raise ExportError.refused(
                "Select",
                0,
                f"column {program.columns[c].name!r} holds Python objects",
                "Export a model of numbers and text, or ship the .mill file",
            )
    return Place(
        {c: i for i, c in enumerate(numbers)}, {c: i for i, c in enumerate(texts)}, dtypes.pop()
    )


def _export(unit: Unit, program: Program, place: Place, public: str, comment: str) -> pages.Export:
    """One output as a function."""
    f = Function(unit, program, infer(program, program.binding), place)
    output = f.output
    labels: Text | None = None
    for position, step in enumerate(program.steps):
        if position == output.step and isinstance(step.op, Gather):
            labels = step.op.table if isinstance(step.op.table, Text) else None
        if position == output.step and labels is not None:
            f.buffers.append(cast(f, f.inputs()[0], "int32", "Gather"))
        else:
            f.buffers.append(lower(f))
    result = f.buffers[output.step]
    if labels is not None:
        check_texts(labels.values, output.step)
    _check_width(f, result)
    return pages.Export(
        output,
        public,
        result,
        f.lines,
        f.work,
        f.work_bytes > STACK_BYTES,
        labels,
        comment,
        _text_dtype(program, output.step),
    )


def _check_width(f: Function, result: Buffer) -> None:
    """A result of no columns has nothing to write, and no place to write it to."""
    if result.width == 0:
        raise refuse(type(f.program.steps[-1].op).__name__, len(f.buffers) - 1, "it has no columns")


def _text_dtype(program: Program, at: int) -> str:
    """The NumPy dtype that a block of labels has in the source; ``object`` for all other text."""
    step = program.steps[at]
    match step.op:
        case Constant(Text(dtype=dtype)) | Gather(Text(dtype=dtype)):
            return dtype
        case Take() | Guard() | Require():
            return _text_dtype(program, step.inputs[0])
        case Concat():
            return str(np.result_type(*(_text_dtype(program, i) for i in step.inputs)))
        case _:
            return "object"
