"""The model file: safetensors with the program's text in the header. No code, no pickle.

Layout (format version 1), see docs/model-file.md: the tensors are the program's arrays by digest; the
metadata holds ``format``, ``program`` (the text), ``info`` (JSON) and ``checksum`` (SHA-256 over the
other metadata and all array bytes).
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from millrace.errors import ModelFileError, ProgramError
from millrace.ir.arrays import Array
from millrace.ir.check import check
from millrace.ir.program import Program
from millrace.ir.text import parse, unparse

if TYPE_CHECKING:
    from millrace.data.derive import Derived
    from millrace.runtime.model import CompiledModel, ModelInfo

FORMAT = 2
_KEYS = ("format", "program", "info", "checksum")
_OTHER = "program/"
"""What the keys of programs for other forms of input begin with."""


def _checksum(metadata: Mapping[str, str], arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    """SHA-256 of the format, the programs and the facts in the metadata, and of the arrays."""
    others = [metadata[k] for k in sorted(metadata) if k.startswith(_OTHER)]
    texts = [metadata["format"], metadata["program"], metadata["info"], *others, ""]
    digest = hashlib.sha256("\n".join(texts).encode())
    for name in sorted(arrays):
        digest.update(f"{name}{arrays[name].dtype.str}{arrays[name].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.hexdigest()


def save(model: CompiledModel, path: Path, others: Mapping[str, CompiledModel]) -> Path:
    """Write aside, sync, rename: a reader sees the old file or the new one, never a part.

    `others` are the models of the same source for other forms of input, which share arrays.
    """
    from safetensors.numpy import save_file

    if model.program.foreign:
        raise ModelFileError.holds_foreign_steps([c.path for c in model.program.foreign])
    text, constants = unparse(model.program)
    info = json.dumps(_plain(asdict(model.info)))
    metadata = {"format": str(FORMAT), "program": text, "info": info}
    for form, other in others.items():
        metadata[_OTHER + form], more = unparse(other.program)
        constants |= more
    arrays = {name: np.ascontiguousarray(a.values) for name, a in constants.items()}
    metadata["checksum"] = _checksum(metadata, arrays)
    try:
        handle, aside = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise ModelFileError.cannot_write(path, str(error)) from error
    try:
        save_file(arrays, aside, metadata=metadata)
        with open(aside, "rb+") as written:
            os.fsync(written.fileno())
        os.chmod(aside, 0o666 & ~_umask())
        os.replace(aside, path)
    except Exception as error:
        raise ModelFileError.cannot_write(path, str(error)) from error
    finally:
        Path(aside).unlink(missing_ok=True)
    return path


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _plain(value: Any) -> Any:
    """JSON-ready: arrays of labels as ``{"dtype", "values"}``."""
    if isinstance(value, np.ndarray):
        return {"dtype": str(value.dtype), "values": value.tolist()}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def read(path: Path) -> tuple[Program, ModelInfo, dict[str, Program]]:
    """The program and the facts of a model file, and its programs for other forms of input, checked.

    Raises
    ------
    ModelFileError
        Not a model file, damaged (truncated or altered), or of a newer format.
    """
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        raise ModelFileError.not_a_model(path, "there is no such file")
    try:
        with safe_open(path, framework="np") as opened:
            metadata = opened.metadata() or {}
            arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelFileError.damaged(
            path, f"its header or length does not fit ({error})", "a whole safetensors file"
        ) from error
    absent = [k for k in _KEYS if k not in metadata]
    if absent:
        raise ModelFileError.not_a_model(path, f"its metadata lacks {absent}")
    _check_format(path, metadata["format"])
    seen = _checksum(metadata, arrays)
    if seen != metadata["checksum"]:
        raise ModelFileError.damaged(
            path, f"its checksum is {seen[:12]}", metadata["checksum"][:12]
        )
    constants = {n: Array(a) for n, a in arrays.items()}
    try:
        program, *rest = (
            check(parse(metadata[k], constants))
            for k in ("program", *(k for k in sorted(metadata) if k.startswith(_OTHER)))
        )
    except ProgramError as error:
        raise ModelFileError.damaged(
            path, f"its program does not read ({error})", "a program"
        ) from error
    forms = sorted(k.removeprefix(_OTHER) for k in metadata if k.startswith(_OTHER))
    return program, _info(json.loads(metadata["info"])), dict(zip(forms, rest, strict=True))


def _check_format(path: Path, text: str) -> None:
    if not (text.isascii() and text.isdigit() and int(text) >= 1):
        raise ModelFileError.damaged(path, f"its format version is {text!r}", "a whole number")
    if int(text) > FORMAT:
        raise ModelFileError.newer_format(path, int(text), FORMAT)


def _info(plain: dict[str, Any]) -> ModelInfo:
    from millrace.runtime.model import ModelInfo

    def labels(value: Any) -> Any:
        if isinstance(value, list):
            return [labels(v) for v in value]
        return np.array(value["values"], dtype=value["dtype"]) if value else None

    names = {
        k: tuple(plain[k]) if plain[k] is not None else None
        for k in ("feature_names", "feature_names_out")
    }
    return ModelInfo(
        source=plain["source"],
        classes=labels(plain["classes"]),
        **names,
        ignore_extra=plain["ignore_extra"],
        steps=tuple(tuple(s) for s in plain["steps"]),  # pyright: ignore[reportArgumentType]
        notes=tuple(tuple(n) for n in plain["notes"]),  # pyright: ignore[reportArgumentType]
        provenance=plain["provenance"],
        verification=plain["verification"],
        estimator_type=plain.get("estimator_type"),
        output=plain.get("output", "default"),
        derived=_derived(plain.get("derived", {})),
    )


def _derived(plain: Mapping[str, dict[str, Any]]) -> dict[str, Derived]:
    if not plain:
        return {}
    from millrace.data.derive import Derived

    return {name: Derived(**facts) for name, facts in plain.items()}
