"""Worker processes that joblib starts are accelerated as this one is, and report to it.

A batch of tasks that joblib pickles for another process is wrapped: there, acceleration is turned on with
the same options before it runs, and what ran is written to a folder of this process.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from millrace.accel import records
from millrace.accel.options import OPTIONS, Options
from millrace.accel.records import RECORDS, Site, merged


@dataclass
class _Workers:
    """What this process knows of its workers.

    Attributes
    ----------
    reduce : callable, optional
        joblib's own way to pickle a batch; None while nothing is installed.
    folder : TemporaryDirectory, optional
        Where workers leave their lines; it goes with this process.
    site : Site, optional
        The last line of the user's code that handed out tasks: joblib hands out later ones from a thread
        of its own.
    """

    reduce: Callable[[Any], Any] | None = None
    folder: tempfile.TemporaryDirectory[str] | None = field(default=None)
    site: Site | None = None


_WORKERS = _Workers()


def install() -> None:
    """Have tasks for other processes turn acceleration on there."""
    from joblib.parallel import BatchedCalls

    if _WORKERS.reduce is None:
        _WORKERS.reduce = BatchedCalls.__reduce__
        BatchedCalls.__reduce__ = _reduce  # type: ignore[method-assign]


def uninstall() -> None:
    """Have them no longer do so."""
    from joblib.parallel import BatchedCalls

    if _WORKERS.reduce is not None:
        BatchedCalls.__reduce__ = _WORKERS.reduce  # type: ignore[method-assign]
        _WORKERS.reduce = None


def lines() -> list[tuple[records.Key, records.Line]]:
    """What ran in this process and in its workers, so far."""
    parts = [RECORDS.lines()]
    if _WORKERS.folder is not None:
        for path in sorted(Path(_WORKERS.folder.name).glob("*.pickle")):
            with contextlib.suppress(OSError, EOFError):  # it is being replaced
                parts.append(pickle.loads(path.read_bytes()))
    return merged(parts)


def forget() -> None:
    """Forget what ran so far."""
    RECORDS.clear()
    if _WORKERS.folder is not None:
        for path in Path(_WORKERS.folder.name).glob("*.pickle"):
            path.unlink(missing_ok=True)


def _reduce(batch: Any) -> tuple[Any, ...]:
    """How a batch of tasks is pickled while acceleration is on."""
    assert _WORKERS.reduce is not None
    build, arguments = _WORKERS.reduce(batch)[:2]
    if _WORKERS.folder is None:
        _WORKERS.folder = tempfile.TemporaryDirectory(
            prefix="millrace-", ignore_cleanup_errors=True
        )
    _WORKERS.site = records.user_site() or _WORKERS.site
    return _Accelerated, (build, arguments, OPTIONS.get(), _WORKERS.site, _WORKERS.folder.name)


class _Accelerated:
    """A batch of tasks in a worker process."""

    def __init__(
        self,
        build: Callable[..., Any],
        arguments: tuple[Any, ...],
        options: Options,
        site: Site | None,
        folder: str,
    ) -> None:
        self._batch, self._options = build(*arguments), options
        self._site, self._folder = site, Path(folder)

    def __len__(self) -> int:
        return len(self._batch)

    def __call__(self) -> Any:
        _turn_on(self._options)
        records.DEFAULT.site = self._site
        try:
            return self._batch()
        finally:
            self._leave_lines()

    def _leave_lines(self) -> None:
        """Replace this process's file of lines; without a disk the report is shorter, and no more."""
        path = self._folder / f"{os.getpid()}.pickle"
        part = path.with_suffix(".part")
        with contextlib.suppress(OSError):
            part.write_bytes(pickle.dumps(RECORDS.lines()))
            part.replace(path)


def _turn_on(options: Options) -> None:
    from millrace.accel.session import accelerate
    from millrace.runtime.pool import set_threads

    accelerate(options.level, strict=options.strict, compare=options.compare)
    if (threads := os.environ.get("OMP_NUM_THREADS", "")).isdigit():
        set_threads(max(1, int(threads)))  # joblib's share of the cores for each worker
