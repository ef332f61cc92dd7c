"""Linear models: one matrix product and what a classifier makes of its scores.

Semantics matched: ``sklearn/linear_model/_base.py``, ``_ridge.py`` and ``_logistic.py`` of
scikit-learn 1.9.1. A score is ``x @ coef_.T + intercept_`` in NumPy's common dtype of input and
coefficients: float32 rows meet float64 coefficients in float64.

Exactness: the source leaves the product to BLAS, whose order of additions differs with the
machine, the threads and the number of rows. Any order stays within ``2 * n_features * eps *
sum(abs(x * coef_))`` of any other, with eps of the dtype of the product. Everything after the
product is the same function of the score, in the same order. A label can differ only where two
scores are that close to each other (or a score that close to 0).

Missing values: NaN and infinities are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from millrace.catalog.registry import Context, Decline, Example, Outputs, converts, vector
from millrace.ir.arrays import Array, Text
from millrace.ir.build import Value


def _scores(model: Any, x: Value, owner: str) -> Value:
    """``x @ coef_.T + intercept_``; width 1 for one-dimensional coefficients."""
    coefficients = model.coef_.toarray() if hasattr(model.coef_, "toarray") else model.coef_
    product = x.cast("numeric").guard(owner) @ np.atleast_2d(coefficients).T
    intercept = model.intercept_
    if isinstance(intercept, (np.ndarray, np.generic)):
        return product + intercept
    return product + x.builder.constant(np.float64(intercept)).cast_like(product)


@converts("sklearn.linear_model.LinearRegression", "sklearn.linear_model.Ridge")
def linear_regression(model: Any, x: Value, context: Context) -> Outputs:
    """``predict``: the score, one column per target when ``fit`` got a two-dimensional y."""
    scores = _scores(model, x, type(model).__name__)
    return {"predict": vector(scores) if model.coef_.ndim == 1 else scores}


@converts("sklearn.linear_model.LogisticRegression")
def logistic_regression(model: Any, x: Value, context: Context) -> Outputs:
    """Two classes: the sign of the score and ``expit``; three and more: argmax and softmax.

    The solver plays no part: scikit-learn 1.9 has no one-versus-rest mode here.

    Declines: labels that are neither numbers nor text.
    """
    classes = _labels(model.classes_)
    scores = _scores(model, x, "LogisticRegression")
    if scores.width == 1:
        codes = (scores > np.float32(0)).cast("int64")
        decision, probabilities = vector(scores), _binary_probabilities(scores)
    else:
        codes = scores.reduce("argmax")
        decision, probabilities = scores, _softmax(scores)
    return {
        "predict": vector(codes.gather(classes)),
        "predict_proba": probabilities,
        "predict_log_proba": probabilities.apply("log"),
        "decision_function": decision,
    }


def _binary_probabilities(scores: Value) -> Value:
    positive = scores.apply("expit")
    one = scores.builder.constant(np.float64(1)).cast_like(positive)
    return scores.builder.concat([one - positive, positive])


def _softmax(scores: Value) -> Value:
    """``sklearn.utils.extmath.softmax``."""
    powers = (scores - scores.reduce("max")).apply("exp")
    return powers / powers.reduce("sum")


def _labels(classes: Any) -> Array | Text:
    """Class labels with the dtype in which ``predict`` returns them."""
    if classes.dtype.kind in "biuf":
        return Array(classes)
    if classes.dtype.kind in "OU" and all(isinstance(c, str) for c in classes):
        dtype = "object" if classes.dtype.kind == "O" else classes.dtype.str
        return Text(tuple(str(c) for c in classes), dtype)
    raise Decline(f"its class labels are of dtype {classes.dtype} and not all numbers or text")


# -- examples ------------------------------------------------------------------------------


def _rows(dtype: str, n_features: int = 7) -> Any:
    X = np.random.default_rng(0).normal(0, 2, (80, n_features)).round(2)
    return X.astype(dtype)


def _regressor(name: str, dtype: str = "float64", targets: int = 0, **params: Any) -> Any:
    import sklearn.linear_model

    X = _rows(dtype)
    weights = np.random.default_rng(1).normal(0, 1, (X.shape[1], max(1, targets)))
    y = (X @ weights + 3).astype("float32" if dtype == "float32" else "float64")
    model = getattr(sklearn.linear_model, name)(**params)
    return model.fit(X, y if targets else y[:, 0]), X


def _classifier(labels: Any, dtype: str = "float64", frame: bool = False, **params: Any) -> Any:
    """A classifier of as many classes as there are labels."""
    from sklearn.linear_model import LogisticRegression

    rows = _rows(dtype)
    classes = np.abs(rows[:, 0] + rows[:, 1]).astype(int) + np.arange(80) % 2
    y = np.asarray(labels)[classes % len(labels)]
    if frame:
        import pandas as pd

        rows = pd.DataFrame(rows, columns=list("abcdefg")).assign(count=np.arange(80) % 6)
    options: dict[str, Any] = {"max_iter": 1000, **params}
    return LogisticRegression(**options).fit(rows, y), rows


def _sparse_coefficients() -> Any:
    model, X = _classifier([0, 1, 2], C=0.05, l1_ratio=1, solver="saga", max_iter=5000)
    return model.sparsify(), X


def examples() -> Iterator[Example]:
    """One and more targets, two to eleven classes, every kind of label, each dtype and solver."""
    why = "BLAS does not fix the order of additions"
    wide: dict[str, Any] = {"ulp": 64, "absolute": 1e-12, "why": why}
    narrow: dict[str, Any] = {"ulp": 64, "absolute": 1e-4, "why": f"{why}; fitted in float32"}
    for name in ("LinearRegression", "Ridge"):
        for dtype in ("float64", "float32", "int64"):
            bound = narrow if dtype == "float32" else wide
            for targets in (0, 1, 3):
                yield Example(
                    f"{name} {dtype} targets={targets}",
                    partial(_regressor, name, dtype, targets),
                    **bound,
                )
            yield Example(
                f"{name} {dtype} no intercept",
                partial(_regressor, name, dtype, fit_intercept=False),
                **bound,
            )
    labels: dict[str, Any] = {
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
    for name, values in labels.items():
        yield Example(f"LogisticRegression {name}", partial(_classifier, values), **wide)
    yield Example("LogisticRegression frame", partial(_classifier, ["a", "b"], frame=True), **wide)
    for count in (2, 3, 9):
        yield Example(
            f"LogisticRegression float32 {count}",
            partial(_classifier, list(range(count)), "float32"),
            **narrow,
        )
        yield Example(
            f"LogisticRegression no intercept {count}",
            partial(_classifier, list(range(count)), fit_intercept=False),
            **wide,
        )
    for solver in ("newton-cg", "newton-cholesky", "sag", "saga"):
        yield Example(
            f"LogisticRegression {solver}",
            partial(_classifier, [0, 1, 2], solver=solver, tol=0.01),
            **wide,
        )
    yield Example(
        "LogisticRegression liblinear", partial(_classifier, ["a", "b"], solver="liblinear"), **wide
    )
    yield Example("LogisticRegression sparse coefficients", _sparse_coefficients, **wide)
