"""Linear models fitted by stochastic gradients: their probabilities and their one-class form.

Semantics matched: ``sklearn/linear_model/_stochastic_gradient.py`` and ``_base.py`` of scikit-learn
1.9.1. Exactness and missing values are those of `linear`: the matrix product within its rounding, all
after it the same bits for the same scores; a label can differ only where a score is within that
rounding of another, or of 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from millrace.catalog.registry import Context, Example, Outputs, converts, vector
from millrace.catalog.sklearn._examples import fitted
from millrace.catalog.sklearn.linear import (
    NARROW,
    WIDE,
    checked,
    dense_coefficients,
    example_rows,
    linear_scores,
    product,
    regressor,
)
from millrace.catalog.sklearn.linear_classifiers import classifier, decisions, of_two, sparsified
from millrace.ir.arrays import Array
from millrace.ir.build import Value


@converts(
    "sklearn.linear_model.SGDClassifier",
    "sklearn.linear_model.Perceptron",
    "sklearn.linear_model.PassiveAggressiveClassifier",
)
def sgd_classifier(model: Any, x: Value, context: Context) -> Outputs:
    """The sign of the score or the largest score; probabilities for the losses that have them."""
    scores = linear_scores(model, x, context)
    outputs = decisions(model, scores)
    if not hasattr(model, "predict_proba"):
        return outputs
    if model.loss == "log_loss":
        positive = scores.apply("expit")
    else:
        positive = _clipped_to_share(scores.cast("float64") if scores.width == 1 else scores)
    probabilities = of_two(positive) if scores.width == 1 else _shares(positive)
    return {
        **outputs,
        "predict_proba": probabilities,
        "predict_log_proba": probabilities.apply("log"),
    }


def _clipped_to_share(scores: Value) -> Value:
    """``(clip(scores, -1, 1) + 1) / 2``: the probability of a class for the modified Huber loss."""
    clipped = scores.combine("maximum", scores.scalar(-1)).combine("minimum", scores.scalar(1))
    return (clipped + scores.scalar(1)) / scores.scalar(2)


def _shares(positive: Value) -> Value:
    """Each class's probability against the rest, divided by their sum; equal where all are zero."""
    total = positive.reduce("sum")
    none = total.equals(np.float32(0))
    one = positive.scalar(1)
    n_classes = positive.scalar(positive.width)
    return none.where(one, positive) / none.where(n_classes, total)


@converts("sklearn.linear_model.SGDRegressor", "sklearn.linear_model.PassiveAggressiveRegressor")
def sgd_regressor(model: Any, x: Value, context: Context) -> Outputs:
    """``predict``: the score."""
    return {"predict": vector(linear_scores(model, x, context))}


@converts("sklearn.linear_model.SGDOneClassSVM")
def sgd_one_class_svm(model: Any, x: Value, context: Context) -> Outputs:
    """The signed distance ``x @ coef_ - offset_`` and whether it is at least 0 (1 or -1)."""
    raw = product(x, checked(x, "SGDOneClassSVM"), dense_coefficients(model).T, context)
    decision = raw - model.offset_
    codes = (decision >= np.float32(0)).cast("int64")
    return {
        "predict": vector(codes.gather(Array(np.array([-1, 1], np.int32)))),
        "decision_function": vector(decision),
        "score_samples": vector(decision + model.offset_),
    }


# -- examples ------------------------------------------------------------------------------


def _one_class(kind: str, **params: Any) -> tuple[Any, Any]:
    from sklearn.linear_model import SGDOneClassSVM

    rows = example_rows(kind)
    return fitted(SGDOneClassSVM(random_state=0, **params), rows, None)


def examples() -> Iterator[Example]:
    """Every loss that has probabilities, the others once, each kind of rows."""
    seeded: dict[str, Any] = {"random_state": 0, "max_iter": 40}
    losses: dict[str, tuple[str, ...]] = {
        "log_loss": ("float64", "float32", "frame", "csr"),
        "modified_huber": ("float64", "float32", "csr"),
        "hinge": ("float64",),
    }
    for loss, kinds in losses.items():
        for kind in kinds:
            for names in (["no", "yes"], ["c", "aaa", "bb"]):
                made = partial(classifier, "SGDClassifier", names, kind, loss=loss, **seeded)
                bound = NARROW if kind == "float32" else WIDE
                yield Example(f"SGDClassifier {loss} {len(names)} {kind}", made, **bound)
    for name in ("SGDClassifier", "Perceptron", "PassiveAggressiveClassifier"):
        for count in (2, 4):
            made = partial(classifier, name, list(range(count)), fit_intercept=False, **seeded)
            yield Example(f"{name} no intercept {count}", made, **WIDE)
        made = partial(classifier, name, ["a", "b", "c"], "csr", **seeded)
        yield Example(f"{name} csr", made, **WIDE)
    made = partial(sparsified, "SGDClassifier", [0, 1, 2], penalty="l1", **seeded)
    yield Example("SGDClassifier sparse coefficients", made, **WIDE)
    made = partial(classifier, "SGDClassifier", [0, 1], average=True, **seeded)
    yield Example("SGDClassifier average", made, **WIDE)
    for name in ("SGDRegressor", "PassiveAggressiveRegressor"):
        for kind in ("float64", "float32", "csr"):
            made = partial(regressor, name, kind, **seeded)
            yield Example(f"{name} {kind}", made, **(NARROW if kind == "float32" else WIDE))
    for kind in ("float64", "float32", "csr"):
        bound = NARROW if kind == "float32" else WIDE
        yield Example(f"SGDOneClassSVM {kind}", partial(_one_class, kind, nu=0.3), **bound)
    made = partial(_one_class, "frame", fit_intercept=False)
    yield Example("SGDOneClassSVM no intercept", made, **WIDE)
