"""Bagged trees: RandomForest* and ExtraTrees*.

Semantics matched: ``sklearn/ensemble/_forest.py`` of scikit-learn 1.9. The rows are read as
float32; the trees are added one by one in the order of ``estimators_`` to float64 zeros, and the
sums are then divided by the number of trees. The answers are the same bits as the source's with
``n_jobs=None``; with more jobs the source itself adds in the order in which its threads finish.
NaN follows ``missing_go_to_left``; infinities, also those that arise from the conversion to
float32, raise as in the source.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from millrace.catalog.registry import Context, Example, Outputs, converts, squeezed
from millrace.catalog.sklearn._examples import example_labels, example_rows, spelled
from millrace.catalog.sklearn._forest import (
    class_columns,
    classifier_outputs,
    forest,
    read_leaves,
    read_nodes,
    validated,
)
from millrace.ir.build import Value
from millrace.ir.ops import Forest


def _sum(model: Any, columns: list[int]) -> Forest:
    trees = [e.tree_ for e in model.estimators_]
    nodes = read_nodes(trees)
    value = read_leaves(trees, nodes)[:, columns]
    return forest(nodes, value, base=np.zeros(len(columns)))


def _state_order(model: Any, context: Context) -> None:
    """With several threads the source adds the trees in the order in which they finish.

    However n numbers of one sign are added, two orders differ by less than n units in the last place;
    sums of both signs, and logarithms of what is almost 1, by n of the largest term's.
    """
    if model.n_jobs not in (None, 1):
        n = len(model.estimators_)
        largest = max(float(np.abs(e.tree_.value).max()) for e in model.estimators_)
        context.bound(
            2 * n,
            2 * n * np.finfo(np.float64).eps * max(largest, 1.0),
            "with n_jobs the source adds the trees in the order in which its threads finish",
        )


@converts("sklearn.ensemble.RandomForestRegressor", "sklearn.ensemble.ExtraTreesRegressor")
def forest_regressor(model: Any, x: Value, context: Context) -> Outputs:
    """The mean of the trees, one or several targets. Exact, see `_state_order` for n_jobs."""
    _state_order(model, context)
    x = validated(model, x)
    trees = _sum(model, list(range(model.n_outputs_)))
    mean = x.trees(trees) / np.float64(len(model.estimators_))
    return {"predict": squeezed(mean), "apply": x.leaves(trees)}


@converts("sklearn.ensemble.RandomForestClassifier", "sklearn.ensemble.ExtraTreesClassifier")
def forest_classifier(model: Any, x: Value, context: Context) -> Outputs:
    """The mean of the trees' probabilities, one or several outputs.

    Exact. The first of equally probable classes wins, after the division: it can make sums equal. See
    `_state_order` for n_jobs.
    """
    _state_order(model, context)
    x = validated(model, x)
    stride = int(model.estimators_[0].tree_.max_n_classes)
    parts = class_columns(np.atleast_1d(model.n_classes_).tolist(), stride)
    trees = _sum(model, [c for part in parts for c in part])
    mean = x.trees(trees) / np.float64(len(model.estimators_))
    return {**classifier_outputs(model, mean), "apply": x.leaves(trees)}


def _targets(kind: str, signal: Any) -> Any:
    """The targets that the examples name."""
    two = example_labels(signal, [0, 1])
    four = example_labels(-signal, [0, 1, 2, 3])
    match kind:
        case "number":
            return signal
        case "numbers":
            return np.column_stack([signal, -2.0 * signal])
        case "count":
            return np.floor(np.exp(signal))
        case "binary":
            return two
        case "text":
            return example_labels(signal, ["low", "middle", "high"], object)
        case "outputs":
            return np.column_stack([two, four])
        case "text outputs":
            return np.column_stack([four.astype("U"), np.where(two == 1, "yes", "no")])
        case "multilabel":
            return np.column_stack([two, four > 0, four > 2])
        case _:
            raise ValueError(kind)


def _example(class_name: str, kind: str, rows: str = "plain", **params: Any) -> Example:
    """A forest of this class on targets of this kind and plain, missing, named or float32 rows."""

    def make() -> tuple[Any, Any]:
        import sklearn.ensemble

        x, signal = example_rows(len(kind), rows)
        options = {"n_estimators": 7, "random_state": 0, "max_depth": 4} | params
        model = getattr(sklearn.ensemble, class_name)(**options)
        return model.fit(x, _targets(kind, signal)), x

    options = spelled(params)
    return Example(f"{class_name} {kind}, {rows} rows{options}", make)


def examples() -> Iterator[Example]:
    """Every kind of target and row for the four classes, and parameters that change the sums."""
    for family in ("RandomForest", "ExtraTrees"):
        regressor, classifier = f"{family}Regressor", f"{family}Classifier"
        for rows in ("plain", "missing", "named", "float32"):
            yield _example(regressor, "number", rows)
            yield _example(classifier, "text", rows)
        for kind in ("binary", "outputs", "text outputs", "multilabel"):
            yield _example(classifier, kind)
        yield _example(classifier, "outputs", "missing")
        yield _example(classifier, "binary", max_depth=None, n_estimators=3, bootstrap=False)
        yield _example(classifier, "text", n_estimators=1, max_depth=1)
        yield _example(classifier, "text", class_weight="balanced_subsample", bootstrap=True)
        yield _example(regressor, "numbers")
        yield _example(regressor, "numbers", "missing", max_depth=None)
        yield _example(regressor, "count", criterion="poisson")
        yield _example(regressor, "number", max_leaf_nodes=8, max_features=0.5, bootstrap=True)
        yield _example(regressor, "number", n_jobs=1, max_depth=None, n_estimators=13)
