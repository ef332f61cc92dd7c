"""Single decision trees, over columns of at most 255 bins; see `_trees` for what is exact."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from millrace.solvers.registry import Example, solves
from millrace.solvers.rows import Rows
from millrace.solvers.sklearn._trees import (
    Steps,
    binned_rows,
    class_weights,
    decline_unsupported,
    grow,
    product,
)


@solves(
    "sklearn.tree.DecisionTreeClassifier",
    "sklearn.tree.DecisionTreeRegressor",
    "sklearn.tree.ExtraTreeClassifier",
    "sklearn.tree.ExtraTreeRegressor",
    weight=True,
    equivalent=True,
)
def decision_tree(estimator: Any, rows: Rows) -> Steps:
    """A tree by best or random splits, from two sweeps; pruned by scikit-learn itself."""
    from sklearn.base import clone

    estimator._validate_params()
    decline_unsupported(estimator, rows)
    allow_nan = estimator.__sklearn_tags__().input_tags.allow_nan
    found = yield from binned_rows(estimator, rows, allow_nan=allow_nan)
    tree: Any = clone(estimator)
    tree.random_state = estimator.random_state  # a generator is drawn from, as by fit itself
    if found.target.classes is not None:
        tree.classes_ = found.target.classes
    weight = product(found.target.weight, class_weights(estimator, found))
    grow(tree, found, weight)
    params = set(tree.get_params(deep=False))
    return {name: value for name, value in vars(tree).items() if name not in params}


def few_values(kind: str, missing: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Columns of few values, so that histograms lose nothing."""
    rng = np.random.default_rng(5)
    X = np.round(rng.standard_normal((400, 6)) * [3, 5, 1, 2, 8, 3])
    score = X[:, 0] + X[:, 1] * (X[:, 2] > 0) + rng.standard_normal(400)
    if missing:
        X[rng.random(X.shape) < 0.1] = np.nan
    if kind == "number":
        return X, np.round(4 * score)
    if kind == "count":
        return X, rng.poisson(np.exp(0.1 * score)).astype(np.float64)
    if kind == "binary":
        return X, np.where(score > 0, "yes", "no")
    return X, np.digitize(score, [-4, 0, 4])


def examples() -> Iterator[Example]:
    """Criteria, splitters, stopping rules, missing values and weights."""
    from sklearn.tree import (
        DecisionTreeClassifier,
        DecisionTreeRegressor,
        ExtraTreeClassifier,
        ExtraTreeRegressor,
    )

    def of(cls: Any, kind: str, missing: bool = False, **params: Any) -> Any:
        return lambda: (cls(random_state=3, **params), *few_values(kind, missing))

    cases: list[tuple[str, Any, str, bool, dict[str, Any]]] = [
        ("gini", DecisionTreeClassifier, "binary", False, {}),
        ("entropy", DecisionTreeClassifier, "many", False, {"criterion": "entropy"}),
        ("missing", DecisionTreeClassifier, "many", True, {"max_depth": 6}),
        ("leaves", DecisionTreeClassifier, "many", True, {"max_leaf_nodes": 12}),
        ("balanced", DecisionTreeClassifier, "binary", False,
         {"class_weight": "balanced", "max_depth": 3}),
        ("weights", DecisionTreeClassifier, "many", False, {"class_weight": {0: 2, 1: 1, 2: 1, 3: 4}}),
        ("pruned", DecisionTreeClassifier, "many", False, {"ccp_alpha": 0.01}),
        ("random", DecisionTreeClassifier, "binary", True, {"splitter": "random"}),
        ("squares", DecisionTreeRegressor, "number", False, {"min_samples_leaf": 3}),
        ("shares", DecisionTreeRegressor, "number", True,
         {"min_samples_leaf": 0.02, "min_samples_split": 0.1, "min_weight_fraction_leaf": 0.03}),
        ("poisson", DecisionTreeRegressor, "count", False, {"criterion": "poisson", "max_depth": 4}),
        ("decrease", DecisionTreeRegressor, "number", False, {"min_impurity_decrease": 0.5}),
        ("extra", ExtraTreeClassifier, "many", False, {}),
        ("extra", ExtraTreeRegressor, "number", False, {"max_features": 0.5}),
    ]  # fmt: skip
    for name, cls, kind, missing, params in cases:
        exact = "class_weight" not in params
        yield Example(f"{cls.__name__} {name}", of(cls, kind, missing, **params), weight=exact)
