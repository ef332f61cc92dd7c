"""How each operation is written as instructions for the machine (`kernels.machine`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.backends.numba import instructions as m
from millrace.backends.numba.instructions import (
    BOOL,
    F4,
    F8,
    I4,
    I8,
    KINDS,
    Code,
    Unsupported,
    Value,
)
from millrace.backends.numba.loops import MOST_LANES, inner_loop, lanes_of_einsum
from millrace.backends.numba.trees import TreeEngine
from millrace.ir.arrays import Text
from millrace.ir.ops import (
    Distances,
    Encode,
    Guard,
    Interpolate,
    IsMissing,
    Nearest,
    SearchSorted,
)

MOST_POINTS = 4096
"""So many points are looked at one after another; of more, `points` leaves most out."""


class Writer:
    """Writes operations on values: each method takes the inputs, and where the result goes.

    All of them raise `Unsupported` for what the machine does not do.
    """

    def __init__(self) -> None:
        self.code = Code()

    # -- values ----------------------------------------------------------------------------
    def _picked(self, value: Value, at: Sequence[int]) -> Value:
        """Cells by position: the same cells where they are neighbours."""
        if not at:
            raise Unsupported
        if list(at) == list(range(at[0], at[0] + len(at))):
            return value.part(at[0], len(at))
        out, index = self.code.room(value.dtype, len(at)), np.array(at, np.int64)
        more = [value.dtype.itemsize, self.code.address(index)]
        self.code.emit(m.TAKE, len(at), [value.place, out.place], (), more, [1])
        return out

    def _whole(self, value: Value, dtype: np.dtype[Any]) -> Value:
        """A value in a dtype."""
        if value.dtype == dtype:
            return value
        if not _converts(value.dtype, dtype):
            raise Unsupported
        out = self.code.room(dtype, value.width)
        choice = KINDS[value.dtype], KINDS[dtype]
        self.code.emit(m.CAST, value.width, [value.place, out.place], choice=choice)
        return out

    def _constant(self, cells: npt.NDArray[Any]) -> Value:
        if cells.dtype not in KINDS:
            raise Unsupported
        return self.code.constant(cells)

    def _expect(self, value: Value, *dtypes: np.dtype[Any]) -> None:
        if value.dtype not in dtypes:
            raise Unsupported

    def _simple(self, operation: int, value: Value, out: Value, dtype: np.dtype[Any]) -> Value:
        """An operation on all cells of a dtype."""
        self._expect(value, dtype)
        self.code.emit(operation, value.width, [value.place, out.place])
        return out

    # -- elementwise -----------------------------------------------------------------------
    def _elementwise(self, name: str, given: list[Value], out: Value) -> Value:
        loop = inner_loop(name, *(str(v.dtype) for v in given))
        if loop is None or loop.result != out.dtype:
            raise Unsupported
        cells = [self._whole(v, d) for v, d in zip(given, loop.given, strict=True)]
        strides = [0 if v.width < out.width else v.dtype.itemsize for v in cells]
        self.code.emit(
            m.LOOP,
            out.width,
            [*(v.place for v in cells), out.place],
            [*strides, out.dtype.itemsize],
            [loop.address, loop.data],
        )
        return out

    def _missing(self, op: IsMissing, value: Value, out: Value) -> Value:
        if op.rule == "value":
            if not isinstance(op.value, (int, float)):
                raise Unsupported
            number = self._constant(np.array([op.value], value.dtype))
            if value.dtype.kind != "f" or float(np.array(op.value, value.dtype)) != op.value:
                raise Unsupported
            return self._elementwise("equal", [value, number], out)
        if value.dtype.kind == "f":
            return self._elementwise("isnan", [value], out)
        return self._constant(np.zeros(value.width, bool))

    def _concatenated(self, given: list[Value], out: Value) -> Value:
        at, size = 0, out.dtype.itemsize
        for value in given:
            cells, target = self._whole(value, out.dtype), out.part(at, value.width)
            self.code.emit(m.COPY, value.width, [cells.place, target.place], (), [size])
            at += value.width
        return out

    def _where(self, given: list[Value], out: Value) -> Value:
        condition, *choices = given
        self._expect(condition, BOOL)
        values = [condition, *(self._whole(c, out.dtype) for c in choices)]
        strides = [0 if v.width < out.width else v.dtype.itemsize for v in values]
        more = [out.dtype.itemsize, out.place]
        self.code.emit(m.WHERE, out.width, [v.place for v in values], strides, more)
        return out

    # -- along the row ---------------------------------------------------------------------
    def _product(self, value: Value, weights: npt.NDArray[Any], out: Value) -> Value:
        self._expect(out, F8, F4)
        cells, table = self._whole(value, out.dtype), weights.astype(out.dtype)
        if not value.width:
            raise Unsupported
        places = [cells.place, self._constant(table).place, out.place]
        choice = (KINDS[out.dtype],)
        self.code.emit(m.PRODUCT, value.width, places, (), [out.width], choice=choice)
        return out

    def _reduced(self, name: str, value: Value, out: Value) -> Value:
        if not value.width:
            raise Unsupported
        match name:
            case "sum" | "prod":
                cells, start = self._whole(value, out.dtype), int(name == "prod")
                return self._folded(_UFUNCS[name], cells, out, start)
            case "max" | "min":
                return self._folded(_UFUNCS[name], value, out, None)
            case "any" | "all":
                self._expect(value, BOOL)
                return self._folded(_UFUNCS[name], value, out, int(name == "all"))
            case "mean":
                self._expect(value, F8)
                total = self._folded("add", value, self.code.room(F8, 1), 0)
                return self._elementwise(
                    "divide", [total, self._constant(np.array([value.width], F8))], out
                )
            case "argmax" | "argmin":
                choice = KINDS[value.dtype], name == "argmax"
                self.code.emit(m.ARGUMENT, value.width, [value.place, out.place], choice=choice)
                return out
            case _:
                return self._squared(value, out)

    def _folded(self, ufunc: str, cells: Value, out: Value, start: int | None) -> Value:
        """The loop of a ufunc in the form in which ``reduce`` calls it: it adds to its own output."""
        loop = inner_loop(ufunc, str(cells.dtype), str(cells.dtype))
        if loop is None or loop.result != out.dtype or cells.dtype != out.dtype:
            raise Unsupported
        size, n = out.dtype.itemsize, cells.width
        begin = cells if start is None else self._constant(np.array([start], out.dtype))
        self.code.emit(m.COPY, 1, [begin.place, out.place], (), [size])
        if start is None:
            cells, n = cells.part(1, n - 1), n - 1
        if n:
            places, strides = [out.place, cells.place, out.place], [0, size, 0]
            self.code.emit(m.LOOP, n, places, strides, [loop.address, loop.data])
        return out

    def _squared(self, value: Value, out: Value) -> Value:
        self._expect(value, F8, F4)
        lanes = lanes_of_einsum(str(value.dtype))
        if not lanes:
            raise Unsupported
        places = [value.place, out.place, self.code.room(value.dtype, MOST_LANES).place]
        choice = (KINDS[value.dtype],)
        self.code.emit(m.SQUARE_SUM, value.width, places, (), [lanes], choice=choice)
        return out

    def _guarded(self, op: Guard, value: Value) -> Value:
        if value.dtype.kind in "biu":
            return value
        self._expect(value, F8, F4)
        limits = 0
        if op.low is not None or op.high is not None:
            most = float(np.finfo(value.dtype).max)
            bounds = [
                np.broadcast_to(d if limit is None else limit.values, value.width)
                for limit, d in ((op.low, -most), (op.high, most))
            ]
            limits = self.code.address(np.concatenate(bounds).astype(np.float64))
        at, choice = [1] if limits else [], (KINDS[value.dtype],)
        self.code.emit(m.GUARD, value.width, [value.place], (), [op.allow_nan, limits], at, choice)
        return value

    def _trees(self, engine: TreeEngine, value: Value, out: Value) -> Value:
        from millrace.backends.numba.kernels.row_loops import forest_loop

        quantized = engine.quantized
        if engine.forest.linear is not None or (quantized.by_value and quantized.planes.members):
            raise Unsupported
        cells = self._whole(value, np.dtype(engine.dtype))
        packed = engine.pack(quantized, range(value.width), None)
        loop = forest_loop(engine.dtype, str(out.dtype), quantized.by_value)
        self.code.kept += [packed, loop]
        more = [loop.address, packed[0].ctypes.data]
        self.code.emit(m.LOOP, value.width, [cells.place, out.place], (), more)
        return out

    # -- looking up ------------------------------------------------------------------------
    def _coded(self, op: Encode, value: Value, out: Value) -> Value:
        """The code of a number; text is encoded before the machine runs."""
        if isinstance(op.categories, Text) or op.hashed or value.width != 1:
            raise Unsupported
        numbers = op.categories.values.astype(np.float64)
        order = np.argsort(numbers, kind="stable")
        codes = op.codes.values[order].astype(np.int64)
        tables = [self.code.address(numbers[order]), self.code.address(codes)]
        if value.dtype == I8:
            value = self._whole(value, F8)
        more, choice = [len(numbers), *tables, op.nan, op.unknown, op.strict], KINDS[value.dtype]
        self.code.emit(m.CODE, 1, [value.place, out.place], (), more, [1, 2], (choice,))
        return out

    def _one_hot(self, value: Value, width: int, dtype: Any, out: Value) -> Value:
        self._expect(value, I4, I8)
        one = self.code.address(np.ones(1, dtype))
        places, choice = [value.place, out.place], (KINDS[value.dtype],)
        self.code.emit(m.ONE_HOT, width, places, (), [dtype.itemsize, one], [1], choice)
        return out

    def _gathered(self, value: Value, table: npt.NDArray[Any], out: Value) -> Value:
        self._expect(value, I4, I8)
        rows = self.code.address(table)
        more, choice = [out.dtype.itemsize * out.width, len(table), rows], (KINDS[value.dtype],)
        self.code.emit(m.GATHER, 1, [value.place, out.place], (), more, [2], choice)
        return out

    def _picked_along(self, value: Value, positions: Value, out: Value) -> Value:
        self._expect(positions, I8)
        places = [value.place, positions.place, out.place]
        more = [value.dtype.itemsize, value.width]
        self.code.emit(m.PICK, positions.width, places, (), more)
        return out

    def _edges(self, op: SearchSorted, value: Value, out: Value) -> Value:
        self._expect(value, F8, F4)
        cells = self._whole(value, F8)
        tables = [op.start.values, op.edge.values.astype(np.float64)]
        more = [op.side == "right", *map(self.code.address, tables)]
        self.code.emit(m.EDGES, value.width, [cells.place, out.place], (), more, [1, 2])
        return out

    def _between(self, op: Interpolate, value: Value, out: Value) -> Value:
        tables = [op.start.values, op.xp.values, op.fp.values]
        if not (np.diff(op.start.values) > 0).all() or np.isnan(op.xp.values).any():
            raise Unsupported
        cells = self._whole(value, F8)
        more = [*map(self.code.address, tables)]
        self.code.emit(m.BETWEEN, value.width, [cells.place, out.place], (), more, [0, 1, 2])
        return out

    def _points(self, op: Distances | Nearest, value: Value, out: Value) -> Value:
        how = _METRICS.get((op.metric, op.p if op.metric == "minkowski" else 2.0))
        points = op.points.values.astype(np.float64)
        fine = np.isfinite(points).all() and len(points) <= MOST_POINTS
        if how is None or not fine or (isinstance(op, Nearest) and op.k > len(points)):
            raise Unsupported
        cells = self._whole(value, F8)
        kept = op.k if isinstance(op, Nearest) else 0
        more = [len(points), self.code.address(points), *how, kept]
        operation = m.NEAR if isinstance(op, Nearest) else m.FAR
        self.code.emit(operation, value.width, [cells.place, out.place], (), more, [1])
        return out


_UFUNCS = {
    "sum": "add",
    "prod": "multiply",
    "max": "maximum",
    "min": "minimum",
    "any": "logical_or",
    "all": "logical_and",
}

_METRICS = {
    ("euclidean", 2.0): (m.SQUARED, 1),
    ("sqeuclidean", 2.0): (m.SQUARED, 0),
    ("cityblock", 2.0): (m.CITYBLOCK, 0),
    ("chebyshev", 2.0): (m.CHEBYSHEV, 0),
    ("minkowski", 1.0): (m.CITYBLOCK, 0),
    ("minkowski", 2.0): (m.SQUARED, 1),
    ("minkowski", np.inf): (m.CHEBYSHEV, 0),
}
"""By metric and power: how the differences are added up, and whether a root is taken."""


def _converts(source: np.dtype[Any], target: np.dtype[Any]) -> bool:
    """Whether the machine converts a dtype to another with the bits of NumPy."""
    if source not in KINDS or target not in (F8, F4, I8, I4):
        return False
    if source == I8:
        return target in (F8, I4)
    return not (target == F4 and source.kind in "iu" and source.itemsize >= 4)
