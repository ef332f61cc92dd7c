"""The text form of a program: what golden tests compare and model files hold.

One line a column, step and output. Attributes are JSON; arrays of up to 16 numbers stand in
the line, larger ones are named by their digest and travel beside the text::

    column "age" number
    %0 = Select {"columns": [0]}
    %1 = Cast %0 {"dtype": "float"}
    output "transform" = %1 matrix

`parse(*unparse(program)) == program` for every program.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np

from millrace.errors import ProgramError
from millrace.ir import ops
from millrace.ir.arrays import Array, Text
from millrace.ir.program import Column, Output, Program, Step

INLINE = 16
_HEADER = re.compile(r"program( named)?(?: (series|csr_matrix|csr_array))?")
_STEP = re.compile(r"%(\d+) = (\w+)((?: %\d+)*) (\{.*\})")
_COLUMN = re.compile(r'column ("(?:[^"\\]|\\.)*") (\w+)(?: (\[.*\])( strict)?)?')
_OUTPUT = re.compile(r'output ("(?:[^"\\]|\\.)*") = %(\d+) (\w+)(?: (\d+))?')


def _encode(value: Any, constants: dict[str, Array]) -> Any:
    if isinstance(value, Array):
        if value.values.size <= INLINE:
            plain = {f"{value.dtype.name}{list(value.shape)}": value.values.ravel().tolist()}
            if _decode(json.loads(json.dumps(plain)), {}) == value:
                return plain
        constants[value.digest] = value
        return {"array": value.digest}
    if is_dataclass(value):
        body = {f.name: _encode(getattr(value, f.name), constants) for f in fields(value)}
        return {type(value).__name__: body}
    if isinstance(value, tuple):
        return [_encode(v, constants) for v in value]
    return value


def _decode(value: Any, constants: Mapping[str, Array]) -> Any:
    if isinstance(value, list):
        return tuple(_decode(v, constants) for v in value)
    if not isinstance(value, dict):
        return value
    ((name, body),) = value.items()
    if name == "array":
        return constants[body]
    if name == "Text":
        return Text(tuple(body["values"]), body["dtype"])
    if "[" in name:
        dtype, shape = name[:-1].split("[")
        size = [int(n) for n in shape.split(",")] if shape else []
        return Array(np.array(body, dtype=dtype).reshape(size))
    return getattr(ops, name)(**{k: _decode(v, constants) for k, v in body.items()})


def unparse(program: Program) -> tuple[str, dict[str, Array]]:
    """The text of a program and the arrays that it names by digest."""
    constants: dict[str, Array] = {}
    named = " named" if program.named else ""
    form = "" if program.form == "table" else f" {program.form}"
    lines = [f"program{named}{form}"]
    for column in program.columns:
        categories = "" if column.categories is None else f" {json.dumps(column.categories)}"
        strict = " strict" if column.strict else ""
        lines.append(f"column {json.dumps(column.name)} {column.kind}{categories}{strict}")
    for position, step in enumerate(program.steps):
        ((name, body),) = _encode(step.op, constants).items()
        inputs = "".join(f" %{i}" for i in step.inputs)
        lines.append(f"%{position} = {name}{inputs} {json.dumps(body)}")
    for output in program.outputs:
        depth = f" {output.depth}" if output.shape == "cube" else ""
        lines.append(f"output {json.dumps(output.name)} = %{output.step} {output.shape}{depth}")
    return "\n".join(lines) + "\n", constants


def parse(text: str, constants: Mapping[str, Array] | None = None) -> Program:
    """The program that `unparse` wrote.

    Raises
    ------
    ProgramError
        A line is not in the text form, or names an array that is not in `constants`.
    """
    header, *lines = text.splitlines() or [""]
    words = _HEADER.fullmatch(header)
    if words is None:
        raise ProgramError(f"expected 'program' on line 1, got {header!r}")
    columns: list[Column] = []
    steps: list[Step] = []
    forests: dict[ops.Forest, ops.Forest] = {}
    outputs: list[Output] = []
    for number, line in enumerate(lines, start=2):
        try:
            if match := _COLUMN.fullmatch(line):
                name, kind, categories, strict = match.groups()
                values = None if categories is None else tuple(json.loads(categories))
                columns.append(Column(json.loads(name), kind, values, strict is not None))  # pyright: ignore[reportArgumentType]
            elif match := _STEP.fullmatch(line):
                _, name, inputs, body = match.groups()
                op = _decode({name: json.loads(body)}, constants or {})
                if isinstance(op, (ops.Trees, ops.Leaves)):  # steps on one forest share it again
                    op = replace(op, forest=forests.setdefault(op.forest, op.forest))
                steps.append(Step(op, tuple(int(i[1:]) for i in inputs.split())))
            elif match := _OUTPUT.fullmatch(line):
                name, step, shape, depth = match.groups()
                outputs.append(Output(json.loads(name), int(step), shape, int(depth or 1)))  # pyright: ignore[reportArgumentType]
            else:
                raise ProgramError("not a column, step or output")
        except (KeyError, TypeError, ValueError, AttributeError, ProgramError) as error:
            raise ProgramError(f"line {number}: {line[:120]!r}: {error}") from error
    named, form = words[1] is not None, words[2] or "table"
    return Program(tuple(columns), tuple(steps), tuple(outputs), named, form)  # pyright: ignore[reportArgumentType]
