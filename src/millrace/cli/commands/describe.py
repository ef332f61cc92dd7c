"""``millrace describe``: what is in a model."""

from __future__ import annotations

from typing import Annotated

import typer

from millrace.cli import options
from millrace.cli.show import Show


def command(
    model: options.Model,
    program: Annotated[
        bool, typer.Option("--program", help="Print the program itself, in its text form.")
    ] = False,
    trust_pickle: options.TrustPickle = False,
    json: options.Json = False,
) -> None:
    """Tell what became what, what falls back and why, the columns that are read, and the size."""
    from dataclasses import asdict

    from millrace.cli.models import load_compiled

    compiled = load_compiled(model, trust_pickle)
    description = compiled.describe()
    show = Show(json=json)
    show.text(str(compiled.program) if program else str(description))
    show.data({**asdict(description), **({"program": str(compiled.program)} if program else {})})
