"""Linear classifiers: the sign of one score or the largest of several, and probabilities of them.

Semantics matched: ``LinearClassifierMixin`` of ``sklearn/linear_model/_base.py``, ``_logistic.py``,
``_ridge.py`` and ``sklearn/svm/_classes.py`` of scikit-learn 1.9.1. Exactness and missing values are
those of `linear`: the matrix product within its rounding, all after it the same bits for the same
scores; a label can differ only where two scores are within that rounding of each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from millrace.catalog.registry import (
    Context,
    Decline,
    Example,
    Outputs,
    Result,
    converts,
    vector,
)
from millrace.catalog.sklearn._examples import fitted
from millrace.catalog.sklearn._forest import labels
from millrace.catalog.sklearn.linear import (
    NARROW,
    WIDE,
    example_rows,
    linear_scores,
)
from millrace.ir.arrays import dense_array
from millrace.ir.build import Value


def decisions(model: Any, scores: Value) -> dict[str, Value | Result]:
    """``predict`` and ``decision_function`` of ``LinearClassifierMixin``.

    Raises
    ------
    Decline
        The labels are neither all numbers nor all text, or the only score is of an only class.
    """
    names = labels(model.classes_)
    if scores.width > 1:
        codes = scores.reduce("argmax")
        return {"predict": vector(codes.gather(names)), "decision_function": scores}
    if len(model.classes_) != 2:
        raise Decline("it was fitted on one class only")
    codes = (scores > np.float32(0)).cast("int64")
    return {"predict": vector(codes.gather(names)), "decision_function": vector(scores)}


def of_two(positive: Value) -> Value:
    """Probabilities of both classes from that of the second: ``[1 - p, p]`` in its dtype."""
    one = positive.scalar(1)
    return positive.builder.concat([one - positive, positive])


def softmax(scores: Value) -> Value:
    """``sklearn.utils.extmath.softmax``."""
    powers = (scores - scores.reduce("max")).apply("exp")
    return powers / powers.reduce("sum")


@converts("sklearn.linear_model.LogisticRegression", "sklearn.linear_model.LogisticRegressionCV")
def logistic_regression(model: Any, x: Value, context: Context) -> Outputs:
    """Two classes: the sign of the score and ``expit``; three and more: argmax and softmax.

    The solver plays no part: scikit-learn 1.9 has no one-versus-rest mode here.

    Declines: labels that are neither numbers nor text.
    """
    scores = linear_scores(model, x, context)
    probabilities = of_two(scores.apply("expit")) if scores.width == 1 else softmax(scores)
    return {
        **decisions(model, scores),
        "predict_proba": probabilities,
        "predict_log_proba": probabilities.apply("log"),
    }


@converts("sklearn.svm.LinearSVC")
def linear_svc(model: Any, x: Value, context: Context) -> Outputs:
    """Two classes: the sign of the score; three and more: the largest score."""
    return decisions(model, linear_scores(model, x, context))


@converts("sklearn.linear_model.RidgeClassifier", "sklearn.linear_model.RidgeClassifierCV")
def ridge_classifier(model: Any, x: Value, context: Context) -> Outputs:
    """The sign of the score, the largest score, or for several labels a row the sign of each score.

    Declines: a sparse matrix of labels, which it would answer with.
    """
    scores = linear_scores(model, x, context)
    binarizer = model._label_binarizer
    if not binarizer.y_type_.startswith("multilabel"):
        return decisions(model, scores)
    if binarizer.sparse_input_:
        raise Decline("it was fitted on a sparse matrix of labels and answers with one")
    return {
        "predict": (scores > np.float32(0)).cast("int64"),
        "decision_function": scores,
    }


# -- examples ------------------------------------------------------------------------------


def example_classes(rows: Any, names: Any) -> Any:
    """Labels that the first two columns tell, as many as there are names."""
    X = dense_array(rows)
    classes = np.abs(X[:, 0] + X[:, 1]).astype(int) + np.arange(len(X)) % 2
    return np.asarray(names)[classes % len(names)]


def classifier(name: str, names: Any, kind: str = "float64", **params: Any) -> tuple[Any, Any]:
    """A fitted classifier of ``sklearn.linear_model`` or, with a dot, of another module."""
    import importlib

    module, _, cls = name.rpartition(".")
    rows = example_rows(kind)
    library = importlib.import_module(f"sklearn.{module or 'linear_model'}")
    return fitted(getattr(library, cls)(**params), rows, example_classes(rows, names))


def _logistic(names: Any, kind: str = "float64", **params: Any) -> tuple[Any, Any]:
    return classifier("LogisticRegression", names, kind, **{"max_iter": 1000, **params})


def sparsified(name: str, names: Sequence[Any], **params: Any) -> tuple[Any, Any]:
    """A classifier whose coefficients are kept as a sparse matrix."""
    model, X = classifier(name, names, **params)
    return model.sparsify(), X


def _many_labels(name: str, kind: str) -> tuple[Any, Any]:
    """Several labels a row: each column of the targets on its own."""
    import sklearn.linear_model

    rows = example_rows(kind)
    y = np.column_stack([dense_array(rows)[:, i] > 0.3 * i for i in range(3)]).astype(int)
    return fitted(getattr(sklearn.linear_model, name)(), rows, y)


def examples() -> Iterator[Example]:
    """Two to eleven classes, every kind of label, each kind of rows, solver and parameter."""
    yield from _logistic_examples()
    cv: dict[str, Any] = {
        "Cs": 2, "cv": 3, "use_legacy_attributes": False, "l1_ratios": (0.0,), "scoring": "accuracy"
    }  # fmt: skip
    others: dict[str, dict[str, Any]] = {
        "LogisticRegressionCV": cv,
        "RidgeClassifier": {},
        "RidgeClassifierCV": {},
        "svm.LinearSVC": {"random_state": 0, "C": 0.2},
    }
    for name, params in others.items():
        for kind in ("float64", "float32", "frame", "csr"):
            names = ["no", "yes"] if kind in ("frame", "csr") else [3, 5]
            bound = NARROW if kind == "float32" else WIDE
            yield Example(
                f"{name} 2 {kind}", partial(classifier, name, names, kind, **params), **bound
            )
            names = ["c", "aaa", "bb"]
            yield Example(
                f"{name} 3 {kind}", partial(classifier, name, names, kind, **params), **bound
            )
        made = partial(classifier, name, [0, 1, 2], fit_intercept=False, **params)
        yield Example(f"{name} no intercept", made, **WIDE)
    for name in ("RidgeClassifier", "RidgeClassifierCV"):
        for kind in ("float64", "csr"):
            yield Example(f"{name} many labels {kind}", partial(_many_labels, name, kind), **WIDE)
    for names in ([0, 1], ["a", "b", "c"]):
        made = partial(
            classifier, "svm.LinearSVC", names, multi_class="crammer_singer", random_state=0
        )
        yield Example(f"svm.LinearSVC crammer_singer {len(names)}", made, **WIDE)


def _logistic_examples() -> Iterator[Example]:
    names: dict[str, Any] = {
        "int": [0, 1],
        "reversed": [5, -5],
        "bool": [False, True],
        "float": [1.0, 2.0],
        "text": ["no", "yes"],
        "object": np.array(["no", "y"], object),
        "three": [0, 1, 2],
        "three text": ["c", "aaa", "bb"],
        "eleven": list(range(11)),
    }
    for name, values in names.items():
        yield Example(f"LogisticRegression {name}", partial(_logistic, values), **WIDE)
    yield Example("LogisticRegression frame", partial(_logistic, ["a", "b"], "frame"), **WIDE)
    for count in (2, 3, 9):
        classes = list(range(count))
        yield Example(
            f"LogisticRegression float32 {count}", partial(_logistic, classes, "float32"), **NARROW
        )
        yield Example(
            f"LogisticRegression no intercept {count}",
            partial(_logistic, classes, fit_intercept=False),
            **WIDE,
        )
        yield Example(f"LogisticRegression csr {count}", partial(_logistic, classes, "csr"), **WIDE)
    for solver in ("newton-cg", "newton-cholesky", "sag", "saga"):
        made = partial(_logistic, [0, 1, 2], solver=solver, tol=0.01)
        yield Example(f"LogisticRegression {solver}", made, **WIDE)
    made = partial(_logistic, ["a", "b"], solver="liblinear")
    yield Example("LogisticRegression liblinear", made, **WIDE)
    lasso: dict[str, Any] = {"C": 0.05, "l1_ratio": 1, "solver": "saga", "max_iter": 5000}
    made = partial(sparsified, "LogisticRegression", [0, 1, 2], **lasso)
    yield Example("LogisticRegression sparse coefficients", made, **WIDE)
