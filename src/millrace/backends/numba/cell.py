"""One text or one collection -> its row of counts, without the way of a column.

For programs that count terms or spread features and do nothing more than make that dense. What is unusual
(text beyond what `TermCounter` takes as it is, a feature that occurs twice, an error) is for the general
way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from millrace.backends.numba.csr_row import row_maker
from millrace.backends.numba.names import encoded
from millrace.backends.numba.terms import FeatureSpreader, TermCounter, _classes
from millrace.errors import MillraceError
from millrace.ir.ops import Dense, Features, Select, Terms
from millrace.ir.program import Program

Counted = tuple[npt.NDArray[Any], npt.NDArray[Any]]
"""The columns of a row that hold something, ascending, and what they hold."""

Single = Callable[[Any], Any]
"""A cell -> the answer for a batch of that cell alone; None where the cell is for the general way."""


def single_of_cell(program: Program, collections: Mapping[int, Any]) -> Single | None:
    """The call for one cell; None for a program of another form.

    Parameters
    ----------
    program : Program
        Bound to a column of objects.
    collections : mapping
        The `TermCounter` or `FeatureSpreader` of each step.
    """
    ops = [s.op for s in program.steps]
    if len(ops) not in (2, 3) or len(program.outputs) != 1 or not isinstance(ops[0], Select):
        return None
    (output,), op = program.outputs, ops[1]
    if output.step != len(ops) - 1 or not isinstance(op, (Terms, Features)):
        return None
    dense = isinstance(ops[-1], Dense)
    if dense != (len(ops) == 3) or dense != (output.shape == "matrix"):
        return None
    count = (_terms if isinstance(op, Terms) else _features)(collections[1])
    if dense:
        return _dense(count, op.n_features, op.dtype)
    kind = sp.csr_array if output.shape == "csr_array" else sp.csr_matrix
    return _sparse(count, op.n_features, op.dtype, kind)


# -- counting ------------------------------------------------------------------------------
def _terms(counter: TermCounter) -> Callable[[Any], Counted | None]:
    from millrace.backends.numba.kernels.terms import count_documents

    op, dtype = counter.op, np.dtype(counter.op.dtype)
    tables = (*counter.table, *counter.stops, counter.options)
    lower, start = np.array([op.lowercase]), np.zeros(1, np.int64)
    narrow, wide = _classes(counter.kind, 128), None
    takes_ascii = counter.pattern is None

    def count(cell: Any) -> Counted | None:
        nonlocal wide
        if type(cell) is not str:
            return None
        if takes_ascii and cell.isascii():
            text = np.frombuffer(cell.encode(), np.uint8)
            given: Any = (text, start, np.array([len(text)]), lower, narrow)
        else:
            *given, plain = counter._from_cells([cell])
            if wide is None and takes_ascii:
                wide = _classes(counter.kind, 0x110000)
            given = (*given, plain & op.lowercase, wide if takes_ascii else narrow)
        arguments: Any = (*given, *tables)
        _, columns, counts = count_documents(*arguments)
        return columns, counts.astype(dtype)

    return count


def _features(spreader: FeatureSpreader) -> Callable[[Any], Counted | None]:
    op = spreader.op
    if op.names is None and op.kind == "dict" and op.dtype == "float64":
        return _hashed(op)

    def count(cell: Any) -> Counted | None:
        columns, values, _ = spreader._parts([cell])
        if len(columns) > 1:
            order = columns.argsort()
            columns, values = columns[order], values[order]
            if (columns[1:] == columns[:-1]).any():
                return None
        return columns.astype(np.int32), values

    return count


def _hashed(op: Features) -> Callable[[Any], Counted | None]:
    """For mappings of names to numbers and text, as `FeatureSpreader` has it."""
    from millrace.backends.numba.kernels.terms import hash_names

    def count(cell: Any) -> Counted | None:
        if type(cell) is not dict:
            return None
        features = _named_numbers(cell, op.separator)
        if features is None:
            return None
        names, numbers = features
        totals: dict[int, float] = {}
        seen: set[int] = set()
        for code, number in zip(hash_names(*encoded(names)).tolist(), numbers, strict=True):
            column = abs(code) % op.n_features
            signed = -number if code < 0 and op.alternate_sign else number
            if column not in totals:
                totals[column] = signed
            elif column in seen:  # the order of three additions is SciPy's affair
                return None
            else:
                totals[column] += signed
                seen.add(column)
        columns = sorted(totals)
        return np.array(columns, np.int32), np.array([totals[c] for c in columns], np.float64)

    return count


def _named_numbers(cell: dict[Any, Any], separator: str) -> tuple[list[str], list[float]] | None:
    """The features of a mapping that are not zero; None where a value is neither number nor text."""
    names: list[str] = []
    numbers: list[float] = []
    for name, value in cell.items():
        kind = type(value)
        if type(name) is not str:
            return None
        if kind is str:
            names.append(f"{name}{separator}{value}")
            numbers.append(1.0)
        elif kind is not float and kind is not int:
            return None
        elif value:
            names.append(name)
            numbers.append(float(value))
    return names, numbers


# -- answers -------------------------------------------------------------------------------
_REFUSALS = (MillraceError, TypeError, ValueError, AttributeError, OverflowError)
"""Errors that the general way is to raise in its own words."""


def _dense(count: Callable[[Any], Counted | None], width: int, dtype: str) -> Single:
    def single(cell: Any) -> Any:
        try:
            found = count(cell)
        except _REFUSALS:
            return None
        if found is None:
            return None
        answer = np.zeros((1, width), dtype)
        answer[0, found[0]] = found[1]
        return answer

    return single


def _sparse(count: Callable[[Any], Counted | None], width: int, dtype: str, kind: Any) -> Single:
    make = row_maker(width, np.dtype(dtype), kind)

    def single(cell: Any) -> Any:
        try:
            found = count(cell)
        except _REFUSALS:
            return None
        return None if found is None else make(*found)

    return single
