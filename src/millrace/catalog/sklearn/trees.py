"""Single decision trees: DecisionTree* and ExtraTree*.

Semantics matched: ``sklearn/tree/_classes.py`` of scikit-learn 1.9. The rows are read as float32.
Every method is exact: the value of one leaf is looked up, nothing is added. NaN follows
``missing_go_to_left`` where the tree accepts it (ExtraTree* only with ``splitter="random"``);
infinities, also those that arise from the conversion to float32, raise as in the source.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from millrace.catalog.registry import Context, Example, Outputs, converts, squeezed, vector
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


def _single(tree: Any, columns: list[int]) -> Forest:
    nodes = read_nodes([tree.tree_])
    value = read_leaves([tree.tree_], nodes)[:, columns]
    # -0.0 is the neutral element of addition that leaves also a leaf value of -0.0 as it is.
    return forest(nodes, value, base=np.full(len(columns), -0.0))


@converts("sklearn.tree.DecisionTreeRegressor", "sklearn.tree.ExtraTreeRegressor")
def tree_regressor(tree: Any, x: Value, context: Context) -> Outputs:
    """The value of the leaf that a row reaches, one or several targets. Exact."""
    x = validated(tree, x)
    model = _single(tree, list(range(tree.n_outputs_)))
    return {"predict": squeezed(x.trees(model)), "apply": vector(x.leaves(model))}


@converts("sklearn.tree.DecisionTreeClassifier", "sklearn.tree.ExtraTreeClassifier")
def tree_classifier(tree: Any, x: Value, context: Context) -> Outputs:
    """The likeliest class of the leaf that a row reaches, one or several outputs. Exact."""
    x = validated(tree, x)
    parts = class_columns(np.atleast_1d(tree.n_classes_).tolist(), int(tree.tree_.max_n_classes))
    model = _single(tree, [c for part in parts for c in part])
    return {**classifier_outputs(tree, x.trees(model)), "apply": vector(x.leaves(model))}


def _targets(kind: str, signal: Any) -> Any:
    """The targets that the examples name."""
    two = example_labels(signal, [0, 1])
    three = example_labels(-signal, [0, 1, 2])
    match kind:
        case "number":
            return signal
        case "count":
            return np.floor(np.exp(signal))
        case "numbers":
            return np.column_stack([signal, -2.0 * signal, np.sin(signal)])
        case "negative zero":
            return np.full(len(signal), -0.0)
        case "binary":
            return two
        case "bool":
            return two == 1
        case "float labels":
            return example_labels(signal, [-1.0, 0.0, 7.0])
        case "text":
            return example_labels(signal, ["low", "middle", "high"])
        case "object":
            return example_labels(signal, ["low", "middle", "high", "très haut"], object)
        case "one class":
            return np.full(len(signal), 3)
        case "outputs":
            return np.column_stack([two, three, np.full(len(signal), 5)])
        case "text outputs":
            return np.column_stack([three.astype("U"), np.where(two == 1, "yes", "no")])
        case "multilabel":
            return np.column_stack([two, three > 0])
        case _:
            raise ValueError(kind)


def _example(class_name: str, kind: str, rows: str = "plain", **params: Any) -> Example:
    """A tree of this class on targets of this kind and rows of this kind."""

    def make() -> tuple[Any, Any]:
        import sklearn.tree

        x, signal = example_rows(len(kind), rows)
        model = getattr(sklearn.tree, class_name)(**{"random_state": 0, "max_depth": 4} | params)
        return model.fit(x, _targets(kind, signal)), x

    options = spelled(params)
    return Example(f"{class_name} {kind}, {rows} rows{options}", make)


def examples() -> Iterator[Example]:
    """Every kind of target and row, and every parameter that changes what a tree holds."""
    regressor, classifier = "DecisionTreeRegressor", "DecisionTreeClassifier"
    for rows in ("plain", "missing", "named", "float32", "int"):
        yield _example(regressor, "number", rows)
        yield _example(classifier, "text", rows)
    for kind in (
        "binary",
        "bool",
        "float labels",
        "object",
        "one class",
        "outputs",
        "text outputs",
        "multilabel",
    ):
        yield _example(classifier, kind)
    yield _example(regressor, "numbers")
    yield _example(regressor, "numbers", "missing", splitter="random")
    yield _example(regressor, "negative zero")
    yield _example(regressor, "count", criterion="poisson")
    yield _example(regressor, "number", criterion="absolute_error", max_depth=2)
    yield _example(regressor, "number", max_leaf_nodes=9, max_depth=None)
    yield _example(regressor, "number", ccp_alpha=0.02, max_depth=None)
    yield _example(regressor, "number", monotonic_cst=(1, 0, 0, -1))
    yield _example(classifier, "outputs", "missing", max_depth=None)
    yield _example(classifier, "object", criterion="entropy", class_weight="balanced")
    for splitter in ("random", "best"):
        yield _example("ExtraTreeRegressor", "number", splitter=splitter)
        yield _example("ExtraTreeClassifier", "object", splitter=splitter)
    yield _example("ExtraTreeRegressor", "numbers", "missing")
    yield _example("ExtraTreeClassifier", "multilabel", "missing")
