"""``millrace predict``: a model and a file of rows to a file of answers."""

# pyarrow ships no types.
# pyright: reportUnknownParameterType=false

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from millrace.cli import options
from millrace.cli.show import Show

if TYPE_CHECKING:
    from millrace.cli.tables import Rows
    from millrace.runtime.model import CompiledModel

STDOUT = Path("-")


def command(
    model: options.Model,
    rows: Annotated[
        Path,
        typer.Argument(metavar="ROWS", show_default=False, help="CSV, Parquet or Arrow."),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="CSV, Parquet or Arrow, by its name; - is CSV on standard output.",
        ),
    ] = STDOUT,
    method: Annotated[
        str | None,
        typer.Option(
            help="predict_proba, decision_function, transform, 'predict(raw_score)' ... By default "
            "predict, or the model's first.",
            show_default=False,
        ),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            "--keep",
            metavar="COLUMN",
            help="Copy a column of ROWS to the output, before the answers. May be repeated.",
        ),
    ] = None,
    batch_rows: Annotated[
        int, typer.Option("--batch-rows", metavar="N", min=1, help="Rows in memory at a time.")
    ] = 65536,
    drop: options.Drop = None,
    no_header: options.NoHeader = False,
    delimiter: options.Delimiter = None,
    trust_pickle: options.TrustPickle = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Predict a file of rows, in constant memory.

    Only the columns that the model reads, and those to keep, are read from the file. The output
    appears when it is whole; until then an older file stays as it was.
    """
    from millrace.cli.answers import checked_method
    from millrace.cli.models import load_compiled
    from millrace.cli.tables import Rows

    if json and output == STDOUT:
        raise typer.BadParameter("standard output cannot take both JSON and rows", param_hint="-o")
    show = Show(quiet, json)
    compiled = load_compiled(model, trust_pickle)
    chosen = checked_method(compiled, method)
    kept = tuple(dict.fromkeys(keep or ()))
    reading = options.RowOptions(tuple(drop or ()), kept, not no_header, delimiter)
    source = Rows.of(rows, compiled.program, reading, compiled.info.derived)
    with show.progress("predicting") as bar:
        answers = _answers(compiled, chosen, source, kept, batch_rows)
        schema = next(answers).schema
        with _writer(output, schema) as writer:
            for batch in answers:
                writer.write(batch)
                bar.advance(batch.num_rows, source.table.fraction_read())
    where = "standard output" if output == STDOUT else str(output)
    show.note(
        f"{bar.n_rows:,} rows in {bar.seconds:.2f} s ({bar.rows_per_second:,.0f} rows/s) to {where}"
    )
    show.data(
        {
            "output": output,
            "method": chosen,
            "columns": schema.names,
            "rows": bar.n_rows,
            "seconds": bar.seconds,
            "rows_per_second": bar.rows_per_second,
        }
    )


def _answers(
    model: CompiledModel, method: str, source: Rows, keep: tuple[str, ...], batch_rows: int
) -> Iterator[Any]:
    """Output batches; the first has no rows and tells the types."""
    import pyarrow as pa

    from millrace.cli.answers import as_columns

    def answered(batch: pa.RecordBatch) -> pa.RecordBatch:
        found = as_columns(model, method, model.call(method, source.for_model(batch)))
        if clash := [name for name in keep if name in found]:
            raise typer.BadParameter(
                f"the answers have a column {clash[0]!r} too", param_hint="--keep"
            )
        return pa.record_batch({**{name: batch.column(name) for name in keep}, **found})

    yield answered(pa.RecordBatch.from_pylist([], schema=source.table.schema))
    for batch in source.batches(keep, batch_rows):
        yield answered(batch)


def _writer(output: Path, schema: Any) -> AbstractContextManager[Any]:
    from millrace.data import Format, StreamWriter, TableWriter

    if output == STDOUT:
        return StreamWriter(sys.stdout.buffer, schema, Format("csv"))
    return TableWriter(output, schema)
