"""The prepared call of the machine: one row in, its answer out, no dictionary and no block between."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from millrace.backends.numba.assemble import Answer, Assembled, Assembler
from millrace.backends.numba.csr_row import row_maker
from millrace.backends.numba.encode import Encoder
from millrace.backends.numba.instructions import Unsupported
from millrace.backends.numba.trees import TreeEngine
from millrace.ir.program import Program
from millrace.ir.types import Block

Single = Callable[[Any], Any]
"""A row -> what the method answers for it; None where the row is for the general way."""


def single_of_array(
    program: Program,
    types: Sequence[Block],
    engines: Mapping[int, TreeEngine],
    encoders: Mapping[int, Encoder],
) -> Single | None:
    """The call for one-dimensional arrays of the dtype that the program is bound to.

    None where the machine cannot run the program. The caller looks at the dtype and at the number of
    dimensions: nothing else does.
    """
    try:
        assembled = Assembler(program, types, engines, encoders, of_array=True).assembled()
        return _of_array(assembled)
    except Unsupported:
        return None


def single_of_cells(
    program: Program,
    types: Sequence[Block],
    engines: Mapping[int, TreeEngine],
    encoders: Mapping[int, Encoder],
) -> tuple[list[int], Single] | None:
    """The columns that are read, and the call for tuples of their cells: numbers, text and None."""
    try:
        assembled = Assembler(program, types, engines, encoders, of_array=False).assembled()
        return assembled.source.columns, _of_cells(assembled)
    except Unsupported:
        return None


def _of_array(assembled: Assembled) -> Single:
    run, empty, dtype, size, finish = _parts(assembled)
    address = assembled.memory.ctypes.data
    answers = assembled.answers

    if len(answers) == 1 and answers[0].shape == "vector" and answers[0].labels is None:

        def number(row: Any, _alive: Any = assembled) -> Any:
            out = empty(1, dtype)
            return None if run(address, row, out) else out[0]

        return number
    if finish is None:

        def cells(row: Any, _alive: Any = assembled) -> Any:
            out = empty(size, dtype)
            return None if run(address, row, out) else out

        return cells

    def finished(row: Any, _alive: Any = assembled) -> Any:
        out = empty(size, dtype)
        return None if run(address, row, out) else finish(out)

    return finished


def _of_cells(assembled: Assembled) -> Single:
    call, array, float64 = _of_array(assembled), np.array, np.float64
    coded = [
        (i, e.cell, e.op.strict, e.op.unknown, {} if e.op.hashed else e.lookup)
        for i, e in enumerate(assembled.source.encoders)
        if e is not None
    ]

    def numbers(cells: Any) -> Any:
        try:
            row = array(cells, float64)
        except (TypeError, ValueError):
            return None
        return call(row) if row.ndim == 1 else None

    def words(cells: Any) -> Any:
        codes = list(cells)
        try:
            for i, code, strict, unknown, lookup in coded:
                cell = codes[i]
                found = lookup.get(cell) if type(cell) is str else None
                if found is None:
                    found = code(cell)
                    if strict and found == unknown:
                        return None
                codes[i] = found
        except (TypeError, ValueError):
            return None
        return numbers(codes)

    return words if coded else numbers


def _parts(assembled: Assembled) -> tuple[Any, ...]:
    """What the calls need, looked up."""
    from millrace.backends.numba.kernels.machine import entry

    run = entry(assembled.source.dtype.itemsize, assembled.dtype.itemsize)
    size = sum(a.width for a in assembled.answers)
    plain = len(assembled.answers) == 1 and assembled.answers[0].is_plain
    finish = None if plain else _finish(assembled.answers, assembled.dtype)
    return run, np.empty, assembled.dtype, size, finish


def _finish(answers: Sequence[Answer], dtype: np.dtype[Any]) -> Callable[[npt.NDArray[Any]], Any]:
    """The cells of the answer as what the method returns."""
    first = answers[0]
    if len(answers) == 1 and first.shape == "csr_matrix":
        make = row_maker(first.width, dtype, csr_matrix)

        def sparse(out: npt.NDArray[Any]) -> Any:
            columns = out.nonzero()[0]
            return make(columns.astype(np.int32), out[columns])

        return sparse
    if any(a.shape == "csr_matrix" for a in answers):
        raise Unsupported
    if len(answers) == 1 and first.labels is not None and first.shape == "vector":
        labels = first.labels
        return lambda out: labels[out[0]]

    def one(answer: Answer, out: npt.NDArray[Any]) -> Any:
        cells = out[answer.first : answer.first + answer.width]
        if answer.labels is not None:
            cells = answer.labels[cells]
        return cells[0] if answer.shape == "vector" else cells

    if len(answers) == 1:
        return lambda out: one(first, out)
    return lambda out: [one(a, out) for a in answers]
