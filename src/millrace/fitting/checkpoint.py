"""The checkpoint: answers of finished sweeps, and the summaries of the one that runs.

A folder with `run.json` (what is being fitted, to compare), `sweep-0001.pickle` ... (answers) and
`part.pickle` (summaries up to a row). Replaying the answers into the solvers brings a fit back to where
it was. Writing is given a small share of the time: what it cannot pay for yet waits, in order, until it
can, the process is told to stop, or the fit ends. So a killed process loses the chunks since the last
write, and these never took longer than a fixed multiple of what writing them would have taken.

A file is a pickle, and behind it the contents of its arrays as they lie in memory, without a copy. The
pickles are written by and for the same user: continue only from a folder that you trust.
"""

from __future__ import annotations

import json
import os
import pickle
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from millrace.errors import CheckpointError
from millrace.fitting.sweep import now

SHARE = 0.01
"""Part of the time that may go into writing while a fit runs."""

_RATE = 1e9
"""Bytes a second that a disk's cache takes, until it was measured."""

_UNNOTICED = 0.005
"""Seconds that writing may take at the end, however short a fit was."""

_ALIGNED = 64
"""Arrays begin at multiples of so many bytes, as they would if they had been allocated."""


@dataclass
class _Waiting:
    """Answers of a sweep that are not written yet, and what that costs as far as it is known."""

    number: int
    asked: list[str]
    answers: list[Any]
    cost: float = 0.0


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
        self._begun = now()
        self._spent = 0.0
        self._last_part = (0, 0.0)
        self._rate = _RATE
        self._waiting: deque[_Waiting] = deque()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CheckpointError.unwritable(self.folder, error.strerror or error) from error
        run = self.folder / "run.json"
        if not run.exists():
            self._write("run.json", [json.dumps(dict(identity), indent=1).encode()])
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
        """Note that a sweep is finished; the answers must not be changed afterwards."""
        self._waiting.append(_Waiting(number, list(asked), list(answers)))
        self._write_waiting(self._allowed())

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
        """Note how far the sweep is, if that has become affordable since it was noted before.

        `now_or_never` says that the process is about to stop.
        """
        allowed = inf if now_or_never else self._allowed()
        of_sweep, cost = self._last_part
        if not self._write_waiting(allowed) or (of_sweep == number and cost > allowed):
            return
        record = {"number": number, "asked": list(asked), "rows": rows, "joined": joined}
        self._last_part = number, self._keep("part.pickle", record, allowed)[1]

    def close(self, finished: bool) -> None:
        """Write the answers that wait; of a finished fit only those that cost next to nothing.

        The others are found anew, in one sweep, by who asks for the same fit again.
        """
        allowed = max(SHARE * (now() - self._begun), _UNNOTICED) if finished else inf
        for one in self._waiting:
            one.cost = 0.0  # what packing it took before says nothing of its size
        while not self._write_waiting(allowed):
            self._waiting.popleft()

    def _allowed(self) -> float:
        """Seconds that writing may take now."""
        return SHARE * (now() - self._begun) - self._spent

    def _write_waiting(self, allowed: float) -> bool:
        """Write the answers that wait, in order; whether none does any more."""
        while self._waiting:
            first = self._waiting[0]
            if first.cost > allowed:
                return False
            name = f"sweep-{first.number:04d}.pickle"
            record = {"asked": first.asked, "answers": first.answers}
            written, first.cost = self._keep(name, record, allowed)
            if not written:
                return False
            self._waiting.popleft()
            (self.folder / "part.pickle").unlink(missing_ok=True)
        return True

    def _keep(self, name: str, record: Any, allowed: float) -> tuple[bool, float]:
        """Write a record unless it costs too much; whether it was, and what it costs in seconds."""
        begun = now()
        pieces = _packed(record)
        size = sum(map(_size, pieces))
        packed = now()
        written = size / self._rate <= allowed  # packing is paid for already
        if written:
            self._write(name, pieces)
            if size > 1 << 20:
                self._rate = size / max(now() - packed, 1e-9)
        cost = packed - begun + size / self._rate
        self._spent += now() - begun
        return written, cost

    def _same(self, number: int, there: Sequence[str], here: Sequence[str]) -> None:
        if list(there) != list(here):
            raise CheckpointError.differs(
                self.folder, f"what sweep {number} asks", "; ".join(there), "; ".join(here)
            )

    def _read(self, name: str) -> Any:
        path = self.folder / name
        try:
            return _unpacked(path) if path.exists() else None
        except Exception as error:  # a damaged pickle may raise anything
            raise CheckpointError.unreadable(path, error) from error

    def _write(self, name: str, pieces: Sequence[Any]) -> None:
        """Whole or not at all: a new file takes the place of the old one."""
        path = self.folder / name
        new = path.with_name(name + ".new")
        try:
            with new.open("wb", buffering=0) as file:
                for piece in pieces:
                    left = memoryview(piece)
                    while left:
                        left = left[file.write(left) :]
            os.replace(new, path)
        except OSError as error:
            new.unlink(missing_ok=True)
            raise CheckpointError.unwritable(self.folder, error.strerror or error) from error


def _size(piece: Any) -> int:
    return memoryview(piece).nbytes


def _packed(record: Any) -> list[Any]:
    """A record as the pieces of a file: sizes, pickle, arrays."""
    arrays: list[pickle.PickleBuffer] = []
    head = pickle.dumps(record, 5, buffer_callback=arrays.append)
    contents = [head, *(a.raw() for a in arrays)]
    sizes = np.array([len(contents), *map(_size, contents)], "<u8").tobytes()
    pieces: list[Any] = []
    for piece in (sizes, *contents):
        pieces += [piece, bytes(-_size(piece) % _ALIGNED)]
    return pieces


def _unpacked(path: Path) -> Any:
    """The record of a file; its arrays may be written to."""
    content = np.fromfile(path, np.uint8)
    count = int(content[:8].view("<u8")[0])
    sizes = content[8 : 8 * (count + 1)].view("<u8")
    at, parts = _rounded(8 * (count + 1)), list[Any]()
    for size in sizes.tolist():
        if at + size > len(content):
            raise EOFError("the file was cut off")
        parts.append(content[at : at + size].data)
        at = _rounded(at + size)
    return pickle.loads(parts[0], buffers=parts[1:])


def _rounded(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED
