"""Stacking: the answers of several estimators are the columns of a last one.

Semantics matched: ``sklearn/ensemble/_stacking.py`` of scikit-learn 1.9.1. The estimators get the rows
as they are; of two probabilities that add up to one only the second becomes a column, and with
``passthrough`` the rows themselves follow.

Exactness and missing values: those of the estimators and of the last one, which gets numbers that are
as exact as they are: where a product in between is rounded another way, so may be the last answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from millrace.catalog.registry import (
    BLAS_ORDER,
    Context,
    Decline,
    Example,
    Outputs,
    Result,
    SparseValue,
    converts,
    handed_on,
    in_container_of,
    vector,
)
from millrace.catalog.sklearn._examples import example_labels, example_rows, spelled
from millrace.catalog.sklearn._meta import (
    answer,
    block,
    class_numbers,
    with_labels,
)
from millrace.ir.build import Value


@converts("sklearn.ensemble.StackingClassifier")
def stacking_classifier(model: Any, x: Value, context: Context) -> Outputs:
    """What the last classifier makes of the answers of the others; ``transform``: these answers.

    Declines: several outputs (multi-label).
    """
    if isinstance(model._label_encoder, list):
        raise Decline("it predicts several labels at once")
    meta = _stacked(model, x, context)
    final = context.convert(model.final_estimator_, handed_on(meta), "final_estimator_")
    outputs: dict[str, Value | Result] = {"transform": meta}
    if hasattr(model, "predict"):
        predicted = block(final, "predict", "final_estimator_")
        numbers = class_numbers(predicted, range(len(model.classes_)))
        outputs["predict"] = vector(with_labels(numbers, model.classes_))
    for method in ("predict_proba", "decision_function"):
        if hasattr(model, method):
            outputs[method] = answer(final, method, "final_estimator_")
    return outputs


@converts("sklearn.ensemble.StackingRegressor")
def stacking_regressor(model: Any, x: Value, context: Context) -> Outputs:
    """What the last regressor makes of the predictions of the others; ``transform``: the predictions."""
    meta = _stacked(model, x, context)
    final = context.convert(model.final_estimator_, handed_on(meta), "final_estimator_")
    return {"transform": meta, "predict": answer(final, "predict", "final_estimator_")}


def _stacked(model: Any, x: Value, context: Context) -> Value | Result:
    """``_concatenate_predictions``: the columns of the last estimator."""
    names = [n for n, e in model.estimators if not (isinstance(e, str) and e == "drop")]
    parts: list[Value] = []
    for name, estimator, method in zip(names, model.estimators_, model.stack_method_, strict=True):
        result = answer(context.convert(estimator, x, name), method, name)
        if isinstance(result, Result) and result.is_list:
            parts += [v.take(range(1, v.width)) for v in result.values]
            continue
        values = block({method: result}, method, name)
        two = method == "predict_proba" and len(model.classes_) == 2
        matrix = not (isinstance(result, Result) and result.shape == "vector")
        parts.append(values.take(range(1, values.width)) if two and matrix else values)
    if not model.passthrough:
        return x.builder.concat(parts)
    rows = x if isinstance(x, SparseValue) else Value(x.builder, x.at)
    return in_container_of(x, x.builder.concat([*parts, rows]))


# -- examples ------------------------------------------------------------------------------


_BOUND: dict[str, Any] = {
    "ulp": 4096,
    "absolute": 1e-11,
    "why": f"linear models on linear models: {BLAS_ORDER}",
}
_NARROW: dict[str, Any] = {**_BOUND, "absolute": 1e-5}


def _final(name: str | None) -> Any:
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.svm import LinearSVC

    known: dict[str | None, Any] = {
        "svc": LinearSVC,
        "logistic": LogisticRegression,
        "ridge": Ridge,
    }
    return known[name]() if name else None


def _classifier(
    n_classes: int, rows: str = "plain", final: str | None = None, **params: Any
) -> Example:
    def make() -> tuple[Any, Any]:
        from sklearn.ensemble import StackingClassifier
        from sklearn.linear_model import LogisticRegression
        from sklearn.svm import LinearSVC
        from sklearn.tree import ExtraTreeClassifier

        x, signal = example_rows(n_classes, rows, 100)
        y = example_labels(signal, ["low", "middle", "high", "très haut"][:n_classes])
        parts: list[Any] = [
            ("tree", ExtraTreeClassifier(random_state=0)),
            ("gone", "drop"),
            ("logistic", LogisticRegression()),
        ]
        if params.get("stack_method", "auto") != "predict_proba":
            parts.append(("svc", LinearSVC()))
        if params.get("cv") == "prefit":
            numbers = np.unique(y, return_inverse=True)[1]
            parts = [(n, e if e == "drop" else e.fit(x, numbers)) for n, e in parts]
        settings: dict[str, Any] = {"cv": 2} | params
        return StackingClassifier(parts, _final(final), **settings).fit(x, y), x

    options = spelled(params)
    bound = _NARROW if rows == "float32" else _BOUND
    name = f"StackingClassifier with {final}, {n_classes} classes, {rows} rows{options}"
    return Example(name, make, **bound)


def _regressor(rows: str = "plain", final: str | None = "ridge", **params: Any) -> Example:
    def make() -> tuple[Any, Any]:
        from sklearn.ensemble import StackingRegressor
        from sklearn.linear_model import Ridge
        from sklearn.tree import DecisionTreeRegressor

        x, signal = example_rows(5, rows, 100)
        parts = [("tree", DecisionTreeRegressor(random_state=0)), ("ridge", Ridge())]
        settings: dict[str, Any] = {"cv": 2} | params
        return StackingRegressor(parts, _final(final), **settings).fit(x, signal), x

    options = spelled(params)
    bound = _NARROW if rows == "float32" else _BOUND
    return Example(f"StackingRegressor with {final}, {rows} rows{options}", make, **bound)


def examples() -> Iterator[Example]:
    """Two to four classes, every stack method, the rows passed through in every kind."""
    yield _classifier(2)
    yield _classifier(3, "named", "svc", passthrough=True)
    yield _classifier(4, "float32", "logistic", passthrough=True)
    yield _classifier(2, "sparse", "logistic", passthrough=True)
    yield _classifier(3, "plain", "logistic", stack_method="predict_proba")
    yield _classifier(3, "named", "logistic", stack_method="predict", cv="prefit")
    yield _regressor()
    yield _regressor("named", passthrough=True)
    yield _regressor("float32")
    yield _regressor("sparse", passthrough=True)
