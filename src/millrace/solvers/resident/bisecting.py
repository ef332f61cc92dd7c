"""BisectingKMeans of rows in memory: scikit-learn's own tree, each split by the iterations of `kmeans`.

Semantics matched: ``BisectingKMeans.fit`` of scikit-learn 1.9.1, whose code this is, but for
``_kmeans_single_lloyd``.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from millrace.solvers.registry import Decline, Example, resident
from millrace.solvers.resident.kmeans import split_in_memory
from millrace.solvers.sklearn._working import learned, working_copy

FEWEST = 4096
"""Rows of a cluster that is split here; of fewer the source's own code is quicker."""


@resident("sklearn.cluster.BisectingKMeans", weight=True, equivalent=True)
def bisecting_in_memory(
    estimator: Any, X: Any, y: Any, weight: np.ndarray | None
) -> dict[str, Any]:
    """Fit X (n_samples, n_features); sparse rows, and those that are not finite, are declined."""
    if hasattr(X, "toarray") or estimator.verbose or not np.isfinite(X).all():
        raise Decline("rows are sparse or not finite, or it is to print what it does")
    work: Any = working_copy(estimator)
    work.copy_x = True  # they are the table's
    source = work._bisect

    def bisect(X: Any, squares: Any, times: Any, node: Any) -> None:
        theirs = work._kmeans_single
        if len(node.indices) >= FEWEST:
            work._kmeans_single = partial(split_in_memory, weight is None)
        source(X, squares, times, node)
        work._kmeans_single = theirs

    work._bisect = bisect
    work.fit(X, sample_weight=weight)
    del work._bisect
    return learned(work)


def examples() -> Iterator[Example]:
    """Both strategies, with starts of both kinds."""
    from sklearn.cluster import BisectingKMeans

    def made(**params: Any) -> tuple[Any, Any, None]:
        rng = np.random.default_rng(5)
        X = rng.standard_normal((400, 4)) + 6.0 * rng.integers(0, 3, (400, 4)) + 30.0
        return BisectingKMeans(7, random_state=0, **params), X, None

    yield Example("BisectingKMeans in memory", made, weight=True)
    largest = partial(made, bisecting_strategy="largest_cluster", init="k-means++", n_init=2)
    yield Example("BisectingKMeans in memory, largest", largest)
