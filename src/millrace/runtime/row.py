"""One row at a time: the lookups are done once, the call is about a microsecond."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_matrix

from millrace.errors import ColumnTypeError, ShapeError

if TYPE_CHECKING:
    from millrace.ir.program import Column
    from millrace.runtime.model import CompiledModel, Runnable

Single = Callable[[Any], Any]
"""A row -> the answer for it, or None where the row is for the general way."""


class CellFunctions:
    """The calls for a batch of one text, collection or number, by method; see `CompiledModel.call`."""

    def __init__(self, model: CompiledModel) -> None:
        self.model = model
        self._of_method: dict[tuple[str, Any], Single | None] = {}

    def __call__(self, method: str, rows: Any) -> Any:
        """The answer for a list or an array that holds one cell; None for any other."""
        kind = type(rows)
        if kind is list:
            dtype = _OBJECT
        elif kind is np.ndarray and rows.ndim == 1:
            dtype = _OBJECT if rows.dtype.kind == "O" else rows.dtype  # it may be another instance
        else:
            return None
        if len(rows) != 1:
            return None
        key = method, dtype
        if key not in self._of_method:
            self._of_method[key] = self._prepared(method, dtype)
        single = self._of_method[key]
        if single is None:
            return None
        return single(rows[0]) if dtype is _OBJECT else _batch_of(single(rows))

    def _prepared(self, method: str, dtype: Any) -> Single | None:
        of_cell = dtype is _OBJECT
        if method not in self.model._names or not (of_cell or dtype.kind in "fiub"):
            return None
        runnable: Any = self.model.runnable(method, (str(dtype),))
        plan = _plan(runnable, "single_of_cell" if of_cell else "single_of_array")
        if plan is None or not dtype.isnative:
            return None
        return plan.single_of_cell(runnable.collections) if of_cell else plan.single_of_array()


_OBJECT = np.dtype(object)


def _batch_of(answer: Any) -> Any:
    """The answer for one row as that of a batch; None where it is no number, and no array of them."""
    if type(answer) is np.ndarray:
        return answer[None, :]
    return np.array([answer]) if isinstance(answer, np.number) else None


class RowFunction:
    """A prepared method for single rows; see `CompiledModel.row_function`.

    A row of a kind that was seen before goes to the call that the backend has prepared for it (`Single`).
    Where that has no answer, and for all other rows, the way of the whole table is taken, which answers
    or raises.
    """

    def __init__(self, model: CompiledModel, method: str) -> None:
        self.model = model
        self.method = method
        self._names = [c.name for c in model.program.columns]
        self._width = len(self._names)
        first, *others = model._names[method]
        plain = not others and "/" not in first and first not in model.program.cubes
        self._only = first if plain else None
        self._of_array: dict[Any, Single] = {}
        self._of_mapping: Single | None = None
        series = model.program.form == "series"
        self._series = model.program.columns[0] if series else None

    def __call__(self, row: Any) -> Any:
        if type(row) is np.ndarray and row.ndim == 1 and self._series is None:
            prepared = self._of_array.get(row.dtype)
            if prepared is not None:
                answer = prepared(row)
                if answer is not None:
                    return answer
                return self._array(row)
            return self._prepare_array(row)
        return self._of_another_kind(row)

    def _of_another_kind(self, row: Any) -> Any:
        if self._series is not None:
            return self._batch([self._cell(row, self._series)])
        if isinstance(row, Mapping):
            prepared = self._of_mapping or self._prepare_mapping()
            answer = prepared(row)
            return self._batch([dict(row)]) if answer is None else answer
        if isinstance(row, (tuple, list)):
            if len(row) != self._width:
                raise ShapeError.wrong_width(len(row), self._width)
            return self._of_another_kind(dict(zip(self._names, row, strict=True)))
        if hasattr(row, "to_dict") and len(row.shape) == 1:
            return self(row.to_dict() if self.model.program.named else row.to_numpy())
        if self.model._flat and np.ndim(row) == 0:
            return self._batch([[row]])
        return self._batch(row)

    def _cell(self, row: Any, column: Column) -> Any:
        """The only cell of a row: a collection is the cell itself, all else may stand in one."""
        if column.kind == "object":
            return row
        if isinstance(row, Mapping):
            if set(row) != {column.name}:
                raise ColumnTypeError.unsupported(
                    f"the row {dict(row)!r:.80}", f"one cell, or a dict of {column.name!r} alone"
                )
            return row[column.name]
        if isinstance(row, (tuple, list)) or len(getattr(row, "shape", ())) == 1:
            if len(row) != 1:
                raise ShapeError.wrong_width(len(row), 1)
            return next(iter(row))
        return row

    # -- arrays ----------------------------------------------------------------------------
    def _array(self, row: Any) -> Any:
        """A row that the prepared call has no answer for."""
        if len(row) != self._width:
            raise ShapeError.wrong_width(len(row), self._width)
        return self._batch(row[None, :])

    def _prepare_array(self, row: Any) -> Any:
        if row.dtype.kind in "fiub" and row.dtype.isnative and len(row) == self._width:
            runnable = self.model.runnable(self.method, (str(row.dtype),) * self._width)
            plan = _plan(runnable, "single_of_array")
            single = None if plan is None else plan.single_of_array()
            self._of_array[row.dtype] = single or self._through_outputs(runnable)
        return self._array(row)

    def _through_outputs(self, runnable: Runnable) -> Single:
        """The call through the outputs of the runnable by name."""

        def single(row: Any) -> Any:
            if len(row) != self._width:
                return None
            answer = runnable.row(row)
            return None if answer is None else self._first(answer)

        return single

    # -- mappings --------------------------------------------------------------------------
    def _prepare_mapping(self) -> Single:
        """The call for text columns of words and others of numbers, from the cells that it reads."""
        program = self.model.program.only(*self.model._names[self.method])
        binding = tuple("object" if c.kind == "text" else "float64" for c in program.columns)
        runnable = self.model.runnable(self.method, binding)
        plan = _plan(runnable, "single_of_cells")
        found = None if plan is None else plan.single_of_cells()
        columns, single = found or ([], None)
        if single is None or not columns:
            prepared = self._through_cells(runnable, program.used_columns)
        else:
            prepared = _of_items([self._names[c] for c in columns], single)
        self._of_mapping = prepared
        return prepared

    def _through_cells(self, runnable: Runnable, columns: Any) -> Single:
        """The call through the outputs of the runnable, for cells of any kind."""
        blank = [None] * self._width
        used = [(c, self._names[c]) for c in columns]

        def single(row: Mapping[str, Any]) -> Any:
            cells: list[Any] = blank.copy()
            for c, name in used:
                try:
                    cells[c] = row[name]
                except KeyError:  # perhaps under a name that only differs in blanks
                    return None
            answer = runnable.row(cells)
            return None if answer is None else self._first(answer)

        return single

    # -- answers ---------------------------------------------------------------------------
    def _batch(self, rows: Any) -> Any:
        answer: Any = self.model.call(self.method, rows)
        if type(answer) is csr_matrix and len(answer.indptr) == 2:  # what its first row is, too
            return answer
        return [a[0] for a in answer] if isinstance(answer, list) else answer[0]

    def _first(self, outputs: dict[str, Any]) -> Any:
        if self._only is not None:
            return outputs[self._only][0]
        answer = self.model._answer(self.method, outputs)
        return [a[0] for a in answer] if isinstance(answer, list) else answer[0]

    def __reduce__(self) -> tuple[Any, ...]:
        return RowFunction, (self.model, self.method)

    def __repr__(self) -> str:
        return f"RowFunction({self.model.info.source}.{self.method})"


def _plan(runnable: Runnable, wanted: str) -> Any:
    """What a runnable has prepared for one row, where it can be asked for a call of this kind."""
    plans = (getattr(runnable, name, None) for name in ("_one_row", "_straight"))
    return next((p for p in plans if hasattr(p, wanted)), None)


def _of_items(names: list[str], single: Single) -> Single:
    """The call for a mapping from the call for the cells under these names."""
    first, cells = names[0], itemgetter(*names)
    alone = len(names) == 1

    def of_mapping(row: Mapping[str, Any]) -> Any:
        try:
            found = (row[first],) if alone else cells(row)
        except KeyError:  # perhaps under a name that only differs in blanks
            return None
        return single(found)

    return of_mapping
