"""The checkpoint: answers of finished sweeps, and the summaries of the one that runs.

A folder with `run.json` (what is being fitted, to compare), `sweep-0001.pickle` ... (answers) and
`part.pickle` (summaries up to a row). Replaying the answers into the solvers brings a fit back to where
it was; a killed process loses at most the chunks since the last `part.pickle`. The files are pickles,
written by and for the same user: continue only from a folder that you trust.
"""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from millrace.errors import CheckpointError
from millrace.fitting.sweep import now

SHARE = 0.02
"""Part of the time that may go into writing summaries."""


class Checkpoint:
    """One checkpoint folder.

    Parameters
    ----------
    folder : path-like
        Created where it is absent.
    identity : mapping
        What makes the fit this one: part -> fingerprint.

    Raises
    ------
    CheckpointError
        The folder belongs to another fit, is damaged, or cannot be written.
    """

    def __init__(self, folder: str | os.PathLike[str], identity: Mapping[str, str]) -> None:
        self.folder = Path(folder)
        self._last_end = now()
        self._last_cost = 0.0
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CheckpointError.unwritable(self.folder, error.strerror or error) from error
        run = self.folder / "run.json"
        if not run.exists():
            self._write("run.json", json.dumps(dict(identity), indent=1).encode())
            return
        try:
            there = json.loads(run.read_text())
        except (OSError, ValueError) as error:
            raise CheckpointError.unreadable(self.folder, error) from error
        for what, here in identity.items():
            if there.get(what) != here:
                raise CheckpointError.differs(self.folder, what, there.get(what), here)

    def answers(self, number: int, asked: Sequence[str]) -> list[Any] | None:
        """The answers of a finished sweep, None where it has not been finished."""
        found = self._read(f"sweep-{number:04d}.pickle")
        if found is None:
            return None
        self._same(number, found["asked"], asked)
        return found["answers"]

    def keep_answers(self, number: int, asked: Sequence[str], answers: Sequence[Any]) -> None:
        """Note that a sweep is finished."""
        record = {"asked": list(asked), "answers": list(answers)}
        self._write(f"sweep-{number:04d}.pickle", pickle.dumps(record, 5))
        (self.folder / "part.pickle").unlink(missing_ok=True)

    def part(self, number: int, asked: Sequence[str]) -> tuple[int, list[Any]] | None:
        """``(rows done, summaries)`` of the sweep that was under way, None where there is none."""
        found = self._read("part.pickle")
        if found is None or found["number"] != number:
            return None
        self._same(number, found["asked"], asked)
        return found["rows"], found["joined"]

    def keep_part(
        self,
        number: int,
        asked: Sequence[str],
        rows: int,
        joined: list[Any],
        now_or_never: bool = False,
    ) -> None:
        """Note how far the sweep is, unless that was done so recently that it would cost too much.

        `now_or_never` says that the process is about to stop.
        """
        begun = now()
        if not now_or_never and begun - self._last_end < self._last_cost / SHARE:
            return
        record = {"number": number, "asked": list(asked), "rows": rows, "joined": joined}
        self._write("part.pickle", pickle.dumps(record, 5))
        self._last_end = now()
        self._last_cost = self._last_end - begun

    def _same(self, number: int, there: Sequence[str], here: Sequence[str]) -> None:
        if list(there) != list(here):
            raise CheckpointError.differs(
                self.folder, f"what sweep {number} asks", "; ".join(there), "; ".join(here)
            )

    def _read(self, name: str) -> Any:
        path = self.folder / name
        try:
            return pickle.loads(path.read_bytes()) if path.exists() else None
        except Exception as error:  # a damaged pickle may raise anything
            raise CheckpointError.unreadable(path, error) from error

    def _write(self, name: str, content: bytes) -> None:
        """Whole or not at all: a new file takes the place of the old one."""
        path = self.folder / name
        new = path.with_name(name + ".new")
        try:
            new.write_bytes(content)
            os.replace(new, path)
        except OSError as error:
            new.unlink(missing_ok=True)
            raise CheckpointError.unwritable(self.folder, error.strerror or error) from error
