"""The graph under construction: nodes, initializers and notes, and tensors that write nodes.

A `Tensor` is a block: rows by columns of one dtype. Its operators append ONNX nodes, so that a lowering
reads like the NumPy that it stands for. Each is chosen so that ONNX Runtime's CPU kernels exist for
it: dtypes without kernels are computed in a wider one and converted back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

OPSET = 21
ML_OPSET = 5
IR_VERSION = 10
ML = "ai.onnx.ml"

NAN_TEXT, NONE_TEXT = "nan", "None"
"""What ONNX Runtime makes of a NaN and of a None among strings."""

WIDER = {
    "bool": "int32",
    "int8": "int32",
    "int16": "int32",
    "uint8": "int32",
    "uint16": "int32",
    "uint32": "int64",
    "float16": "float32",
}
"""Dtypes without arithmetic kernels, and the dtype in which they are computed."""


class Refused(Exception):
    """The primitive cannot be said in ONNX: the reason and what to do, as phrases."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy


def onnx_type(dtype: str) -> int:
    """ONNX's number of a dtype; ``object`` is text."""
    from onnx import TensorProto, helper

    if dtype == "object":
        return TensorProto.STRING
    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))


def tensor_proto(values: npt.NDArray[Any] | Sequence[str], name: str = "") -> Any:
    """A constant; a sequence of strings is a vector of text."""
    from onnx import TensorProto, helper, numpy_helper

    if isinstance(values, np.ndarray):
        return numpy_helper.from_array(np.ascontiguousarray(values).reshape(values.shape), name)
    cells: Any = [v.encode() for v in values]
    return helper.make_tensor(name, TensorProto.STRING, [len(cells)], cells)


class Graph:
    """Nodes and initializers, named by the step of the program that they belong to."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.notes: list[str] = []
        self.step = ""
        self._made_by: dict[str, str] = {}
        self._count = 0
        self._known: dict[tuple[Any, ...], str] = {}
        self._rows = ""

    def op(self, name: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Append a node of one output and return the name of that."""
        return self.ops(name, *inputs, domain=domain, **attributes)[0]

    def ops(
        self,
        name: str,
        *inputs: str,
        outputs: Sequence[str] | int = 1,
        domain: str = "",
        **attributes: Any,
    ) -> list[str]:
        """Append a node of several outputs, or of named ones."""
        from onnx import helper

        label = self.fresh(name)
        if isinstance(outputs, int):
            outputs = [label if outputs == 1 else f"{label}_{i}" for i in range(outputs)]
        self._made_by |= dict.fromkeys(outputs, name)
        self.nodes.append(
            helper.make_node(name, inputs, outputs, name=label, domain=domain, **attributes)
        )
        return list(outputs)

    def fresh(self, name: str) -> str:
        """A name that nothing has."""
        self._count += 1
        return f"{self.step}{name}_{self._count}"

    def apart(self, tensor: Tensor, *makers: str) -> Tensor:
        """The tensor, behind a node that keeps ONNX Runtime from fusing it with what made it.

        A matrix product and a scaling before or behind it become one node, with the scale in float32.
        """
        if tensor.dtype != "float64" or self._made_by.get(tensor.name) not in makers:
            return tensor
        return replace(tensor, name=self.op("Sum", tensor.name))

    def array(self, values: npt.NDArray[Any] | Sequence[str]) -> str:
        """The name of an initializer; equal constants are stored once."""
        if isinstance(values, np.ndarray):
            key = (values.dtype.str, values.shape, values.tobytes())
        else:
            key = ("text", *values)
        if key not in self._known:
            self._known[key] = f"constant_{len(self._known)}"
            self.initializers.append(tensor_proto(values, self._known[key]))
        return self._known[key]

    def constant(self, row: npt.NDArray[Any] | Sequence[str]) -> Tensor:
        """One row (width,) that stands for every row."""
        if isinstance(row, np.ndarray):
            return Tensor(self, self.array(row[None, :]), str(row.dtype), len(row), True)
        text = self.op("Unsqueeze", self.array(row), self.array(np.array([0])))
        return Tensor(self, text, "object", len(row), True)

    def scalar(self, value: Any, dtype: str) -> Tensor:
        """One number or string that stands for every cell."""
        return self.constant([value] if dtype == "object" else np.array([value]).astype(dtype))

    def counted_by(self, table_input: str) -> None:
        """Say which input tells the number of rows."""
        self._rows = table_input

    def shape(self, width: int) -> str:
        """The shape (n, width), where n is the number of rows of the input."""
        key = ("rows", width)
        if key not in self._known:
            step, self.step = self.step, "rows_"
            rows = self.op("Shape", self._rows, start=0, end=1)
            self._known[key] = self.op("Concat", rows, self.array(np.array([width])), axis=0)
            self.step = step
        return self._known[key]

    def note(self, text: str) -> None:
        """Say once what differs from the source."""
        if text not in self.notes:
            self.notes.append(text)


def _width(tensors: Sequence[Tensor]) -> int:
    return next((t.width for t in tensors if t.width != 1), 1)


@dataclass(frozen=True, eq=False)
class Tensor:
    """A block in the graph.

    Attributes
    ----------
    graph : Graph
    name : str
    dtype : str
        NumPy name, ``object`` for text.
    width : int
    row : bool
        One row that stands for every row.
    """

    graph: Graph
    name: str
    dtype: str
    width: int
    row: bool = False

    # -- nodes -----------------------------------------------------------------------------
    def apply(
        self, op: str, *others: Tensor, dtype: str | None = None, **attributes: Any
    ) -> Tensor:
        """An elementwise node of this and other tensors."""
        every = (self, *others)
        if op in ("Mul", "Div"):
            every = tuple(self.graph.apart(t, "MatMul") for t in every)
        name = self.graph.op(op, *(t.name for t in every), **attributes)
        row = all(t.row for t in every)
        return Tensor(self.graph, name, dtype or self.dtype, _width(every), row)

    def to(self, dtype: str) -> Tensor:
        """The block in another dtype, by NumPy's rules."""
        if dtype == self.dtype:
            return self
        if "object" in (dtype, self.dtype):
            raise Refused(
                "it reads a column of text as numbers, or numbers as text",
                "Give the model that column in one of the two kinds only, and fit it again",
            )
        return self.apply("Cast", dtype=dtype, to=onnx_type(dtype))

    def whole(self) -> Tensor:
        """The block with as many rows as the input."""
        if not self.row:
            return self
        name = self.graph.op("Expand", self.name, self.graph.shape(self.width))
        return replace(self, name=name, row=False)

    def take(self, columns: Sequence[int]) -> Tensor:
        """Columns by position."""
        if list(columns) == list(range(self.width)):
            return self
        at = self.graph.array(np.array(columns, np.int64))
        name = self.graph.op("Gather", self.name, at, axis=1)
        return replace(self, name=name, width=len(columns))

    def columns(self) -> list[Tensor]:
        """Each column by itself."""
        return [self.take([c]) for c in range(self.width)]

    def reduce(self, op: str, dtype: str | None = None) -> Tensor:
        """A reduction of each row."""
        axis = self.graph.array(np.array([1]))
        name = self.graph.op(op, self.name, axis, keepdims=1)
        return replace(self, name=name, width=1, dtype=dtype or self.dtype)

    # -- arithmetic ------------------------------------------------------------------------
    def _other(self, value: Any) -> Tensor:
        return value if isinstance(value, Tensor) else self.graph.scalar(value, self.dtype)

    def __add__(self, other: Any) -> Tensor:
        return self.apply("Add", self._other(other))

    def __sub__(self, other: Any) -> Tensor:
        return self.apply("Sub", self._other(other))

    def __mul__(self, other: Any) -> Tensor:
        return self.apply("Mul", self._other(other))

    def __truediv__(self, other: Any) -> Tensor:
        return self.apply("Div", self._other(other))

    def __pow__(self, other: Any) -> Tensor:
        return self.apply("Pow", self._other(other))

    def __rsub__(self, other: Any) -> Tensor:
        return self._other(other) - self

    def __rtruediv__(self, other: Any) -> Tensor:
        return self._other(other) / self

    def __neg__(self) -> Tensor:
        return self.apply("Neg")

    def __abs__(self) -> Tensor:
        return self.apply("Abs")

    def __lt__(self, other: Any) -> Tensor:
        return self.apply("Less", self._other(other), dtype="bool")

    def __le__(self, other: Any) -> Tensor:
        return self.apply("LessOrEqual", self._other(other), dtype="bool")

    def __gt__(self, other: Any) -> Tensor:
        return self.apply("Greater", self._other(other), dtype="bool")

    def __ge__(self, other: Any) -> Tensor:
        return self.apply("GreaterOrEqual", self._other(other), dtype="bool")

    def same(self, other: Any) -> Tensor:
        """Where the cells are equal."""
        return self.apply("Equal", self._other(other), dtype="bool")

    def __and__(self, other: Tensor) -> Tensor:
        return self.apply("And", other)

    def __or__(self, other: Tensor) -> Tensor:
        return self.apply("Or", other)

    def __xor__(self, other: Tensor) -> Tensor:
        return self.apply("Xor", other)

    def __invert__(self) -> Tensor:
        return self.apply("Not")

    def isnan(self) -> Tensor:
        """Which cells are NaN; none where the dtype has none."""
        if self.dtype.startswith("float"):
            return self.apply("IsNaN", dtype="bool")
        return ~self.same(self)

    def where(self, yes: Any, no: Any) -> Tensor:
        """``numpy.where(self, yes, no)``; one of the two is a tensor."""
        kind = yes if isinstance(yes, Tensor) else no
        yes, no = kind._other(yes), kind._other(no)
        if kind.dtype == "bool":
            return self.where(yes.to("int32"), no.to("int32")).to("bool")
        return self.apply("Where", yes, no, dtype=kind.dtype)

    def any(self) -> Tensor:
        """Whether any cell of a row is true."""
        return self.to("int32").reduce("ReduceMax").to("bool")


def concat(tensors: Sequence[Tensor]) -> Tensor:
    """Blocks of one dtype side by side."""
    if len(tensors) == 1:
        return tensors[0]
    row = all(t.row for t in tensors)
    wide = tensors if row else [t.whole() for t in tensors]
    first = tensors[0]
    name = first.graph.op("Concat", *(t.name for t in wide), axis=1)
    return Tensor(first.graph, name, first.dtype, sum(t.width for t in tensors), row)


def widened(compute: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """Compute in a dtype that has kernels, and convert back."""
    dtype = tensors[0].dtype
    if dtype not in WIDER:
        return compute(*tensors)
    answer = compute(*(t.to(WIDER[dtype]) for t in tensors))
    return answer.to(dtype) if answer.dtype == WIDER[dtype] else answer
