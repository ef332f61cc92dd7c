"""Random forests and extremely randomised trees, over columns of at most 255 bins.

Rows are drawn, features are drawn and seeds are handed out as in scikit-learn 1.9; see `_trees` for
when the trees are its very own, and when they are of the same quality. Trees grow one a thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from millrace.runtime.pool import get_threads
from millrace.solvers.registry import Decline, Example, solves
from millrace.solvers.rows import Rows
from millrace.solvers.sklearn._trees import (
    Steps,
    TreeRows,
    binned_rows,
    class_weights,
    decline_unsupported,
    grow,
    leaves_of,
    product,
)
from millrace.solvers.sklearn.tree import few_values


@solves(
    "sklearn.ensemble.RandomForestClassifier",
    "sklearn.ensemble.RandomForestRegressor",
    "sklearn.ensemble.ExtraTreesClassifier",
    "sklearn.ensemble.ExtraTreesRegressor",
    weight=True,
    equivalent=True,
)
def forest(estimator: Any, rows: Rows) -> Steps:
    """A forest, from two sweeps."""
    from sklearn.base import clone
    from sklearn.utils import check_random_state

    estimator._validate_params()
    decline_unsupported(estimator, rows)
    _check_bootstrap(estimator)
    before = _trees_before(estimator)
    found = yield from binned_rows(estimator, rows)
    _check_before(before, found)
    work: Any = clone(estimator)
    _describe(work, found)
    work._validate_estimator()
    generator = check_random_state(estimator.random_state)
    if before:  # the new trees are those of a forest that was fitted at once
        generator.randint(np.iinfo(np.int32).max, size=len(before))
    trees = [
        work._make_estimator(append=False, random_state=generator)
        for _ in range(work.n_estimators - len(before))
    ]
    with ThreadPoolExecutor(_threads(found, len(trees))) as pool:
        work.estimators_ = [*before, *pool.map(lambda tree: _grow_one(work, tree, found), trees)]
    if work.oob_score:
        _score_out_of_bag(work, found)
    if found.n_classes:
        work.classes_, work.n_classes_ = work.classes_[0], work.n_classes_[0]
    return {name: value for name, value in vars(work).items() if _is_learned(name)}


_BYTES_OF_ROW = 32
"""What a tree takes of memory for each row while it grows: the draw, and records twice."""


def _threads(found: TreeRows, n_trees: int) -> int:
    """How many trees grow at a time; fewer, where they would take half of the budget."""
    most = max(1, min(get_threads(), n_trees))
    if found.memory is None:
        return most
    return max(1, min(most, found.memory // 2 // (_BYTES_OF_ROW * found.n_samples)))


def _trees_before(estimator: Any) -> list[Any]:
    """The trees that are there already, and stay."""
    if not estimator.warm_start or not hasattr(estimator, "estimators_"):
        return []
    before = list(estimator.estimators_)
    if estimator.n_estimators < len(before):
        raise ValueError(
            f"n_estimators={estimator.n_estimators} must be larger or equal to "
            f"len(estimators_)={len(before)} when warm_start==True"
        )
    if estimator.n_estimators == len(before):
        raise Decline("warm_start=True without more n_estimators grows no trees")
    if before and estimator.oob_score:
        raise Decline("its earlier trees may part bins, so that bins do not give their oob_score")
    if isinstance(getattr(estimator, "class_weight", None), str):
        raise Decline("scikit-learn warns of class_weight presets with warm_start=True")
    return before


def _check_before(before: list[Any], found: TreeRows) -> None:
    """Decline trees of other columns or classes, as more of which none can be grown."""
    n_classes = max(found.n_classes, 1)
    if any(
        t.n_features_in_ != found.n_features or t.tree_.value.shape[1:] != (1, n_classes)
        for t in before
    ):
        raise Decline("its earlier trees are of other columns or classes")


def _is_learned(name: str) -> bool:
    private = ("_n_samples", "_n_samples_bootstrap", "_sample_weight")
    return name in private or (name.endswith("_") and not name.startswith("_"))


def _check_bootstrap(estimator: Any) -> None:
    if not estimator.bootstrap and estimator.max_samples is not None:
        raise ValueError("`max_samples` cannot be set if `bootstrap=False`.")
    if not estimator.bootstrap and estimator.oob_score:
        raise ValueError("Out of bag estimation only available if bootstrap=True")


def _describe(work: Any, found: TreeRows) -> None:
    """What a forest knows of its rows before the first tree."""
    from sklearn.ensemble._forest import _get_n_samples_bootstrap
    from sklearn.utils import compute_class_weight

    work.n_features_in_ = found.n_features
    work.n_outputs_ = 1
    work._n_samples = found.n_samples
    weight = found.target.weight
    wanted = getattr(work, "class_weight", None)
    if found.target.classes is not None:
        work.classes_ = [found.target.classes]
        work.n_classes_ = [found.n_classes]
        y, codes = found.target.y, np.arange(found.n_classes)
        if wanted == "balanced" or (wanted == "balanced_subsample" and not work.bootstrap):
            of_class = compute_class_weight("balanced", classes=codes, y=y, sample_weight=weight)
            weight = product(weight, of_class[y])
        elif not isinstance(wanted, str):
            weight = product(weight, class_weights(work, found))
    work._sample_weight = weight
    work._n_samples_bootstrap = None
    if work.bootstrap:
        work._n_samples_bootstrap = _get_n_samples_bootstrap(
            found.n_samples, work.max_samples, weight
        )


def _grow_one(work: Any, tree: Any, found: TreeRows) -> Any:
    from sklearn.ensemble._forest import _generate_sample_indices
    from sklearn.utils import compute_sample_weight

    weight = work._sample_weight
    if work.bootstrap:
        drawn = _generate_sample_indices(
            tree.random_state, found.n_samples, work._n_samples_bootstrap, weight
        )
        weight = np.zeros(found.n_samples, np.uint32)
        np.add.at(weight, drawn, 1)  # a third of the memory of a bincount
        if getattr(work, "class_weight", None) == "balanced_subsample":
            y = found.target.y.astype(np.float64).reshape(-1, 1)
            weight = weight * compute_sample_weight("balanced", y, indices=drawn)
        del drawn
    if found.n_classes:
        tree.classes_ = np.arange(found.n_classes, dtype=np.float64)
    return grow(tree, found, weight)


class _RowNumbers:
    """Stands for X where scikit-learn takes the rows that a tree has not seen: their numbers."""

    def __getitem__(self, key: tuple[np.ndarray, slice]) -> np.ndarray:
        return key[0]


def _score_out_of_bag(work: Any, found: TreeRows) -> None:
    """Set the out-of-bag attributes, by scikit-learn's own code on predictions for binned rows."""

    def predictions(tree: Any, numbers: np.ndarray) -> np.ndarray:
        values = tree.tree_.value[leaves_of(tree, found.binned, numbers), 0, :]
        return values[:, :, np.newaxis]

    work._get_oob_predictions = predictions
    y = found.target.y.astype(np.float64).reshape(-1, 1)
    scoring = work.oob_score if callable(work.oob_score) else None
    work._set_oob_score_and_attributes(_RowNumbers(), y, scoring_function=scoring)
    del work._get_oob_predictions


def _same_quality(estimator: Any, X: Any, y: Any) -> float:
    return float(estimator.score(X, y))


def examples() -> Iterator[Example]:
    """Bootstrap, weights and stopping rules on few values; and many values, where quality counts."""
    from sklearn.datasets import make_classification, make_regression
    from sklearn.ensemble import (
        ExtraTreesClassifier,
        ExtraTreesRegressor,
        RandomForestClassifier,
        RandomForestRegressor,
    )

    cases: list[tuple[str, Any, str, bool, dict[str, Any]]] = [
        ("plain", RandomForestClassifier, "binary", False, {}),
        ("missing", RandomForestClassifier, "many", True, {"max_depth": 5}),
        ("entropy", RandomForestClassifier, "many", False,
         {"criterion": "entropy", "max_features": "log2", "min_samples_leaf": 2}),
        ("out of bag", RandomForestClassifier, "binary", True, {"oob_score": True, "n_estimators": 30}),
        ("leaves", RandomForestClassifier, "many", False, {"max_leaf_nodes": 9, "max_samples": 0.5}),
        ("plain", RandomForestRegressor, "number", False, {"max_features": 0.5}),
        ("out of bag", RandomForestRegressor, "number", True,
         {"oob_score": True, "n_estimators": 30, "min_samples_leaf": 5}),
        ("poisson", RandomForestRegressor, "count", False,
         {"criterion": "poisson", "min_samples_leaf": 5}),
        ("plain", ExtraTreesClassifier, "many", False, {}),
        ("leaves", ExtraTreesClassifier, "binary", True, {"max_leaf_nodes": 9, "bootstrap": True}),
        ("missing", ExtraTreesClassifier, "binary", True, {"max_depth": 5}),
        ("plain", ExtraTreesRegressor, "number", False, {"min_samples_leaf": 3}),
    ]  # fmt: skip
    for name, cls, kind, missing, params in cases:
        settings = {"n_estimators": 6, **params}
        make = _made(cls, kind, missing, settings)
        yield Example(f"{cls.__name__} {name}", make, weight=True)

    def many(cls: Any, source: Any, **params: Any) -> Any:
        return lambda: (cls(n_estimators=20, random_state=0, **params), *source())

    def classes() -> Any:
        return make_classification(2000, 10, n_informative=6, flip_y=0.1, random_state=0)

    def numbers() -> Any:
        return make_regression(2000, 8, n_informative=5, noise=10.0, random_state=0)

    quality: dict[str, Any] = {
        "quality": _same_quality,
        "quality_slack": 0.01,
        "why": "columns of 2,000 values have 255 bins",
    }
    yield Example(
        "RandomForestClassifier many values", many(RandomForestClassifier, classes), **quality
    )
    yield Example(
        "RandomForestRegressor many values", many(RandomForestRegressor, numbers), **quality
    )
    yield Example("ExtraTreesRegressor many values", many(ExtraTreesRegressor, numbers), **quality)


def _made(cls: Any, kind: str, missing: bool, settings: dict[str, Any]) -> Any:
    return lambda: (cls(random_state=3, **settings), *few_values(kind, missing))
