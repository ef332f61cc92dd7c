"""``millrace compile``: a fitted object to a verified model file."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from millrace.cli import options
from millrace.cli.show import Show

if TYPE_CHECKING:
    from millrace.runtime.model import CompiledModel


def command(
    fitted: options.Fitted,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE.mill", show_default="FITTED as .mill"),
    ] = None,
    sample: options.Sample = None,
    rows: options.SampleRows = 10_000,
    verify: Annotated[
        bool,
        typer.Option(
            " /--no-verify",
            help="Do not compare with the original on rows made to break it and on the sample.",
        ),
    ] = True,
    drop: options.Drop = None,
    no_header: options.NoHeader = False,
    delimiter: options.Delimiter = None,
    trust_pickle: options.TrustPickle = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Compile a fitted object, prove that it answers the same, and save it."""
    import millrace as mr
    from millrace.cli.models import load_fitted
    from millrace.compiler.build import VERIFY_SECONDS

    show = Show(quiet, json)
    source = load_fitted(fitted, trust_pickle)
    started = time.perf_counter()
    model = mr.compile(source, verify=verify and sample is None)
    if sample is not None:
        reading = options.RowOptions(tuple(drop or ()), (), not no_header, delimiter)
        table = _sample(model, sample, reading, rows)
        if verify:
            report = model.verify(table, source=source, seconds=VERIFY_SECONDS)
            model.info = replace(model.info, verification=report.as_dict())
    seconds = time.perf_counter() - started
    path = model.save(output or fitted.with_suffix(".mill"))
    show.text(str(model.describe()))
    show.note(f"{path} ({path.stat().st_size:,} bytes) in {seconds:.2f} s")
    show.data(
        {
            "output": path,
            "bytes": path.stat().st_size,
            "seconds": seconds,
            "source": model.info.source,
            "methods": model.methods,
            "columns_read": model.used_columns,
            "steps": model.info.steps,
            "verification": model.info.verification,
        }
    )


def _sample(model: CompiledModel, path: Path, reading: options.RowOptions, rows: int) -> Any:
    from millrace.cli.tables import Rows

    return Rows.of(path, model.program, reading).sample(rows)
