"""``millrace bench``: the original, Millrace and every installed peer, on the user's own rows."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from millrace.cli import options
from millrace.cli.show import Show

if TYPE_CHECKING:
    from millrace.cli.peers import Run
    from millrace.runtime.model import CompiledModel

_SINGLE_ROWS = 64
"""Different rows that take turns in the one-row measurement."""


@dataclass(frozen=True)
class Timing:
    """One line of the table.

    Attributes
    ----------
    name : str
    batch_seconds, row_seconds : float, optional
        Medians, of all rows in one call and of one row; None where it did not run.
    answers : str
        How its answers compare with the original's.
    """

    name: str
    batch_seconds: float | None = None
    row_seconds: float | None = None
    answers: str = ""


def command(
    fitted: options.Fitted,
    sample: options.Sample = None,
    rows: options.SampleRows = 10_000,
    method: Annotated[
        str | None, typer.Option(show_default="predict, or the first", help="Which method.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.0, help="Time for each contestant.")] = 2.0,
    drop: options.Drop = None,
    no_header: options.NoHeader = False,
    delimiter: options.Delimiter = None,
    trust_pickle: options.TrustPickle = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Measure the original, Millrace and every installed peer: a batch, and one row.

    Figures are medians of runs that take turns, on this machine, with each one's own defaults.
    """
    import millrace as mr
    from millrace.cli.answers import checked_method
    from millrace.cli.models import load_fitted
    from millrace.cli.tables import Rows

    if sample is None:
        raise typer.BadParameter("give a file of rows to measure with", param_hint="--sample")
    show = Show(quiet, json)
    source = load_fitted(fitted, trust_pickle)
    model = mr.compile(source, verify=False)
    chosen = checked_method(model, method)
    reading = options.RowOptions(tuple(drop or ()), (), not no_header, delimiter)
    table = Rows.of(sample, model.program, reading, model.info.derived).sample(rows)
    if len(table) == 0:
        raise typer.BadParameter("the file has no rows", param_hint="--sample")
    timings, missing = measure(source, model, chosen, table, seconds)
    show.text(_table(timings, chosen, len(table)))
    for line in missing:
        show.text(line)
    show.data(
        {
            "method": chosen,
            "rows": len(table),
            "timings": [asdict(t) for t in timings],
            "missing": missing,
        }
    )


def measure(
    source: Any, model: CompiledModel, method: str, table: Any, seconds: float
) -> tuple[list[Timing], list[str]]:
    """Timings of all contestants, and lines about peers that do not take the model."""
    runs, missing = _contestants(source, model, method, table)
    singles = _single_rows(table)
    batches: list[Callable[[], Any]] = []
    one_row: list[Callable[[], Any]] = []
    for name, run in runs.items():
        batches.append(_bound(run, run.prepare(table)))
        one_row.append(_each(_row_call(name, run, model, method), _row_inputs(name, run, singles)))
    answers = [run.read(call()) for run, call in zip(runs.values(), batches, strict=True)]
    together = interleaved(batches, seconds)
    alone = [t / len(singles) for t in interleaved(one_row, seconds)]
    return [
        Timing(name, together[i], alone[i], "" if i == 0 else compared(answers[0], answers[i]))
        for i, name in enumerate(runs)
    ], missing


def _contestants(
    source: Any, model: CompiledModel, method: str, table: Any
) -> tuple[dict[str, Run], list[str]]:
    from millrace.catalog.registry import ask
    from millrace.cli.peers import Run, available

    original = type(source).__module__.split(".")[0]
    runs = {
        f"original ({original})": Run(lambda rows: ask(source, method, rows), lambda rows: rows),
        "Millrace": Run(lambda rows: model.call(method, rows), lambda rows: rows),
    }
    missing: list[str] = []
    for name, run in available(source, method, table):
        if isinstance(run, str):
            missing.append(f"{name} {run}")
            continue
        try:
            run.read(run.call(run.prepare(table)))
        except Exception as error:
            missing.append(f"{name} fails: {str(error).strip().splitlines()[0]}")
        else:
            runs[name] = run
    return runs, missing


def _single_rows(table: Any) -> list[Any]:
    """Tables of one row each."""
    count = min(len(table), _SINGLE_ROWS)
    if hasattr(table, "iloc"):
        return [table.iloc[[i]] for i in range(count)]
    return [table[i : i + 1] for i in range(count)]


def _row_call(name: str, run: Run, model: CompiledModel, method: str) -> Callable[[Any], Any]:
    return model.row_function(method) if name == "Millrace" else run.call


def _row_inputs(name: str, run: Run, singles: Sequence[Any]) -> list[Any]:
    """Single rows as each takes them: Millrace a dict or a vector."""
    if name != "Millrace":
        return [run.prepare(row) for row in singles]
    return [r.iloc[0].to_dict() if hasattr(r, "iloc") else r[0].copy() for r in singles]


def _bound(run: Run, given: Any) -> Callable[[], Any]:
    return lambda: run.call(given)


def _each(call: Callable[[Any], Any], inputs: Sequence[Any]) -> Callable[[], None]:
    def run() -> None:
        for row in inputs:
            call(row)

    return run


def interleaved(calls: Sequence[Callable[[], Any]], seconds: float) -> list[float]:
    """Median seconds of each call; they take turns, so that all meet the same machine."""
    for call in calls:
        call()
    times: list[list[float]] = [[] for _ in calls]
    stop = perf_counter() + seconds * len(calls)
    while len(times[-1]) < 3 or perf_counter() < stop:
        for call, record in zip(calls, times, strict=True):
            started = perf_counter()
            call()
            record.append(perf_counter() - started)
    return [statistics.median(t) for t in times]


def compared(expected: Any, got: Any) -> str:
    """How a contestant's answers compare with the original's, in words."""
    import numpy as np

    if isinstance(expected, list):
        expected, got = np.stack(expected), np.stack(list(got))
    expected, got = (
        a.toarray() if hasattr(a, "toarray") else np.asarray(a) for a in (expected, got)
    )
    if expected.shape != got.shape:
        return f"another shape: {got.shape}"
    if expected.dtype.kind != "f":
        wrong = expected != got.astype(expected.dtype)
        return f"{wrong.mean():.2%} differ" if wrong.any() else "the same"
    if expected.dtype == got.dtype and expected.tobytes() == got.tobytes():
        return "the same bits"
    return f"within {np.nanmax(np.abs(expected - got), initial=0.0):.1g}"


def _table(timings: Sequence[Timing], method: str, n_rows: int) -> Any:
    from rich.table import Table

    table = Table(title=f"{method}, medians of runs that take turns")
    table.add_column("", no_wrap=True)
    for name in (f"{n_rows:,} rows", "ratio", "one row", "ratio"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("answers", no_wrap=True)
    first = timings[0]
    for t in timings:
        table.add_row(
            t.name,
            _spoken(t.batch_seconds),
            _ratio(first.batch_seconds, t.batch_seconds),
            _spoken(t.row_seconds),
            _ratio(first.row_seconds, t.row_seconds),
            t.answers,
        )
    return table


def _spoken(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds * 1e3:,.2f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:,.1f} µs"


def _ratio(first: float | None, other: float | None) -> str:
    if not first or not other:
        return ""
    return f"{first / other:,.0f}x" if first > 20 * other else f"{first / other:.1f}x"
