"""Calibrated classifiers, and frozen estimators.

Semantics matched: ``sklearn/calibration.py``, ``sklearn/utils/_response.py`` and
``sklearn/frozen/_frozen.py`` of scikit-learn 1.9.1. Each inner classifier gives decisions, or
probabilities where it has no ``decision_function``; a sigmoid, a monotone function or a temperature
makes probabilities of them, and the mean over the inner classifiers is the answer.

Exactness: that of the inner classifiers, whose decisions a sigmoid or a temperature may stretch.
Missing values: as the inner classifiers take them; isotonic and temperature calibration refuse decisions
that are not finite.

The source decides from the values of each batch whether the numbers that a temperature gets are
probabilities. Here that is decided once, by the method that gave them: it differs only for a batch whose
decisions all lie between 0 and 1 and add up to 1 in every row.
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
    inverts,
    vector,
)
from millrace.catalog.sklearn._examples import example_labels, example_rows, spelled
from millrace.catalog.sklearn._meta import added, filled, response, with_labels
from millrace.catalog.sklearn.linear_classifiers import of_two, softmax
from millrace.catalog.translate import input_columns
from millrace.ir.build import Value


@converts("sklearn.calibration.CalibratedClassifierCV")
def calibrated_classifier(model: Any, x: Value, context: Context) -> Outputs:
    """The mean of the calibrated probabilities of each inner classifier.

    Declines: inner estimators that are no classifiers of at least two classes.
    """
    parts = [
        _calibrated(part, x, context, f"calibrated_classifiers_[{i}]")
        for i, part in enumerate(model.calibrated_classifiers_)
    ]
    mean = added([p.cast("float64") for p in parts]) / np.float64(len(parts))
    numbers = mean.reduce("argmax")
    return {"predict": vector(with_labels(numbers, model.classes_)), "predict_proba": mean}


def _calibrated(part: Any, x: Value, context: Context, name: str) -> Value:
    """``_CalibratedClassifier.predict_proba``."""
    from sklearn.base import is_classifier

    if not is_classifier(part.estimator):
        raise Decline(f"{name} holds no classifier")
    has_decision = hasattr(part.estimator, "decision_function")
    method = "decision_function" if has_decision else "predict_proba"
    outputs = context.convert(part.estimator, x, name)
    scores = response(part.estimator, outputs, method, name)
    if part.method == "temperature":
        proba = _with_temperature(part, scores, method)
    else:
        proba = _one_against_all(part, scores, context, name)
    above = (proba > proba.scalar(1.0)).combine("logical_and", proba <= proba.scalar(1 + 1e-5))
    return above.where(proba.scalar(1.0), proba)


def _one_against_all(part: Any, scores: Value, context: Context, name: str) -> Value:
    """Each column calibrated on its own, then made to add up to one (float64)."""
    n_classes = len(part.classes)
    position = {c: i for i, c in enumerate(part.classes.tolist())}
    numbers = [position[c] for c in part.estimator.classes_.tolist()]
    found: dict[int, Value] = {}
    for column, (number, calibrator) in enumerate(
        zip(numbers[: scores.width], part.calibrators, strict=True)
    ):
        if part.method == "sigmoid":
            values = _sigmoid(scores.column(column), calibrator)
        else:
            path = f"{name}/calibrators[{column}]"
            values = context.value(calibrator, scores.column(column), path, "predict")
        found[number + (n_classes == 2)] = values.cast("float64")
    if n_classes == 2:
        return of_two(found[1])
    nothing = filled(scores, np.float64(0.0))
    proba = scores.builder.concat([found.get(c, nothing) for c in range(n_classes)])
    total = proba.reduce("sum")
    some = total.combine("not_equal", np.float64(0))
    return some.where(proba / some.where(total, np.float64(1)), np.float64(1 / n_classes))


def _sigmoid(scores: Value, calibrator: Any) -> Value:
    """``expit(-(a * scores + b))``; Python numbers take the dtype of the scores."""
    slope, offset = (
        scores.builder.constant(v) if isinstance(v, np.generic) else scores.scalar(v)
        for v in (calibrator.a_, calibrator.b_)
    )
    return (-(slope * scores + offset)).apply("expit")


def _with_temperature(part: Any, scores: Value, method: str) -> Value:
    """``_TemperatureScaling.predict``: the softmax of logits times a number."""
    scores = scores.cast("float").guard("_TemperatureScaling")
    builder = scores.builder
    if method == "predict_proba":
        if scores.width == 1:
            scores = of_two(scores)
        scores = (scores + scores.scalar(1e-12)).apply("log")
    elif scores.width == 1:
        scores = builder.concat([-scores, scores])
    return softmax(builder.constant(part.calibrators[0].beta_) * scores)


@converts("sklearn.frozen.FrozenEstimator", columns=lambda source: input_columns(source.estimator))
def frozen_estimator(source: Any, x: Value, context: Context) -> Outputs:
    """The estimator inside, with all its methods."""
    return context.convert(source.estimator, x, "estimator")


@inverts("sklearn.frozen.FrozenEstimator")
def inverse_frozen_estimator(source: Any, y: Value, context: Context) -> Value | Result:
    """``inverse_transform`` of the estimator inside."""
    return context.invert(source.estimator, y, "estimator")


# -- examples ------------------------------------------------------------------------------


def _inner(name: str | None) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.tree import DecisionTreeClassifier

    if name == "tree":
        return DecisionTreeClassifier(max_depth=5, random_state=0)
    return LogisticRegression() if name == "logistic" else None


_BOUND: dict[str, Any] = {
    "ulp": 1024,
    "absolute": 1e-11,
    "why": f"a linear model inside: {BLAS_ORDER}",
}
_NARROW: dict[str, Any] = {**_BOUND, "absolute": 1e-4}


def _example(
    method: str,
    inner: str | None,
    names: Sequence[Any],
    rows: str = "plain",
    frozen: bool = False,
    **params: Any,
) -> Example:
    def make() -> tuple[Any, Any]:
        from sklearn.calibration import CalibratedClassifierCV
        from sklearn.frozen import FrozenEstimator

        x, signal = example_rows(3, rows, 120)
        y = example_labels(signal, names)
        estimator = _inner(inner)
        if frozen:
            estimator = FrozenEstimator(estimator.fit(x, y))
        settings: dict[str, Any] = {"cv": 2, "method": method} | params
        return CalibratedClassifierCV(estimator, **settings).fit(x, y), x

    options = spelled(params) + ", frozen" * frozen
    name = f"CalibratedClassifierCV {method} of {inner}, {len(names)} classes, {rows} rows{options}"
    bound = {} if inner == "tree" else _NARROW if rows == "float32" else _BOUND
    return Example(name, make, **bound)


def _frozen(kind: str) -> Example:
    def make() -> tuple[Any, Any]:
        from sklearn.frozen import FrozenEstimator
        from sklearn.preprocessing import StandardScaler

        x, signal = example_rows(3, "named", 120)
        inner = StandardScaler() if kind == "scaler" else _inner("tree")
        return FrozenEstimator(inner.fit(x, signal > 0)), x

    return Example(f"FrozenEstimator of a {kind}", make)


def examples() -> Iterator[Example]:
    """Each method of calibration on decisions and probabilities of two and three classes."""
    three = ["a", "bb", "c"]
    for method in ("sigmoid", "isotonic", "temperature"):
        yield _example(method, "tree", [0, 1])
        yield _example(method, "tree", three, "named")
        yield _example(method, "logistic", ["no", "yes"], "float32")
        yield _example(method, "logistic", three, "sparse", ensemble=False)
    yield _example("sigmoid", None, three, "named")
    yield _example("isotonic", "tree", [5, -5, 0], frozen=True)
    yield _frozen("scaler")
    yield _frozen("tree")
