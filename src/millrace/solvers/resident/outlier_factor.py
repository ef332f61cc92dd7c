"""LocalOutlierFactor: scikit-learn's own fit, on neighbours that are found faster.

Semantics matched: ``sklearn/neighbors/_lof.py`` of scikit-learn 1.9.1; what it does with the neighbours
is left to it.

Exactness: that of `_neighbors`: the same neighbours; with a tree the same distances, by brute force up to
the rounding of products.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from millrace.solvers.registry import Decline, Example, resident
from millrace.solvers.resident._neighbors import decline_uncovered, own_neighbors


@resident("sklearn.neighbors.LocalOutlierFactor")
def local_outlier_factor(estimator: Any, X: Any, y: Any, sample_weight: Any) -> dict[str, Any]:
    """Densities of the rows, and how much less they are than those of their neighbours."""
    from sklearn.base import clone

    estimator._validate_params()
    decline_uncovered(estimator, X)
    if estimator.n_neighbors >= len(X):
        raise Decline("it asks for more neighbours than there are other rows")
    work: Any = clone(estimator)
    work.kneighbors = lambda n_neighbors: own_neighbors(work, work._fit_X, n_neighbors)
    work.fit(X)
    params = {"kneighbors", *work.get_params(deep=False)}
    return {name: value for name, value in vars(work).items() if name not in params}


# -- examples ------------------------------------------------------------------------------


def _scattered(n_features: int = 3, kind: str = "float64", **params: Any) -> tuple[Any, Any, None]:
    from sklearn.neighbors import LocalOutlierFactor

    rng = np.random.default_rng(n_features)
    X = rng.normal(size=(330, n_features)) * rng.choice([0.2, 1.0, 3.0], (330, 1))
    if kind == "grid":
        X = X.round()
    return (
        LocalOutlierFactor(**params),
        X.astype("float32" if kind == "float32" else "float64"),
        None,
    )


_CASES: tuple[dict[str, Any], ...] = (
    {},
    {"n_features": 20, "novelty": True},
    {"n_features": 20, "kind": "float32", "contamination": 0.1},
    {"kind": "float32", "n_neighbors": 3, "algorithm": "ball_tree"},
    {"metric": "manhattan", "contamination": 0.2},
    {"p": np.inf, "n_features": 17},
    {"n_neighbors": 200},
    {"kind": "grid"},
    {"metric": "cosine"},
)
"""The last two are left to scikit-learn."""


def examples() -> Iterator[Example]:
    """Trees and brute force, both dtypes, metrics, and what is not covered."""
    for params in _CASES:
        words = " ".join(f"{name}={value}" for name, value in params.items())
        narrow = params.get("kind") == "float32" and "n_features" in params
        yield Example(
            f"LocalOutlierFactor {words}".strip(),
            partial(_scattered, **params),
            rtol=1e-5 if narrow else 1e-6,
            why="scikit-learn rounds distances to float32" if narrow else "",
        )
