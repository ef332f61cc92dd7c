"""What preprocessing makes of a table, column by column, as formulas of the table's own columns.

Imputers, scalers and encoders that are fitted on different folds differ in a few numbers only. Here a
stage of a pipeline is written as one `Number`, `Level` or `Word` a column; `map_onto` then gives the
matrix that makes it from the atoms of `millrace.statistics.atoms`, which all folds share.

A transformer is understood by a function that is registered under its class name (`affine`): it gets the
fitted transformer and the columns that it receives, and returns those that it makes, or None where its
parameters make something else than an affine map. Classes and parameters that are not known are declined.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from millrace.solvers.rows import Beside, Chosen, Source, Stage, Through
from millrace.statistics.atoms import AtomGram

NONE = float("nan")
"""The value of a cell that must not occur: missing after all, or an unknown word."""


@dataclass(frozen=True)
class Number:
    """``slope * (x - centre) + offset`` of a column x of numbers; `missing` where x is missing."""

    column: int
    slope: float = 1.0
    centre: float = 0.0
    offset: float = 0.0
    missing: float = NONE

    def turned(self, centre: float, slope: float, offset: float) -> Number:
        """``slope * (value - centre) + offset``."""
        missing = slope * (self.missing - centre) + offset
        if (self.slope, self.centre, self.offset) == (1.0, 0.0, 0.0):
            return replace(self, slope=slope, centre=centre, offset=offset, missing=missing)
        moved = slope * (self.offset - centre) + offset
        return replace(self, slope=slope * self.slope, offset=moved, missing=missing)

    def is_raw(self) -> bool:
        """Whether it is the column of the table itself."""
        return (self.slope, self.centre, self.offset) == (1.0, 0.0, 0.0) and bool(
            np.isnan(self.missing)
        )


@dataclass(frozen=True)
class Word:
    """A column of words (or numbers that are encoded), with `fill` where it is missing."""

    column: int
    fill: Any = None


@dataclass(frozen=True)
class Level:
    """`value` where a column of words is this one, `zero` where it is another one of `known`.

    Attributes
    ----------
    level : object
        None for missing.
    fill : object
        What a missing word stands for; None for itself.
    known : tuple
        The words that may occur, None among them for missing.
    other : float
        The value for any other word.
    """

    column: int
    level: Any
    fill: Any
    known: frozenset[Any]
    other: float
    value: float = 1.0
    zero: float = 0.0

    def turned(self, centre: float, slope: float, offset: float) -> Level:
        """``slope * (value - centre) + offset``."""
        value, zero, other = (
            slope * (v - centre) + offset for v in (self.value, self.zero, self.other)
        )
        return replace(self, value=value, zero=zero, other=other)

    def at(self, level: Any) -> float:
        """Its value for a word, None for missing."""
        word = self.fill if level is None and self.fill is not None else level
        if word not in self.known:
            return self.other
        return self.value if word == self.level else self.zero


@dataclass(frozen=True)
class Opaque:
    """A column that no rule is for: numbers of 32 bits, dates."""

    column: int


Column: TypeAlias = Number | Word | Level | Opaque
Columns: TypeAlias = "tuple[Column, ...] | None"

_RULES: dict[str, Callable[[Any, tuple[Column, ...]], Columns]] = {}


def affine(*class_names: str) -> Callable[[Any], Any]:
    """Register the rule of some classes of scikit-learn."""

    def register(rule: Any) -> Any:
        for name in class_names:
            _RULES[name] = rule
        return rule

    return register


def columns_of(stage: Stage, source: Sequence[Column]) -> Columns:
    """The columns of a stage; None where one of its transformers is no affine map."""
    match stage:
        case Source():
            return tuple(source)
        case Chosen():
            inner = columns_of(stage.parent, source)
            return None if inner is None else tuple(inner[j] for j in stage.columns)
        case Through():
            inner = columns_of(stage.parent, source)
            return None if inner is None else made_by(stage.transformer, inner)
        case Beside():
            parts = [columns_of(p, source) for p in stage.parts]
            return _joined(parts)


def source_columns(head: Any) -> Columns:
    """The columns of a table, from its first rows; None where they are objects without a type."""
    dtypes = list(head.dtypes) if hasattr(head, "dtypes") else [head.dtype] * head.shape[1]
    if not hasattr(head, "dtypes") and (hasattr(head, "indptr") or head.dtype == object):
        return None
    return tuple(_source_column(j, dtype) for j, dtype in enumerate(dtypes))


def _source_column(j: int, dtype: Any) -> Column:
    kind = getattr(dtype, "kind", "O")
    if kind in "iu" or dtype == np.float64:
        return Number(j)
    return Opaque(j) if kind in "fcmMV" else Word(j)


def made_by(transformer: Any, columns: tuple[Column, ...]) -> Columns:
    """What a fitted transformer makes of columns."""
    cls = type(transformer)
    if not cls.__module__.startswith("sklearn.") or cls.__name__ not in _RULES:
        return None
    return _RULES[cls.__name__](transformer, columns)


def _joined(parts: Sequence[Columns]) -> Columns:
    found: list[Column] = []
    for part in parts:
        if part is None:
            return None
        found += part
    return tuple(found)


def _turned(columns: tuple[Column, ...], centre: Any, slope: Any, offset: Any) -> Columns:
    """``slope * (x - centre) + offset`` of every column, with scalars or one number a column."""
    n = len(columns)
    found: list[Column] = []
    for column, c, s, o in zip(
        columns,
        *(np.broadcast_to(v, n).tolist() for v in (centre, slope, offset)),
        strict=True,
    ):
        if not isinstance(column, (Number, Level)):
            return None
        found.append(column.turned(c, s, o))
    return tuple(found)


@affine("StandardScaler")
def _standard(scaler: Any, columns: tuple[Column, ...]) -> Columns:
    centre = scaler.mean_ if scaler.with_mean else 0.0
    return _turned(columns, centre, 1.0 / scaler.scale_ if scaler.with_std else 1.0, 0.0)


@affine("RobustScaler")
def _robust(scaler: Any, columns: tuple[Column, ...]) -> Columns:
    centre = scaler.center_ if scaler.with_centering else 0.0
    return _turned(columns, centre, 1.0 / scaler.scale_ if scaler.with_scaling else 1.0, 0.0)


@affine("MinMaxScaler")
def _min_max(scaler: Any, columns: tuple[Column, ...]) -> Columns:
    return None if scaler.clip else _turned(columns, 0.0, scaler.scale_, scaler.min_)


@affine("MaxAbsScaler")
def _max_abs(scaler: Any, columns: tuple[Column, ...]) -> Columns:
    if getattr(scaler, "clip", False):
        return None
    return _turned(columns, 0.0, 1.0 / scaler.scale_, 0.0)


@affine("FunctionTransformer")
def _function(transformer: Any, columns: tuple[Column, ...]) -> Columns:
    return columns if transformer.func is None else None


@affine("SimpleImputer")
def _imputer(imputer: Any, columns: tuple[Column, ...]) -> Columns:
    plain = isinstance(imputer.missing_values, float) and np.isnan(imputer.missing_values)
    fills = imputer.statistics_.tolist()
    if not plain or any(isinstance(f, float) and np.isnan(f) for f in fills):
        return None
    found: list[Column] = []
    for column, fill in zip(columns, fills, strict=True):
        filled = _filled(column, fill)
        if filled is None:
            return None
        found.append(filled)
    if imputer.add_indicator:
        for j in imputer.indicator_.features_.tolist():
            column = columns[j]
            if not isinstance(column, Number):
                return None
            mark = 1.0 if np.isnan(column.missing) else 0.0
            found.append(Number(column.column, 0.0, 0.0, 0.0, mark))
    return tuple(found)


def _filled(column: Column, fill: Any) -> Column | None:
    if isinstance(column, Number) and isinstance(fill, (int, float)):
        return replace(column, missing=float(fill)) if np.isnan(column.missing) else column
    if isinstance(column, Word) and isinstance(fill, str):
        return column if column.fill is not None else replace(column, fill=fill)
    return None


@affine("OneHotEncoder")
def _one_hot(encoder: Any, columns: tuple[Column, ...]) -> Columns:
    if encoder._infrequent_enabled or encoder.handle_unknown not in ("error", "ignore"):
        return None
    dropped = [None] * len(columns) if encoder.drop_idx_ is None else encoder.drop_idx_
    other = 0.0 if encoder.handle_unknown == "ignore" else NONE
    found: list[Column] = []
    for column, categories, drop in zip(columns, encoder.categories_, dropped, strict=True):
        if isinstance(column, Number) and column.is_raw():
            column = Word(column.column)
        levels = [_level(v) for v in categories.tolist()]
        if not isinstance(column, Word) or len(set(levels)) < len(levels):
            return None
        known = frozenset(levels)
        found += [
            Level(column.column, level, column.fill, known, other)
            for place, level in enumerate(levels)
            if place != drop
        ]
    return tuple(found)


def _level(value: Any) -> Any:
    return None if isinstance(value, float) and np.isnan(value) else value


@affine("ColumnTransformer")
def _side_by_side(transformer: Any, columns: tuple[Column, ...]) -> Columns:
    parts: list[Columns] = []
    for name, step, _, weight in transformer._iter(
        fitted=True, column_as_labels=False, skip_drop=True, skip_empty_columns=True
    ):
        chosen = tuple(columns[j] for j in transformer._transformer_to_input_indices[name])
        parts.append(_part(step, chosen, weight))
    return _joined(parts)


@affine("FeatureUnion")
def _union(union: Any, columns: tuple[Column, ...]) -> Columns:
    return _joined([_part(step, columns, weight) for _, step, weight in union._iter()])


def _part(step: Any, columns: tuple[Column, ...], weight: float | None) -> Columns:
    made = columns if step in (None, "passthrough") else made_by(step, columns)
    return made if made is None or weight is None else _turned(made, 0.0, weight, 0.0)


@affine("Pipeline")
def _one_after_the_other(pipeline: Any, columns: tuple[Column, ...]) -> Columns:
    found: Columns = columns
    for _, step in pipeline.steps:
        if found is not None:
            found = _part(step, found, None)
    return found


@dataclass(frozen=True)
class Map:
    """``X = atoms @ matrix + offset``, as long as the `refused` atoms are zero in all rows.

    Attributes
    ----------
    matrix : numpy.ndarray of float64 (n_atoms, n_columns)
    offset : numpy.ndarray of float64 (n_columns,)
    refused : numpy.ndarray of bool (n_atoms,)
    """

    matrix: np.ndarray
    offset: np.ndarray
    refused: np.ndarray


def map_onto(columns: tuple[Column, ...], atoms: AtomGram) -> Map | None:
    """How columns are made of atoms; None where some are missing among them or stay words."""
    p = len(atoms.numbers)
    number = {column: k for k, column in enumerate(atoms.numbers)}
    firsts = np.cumsum([2 * p, *(len(one) + 2 for one in atoms.levels)]).tolist()
    words = {c: (firsts[k], atoms.levels[k]) for k, c in enumerate(atoms.words)}
    matrix, offset = np.zeros((atoms.n_atoms, len(columns))), np.zeros(len(columns))
    refused = np.zeros(atoms.n_atoms, bool)
    for j, one in enumerate(columns):
        if isinstance(one, Number) and one.column in number:
            k = number[one.column]
            offset[j] = one.slope * (atoms.shift[k] - one.centre) + one.offset
            matrix[k, j] = one.slope
            if np.isnan(one.missing):
                refused[p + k] = True
            else:
                matrix[p + k, j] = one.missing - offset[j]
        elif isinstance(one, Level) and one.column in words:
            first, levels = words[one.column]
            _set_levels(one, first, levels, matrix[:, j], refused)
        else:
            return None
    return Map(matrix, offset, refused)


def _set_levels(
    one: Level, first: int, levels: tuple[Any, ...], line: np.ndarray, refused: np.ndarray
) -> None:
    """The value of one column for every level, for missing and for any other word."""
    for k, level in enumerate((*levels, None)):
        value = one.at(level)
        refused[first + k] |= np.isnan(value)
        line[first + k] = 0.0 if np.isnan(value) else value
    refused[first + len(levels) + 1] |= np.isnan(one.other)
    line[first + len(levels) + 1] = 0.0 if np.isnan(one.other) else one.other


def atoms_of(stages: Sequence[tuple[Column, ...]], head: Any, target: bool) -> AtomGram | None:
    """The atoms of which the columns of all stages are made; None where there are none such."""
    numbers: dict[int, None] = {}
    words: dict[int, set[Any]] = {}
    for column in (c for columns in stages for c in columns):
        if isinstance(column, Number):
            numbers[column.column] = None
        elif isinstance(column, Level):
            words.setdefault(column.column, set()).update(column.known)
        else:
            return None
    levels: list[tuple[Any, ...]] = []
    for found in words.values():
        try:
            levels.append(tuple(sorted(found - {None})))
        except TypeError:  # words of several types
            return None
    chosen = tuple(sorted(numbers))
    shift = tuple(_middle(head, j) for j in chosen)
    return AtomGram(chosen, shift, tuple(words), tuple(levels), target)


def _middle(head: Any, j: int) -> float:
    """The median of the first rows of a column: where all are equal, that value itself."""
    column = head.iloc[:, j].to_numpy() if hasattr(head, "iloc") else head[:, j]
    values = np.asarray(column, np.float64)
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else 0.0
