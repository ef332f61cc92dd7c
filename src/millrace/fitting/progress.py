"""A progress bar for what takes more than two seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

from millrace.fitting.engine import Progress

PATIENCE = 2.0
"""Seconds before a bar appears."""


class Bar:
    """Rows of the sweep that runs, rows a second and time left, on the terminal."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._shown: Any = None
        self._task: Any = None
        self._sweep: tuple[int, Sequence[str], int | None] = (0, (), None)
        self._sweep_begun = self._begun

    def begin(self, number: int, asked: Sequence[str], n_rows: int | None) -> None:
        """A sweep begins."""
        self._sweep = (number, asked, n_rows)
        if self._shown is not None:
            self._add()

    def rows(self, done: int) -> None:
        """So many rows of it are done."""
        if self._shown is None and time.monotonic() - self._begun > PATIENCE:
            self._show()
        if self._shown is None:
            return
        speed = done / max(time.monotonic() - self._sweep_begun, 1e-9)
        self._shown.update(self._task, completed=done, speed=f"{speed:,.0f} rows/s")

    def end(self) -> None:
        """The sweep is finished."""
        if self._task is not None:
            self._shown.remove_task(self._task)
            self._task = None

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._shown is not None:
            self._shown.stop()

    def _show(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._shown = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f} rows"),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            console=Console(file=sys.stderr),
            transient=True,
        )
        self._shown.start()
        self._add()

    def _add(self) -> None:
        number, asked, n_rows = self._sweep
        what = asked[0] if len(asked) == 1 else f"{len(asked)} statistics"
        self._sweep_begun = time.monotonic()
        self._task = self._shown.add_task(f"sweep {number}: {what}", total=n_rows, speed="")


@contextmanager
def progress_bar(wanted: bool | Progress) -> Generator[Progress | None]:
    """The caller's own progress, a bar on a terminal, or none."""
    if not isinstance(wanted, bool):
        yield wanted
        return
    if not wanted or not sys.stderr.isatty():
        yield None
        return
    bar = Bar()
    try:
        yield bar
    finally:
        bar.close()
