"""Cutting arrays into batches, and merging what statistics make of them in several shapes of trees."""

from __future__ import annotations

from typing import Any

import numpy as np

from millrace.statistics import Batch, Columns, Statistic


def batches(X: Any, y: Any = None, weight: Any = None, size: int = 37) -> list[Batch]:
    """Consecutive batches of `size` rows, the last one shorter."""
    n = len(X) if isinstance(X, Columns) else X.shape[0]
    found: list[Batch] = []
    for first in range(0, n, size):
        part = slice(first, min(first + size, n))
        rows = X.rows(part) if isinstance(X, Columns) else X[part]
        found.append(
            Batch(
                first,
                rows,
                None if y is None else y[part],
                None if weight is None else weight[part],
            )
        )
    return found


def in_a_line(statistic: Statistic[Any, Any], parts: list[Batch]) -> Any:
    """Each batch merged into all before it."""
    states = [statistic.of(b) for b in parts]
    state = states[0]
    for other in states[1:]:
        state = statistic.merge(state, other)
    return statistic.finish(state)


def in_pairs(statistic: Statistic[Any, Any], parts: list[Batch]) -> Any:
    """Neighbours merged, then neighbours of those, as a sweep does."""
    states = [statistic.of(b) for b in parts]
    while len(states) > 1:
        merged = [statistic.merge(a, b) for a, b in zip(states[::2], states[1::2], strict=False)]
        states = merged + (states[-1:] if len(states) % 2 else [])
    return statistic.finish(states[0])


def table(n: int = 300, seed: int = 0) -> np.ndarray:
    """Columns of normal, tiny, huge, constant and integer values (n, 5)."""
    rng = np.random.default_rng(seed)
    X = rng.normal([0, 1e-8, 1e9, 3, 0], [1, 1e-9, 1, 0, 0], (n, 5))
    X[:, 4] = rng.integers(-2, 3, n)
    return X
