"""Run an exported model in ONNX Runtime, and a program on the reference backend beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime

from millrace.backends import reference
from millrace.backends.onnx import Facts, export
from millrace.ir import Program

onnxruntime.set_default_logger_severity(4)


def session(model: Any) -> onnxruntime.InferenceSession:
    """The model, checked and loaded; with one thread sums over trees keep their order."""
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def run(model: Any, feeds: dict[str, Any]) -> dict[str, Any]:
    """The answers by name."""
    loaded = session(model)
    names = [o.name for o in loaded.get_outputs()]
    return dict(zip(names, loaded.run(names, feeds), strict=True))


def both(program: Program, columns: Sequence[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the reference backend and ONNX Runtime answer to a bound program."""
    model = export(program, Facts("a test"))
    names = [i.name for i in model.graph.input]
    if names == ["X"] and program.form == "table":
        feeds = {"X": np.stack(columns, axis=1)}
    elif program.form == "series":
        feeds = {"X": columns[0]}
    else:
        own = {c.name: i for i, c in enumerate(program.columns)}
        feeds = {n: columns[own[n]][:, None] for n in names}
    return reference.run(program, columns), run(model, feeds)


def notes(model: Any) -> list[str]:
    """What the model says that ONNX cannot."""
    return json.loads({p.key: p.value for p in model.metadata_props}["millrace.notes"])


def feeds(loaded: onnxruntime.InferenceSession, program: Program, rows: Any) -> dict[str, Any]:
    """A table as the inputs of a model: one matrix, a series, or one tensor a column."""
    inputs = loaded.get_inputs()
    if len(inputs) == 1 and inputs[0].name == "X" and not program.named:
        return {"X": _tensor(np.asarray(rows), inputs[0].type)}
    if len(inputs) == 1 and inputs[0].shape[1:] == [len(program.columns)] != [1]:
        return {"X": _tensor(np.asarray(rows), inputs[0].type)}
    own = {c.name: i for i, c in enumerate(program.columns)}
    answer: dict[str, Any] = {}
    for wanted in inputs:
        at = own.get(wanted.name, 0)
        cells = rows.iloc[:, at] if hasattr(rows, "iloc") else rows[:, at]
        answer[wanted.name] = _tensor(np.asarray(cells), wanted.type)[:, None]
    return answer


def _tensor(cells: Any, kind: str) -> Any:
    if kind == "tensor(string)":
        return cells.astype(object)
    dtype = {"tensor(float)": np.float32, "tensor(double)": np.float64}[kind]
    with np.errstate(over="ignore"):
        return cells.astype(np.float64).astype(dtype)
