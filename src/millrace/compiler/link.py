"""A program or a model file -> a model that runs. Needs no source library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from millrace.ir.program import Program
from millrace.rewrites import rewrite
from millrace.runtime.model import CompiledModel, Engine, ModelInfo, Runnable

if TYPE_CHECKING:
    from millrace.compiler.equivalence import Report


def prepare(program: Program, foreign: Mapping[str, Any], shared: dict[Any, Any]) -> Runnable:
    """Hand a rewritten program to the CPU backend."""
    from millrace.backends.numba import Executable

    return Executable(program, foreign, shared)


def _verify(model: CompiledModel, source: Any, rows: Any, **options: Any) -> Report:
    from millrace.compiler.equivalence import verify

    return verify(model, source, rows, **options)


def _view(model: CompiledModel, form: str) -> CompiledModel:
    from millrace.compiler.views import view

    return view(model, form)


def _kept(model: CompiledModel) -> dict[str, CompiledModel]:
    from millrace.compiler.views import kept

    return kept(model)


def _export(format: str, model: CompiledModel, options: dict[str, Any]) -> Any:
    if format == "onnx":
        from millrace.compiler.export_onnx import to_onnx

        return to_onnx(model, **options)
    from millrace.compiler.export_c import to_c

    return to_c(model, **options)


ENGINE = Engine(rewrite, prepare, _verify, _view, _kept, _export)


def link(
    program: Program,
    info: ModelInfo,
    foreign: Mapping[str, Any] | None = None,
    source: Any = None,
    views: Mapping[str, CompiledModel] | None = None,
) -> CompiledModel:
    """A model that runs the program on the CPU backend."""
    return CompiledModel(program, info, ENGINE, foreign, source, views)


def load(path: str | Path) -> CompiledModel:
    """Load a model file. Runs no code from the file and needs no source library.

    Raises
    ------
    ModelFileError
        Not a model file, damaged, or of a newer format.
    """
    from millrace.runtime.file import read

    program, info, others = read(Path(path))
    views = {form: link(other, replace(info, output="default")) for form, other in others.items()}
    return link(program, info, views=views)
