"""Semi-supervised classifiers: self-training, label propagation and label spreading.

Semantics matched: ``sklearn/semi_supervised/_self_training.py`` and ``_label_propagation.py`` of
scikit-learn 1.9.1. Self-training hands its rows to one classifier. The other two mix the labels of the
rows they were fitted on, weighted by a kernel.

Exactness of label propagation: the distances come from products, whose order of additions BLAS does not
fix. A rounding of the squared distance of relative size c moves a weight ``exp(-gamma d**2)`` by
``gamma c (|x| + |y|)**2`` of itself, and a probability by twice that. A label can differ only where two
classes are that close. Missing values: refused by propagation; as the inner classifier takes them in
self-training.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from millrace.catalog.sklearn._meta import (
    CLASSIFIER_METHODS,
    as_numbers,
    offered,
    with_labels,
)
from millrace.catalog.sklearn._pairwise import dense_points, rbf_kernel
from millrace.ir.build import Value

_DISTANCES = (
    "a weight is the exponential of a distance from products, whose order BLAS does not fix"
)


@converts("sklearn.semi_supervised.SelfTrainingClassifier")
def self_training(model: Any, x: Value, context: Context) -> Outputs:
    """The methods of the classifier that was fitted last."""
    outputs = context.convert(model.estimator_, as_numbers(x), "estimator_")
    return offered(model, outputs, CLASSIFIER_METHODS)


@converts(
    "sklearn.semi_supervised.LabelPropagation",
    "sklearn.semi_supervised.LabelSpreading",
)
def label_propagation(model: Any, x: Value, context: Context) -> Outputs:
    """The mean of the labels of the rows that were fitted on, weighted by an RBF kernel.

    Declines: nearest neighbours, and kernels that are Python code.
    """
    if model.kernel == "knn":
        raise Decline("of rows that are equally far away its search tree chooses the nearest ones")
    if model.kernel != "rbf":
        raise Decline("its kernel is a Python function")
    rows = as_numbers(x, type(model).__name__)
    points = dense_points(model.X_)
    longest = float(np.abs(points).max(initial=1.0))
    size = model.gamma * (points.shape[1] + 4) * points.shape[1] * (4 * longest) ** 2
    context.bound(64 + int(16 * size), 1e-12, _DISTANCES)
    totals = rbf_kernel(rows.cast("float"), points, model.gamma) @ model.label_distributions_
    proba = totals / totals.reduce("sum")
    return {
        "predict": vector(with_labels(proba.reduce("argmax"), model.classes_)),
        "predict_proba": proba,
    }


# -- examples ------------------------------------------------------------------------------


def _partly(signal: Any, names: Sequence[Any]) -> Any:
    """Labels of which every other one is unknown."""
    y = example_labels(signal, names).astype(int)
    return np.where(np.arange(len(y)) % 2 == 0, -1, y)


def _self_training(inner: str, rows: str = "plain") -> Example:
    def make() -> tuple[Any, Any]:
        from sklearn.linear_model import LogisticRegression
        from sklearn.semi_supervised import SelfTrainingClassifier
        from sklearn.tree import ExtraTreeClassifier

        x, signal = example_rows(3, rows, 100)
        tree = ExtraTreeClassifier(max_depth=6, random_state=0)
        model = SelfTrainingClassifier(tree if inner == "tree" else LogisticRegression())
        return model.fit(x, _partly(signal, [0, 1, 2])), x

    bound: dict[str, Any] = {
        "ulp": 64,
        "absolute": 1e-4 if rows == "float32" else 1e-12,
        "why": f"a linear model inside: {BLAS_ORDER}",
    }
    name = f"SelfTrainingClassifier of {inner}, {rows} rows"
    return Example(name, make, **({} if inner == "tree" else bound))


def _propagation(class_name: str, rows: str = "plain", **params: Any) -> Example:
    def make() -> tuple[Any, Any]:
        import sklearn.semi_supervised

        x, signal = example_rows(5, rows, 100)
        model = getattr(sklearn.semi_supervised, class_name)(**params)
        return model.fit(x, _partly(signal, [7, 3, 5])), x

    options = spelled(params)
    bound: dict[str, Any] = {
        "ulp": 4096,
        "absolute": 1e-5 if rows == "float32" else 1e-12,
        "why": _DISTANCES,
    }
    native = params.get("kernel") != "knn"
    return Example(f"{class_name}, {rows} rows{options}", make, native=native, **bound)


def examples() -> Iterator[Example]:
    """Self-training with a tree and a linear model; both kernels of propagation and spreading."""
    yield _self_training("tree", "named")
    yield _self_training("logistic", "float32")
    yield _self_training("logistic", "sparse")
    yield _propagation("LabelPropagation", gamma=1.0)
    yield _propagation("LabelPropagation", "named", gamma=3.0)
    yield _propagation("LabelSpreading", "sparse", gamma=0.5)
    yield _propagation("LabelSpreading", kernel="knn", n_neighbors=12)
