"""The plan of a fit: which sweeps it takes and what each answers, before anything is read."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from millrace.fitting.engine import named
from millrace.fitting.report import listed
from millrace.fitting.source import Data
from millrace.fitting.stages import Transformers
from millrace.fitting.sweep import Sweep, group, group_key
from millrace.fitting.tasks import Tasks
from millrace.fitting.ways import Allowed
from millrace.solvers.rows import Ask, Fit

REHEARSAL = 1 << 12
"""Rows that a rehearsal fits."""


@dataclass(frozen=True)
class Plan:
    """The sweeps of a fit.

    Attributes
    ----------
    sweeps : tuple of tuple of str
        What each answers, equal requests once.
    notes : tuple of (path, class, text)
        Estimators that are fitted in another way than by a solver, and why.
    n_rows : int, optional
    chunk_rows : int
    rehearsed : int
        Rows that the rehearsal was made with.
    """

    sweeps: tuple[tuple[str, ...], ...]
    notes: tuple[tuple[str, str, str], ...]
    n_rows: int | None
    chunk_rows: int
    rehearsed: int

    def __str__(self) -> str:
        size = "rows of unknown number" if self.n_rows is None else f"{self.n_rows:,} rows"
        lines = [
            f"{len(self.sweeps)} sweeps over {size}, {self.chunk_rows:,} rows a chunk "
            f"(rehearsed on {self.rehearsed:,} rows; solvers that iterate may differ)"
        ]
        lines += [f"  {i}. {listed(asked)}" for i, asked in enumerate(self.sweeps, 1)]
        lines += [f"  {path or name}: fitted {text}" for path, name, text in self.notes]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


class _Rehearsal:
    """Answers requests from the first chunk alone."""

    def __init__(self, data: Data) -> None:
        self.data = data
        self.sweeps: list[tuple[str, ...]] = []
        self._transformers = Transformers()
        chunks = data.chunks()
        self._chunk = next(chunks)
        chunks.close()

    def answer(self, asks: Sequence[Ask]) -> list[Any]:
        """One sweep over the first chunk."""
        self.sweeps.append(tuple(dict.fromkeys(named(a) for a in asks)))
        groups = group(asks, self.data.folds.n if self.data.folds else 0)
        sweep = Sweep(self.data, list(groups.values()), self._transformers, 1, True)
        sweep.run([self._chunk], lambda _: None)
        return [groups[group_key(a)].answer((a.rows.left_out, a.rows.only)) for a in asks]


def rehearse(estimator: Any, data: Data, allowed: Allowed) -> Plan:
    """Fit a clone on the first rows and note what it asks for."""
    from dataclasses import replace

    from sklearn.base import clone

    n_rows, chunk_rows = data.n_rows, data.chunk_rows
    data = replace(data, chunk_rows=min(chunk_rows, REHEARSAL))
    rows = data.rows()  # reads the head, before the rehearsal reads the table
    rehearsal = _Rehearsal(data)
    notes: list[tuple[str, str, str]] = []
    rows = replace(rows, n_rows=len(rehearsal._chunk))
    Tasks(allowed, notes).run([Fit(clone(estimator), rows)], rehearsal)
    return Plan(tuple(rehearsal.sweeps), tuple(notes), n_rows, chunk_rows, len(rehearsal._chunk))
