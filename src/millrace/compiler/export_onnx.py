"""A compiled model -> a standard ONNX model, checked."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from millrace.compiler.methods import chosen
from millrace.errors import ExportError, MissingDependencyError, ModelFileError
from millrace.ir.program import Program
from millrace.rewrites.encode_columns import encode_columns
from millrace.rewrites.fold_constants import fold_constants
from millrace.rewrites.narrow import narrow
from millrace.rewrites.prune import prune
from millrace.rewrites.resolve_casts import resolve_casts

if TYPE_CHECKING:
    from millrace.runtime.model import CompiledModel

REWRITES = (prune, resolve_casts, fold_constants, narrow, encode_columns, narrow)
"""Those of the compiled model but `absorb`: a scaler stays a visible step of the graph."""

_LARGEST = 2**31 - 2**20
"""Protocol buffers hold less than 2 GiB."""


def to_onnx(
    model: CompiledModel,
    *,
    dtype: str = "float32",
    methods: str | Sequence[str] | None = None,
    text: Sequence[str] = (),
    path: str | Path | None = None,
) -> Any:
    """The model in ONNX's standard form: operators of ONNX 21 and ONNX-ML 5, nothing of its own.

    Parameters
    ----------
    model : CompiledModel
    dtype : {"float32", "float64"}
        Of the numbers that go in. Answers have the dtype that the source gives to such numbers.
    methods : str or sequence of str, optional
        Which methods become outputs: ``"predict"``, ``"predict_proba"``, also with an option,
        ``"predict(raw_score)"``. All methods by default, without options.
    text : sequence of str, optional
        Names of columns of text that nothing in the model reads as text, because they are only
        handed on; the others are known.
    path : path, optional
        Where to write the model as well.

    Returns
    -------
    onnx.ModelProto
        Where all columns are numbers, one input ``X`` (n, columns); with text among them one input
        (n, 1) for each column that is read, by its name; for a series ``X`` (n,). One output per
        method, by its name; a list has ``predict_proba/0``, ``predict_proba/1`` ... What ONNX cannot
        say is listed in the model's ``doc_string`` and, as JSON, in the property ``millrace.notes``.

    Raises
    ------
    ExportError
        A step that ONNX cannot express with the same answers, by name; an unknown method or dtype.
    MissingDependencyError
        ``onnx`` is not installed.
    ModelFileError
        The file cannot be written.

    Notes
    -----
    Trees take the same branch for every value, and text and categories give the same codes. Float results
    are as exact as the runtime's own functions: ONNX Runtime's matrix products, exponentials and sums are
    within a few units in the last place of NumPy's. ONNX cannot raise: where the source refuses NaN,
    infinities or other rows, the exported model answers, and a note says so.
    """
    if find_spec("onnx") is None:
        raise MissingDependencyError.of("onnx", "to_onnx()", "onnx")
    if dtype not in ("float32", "float64"):
        raise ExportError.bad_option("dtype", dtype, "'float32' or 'float64'")
    import onnx

    from millrace.backends.onnx import Facts, bind, export

    program = bind(chosen(model.program, methods), dtype, _known(model.program, text))
    for step in REWRITES:
        program = step(program)
    versions: dict[str, str] = model.info.provenance.get("versions", {})
    properties = {"millrace.dtype": dtype, "millrace.versions": json.dumps(versions)}
    facts = Facts(model.info.source, versions.get("millrace", ""), properties)
    exported = export(program, facts)
    size = exported.ByteSize()
    if size > _LARGEST:
        raise ExportError.bad_option("methods", methods, f"less than 2 GiB, not {size:,} bytes")
    onnx.checker.check_model(exported, full_check=True)
    if path is not None:
        _write(exported.SerializeToString(deterministic=True), Path(path))
    return exported


def _known(program: Program, text: Sequence[str]) -> Sequence[str]:
    """The names of columns, if the model has them all."""
    names = [c.name for c in program.columns]
    if isinstance(text, str) or not set(text) <= set(names):
        raise ExportError.bad_option("text", text, f"names among {names}")
    return text


def _write(content: bytes, path: Path) -> None:
    """Write aside and rename: a reader sees the old file or the new one, never a part."""
    try:
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
            aside = Path(folder) / path.name
            aside.write_bytes(content)
            os.replace(aside, path)
    except OSError as error:
        raise ModelFileError.cannot_write(path, str(error)) from error
