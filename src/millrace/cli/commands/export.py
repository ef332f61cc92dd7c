"""``millrace export``: a model as C source, a shared library or an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from millrace.cli import options
from millrace.cli.show import Show


def command(
    model: options.Model,
    c: Annotated[
        Path | None,
        typer.Option("--c", metavar="FOLDER", help="Write C99: NAME.c and NAME.h."),
    ] = None,
    so: Annotated[
        Path | None,
        typer.Option("--so", metavar="FILE", help="Compile the C into a shared library."),
    ] = None,
    onnx: Annotated[
        Path | None, typer.Option("--onnx", metavar="FILE", help="Write an ONNX file.")
    ] = None,
    name: Annotated[
        str, typer.Option(metavar="NAME", help="What every name in C begins with.")
    ] = "model",
    dtype: Annotated[
        str | None,
        typer.Option(
            metavar="DTYPE",
            help="Of the columns of numbers: float32 or float64.",
            show_default="float64 in C, float32 in ONNX",
        ),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METHOD",
            help="A method to export. May be repeated.",
            show_default="all, without options",
        ),
    ] = None,
    trust_pickle: options.TrustPickle = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Write a model for programs without Python: C source, a shared library, ONNX."""
    if c is None and so is None and onnx is None:
        raise typer.BadParameter("say what to write: --c FOLDER, --so FILE or --onnx FILE")
    from millrace.cli.models import load_compiled

    compiled = load_compiled(model, trust_pickle)
    chosen: dict[str, Any] = {"methods": method or None, **({"dtype": dtype} if dtype else {})}
    written: list[Path] = []
    if c is not None or so is not None:
        from millrace.compiler.export_c import to_c

        source = to_c(compiled, name=name, **chosen)
        written += source.write(c) if c is not None else ()
        written += [source.build_shared(so)] if so is not None else ()
    if onnx is not None:
        from millrace.compiler.export_onnx import to_onnx

        to_onnx(compiled, path=onnx, **chosen)
        written.append(onnx)
    show = Show(quiet, json)
    for path in written:
        show.note(f"{path} ({path.stat().st_size:,} bytes)")
    show.data({"written": written, "bytes": [p.stat().st_size for p in written]})
