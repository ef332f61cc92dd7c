"""AdaBoost: weighted votes of classifiers, the weighted median of regressors.

Semantics matched: ``sklearn/ensemble/_weight_boosting.py`` of scikit-learn 1.9.1. The rows are handed
on as an array in their own dtype, after NaN and infinities were refused. Boosted decision trees become
one forest whose leaves hold the votes.

Exactness: that of the inner estimators. The source sorts the predictions of the regressors with a sort
that is not stable: where equal predictions have different weights, their sum may round another way,
and the median can be the next prediction if half of the weight lies within that rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from millrace.catalog.registry import (
    BLAS_ORDER,
    Context,
    Decline,
    Example,
    Outputs,
    converts,
    vector,
)
from millrace.catalog.sklearn._examples import example_labels, example_rows, spelled
from millrace.catalog.sklearn._forest import (
    forest,
    read_leaves,
    read_nodes,
)
from millrace.catalog.sklearn._meta import (
    added,
    as_array,
    block,
    class_numbers,
    columns_added,
    in_kind_of,
    with_labels,
)
from millrace.catalog.sklearn.bagging import are_trees
from millrace.ir.arrays import Array
from millrace.ir.build import Value


@converts("sklearn.ensemble.AdaBoostClassifier")
def ada_boost_classifier(model: Any, x: Value, context: Context) -> Outputs:
    """Each estimator votes for its class with its weight, and against the others with a share of it.

    Declines: models that were fitted on a single class.
    """
    n_classes = model.n_classes_
    if n_classes == 1:
        raise Decline("it was fitted on a single class")
    x = in_kind_of(x, as_array(x).guard(type(model).__name__))
    votes = _tree_votes if are_trees(model, classifiers=True) else _votes
    scores = votes(model, x, context) / np.float64(model.estimator_weights_.sum())
    if n_classes == 2:
        scores = (scores * np.array([-1.0, 1.0])).reduce("sum")
        numbers = (scores > np.float64(0)).cast("int64")
        powers = x.builder.concat([-scores, scores]) / np.float64(2)
        decision = vector(scores)
    else:
        numbers, decision = scores.reduce("argmax"), scores
        powers = scores / np.float64(n_classes - 1)
    powers = (powers - powers.reduce("max")).apply("exp")
    proba = powers / columns_added(powers)
    return {
        "predict": vector(with_labels(numbers, model.classes_)),
        "predict_proba": proba,
        "predict_log_proba": proba.apply("log"),
        "decision_function": decision,
    }


def _vote_table(model: Any, own: Any, weight: Any) -> Any:
    """What an estimator adds for each of the labels `own` that it may predict: a column a class."""
    against = -1 / (model.n_classes_ - 1) * weight
    return np.where(np.asarray(own)[:, None] == model.classes_, weight, against)


def _votes(model: Any, x: Value, context: Context) -> Value:
    votes = [x.builder.constant(np.zeros(model.n_classes_))]
    for i, estimator in enumerate(model.estimators_):
        name = f"estimators_[{i}]"
        predicted = block(context.convert(estimator, x, name), "predict", name)
        table = _vote_table(model, model.classes_, model.estimator_weights_[i])
        votes.append(class_numbers(predicted, model.classes_).gather(Array(table)))
    return added(votes)


def _tree_votes(model: Any, x: Value, context: Context) -> Value:
    trees = [e.tree_ for e in model.estimators_]
    nodes = read_nodes(trees)
    tables: list[Any] = []
    for estimator, tree, weight in zip(
        model.estimators_, trees, model.estimator_weights_, strict=False
    ):
        chosen = tree.value[tree.children_left < 0, 0, :].argmax(axis=1)
        tables.append(_vote_table(model, estimator.classes_, weight)[chosen])
    rows = x.cast("float32").guard(type(model.estimators_[0]).__name__)
    return rows.trees(forest(nodes, np.concatenate(tables), base=np.zeros(model.n_classes_)))


@converts("sklearn.ensemble.AdaBoostRegressor")
def ada_boost_regressor(model: Any, x: Value, context: Context) -> Outputs:
    """The prediction at which the sorted predictions have half of the weight below them."""
    x = in_kind_of(x, as_array(x).guard("AdaBoostRegressor"))
    n = len(model.estimators_)
    if are_trees(model, classifiers=False):
        trees = [e.tree_ for e in model.estimators_]
        nodes = read_nodes(trees)
        # -0.0 leaves every value as it is, also a -0.0.
        sums = forest(nodes, read_leaves(trees, nodes), np.full(n, -0.0), target=np.arange(n))
        rows = x.cast("float32").guard(type(model.estimators_[0]).__name__)
        predictions = rows.trees(sums)
    else:
        predictions = x.builder.concat(
            [
                block(context.convert(e, x, f"estimators_[{i}]"), "predict", f"estimators_[{i}]")
                for i, e in enumerate(model.estimators_)
            ]
        )
    order = predictions.arg_sort()
    weights = x.builder.constant(model.estimator_weights_[:n]).pick_along(order).accumulate("add")
    half = x.builder.constant(np.float64(0.5)) * weights.column(n - 1)
    middle = order.pick_along((weights >= half).reduce("argmax"))
    return {"predict": vector(predictions.pick_along(middle))}


# -- examples ------------------------------------------------------------------------------


def _inner_estimator(name: str) -> Any:
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    known: dict[str, Callable[[], Any]] = {
        "stump": lambda: None,
        "tree": lambda: DecisionTreeClassifier(max_depth=3),
        "logistic": LogisticRegression,
        "regression tree": lambda: DecisionTreeRegressor(max_depth=4),
        "default": lambda: None,
        "ridge": Ridge,
    }
    return known[name]()


_WHY = f"the linear models inside: {BLAS_ORDER}"


def _classifier(inner: str, names: Sequence[Any], rows: str = "plain", **params: Any) -> Example:
    def make() -> tuple[Any, Any]:
        from sklearn.ensemble import AdaBoostClassifier

        x, signal = example_rows(len(names), rows, 120)
        options: dict[str, Any] = {"n_estimators": 9, "random_state": 0} | params
        model = AdaBoostClassifier(_inner_estimator(inner), **options)
        return model.fit(x, example_labels(signal, names)), x

    options = spelled(params)
    return Example(
        f"AdaBoostClassifier of {inner}, {len(names)} classes, {rows} rows{options}", make
    )


def _regressor(inner: str, rows: str = "plain", **params: Any) -> Example:
    def make() -> tuple[Any, Any]:
        from sklearn.ensemble import AdaBoostRegressor

        x, signal = example_rows(4, rows, 120)
        options: dict[str, Any] = {"n_estimators": 7, "random_state": 0} | params
        return AdaBoostRegressor(_inner_estimator(inner), **options).fit(x, signal), x

    options = spelled(params)
    bound = (64, 1e-12, _WHY) if inner == "ridge" else (0, 0.0, "")
    return Example(f"AdaBoostRegressor of {inner}, {rows} rows{options}", make, *bound)


def examples() -> Iterator[Example]:
    """Trees and linear models, two to nine classes, every kind of row and loss."""
    yield _classifier("stump", [0, 1])
    yield _classifier("stump", ["a", "bb", "c"], "named", learning_rate=0.5)
    yield _classifier("tree", [3.0, 1.0, 2.0], "float32")
    yield _classifier("tree", list(range(9)), n_estimators=4)
    yield _classifier("tree", [False, True], "sparse")
    yield _classifier("logistic", ["no", "yes"])
    yield _classifier("logistic", ["a", "bb", "c"], "sparse", n_estimators=4)
    yield _regressor("default")
    yield _regressor("regression tree", "float32", loss="exponential", n_estimators=20)
    yield _regressor("regression tree", "sparse", loss="square")
    yield _regressor("ridge", "named")
