"""What every object that holds other estimators does with their answers.

A meta-estimator computes little itself: it hands its rows to inner estimators and combines what they
say. The functions here hand rows on as the source does, ask an inner estimator for a method, and turn
its labels into class numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from millrace.catalog.registry import (
    Decline,
    Outputs,
    Result,
    SparseValue,
    handed_on,
    in_container_of,
    plain,
)
from millrace.catalog.sklearn._forest import labels
from millrace.ir.arrays import Array, Text
from millrace.ir.build import Value
from millrace.ir.ops import Encode, Gather
from millrace.ir.types import infer


def as_array(x: Value) -> Value:
    """The rows as ``validate_data(dtype=None)`` hands them on: an array without column names."""
    return x if isinstance(x, SparseValue) else Value(x.builder, x.at)


def as_numbers(x: Value, owner: str = "") -> Value:
    """The rows as ``validate_data`` hands them on; with an `owner` they must be finite."""
    numbers = x.cast("numeric")
    return in_kind_of(x, numbers.guard(owner) if owner else numbers)


def in_kind_of(x: Value, value: Value) -> Value:
    """`value` handed on as a sparse matrix where `x` is one."""
    return handed_on(in_container_of(x, value))


def columns_of(x: Value, positions: Sequence[int]) -> Value:
    """``X[:, positions]``, in the container of `x`."""
    return in_kind_of(x, x.take(positions))


def answer(outputs: Outputs, method: str, name: str) -> Value | Result:
    """One method of an inner estimator; `Decline` where it has none that can be called."""
    if method not in outputs:
        raise Decline(f"its estimator {name!r} gave no {method} that can be called")
    return outputs[method]


def block(outputs: Outputs, method: str, name: str) -> Value:
    """One method of an inner estimator as a single block."""
    result = answer(outputs, method, name)
    if isinstance(result, Result) and (result.is_list or result.shape not in ("matrix", "vector")):
        raise Decline(f"{method} of its estimator {name!r} is not one dense array")
    return plain(result)


def offered(source: Any, outputs: Outputs, methods: Sequence[str]) -> Outputs:
    """The outputs of an inner estimator that the object itself passes on."""
    return {m: outputs[m] for m in methods if m in outputs and hasattr(source, m)}


CLASSIFIER_METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function")


def response(estimator: Any, outputs: Outputs, method: str, name: str) -> Value:
    """``_get_response_values(estimator, X, method)``: of two classes the answer for the last one."""
    from sklearn.base import is_classifier

    values = block(outputs, method, name)
    if not is_classifier(estimator) or method == "predict":
        return values
    if isinstance(estimator.classes_, list) or len(estimator.classes_) < 2:
        raise Decline(
            f"its estimator {name!r} does not tell two or more classes of one output apart"
        )
    two = len(estimator.classes_) == 2
    return values.column(1) if two and method == "predict_proba" else values


def class_numbers(predicted: Value, classes: Any) -> Value:
    """The position of predicted labels among `classes`.

    Labels that were looked up in a table are not looked up at all; others are encoded.
    """
    step = predicted.builder.steps[predicted.at]
    if isinstance(step.op, Gather):
        table = step.op.table
        known = table.array()
        if known.ndim == 1:
            position = {c: i for i, c in enumerate(np.asarray(classes).tolist())}
            numbers = [position.get(c, -1) for c in known.tolist()]
            if min(numbers) < 0:
                raise Decline("an inner estimator predicts labels that are not among its classes")
            codes = Value(predicted.builder, step.inputs[0])
            same = numbers == list(range(len(numbers)))
            return codes if same else codes.gather(Array(numbers, np.int64))
    table = labels(np.asarray(classes))
    known = table if isinstance(table, Text) else Array(table.values, np.float64)
    return predicted.encode(Encode(known, Array(np.arange(len(table)), np.int32), strict=True))


def with_labels(numbers: Value, classes: Any) -> Value:
    """Class numbers as labels of the dtype of `classes`."""
    return numbers.gather(labels(np.asarray(classes)))


def filled(x: Value, value: Any) -> Value:
    """A column with the same value in every row of `x`."""
    anything = (x.reduce("sum") if x.is_sparse else x.column(0)).is_missing()
    return anything.where(value, value)


def of_one_dtype(values: Sequence[Value]) -> list[Value]:
    """Blocks in NumPy's common dtype, as ``numpy.asarray`` of a list of arrays makes them."""
    builder = values[0].builder
    program = builder.program()
    for binding in (builder.binding, tuple(_narrow(d) for d in builder.binding)):
        blocks = infer(program, binding)
        if len({blocks[v.at].dtype for v in values}) > 1:
            common = builder.concat([v.column(0) for v in values])
            return [v.cast_like(common) for v in values]
    return list(values)


def _narrow(dtype: str) -> str:
    return dtype.replace("float64", "float32")


def added(values: Sequence[Value]) -> Value:
    """The blocks added one by one, in order."""
    return reduce(lambda a, b: a + b, values)


def columns_added(x: Value) -> Value:
    """``numpy.sum`` over the columns of a transposed array of several rows: one after another."""
    return added([x.column(i) for i in range(x.width)])
