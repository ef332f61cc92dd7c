"""Which columns of a file a model reads, and of what type."""

# pyarrow ships no types.
# pyright: reportUnknownParameterType=false

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from millrace.cli.options import RowOptions
from millrace.data import CsvOptions, Table, open_table
from millrace.data.derive import Derived, with_parts
from millrace.errors import MissingColumnsError, MissingDependencyError, ShapeError
from millrace.ir.arrays import Text
from millrace.ir.ops import Cast, Concat, Encode, Guard, Select, Take, Where
from millrace.ir.program import Program
from millrace.runtime.derived import sources_of


@dataclass(frozen=True)
class Rows:
    """A file as the input of a model.

    Attributes
    ----------
    table : Table
    features : tuple of str
        The file's column for each column of the program.
    named : bool
        Whether the model was fitted with column names.
    used : tuple of int
        Positions of the columns that the model reads.
    """

    table: Table
    features: tuple[str, ...]
    named: bool
    used: tuple[int, ...]

    @classmethod
    def of(
        cls,
        path: Path,
        program: Program,
        options: RowOptions,
        derived: Mapping[str, Derived] | None = None,
    ) -> Rows:
        """Open a file for a model.

        Text columns of a CSV file are read as text even where all their cells look like numbers,
        and whole numbers as floats where the model needs numbers, so that the first rows of a
        file do not decide how the later ones are read.

        Where the file has a date column instead of its parts, which are `derived`, they are computed
        as it is read.

        Raises
        ------
        MissingColumnsError, ShapeError, FileInputError
        """
        csv = CsvOptions(delimiter=options.delimiter, header=options.header)
        table = open_table(path, csv)
        parts = _parts(table, program, derived or {})
        table = with_parts(table, parts)
        features = _features(table, program, options, derived or {})
        types = {
            features[c]: kind
            for c in program.used_columns
            if (kind := _csv_type(program, c, table.schema.field(features[c]).type)) is not None
        }
        types |= {d.column: pa.string() for d in parts.values() if not _is_date(table, d.column)}
        if types:
            table = with_parts(open_table(path, replace(csv, types=types)), parts)
        return cls(table, features, program.named, program.used_columns)

    def batches(self, keep: Sequence[str] = (), rows: int = 65536) -> Iterator[pa.RecordBatch]:
        """Batches with the columns that the model reads and those to keep, and no others."""
        wanted = dict.fromkeys([*(self.features[c] for c in self.used), *keep])
        # The rows have to be counted even for a model that reads none of their cells.
        return self.table.batches(list(wanted) or self.table.schema.names[:1], rows)

    def for_model(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """What the compiled model takes: a column that it does not read may be nulls."""
        if self.named:
            return batch.select([self.features[c] for c in self.used])
        nothing = pa.nulls(batch.num_rows)
        columns = [nothing] * len(self.features)
        for c in self.used:
            columns[c] = batch.column(self.features[c])
        return pa.RecordBatch.from_arrays(columns, [f"x{i}" for i in range(len(columns))])

    def sample(self, n_rows: int) -> Any:
        """The first rows as the source object takes them.

        Returns
        -------
        DataFrame or ndarray
            With all columns that the model was fitted on; a data frame where it was fitted with
            names.
        """
        parts: list[pa.RecordBatch] = []
        for batch in self.table.batches(self.features, min(n_rows, 65536)):
            parts.append(batch.slice(0, n_rows - sum(p.num_rows for p in parts)))
            if sum(p.num_rows for p in parts) >= n_rows:
                break
        schema = pa.schema([self.table.schema.field(f) for f in self.features])
        table = pa.Table.from_batches(parts, schema)
        return _frame(table) if self.named else _array(table)


def _frame(table: pa.Table) -> Any:
    try:
        return table.to_pandas()
    except ModuleNotFoundError as error:
        raise MissingDependencyError.of(
            "pandas", "Comparing with an object that was fitted on a data frame", "bench"
        ) from error


def _array(table: pa.Table) -> Any:
    import numpy as np

    columns = [c.combine_chunks().to_numpy(zero_copy_only=False) for c in table.columns]
    return np.column_stack(columns) if columns else np.empty((table.num_rows, 0))


def _parts(table: Table, program: Program, derived: Mapping[str, Derived]) -> dict[str, Derived]:
    """Columns of the program that the file lacks, and that its dates tell."""
    present, wanted = table.schema.names, {c.name for c in program.columns}
    return {
        name: date
        for name, date in derived.items()
        if name in wanted and name not in present and date.column in present
    }


def _is_date(table: Table, column: str) -> bool:
    """Whether a column has a type that dates can have; one without a cell in a CSV file has not."""
    kind = table.schema.field(column).type
    return bool(pa.types.is_temporal(kind) or pa.types.is_string(kind))


def _features(
    table: Table, program: Program, options: RowOptions, derived: Mapping[str, Derived]
) -> tuple[str, ...]:
    """The file's columns in the order of the program's: by name, else by position."""
    present = table.schema.names
    if unknown := [c for c in (*options.drop, *options.keep) if c not in present]:
        raise MissingColumnsError.of(unknown, present)
    names = tuple(c.name for c in program.columns)
    if program.named:
        absent = [names[c] for c in program.used_columns if names[c] not in present]
        if absent:
            raise MissingColumnsError.of(sources_of(absent, derived), present)
        return names
    rest = [c for c in present if c not in options.drop]
    if len(rest) > len(names):
        rest = [c for c in rest if c not in options.keep]
    if len(rest) != len(names):
        raise ShapeError.wrong_width(len(rest), len(names))
    return tuple(rest)


def _csv_type(program: Program, column: int, found: pa.DataType) -> pa.DataType | None:
    """The type that a column has to be read with, where its cells alone may mislead."""
    if column in text_columns(program):
        return pa.string()
    if program.columns[column].kind == "number" and pa.types.is_integer(found):
        return pa.float64()
    return None


def text_columns(program: Program) -> frozenset[int]:
    """Table columns whose cells are compared with texts."""
    found: set[int] = set()
    for step in program.steps:
        if isinstance(step.op, Encode) and isinstance(step.op.categories, Text):
            found |= _origins(program, step.inputs[0], 0)
    text = (i for i, c in enumerate(program.columns) if c.kind == "text")
    return frozenset({*found, *text})


def _origins(program: Program, position: int, column: int) -> set[int]:
    """Table columns that one column of a step holds values of, filled or guarded on the way."""
    step = program.steps[position]
    match step.op:
        case Select(columns):
            return {columns[column]}
        case Take(columns):
            return _origins(program, step.inputs[0], columns[column])
        case Cast() | Guard():
            return _origins(program, step.inputs[0], column)
        case Where():
            return set().union(*(_origins(program, i, column) for i in step.inputs[1:]))
        case Concat():
            from millrace.ir.types import widths

            for source in step.inputs:
                width = widths(program)[source]
                if column < width:
                    return _origins(program, source, column)
                column -= width
            return set()
        case _:
            return set()
