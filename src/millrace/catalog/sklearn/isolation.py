"""Isolation forests.

Semantics matched: ``sklearn/ensemble/_iforest.py`` of scikit-learn 1.9. The rows are read as
float32; NaN follows ``missing_go_to_left`` and infinities are compared as they are: nothing raises.
The depth at which each tree isolates a row is added in the order of ``estimators_``. The answers
are the same bits as the source's outside a ``joblib.parallel_backend`` with several jobs, where the
source adds in the order in which its threads finish.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from millrace.catalog.registry import Context, Example, Outputs, converts, vector
from millrace.catalog.sklearn._examples import example_rows, spelled
from millrace.catalog.sklearn._forest import forest, read_nodes
from millrace.ir.build import Value
from millrace.ir.ops import Forest


def _average_path_length(n: int) -> float:
    """Path length of an unsuccessful search in a tree of `n` samples, as the source computes it."""
    if n <= 2:
        return float(max(n - 1, 0))
    count = np.array([n])
    length = 2.0 * (np.log(count - 1.0) + np.euler_gamma) - 2.0 * (count - 1.0) / count
    return float(length[0])


def _depths(model: Any, longest: float) -> Forest:
    """Trees whose leaves hold depths; all depths are 1 where there is nothing to divide them by."""
    all_seen = model._max_features == model.n_features_in_
    columns = None if all_seen else model.estimators_features_
    nodes = read_nodes([e.tree_ for e in model.estimators_], columns)
    path = np.concatenate(model._decision_path_lengths)[nodes.is_leaf]
    extra = np.concatenate(model._average_path_length_per_tree)[nodes.is_leaf]
    depth = path + extra - 1.0
    if longest == 0.0:
        return forest(nodes, np.zeros((len(depth), 1)), base=np.ones(1))
    return forest(nodes, depth[:, None], base=np.zeros(1))


@converts("sklearn.ensemble.IsolationForest")
def isolation_forest(model: Any, x: Value, context: Context) -> Outputs:
    """Anomaly scores and the labels 1 (inlier) and -1 (outlier). Exact."""
    longest = len(model.estimators_) * _average_path_length(int(model._max_samples))
    depth = x.cast("float32").trees(_depths(model, longest))
    if longest != 0.0:
        depth = depth / np.float64(longest)
    score = -x.builder.constant(np.float64(2.0)).combine("power", -depth)
    decision = score - np.float64(model.offset_)
    return {
        "predict": vector((decision < np.float64(0.0)).where(np.int64(-1), np.int64(1))),
        "decision_function": vector(decision),
        "score_samples": vector(score),
    }


def _example(rows: str = "plain", **params: Any) -> Example:
    """An isolation forest on plain, missing, named or float32 rows."""

    def make() -> tuple[Any, Any]:
        from sklearn.ensemble import IsolationForest

        x, _ = example_rows(3, rows)
        options: dict[str, Any] = {"n_estimators": 10, "random_state": 0} | params
        return IsolationForest(**options).fit(x), x

    options = spelled(params)
    return Example(f"IsolationForest, {rows} rows{options}", make)


def examples() -> Iterator[Example]:
    """Every kind of row, both kinds of threshold, feature subsets and the degenerate depths."""
    for rows in ("plain", "missing", "named", "float32"):
        yield _example(rows)
    yield _example(contamination=0.1)
    yield _example("missing", max_features=0.5, contamination=0.05)
    yield _example(max_features=3, bootstrap=True)
    yield _example(max_features=1)
    yield _example(max_samples=1)
    yield _example(max_samples=2, contamination=0.2)
    yield _example(max_samples=0.3, n_estimators=1)
