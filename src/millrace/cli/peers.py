"""Other ways to run a fitted model, for ``millrace bench``: whatever is installed.

A peer is a function that takes the fitted object, a method and rows, and returns what answers
them: a `Run`. It raises `ImportError` where it is not installed, and anything where it does not
take the model. Converting the model and the rows is not timed.
"""

# Peers are installed or not.
# pyright: reportMissingImports=false

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Run:
    """A peer that is ready.

    Attributes
    ----------
    call : callable
        Rows -> what the peer answers, as it comes.
    prepare : callable
        A data frame or array of rows -> the rows as the peer takes them.
    read : callable
        What it answers -> an array like that of the source object.
    """

    call: Callable[[Any], Any]
    prepare: Callable[[Any], Any]
    read: Callable[[Any], Any] = np.asarray


Peer = Callable[[Any, str, Any], Run]
PEERS: dict[str, Peer] = {}


def peer(name: str) -> Callable[[Peer], Peer]:
    """Register a peer by the name that the table shows."""

    def register(function: Peer) -> Peer:
        PEERS[name] = function
        return function

    return register


def available(fitted: Any, method: str, rows: Any) -> Iterator[tuple[str, Run | str]]:
    """Each installed peer, or why it does not take the model."""
    for name, make in PEERS.items():
        try:
            yield name, _silently(make, fitted, method, rows)
        except ImportError:
            continue
        except Exception as error:
            lines = str(error).strip().splitlines()
            yield name, f"does not take it: {lines[0] if lines else type(error).__name__}"


def _silently(make: Peer, fitted: Any, method: str, rows: Any) -> Run:
    """Converters talk; here only their result counts."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        return make(fitted, method, rows)


# --- ONNX Runtime ---------------------------------------------------------------------------------


@peer("ONNX Runtime")
def onnx_runtime(fitted: Any, method: str, rows: Any) -> Run:
    """The model as ONNX, by skl2onnx, or onnxmltools for the boosting libraries."""
    import onnxruntime

    output = {"predict": 0, "predict_proba": 1, "transform": 0}[method]
    document = _to_onnx(fitted, rows)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        document.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    wanted = [session.get_outputs()[output].name]
    return Run(lambda given: session.run(wanted, given), _onnx_rows, _onnx_answer)


def _to_onnx(fitted: Any, rows: Any) -> Any:
    library = type(fitted).__module__.split(".")[0]
    if library in ("lightgbm", "xgboost"):
        import onnxmltools
        from onnxmltools.convert.common.data_types import FloatTensorType

        types = [("X", FloatTensorType([None, rows.shape[1]]))]
        if library == "lightgbm":
            return onnxmltools.convert_lightgbm(fitted, initial_types=types, zipmap=False)
        return onnxmltools.convert_xgboost(fitted, initial_types=types)
    import skl2onnx

    plain = {id(fitted): {"zipmap": False}} if hasattr(fitted, "predict_proba") else None
    return skl2onnx.convert_sklearn(fitted, initial_types=_onnx_types(rows), options=plain)


def _onnx_types(rows: Any) -> list[tuple[str, Any]]:
    """One input a column of a data frame, or one for a whole array."""
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    if not hasattr(rows, "columns"):
        return [("X", FloatTensorType([None, rows.shape[1]]))]
    return [
        (str(name), (FloatTensorType if _is_number(rows[name]) else StringTensorType)([None, 1]))
        for name in rows.columns
    ]


def _is_number(column: Any) -> bool:
    return getattr(column.dtype, "kind", "O") in "biuf"


def _onnx_rows(rows: Any) -> dict[str, Any]:
    if not hasattr(rows, "columns"):
        return {"X": np.ascontiguousarray(rows, np.float32)}
    return {
        str(name): rows[name].to_numpy(np.float32)[:, None]
        if _is_number(rows[name])
        else rows[name].fillna("").to_numpy(str).astype(object)[:, None]
        for name in rows.columns
    }


def _onnx_answer(raw: Any) -> Any:
    answer = np.asarray(raw[0])
    return answer[:, 0] if answer.ndim == 2 and answer.shape[1] == 1 else answer


# --- Hummingbird ----------------------------------------------------------------------------------


@peer("Hummingbird")
def hummingbird(fitted: Any, method: str, rows: Any) -> Run:
    """The model as tensor operations; arrays of numbers only."""
    from hummingbird.ml import convert

    if hasattr(rows, "columns"):
        raise TypeError("it takes arrays of numbers, not data frames")
    container = convert(fitted, "torch", np.asarray(rows[:10], np.float32))
    return Run(getattr(container, method), lambda given: np.ascontiguousarray(given, np.float32))
