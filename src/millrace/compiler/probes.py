"""Rows made from a program to stand where mistakes would show: on its boundaries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from millrace.compiler.documents import collections, documents
from millrace.ir.arrays import Text
from millrace.ir.ops import (
    Cast,
    Concat,
    Encode,
    Features,
    Forest,
    Guard,
    IsMissing,
    Leaves,
    Select,
    Take,
    Terms,
    Trees,
    Where,
)
from millrace.ir.program import Program
from millrace.rewrites import rewrite

if TYPE_CHECKING:
    from millrace.runtime.model import CompiledModel

Floats = npt.NDArray[np.float64]
_UNSEEN = "\u2203 unseen"


@dataclass
class ColumnProbes:
    """What is worth trying in one column."""

    numbers: list[float] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    is_text: bool = False


class Probes:
    """Makes rows for one model.

    Parameters
    ----------
    model : CompiledModel
    sample : table-like, optional
        Real rows, for the words and numbers of columns that the program says little about.
    """

    def __init__(self, model: CompiledModel, sample: Any) -> None:
        binding = model.program.unbound
        self.program = rewrite(model.program.bound(binding))
        self.read = self.program.used_columns
        self.columns = _columns(self.program, sample)
        self.forests = _direct_forests(self.program)

    def frames(self, n_rows: int, seed: int) -> Iterator[tuple[str, Any]]:
        """``(kind, rows)`` in the container that the source was fitted on.

        Boundaries, then the same rows with missing cells, infinities and odd values sprinkled in: each
        of these may be refused by the source, so it is a batch of its own.
        """
        rng = np.random.default_rng(seed)
        program, columns = self.program, self.columns
        if program.form == "series":
            yield from _series(program, columns[0], n_rows, rng)
            return
        block = _ordinary(columns, n_rows, rng)
        for forest, inputs in self.forests:
            _stand_on_paths(forest, inputs, block, rng)
        yield "boundary", _frame(program, columns, block, rng, "")
        some = rng.random(block.shape) < min(0.5, 2 / max(1, len(self.read)))
        some &= np.isin(np.arange(block.shape[1]), self.read)
        few = max(1, n_rows // 4)
        odd_values = (
            ("missing", np.nan),
            ("infinite", np.inf),
            ("-infinite", -np.inf),
            ("-0.0", -0.0),
        )
        for kind, value in odd_values:
            odd = np.where(some, value, block)[:few]
            yield kind, _frame(program, columns, odd, rng, kind)
        if any(c.is_text or c.numbers for c in columns):
            odd = np.floor(block) + rng.choice([0.5, -1.0, 1e9], block.shape)
            yield (
                "unseen",
                _frame(program, columns, np.where(some, odd, block)[:few], rng, "unseen"),
            )


# -- what the program looks at ---------------------------------------------------------------------
def _columns(program: Program, sample: Any) -> list[ColumnProbes]:
    columns = [ColumnProbes(is_text=c.kind == "text") for c in program.columns]
    for step in program.steps:
        if isinstance(step.op, Encode):
            for c in _origin(program, step.inputs[0]) or ():
                categories = step.op.categories
                if isinstance(categories, Text):
                    columns[c].is_text = True
                    columns[c].words.extend(categories.values[:1000])
                else:
                    columns[c].numbers.extend(categories.values.astype(float).tolist()[:1000])
        elif isinstance(step.op, IsMissing) and isinstance(step.op.value, str):
            for c in _origin(program, step.inputs[0]) or ():
                columns[c].is_text = True
                columns[c].words.append(step.op.value)
        elif isinstance(step.op, Terms):
            for c in _origin(program, step.inputs[0]) or ():
                columns[c].is_text = True
                columns[c].words.extend(documents(step.op))
        elif isinstance(step.op, Where):
            _constant_words(program, step.inputs, columns)
    for forest, inputs in _direct_forests(program):
        splits = forest.feature.values >= 0
        for c in np.unique(forest.feature.values[splits]):
            if columns[inputs[c]].is_text:
                continue
            at = splits & (forest.feature.values == c) & (forest.category.values < 0)
            columns[inputs[c]].numbers.extend(
                np.unique(forest.threshold.values[at])[:4000].tolist()
            )
    _from_sample(program, sample, columns)
    for column, described in zip(columns, program.columns, strict=True):
        if described.categories is not None:
            column.is_text = any(isinstance(c, str) for c in described.categories)
            column.words = [str(c) for c in described.categories] if column.is_text else []
    return columns


def _constant_words(program: Program, inputs: tuple[int, ...], columns: list[ColumnProbes]) -> None:
    """A column whose missing cells become a word is a column of words."""
    replaced = program.steps[inputs[1]].op
    row = getattr(replaced, "row", None)
    origin = _origin(program, inputs[2])
    if isinstance(row, Text) and origin:
        for c, word in zip(origin, row.values, strict=False):
            columns[c].is_text = True
            columns[c].words.append(word)


def _from_sample(program: Program, sample: Any, columns: list[ColumnProbes]) -> None:
    if not hasattr(sample, "columns") or not hasattr(sample, "dtypes"):
        return
    for described, column in zip(program.columns, columns, strict=True):
        if described.name not in sample.columns:
            continue
        cells = sample[described.name]
        cells = [
            c
            for c in (cells.tolist() if hasattr(cells, "tolist") else list(cells))[:2000]
            if c is not None
        ]
        words = [c for c in cells if isinstance(c, str)]
        if words:
            column.is_text = True
            column.words.extend(sorted(set(words)))
        elif cells and not column.is_text:
            column.numbers.extend(
                float(c) for c in cells[:200] if isinstance(c, (int, float)) and c == c
            )


def _origin(program: Program, step: int) -> tuple[int, ...] | None:
    """The table columns behind a step that only reads, picks, guards, casts or imputes."""
    here = program.steps[step]
    match here.op:
        case Select(columns):
            return columns
        case Take(positions):
            below = _origin(program, here.inputs[0])
            return None if below is None else tuple(below[p] for p in positions)
        case Cast() | Guard() | Encode():
            return _origin(program, here.inputs[0])
        case Concat():
            parts = [_origin(program, i) for i in here.inputs]
            return None if None in parts else tuple(c for p in parts for c in p or ())
        case Where():
            return _origin(program, here.inputs[2])
        case _:
            return None


def _direct_forests(program: Program) -> list[tuple[Forest, tuple[int, ...]]]:
    """Forests whose input columns are table columns, and which."""
    found: dict[int, tuple[Forest, tuple[int, ...]]] = {}
    for step in program.steps:
        if isinstance(step.op, (Trees, Leaves)):
            inputs = _origin(program, step.inputs[0])
            if inputs is not None:
                found[id(step.op.forest)] = (step.op.forest, inputs)
    return list(found.values())


# -- rows ------------------------------------------------------------------------------------------
def _ordinary(columns: list[ColumnProbes], n_rows: int, rng: np.random.Generator) -> Floats:
    """Each cell on a number that the program knows, or one float beside it, or somewhere between."""
    block = np.empty((n_rows, len(columns)))
    for c, column in enumerate(columns):
        known = np.array(column.numbers or [0.0, 1.0, -1.0, 0.5])
        known = known[np.isfinite(known)] if np.isfinite(known).any() else np.zeros(1)
        cells = rng.choice(known, n_rows)
        nudged = rng.integers(0, 4, n_rows)
        cells = np.where(nudged == 1, np.nextafter(cells, np.inf), cells)
        cells = np.where(nudged == 2, np.nextafter(cells, -np.inf), cells)
        spread = np.ptp(known) or 1.0
        block[:, c] = np.where(nudged == 3, cells + rng.normal(0, spread / 4, n_rows), cells)
    return block


def _stand_on_paths(
    forest: Forest, inputs: tuple[int, ...], block: Floats, rng: np.random.Generator
) -> None:
    """Send each row down a random path and set its cells to the boundaries of that path, in place."""
    n = len(block)
    if not forest.n_trees or not n:
        return
    low, high = np.full(block.shape, -np.inf), np.full(block.shape, np.inf)
    base = forest.start.values[rng.integers(0, forest.n_trees, n)]
    node = base.copy()
    column_of = np.array(inputs, np.int64)
    live = np.arange(n)
    while len(live):
        live = live[forest.feature.values[node[live]] >= 0]
        at = node[live]
        c = column_of[forest.feature.values[at]]
        bound = forest.threshold.values[at]
        left = rng.random(len(live)) < 0.5
        left = np.where(bound <= low[live, c], False, np.where(bound >= high[live, c], True, left))
        numeric = forest.category.values[at] < 0
        keep_high, keep_low = left & numeric, ~left & numeric
        high[live[keep_high], c[keep_high]] = bound[keep_high]
        low[live[keep_low], c[keep_low]] = bound[keep_low]
        child = np.where(left, forest.left.values[at], forest.right.values[at])
        node[live] = base[live] + child
    on_high = np.isfinite(high) & ((rng.random(block.shape) < 0.5) | ~np.isfinite(low))
    on_low = np.isfinite(low) & ~on_high
    block[on_high] = high[on_high]
    narrow = rng.random(block.shape) < 0.5
    beyond = np.where(
        narrow,
        np.nextafter(low, np.inf),
        np.nextafter(low.astype(np.float32), np.float32(np.inf)).astype(np.float64),
    )
    block[on_low] = beyond[on_low]


# -- containers ------------------------------------------------------------------------------------
def _frame(
    program: Program,
    columns: list[ColumnProbes],
    block: Floats,
    rng: np.random.Generator,
    kind: str,
) -> Any:
    """The block as the kind of table that the source was fitted on."""
    text = [c.is_text for c in columns]
    if not program.named and not any(text):
        return block
    cells: dict[str, Any] = {}
    for c, described in enumerate(program.columns):
        cells[described.name] = block[:, c]
        if text[c]:
            # The source may refuse odd words even where nothing depends on them.
            odd = kind if c in program.used_columns else ""
            cells[described.name] = _words(columns[c].words, len(block), rng, odd)
    if not program.named:
        return np.column_stack([np.asarray(v, dtype=object) for v in cells.values()])
    import pandas as pd

    frame = pd.DataFrame(cells)
    for described in program.columns:
        if described.categories is not None:
            frame[described.name] = _categorical(described.categories, len(block), rng, kind)
    return frame


def _series(
    program: Program, column: ColumnProbes, n_rows: int, rng: np.random.Generator
) -> Iterator[tuple[str, Any]]:
    """One cell a row: collections, words or numbers, then odd ones among them."""
    spread = next((s.op for s in program.steps if isinstance(s.op, Features)), None)
    if spread is not None:
        yield "boundary", collections(spread, n_rows, rng)
    elif column.is_text:
        for kind in ("boundary", "missing", "unseen"):
            yield kind, _words(column.words, n_rows, rng, kind)
    else:
        known = np.array(column.numbers or [0.0, 1.0])
        yield "boundary", rng.choice(known, n_rows)
        yield "unseen", rng.choice(known, n_rows) + 0.5


def _words(words: list[str], n_rows: int, rng: np.random.Generator, kind: str) -> npt.NDArray[Any]:
    cells = np.array([*(words or ["a"]), None], dtype=object)[
        rng.integers(0, max(1, len(words)), n_rows)
    ]
    odd = rng.random(n_rows) < 0.3
    if kind == "missing":
        cells[odd] = np.nan
    elif kind == "unseen":
        cells[odd] = _UNSEEN
    return cells


def _categorical(
    categories: tuple[Any, ...], n_rows: int, rng: np.random.Generator, kind: str
) -> Any:
    import pandas as pd

    codes = rng.integers(-1 if kind == "missing" else 0, len(categories), n_rows)
    return pd.Categorical.from_codes(codes, categories=list(categories))
