"""``millrace warm``: compile all kernels ahead, for images and CI."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from millrace.cli import options
from millrace.cli.show import Show


def command(
    fit: Annotated[
        bool,
        typer.Option(
            "--fit",
            help="Also the kernels of fitting, and measure this machine; takes some minutes.",
        ),
    ] = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Compile every kernel into the cache, so that no first prediction has to."""
    import millrace as mr

    show = Show(quiet, json)
    started = time.perf_counter()
    runs = mr.warm()
    if fit:
        from millrace.accel.measure import measure
        from millrace.fitting.warm import warm_fits

        runs += warm_fits()
        measure()
    seconds = time.perf_counter() - started
    show.note(f"kernels are compiled ({runs} combinations, {seconds:.1f} s)")
    show.data({"combinations": runs, "seconds": seconds})
