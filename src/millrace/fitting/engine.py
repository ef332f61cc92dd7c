"""Answering requests: group them, replay or sweep, keep what was answered."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from functools import cached_property
from typing import Any, Protocol

from millrace.fitting.checkpoint import Checkpoint
from millrace.fitting.report import FitReport
from millrace.fitting.shared import Shared
from millrace.fitting.source import Data
from millrace.fitting.stages import Transformers
from millrace.fitting.sweep import Group, Sweep, SweepRecord, group, group_key, now
from millrace.solvers.rows import Ask


class Progress(Protocol):
    """Told how far a fit is."""

    def begin(self, number: int, asked: Sequence[str], n_rows: int | None) -> None:
        """A sweep begins."""
        ...

    def rows(self, done: int) -> None:
        """So many rows of it are done."""
        ...

    def end(self) -> None:
        """It is finished."""
        ...


class Engine:
    """Answers the requests of all tasks of one call, a sweep at a time."""

    def __init__(
        self,
        data: Data,
        report: FitReport,
        threads: int,
        checkpoint: Checkpoint | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.data = data
        self.report = report
        self.transformers = Transformers()
        self._threads = threads
        self._checkpoint = checkpoint
        self._progress = progress
        self._reads = 0

    @cached_property
    def shared(self) -> Shared | None:
        """What folds have in common; nothing without folds."""
        return Shared(self.data) if self.data.folds and self._checkpoint is None else None

    def answer(self, asks: Sequence[Ask]) -> list[Any]:
        """One sweep for all requests, or what follows from sweeps before."""
        return self.shared.answer(asks, self._read) if self.shared else self._read(asks)

    def _read(self, asks: Sequence[Ask]) -> list[Any]:
        groups = group(asks, self.data.folds.n if self.data.folds else 0)
        asked = tuple(dict.fromkeys(named(a) for a in asks))
        record = SweepRecord(len(self.report.sweeps) + 1, asked)
        begun = now()
        keys = [f"{a.rows.key} {a.statistic.key}" for a in asks]
        resumable = all(getattr(g.statistic, "resumable", True) for g in groups.values())
        kept = self._checkpoint if resumable else None
        answers = kept.answers(record.number, keys) if kept else None
        if answers is None:
            record.rows = self._sweep(list(groups.values()), record, keys, kept)
            answers = _answers(groups, asks)
            if self.shared:
                self.shared.keep(list(groups.values()))
            if kept:
                kept.keep_answers(record.number, keys, answers)
        else:
            record.replayed = True
        record.seconds = now() - begun
        self.report.sweeps.append(record)
        self.report.n_rows = max(self.report.n_rows, record.rows)
        self.report.fell_back.update(self.transformers.fell_back)
        return answers

    def _sweep(
        self, groups: list[Group], record: SweepRecord, keys: list[str], kept: Checkpoint | None
    ) -> int:
        start = self._resume(groups, record.number, keys, kept)
        sweep = Sweep(self.data, groups, self.transformers, self._threads, self._reads == 0)
        sweep.n_rows = start
        if self._progress:
            self._progress.begin(record.number, record.asked, self.data.n_rows)

        def keep(done: int, now_or_never: bool = False) -> None:
            if kept:
                joined = [g.joined for g in groups]
                kept.keep_part(record.number, keys, done, joined, now_or_never)

        def after(done: int) -> None:
            keep(done)
            if self._progress:
                self._progress.rows(done)

        try:
            with closing(self.data.chunks(start)) as chunks:
                sweep.run(chunks, after)
        except KeyboardInterrupt:
            if sweep.whole:
                keep(sweep.n_rows, now_or_never=True)
            raise
        sweep.check_rows()
        self._reads += 1
        if self._progress:
            self._progress.end()
        return sweep.n_rows

    def _resume(
        self, groups: list[Group], number: int, keys: list[str], kept: Checkpoint | None
    ) -> int:
        """Take up the summaries of a sweep that was interrupted; the row to go on from."""
        found = kept.part(number, keys) if kept else None
        if found is None:
            return 0
        start, joined = found
        self.data.deal(start)
        for one, parts in zip(groups, joined, strict=True):
            one.joined = parts
        return start


def _answers(groups: dict[tuple[str, bool, str], Group], asks: Sequence[Ask]) -> list[Any]:
    """The answers to all requests; equal ones are one object."""
    found: dict[Any, Any] = {}
    for ask in asks:
        part = (ask.rows.left_out, ask.rows.only)
        key = (group_key(ask), part)
        if key not in found:
            found[key] = groups[key[0]].answer(part)
    return [found[group_key(a), (a.rows.left_out, a.rows.only)] for a in asks]


def named(ask: Ask) -> str:
    """A request as a report names it."""
    name = type(ask.statistic).__name__
    left = ask.rows.left_out
    part = f" without fold {left}" if left is not None else ""
    part = f" of fold {ask.rows.only}" if ask.rows.only is not None else part
    return f"{ask.rows.path}: {name}{part}" if ask.rows.path else f"{name}{part}"
