"""Gradient boosting on exact trees: GradientBoosting*.

Semantics matched: ``_gb.py`` and ``_gradient_boosting.pyx`` in ``sklearn/ensemble``, and
``sklearn/_loss``, of scikit-learn 1.9. The rows are read as float32 and must be finite, except in
`apply`, where a NaN follows ``missing_go_to_left``. The raw prediction starts at that of the init
estimator; ``learning_rate * value`` of each tree is added to it in float64, stage by stage.

Every method has the same bits as the source's, except with a custom init estimator of a classifier
of 8 or more classes: there the source's row sums depend on the memory layout of what the init
estimator returns, up to `n_classes` ulp of its largest logit, which is at most 36.05.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.catalog.registry import (
    Context,
    Decline,
    Example,
    Outputs,
    converts,
    cube,
    plain,
    public_name,
    squeezed,
    vector,
)
from millrace.catalog.sklearn._examples import example_labels, example_rows, spelled
from millrace.catalog.sklearn._forest import (
    Nodes,
    forest,
    labels,
    read_leaves,
    read_nodes,
)
from millrace.catalog.sklearn.linear_classifiers import softmax
from millrace.ir.arrays import Array
from millrace.ir.build import Value
from millrace.ir.ops import Forest, LinearLeaves

_CONSTANT = ("sklearn.dummy.DummyClassifier", "sklearn.dummy.DummyRegressor")
_EPS = np.finfo(np.float64).eps
_LARGEST_LOGIT = 36.05
"""``-log(_EPS)``, rounded up."""


def link(name: str, p: Value) -> Value:
    """Probabilities or values (float64) to raw predictions, by the name of scikit-learn's link."""
    match name:
        case "IdentityLink":
            return p
        case "LogitLink":
            return p.apply("logit")
        case "HalfLogitLink":
            return p.builder.constant(np.float64(0.5)) * p.apply("logit")
        case "MultinomialLogit":
            mean = p.apply("log").reduce("mean").apply("exp")
            return (p / mean).apply("log")
        case _:
            raise Decline(f"its loss has the unknown link {name}")


def inverse_link(name: str, raw: Value) -> Value:
    """Raw predictions to values, by the name of scikit-learn's link."""
    match name:
        case "IdentityLink":
            return raw
        case "LogLink":
            return raw.apply("exp")
        case "LogitLink":
            return raw.apply("expit")
        case "HalfLogitLink":
            return (raw.builder.constant(np.float64(2.0)) * raw).apply("expit")
        case "MultinomialLogit":
            return softmax(raw)
        case _:
            raise Decline(f"its loss has the unknown link {name}")


def probabilities(loss: Any, raw: Value) -> Value:
    """``loss.predict_proba(raw)``: both classes of a binary loss, or all classes."""
    positive = inverse_link(type(loss.link).__name__, raw)
    if loss.is_multiclass:
        return positive
    return raw.builder.concat([raw.builder.constant(np.float64(1.0)) - positive, positive])


def _base(model: Any) -> npt.NDArray[np.float64] | None:
    """The raw prediction of the init estimator where it is the same for all rows."""
    n_outputs = model.estimators_.shape[1]
    if isinstance(model.init_, str):  # "zero"
        return np.zeros(n_outputs)
    if public_name(type(model.init_)) not in _CONSTANT:
        return None
    if getattr(model.init_, "strategy", "") == "stratified":
        raise Decline("its init estimator answers at random")
    return model._raw_predict_init(np.zeros((2, model.n_features_in_), np.float32))[0]


def _init(model: Any, x: Value, context: Context) -> Value:
    """The raw prediction of an init estimator that reads the rows: (n_samples, n_outputs)."""
    name = type(model._loss.link).__name__
    methods = context.convert(model.init_, x, "init")
    method = "predict_proba" if hasattr(model, "classes_") else "predict"
    if method not in methods:
        raise Decline(f"its init estimator has no {method} that could be converted")
    start = plain(methods[method]).cast("float64")
    if method == "predict_proba":
        start = start if model._loss.is_multiclass else start.column(1)
        start = start.combine("maximum", _EPS).combine("minimum", 1 - _EPS)
        if start.width >= 8:
            context.bound(*_row_sums(start.width))
    return link(name, start)


def _row_sums(n_classes: int) -> tuple[int, float, str]:
    """Bound of what follows from the logits of an init estimator: ulp, absolute, why."""
    return (
        n_classes,
        n_classes * float(np.spacing(_LARGEST_LOGIT)),
        "the order in which the source adds up a row of eight or more logarithms depends on the "
        "memory layout of what its init estimator returns",
    )


def _stages(model: Any) -> tuple[Nodes, npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """The nodes of all trees, the scaled values of their leaves and the outputs they add to."""
    n_stages, n_outputs = model.estimators_.shape
    trees = [e.tree_ for e in model.estimators_.ravel()]
    nodes = read_nodes(trees)
    value = float(model.learning_rate) * read_leaves(trees, nodes)
    return nodes, value, np.tile(np.arange(n_outputs), n_stages)


def _started_by_columns(
    nodes: Nodes, value: npt.NDArray[np.float64], target: npt.NDArray[np.int64], n: int, width: int
) -> Forest:
    """A forest whose `n` sums start at the last `n` of `width` input columns.

    Trees of a single leaf with the linear model ``-0.0 + 1.0 * column`` come first, so that the
    other trees are added to the columns one by one.
    """

    def first(array: npt.NDArray[Any], fill: Any) -> npt.NDArray[Any]:
        return np.concatenate([np.full(n, fill, array.dtype), array])

    stumps = Nodes(
        start=np.concatenate([np.arange(n), nodes.start + n]),
        feature=first(nodes.feature, -1),
        threshold=first(nodes.threshold, 0.0),
        left=first(nodes.left, -1),
        right=first(nodes.right, -1),
        missing_left=first(nodes.missing_left, False),
        is_leaf=first(nodes.is_leaf, True),
    )
    linear = LinearLeaves(
        intercept=Array(first(value[:, 0], -0.0)),
        start=Array(np.minimum(np.arange(n + len(value) + 1), n), np.int64),
        feature=Array(np.arange(width - n, width), np.int32),
        coef=Array(np.ones(n)),
    )
    constant = np.concatenate([np.full((n, 1), np.nan), value])
    targets = np.concatenate([np.arange(n), target])
    return replace(forest(stumps, constant, np.full(n, -0.0), targets), linear=linear)


def _raw(model: Any, x: Value, context: Context) -> tuple[Value, Value]:
    """The raw prediction, and the leaves of all trees."""
    x = x.cast("float32")
    owner = type(model).__name__
    finite = x.guard(owner)
    nodes, value, target = _stages(model)
    n_outputs = model.estimators_.shape[1]
    base = _base(model)
    stages = forest(nodes, value, np.zeros(n_outputs) if base is None else base, target)
    leaves = x.guard(owner, allow_nan=True).leaves(stages)
    if base is not None:
        return finite.trees(stages), leaves
    both = finite.builder.concat([finite, _init(model, finite, context)])
    return both.trees(_started_by_columns(nodes, value, target, n_outputs, both.width)), leaves


@converts("sklearn.ensemble.GradientBoostingRegressor")
def boosted_regressor(model: Any, x: Value, context: Context) -> Outputs:
    """The first guess and the trees, added up; `apply` is float64, as in the source. Exact."""
    raw, leaves = _raw(model, x, context)
    return {"predict": vector(raw), "apply": leaves.cast("float64")}


@converts("sklearn.ensemble.GradientBoostingClassifier")
def boosted_classifier(model: Any, x: Value, context: Context) -> Outputs:
    """Labels, probabilities, raw scores and leaves, for both losses.

    Exact but for the init estimators named above.
    """
    raw, leaves = _raw(model, x, context)
    if raw.width == 1:
        code = (raw >= np.float64(0.0)).cast("int64")
    else:
        code = raw.reduce("argmax")
    proba = probabilities(model._loss, raw)
    return {
        "predict": vector(code.gather(labels(model.classes_))),
        "predict_proba": proba,
        "predict_log_proba": proba.apply("log"),
        "decision_function": squeezed(raw),
        "apply": cube(leaves.cast("float64"), raw.width),
    }


def _init_estimator(name: str) -> Any:
    """The init estimators that the examples name."""
    from sklearn.dummy import DummyClassifier, DummyRegressor
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    return {
        "": None,
        "zero": "zero",
        "median": DummyRegressor(strategy="median"),
        "constant": DummyRegressor(strategy="constant", constant=3),
        "most frequent": DummyClassifier(strategy="most_frequent"),
        "uniform": DummyClassifier(strategy="uniform"),
        "tree": DecisionTreeRegressor(max_depth=2, random_state=0),
        "class tree": DecisionTreeClassifier(max_depth=2, min_samples_leaf=20, random_state=0),
    }[name]


def _example(
    class_name: str,
    names: tuple[Any, ...] = (),
    rows: str = "plain",
    init: str = "",
    **params: Any,
) -> Example:
    """A model on the signal, or on classes of these names, and plain, named or float32 rows."""

    def make() -> tuple[Any, Any]:
        import sklearn.ensemble

        x, signal = example_rows(5, rows)
        y = example_labels(signal, names) if names else signal
        options = {"n_estimators": 8, "random_state": 0, "init": _init_estimator(init)} | params
        return getattr(sklearn.ensemble, class_name)(**options).fit(x, y), x

    kind = f" {len(names)} classes of {type(names[0]).__name__}" if names else ""
    options = spelled(({"init": init} if init else {}) | params)
    name = f"{class_name}{kind}, {rows} rows{options}"
    if init != "class tree" or len(names) < 8:
        return Example(name, make)
    ulp, absolute, why = _row_sums(len(names))
    return Example(name, make, ulp=ulp, absolute=absolute, why=why)


def examples() -> Iterator[Example]:
    """All losses, init estimators, kinds of class and rows."""
    regressor, classifier = "GradientBoostingRegressor", "GradientBoostingClassifier"
    text = ("low", "middle", "high")
    for rows in ("plain", "named", "float32"):
        yield _example(regressor, rows=rows)
        yield _example(classifier, text, rows)
        yield _example(classifier, text[:2], rows)
    for loss in ("absolute_error", "huber", "quantile"):
        yield _example(regressor, loss=loss, alpha=0.3)
    for init in ("zero", "median", "constant", "tree"):
        yield _example(regressor, init=init)
    yield _example(regressor, init="tree", loss="huber", rows="float32")
    yield _example(regressor, subsample=0.5, learning_rate=1.0, max_leaf_nodes=6)
    yield _example(regressor, n_iter_no_change=1, n_estimators=50, learning_rate=0.9)
    yield _example(classifier, (0, 1), n_estimators=1, max_depth=1)
    yield _example(classifier, (False, True), loss="exponential")
    yield _example(classifier, tuple(range(9)), n_estimators=3)
    for init in ("zero", "most frequent", "uniform", "class tree"):
        yield _example(classifier, (0, 1), init=init)
        yield _example(classifier, (1.0, 2.0, 5.0), init=init)
    yield _example(classifier, (0, 1), init="class tree", loss="exponential")
    yield _example(classifier, tuple(range(9)), init="class tree", n_estimators=3)
