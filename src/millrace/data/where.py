"""Which rows of a table are wanted: a condition on its columns."""

# pyarrow ships no types, and polars and DuckDB are optional.
# pyright: reportUnknownParameterType=false, reportUnknownVariableType=false

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from typing import Any

import pyarrow as pa

from millrace.data.source import Source, one_line
from millrace.errors import FileInputError, MissingColumnsError

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq, "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le,
    ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


class Where:
    """A condition that rows have to meet; where it is null, a row does not.

    Parameters
    ----------
    given : pyarrow.dataset.Expression, or sequence of (column, operator, value)
        All of them have to hold. Operators are ``==`` (or ``=``), ``!=``, ``<``, ``<=``, ``>``, ``>=``,
        ``in`` and ``not in``.
    schema : pyarrow.Schema
        Of the table.

    Attributes
    ----------
    expression : pyarrow.dataset.Expression
    columns : list of str
        Those that it needs.

    Raises
    ------
    MissingColumnsError
        A column is not in the table.
    FileInputError
        The condition cannot be computed: an unknown operator, a text compared with a number.
    """

    def __init__(self, given: Any, schema: pa.Schema) -> None:
        from pyarrow import compute

        self._conditions: Sequence[tuple[str, str, Any]] | None = None
        if isinstance(given, compute.Expression):
            self.expression: Any = given
        else:
            self._conditions = _conditions(given)
            if missing := [c for c, _, _ in self._conditions if c not in schema.names]:
                raise MissingColumnsError.of(missing, schema.names)
            self.expression = reduce(operator.and_, map(_arrow, self._conditions))
        empty = schema.empty_table()
        try:
            empty.filter(self.expression)
        except (pa.ArrowException, TypeError) as error:
            raise FileInputError.unreadable("the rows of where=...", one_line(error)) from error
        self.columns = [c for c in schema.names if not _works(empty.drop([c]), self.expression)]

    def __str__(self) -> str:
        return str(self.expression)

    def keep(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The rows that meet the condition."""
        return batch.filter(self.expression)

    def polars(self) -> Any:
        """As a polars expression; None where it was not given as a list."""
        import polars as pl

        if self._conditions is None:
            return None
        return reduce(
            operator.and_, (_built(pl.col(c), op, v, _polars_in) for c, op, v in self._conditions)
        )

    def duckdb(self) -> Any:
        """As a DuckDB expression; None where it was not given as a list."""
        import duckdb

        if self._conditions is None:
            return None

        def among(column: Any, values: list[Any]) -> Any:
            return column.isin(*(duckdb.ConstantExpression(v) for v in values))

        return reduce(
            operator.and_,
            (
                _built(
                    duckdb.ColumnExpression(c),
                    op,
                    list(v) if op.endswith("in") else duckdb.ConstantExpression(v),
                    among,
                )
                for c, op, v in self._conditions
            ),
        )


def _polars_in(column: Any, values: list[Any]) -> Any:
    return column.is_in(values)


def _conditions(given: Any) -> Sequence[tuple[str, str, Any]]:
    if isinstance(given, tuple) and len(given) == 3 and isinstance(given[0], str):
        given = [given]
    expected = "expected a pyarrow expression or a list of (column, operator, value)"
    try:
        found = [(str(c), str(op), value) for c, op, value in given]
    except (TypeError, ValueError) as error:
        raise FileInputError.unreadable("the rows of where=...", expected) from error
    known = (*_OPERATORS, "in", "not in")
    for _, op, _ in found:
        if op not in known:
            why = f"{op!r} is no operator of {', '.join(known)}"
            raise FileInputError.unreadable("the rows of where=...", why)
    if not found:
        raise FileInputError.unreadable("the rows of where=...", expected)
    return found


def _built(column: Any, op: str, value: Any, among: Callable[[Any, list[Any]], Any]) -> Any:
    if op in _OPERATORS:
        return _OPERATORS[op](column, value)
    found = among(column, list(value))
    return ~found if op == "not in" else found


def _arrow(condition: tuple[str, str, Any]) -> Any:
    """A condition for Arrow, where a null is not ``not in`` a list either."""
    from pyarrow import compute

    name, op, value = condition
    column = compute.field(name)
    found = _built(column, op, value, lambda c, values: c.isin(values))
    return found & column.is_valid() if op == "not in" else found


def _works(table: pa.Table, expression: Any) -> bool:
    try:
        table.filter(expression)
    except (pa.ArrowException, TypeError):
        return False
    return True


class Filtered(Source):
    """The rows of a source that meet a condition."""

    def __init__(self, source: Source, where: Where) -> None:
        self._source = source
        self._where = where
        self.schema = source.schema
        self.name = source.name
        self.path = source.path
        self.in_memory = source.in_memory
        self.named = source.named
        self.row_bytes = source.row_bytes

    def read(self, columns: Sequence[str], rows: int, start: int = 0) -> Iterator[pa.RecordBatch]:
        """Rows are counted after filtering, so those before `start` are read too."""
        wanted = list(dict.fromkeys([*columns, *self._where.columns]))
        for batch in self._source.read(wanted, rows):
            kept = self._where.keep(batch)
            if start < kept.num_rows:
                yield kept.slice(start).select(list(columns))
            start = max(start - kept.num_rows, 0)

    def fraction_read(self) -> float | None:
        """Of the source."""
        return self._source.fraction_read()

    def fingerprint(self) -> Iterator[object]:
        """The source's, and the condition."""
        yield from self._source.fingerprint()
        yield str(self._where)
