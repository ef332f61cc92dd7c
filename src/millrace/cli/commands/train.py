"""``millrace train``: a table to a compiled model, the fitted pipeline and a report."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from millrace.cli import options
from millrace.cli.show import Show

if TYPE_CHECKING:
    from millrace.training import TrainResult


def command(
    table: Annotated[
        str,
        typer.Argument(
            metavar="TABLE",
            show_default=False,
            help="CSV, Parquet, Arrow or JSON lines; a folder, or a pattern in quotes.",
        ),
    ],
    target: Annotated[
        str,
        typer.Option(
            "--target", "-t", metavar="COLUMN", show_default=False, help="What to predict."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE.mill",
            show_default="TABLE as .mill, in this folder",
            help="The compiled model; the fitted scikit-learn object is written beside it.",
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html",
            show_default=False,
            help="Write a report, one file that needs nothing.",
        ),
    ] = None,
    task: Annotated[
        Literal["auto", "classification", "regression"],
        typer.Option(help="By default what the target looks like."),
    ] = "auto",
    test_fraction: Annotated[
        float, typer.Option(min=0.01, max=0.5, help="Share of the rows to compare on.")
    ] = 0.2,
    memory: Annotated[
        str | None,
        typer.Option(metavar="SIZE", show_default=False, help="What to use at most: 512MB, 2GB."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the split and of the forest.")] = 0,
    drop: Annotated[
        list[str] | None,
        typer.Option("--drop", metavar="COLUMN", help="Leave a column out. May be repeated."),
    ] = None,
    drop_missing_target: Annotated[
        bool, typer.Option("--drop-missing-target", help="Leave out rows without a target.")
    ] = False,
    missing: Annotated[
        list[str] | None,
        typer.Option(
            "--missing",
            metavar="TEXT",
            help="A cell of a CSV file that says nothing, such as '?'. May be repeated.",
        ),
    ] = None,
    skops: Annotated[
        bool, typer.Option("--skops/--joblib", help="How the scikit-learn object is written.")
    ] = False,
    no_header: options.NoHeader = False,
    delimiter: options.Delimiter = None,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> None:
    """Train on a table of any size: look, fit two candidates, keep and compile the better one.

    A linear model and a boosted forest are fitted out of core, with preprocessing by the kind of each
    column, and compared on rows held out. The better one is compiled, verified and saved.
    """
    # Threads of scikit-learn that wait should sleep: the next ones to work are ours. Read at its import.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import millrace as mr
    from millrace.data import CsvOptions
    from millrace.data.options import MISSING
    from millrace.fitting.budget import as_bytes

    model = output or Path(Path(table).name).with_suffix(".mill")
    _check_outputs(table, model, report)
    try:
        as_bytes(memory)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--memory") from error
    show = Show(quiet, json)
    csv = CsvOptions(delimiter, not no_header, (*MISSING, *(missing or ())))
    with _Bar(hidden=quiet or json) as bar:
        result = mr.train(
            mr.scan(table, csv=csv),
            target,
            task=task,
            test_fraction=test_fraction,
            memory=memory,
            random_state=seed,
            drop=drop or (),
            drop_missing_target=drop_missing_target,
            progress=bar,
        )
    files = result.save(model, "skops" if skops else "joblib")
    if report is not None:
        files.append(result.write_report(report, files))
    show.text(_outcome(result))
    reading = ["--no-header"] * no_header + (
        [] if delimiter is None else ["--delimiter", delimiter]
    )
    show.text(_closing(result, [table, *reading], files))
    show.data({"files": files, **result.as_dict()})


def _check_outputs(table: str, model: Path, report: Path | None) -> None:
    """Refuse before hours of work what could not be written after them."""
    for path, option in ((model, "-o"), (report, "--report")):
        if path is None:
            continue
        if not path.parent.is_dir():
            raise typer.BadParameter(f"there is no folder {path.parent}", param_hint=option)
        if path.resolve() == Path(table).resolve():
            raise typer.BadParameter("that is the table", param_hint=option)
    if model.suffix != ".mill":
        raise typer.BadParameter(f"{model.name} does not end in .mill", param_hint="-o")


def _outcome(result: TrainResult) -> Any:
    """Stages, scores, and what was left out, as a rich renderable."""
    from rich.box import SIMPLE
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from millrace.training.words import number, seconds

    stages = Table("Stage", box=SIMPLE)
    stages.add_column("time", justify="right")
    for name, value in result.seconds.items():
        stages.add_row(name, seconds(value))
    held = f"{len(result.y):,} of {result.target_profile.n:,} rows held out"
    title = Text(f"{result.target} ({result.task}), {held}, with 95 % intervals")
    scores = Table("", box=SIMPLE)
    for one in (*result.candidates, result.baseline):
        scores.add_column(one.name, justify="right", no_wrap=True)
    for metric in result.best.metrics:
        found = [c.metric(metric.name) for c in result.candidates]
        cells = [f"{number(m.value)}\n{number(m.low, 3)} to {number(m.high, 3)}" for m in found]
        scores.add_row(metric.name, *cells, number(result.baseline.metric(metric.name).value))
    lines = [Text(result.verdict)]
    notes = [f"{r.column}: left out, {r.note}" for r in result.roles if r.part == "left out"]
    notes += [
        f"{r.column}: {r.note}"
        for r in result.roles
        if r.part != "left out" and r.note and not r.date
    ]
    notes += result.notes
    if notes:
        lines += [Text("\nNotes", style="italic"), *(Text(f"  {note}") for note in notes)]
    return Group(stages, title, scores, *lines)


def _closing(result: TrainResult, rows: Sequence[str], files: Sequence[Path]) -> str:
    """What was written, and what to type next."""
    model = shlex.quote(str(files[0]))
    method = "predict" if result.classes is None else "predict_proba"
    written = [f"  {f}  ({f.stat().st_size:,} bytes)" for f in files]
    return "\n".join(
        [
            "\nWritten",
            *written,
            "\nNext",
            f"  millrace predict {model} {shlex.join(rows)} --method {method} -o answers.parquet",
            f"  millrace describe {model}",
            f"  in Python: model = millrace.load({str(files[0])!r}); model.{method}(rows)",
        ]
    )


class _Bar:
    """The stage, and in a sweep its rows, rows a second and time left; on a terminal."""

    def __init__(self, hidden: bool) -> None:
        self._hidden = hidden
        self._shown: Any = None
        self._task: Any = None
        self._name = "opening"

    def __enter__(self) -> _Bar:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        console = Console(stderr=True)
        self._shown = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TimeElapsedColumn(),
            console=console,
            disable=self._hidden or not console.is_terminal,
            transient=True,
        )
        self._shown.start()
        self._task = self._shown.add_task(self._name, total=None, rate="")
        return self

    def __exit__(self, *_: object) -> None:
        self._shown.stop()

    def stage(self, name: str) -> None:
        """A stage begins."""
        self._name = name
        self._shown.reset(self._task, description=name, total=None, rate="")

    def begin(self, number: int, asked: Sequence[str], n_rows: int | None) -> None:
        """A sweep begins."""
        what = f"{self._name}: sweep {number}"
        self._shown.reset(self._task, description=what, total=n_rows, rate="")

    def rows(self, done: int) -> None:
        """So many rows of it are done."""
        elapsed = self._shown.tasks[0].elapsed or 1e-9
        rate = f"{done:,} rows, {done / elapsed:,.0f} rows/s"
        self._shown.update(self._task, completed=done, rate=rate)

    def end(self) -> None:
        """The sweep is finished."""
        self._shown.reset(self._task, description=self._name, total=None, rate="")
