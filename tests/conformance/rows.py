"""Rows made to break a converter or a backend, in the container that the source was fitted on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from millrace.backends import reference
from millrace.ir import Encode, Forest, Leaves, Output, Program, Text, Trees
from millrace.ir.ops import Cast, Concat, Guard, Select, Take
from tests.conformance.cases import Case, plain_columns

NUMBERS = {
    "NaN": np.nan,
    "inf": np.inf,
    "-inf": -np.inf,
    "-0.0": -0.0,
    "tiny": 1e-36,  # counts as zero where LightGBM reads zeros as missing
    "beyond float32": 1e39,
}
WORDS = {"unseen": "\u2203 unseen", "empty text": "", "None": None, "NaN": np.nan, "a number": 7}
FEW = 12
MOST_BOUNDARIES = 300


# -- tables ----------------------------------------------------------------------------------------
def first(rows: Any, n: int) -> Any:
    """The first rows of a table."""
    return rows.iloc[:n].reset_index(drop=True) if isinstance(rows, pd.DataFrame) else rows[:n]


def is_table(rows: Any) -> bool:
    """Whether rows are a dense table, and neither a sparse matrix nor one cell a row."""
    return not sp.issparse(rows) and getattr(rows, "ndim", 1) == 2


def n_rows(rows: Any) -> int:
    """How many rows there are."""
    return rows.shape[0] if hasattr(rows, "shape") else len(rows)


def take(rows: Any, positions: np.ndarray) -> Any:
    """Rows by position."""
    if isinstance(rows, list):
        return [rows[i] for i in positions]
    if isinstance(rows, pd.DataFrame):
        return rows.iloc[positions].reset_index(drop=True)
    return rows[positions]


def column(rows: Any, position: int) -> Any:
    """A column as a NumPy array, or as a pandas Categorical."""
    if not isinstance(rows, pd.DataFrame):
        return rows[:, position]
    series = rows.iloc[:, position]
    return series.array if isinstance(series.dtype, pd.CategoricalDtype) else series.to_numpy()


def replaced(rows: Any, columns: Mapping[int, Any]) -> Any:
    """A copy with other columns; a float in an array of integers makes it an array of floats."""
    if isinstance(rows, pd.DataFrame):
        copy = rows.copy()
        for position, values in columns.items():
            copy.isetitem(position, values)
        return copy
    dtype = np.result_type(rows.dtype, *(np.asarray(v).dtype for v in columns.values()))
    copy = rows.astype(dtype)
    for position, values in columns.items():
        copy[:, position] = values
    return copy


def numeric(rows: Any) -> list[int]:
    """Positions of the columns of numbers (and of booleans)."""
    if not is_table(rows):
        return []
    if isinstance(rows, pd.DataFrame):
        return [
            i for i, d in enumerate(rows.dtypes) if isinstance(d, np.dtype) and d.kind in "biuf"
        ]
    return list(range(rows.shape[1])) if rows.dtype.kind in "biuf" else []


def textual(rows: Any) -> list[int]:
    """Positions of the other columns: text, objects, categories."""
    return [i for i in range(rows.shape[1]) if i not in numeric(rows)] if is_table(rows) else []


def as_dtype(rows: Any, dtype: str) -> Any:
    """The same table with all numbers in one dtype."""
    if isinstance(rows, pd.DataFrame):
        return replaced(rows, {i: column(rows, i).astype(dtype) for i in numeric(rows)})
    return rows.astype(dtype)


# -- batches ---------------------------------------------------------------------------------------
def batches(case: Case, rows: Any) -> Iterator[tuple[str, Any, bool]]:
    """``(kind, rows, by column)``; `by column` marks what is tried one column at a time if refused."""
    yield "own rows", rows, False
    yield "one row", first(rows, 1), False
    yield "no rows", first(rows, 0), False
    if not is_table(rows):
        yield from ((kind, odd, False) for kind, odd in _odd(rows))
        return
    few = first(rows, FEW)
    # Not in the columns that nothing reads: the source validates them all the same.
    numbers = [c for c in numeric(few) if c in case.read]
    words = [c for c in textual(few) if c in case.read]
    for name, value in NUMBERS.items():
        if numbers:
            yield name, with_value(few, numbers, value), True
    for name, value in WORDS.items():
        if words:
            yield f"{name} in text", with_value(few, words, value), True
    yield from ((f"codes of column {c}", r, False) for c, r in _codes(case, few))
    if (boundaries := _boundaries(case, rows)) is not None:
        yield "boundaries", boundaries, False


def _odd(rows: Any) -> Iterator[tuple[str, Any]]:
    """Awkward sparse matrices and series."""
    if sp.issparse(rows):
        yield "other sparse container", rows.tocsc()
        if rows.dtype.kind == "f":
            for name, value in NUMBERS.items():
                with np.errstate(over="ignore"):
                    odd = first(rows, FEW).copy()
                    odd.data[::3] = value
                yield name, odd
        empty = first(rows, 3).copy()
        empty.data[:] = 0
        yield "zeros that are kept", empty
        empty.eliminate_zeros()
        yield "rows without cells", empty
        return
    cells = list(rows)
    words = [c for c in cells if isinstance(c, str)]
    if words:
        for name, value in WORDS.items():
            yield f"{name} in text", [*words[:4], value]
        yield (
            "odd text",
            [
                "",
                " ",
                "\u00c9t\u00e9 \u00df \ufb01 \U0001f600",
                "a\tb\nc",
                words[0].upper(),
                words[0] * 3,
            ],
        )


def with_value(rows: Any, positions: list[int], value: Any) -> Any:
    """The value in every third cell of these columns, and in all of them in the last row."""
    columns = {}
    for position in positions:
        chosen = (np.arange(len(rows)) + position) % 3 == 0
        chosen[-1:] = True
        columns[position] = _with_cells(column(rows, position), chosen, value)
    return replaced(rows, columns)


def _with_cells(cells: Any, chosen: np.ndarray, value: Any) -> Any:
    if isinstance(cells, pd.Categorical):
        if value is None or value != value:
            return pd.Categorical.from_codes(np.where(chosen, -1, cells.codes), dtype=cells.dtype)
        return _with_category(cells, chosen, value)
    if cells.dtype.kind in "biu":
        cells = cells.astype(np.float64)
    with np.errstate(over="ignore"):
        cells = cells.copy()
        cells[chosen] = value
    return cells


def _with_category(cells: pd.Categorical, chosen: np.ndarray, value: Any) -> pd.Categorical:
    """A category of the same kind as the others, which stand in another order as well."""
    numbers = cells.categories.dtype.kind in "iuf"
    new = cells.categories.max() + 1 if numbers else str(value)
    objects = cells.astype(object)
    objects[chosen] = new
    return pd.Categorical(objects, categories=[new, *reversed(cells.categories)])


def _codes(case: Case, rows: Any) -> Iterator[tuple[int, Any]]:
    """Category codes and what lies around them, in columns of numbers that carry categories."""
    found: dict[int, list[float]] = {}
    for program, position, forest in _forests(case.program):
        for node in np.flatnonzero(forest.category.values >= 0):
            at, stop = forest.set_start.values[forest.category.values[node] :][:2]
            source = _source(program, position, int(forest.feature.values[node]))
            if source is not None:
                found.setdefault(source, []).extend(forest.set_member.values[at:stop].tolist())
    for position, step in enumerate(case.program.steps):
        if isinstance(step.op, Encode) and not isinstance(step.op.categories, Text):
            source = _source(case.program, position, 0)
            if source is not None:
                found.setdefault(source, []).extend(
                    step.op.categories.values.astype(float).tolist()
                )
    for source, codes in found.items():
        if source in numeric(rows):
            yield source, _with_codes(rows, source, np.unique(codes))


def _with_codes(rows: Any, position: int, codes: np.ndarray) -> Any:
    codes = codes[np.isfinite(codes)][:60]
    odd = [-0.0, -0.5, -1.0, 1e9, 3e9, 1e19, -1e19, np.nan]
    values = np.concatenate(
        [codes, codes + 0.5, codes - 0.5, np.nextafter(codes, -np.inf), codes + len(codes), odd]
    )
    cells = column(rows, position)
    dtype = cells.dtype if cells.dtype.kind == "f" else np.float64
    rows = take(rows, np.arange(len(values)) % len(rows))
    return replaced(rows, {position: values.astype(dtype)})


# -- thresholds ------------------------------------------------------------------------------------
def _forests(program: Program) -> list[tuple[Program, int, Forest]]:
    found = {
        id(s.op.forest): (program, i, s.op.forest)
        for i, s in enumerate(program.steps)
        if isinstance(s.op, (Trees, Leaves))
    }
    return list(found.values())


def _source(program: Program, step: int, position: int) -> int | None:
    """The table column behind a column of a step's first input, where nothing changes its values."""
    while True:
        step = program.steps[step].inputs[0]
        op = program.steps[step].op
        match op:
            case Select(columns):
                return columns[position]
            case Take(columns):
                position = columns[position]
            case Cast() | Guard():
                pass
            case Concat():
                widths = [_width(program, i) for i in program.steps[step].inputs]
                if None in widths:
                    return None
                for i, width in zip(program.steps[step].inputs, widths, strict=True):
                    if position < width:
                        inner = program.steps[i].op
                        return inner.columns[position] if isinstance(inner, Select) else None
                    position -= width
            case _:
                return None


def _width(program: Program, step: int) -> int | None:
    op = program.steps[step].op
    match op:
        case Select(columns) | Take(columns):
            return len(columns)
        case Encode():
            return 1
        case Cast() | Guard():
            return _width(program, program.steps[step].inputs[0])
        case _:
            return None


def _boundaries(case: Case, rows: Any) -> Any:
    """Own rows that reach a split, moved onto its threshold and onto the floats beside it."""
    places: list[tuple[int, int, float]] = []
    for program, position, forest in _forests(case.program):
        for row, feature, threshold in _reached_splits(case, program, position, forest, rows):
            source = _source(program, position, feature)
            if source is not None and source in numeric(rows):
                places.append((row, source, threshold))
    if not places:
        return None
    rng = np.random.default_rng(0)
    if len(places) > MOST_BOUNDARIES // 5:
        places = [places[i] for i in rng.choice(len(places), MOST_BOUNDARIES // 5, replace=False)]
    cells = [
        (row, source, value)
        for row, source, threshold in places
        for value in _beside(threshold, _dtype(rows, source))
    ]
    made = take(rows, np.array([row for row, _, _ in cells]))
    columns = {source: column(made, source).astype(_dtype(rows, source)) for _, source, _ in cells}
    for i, (_, source, value) in enumerate(cells):
        columns[source][i] = value
    return replaced(made, columns)


def _dtype(rows: Any, position: int) -> np.dtype:
    dtype = column(rows, position).dtype
    return dtype if dtype.kind == "f" else np.dtype(np.float64)


def _beside(threshold: float, dtype: np.dtype) -> list[float]:
    """The threshold and both its neighbours, in float32 and in float64 where that is held."""
    with np.errstate(over="ignore"):
        near = np.float32(threshold)
        values = [
            near,
            np.nextafter(near, np.float32(np.inf)),
            np.nextafter(near, np.float32(-np.inf)),
        ]
    if dtype == np.float64:
        values += [threshold, np.nextafter(threshold, np.inf), np.nextafter(threshold, -np.inf)]
    return [float(v) for v in values if np.isfinite(v)]


def _reached_splits(
    case: Case, program: Program, position: int, forest: Forest, rows: Any
) -> Iterator[tuple[int, int, float]]:
    """A row that reaches each numeric split, the split's feature and its threshold."""
    before = program.steps[position].inputs[0]
    try:
        block = reference.run(
            Program(
                program.columns, program.steps[: before + 1], (Output("x", before),), program.named
            ),
            plain_columns(program, rows),
            case.translation.foreign,
        )["x"]
    except Exception:  # the source refuses its own rows in this dtype: other batches say so
        return
    if sp.issparse(block):
        block = block.toarray()
    for tree in range(forest.n_trees):
        start = int(forest.start.values[tree])
        waiting = [(0, np.arange(len(block)))]
        while waiting:
            node, here = waiting.pop()
            at = start + node
            feature = int(forest.feature.values[at])
            if feature < 0 or not len(here):
                continue
            threshold = float(forest.threshold.values[at])
            if forest.category.values[at] < 0:
                yield int(here[0]), feature, threshold
            left = block[here, feature] <= threshold
            waiting.append((int(forest.left.values[at]), here[left]))
            waiting.append((int(forest.right.values[at]), here[~left]))
