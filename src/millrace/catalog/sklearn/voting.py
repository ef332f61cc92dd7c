"""Voting: the majority or the mean of different estimators on the same rows.

Semantics matched: ``sklearn/ensemble/_voting.py`` of scikit-learn 1.9.1 and ``numpy.average``. The
estimators get the rows as they are and check them themselves.

Exactness: that of the inner estimators, whose answers are added one by one. NumPy adds a single row of
eight and more regressors in another order: then the mean may differ by one unit in the last place of
the largest partial sum for each regressor. A label can differ only where means that are not exact
nearly tie. Missing values: as the inner estimators take them.
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
    Result,
    converts,
    vector,
)
from millrace.catalog.sklearn._examples import example_labels, example_rows, spelled
from millrace.catalog.sklearn._meta import added, block, class_numbers, of_one_dtype, with_labels
from millrace.ir.arrays import Array
from millrace.ir.build import Value

_PAIRWISE = 8
"""From so many numbers on NumPy adds those that are contiguous in another order."""


@converts("sklearn.ensemble.VotingClassifier")
def voting_classifier(model: Any, x: Value, context: Context) -> Outputs:
    """The class with most votes, or with the highest mean probability; each estimator's own answers.

    With ``flatten_transform=False`` the compiled model has no ``transform``, whose first axis
    would be the estimators. Declines: negative weights.
    """
    weights = model._weights_not_none
    if model.voting == "hard":
        numbers = [class_numbers(v, range(len(model.classes_))) for v in _each(model, x, context)]
        most = _counted(numbers, len(model.classes_), weights).reduce("argmax")
        return {
            "predict": vector(with_labels(most, model.classes_)),
            "transform": x.builder.concat(numbers).cast("int64"),
        }
    probas = of_one_dtype(_each(model, x, context, "predict_proba"))
    mean = average(probas, weights)
    outputs: dict[str, Value | Result] = {
        "predict": vector(with_labels(mean.reduce("argmax"), model.classes_)),
        "predict_proba": mean,
    }
    if model.flatten_transform:
        outputs["transform"] = x.builder.concat(probas)
    else:
        context.note("no transform: its first axis would be the estimators")
    return outputs


@converts("sklearn.ensemble.VotingRegressor")
def voting_regressor(model: Any, x: Value, context: Context) -> Outputs:
    """The weighted mean of the predictions; each estimator's own predictions."""
    predictions = of_one_dtype(_each(model, x, context))
    if len(predictions) >= _PAIRWISE:
        context.bound(2 * len(predictions), 0.0, "NumPy adds up a single row in another order")
    return {
        "predict": vector(average(predictions, model._weights_not_none)),
        "transform": x.builder.concat(predictions),
    }


def _each(model: Any, x: Value, context: Context, method: str = "predict") -> list[Value]:
    names = [n for n, e in model.estimators if not (isinstance(e, str) and e == "drop")]
    return [
        block(context.convert(estimator, x, name), method, name)
        for name, estimator in zip(names, model.estimators_, strict=True)
    ]


def _counted(numbers: Sequence[Value], n_classes: int, weights: Any) -> Value:
    """``numpy.bincount`` of each row: (n, n_classes) float64."""
    each = np.ones(len(numbers)) if weights is None else np.asarray(weights, np.float64)
    if not (each >= 0).all():
        raise Decline("it has negative weights")
    votes = [v.gather(Array(np.eye(n_classes) * w)) for v, w in zip(numbers, each, strict=True)]
    return added([votes[0].builder.constant(np.zeros(n_classes)), *votes])


def average(values: Sequence[Value], weights: Any) -> Value:
    """``numpy.average`` of blocks of one dtype, in the dtypes and the order that NumPy takes."""
    builder = values[0].builder
    if weights is None:
        total = added(values)
        return total / builder.constant(np.float64(len(values))).cast_like(total)
    each = np.asanyarray(weights)
    each = each.astype(np.float64) if each.dtype.kind in "biu" else each
    total = added([v * w for v, w in zip(values, each, strict=True)])
    return total / builder.constant(np.float64(each.sum())).cast_like(total)


# -- examples ------------------------------------------------------------------------------


_BOUND: dict[str, Any] = {
    "ulp": 256,
    "absolute": 1e-12,
    "why": f"the linear models inside: {BLAS_ORDER}",
}
_NARROW: dict[str, Any] = {**_BOUND, "absolute": 1e-5}


def _classifier(names: Sequence[Any], rows: str = "plain", **params: Any) -> Example:
    def make() -> tuple[Any, Any]:
        from sklearn.ensemble import RandomForestClassifier, VotingClassifier
        from sklearn.linear_model import LogisticRegression
        from sklearn.tree import DecisionTreeClassifier

        x, signal = example_rows(len(names), rows, 120)
        parts = [
            ("logistic", LogisticRegression()),
            ("gone", "drop"),
            ("tree", DecisionTreeClassifier(max_depth=3, random_state=0)),
            ("forest", RandomForestClassifier(n_estimators=3, max_depth=3, random_state=0)),
        ]
        model = VotingClassifier(parts, **params)
        return model.fit(x, example_labels(signal, names)), x

    options = spelled(params)
    bound = _NARROW if rows == "float32" else _BOUND
    return Example(f"VotingClassifier, {len(names)} classes, {rows} rows{options}", make, **bound)


def _regressor(n: int, rows: str = "plain", **params: Any) -> Example:
    def make() -> tuple[Any, Any]:
        from sklearn.ensemble import VotingRegressor
        from sklearn.linear_model import Ridge
        from sklearn.tree import DecisionTreeRegressor

        x, signal = example_rows(5, rows, 120)
        parts: list[Any] = [
            (f"tree {i}", DecisionTreeRegressor(max_depth=5 + i % 3, random_state=i))
            for i in range(n - 1)
        ]
        return VotingRegressor([("ridge", Ridge()), *parts], **params).fit(x, signal), x

    options = spelled(params)
    bound = _NARROW if rows == "float32" else _BOUND
    return Example(f"VotingRegressor of {n}, {rows} rows{options}", make, **bound)


def examples() -> Iterator[Example]:
    """Hard and soft votes, weights, dropped estimators, every kind of row; few and many regressors."""
    three = ["a", "bb", "c"]
    yield _classifier(three)
    yield _classifier([0, 1], "named", weights=[2, 5, 1, 1])
    yield _classifier(three, "float32", weights=[0.3, 9, 0.7, 0.5])
    yield _classifier([5, -5], voting="soft")
    yield _classifier(three, "named", voting="soft", weights=[2, 5, 1, 1])
    yield _classifier(three, "sparse", voting="soft", weights=[0.3, 9, 0.7, 0.5])
    yield _classifier([0, 1], "float32", voting="soft", flatten_transform=False)
    yield _regressor(3)
    yield _regressor(3, "named", weights=[2, 5, 1])
    yield _regressor(4, "float32", weights=[0.3, 0.9, 0.7, 0.5])
    yield _regressor(12, "sparse")
