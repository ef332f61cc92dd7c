"""One row at a time: the lookups are done once, the call is a few microseconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from millrace.errors import ColumnTypeError, ShapeError

if TYPE_CHECKING:
    from millrace.ir.program import Column
    from millrace.runtime.model import CompiledModel


class RowFunction:
    """A prepared method for single rows; see `CompiledModel.row_function`."""

    def __init__(self, model: CompiledModel, method: str) -> None:
        self.model = model
        self.method = method
        self._names = [c.name for c in model.program.columns]
        self._width = len(self._names)
        self._by_dtype: dict[Any, Any] = {}
        first, *others = model._names[method]
        plain = not others and "/" not in first and first not in model.program.cubes
        self._only = first if plain else None
        self._prepared: tuple[Any, list[tuple[int, str]], list[Any]] | None = None
        series = model.program.form == "series"
        self._series = model.program.columns[0] if series else None

    def __call__(self, row: Any) -> Any:
        if self._series is not None:
            return self._batch([self._cell(row, self._series)])
        if type(row) is np.ndarray and row.ndim == 1:
            return self._array(row)
        if isinstance(row, Mapping):
            return self._mapping(row)
        if isinstance(row, (tuple, list)):
            if len(row) != self._width:
                raise ShapeError.wrong_width(len(row), self._width)
            return self._mapping(dict(zip(self._names, row, strict=True)))
        return self._other(row)

    def _other(self, row: Any) -> Any:
        """A row of a pandas frame, the only number of a row, or a table of one row."""
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

    def _array(self, row: Any) -> Any:
        prepared = self._by_dtype.get(row.dtype)
        if prepared is None:
            return self._prepare_array(row)
        if len(row) != self._width:
            raise ShapeError.wrong_width(len(row), self._width)
        answer = prepared(row)
        return self._batch(row[None, :]) if answer is None else self._first(answer)

    def _prepare_array(self, row: Any) -> Any:
        if row.dtype.kind in "fiub" and row.dtype.isnative and len(row) == self._width:
            runnable = self.model.runnable(self.method, (str(row.dtype),) * self._width)
            self._by_dtype[row.dtype] = runnable.row
        return self._batch(row[None, :])

    def _mapping(self, row: Mapping[str, Any]) -> Any:
        prepared = self._prepared
        if prepared is None:
            prepared = self._prepare_mapping()
        run, used, blank = prepared
        cells = blank.copy()
        for c, name in used:
            try:
                cells[c] = row[name]
            except KeyError:  # perhaps under a name that only differs in blanks
                return self._batch([dict(row)])
        answer = run(cells)
        return self._batch([dict(row)]) if answer is None else self._first(answer)

    def _prepare_mapping(self) -> tuple[Any, list[tuple[int, str]], list[Any]]:
        """The executable for text columns of words and others of numbers, and the cells it reads."""
        program = self.model.program.only(*self.model._names[self.method])
        binding = tuple("object" if c.kind == "text" else "float64" for c in program.columns)
        runnable = self.model.runnable(self.method, binding)
        used = [(c, self._names[c]) for c in program.used_columns]
        self._prepared = (runnable.row, used, [None] * self._width)
        return self._prepared

    def _batch(self, rows: Any) -> Any:
        answer = self.model.call(self.method, rows)
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
