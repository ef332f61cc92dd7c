"""Discriminant analysis: linear and quadratic borders between normal distributions.

Semantics matched: ``sklearn/discriminant_analysis.py`` of scikit-learn 1.9.1.

Exactness: the matrix products within their rounding (see `linear`), all after them the same bits. The
quadratic form squares and adds up a product, so its relative rounding doubles. A label can differ only
where two scores are within that rounding of each other.

Missing values: NaN and infinities are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from millrace.catalog.registry import (
    Context,
    Decline,
    Example,
    Outputs,
    SparseValue,
    converts,
    vector,
)
from millrace.catalog.sklearn._examples import fitted
from millrace.catalog.sklearn._forest import labels
from millrace.catalog.sklearn.linear import (
    NARROW,
    WIDE,
    checked,
    example_rows,
    linear_scores,
)
from millrace.catalog.sklearn.linear_classifiers import decisions, example_classes, of_two, softmax
from millrace.catalog.sklearn.naive_bayes import row_sum
from millrace.ir.build import Value

_SQUARES: dict[str, Any] = {
    "ulp": 4096,
    "absolute": 1e-10,
    "why": "it squares the rounding of a matrix product, whose order of additions BLAS does not fix",
}


@converts("sklearn.discriminant_analysis.LinearDiscriminantAnalysis")
def linear_discriminant_analysis(model: Any, x: Value, context: Context) -> Outputs:
    """The largest linear score, probabilities by ``expit`` or softmax, and the projection.

    ``predict_log_proba`` puts the smallest normal number in the place of a probability of zero. The
    solver ``lsqr`` has no ``transform``.
    """
    _refuse_sparse(x)
    scores = linear_scores(model, x, context)
    probabilities = of_two(scores.apply("expit")) if scores.width == 1 else softmax(scores)
    outputs = {
        **decisions(model, scores),
        "predict_proba": probabilities,
        "predict_log_proba": _without_zeros(probabilities).apply("log"),
    }
    if model.solver == "lsqr":
        return outputs
    rows = checked(x, "LinearDiscriminantAnalysis")
    if model.solver == "svd":
        rows = rows - model.xbar_
    return {**outputs, "transform": rows @ model.scalings_[:, : model._max_components]}


def _refuse_sparse(x: Value) -> None:
    if isinstance(x, SparseValue):
        raise Decline("it takes no sparse rows")


def _without_zeros(probabilities: Value) -> Value:
    """Zeros raised to the smallest normal number of the dtype."""
    builder = probabilities.builder
    zero = builder.constant(np.float32(0))
    wide = builder.constant(np.finfo(np.float64).smallest_normal)
    narrow = builder.constant(np.float64(np.finfo(np.float32).smallest_normal))
    # The dtype is known only with the rows: in float32 the smallest float64 is 0.
    smallest = wide.cast_like(probabilities).equals(zero).where(narrow, wide)
    smallest = smallest.cast_like(probabilities)
    return probabilities.equals(zero).where(probabilities + smallest, probabilities)


@converts("sklearn.discriminant_analysis.QuadraticDiscriminantAnalysis")
def quadratic_discriminant_analysis(model: Any, x: Value, context: Context) -> Outputs:
    """The class under whose normal distribution the row is most likely.

    Within 4096 units in the last place or 1e-10 (1e-3 where it was fitted on float32) for rows of the
    size of the fitted ones: rounding of products of ``x - mean``, squared and added up.
    """
    _refuse_sparse(x)
    block = checked(x, "QuadraticDiscriminantAnalysis")
    narrow = model.means_.dtype == np.float32
    context.bound(_SQUARES["ulp"], 1e-3 if narrow else _SQUARES["absolute"], _SQUARES["why"])
    parts = []
    for mean, rotation, scaling in zip(
        model.means_, model.rotations_, model.scalings_, strict=True
    ):
        projected = (block - mean) @ (rotation * (scaling ** (-0.5)))
        parts.append(projected.apply("square").reduce("sum"))
    determinants = np.asarray([np.sum(np.log(s)) for s in model.scalings_])
    scores = x.builder.concat(parts) + determinants
    scores = scores * scores.scalar(-0.5)
    scores = scores + np.log(model.priors_)
    likelihoods = scores - scores.reduce("max")
    log_proba = likelihoods - row_sum(likelihoods.apply("exp"), by_column=True).apply("log")
    two = len(model.classes_) == 2
    return {
        "predict": vector(scores.reduce("argmax").gather(labels(model.classes_))),
        "predict_proba": log_proba.apply("exp"),
        "predict_log_proba": log_proba,
        "decision_function": vector(scores.column(1) - scores.column(0)) if two else scores,
    }


# -- examples ------------------------------------------------------------------------------


def _fitted(name: str, names: Any, kind: str = "float64", **params: Any) -> tuple[Any, Any]:
    import sklearn.discriminant_analysis

    rows = example_rows(kind, n_features=4)
    y = example_classes(rows, names)
    return fitted(getattr(sklearn.discriminant_analysis, name)(**params), rows, y)


def examples() -> Iterator[Example]:
    """Each solver, two and more classes, each kind of label and of rows."""
    linear, quadratic = "LinearDiscriminantAnalysis", "QuadraticDiscriminantAnalysis"
    for kind in ("float64", "float32", "int64", "frame"):
        narrow = kind == "float32"
        for names in (["no", "yes"], [4, 2, 7]):
            made = partial(_fitted, linear, names, kind)
            yield Example(f"{linear} {len(names)} {kind}", made, **(NARROW if narrow else WIDE))
            made = partial(_fitted, quadratic, names, kind)
            bound: dict[str, Any] = _SQUARES | ({"absolute": 1e-3} if narrow else {})
            yield Example(f"{quadratic} {len(names)} {kind}", made, **bound)
    solvers: list[dict[str, Any]] = [
        {"solver": "svd", "n_components": 1},
        {"solver": "lsqr", "shrinkage": "auto"},
        {"solver": "eigen", "shrinkage": 0.2},
        {"priors": [0.2, 0.3, 0.5]},
    ]
    for params in solvers:
        words = " ".join(f"{k}={v}" for k, v in params.items())
        yield Example(f"{linear} {words}", partial(_fitted, linear, [0, 1, 2], **params), **WIDE)
    for params in ({"reg_param": 0.1}, {"priors": [0.2, 0.3, 0.5]}, {"solver": "eigen"}):
        words = " ".join(f"{k}={v}" for k, v in params.items())
        made = partial(_fitted, quadratic, [0, 1, 2], **params)
        yield Example(f"{quadratic} {words}", made, **_SQUARES)
