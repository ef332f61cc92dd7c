"""A compiled model -> C99 source, and a shared library of it -> an object with the same methods."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from millrace.backends.c import generate
from millrace.backends.c.words import KEYWORDS
from millrace.compiler.methods import chosen
from millrace.errors import CompilerError, ExportError, ModelFileError
from millrace.ir.arrays import Text
from millrace.ir.ops import Concat, Constant, Encode, Guard, Require, Select, Take, Where
from millrace.ir.types import CSR, widths
from millrace.rewrites import rewrite

if TYPE_CHECKING:
    from millrace.compiler.shared import SharedModel
    from millrace.ir.program import Program
    from millrace.runtime.model import CompiledModel

FLAGS = ("-std=c99", "-O2", "-ffp-contract=off")
"""What the generated source is compiled with."""


@dataclass(frozen=True)
class CSource:
    """A model in C99: one source file and its header, which need libc and libm alone.

    Attributes
    ----------
    name : str
        What every public name begins with, and the files are called.
    source, header : str
    about : str
        Columns and functions as JSON; `build_shared` puts it into the library for `load_shared`.
    """

    name: str
    source: str
    header: str
    about: str

    def write(self, folder: str | Path) -> tuple[Path, Path]:
        """Write ``name.c`` and ``name.h`` into a folder, which is made where it is missing.

        Returns
        -------
        tuple of Path
            The source and the header.

        Raises
        ------
        ModelFileError
            They cannot be written.
        """
        folder = Path(folder)
        paths = folder / f"{self.name}.c", folder / f"{self.name}.h"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for path, text in zip(paths, (self.source, self.header), strict=True):
                path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise ModelFileError.cannot_write(folder, str(error)) from error
        return paths

    def build_shared(self, path: str | Path, compiler: str | None = None) -> Path:
        """Compile into a shared library for this machine with the system's C compiler.

        Parameters
        ----------
        path : str or Path
            Where the library goes; an older one is replaced when the new one is whole.
        compiler : str, optional
            By default the variable CC, else the first of cc, gcc and clang that is installed.

        Raises
        ------
        CompilerError
            There is no compiler, or it fails.
        ModelFileError
            The library cannot be written.
        """
        path = Path(path)
        with tempfile.TemporaryDirectory() as folder:
            source, _ = self.write(folder)
            bytes_ = ",".join(str(b) for b in (*self.about.encode(), 0))
            about = Path(folder) / "millrace_about.c"
            about.write_text(
                f"extern const unsigned char millrace_about[];\n"
                f"const unsigned char millrace_about[] = {{{bytes_}}};\n"
            )
            built = Path(folder) / "built"
            options = [*FLAGS, "-shared", "-fPIC", "-o", str(built), str(source), str(about), "-lm"]
            run_compiler(options, compiler)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                beside = path.with_name(f".{path.name}.{os.getpid()}")
                shutil.copy(built, beside)
                beside.replace(path)
            except OSError as error:
                raise ModelFileError.cannot_write(path, str(error)) from error
        return path


def run_compiler(options: Sequence[str], compiler: str | None = None) -> None:
    """Run the C compiler.

    Raises
    ------
    CompilerError
        There is none, or it fails.
    """
    tried = [compiler] if compiler else [os.environ.get("CC", ""), "cc", "gcc", "clang"]
    words = next((w for t in tried if t and (w := t.split()) and shutil.which(w[0])), None)
    if words is None:
        raise CompilerError.none_found([t for t in tried if t])
    command = [*words, *options]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise CompilerError.failed(command, done.stderr)


def to_c(
    model: CompiledModel,
    *,
    name: str = "model",
    dtype: str = "float64",
    methods: str | Sequence[str] | None = None,
) -> CSource:
    """The model as C99 that needs libc and libm, allocates nothing and answers a row at a time.

    Answers are those of the compiled model for numbers of this dtype: the same bits, but for the last
    places of ``exp``, ``log`` and other functions of libm, and of matrix products, where the order of
    the sum is BLAS's own.

    Parameters
    ----------
    model : CompiledModel
    name : str
        A C identifier: what every public name begins with.
    dtype : {"float64", "float32"}
        Of the columns of numbers.
    methods : str or sequence of str, optional
        Methods, also with an option, ``"predict(raw_score)"``; by default all, without options.

    Returns
    -------
    CSource

    Raises
    ------
    ExportError
        A step has no counterpart in C; the message names it.
    """
    if not (name.isidentifier() and name.isascii()) or name in KEYWORDS or name.startswith("_"):
        raise ExportError.bad_option("name", name, "a C identifier that is no word of C")
    if dtype not in ("float64", "float32"):
        raise ExportError.bad_option("dtype", dtype, "'float64' or 'float32'")
    program = _rewritten(model, dtype, methods)
    title = f"{model.info.source}: {', '.join(o.name for o in program.outputs)}"
    made = generate(program, name, _comments(model, program), title)
    about = {
        **made.about,
        "source": model.info.source,
        "ignore_extra": model.info.ignore_extra,
    }
    return CSource(name, made.source, made.header, json.dumps(about))


def _rewritten(model: CompiledModel, dtype: str, methods: str | Sequence[str] | None) -> Program:
    """The program of the wanted methods, bound and rewritten."""
    program = chosen(model.program, methods)
    number = f"{CSR}{dtype}" if program.form.startswith("csr") else dtype
    texts = _text_columns(program)
    return rewrite(
        program.bound(
            tuple("object" if c in texts else number for c in range(len(program.columns)))
        )
    )


def _text_columns(program: Program) -> set[int]:
    """Columns of text: those that say so, and those of any kind whose cells a text may replace."""
    found: set[int | None] = {
        c for c, column in enumerate(program.columns) if column.kind in ("text", "object")
    }
    width = widths(program)
    for step in program.steps:
        if isinstance(step.op, Encode) and step.op.hashed:  # CatBoost knows a number by its text
            found.add(_behind(program, step.inputs[0], 0, width))
        ops = [program.steps[i].op for i in step.inputs]
        if isinstance(step.op, Where) and any(
            isinstance(op, Constant) and isinstance(op.row, Text) for op in ops[1:]
        ):
            for i in step.inputs[1:]:
                found.update(_behind(program, i, c, width) for c in range(width[i]))
    return {c for c in found if c is not None and program.columns[c].kind != "number"}


def _behind(program: Program, at: int, c: int, width: Sequence[int]) -> int | None:
    """The table column whose cells stand in a column of a step, where nothing computes them."""
    step = program.steps[at]
    match step.op:
        case Select(columns):
            return columns[c]
        case Take(columns):
            return _behind(program, step.inputs[0], columns[c], width)
        case Guard() | Require():
            return _behind(program, step.inputs[0], c, width)
        case Where():
            return _behind(program, step.inputs[2], c, width)
        case Concat():
            for i in step.inputs:
                if c < width[i]:
                    return _behind(program, i, c, width)
                c -= width[i]
            return None
        case _:
            return None


def _comments(model: CompiledModel, program: Program) -> dict[str, str]:
    """What the cells of an answer mean, where that is known."""
    comments: dict[str, str] = {}
    for output in program.outputs:
        method, _, item = output.name.partition("/")
        if method in ("predict_proba", "predict_log_proba") and model.info.classes is not None:
            classes = model.info.classes
            if isinstance(classes, list):
                classes = classes[int(item)] if item else []
            comments[output.name] = (
                f"of the classes {', '.join(str(c) for c in np.asarray(classes))}"
            )
        elif method == "transform" and model.info.feature_names_out is not None:
            comments[output.name] = ", ".join(model.info.feature_names_out)
    return comments


def load_shared(path: str | Path) -> SharedModel:
    """Call a library of `CSource.build_shared` from Python, to verify it or to try it.

    Loading a library runs its code: load only what you built or trust.

    Raises
    ------
    FileInputError
        No such library, or none that `build_shared` wrote.
    """
    from millrace.compiler.shared import SharedModel

    return SharedModel.open(Path(path))
