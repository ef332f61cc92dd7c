"""Naive Bayes: joint log-likelihoods of the classes, and what they say of a row.

Semantics matched: ``sklearn/naive_bayes.py`` of scikit-learn 1.9.1. ``predict`` is the class of the
largest joint log-likelihood, ``predict_log_proba`` that less the log of their summed exponentials
(``_logsumexp`` of ``sklearn/utils/_array_api.py``), ``predict_proba`` its exponential.

Exactness: after the likelihoods the same bits, but for the models of counts the likelihoods are a
matrix product, whose order of additions BLAS does not fix (see `linear`). A label can differ only where
two likelihoods are within that rounding of each other.

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
from millrace.catalog.sklearn._examples import as_csr, as_frame
from millrace.catalog.sklearn._forest import labels
from millrace.catalog.sklearn.linear import WIDE, checked, product
from millrace.ir.arrays import Array
from millrace.ir.build import Value

PAIRWISE = 8
"""NumPy adds up fewer numbers than this one after another, whatever their layout."""


def row_sum(x: Value, *, by_column: bool) -> Value:
    """The sum of each row, of an array in C order or (`by_column`) in Fortran order."""
    return x.accumulate("add").take([x.width - 1]) if by_column else x.reduce("sum")


def bayes_outputs(
    model: Any, joint: Value, context: Context, *, by_column: bool = False
) -> Outputs:
    """The methods of a classifier from the joint log-likelihoods of its classes.

    `by_column` says that the source holds them in Fortran order, where it adds up the classes one after
    another; a single row it adds up in pairs.
    """
    if by_column and joint.width >= PAIRWISE:
        context.bound(
            2 * joint.width,
            float(np.finfo(model.var_.dtype).eps) * joint.width,
            "the source adds up the classes of a single row in another order",
        )
    log_proba = joint - log_sum_exp(joint, by_column=by_column)
    return {
        "predict": vector(joint.reduce("argmax").gather(labels(model.classes_))),
        "predict_proba": log_proba.apply("exp"),
        "predict_log_proba": log_proba,
    }


def log_sum_exp(x: Value, *, by_column: bool = False) -> Value:
    """``sklearn.utils._array_api._logsumexp`` of each row, the largest terms taken out."""
    largest = x.reduce("max")
    is_largest = x.equals(largest)
    n_largest = is_largest.cast_like(x).reduce("sum")
    shift = largest.apply("isfinite").where(largest, x.scalar(0))
    powers = (is_largest.where(x.scalar(-np.inf), x) - shift).apply("exp")
    rest = row_sum(powers, by_column=by_column)
    rest = rest.equals(x.scalar(0)).where(rest, rest / n_largest)
    return rest.apply("log1p") + n_largest.apply("log") + largest


@converts("sklearn.naive_bayes.GaussianNB")
def gaussian_nb(model: Any, x: Value, context: Context) -> Outputs:
    """The class under whose normal distributions the row is most likely.

    Exact for rows in C order; from 8 features on the source adds up rows in Fortran order (a data
    frame of one dtype) in another order: within ``2 * n_features`` units in the last place of the
    joint log-likelihoods.
    """
    block = checked(x, "GaussianNB")
    if x.width >= PAIRWISE:
        constant = float(np.abs(np.log(model.var_)).sum(axis=1).max())
        context.bound(
            2 * x.width,
            float(np.finfo(model.var_.dtype).eps) * x.width * max(constant, 1.0),
            "the order in which the features add up depends on the layout of the rows",
        )
    parts = []
    for mean, variance, prior in zip(model.theta_, model.var_, model.class_prior_, strict=True):
        constant = -0.5 * np.sum(np.log(2.0 * np.pi * variance))
        distance = ((block - mean).apply("square") / variance).reduce("sum")
        half = distance.scalar(0.5)
        parts.append(
            x.builder.constant(np.log(prior)) + (x.builder.constant(constant) - half * distance)
        )
    return bayes_outputs(model, x.builder.concat(parts), context, by_column=True)


@converts("sklearn.naive_bayes.MultinomialNB")
def multinomial_nb(model: Any, x: Value, context: Context) -> Outputs:
    """The class under whose multinomial distribution the counts are most likely."""
    counts = product(x, checked(x, "MultinomialNB"), model.feature_log_prob_.T, context)
    return bayes_outputs(model, counts + model.class_log_prior_, context)


@converts("sklearn.naive_bayes.ComplementNB")
def complement_nb(model: Any, x: Value, context: Context) -> Outputs:
    """The class whose complement the counts fit worst."""
    joint = product(x, checked(x, "ComplementNB"), model.feature_log_prob_.T, context)
    if len(model.classes_) == 1:
        joint = joint + model.class_log_prior_
    return bayes_outputs(model, joint, context)


@converts("sklearn.naive_bayes.BernoulliNB")
def bernoulli_nb(model: Any, x: Value, context: Context) -> Outputs:
    """The class under which the cells above and below ``binarize`` are most likely.

    Declines sparse rows where probabilities of 0 or 1 would meet the cells that a sparse matrix leaves
    out.
    """
    block = checked(x, "BernoulliNB")
    absent = np.log(1 - np.exp(model.feature_log_prob_))
    weights = (model.feature_log_prob_ - absent).T
    if model.binarize is not None:
        block = _above(x, block, model.binarize)
        if isinstance(x, SparseValue) and not np.isfinite(weights).all():
            raise Decline("on sparse rows its probabilities of 0 or 1 meet no zeros")
    joint = product(x, block, weights, context) + (model.class_log_prior_ + absent.sum(axis=1))
    return bayes_outputs(model, joint, context)


def _above(x: Value, block: Value, threshold: float) -> Value:
    """Which cells exceed a threshold, as 0.0 and 1.0; compared in the dtype that NumPy compares in."""
    block = block.cast("float")
    row = x.builder.constant(np.float64(threshold))
    if not isinstance(threshold, np.generic):
        row = row.cast_like(block)
    if not x.is_sparse:
        return (block > row).cast("float64")
    if threshold > 0:
        # The quotient exceeds 1 where the cell exceeds the threshold; ceil makes that at least 2.
        block = ((block / row).apply("ceil") * np.float64(0.5)).apply("floor")
    return (block.apply("sign") * np.float64(0.5)).apply("ceil")


@converts("sklearn.naive_bayes.CategoricalNB")
def categorical_nb(model: Any, x: Value, context: Context) -> Outputs:
    """The class under which the categories of the row are most likely.

    Exact. Cells are truncated to whole numbers; negative ones and those that the model has no category
    for are refused, as in the source.
    """
    if isinstance(x, SparseValue):
        raise Decline("it takes no sparse rows")
    codes = checked(x, "CategoricalNB").cast("int64")
    known = (codes >= np.int64(0)).combine("logical_and", codes < np.array(model.n_categories_))
    codes = codes.require(known, "CategoricalNB", "a category that it was not fitted on")
    joint = x.builder.constant(np.zeros(len(model.classes_)))
    for i, table in enumerate(model.feature_log_prob_):
        joint = joint + codes.column(i).gather(Array(table.T))
    return bayes_outputs(model, joint + model.class_log_prior_, context)


# -- examples ------------------------------------------------------------------------------


def _rows(kind: str, n_features: int) -> Any:
    """Small counts: an array of this dtype, a ``frame``, or a ``csr`` matrix."""
    rng = np.random.default_rng(3)
    X = rng.integers(0, 4, (90, n_features)) * (rng.random((90, n_features)) < 0.6)
    if kind == "csr":
        return as_csr(X.astype(np.float64))
    if kind == "frame":
        return as_frame(X.astype(np.float64))
    return X.astype(kind)


def _fitted(
    name: str, names: Any, kind: str = "float64", n_features: int = 6, **params: Any
) -> tuple[Any, Any]:
    import sklearn.naive_bayes

    rows = _rows(kind, n_features)
    X = rows.toarray() if kind == "csr" else np.asarray(rows)
    if name == "GaussianNB" and kind != "frame":
        rows = (X + np.random.default_rng(4).normal(0, 0.1, X.shape)).astype(X.dtype)
    wanted = np.asarray(names)[(X[:, 0] + X[:, 1] + np.arange(90) % 3).astype(int) % len(names)]
    return getattr(sklearn.naive_bayes, name)(**params).fit(rows, wanted), rows


_PARAMETERS: dict[str, list[dict[str, Any]]] = {
    "GaussianNB": [{"priors": [0.2, 0.5, 0.3]}, {"var_smoothing": 0.1}],
    "MultinomialNB": [{"fit_prior": False}, {"class_prior": [0.2, 0.5, 0.3]}, {"alpha": 0.1}],
    "ComplementNB": [{"norm": True}, {"alpha": [0.5] * 6}],
    "BernoulliNB": [{"binarize": 1.1}, {"fit_prior": False}],
    "CategoricalNB": [{"min_categories": 9}, {"alpha": 0.1, "fit_prior": False}],
}


def examples() -> Iterator[Example]:
    """Each model with each parameter that counts, each kind of rows and label, two to nine classes."""
    for name, parameters in _PARAMETERS.items():
        bound = WIDE if name in ("MultinomialNB", "ComplementNB", "BernoulliNB") else {}
        kinds = ["float64", "float32", "int64", "frame"] + (["csr"] if bound else [])
        for kind in kinds:
            for names in (["no", "yes"], [4, 2, 7]):
                made = partial(_fitted, name, names, kind)
                yield Example(f"{name} {len(names)} {kind}", made, **bound)
        for params in parameters:
            words = " ".join(f"{k}={v}" for k, v in params.items())
            yield Example(f"{name} {words}", partial(_fitted, name, [0, 1, 2], **params), **bound)
    many = list("abcdefghi")
    for name in ("MultinomialNB", "CategoricalNB"):
        bound = WIDE if name == "MultinomialNB" else {}
        yield Example(f"{name} nine classes", partial(_fitted, name, many), **bound)
    for kind, absolute in (("float64", 1e-13), ("float32", 1e-4)):
        yield Example(
            f"GaussianNB nine classes {kind}",
            partial(_fitted, "GaussianNB", many, kind, n_features=9),
            ulp=18,
            absolute=absolute,
            why="the layout of the rows decides the order of additions of 8 and more numbers",
        )
    for params in ({"binarize": 1.5}, {"binarize": None}):
        made = partial(_fitted, "BernoulliNB", [0, 1], "csr", **params)
        yield Example(f"BernoulliNB csr {params['binarize']}", made, **WIDE)
    made = partial(_fitted, "MultinomialNB", [0, 1, 2], "csr", alpha=0.0, force_alpha=True)
    yield Example("MultinomialNB csr alpha=0", made, **WIDE)
    for name in ("MultinomialNB", "ComplementNB"):
        yield Example(f"{name} one class", partial(_fitted, name, ["only"]), **WIDE)
