"""One read of the data that answers every request that waits.

Chunks are cut at fixed row numbers, summarised by threads, and their summaries joined in a tree that
depends on the row numbers alone; so the answers have the same bits for any number of threads.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from millrace.errors import FitError, MillraceError
from millrace.fitting.source import Chunk, Data, check_target
from millrace.fitting.stages import Transformers, View
from millrace.solvers.rows import Ask, Rows
from millrace.statistics.base import OrderedStatistic, Statistic

WHOLE = None
"""The piece of a chunk that is all of it."""

FEW_CELLS = 1 << 18
"""A table of fewer cells is read by one thread: handing its chunks to others takes longer."""


@dataclass
class Tree:
    """Summaries joined as a binary counter counts: equal numbers of chunks are joined first."""

    statistic: Statistic[Any, Any]
    levels: list[tuple[int, Any]] = field(default_factory=list)

    def push(self, state: Any) -> None:
        """Take the summary of the next chunk."""
        level = 0
        while self.levels and self.levels[-1][0] == level:
            state = self.statistic.merge(self.levels.pop()[1], state)
            level += 1
        self.levels.append((level, state))

    def total(self) -> Any:
        """The summary of all chunks; None where there was none."""
        if not self.levels:
            return None
        state = self.levels[-1][1]
        for _, before in reversed(self.levels[:-1]):
            state = self.statistic.merge(before, state)
        return state


@dataclass
class Line:
    """The state of an ordered statistic."""

    statistic: OrderedStatistic[Any, Any]
    state: Any = None
    begun: bool = False

    def push(self, prepared: Any) -> None:
        """Take the next chunk."""
        if not self.begun:
            self.state, self.begun = self.statistic.start(), True
        self.state = self.statistic.step(self.state, prepared)

    def total(self) -> Any:
        """The state after all chunks; None where there was none."""
        return self.state


@dataclass
class Group:
    """One statistic of one stage, for all the parts of the rows that are asked for.

    Attributes
    ----------
    pieces : tuple
        What is summarised of each chunk: all of it (`WHOLE`), the rows of one fold (its number), or
        all rows but a fold's (``~fold``).
    joined : dict
        Piece -> the summaries so far.
    """

    rows: Rows
    statistic: Statistic[Any, Any]
    parts: list[tuple[int | None, int | None]]
    pieces: tuple[int | None, ...] = ()
    joined: dict[int | None, Tree | Line] = field(default_factory=dict)

    def prepare(self, n_folds: int) -> None:
        """Choose the pieces: folds are summarised once where several requests share them."""
        if len(self.parts) == 1 or isinstance(self.statistic, OrderedStatistic):
            self.pieces = tuple(_own_piece(p) for p in self.parts)
        elif any(p != (None, None) for p in self.parts):
            self.pieces = tuple(range(n_folds))
        for piece in self.pieces:
            self.joined[piece] = (
                Line(self.statistic)
                if isinstance(self.statistic, OrderedStatistic)
                else Tree(self.statistic)
            )

    def summaries(self, view: Callable[[int | None], View | None]) -> list[Any]:
        """One chunk, summarised: a summary a piece, None for a piece without rows."""
        found: list[Any] = []
        for piece in self.pieces:
            seen = view(piece)
            found.append(None if seen is None else self.statistic.of(seen.batch(self.rows)))
        return found

    def push(self, summaries: list[Any]) -> None:
        """Take the summaries of the next chunk."""
        for piece, summary in zip(self.pieces, summaries, strict=True):
            if summary is not None:
                self.joined[piece].push(summary)

    def answer(self, part: tuple[int | None, int | None]) -> Any:
        """The finished answer for one part of the rows.

        Raises
        ------
        FitError
            No row is in it.
        """
        own = _own_piece(part)
        if own in self.joined:
            state = self.joined[own].total()
        else:
            state = None
            for piece in self.pieces:
                if piece == part[0]:
                    continue
                more = self.joined[piece].total()
                if more is not None:
                    state = more if state is None else self.statistic.merge(state, more)
        if state is None:
            left_out, only = part
            raise FitError.empty_table(
                f"fold {only}"
                if only is not None
                else "the table"
                if left_out is None
                else f"the table without fold {left_out}"
            )
        return self.statistic.finish(state)


def _own_piece(part: tuple[int | None, int | None]) -> int | None:
    left_out, only = part
    return only if only is not None else ~left_out if left_out is not None else WHOLE


@dataclass
class SweepRecord:
    """What one sweep did.

    Attributes
    ----------
    number : int
    asked : tuple of str
        ``"path: Statistic"`` of every request, equal ones once.
    rows : int
    seconds : float
    replayed : bool
        The answers came from a checkpoint.
    """

    number: int
    asked: tuple[str, ...]
    rows: int = 0
    seconds: float = 0.0
    replayed: bool = False


def group(asks: Iterable[Ask], n_folds: int) -> dict[tuple[str, bool, str], Group]:
    """Requests by stage and statistic, in the order in which they came."""
    groups: dict[tuple[str, bool, str], Group] = {}
    for ask in asks:
        rows = ask.rows
        one = groups.setdefault(group_key(ask), Group(rows, ask.statistic, []))
        part = (rows.left_out, rows.only)
        if part not in one.parts:
            one.parts.append(part)
    for one in groups.values():
        one.prepare(n_folds)
    return groups


def group_key(ask: Ask) -> tuple[str, bool, str]:
    """Equal for requests that one pass over a stage answers."""
    return ask.rows.stage.key, ask.rows.weighted, ask.statistic.key


class Sweep:
    """One read of the data for some groups of requests.

    Parameters
    ----------
    data : Data
    groups : sequence of Group
    transformers : Transformers
    threads : int
    first_read : bool
        Whether the target is to be checked.

    Attributes
    ----------
    n_rows : int
        Rows whose summaries have been joined.
    whole : bool
        Whether those of all groups have; not in the middle of joining them.
    """

    def __init__(
        self,
        data: Data,
        groups: Sequence[Group],
        transformers: Transformers,
        threads: int,
        first_read: bool,
    ) -> None:
        self.data = data
        self.groups = groups
        self.transformers = transformers
        self.threads = threads
        self.first_read = first_read
        self.n_rows = 0
        self.whole = True

    def run(
        self,
        chunks: Iterable[Chunk],
        after: Callable[[int], None],
    ) -> None:
        """Summarise all chunks; `after` is told the number of rows done, after every chunk."""
        n_rows = self.data.n_rows
        if n_rows is not None and n_rows * max(len(self.data.features), 1) < FEW_CELLS:
            for chunk in chunks:
                self._join(self._work(chunk), len(chunk))
                after(self.n_rows)
            return
        ahead: deque[tuple[int, Future[list[list[Any]]]]] = deque()
        pool = ThreadPoolExecutor(self.threads, "millrace-sweep")
        try:
            for chunk in chunks:
                ahead.append((len(chunk), pool.submit(self._work, chunk)))
                if len(ahead) > self.threads:
                    self._take(ahead, after)
            while ahead:
                self._take(ahead, after)
        finally:
            for _, waiting in ahead:
                waiting.cancel()
            pool.shutdown(wait=True)

    def _take(
        self, ahead: deque[tuple[int, Future[list[list[Any]]]]], after: Callable[[int], None]
    ) -> None:
        n, waiting = ahead[0]
        found = waiting.result()
        ahead.popleft()
        self._join(found, n)
        after(self.n_rows)

    def _join(self, found: list[list[Any]], n: int) -> None:
        """Take the summaries of the next chunk, which has `n` rows."""
        self.whole = False
        for one, summaries in zip(self.groups, found, strict=True):
            one.push(summaries)
        self.n_rows += n
        self.whole = True

    def check_rows(self) -> None:
        """Refuse a table of which there were fewer or more rows than it said.

        Raises
        ------
        FitError
            It changed while it was read.
        """
        said = self.data.n_rows
        if said is not None and said != self.n_rows:
            raise FitError.changed(self.data.table.describe_source(), said, self.n_rows)

    def _work(self, chunk: Chunk) -> list[list[Any]]:
        if self.first_read and chunk.y is not None:
            check_target(chunk.y, chunk.first)
        views: dict[int | None, View | None] = {}

        def view(piece: int | None) -> View | None:
            if piece not in views:
                part = _part_of(chunk, piece)
                views[piece] = None if part is None else View(part, self.transformers)
            return views[piece]

        found: list[list[Any]] = []
        for one in self.groups:
            try:
                found.append(one.summaries(view))
            except MillraceError:
                raise
            except TypeError as error:
                raise FitError.not_numeric(one.rows.path or "the estimator", str(error)) from error
        return found


def _part_of(chunk: Chunk, piece: int | None) -> Chunk | None:
    """The rows of one piece; None where there are none."""
    if piece is None:  # WHOLE
        return chunk if len(chunk) else None
    if chunk.fold is None:
        raise ValueError("rows are asked for by fold, but the data was not dealt into folds")
    where = chunk.fold == piece if piece >= 0 else chunk.fold != ~piece
    count = int(np.count_nonzero(where))
    if count == 0:
        return None
    return chunk if count == len(chunk) else chunk.only(where)


def now() -> float:
    """Seconds on a clock that never goes back."""
    return time.perf_counter()
