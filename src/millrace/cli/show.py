"""What a command tells: text for people, JSON for scripts, a bar for waiting."""

from __future__ import annotations

import json
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

PATIENCE = 2.0
"""Seconds without a progress bar."""


@dataclass(frozen=True)
class Show:
    """Where the words of a command go.

    Attributes
    ----------
    quiet : bool
        Only errors.
    json : bool
        Only one JSON object, on standard output.
    """

    quiet: bool = False
    json: bool = False

    def text(self, content: Any) -> None:
        """The outcome for people, on standard output: text or a rich table."""
        if self.quiet or self.json:
            return
        if isinstance(content, str):
            typer.echo(content)
        else:
            from rich.console import Console

            Console().print(content)

    def note(self, text: str) -> None:
        """What was done, on standard error."""
        if not (self.quiet or self.json):
            typer.echo(text, err=True)

    def data(self, outcome: dict[str, Any]) -> None:
        """The outcome for scripts."""
        if self.json:
            typer.echo(json.dumps(outcome, default=_plain))

    @contextmanager
    def progress(self, what: str) -> Generator[Progress]:
        """A bar on standard error, if that is a terminal and it takes over two seconds."""
        bar = Progress(what, hidden=self.quiet or self.json)
        try:
            yield bar
        finally:
            bar.stop()


def _plain(value: Any) -> Any:
    """JSON for paths, sets and NumPy numbers."""
    if isinstance(value, Path):
        return str(value)
    return value.item() if hasattr(value, "item") else list(value)


class Progress:
    """Rows done and rows a second."""

    def __init__(self, what: str, hidden: bool = False) -> None:
        self.n_rows = 0
        self.seconds = 0.0
        self._what = what
        self._hidden = hidden
        self._started = time.perf_counter()
        self._bar: Any = None
        self._task: Any = None

    @property
    def rows_per_second(self) -> float:
        return self.n_rows / max(self.seconds, 1e-9)

    def advance(self, n_rows: int, fraction: float | None) -> None:
        """Say that so many more rows are done, and what part of all work that makes."""
        self.n_rows += n_rows
        self.seconds = time.perf_counter() - self._started
        if self._hidden or self.seconds < PATIENCE:
            return
        if self._bar is None:
            self._bar = self._new_bar()
            self._task = self._bar.add_task(self._what, total=None, rate="")
        rate = f"{self.n_rows:,} rows, {self.rows_per_second:,.0f} rows/s"
        total = None if fraction is None else 1.0
        self._bar.update(self._task, completed=fraction or 0.0, total=total, rate=rate)

    def _new_bar(self) -> Any:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            Progress,
            TaskProgressColumn,
            TextColumn,
            TimeRemainingColumn,
        )

        console = Console(stderr=True)
        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        bar.start()
        return bar

    def stop(self) -> None:
        """Take the bar off."""
        self.seconds = time.perf_counter() - self._started
        if self._bar is not None:
            self._bar.stop()
