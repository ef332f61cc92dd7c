"""``millrace verify``: does a compiled model answer as the object that it was made from?"""

from __future__ import annotations

from typing import Annotated

import typer

from millrace.cli import options
from millrace.cli.show import Show


def command(
    fitted: options.Fitted,
    model: options.Model,
    sample: options.Sample = None,
    rows: options.SampleRows = 100_000,
    seconds: Annotated[
        float, typer.Option(min=0.0, help="Time for the rows that are made to break it.")
    ] = 5.0,
    drop: options.Drop = None,
    no_header: options.NoHeader = False,
    delimiter: options.Delimiter = None,
    trust_pickle: options.TrustPickle = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Compare a compiled model with its source; exit code 1 where an answer differs.

    The rows are those of the sample, and rows made from the model itself: on every kind of
    boundary, missing, infinite and unseen values.
    """
    from millrace.cli.models import load_compiled, load_fitted
    from millrace.cli.tables import Rows

    show = Show(quiet, json)
    source = load_fitted(fitted, trust_pickle)
    compiled = load_compiled(model, trust_pickle)
    table = None
    if sample is not None:
        reading = options.RowOptions(tuple(drop or ()), (), not no_header, delimiter)
        table = Rows.of(sample, compiled.program, reading, compiled.info.derived).sample(rows)
    report = compiled.verify(table, source=source, seconds=seconds, raise_on_difference=False)
    show.text(str(report))
    show.data(report.as_dict())
    if not report:
        raise typer.Exit(1)
