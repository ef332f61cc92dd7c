"""The grammar of programs: run on everything that a converter, a rewrite or a file brings."""

from __future__ import annotations

import numpy as np

from millrace.errors import ProgramError
from millrace.ir import ops
from millrace.ir.arrays import Text
from millrace.ir.program import Program
from millrace.ir.types import Block, infer


def arity(op: ops.Op) -> int | None:
    """How many inputs a primitive takes; None for any number from one."""
    match op:
        case ops.Select() | ops.Constant():
            return 0
        case ops.Binary() | ops.CastLike() | ops.PickAlong() | ops.Require():
            return 2
        case ops.Where():
            return 3
        case ops.Concat():
            return None
        case _:
            return 1


def check(program: Program) -> Program:
    """Return the program, or raise `ProgramError` saying which step breaks which rule."""
    for position, step in enumerate(program.steps):
        wanted = arity(step.op)
        name = type(step.op).__name__
        if wanted is not None and len(step.inputs) != wanted:
            raise ProgramError(
                f"%{position} {name} takes {wanted} input(s), got {len(step.inputs)}"
            )
        if wanted is None and not step.inputs:
            raise ProgramError(f"%{position} {name} needs at least one input")
        if any(not 0 <= i < position for i in step.inputs):
            raise ProgramError(f"%{position} {name} reads a later or unknown step: {step.inputs}")
        if isinstance(step.op, ops.Select):
            bad = [c for c in step.op.columns if not 0 <= c < len(program.columns)]
            if bad:
                raise ProgramError(f"%{position} Select reads unknown columns {bad}")
    blocks = infer(program, program.unbound)
    for position, step in enumerate(program.steps):
        problem = _problem(step.op, [blocks[i] for i in step.inputs])
        if problem:
            raise ProgramError(f"%{position} {type(step.op).__name__}: {problem}")
    names = [o.name for o in program.outputs]
    if len(set(names)) != len(names):
        raise ProgramError(f"output names are not unique: {names}")
    for output in program.outputs:
        if not 0 <= output.step < len(program.steps):
            raise ProgramError(f"output {output.name} refers to unknown step %{output.step}")
        if output.shape == "vector" and blocks[output.step].width != 1:
            raise ProgramError(
                f"output {output.name} is a vector but %{output.step} is {blocks[output.step]}"
            )
        if output.depth < 1 or blocks[output.step].width % output.depth:
            raise ProgramError(
                f"output {output.name} is {output.depth} deep but %{output.step} is "
                f"{blocks[output.step]}"
            )
    return program


def _problem(op: ops.Op, inputs: list[Block]) -> str | None:
    match op:
        case ops.Take(columns) if any(not 0 <= c < inputs[0].width for c in columns):
            return f"columns {columns} of a block of width {inputs[0].width}"
        case ops.MatMul(weights) if weights.shape[0] != inputs[0].width:
            return f"weights {weights.shape} for a block of width {inputs[0].width}"
        case (
            ops.Encode() | ops.OneHot() | ops.Gather() | ops.Spline() | ops.Terms() | ops.Features()
        ) if inputs[0].width != 1:
            return f"needs one column, got {inputs[0].width}"
        case ops.SearchSorted(start) | ops.Interpolate(start) if len(start) != inputs[0].width + 1:
            return f"points of {len(start) - 1} columns for a block of width {inputs[0].width}"
        case ops.Distances(points) | ops.Nearest(points) | ops.ImputeNearest(points) if (
            points.shape[1] != inputs[0].width
        ):
            return f"points {points.shape} for a block of width {inputs[0].width}"
        case ops.Nearest(points, k) if not 1 <= k <= len(points):
            return f"the nearest {k} of {len(points)} points"
        case ops.Gather(table) if isinstance(table, Text) and not len(table):
            return "empty table"
        case ops.Trees(forest) | ops.Leaves(forest):
            return _forest_problem(forest, inputs[0].width)
        case _:
            return None


def _forest_problem(forest: ops.Forest, width: int) -> str | None:
    nodes = len(forest.feature)
    for name in ("threshold", "left", "right", "leaf", "missing", "default_left", "category"):
        if len(getattr(forest, name)) != nodes:
            return f"{name} has {len(getattr(forest, name))} entries for {nodes} nodes"
    if nodes != int(forest.start.values[-1]):
        return f"start ends at {forest.start.values[-1]} for {nodes} nodes"
    feature, leaf = forest.feature.values, forest.leaf.values
    if nodes and int(feature.max()) >= width:
        return f"feature {feature.max()} of a block of width {width}"
    if bool(((feature < 0) != (leaf >= 0)).any()):
        return "a node is neither split nor leaf"
    if nodes and int(leaf.max()) >= len(forest.value):
        return f"leaf {leaf.max()} of {len(forest.value)} values"
    if forest.value.shape[1] + int(forest.target.values.max(initial=0)) > forest.n_outputs:
        return "a tree adds past the last output"
    numeric = (feature >= 0) & (forest.category.values < 0)
    if forest.operator == "<" and bool(np.isneginf(forest.threshold.values[numeric]).any()):
        return "no value is smaller than the threshold -inf"
    if len(forest.base) != forest.n_outputs:
        return f"base has {len(forest.base)} entries for {forest.n_outputs} outputs"
    return None
