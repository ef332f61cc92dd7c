"""Linear regressors: one matrix product. And what the files of the other linear models share.

Semantics matched: ``sklearn/linear_model/_base.py`` of scikit-learn 1.9.1, whose ``LinearModel`` all of
them inherit. A score is ``x @ coef_.T + intercept_`` in NumPy's common dtype of input and
coefficients: float32 rows meet float64 coefficients in float64. A sparse matrix stays sparse.

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
import numpy.typing as npt

from millrace.catalog.registry import (
    BLAS_ORDER,
    Context,
    Decline,
    Example,
    Outputs,
    SparseValue,
    converts,
    vector,
)
from millrace.catalog.sklearn._examples import as_csr, as_frame, fitted
from millrace.ir.arrays import dense_array
from millrace.ir.build import Value
from millrace.ir.ops import Sparse


def checked(x: Value, owner: str) -> Value:
    """The rows as ``validate_data`` hands them on: numbers of any dtype, all finite."""
    return x.cast("numeric").guard(owner)


def product(x: Value, block: Value, weights: npt.NDArray[Any], context: Context) -> Value:
    """``block @ weights`` for rows `block` made of the input `x`.

    The rounding of the product itself is allowed for by whoever compares; what it is added to or divided
    by rounds once more, in an answer by a few units in the last place.

    A sparse matrix has no products with the cells that it leaves out, not even with weights that are not
    finite, where a dense one makes NaN of them.
    """
    if isinstance(x, SparseValue) and not np.isfinite(weights).all():
        block = block.then(Sparse())
    context.bound(8, 0.0, BLAS_ORDER)
    return block @ weights


def dense_coefficients(model: Any) -> npt.NDArray[Any]:
    """``coef_`` as a matrix (n_targets, n_features), also of a model after ``sparsify()``."""
    coefficients = model.coef_
    return np.atleast_2d(
        coefficients.toarray() if hasattr(coefficients, "toarray") else coefficients
    )


def linear_scores(model: Any, x: Value, context: Context, *, validated: bool = True) -> Value:
    """``x @ coef_.T + intercept_``; width 1 for one-dimensional coefficients.

    `validated` says that the source refuses rows that are not finite.
    """
    if isinstance(x, SparseValue) and hasattr(model.coef_, "toarray"):
        raise Decline("its sparse coefficients meet sparse rows only of their own dtype")
    rows = checked(x, type(model).__name__) if validated else x.cast("numeric")
    raw = product(x, rows, dense_coefficients(model).T, context)
    intercept = model.intercept_
    if isinstance(intercept, (np.ndarray, np.generic)):
        return raw + intercept
    return raw + raw.scalar(intercept)


@converts(
    "sklearn.linear_model.LinearRegression",
    "sklearn.linear_model.Ridge",
    "sklearn.linear_model.RidgeCV",
    "sklearn.linear_model.LassoCV",
    "sklearn.linear_model.ElasticNetCV",
    "sklearn.linear_model.MultiTaskLassoCV",
    "sklearn.linear_model.MultiTaskElasticNetCV",
    "sklearn.linear_model.Lars",
    "sklearn.linear_model.LarsCV",
    "sklearn.linear_model.LassoLars",
    "sklearn.linear_model.LassoLarsCV",
    "sklearn.linear_model.LassoLarsIC",
    "sklearn.linear_model.OrthogonalMatchingPursuit",
    "sklearn.linear_model.OrthogonalMatchingPursuitCV",
    "sklearn.linear_model.BayesianRidge",
    "sklearn.linear_model.ARDRegression",
    "sklearn.linear_model.HuberRegressor",
    "sklearn.linear_model.QuantileRegressor",
    "sklearn.linear_model.TheilSenRegressor",
    "sklearn.svm.LinearSVR",
)
def linear_regression(model: Any, x: Value, context: Context) -> Outputs:
    """``predict``: the score, one column per target when ``fit`` got a two-dimensional y."""
    return _prediction(model, linear_scores(model, x, context))


@converts(
    "sklearn.linear_model.Lasso",
    "sklearn.linear_model.ElasticNet",
    "sklearn.linear_model.MultiTaskLasso",
    "sklearn.linear_model.MultiTaskElasticNet",
)
def elastic_net(model: Any, x: Value, context: Context) -> Outputs:
    """``predict``: the score, one column per target when ``fit`` got a two-dimensional y.

    Sparse rows are not validated by the source (``_coordinate_descent.py``): NaN and infinities go into
    the product.
    """
    dense = not isinstance(x, SparseValue)
    return _prediction(model, linear_scores(model, x, context, validated=dense))


def _prediction(model: Any, scores: Value) -> Outputs:
    return {"predict": vector(scores) if model.coef_.ndim == 1 else scores}


# -- examples ------------------------------------------------------------------------------

WIDE: dict[str, Any] = {"ulp": 64, "absolute": 1e-12, "why": BLAS_ORDER}
NARROW: dict[str, Any] = {"ulp": 64, "absolute": 1e-4, "why": f"{BLAS_ORDER}; fitted in float32"}


def example_rows(kind: str = "float64", n_features: int = 7) -> Any:
    """Seeded rows: an array of this dtype, a ``frame`` with names, or ``csr`` with few cells."""
    rng = np.random.default_rng(0)
    X = rng.normal(0, 2, (80, n_features)).round(2)
    if kind == "csr":
        return as_csr(X * (rng.random(X.shape) < 0.5))
    if kind == "frame":
        return as_frame(X).assign(count=np.arange(80) % 6)
    return X.astype(kind)


def regressor(name: str, kind: str = "float64", targets: int = 0, **params: Any) -> tuple[Any, Any]:
    """A fitted regressor of ``sklearn.linear_model`` (or another module, with a dot) and rows."""
    import importlib

    module, _, cls = name.rpartition(".")
    rows = example_rows(kind)
    X = dense_array(rows)
    weights = np.random.default_rng(1).normal(0, 1, (X.shape[1], max(1, targets)))
    y = X @ weights + 3 + np.random.default_rng(2).normal(0, 0.1, (len(X), 1))
    y = y.astype("float32" if kind == "float32" else "float64")
    library = importlib.import_module(f"sklearn.{module or 'linear_model'}")
    return fitted(getattr(library, cls)(**params), rows, y if targets else y[:, 0])


_OTHERS: dict[str, tuple[dict[str, Any], tuple[str, ...], int]] = {
    "RidgeCV": ({}, ("csr", "float32"), 2),
    "Lasso": ({"alpha": 0.1}, ("csr", "float32"), 2),
    "LassoCV": ({"cv": 3, "alphas": 4}, ("csr",), 0),
    "ElasticNet": ({"alpha": 0.1}, ("csr", "frame"), 2),
    "ElasticNetCV": ({"cv": 3, "alphas": 4}, ("csr",), 0),
    "MultiTaskLasso": ({"alpha": 0.1}, (), 3),
    "MultiTaskLassoCV": ({"cv": 3, "alphas": 4}, (), 2),
    "MultiTaskElasticNet": ({"alpha": 0.1}, ("float32",), 2),
    "MultiTaskElasticNetCV": ({"cv": 3, "alphas": 4}, (), 2),
    "Lars": ({}, (), 2),
    "LarsCV": ({"cv": 3}, (), 0),
    "LassoLars": ({"alpha": 0.01}, (), 2),
    "LassoLarsCV": ({"cv": 3}, (), 0),
    "LassoLarsIC": ({}, (), 0),
    "OrthogonalMatchingPursuit": ({"n_nonzero_coefs": 3}, (), 2),
    "OrthogonalMatchingPursuitCV": ({"cv": 3}, (), 0),
    "BayesianRidge": ({}, ("float32",), 0),
    "ARDRegression": ({}, ("float32",), 0),
    "HuberRegressor": ({}, ("csr",), 0),
    "QuantileRegressor": ({"alpha": 0.01}, ("csr",), 0),
    "TheilSenRegressor": ({"max_subpopulation": 40, "random_state": 0}, (), 0),
    "svm.LinearSVR": ({"random_state": 0}, ("csr",), 0),
}
"""Parameters, kinds of rows besides an array of float64, and number of targets where many are taken."""

_ONLY_MANY = ("MultiTaskLasso", "MultiTaskLassoCV", "MultiTaskElasticNet", "MultiTaskElasticNetCV")


def examples() -> Iterator[Example]:
    """One and more targets, each kind of rows, with and without an intercept."""
    for name in ("LinearRegression", "Ridge"):
        for kind in ("float64", "float32", "int64", "csr"):
            bound = NARROW if kind == "float32" else WIDE
            for targets in (0, 1, 3):
                made = partial(regressor, name, kind, targets)
                yield Example(f"{name} {kind} targets={targets}", made, **bound)
            made = partial(regressor, name, kind, fit_intercept=False)
            yield Example(f"{name} {kind} no intercept", made, **bound)
    for name, (params, kinds, targets) in _OTHERS.items():
        least = targets if name in _ONLY_MANY else 0
        for kind in ("float64", *kinds):
            made = partial(regressor, name, kind, least, **params)
            yield Example(f"{name} {kind}", made, **(NARROW if kind == "float32" else WIDE))
        if targets > least:
            made = partial(regressor, name, "float64", targets, **params)
            yield Example(f"{name} targets={targets}", made, **WIDE)
        if "Theil" not in name:
            made = partial(regressor, name, "float64", least, **params, fit_intercept=False)
            yield Example(f"{name} no intercept", made, **WIDE)
