"""The table that is trained on.

It is without the columns to drop and without rows that have no target, and has the parts of its dates.
"""

# pyarrow ships no types.
# pyright: reportUnknownParameterType=false, reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import pyarrow as pa

from millrace.data import Table, scan
from millrace.data.derive import Derived, all_parts, date_columns, moments_of, with_parts
from millrace.data.source import Source
from millrace.data.splits import TrainTest
from millrace.data.where import Filtered, Where
from millrace.errors import ColumnTypeError, FitError, MissingColumnsError

HELD = 1
"""The part of the rows that is held out."""

pc: Any = import_module("pyarrow.compute")


class Counted(Source):
    """A source that counts the rows it gives.

    Attributes
    ----------
    n_given : int
        Rows of the longest read so far.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.schema, self.name, self.path = source.schema, source.name, source.path
        self.in_memory, self.named, self.row_bytes = (
            source.in_memory,
            source.named,
            source.row_bytes,
        )
        self.n_given = 0

    def read(self, columns: Sequence[str], rows: int, start: int = 0) -> Iterator[pa.RecordBatch]:
        """As the source."""
        given = start
        for batch in self._source.read(columns, rows, start):
            given += batch.num_rows
            self.n_given = max(self.n_given, given)
            yield batch

    def fraction_read(self) -> float | None:
        """As the source."""
        return self._source.fraction_read()

    def fingerprint(self) -> Iterator[object]:
        """As the source."""
        yield from self._source.fingerprint()


@dataclass(frozen=True)
class Opened:
    """What is trained on.

    Attributes
    ----------
    table : Table
    counted : Counted, optional
        Where rows without a target are left out: all rows.
    nested : tuple of (str, str)
        Columns of lists and structures, which are not read, and their types.
    dates : mapping of str to Derived
        Columns that are parts of date columns, which come before them.
    words : mapping of str to str
        Columns that look like dates and are none, and why.
    """

    table: Table
    counted: Counted | None
    nested: tuple[tuple[str, str], ...]
    dates: Mapping[str, Derived]
    words: Mapping[str, str]


def opened(
    table: Any,
    target: str,
    drop: Sequence[str],
    drop_missing_target: bool,
    words: Mapping[str, str] | None = None,
) -> Opened:
    """The table to train on; columns of `words` are not taken for dates.

    Raises
    ------
    FitError
        The target is not in the table, or is to be dropped, or nothing else is there.
    MissingColumnsError
        A column to drop is not in the table.
    """
    given = scan(table)
    names = given.schema.names
    if target not in names:
        raise FitError.no_target(target, names)
    if unknown := [c for c in drop if c not in names]:
        raise MissingColumnsError.of(unknown, names)
    if target in drop:
        raise FitError(f"Column {target!r} is the target; it cannot be dropped as well.")
    if given.matrix is not None:
        raise FitError.of_matrix("target", [names.index(target)])
    source, counted = given._source, None
    if drop_missing_target:
        counted = Counted(source)
        present = ~pc.field(target).is_null(
            nan_is_null=pa.types.is_floating(source.schema.field(target).type)
        )
        source = Filtered(counted, Where(present, source.schema))
    fields = [f for f in source.schema if f.name in names and f.name not in drop]
    nested = tuple((f.name, str(f.type)) for f in fields if _is_nested(f.type) and f.name != target)
    left = {name for name, _ in nested}
    wanted = [c for c in names if c not in drop and c not in left]
    if wanted == [target]:
        raise FitError("No column is left to learn from: the table has only the target.")
    kept = Table(source, wanted)
    kept.named = True  # names that are no texts stand there as texts
    words = words or {}
    dates = _dates(kept, [c for c in wanted if c != target and c not in words])
    return Opened(with_parts(kept, dates), counted, nested, dates, words)


def not_dates(start: Opened) -> dict[str, str]:
    """Columns of texts that were taken for dates by their first rows, and what shows that they are none.

    Reads these columns once.
    """
    texts = {
        d.column: d.zone
        for d in start.dates.values()
        if not pa.types.is_temporal(start.table.schema.field(d.column).type)
    }
    found: dict[str, str] = {}
    if not texts:
        return found
    first = 0
    for batch in start.table.batches(list(texts)):
        for column in texts.keys() - found.keys():
            try:
                moments_of(batch.column(column), texts[column], column, first)
            except ColumnTypeError as error:
                found[column] = str(error)
        first += batch.num_rows
    return {c: found[c] for c in texts if c in found}


def _dates(table: Table, names: Sequence[str]) -> dict[str, Derived]:
    """The parts of all dates; a column of the table goes before a part of its name."""
    found: dict[str, Derived] = {}
    for column, zone in date_columns(table, names).items():
        found |= all_parts(column, zone)
    return {name: date for name, date in found.items() if name not in table.schema.names}


def _is_nested(kind: pa.DataType) -> bool:
    """Whether cells hold several values, which have no order."""
    return bool(pa.types.is_nested(kind)) and not pa.types.is_dictionary(kind)


def missing_targets(table: Table, target: str) -> tuple[int, int]:
    """Rows whose target is missing, and all rows: reads that column once."""
    missing = total = 0
    for batch in table.batches([target]):
        found = pc.is_null(batch.column(0), nan_is_null=True)
        missing += int(pc.sum(found).as_py() or 0)
        total += batch.num_rows
    return missing, total


class HeldOut:
    """Which rows are held out (part 1); stratified as soon as the target is known to be classes.

    Stands where a fit takes folds. The first sweep, which tells the task, asks for all rows.
    """

    n = 2
    key = None

    def __init__(self, fraction: float, seed: int) -> None:
        self._split = TrainTest(fraction, seed=seed)

    def stratify(self) -> None:
        """Deal the rows of every class evenly from now on."""
        self._split = TrainTest(self._split.test_fraction, seed=self._split.seed, stratify=True)

    def of(self, first: int, n: int, batch: Any = None, target: Any = None) -> np.ndarray:
        """0 for the rows to learn from and 1 for those held out: int8 (n,)."""
        return self._split.of(first, n, batch, target)
