"""The nearest neighbours of the fitted rows themselves, as scikit-learn's ``kneighbors()`` finds them.

Semantics matched: ``KNeighborsMixin.kneighbors`` of scikit-learn 1.9.1, called without rows: one more
neighbour than asked for is found, and the row itself is left out, or the first one where it is not among
them.

Exactness: with a tree the same distances; by brute force scikit-learn takes them from products, so that
they differ in the last digits. The neighbours are the same, but for copies of them, or `Decline` is
raised: where two rows that differ are as far, up to that rounding, and one is a neighbour and the other
is not, its heap chooses. It is also raised where the distance to a last neighbour is mostly rounding.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from millrace.ir.ops import Metric
from millrace.runtime.pool import spread
from millrace.solvers.registry import Decline
from millrace.solvers.resident._point_tree import AnyArray, Floats, Ints
from millrace.statistics.kernels.nearest import CODES, Tiles, nearest

_BLOCK = 512
"""Rows that are asked for at a time."""

_METRICS: dict[str, Metric] = {
    "euclidean": "euclidean",
    "l2": "euclidean",
    "manhattan": "cityblock",
    "cityblock": "cityblock",
    "l1": "cityblock",
    "chebyshev": "chebyshev",
}

_DIGITS = 1e-6
"""Squared distances from products are to be known to so small a part."""

_WIDER = 4
"""Where the last ones are tied, so many times as many neighbours show who is."""

_LARGEST = 1e150


def decline_uncovered(estimator: Any, X: Any) -> None:
    """Decline what `own_neighbors` does not cover: metrics, sparse rows, rows that are not finite."""
    if hasattr(X, "toarray"):
        raise Decline("rows are sparse")
    if _metric(estimator) not in _METRICS or estimator.metric_params:
        raise Decline("its metric is not Euclidean, Manhattan or Chebyshev")
    if X.size == 0 or not float(np.abs(X).max()) < _LARGEST:
        raise Decline("there are no rows, or some values are not finite, or their squares are not")


def _metric(estimator: Any) -> Any:
    if estimator.metric != "minkowski":
        return estimator.metric
    return {1: "manhattan", 2: "euclidean", np.inf: "chebyshev"}.get(estimator.p)


def own_neighbors(estimator: Any, X: AnyArray, k: int) -> tuple[Floats, Ints]:
    """Distances (n, k) and positions (n, k) of the k nearest other rows of each row.

    `estimator` is fitted (it has ``_fit_method``) on `X`; `k` is less than the number of rows.
    """
    rows = np.ascontiguousarray(X, np.float64)
    n = len(rows)
    tiles, code = Tiles(rows), CODES[_METRICS[_metric(estimator)]]
    products = estimator._fit_method == "brute" and code == 0
    slack = (rows.shape[1] + 10) * 2.0**-50 * _largest_norm(rows) if products else 0.0
    asked = min(k + 2, n)
    far, at = np.empty((n, k)), np.empty((n, k), np.intp)

    def find(first: int, stop: int) -> None:
        found = nearest(tiles, rows[first:stop], asked, code, 2.0)
        if slack and float(found[:, k].min()) ** 2 * _DIGITS < slack:
            raise Decline(
                "some distances are as small as the rounding of the products they come from"
            )
        tied = first + _tied(found[:, :asked], k, slack)
        if len(tied):
            more = min(_WIDER * asked, n)
            _require_copies(rows, nearest(tiles, rows[tied], more, code, 2.0), k, slack)
        far[first:stop], at[first:stop] = _others(found, k, first)

    find(0, min(_BLOCK, n))
    if n > _BLOCK:
        spread(lambda first, stop: find(first + _BLOCK, stop + _BLOCK), n - _BLOCK, _BLOCK)
    return far, at


def _largest_norm(rows: Floats) -> float:
    return float(np.einsum("ij,ij->i", rows, rows).max())


def _tied(far: Floats, k: int, slack: float) -> Ints:
    """Where the last of k + 1 neighbours is as far as the one after it, up to rounding."""
    if far.shape[1] < k + 2:
        return np.empty(0, np.int64)
    return np.flatnonzero(_as_far(far[:, k + 1], far[:, k], slack))


def _as_far(one: Floats, other: Floats, slack: float) -> AnyArray:
    return np.abs(one * one - other * other) <= slack if slack else one == other


def _require_copies(rows: Floats, found: Floats, k: int, slack: float) -> None:
    """Decline unless all rows as far as the last of k + 1 neighbours are copies of each other."""
    asked = found.shape[1] // 2
    for far, at in zip(found[:, :asked], found[:, asked:].astype(np.intp), strict=True):
        if far[k] == 0.0:  # copies of the row itself
            continue
        tied = at[_as_far(far, far[k], slack)]
        every = asked == len(rows) or tied[-1] != at[-1]
        if not every or (rows[tied] != rows[tied[0]]).any():
            raise Decline("some rows are equally far from another one, and its heap chooses")


def _others(found: Floats, k: int, first: int) -> tuple[Floats, Ints]:
    """The first k + 1 found, less the row itself, or else the first one."""
    asked = found.shape[1] // 2
    far, at = found[:, : k + 1], found[:, asked : asked + k + 1].astype(np.intp)
    other = at != np.arange(first, first + len(found))[:, None]
    other[:, 0] &= ~other.all(axis=1)
    return far[other].reshape(-1, k), at[other].reshape(-1, k)
