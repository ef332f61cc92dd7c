"""One forest, ready to run on columns: quantised once, its layout chosen by the number of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.backends.numba.by_value import ByValue
from millrace.backends.numba.columns import Columns, addresses
from millrace.backends.numba.kernels import cursor, linear, packed, ranks, walk
from millrace.backends.numba.kernels.vectors import LANES, TILE, WALKS
from millrace.backends.numba.quantize import (
    NAN_IS_ZERO,
    NAN_LEFT,
    ZERO_LEFT,
    ZERO_RIGHT,
    QuantizedForest,
    quantize,
)
from millrace.ir.arrays import offsets
from millrace.ir.ops import Forest

CURSOR_LEAVES = 256
"""Largest tree that is stepped split by split: beyond, the walk is faster."""

WALK_ROWS = 24
"""Fewer rows than this walk, because a cursor block costs the same for 1 row as for 256."""

_APART = 256
"""Elements between planes beyond their rows, so that planes of 2^k rows do not share cache sets."""


Limits = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.uint8]]
"""Lowest, highest and whether NaN is refused, for each column of a forest's input."""


@dataclass
class TreeEngine:
    """A forest for columns of one dtype.

    Parameters
    ----------
    forest : Forest
    dtype : {"float32", "float64"}
        Of the columns; narrower types are converted to it by the caller.
    """

    forest: Forest
    dtype: str

    @cached_property
    def quantized(self) -> QuantizedForest:
        return quantize(self.forest, np.dtype(self.dtype), CURSOR_LEAVES)

    @cached_property
    def seconds_per_row(self) -> float:
        """About how long one row of many takes, for choosing the size of blocks."""
        q = self.quantized
        if q.has_cursor:
            return 1.4e-11 * len(q.splits.plane) * q.plane_dtype.itemsize + 0.5e-9 * len(q.root)
        return 15e-9 * len(q.root)

    @cached_property
    def read(self) -> tuple[frozenset[int], frozenset[int]]:
        """Columns that are read as numbers of the engine's dtype, and all columns that are read."""
        numeric = set(self.quantized.planes.column.tolist())
        if self.forest.linear is not None:
            numeric |= set(self.forest.linear.feature.values.tolist())
        return frozenset(numeric), frozenset(numeric | set(self.quantized.planes.coded_column))

    # -- many rows -------------------------------------------------------------------------
    def sums(
        self, columns: Columns, n_rows: int, out: npt.NDArray[Any] | None = None
    ) -> npt.NDArray[Any]:
        """The sums of all trees, (n_rows, n_outputs) in Fortran order, or in C order.

        `columns` are one-dimensional arrays of `dtype`, one for each column of the forest's
        input; unused ones may be None. In `out`, a matrix of the same shape, if that costs nothing.
        """
        if self.forest.linear is not None:
            return self._linear_sums(columns, n_rows)
        if self.by_value is not None:
            direct = self.by_value.sums(columns, n_rows, out)
            if direct is not None:
                return direct
        return self._sums_of_ranks(columns, n_rows)

    @cached_property
    def by_value(self) -> ByValue | None:
        """The forest for rows of a matrix as they lie, where that is quicker."""
        if not ByValue.pays(self.forest, self.quantized):
            return None
        return ByValue(self.forest, self.quantized, self.target)

    def _sums_of_ranks(self, columns: Columns, n_rows: int) -> npt.NDArray[Any]:
        """`sums` in Fortran order, by planes of ranks."""
        q, forest = self.quantized, self.forest
        room = -(-n_rows // LANES) * LANES + TILE
        planes, stride = self._planes(columns, n_rows)
        sums = np.empty((forest.n_outputs, room), forest.value.dtype)
        sums[:] = forest.base.values[:, None]
        s = q.splits
        if q.has_cursor and n_rows >= WALK_ROWS:
            cursor.cursor_sums(
                planes,
                stride,
                n_rows,
                s.start,
                s.plane,
                s.rank,
                s.here,
                s.there,
                q.leaf_start,
                q.value,
                self.target,
                sums,
            )
        else:
            top = self._no_top if q.has_cursor or n_rows < WALK_ROWS else s.start
            tiles, size = _tiles(planes, stride, n_rows)
            if q.by_value:
                planes = np.empty(0, s.rank.dtype)
            walk.walk_sums(
                q.nodes,
                q.bounds,
                tiles,
                size,
                planes,
                stride,
                n_rows,
                q.root,
                top,
                s.plane,
                s.rank,
                s.here,
                s.there,
                q.entry_start,
                q.entry,
                q.leaf_start,
                q.value,
                self.target,
                sums,
            )
        return sums[:, :n_rows].T

    @cached_property
    def target(self) -> npt.NDArray[np.int32]:
        """`Forest.target`, writable: a read-only array would be another type to a kernel."""
        return self.forest.target.values.copy()

    @cached_property
    def _numeric(self) -> npt.NDArray[np.int64]:
        return np.arange(self.quantized.planes.n_numeric)

    @cached_property
    def _no_top(self) -> npt.NDArray[np.int64]:
        return np.zeros(self.forest.n_trees + 1, np.int64)

    def _linear_sums(self, columns: Columns, n_rows: int) -> npt.NDArray[Any]:
        forest, models = self.forest, self.forest.linear
        assert models is not None
        reached = self.leaves(columns, n_rows)
        block = np.zeros((len(reached), len(columns)))
        for c in self.read[0]:
            block[:, c] = columns[c]
        sums = np.empty((forest.n_outputs, len(reached)), forest.value.dtype)
        sums[:] = forest.base.values[:, None]
        linear.linear_sums(
            reached,
            block,
            models.intercept.values,
            models.start.values,
            models.feature.values,
            models.coef.values,
            forest.value.values,
            forest.target.values,
            sums,
        )
        return sums.T

    def leaves(self, columns: Columns, n_rows: int) -> npt.NDArray[np.integer]:
        """The row of ``forest.value`` that each sample reaches in each tree, (n_rows, n_trees)."""
        q = self.quantized
        planes, stride = self._planes(columns, n_rows)
        reached = np.empty((n_rows, self.forest.n_trees), np.int64)
        tiles, size = _tiles(planes, stride, n_rows)
        walk.walk_leaves(q.nodes, q.bounds, tiles, size, n_rows, q.root, q.leaf_start, reached)
        return q.leaf_row[reached]

    def _planes(self, columns: Columns, n_rows: int) -> tuple[npt.NDArray[Any], int]:
        """All planes of these rows, flat, and the elements from one to the next."""
        q = self.quantized
        stride = -(-n_rows // LANES) * LANES + _APART
        planes = np.empty((q.planes.n_planes + 1) * stride, q.plane_dtype)
        planes[q.planes.n_planes * stride :] = 0
        if q.by_value:
            self._value_planes(columns, n_rows, planes, stride)
        elif q.planes.n_numeric:
            at, stride_of = addresses(columns, q.planes.column)
            ranks.rank_columns(
                at,
                stride_of,
                q.planes.table_at,
                q.planes.half,
                q.planes.size,
                q.planes.nan_rank,
                q.planes.zero_missing,
                q.planes.table,
                self._numeric,
                n_rows,
                planes,
                stride,
            )
        self._category_planes(columns, n_rows, planes, stride)
        return planes, stride

    def _value_planes(
        self,
        columns: Columns,
        n_rows: int,
        planes: npt.NDArray[Any],
        stride: int,
    ) -> None:
        q = self.quantized
        for plane, (column, rule) in enumerate(zip(q.planes.column, q.planes.rule, strict=True)):
            out = planes[plane * stride : plane * stride + n_rows]
            out[:] = columns[column]
            if rule in (ZERO_LEFT, ZERO_RIGHT):
                out[np.abs(out) <= ranks.TINY] = np.nan
            if rule in (NAN_LEFT, ZERO_LEFT):
                out[np.isnan(out)] = -np.inf
            elif rule == NAN_IS_ZERO:
                out[np.isnan(out)] = 0.0

    def _category_planes(
        self,
        columns: Columns,
        n_rows: int,
        planes: npt.NDArray[Any],
        stride: int,
    ) -> None:
        p = self.quantized.planes
        if not len(p.lut):
            return
        codes = np.empty((len(p.members), n_rows), np.int32)
        for k, (column, rule) in enumerate(zip(p.coded_column, p.coded_rule, strict=True)):
            source = columns[column]
            ranks.number_codes(
                source.__array_interface__["data"][0],
                source.strides[0],
                n_rows,
                source.dtype.type(0),
                p.members[k],
                rule,
                codes[k],
            )
        which = p.n_numeric + np.arange(len(p.lut))
        ranks.member_planes(codes, p.lut, p.lut_source, which, n_rows, planes, stride)

    # -- one row, and a few ------------------------------------------------------------------
    @cached_property
    def valued(self) -> QuantizedForest:
        """The forest by value, for a few rows through a few trees."""
        if self.quantized.by_value:
            return self.quantized
        return quantize(self.forest, np.dtype(self.dtype), CURSOR_LEAVES, by_value=True)

    def few_by_value(self, n_rows: int) -> bool:
        """Whether comparing values takes less time than ranking so many rows first."""
        q = self.quantized
        if q.by_value:
            return True
        size = q.planes.size
        ranking = n_rows * float(np.where(size <= 64, 1.0, 0.5 * np.log2(size + 1)).sum())
        visits = float(np.log2(q.n_leaves + 1).sum()) * 1.3
        walking = n_rows * visits * 0.8
        stepping = 3.5 * q.plane_dtype.itemsize * len(q.splits.plane) * -(-n_rows // LANES)
        stepping += 0.5 * n_rows * len(q.n_leaves)
        by_rank = stepping if q.has_cursor and n_rows >= WALK_ROWS else walking
        return walking + 0.7 * n_rows * len(size) < ranking + by_rank

    def pack(
        self, q: QuantizedForest, columns: Sequence[int], limits: Limits | None
    ) -> tuple[npt.NDArray[np.int64], list[npt.NDArray[Any]]]:
        """The forest as `kernels.packed` has it, and the arrays that must stay alive for it.

        `columns` says where each column of the forest's input stands in the rows that will come.
        """
        forest, p, s, k = self.forest, q.planes, q.splits, packed
        where = np.asarray(columns, np.int64)
        no_limits = np.empty(0), np.empty(0), np.empty(0, np.uint8)
        low, high, refuses_nan = no_limits if limits is None else limits
        arrays: dict[int, npt.NDArray[Any]] = {
            k.COLUMN: where[p.column.astype(np.int64)],
            k.RULE: p.rule.astype(np.int64),
            k.TABLE: p.table,
            k.TABLE_AT: p.table_at,
            k.HALF: p.half,
            k.SIZE: p.size,
            k.NAN_RANK: p.nan_rank.astype(np.int64),
            k.ZERO_MISSING: p.zero_missing,
            k.CODED_COLUMN: where[np.array(p.coded_column, np.int64)],
            k.CODED_RULE: np.array(p.coded_rule, np.int64),
            k.MEMBERS: np.concatenate([*p.members, np.empty(0, np.int64)]).astype(np.int64),
            k.MEMBERS_AT: offsets([len(m) for m in p.members]),
            k.LUT: np.ascontiguousarray(p.lut),
            k.LUT_SOURCE: p.lut_source,
            k.NODES: q.nodes,
            k.BOUNDS: q.bounds,
            k.ROOT: np.concatenate([q.root[:-1], np.full(WALKS, q.root[0])]).astype(np.int64),
            k.LEAF_START: q.leaf_start,
            k.VALUE: q.value,
            k.TARGET: self.target,
            k.BASE: np.array(forest.base.values),
            k.SPLIT_START: s.start,
            k.SPLIT_PLANE: s.plane,
            k.SPLIT_RANK: s.rank,
            k.SPLIT_HERE: s.here,
            k.SPLIT_THERE: s.there,
            k.NO_TOP: self._no_top,
            k.WATCHED: where if limits is not None else np.empty(0, np.int64),
            k.LOW: low,
            k.HIGH: high,
            k.REFUSES_NAN: refuses_nan,
        }
        sizes = {
            k.N_NUMERIC: p.n_numeric,
            k.N_PLANES: p.n_planes,
            k.TABLE_SIZE: len(p.table),
            k.N_CODED: len(p.members),
            k.N_SETS: len(p.lut),
            k.LUT_WIDTH: p.lut.shape[1],
            k.N_TREES: forest.n_trees,
            k.N_NODES: len(q.nodes),
            k.N_LEAVES: len(q.value),
            k.N_VALUES: q.value.shape[1],
            k.N_OUTPUTS: forest.n_outputs,
            k.HAS_CURSOR: int(q.has_cursor),
            k.N_SPLITS: len(s.plane),
            k.N_WATCHED: len(low),
        }
        model = np.zeros(k.FIELDS, np.int64)
        for field, size in sizes.items():
            model[field] = size
        for field, array in arrays.items():
            model[field] = array.__array_interface__["data"][0]
        return model, list(arrays.values())


def _tiles(planes: npt.NDArray[Any], stride: int, n_rows: int) -> tuple[npt.NDArray[Any], int]:
    """Planes that lie one after another, in tiles of 16 rows; flat, and the elements of a tile."""
    n_tiles = -(-n_rows // TILE)
    tiles = planes.reshape(-1, stride // TILE, TILE)[:, :n_tiles].transpose(1, 0, 2)
    return np.ascontiguousarray(tiles).reshape(-1), tiles.shape[1] * TILE
