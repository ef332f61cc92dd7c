"""Compile every kernel ahead of time, for images and CI."""

from __future__ import annotations

import itertools
from typing import get_args

import numpy as np

from millrace.backends.numba import impute_nearest, points, terms
from millrace.backends.numba.kernels import guard, machine, tiles
from millrace.backends.numba.kernels.few import few_by_rank, few_by_value
from millrace.backends.numba.kernels.row import row_sums, row_sums_by_value
from millrace.backends.numba.kernels.row_loops import forest_loop
from millrace.backends.numba.loops import lanes_of_einsum
from millrace.backends.numba.trees import TreeEngine
from millrace.ir.arrays import Array, Text
from millrace.ir.ops import Distances, Features, Forest, ImputeNearest, Metric, Nearest, Terms


def warm() -> int:
    """Compile all kernels for all dtypes into Numba's cache; returns how many combinations ran."""
    runs = 0
    for value, wide, category in itertools.product(
        ("float64", "float32"), (False, True), (False, True)
    ):
        forest = _small_forest(value, 300 if wide else 3, category)
        for dtype in ("float64", "float32"):
            engine = TreeEngine(forest, dtype)
            for n_rows in (3, 300):
                columns = [np.zeros(n_rows, dtype), np.zeros(n_rows, dtype)]
                engine.sums(columns, n_rows)
            engine.leaves([np.zeros(3, dtype), np.zeros(3, dtype)], 3)
            _warm_rows(engine, value, dtype)
            runs += 1
    return runs + _warm_collections() + _warm_points() + _warm_interpreters()


def _warm_collections() -> int:
    """The kernels for texts and for mappings."""
    ops = [
        Terms(analyzer, (1, 2), vocabulary, 4)
        for analyzer in ("word", "char", "char_wb")
        for vocabulary in (Text(("a", "b", "c", "d")), None)
    ]
    for op in ops:
        terms.TermCounter(op)(np.array(["a b", "\u00e9 c"], object))
    spread = Features("dict", None, 4)
    terms.FeatureSpreader(spread)(np.array([{"a": 1.0}], object))
    return len(ops) + 1


def _warm_interpreters() -> int:
    """The operations of big batches and of one row, and what calls them."""
    floats = ("float64", "float32")
    for row, value, by_value in itertools.product(floats, floats, (False, True)):
        forest_loop(row, value, by_value)
    sizes = (8, 4, 1)
    for row, answer in itertools.product(sizes, sizes):
        machine.entry(row, answer)
    for dtype in floats:
        lanes_of_einsum(dtype)
        cells, limits = np.zeros((1, 1), dtype), np.zeros(1)
        guard.all_pass(cells, np.zeros(1, np.int64), limits, limits, False)
        bits = cells.ravel().view(f"i{cells.itemsize}")
        guard.all_below(bits, bits[0], bits[0])
    return tiles.OPERATIONS.compile() + machine.OPERATIONS.compile() + 2**3 + len(sizes) ** 2


def _warm_points() -> int:
    """The kernels for distances and for what is nearest."""
    few, metrics = np.random.default_rng(0).random((40, 3)), get_args(Metric)
    for metric in metrics:
        points.distances(few, Distances(Array(few), metric))
        if metric != "nan_euclidean":
            points.nearest(few, Nearest(Array(few), 2, metric))
    many = np.random.default_rng(0).random((300, 20))
    points.nearest(many, Nearest(Array(many), 2, "sqeuclidean"))  # behind a screen
    fill = ImputeNearest(Array(few), 2, "uniform", Array(few[0]))
    impute_nearest.impute_nearest(np.where(few < 0.5, np.nan, few), fill)
    return len(metrics) + 2


def _warm_rows(engine: TreeEngine, value: str, dtype: str) -> None:
    """The kernels for one row and for a few."""
    ranked, _alive = engine.pack(engine.quantized, range(2), None)
    row_sums(ranked, np.zeros(2, dtype), np.dtype(value).type(0), np.zeros(1, value))
    few, sums = np.zeros((2, 2), dtype), np.zeros((1, 272), value)
    if not engine.quantized.planes.members:
        few_by_rank(ranked, few, engine.quantized.splits.rank[:0], sums, 24)
        valued, _alive_too = engine.pack(engine.valued, range(2), None)
        few_by_value(valued, few, sums)
        row_sums_by_value(valued, few[0], np.dtype(value).type(0), np.zeros(1, value))


def _small_forest(value: str, n_thresholds: int, category: bool) -> Forest:
    """Two-leaf trees, one a threshold; with more than 255 of them the ranks need 16 bits."""
    n = n_thresholds
    is_set = np.zeros(3 * n, np.int32) - 1
    if category:
        is_set[0] = 0
    return Forest(
        start=Array(np.arange(n + 1) * 3, "int64"),
        feature=Array(np.tile([0, -1, -1], n), "int32"),
        threshold=Array(np.repeat(np.arange(n), 3), "float64"),
        left=Array(np.tile([1, -1, -1], n), "int32"),
        right=Array(np.tile([2, -1, -1], n), "int32"),
        leaf=Array(np.array([[-1, 2 * t, 2 * t + 1] for t in range(n)]).ravel(), "int32"),
        value=Array(np.arange(2 * n)[:, None], value),
        target=Array(np.zeros(n), "int32"),
        leaf_id=Array(np.arange(2 * n), "int64"),
        n_outputs=1,
        base=Array(np.zeros(1), value),
        missing=Array(np.zeros(3 * n), "uint8"),
        default_left=Array(np.zeros(3 * n), "bool"),
        category=Array(is_set),
        set_start=Array([0, 1] if category else [0], "int64"),
        set_member=Array([1] if category else [], "int64"),
    )
