"""Step by step: every primitive has its lowering, or is refused by name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, assert_never

import numpy as np

from millrace.backends.onnx import blocks, elementwise, encode, points, trees
from millrace.backends.onnx.graph import (
    IR_VERSION,
    ML,
    ML_OPSET,
    OPSET,
    Graph,
    Refused,
    Tensor,
    concat,
    onnx_type,
)
from millrace.errors import ExportError
from millrace.ir import ops
from millrace.ir.arrays import Text
from millrace.ir.program import Output, Program
from millrace.ir.types import Block, cast_dtype, infer

X = "X"
"""Name of the input where the table is one tensor."""


@dataclass(frozen=True)
class Facts:
    """What the model says of itself beside the graph.

    Attributes
    ----------
    source : str
        Public class name of the source object.
    producer_version : str
    properties : mapping of str to str
        Written into the model's ``metadata_props``.
    """

    source: str
    producer_version: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)


# -- what kind of input --------------------------------------------------------------------
def bind(program: Program, dtype: str, text: Iterable[str] = ()) -> Program:
    """The program for numbers of one dtype, and text where it reads text.

    A column is text where it is encoded by words, meets words in a step, or is named in `text`.
    """
    named = set(text)
    words = {i for i, c in enumerate(program.columns) if c.name in named}
    words |= _columns_that_meet_words(program)
    binding = [
        "object"
        if c.kind in ("text", "object") or i in words
        else ("float64" if c.categories is not None else dtype)
        for i, c in enumerate(program.columns)
    ]
    return program.bound(tuple(binding))


def _columns_that_meet_words(program: Program) -> set[int]:
    """Columns that a step with constant words looks at."""
    words: list[bool] = []
    origins: list[set[int]] = []
    found: set[int] = set()
    for step in program.steps:
        below = set[int]().union(*(origins[i] for i in step.inputs))
        match step.op:
            case ops.Select(columns):
                below = set(columns)
            case ops.Constant(row) | ops.Gather(row):
                words.append(isinstance(row, Text))
                origins.append(set())
                continue
            case ops.IsMissing(value=value) if isinstance(value, str):
                found |= below
            case ops.Encode(categories=categories) if isinstance(categories, Text):
                found |= below
                below = set[int]()
            case ops.Where() | ops.Binary() if any(words[i] for i in step.inputs):
                found |= below
            case ops.Guard() | ops.Take() | ops.Concat() | ops.Where() | ops.Require():
                pass
            case _:
                below = set[int]()
        if isinstance(step.op, ops.Where):
            below = set[int]().union(*(origins[i] for i in step.inputs[1:]))
        words.append(isinstance(step.op, ops.Where) and any(words[i] for i in step.inputs[1:]))
        origins.append(below)
    return found


# -- the model -----------------------------------------------------------------------------
def export(program: Program, facts: Facts) -> Any:
    """An ONNX model of a bound program.

    Parameters
    ----------
    program : Program
        Of dense tables or series, bound (see `bind`) and rewritten.
    facts : Facts

    Returns
    -------
    onnx.ModelProto
        One input ``X`` (n, columns) where all columns are numbers of one dtype, otherwise one input
        (n, 1) for every column that is read, by its name; for a series ``X`` (n,). One output per
        output of the program, by its name.

    Raises
    ------
    ExportError
        A primitive that ONNX cannot express with the same answers.
    """
    from onnx import helper

    graph = Graph()
    table = _Table(graph, program)
    types = infer(program, program.binding)
    tensors: list[Tensor] = []
    for position, step in enumerate(program.steps):
        graph.step = f"s{position}_"
        inputs = [tensors[i] for i in step.inputs]
        try:
            tensors.append(_lower(step.op, inputs, table, types[position]))
        except Refused as refused:
            name = type(step.op).__name__
            raise ExportError.refused(name, position, refused.reason, refused.remedy) from refused
    graph.step = ""
    outputs = [_output(o, tensors[o.step], types[o.step].dtype) for o in program.outputs]
    notes = graph.notes
    model = helper.make_model(
        helper.make_graph(
            graph.nodes, "millrace", table.infos, outputs, initializer=graph.initializers
        ),
        producer_name="millrace",
        producer_version=facts.producer_version,
        doc_string="\n".join([f"{facts.source}, exported by Millrace.", *notes]),
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(ML, ML_OPSET)],
        ir_version=IR_VERSION,
    )
    properties = {"millrace.source": facts.source, "millrace.notes": json.dumps(notes)}
    helper.set_model_props(model, {**properties, **facts.properties})
    return model


class _Table:
    """The inputs of the graph."""

    def __init__(self, graph: Graph, program: Program) -> None:
        from onnx import helper

        self.graph = graph
        self.program = program
        self.series = program.form == "series"
        dtypes = set(program.binding)
        plain = len(dtypes) == 1 and all(c.categories is None for c in program.columns)
        self.is_matrix = not self.series and plain and "object" not in dtypes
        self.columns: dict[int, Tensor] = {}
        if self.is_matrix or self.series:
            self.dtype = dtypes.pop()
            shape = ["n"] if self.series else ["n", len(program.columns)]
            self.infos = [helper.make_tensor_value_info(X, onnx_type(self.dtype), shape)]
            graph.counted_by(X)
            return
        read = {c for s in program.steps if isinstance(s.op, ops.Select) for c in s.op.columns}
        self.infos = [self._info(c) for c in sorted(read) or [0]]
        graph.counted_by(self.infos[0].name)

    def _info(self, position: int) -> Any:
        from onnx import helper

        column = self.program.columns[position]
        dtype = self.program.binding[position]
        if any(isinstance(c, str) for c in column.categories or ()):
            dtype = "object"
        self.columns[position] = Tensor(self.graph, column.name, dtype, 1)
        return helper.make_tensor_value_info(column.name, onnx_type(dtype), ["n", 1])

    def select(self, columns: Sequence[int], dtype: str) -> Tensor:
        """`Select`: columns of the table in one dtype."""
        graph = self.graph
        if not columns:
            empty = Tensor(graph, graph.array(np.zeros((1, 0), dtype)), dtype, 0, True)
            return empty.whole()
        if self.series:
            name = graph.op("Unsqueeze", X, graph.array(np.array([1])))
            return Tensor(graph, name, self.dtype, 1).to(dtype)
        if self.is_matrix:
            width = len(self.program.columns)
            return Tensor(graph, X, self.dtype, width).take(columns).to(dtype)
        return concat([self._column(c).to(dtype) for c in columns])

    def _column(self, position: int) -> Tensor:
        column, tensor = self.program.columns[position], self.columns[position]
        return tensor if column.categories is None else encode.category_codes(tensor, column)


def _output(output: Output, tensor: Tensor, dtype: str) -> Any:
    """Name and shape an output."""
    from onnx import helper

    graph = tensor.graph
    tensor = tensor.to(dtype).whole()
    shape: list[Any] = ["n", tensor.width]
    if output.shape == "vector":
        axis = graph.array(np.array([1]))
        graph.ops("Squeeze", tensor.name, axis, outputs=[output.name])
        shape = ["n"]
    elif output.shape == "cube":
        shape = ["n", tensor.width // output.depth, output.depth]
        target = graph.array(np.array([0, *shape[1:]]))
        graph.ops("Reshape", tensor.name, target, outputs=[output.name])
    else:
        graph.ops("Identity", tensor.name, outputs=[output.name])
    if output.shape.startswith("csr"):
        graph.note(f"{output.name} is sparse in the source and dense here.")
    return helper.make_tensor_value_info(output.name, onnx_type(dtype), shape)


# -- the steps -----------------------------------------------------------------------------
def _lower(op: ops.Op, inputs: list[Tensor], table: _Table, block: Block) -> Tensor:
    graph = table.graph
    match op:
        case ops.Select(columns):
            return table.select(columns, block.dtype)
        case ops.Constant(row):
            return graph.constant(row.values)
        case ops.Cast(dtype):
            return inputs[0].to(cast_dtype(inputs[0].dtype, dtype))
        case ops.CastLike():
            return inputs[0].to(inputs[1].dtype)
        case ops.Unary(name):
            return elementwise.unary(name, inputs[0])
        case ops.Binary(name):
            return elementwise.binary(name, *inputs)
        case ops.IsMissing():
            return encode.is_missing(inputs[0], op)
        case ops.Where():
            return blocks.where(*inputs)
        case ops.Concat():
            return blocks.joined(inputs)
        case ops.Take(columns):
            return inputs[0].take(columns)
        case ops.MatMul(weights):
            return blocks.matmul(inputs[0], weights)
        case ops.Reduce(name):
            return blocks.reduce(inputs[0], name, block.dtype)
        case ops.Accumulate(ufunc):
            return blocks.accumulate(inputs[0], ufunc, block.dtype)
        case ops.ArgSort():
            return blocks.argsort(inputs[0])
        case ops.PickAlong():
            return blocks.pick_along(*inputs)
        case ops.SearchSorted():
            return points.search_sorted(inputs[0], op)
        case ops.Interpolate():
            return points.interpolate(inputs[0], op)
        case ops.Spline():
            return points.spline(inputs[0], op)
        case ops.Distances():
            return points.distances(inputs[0], op)
        case ops.Nearest():
            return points.nearest(inputs[0], op)
        case ops.ImputeNearest():
            return points.impute_nearest(inputs[0], op)
        case ops.Encode():
            return encode.encode(inputs[0], op)
        case ops.OneHot(width, dtype):
            return encode.one_hot(inputs[0], width, dtype)
        case ops.Gather(rows):
            return encode.gather(inputs[0], rows)
        case ops.Sparse() | ops.Dense():
            return inputs[0]
        case ops.Guard() | ops.Require():
            graph.note(_unguarded(op))
            return inputs[0]
        case ops.Trees(forest):
            return trees.tree_sums(inputs[0], forest)
        case ops.Leaves(forest):
            return trees.leaves(inputs[0], forest)
        case ops.Terms() | ops.Features() | ops.Call():
            raise _refused(op)
        case _:
            assert_never(op)


def _unguarded(op: ops.Guard | ops.Require) -> str:
    if isinstance(op, ops.Require):
        return f"{op.owner} refuses rows ({op.problem}); ONNX cannot raise, and answers them too."
    refused = "infinities" if op.allow_nan else "NaN and infinities"
    return f"{op.owner} refuses {refused}; ONNX cannot raise, and answers such rows too."


def _refused(op: ops.Terms | ops.Features | ops.Call) -> Refused:
    match op:
        case ops.Terms():
            return Refused(
                "the operators of ONNX split text into other words than scikit-learn does",
                "Export the model behind the vectorizer, and vectorize before it",
            )
        case ops.Features():
            return Refused(
                "an ONNX tensor holds no mappings or sets",
                "Export the model behind this step, and spread the features before it",
            )
        case ops.Call():
            where = f" ({op.path})" if op.path else ""
            return Refused(
                f"it calls {op.method} of a Python object{where} because {op.reason}",
                "Choose methods without that step, or replace it by one that describe() calls native",
            )
