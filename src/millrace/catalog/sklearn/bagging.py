"""Bagging: estimators of one kind, each on its own columns, and the mean of their answers.

Semantics matched: ``sklearn/ensemble/_bagging.py`` of scikit-learn 1.9.1. The rows are handed on as an
array in their own dtype and are not checked; each estimator gets its ``estimators_features_`` and checks
them itself. The answers are added one by one in the order of ``estimators_``, with ``n_jobs`` the sums
of the jobs after that, and the total is divided by their number.

Exactness: that of the inner estimators. The parts that ``n_jobs`` makes are those of the machine that
compiles. Bagged decision trees become one forest: the same bits. A label can differ only where inner
probabilities that are not exact nearly tie. Missing values: as the inner estimators take them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from typing import Any

import numpy as np

from millrace.catalog.registry import (
    BLAS_ORDER,
    Context,
    Example,
    Outputs,
    Result,
    SparseValue,
    converts,
    squeezed,
    vector,
)
from millrace.catalog.sklearn._examples import as_frame, example_labels, example_rows, spelled
from millrace.catalog.sklearn._forest import (
    Nodes,
    forest,
    read_leaves,
    read_nodes,
)
from millrace.catalog.sklearn._meta import (
    added,
    as_array,
    block,
    class_numbers,
    columns_of,
    filled,
    with_labels,
)
from millrace.ir.build import Value

_CLASSIFIER_TREES = ("DecisionTreeClassifier", "ExtraTreeClassifier")
_REGRESSOR_TREES = ("DecisionTreeRegressor", "ExtraTreeRegressor")


@converts("sklearn.ensemble.BaggingClassifier")
def bagging_classifier(model: Any, x: Value, context: Context) -> Outputs:
    """The mean of the probabilities, log-probabilities and decisions of estimators on their columns.

    An estimator that was fitted on some of the classes adds to those only. Estimators without
    ``predict_proba`` vote.
    """
    x = as_array(x)
    if are_trees(model, classifiers=True):
        outputs = _bagged_trees(model, x)
    else:
        outputs = _bagged_classifiers(model, x, context)
    numbers = outputs["predict_proba"].reduce("argmax")
    results: dict[str, Value | Result] = {
        "predict": vector(with_labels(numbers, model.classes_)),
        **outputs,
    }
    if "decision_function" in outputs:
        results["decision_function"] = squeezed(outputs["decision_function"])
    return results


@converts("sklearn.ensemble.BaggingRegressor")
def bagging_regressor(model: Any, x: Value, context: Context) -> Outputs:
    """The mean of the predictions of estimators on their columns."""
    x = as_array(x)
    if are_trees(model, classifiers=False):
        rows, nodes, leaves = _trees(model, x)

        def part(at: Sequence[int]) -> Value:
            chosen, own = _some(nodes, at)
            value = leaves[own]
            return rows.trees(forest(chosen, value, base=np.zeros(value.shape[1])))

        total = added([part(at) for at in _parts(model)])
        return {"predict": squeezed(total / np.float64(model.n_estimators))}
    return {"predict": squeezed(_mean_of(model, _inner(model, x, context), "predict"))}


def _inner(model: Any, x: Value, context: Context) -> list[Outputs]:
    """The methods of each estimator on its own columns."""
    pairs = zip(model.estimators_, model.estimators_features_, strict=True)
    return [
        context.convert(estimator, columns_of(x, features), f"estimators_[{i}]")
        for i, (estimator, features) in enumerate(pairs)
    ]


def _parts(model: Any) -> list[range]:
    """The estimators whose answers one job adds."""
    from sklearn.ensemble._base import _partition_estimators

    ends = _partition_estimators(model.n_estimators, model.n_jobs)[2]
    return [range(a, b) for a, b in zip(ends[:-1], ends[1:], strict=True)]


# -- any estimators ------------------------------------------------------------------------
def _bagged_classifiers(model: Any, x: Value, context: Context) -> dict[str, Value]:
    inner = _inner(model, x, context)
    votes = [_votes(model, i, outputs) for i, outputs in enumerate(inner)]
    total = added([added([votes[i] for i in part]) for part in _parts(model)])
    proba = total / np.float64(model.n_estimators)
    found = {"predict_proba": proba}
    if hasattr(model.estimator_, "predict_log_proba"):
        logs = [
            _spread(model, i, block(outputs, "predict_log_proba", f"estimators_[{i}]"), -np.inf)
            for i, outputs in enumerate(inner)
        ]
        found["predict_log_proba"] = _log_mean(model, logs)
    else:
        found["predict_log_proba"] = proba.apply("log")
    if hasattr(model, "decision_function"):
        found["decision_function"] = _mean_of(model, inner, "decision_function")
    return found


def _votes(model: Any, i: int, outputs: Outputs) -> Value:
    """What one estimator adds to the probabilities (float64)."""
    name = f"estimators_[{i}]"
    if hasattr(model.estimators_[i], "predict_proba"):
        return _spread(model, i, block(outputs, "predict_proba", name), 0.0)
    classes = np.arange(model.n_classes_)
    return class_numbers(block(outputs, "predict", name), classes).equals(classes).cast("float64")


def _spread(model: Any, i: int, values: Value, fill: float) -> Value:
    """A column for each class; `fill` for those that the estimator was not fitted on."""
    values = values.cast("float64")
    own = np.asarray(model.estimators_[i].classes_).tolist()
    if len(own) == model.n_classes_:
        return values
    wide = values.builder.concat([values, filled(values, np.float64(fill))])
    return wide.take([own.index(c) if c in own else len(own) for c in range(model.n_classes_)])


def _mean_of(model: Any, inner: Sequence[Outputs], method: str) -> Value:
    """``sum(answers) / n_estimators``; Python's sum starts at 0, which makes -0.0 a 0.0."""
    answers = [block(outputs, method, f"estimators_[{i}]") for i, outputs in enumerate(inner)]
    zero, count = (answers[0].builder.constant(np.float64(v)) for v in (0, model.n_estimators))
    sums = [
        added([zero.cast_like(answers[part[0]]), *(answers[i] for i in part)])
        for part in _parts(model)
    ]
    total = added(sums)
    return total / count.cast_like(total)


def _log_mean(model: Any, logs: Sequence[Value]) -> Value:
    """``logaddexp`` one by one from minus infinity, less the logarithm of the number."""
    start = logs[0].builder.constant(np.full(model.n_classes_, -np.inf))

    def chained(values: Sequence[Value], first: Value) -> Value:
        return reduce(lambda a, b: a.combine("logaddexp", b), values, first)

    sums = [chained([logs[i] for i in part], start) for part in _parts(model)]
    return chained(sums[1:], sums[0]) - np.float64(np.log(model.n_estimators))


# -- decision trees ------------------------------------------------------------------------
def are_trees(model: Any, *, classifiers: bool) -> bool:
    """Whether all estimators are single decision trees of one output."""
    names = _CLASSIFIER_TREES if classifiers else _REGRESSOR_TREES
    return all(
        type(e).__name__ in names
        and type(e).__module__ == "sklearn.tree._classes"
        and getattr(e, "n_outputs_", 1) == 1
        for e in model.estimators_
    )


def _trees(model: Any, x: Value) -> tuple[Value, Nodes, Any]:
    """The rows as the trees read them, all nodes and the values of all leaves, a column a class."""
    features = [np.asarray(f) for f in model.estimators_features_]
    used = np.unique(np.concatenate(features))
    first = model.estimators_[0]
    allow_nan = first.__sklearn_tags__().input_tags.allow_nan and not isinstance(x, SparseValue)
    rows = x.take(used).cast("float32").guard(type(first).__name__, allow_nan=bool(allow_nan))
    trees = [e.tree_ for e in model.estimators_]
    nodes = read_nodes(trees, [np.searchsorted(used, f) for f in features])
    if not hasattr(model, "n_classes_"):
        return rows, nodes, read_leaves(trees, nodes)
    tables: list[Any] = []
    for estimator, tree in zip(model.estimators_, trees, strict=True):
        own = tree.value[tree.children_left < 0, 0, :]
        table = np.zeros((len(own), model.n_classes_))
        table[:, np.asarray(estimator.classes_, dtype=int)] = own
        tables.append(table)
    return rows, nodes, np.concatenate(tables)


def _some(nodes: Nodes, at: Sequence[int]) -> tuple[Nodes, Any]:
    """The nodes of some trees in a row, and which of the leaves are theirs."""
    first, last = int(nodes.start[at[0]]), int(nodes.start[at[-1] + 1])
    own = slice(first, last)
    chosen = Nodes(
        start=nodes.start[at[0] : at[-1] + 2] - first,
        feature=nodes.feature[own],
        threshold=nodes.threshold[own],
        left=nodes.left[own],
        right=nodes.right[own],
        missing_left=nodes.missing_left[own],
        is_leaf=nodes.is_leaf[own],
    )
    before = int(nodes.is_leaf[:first].sum())
    return chosen, slice(before, before + int(chosen.is_leaf.sum()))


def _bagged_trees(model: Any, x: Value) -> dict[str, Value]:
    rows, nodes, leaves = _trees(model, x)
    k = model.n_classes_

    def sums(at: Sequence[int]) -> Value:
        chosen, own = _some(nodes, at)
        return rows.trees(forest(chosen, leaves[own], base=np.zeros(k)))

    proba = added([sums(at) for at in _parts(model)]) / np.float64(model.n_estimators)
    with np.errstate(divide="ignore"):
        logarithms = np.log(leaves)
    # One block with the logarithms of all trees side by side: -0.0 leaves each as it is.
    n_trees = len(model.estimators_)
    base = np.full(n_trees * k, -0.0)
    wide = rows.trees(forest(nodes, logarithms, base=base, target=np.arange(n_trees) * k))
    logs = [wide.take(range(t * k, (t + 1) * k)) for t in range(n_trees)]
    return {"predict_proba": proba, "predict_log_proba": _log_mean(model, logs)}


# -- examples ------------------------------------------------------------------------------


def _inner_estimator(name: str) -> Any:
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.svm import LinearSVC
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier

    known: dict[str, Callable[[], Any]] = {
        "tree": lambda: DecisionTreeClassifier(max_depth=3),
        "extra": lambda: ExtraTreeClassifier(max_depth=3),
        "regression tree": lambda: DecisionTreeRegressor(max_depth=3),
        "logistic": LogisticRegression,
        "svc": LinearSVC,
        "linear": LinearRegression,
        "neighbours": KNeighborsClassifier,
    }
    return known[name]()


def _rows(kind: str, seed: int) -> tuple[Any, Any]:
    x, signal = example_rows(seed, "plain" if kind == "named" else kind, 120, 5)
    return as_frame(x).assign(count=np.arange(120) % 7) if kind == "named" else x, signal


_WHY = f"the linear models inside: {BLAS_ORDER}"


def _classifier(inner: str, names: Sequence[Any], rows: str = "plain", **params: Any) -> Example:
    def make() -> tuple[Any, Any]:
        from sklearn.ensemble import BaggingClassifier

        x, signal = _rows(rows, 3)
        y = example_labels(signal, names)
        if params.get("max_samples", 1.0) == 6:  # few enough that estimators miss the last class
            y = np.where(np.arange(len(y)) % 9 == 0, names[-1], names[0])
            y[1::9] = names[1]
        options: dict[str, Any] = {"n_estimators": 5, "random_state": 0} | params
        return BaggingClassifier(_inner_estimator(inner), **options).fit(x, y), x

    options = spelled(params)
    name = f"BaggingClassifier of {inner}, {len(names)} classes, {rows} rows{options}"
    exact = inner in ("tree", "extra")
    return Example(name, make, *((0, 0.0, "") if exact else (64, 1e-12, _WHY)))


def _regressor(inner: str, rows: str = "plain", targets: int = 1, **params: Any) -> Example:
    def make() -> tuple[Any, Any]:
        from sklearn.ensemble import BaggingRegressor

        x, signal = _rows(rows, 4)
        y = signal if targets == 1 else np.column_stack([signal] * targets) * [1.0, -2.0]
        options: dict[str, Any] = {"n_estimators": 5, "random_state": 0} | params
        return BaggingRegressor(_inner_estimator(inner), **options).fit(x, y), x

    options = spelled(params)
    name = f"BaggingRegressor of {inner}, {targets} targets, {rows} rows{options}"
    exact = inner == "regression tree"
    return Example(name, make, *((0, 0.0, "") if exact else (64, 1e-12, _WHY)))


def examples() -> Iterator[Example]:
    """Trees and other estimators, all and some columns, missing classes, votes, parts and rows."""
    three = ["a", "bb", "c"]
    yield _classifier("tree", three)
    yield _classifier("tree", [0, 1], "missing", max_features=0.6)
    yield _classifier("tree", three, "sparse", max_features=0.6, bootstrap_features=True)
    yield _classifier("tree", three, "float32", max_samples=6, n_estimators=9)
    yield _classifier("extra", three, "named", n_estimators=7)
    yield _classifier("logistic", [0, 1], "named", max_features=3)
    yield _classifier("logistic", three, "float32", bootstrap_features=True)
    yield _classifier("logistic", three, max_samples=6, n_estimators=9)
    yield _classifier("logistic", three, "sparse", max_features=0.6)
    yield _classifier("svc", [5, -5], max_features=0.6)
    yield _classifier("svc", three)
    yield _regressor("regression tree")
    yield _regressor("regression tree", "missing", max_features=0.6)
    yield _regressor("regression tree", "sparse")
    yield _regressor("linear", "named", max_features=0.6, bootstrap_features=True)
    yield _regressor("linear", "float32", targets=2)
