"""Categories to codes, codes to indicators or words, missing cells.

Text in ONNX has no missing cells. ONNX Runtime turns a NaN among strings into ``"nan"`` and a None into
``"None"``, so these two words stand for them, unless they are categories themselves.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from millrace.backends.onnx.graph import (
    ML,
    NAN_TEXT,
    NONE_TEXT,
    Graph,
    Refused,
    Tensor,
    tensor_proto,
)
from millrace.ir.arrays import Array, Text
from millrace.ir.ops import Encode, IsMissing
from millrace.ir.program import Column

_OUTSIDE = 2**31 - 1
"""An index past the end of every table: it is an error in ONNX, as a strict encoder wants."""

MISSING_TEXT = (
    f"A missing cell of text is the word {NAN_TEXT!r} (NaN) or {NONE_TEXT!r} (None), as ONNX Runtime "
    f"writes them."
)


def encode(x: Tensor, op: Encode) -> Tensor:
    """`Encode`, as whole numbers of 64 bits."""
    if op.hashed:
        raise Refused(
            "its categories are known by their hashes only, and ONNX has no such hash",
            "Fit the model on codes instead of text, for example behind an OrdinalEncoder",
        )
    if isinstance(op.categories, Text):
        return _checked(_of_text(x, op, op.categories), op)
    if x.dtype == "object":
        raise Refused(
            "it looks for numbers in a column of text",
            "Fit the encoder on a column of numbers, or on text alone",
        )
    keys = op.categories.values.astype(np.float64)
    codes = op.codes.values.astype(np.int64)
    missing = op.nan if op.nan != op.unknown else op.none
    if missing != op.unknown:
        keys, codes = np.append(keys, np.nan), np.append(codes, missing)
    if op.none != op.nan:
        x.graph.note("None among numbers cannot be told from NaN in ONNX, and stands for NaN.")
    return _checked(_looked_up(x.to("float64"), keys, codes, _unknown(op)), op)


def _unknown(op: Encode) -> int:
    return _OUTSIDE if op.strict else op.unknown


def _of_text(x: Tensor, op: Encode, categories: Text) -> Tensor:
    table = dict(zip(categories.values, op.codes.values.tolist(), strict=True))
    if x.dtype != "object":  # a number equals no word
        x.graph.note(MISSING_TEXT)
        missing = x.graph.scalar(op.nan if op.nan != op.unknown else _unknown(op), "int64")
        return x.isnan().where(missing, x.graph.scalar(_unknown(op), "int64"))
    for word, code in ((NAN_TEXT, op.nan), (NONE_TEXT, op.none)):
        if word not in table and code != op.unknown:
            table[word] = code
            x.graph.note(MISSING_TEXT)
        elif table.get(word, code) != code:
            x.graph.note(f"The word {word!r} is a category here and does not mean a missing cell.")
    return _looked_up(x, list(table), np.array(list(table.values()), np.int64), _unknown(op))


def _looked_up(x: Tensor, keys: np.ndarray | list[str], codes: np.ndarray, default: int) -> Tensor:  # type: ignore[type-arg]
    if not len(keys):
        return x.graph.scalar(default, "int64").whole()
    name = x.graph.op(
        "LabelEncoder",
        x.name,
        domain=ML,
        keys_tensor=tensor_proto(keys, "keys"),
        values_tensor=tensor_proto(codes, "codes"),
        default_tensor=tensor_proto(np.array([default], np.int64), "default"),
    )
    return replace(x, name=name, dtype="int64")


def _checked(codes: Tensor, op: Encode) -> Tensor:
    """The codes; where the encoder refuses unknown values, an index error for `_OUTSIDE`."""
    if not op.strict:
        return codes
    named = f" in column {op.owner_column!r}" if op.owner_column else ""
    codes.graph.note(f"An unknown category{named} is an index error of the runtime.")
    least = int(min(op.codes.values.min(initial=0), op.nan, op.none, 0))
    most = int(max(op.codes.values.max(initial=0), op.nan, op.none, 0))
    table = codes.graph.array(np.arange(least, most + 1))
    name = codes.graph.op("Gather", table, (codes - least).name if least else codes.name, axis=0)
    return replace(codes, name=name)


def category_codes(x: Tensor, column: Column) -> Tensor:
    """The codes that the source library gives to a column's categories; NaN for all others."""
    categories = column.categories or ()
    if x.dtype == "object":
        values = Text(tuple(str(c) for c in categories))
        known = Encode(values, Array(np.arange(len(values)), "int32"), strict=column.strict)
        missing = len(categories)
        codes = encode(x, replace(known, nan=missing, none=missing, owner_column=column.name))
    else:
        numbers = Array([float(c) for c in categories], "float64")
        known = Encode(numbers, Array(np.arange(len(numbers)), "int32"), strict=column.strict)
        codes = encode(x, replace(known, nan=len(categories), owner_column=column.name))
        x.graph.note(f"Column {column.name!r} takes the categories themselves, not their codes.")
    inside = (codes >= 0) & (codes < len(categories))
    return inside.where(codes.to("float64"), np.nan)


def one_hot(codes: Tensor, width: int, dtype: str) -> Tensor:
    """`OneHot`: 1 in the column of the code, zeros for a code that has none."""
    return codes.to("int64").same(codes.graph.constant(np.arange(width))).to(dtype)


def gather(codes: Tensor, table: Array | Text) -> Tensor:
    """`Gather`: rows of a table."""
    graph, at = codes.graph, codes.to("int64").name
    if isinstance(table, Text):
        name = graph.op("Gather", graph.array(table.values), at, axis=0)
        return replace(codes, name=name, dtype="object")
    values = table.values
    if values.ndim == 2:
        at = graph.op("Squeeze", at, graph.array(np.array([1])))
    name = graph.op("Gather", graph.array(values), at, axis=0)
    width = values.shape[1] if values.ndim == 2 else 1
    return Tensor(graph, name, str(values.dtype), width, codes.row)


def is_missing(x: Tensor, op: IsMissing) -> Tensor:
    """`IsMissing`: NaN, None, or a given value."""
    text = x.dtype == "object"
    if op.rule == "value":
        return _equals(x, op.value)
    if not text:
        return x.isnan()
    x.graph.note(MISSING_TEXT)
    return x.same(NAN_TEXT) | x.same(NONE_TEXT) if op.rule == "none" else x.same(NAN_TEXT)


def _equals(x: Tensor, value: float | str | None) -> Tensor:
    graph: Graph = x.graph
    if isinstance(value, str) != (x.dtype == "object") or value is None:
        return ~x.same(x) & x.same(x)
    if x.dtype == "object" or x.dtype.startswith("float"):
        return x.same(value)
    return x.to("float64").same(graph.scalar(value, "float64"))
