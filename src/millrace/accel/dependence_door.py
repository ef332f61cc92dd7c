"""The door of partial dependence by recursion, as `partial_dependence` asks trees for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.accel import costs
from millrace.accel.calls import TOO_SMALL, Call, Done, NotHere
from millrace.accel.doors import opens

_METHOD = "_compute_partial_dependence_recursion"
_BOOSTED = ("GradientBoostingClassifier", "GradientBoostingRegressor")
_HISTOGRAMS = ("HistGradientBoostingClassifier", "HistGradientBoostingRegressor")
_FORESTS = ("RandomForestRegressor",)

A_NODE, GAIN = 3.5e-9, 1.5
"""Seconds that scikit-learn needs for one node and one grid point, and how much faster it is here."""

LEAST = 3e-3
"""Seconds of scikit-learn from which on a call gains: below, the addresses of the trees cost too much."""

_WIDE = {
    "left_child": "<i8", "right_child": "<i8", "feature": "<i8", "threshold": "<f8",
    "weighted_n_node_samples": "<f8",
}  # fmt: skip
_NARROW = {
    "left": "<u4", "right": "<u4", "feature_idx": "<i8", "num_threshold": "<f8", "count": "<u4",
    "value": "<f8", "is_leaf": "u1",
}  # fmt: skip
"""Fields of the nodes, as the kernel reads them."""


@dataclass(frozen=True)
class _Trees:
    """Trees whose answers are added up in one array: arrays of nodes, and of values beside them."""

    nodes: list[npt.NDArray[Any]]
    values: list[npt.NDArray[Any]]

    @property
    def n_nodes(self) -> int:
        return sum(map(len, self.nodes))


def _has(name: str) -> bool:
    library, _, cls = name.rpartition(".")
    return library == "sklearn.ensemble" and cls in (*_BOOSTED, *_HISTOGRAMS, *_FORESTS)


@opens(_METHOD, of=_has)
def dependence(call: Call) -> Done:
    """Walk each tree once for all grid points."""
    model, cls = call.estimator, type(call.estimator).__name__
    grid, targets = _arguments(call)
    if not _has(f"sklearn.ensemble.{cls}") or type(model).__module__.partition(".")[0] != "sklearn":
        raise NotHere("a class of its own")
    if getattr(model, "init", None) is not None or getattr(model, "_fitted_with_sw", False):
        raise NotHere("an initial predictor, or sample weights in fit")
    outputs = list(_outputs(model, cls))
    expected = A_NODE * len(grid) * sum(trees.n_nodes for trees in outputs)
    if expected < LEAST or not costs.pays("", _METHOD, costs.Estimate(expected, expected / GAIN)):
        raise TOO_SMALL
    answer = np.zeros((len(outputs), len(grid)))
    for trees, out in zip(outputs, answer, strict=True):
        _add(trees, grid, targets, out)
    if cls in _FORESTS:
        answer = answer[0]
        answer /= len(model.estimators_)
    elif cls in _BOOSTED:
        answer *= model.learning_rate
    return Done(answer, len(grid), len(targets), estimated=expected)


def _arguments(call: Call) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    if len(call.args) != 2 or call.kwargs:
        raise NotHere("arguments by name")
    single = type(call.estimator).__name__ not in _HISTOGRAMS
    grid = np.asarray(call.args[0], np.float32 if single else np.float64)
    targets = np.asarray(call.args[1], np.int64)
    if grid.ndim != 2 or targets.ndim != 1 or grid.shape[1] != len(targets) or not len(grid):
        raise NotHere("a grid of another shape")
    return np.ascontiguousarray(grid, np.float64), np.ascontiguousarray(targets)


def _outputs(model: Any, cls: str) -> Iterator[_Trees]:
    if cls in _HISTOGRAMS:
        for k in range(model.n_trees_per_iteration_):
            yield _Trees([stage[k].nodes for stage in model._predictors], [])
        return
    if cls in _FORESTS:
        rows = [[one.tree_ for one in model.estimators_]]
        if model.n_outputs_ != 1:
            raise NotHere("several outputs")
    else:
        rows = [[one.tree_ for one in column] for column in model.estimators_.T]
    for trees in rows:
        yield _Trees([t.threshold.base for t in trees], [t.value for t in trees])


def _add(
    trees: _Trees, grid: npt.NDArray[np.float64], targets: npt.NDArray[np.int64],
    out: npt.NDArray[np.float64],
) -> None:  # fmt: skip
    from millrace.backends.numba.kernels.dependence import add_dependence

    first = trees.nodes[0].dtype
    if any(n.dtype != first or not n.flags.c_contiguous for n in trees.nodes):
        raise NotHere("nodes of another layout")
    wide = bool(trees.values)
    kernel: Any = add_dependence
    sums_up = kernel(
        np.array([_address(n) for n in trees.nodes]), np.array([len(n) for n in trees.nodes]),
        np.array([_address(v) for v in trees.values], np.int64),
        _layout(first, wide), wide, grid, targets, out,
    )  # fmt: skip
    if not sums_up:
        raise NotHere("a tree has weights that do not add up")


def _address(array: npt.NDArray[Any]) -> int:
    return int(array.ctypes.data)


def _layout(dtype: np.dtype[Any], wide: bool) -> npt.NDArray[np.int64]:
    """Where the fields of a node are; see the kernel."""
    wanted = _WIDE if wide else _NARROW
    fields: Any = dtype.fields or {}
    if any(n not in fields or fields[n][0].str.lstrip("|") != t for n, t in wanted.items()):
        raise NotHere("nodes of another layout")
    offsets = [fields[n][1] for n in wanted]
    return np.array([dtype.itemsize, *offsets, *[0] * (7 - len(offsets))], np.int64)
