"""Answers for many folds from one set of sums: what differs between folds is an affine map.

In a cross-validation every fold has its own fitted imputer, encoder and scaler, so each asks for the Gram
matrix of columns of its own. Where those are affine maps of the table's columns (`affine`), one sweep
sums the products of what all of them are made of (`AtomGram`), fold by fold; and each fold's answer is
that of its rows, mapped. The sums stay in memory until the call ends: the scores of the held-out folds,
every later candidate and the last fit on all rows read nothing.

Exactness: entries are those of the direct way but for rounding, below 1e-11 of the product of the norms
of their two columns. What would lose more digits (a column whose first rows are far from the others) and
what the direct way refuses (missing cells after all, infinities, unknown words) is asked directly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from millrace.fitting.affine import (
    Column,
    Columns,
    Map,
    Number,
    atoms_of,
    columns_of,
    map_onto,
    source_columns,
)
from millrace.fitting.source import Data
from millrace.fitting.sweep import Group, Tree
from millrace.solvers.rows import Ask, Chosen, Rows, Source, Stage
from millrace.solvers.sklearn._working import float_dtype, is_sparse
from millrace.statistics.atoms import AtomGram
from millrace.statistics.categories import Distinct, Presence
from millrace.statistics.gram import CrossMoments, Gram
from millrace.statistics.moments import ColumnMoments, Moments

WIDEST = 1024
"""Most atoms whose products are summed (8 MiB a fold)."""

_MOST_VALUES = 100_000
"""Distinct values that are kept between sweeps."""

_FAR = 1e4
"""Squared distance of a column's mean from its shift, in variances: four digits of sixteen are lost."""

_FLAT = 1e-10
"""A variance below this part of what it is summed from has lost its digits."""

Part = tuple[int | None, int | None]


class Shared:
    """What is kept of the sweeps of one call, and the answers that follow from it.

    Parameters
    ----------
    data : Data
        Dealt into folds.
    """

    def __init__(self, data: Data) -> None:
        self._rows = data.rows().unweighted()
        self._n_folds = data.folds.n if data.folds else 0
        self._source = source_columns(self._rows.head)
        self._kept: dict[tuple[str, str], Group] = {}
        self._columns: dict[str, Columns] = {}
        self._answers: dict[tuple[str, str, Part], Any] = {}

    def answer(
        self, asks: Sequence[Ask], sweep: Callable[[Sequence[Ask]], Sequence[Any]]
    ) -> list[Any]:
        """Answer requests from what is kept, then from a sweep for the others.

        Parameters
        ----------
        asks : sequence of Ask
        sweep : callable
            Reads the data and answers; it tells `keep` what it summed.
        """
        found = [self.look(a) for a in asks]
        waiting = [i for i, f in enumerate(found) if f is None]
        bases = self._bases([asks[i] for i in waiting])
        own = [i for i in waiting if not _rests_on(asks[i], bases)]
        if own or bases:
            asked = [asks[i] for i in own]
            answers = sweep([*asked, *(b for b, _ in bases)])
            for i, answer in zip(own, answers, strict=False):
                found[i] = answer
        for i in waiting:
            found[i] = self.look(asks[i]) if found[i] is None else found[i]
        if rest := [i for i in waiting if found[i] is None]:
            for i, answer in zip(rest, sweep([asks[i] for i in rest]), strict=True):
                found[i] = answer
        return found

    def keep(self, groups: Sequence[Group]) -> None:
        """Keep what a sweep has summed fold by fold of the table's own columns."""
        for one in groups:
            known = isinstance(one.statistic, (Moments, Distinct, Presence, AtomGram))
            of_table = not one.rows.weighted and _is_of_table(one.rows.stage)
            if known and of_table and one.pieces == tuple(range(self._n_folds)) and _is_small(one):
                self._kept[one.rows.stage.key, one.statistic.key] = _condensed(one)

    def look(self, ask: Ask) -> Any:
        """The answer to a request, from what is kept; None where that does not tell."""
        rows, statistic = ask.rows, ask.statistic
        if rows.weighted or not self._kept:
            return None
        part = (rows.left_out, rows.only)
        key = (rows.stage.key, statistic.key, part)
        if key not in self._answers:
            found = self._looked_up(rows, statistic, part)
            if found is None:
                return None
            self._answers[key] = found
        return self._answers[key]

    def _looked_up(self, rows: Rows, statistic: Any, part: Part) -> Any:
        kept = self._kept.get((rows.stage.key, statistic.key))
        if kept is not None:
            return _answer_of(kept, part)
        columns = self._columns_of(rows.stage)
        if columns is None or rows.head is None or float_dtype(rows.head) != np.float64:
            return None
        if _is_plain_gram(statistic):
            return self._gram(rows, columns, statistic, part)
        if type(statistic) is Moments:
            return self._moments(columns, statistic, part)
        return None

    def _columns_of(self, stage: Stage) -> Columns:
        if self._source is None:
            return None
        if stage.key not in self._columns:
            self._columns[stage.key] = columns_of(stage, self._source)
        return self._columns[stage.key]

    def _gram(
        self, rows: Rows, columns: tuple[Column, ...], statistic: Gram, part: Part
    ) -> CrossMoments | None:
        for group in self._kept.values():
            atoms = group.statistic
            if not isinstance(atoms, AtomGram) or atoms.target < statistic.target:
                continue
            made = map_onto(columns, atoms)
            moments = None if made is None else self._total(group, part)
            if made is not None and moments is not None and _is_sound(moments, made, atoms):
                return mapped(moments, made, statistic.target, is_sparse(rows.head))
        return None

    def _total(self, group: Group, part: Part) -> Any:
        key = (group.rows.stage.key, group.statistic.key, part)
        if key not in self._answers:
            self._answers[key] = _answer_of(group, part)
        return self._answers[key]

    def _moments(
        self, columns: tuple[Column, ...], statistic: Moments, part: Part
    ) -> ColumnMoments | None:
        numbers = [c for c in columns if isinstance(c, Number)]
        if len(numbers) < len(columns):
            return None
        for group in self._kept.values():
            inner = self._columns_of(group.rows.stage)
            if type(group.statistic) is not Moments or inner is None:
                continue
            places = {c.column: k for k, c in enumerate(inner)}
            if all(c.column in places for c in numbers):
                moments = self._total(group, part)
                if moments is None:
                    return None
                at = np.array([places[c.column] for c in numbers])
                return moments_of(numbers, moments, at, statistic)
        return None

    def _bases(self, asks: Sequence[Ask]) -> list[tuple[Ask, set[str]]]:
        """Requests that answer at least two stages each, with the keys of those stages."""
        stages: dict[type, dict[str, tuple[Column, ...]]] = {Gram: {}, Moments: {}}
        target, path = False, ""
        for ask in asks:
            kind = type(ask.statistic)
            plain = _is_plain_gram(ask.statistic) or kind is Moments
            if ask.rows.weighted or not plain or _is_of_table(ask.rows.stage):
                continue
            if (columns := self._columns_of(ask.rows.stage)) is not None:
                stages[kind][ask.rows.stage.key] = columns
                target |= isinstance(ask.statistic, Gram) and ask.statistic.target
                path = ask.rows.path
        found: list[tuple[Ask, set[str]]] = []
        for kind, of_kind in stages.items():
            if len(of_kind) < 2:
                continue
            base = (
                self._atoms(list(of_kind.values()), target, path)
                if kind is Gram
                else self._raw_moments(list(of_kind.values()), path)
            )
            # What is kept already did not tell: its answer was not sound.
            if base is not None and (base.rows.stage.key, base.statistic.key) not in self._kept:
                keys = {f"{kind.__name__} {key}" for key in of_kind}
                parts = [replace(base.rows, only=k) for k in range(self._n_folds)]
                found += [(Ask(rows, base.statistic), keys) for rows in parts]
        return found

    def _atoms(self, stages: list[tuple[Column, ...]], target: bool, path: str) -> Ask | None:
        atoms = atoms_of(stages, self._rows.head, target)
        if atoms is None or atoms.n_atoms > WIDEST:
            return None
        return Ask(replace(self._rows, path=path), atoms)

    def _raw_moments(self, stages: list[tuple[Column, ...]], path: str) -> Ask | None:
        found = [c for columns in stages for c in columns]
        if not all(isinstance(c, Number) for c in found):
            return None
        rows = self._rows.chosen(list(dict.fromkeys(c.column for c in found)))
        return Ask(replace(rows, path=path), Moments())


def _is_plain_gram(statistic: Any) -> bool:
    return type(statistic) is Gram and statistic.basis is None


def _rests_on(ask: Ask, bases: Sequence[tuple[Ask, set[str]]]) -> bool:
    key = f"{type(ask.statistic).__name__} {ask.rows.stage.key}"
    mapped_from = _is_plain_gram(ask.statistic) or type(ask.statistic) is Moments
    return mapped_from and not ask.rows.weighted and any(key in keys for _, keys in bases)


def _is_of_table(stage: Stage) -> bool:
    """Whether the columns are those of the table."""
    while isinstance(stage, Chosen):
        stage = stage.parent
    return isinstance(stage, Source)


def _condensed(group: Group) -> Group:
    """With one summary a fold, in place of those of a logarithm of its chunks."""
    for piece in group.pieces:
        tree = group.joined[piece]
        if isinstance(tree, Tree) and len(tree.levels) > 1:
            group.joined[piece] = Tree(tree.statistic, [(0, tree.total())])
    return group


def _is_small(group: Group) -> bool:
    if not isinstance(group.statistic, Distinct):
        return True
    totals = [group.joined[piece].total() for piece in group.pieces]
    return sum(len(c.values) for t in totals if t is not None for c in t) <= _MOST_VALUES


def _answer_of(group: Group, part: Part) -> Any:
    """The answer for a part of the rows; None where it has no row."""
    left_out, only = part
    pieces = [only] if only is not None else [p for p in group.pieces if p != left_out]
    if all(group.joined[p].total() is None for p in pieces):
        return None
    return group.answer(part)


def _is_sound(moments: CrossMoments, made: Map, atoms: AtomGram) -> bool:
    """Whether no cell is refused and the moments have digits enough for what is made of them."""
    if not (np.isfinite(moments.scatter).all() and np.isfinite(moments.mean).all()):
        return False
    mean = moments.mean[: atoms.n_atoms]
    if (mean[made.refused] * moments.weight > 0.5).any():
        return False
    p = len(atoms.numbers)
    present = 1.0 - mean[p : 2 * p]
    some = present * moments.weight > 0.5
    far = mean[:p][some] / present[some]
    squares = np.diag(moments.scatter)[:p][some] / moments.weight + mean[:p][some] ** 2
    variance = squares / present[some] - far**2
    return not ((far != 0) & (far**2 > _FAR * variance)).any()


def mapped(moments: CrossMoments, made: Map, target: bool, sparse: bool) -> CrossMoments | None:
    """The moments of ``atoms @ matrix + offset``; None where a variance cancels to nearly nothing."""
    n_atoms, n_columns = made.matrix.shape
    n_targets = moments.n_targets if target else 0
    turn = np.zeros((n_atoms + n_targets, n_columns + n_targets))
    turn[:n_atoms, :n_columns] = made.matrix
    turn[n_atoms:, n_columns:] = np.eye(n_targets)
    kept = moments.scatter[: len(turn), : len(turn)]
    scatter = turn.T @ (kept @ turn)
    scatter = (scatter + scatter.T) / 2
    spread = np.sqrt(np.maximum(np.diag(kept), 0.0)) @ np.abs(turn)
    if (np.diag(scatter) < _FLAT * spread**2).any():
        return None
    shift = moments.shift[: len(turn)] @ turn
    shift[:n_columns] += made.offset
    return CrossMoments(
        moments.rows,
        moments.weight,
        shift,
        moments.apart[: len(turn)] @ turn,
        scatter,
        n_columns,
        moments.flat if target else True,
        np.dtype(np.float64),
        sparse,
    )


def moments_of(
    numbers: Sequence[Number], found: ColumnMoments, at: np.ndarray, statistic: Moments
) -> ColumnMoments | None:
    """The moments of numbers from those of the table's columns; None where NaN is refused.

    Parameters
    ----------
    numbers : sequence of Number
    found : ColumnMoments
        Of some columns of the table.
    at : numpy.ndarray of int
        The column of each number among them.
    """
    slope, centre, offset, fill = (
        np.array([getattr(c, name) for c in numbers])
        for name in ("slope", "centre", "offset", "missing")
    )
    present, n_rows = found.present[at], found.n_rows
    none, gaps = present == 0, n_rows - present
    if not statistic.allow_nan and (np.isnan(fill) & (gaps > 0)).any():
        return None
    mean = np.where(none, 0.0, found.mean[at])
    ends = [slope * (v[at] - centre) + offset for v in (found.least, found.greatest)]
    fills = ~np.isnan(fill)
    value = np.where(fills, fill, 0.0)
    extra = np.where(fills, gaps, 0)
    own = ColumnMoments(
        n_rows, float(n_rows), present.astype(np.float64),
        slope * (mean - centre) + offset, slope**2 * found.m2[at],
        np.where(none, np.inf, np.minimum(*ends)), np.where(none, -np.inf, np.maximum(*ends)),
        present, slope * np.where(none, 0.0, found.rest[at]),
    )  # fmt: skip
    filled = ColumnMoments(
        0, 0.0, extra.astype(np.float64), value, np.zeros(len(value)),
        np.where(extra > 0, value, np.inf), np.where(extra > 0, value, -np.inf),
        extra, np.zeros(len(value)),
    )  # fmt: skip
    return statistic.finish(statistic.merge(own, filled))
