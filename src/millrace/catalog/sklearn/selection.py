"""Selectors of columns, and the models inside those that keep one.

Semantics matched: ``SelectorMixin`` in ``sklearn/feature_selection/_base.py`` and ``_rfe.py`` of
scikit-learn 1.9.1. A selector was told by ``fit`` which columns to keep; nothing is computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from millrace.catalog.registry import (
    BLAS_ORDER,
    Context,
    Decline,
    Example,
    Outputs,
    converts,
    handed_on,
    in_container_of,
)
from millrace.catalog.sklearn._examples import as_frame
from millrace.ir.build import Value

_INNER_METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function")


@converts(
    "sklearn.feature_selection.SelectKBest",
    "sklearn.feature_selection.SelectPercentile",
    "sklearn.feature_selection.SelectFpr",
    "sklearn.feature_selection.SelectFdr",
    "sklearn.feature_selection.SelectFwe",
    "sklearn.feature_selection.GenericUnivariateSelect",
    "sklearn.feature_selection.VarianceThreshold",
    "sklearn.feature_selection.SelectFromModel",
    "sklearn.feature_selection.SequentialFeatureSelector",
)
def selector(source: Any, x: Value, context: Context) -> Outputs:
    """The columns of ``get_support()``, in the dtype that all columns have in common.

    Exactness: the same bits; sparse stays sparse. Missing values: NaN is refused, in any column, unless
    the selector or the model inside it says that it takes NaN; so are infinities, which pass with it.

    Declines: where no column is kept.
    """
    from sklearn.utils import get_tags

    kept = np.flatnonzero(source.get_support())
    if not len(kept):
        raise Decline("it keeps no column of its input")
    # Every column takes part in the common dtype and is checked, also those that are not kept.
    block = Value(x.builder, x.at)
    if not get_tags(source).input_tags.allow_nan:
        block = block.guard(type(source).__name__)
    return {"transform": in_container_of(x, block.take(kept))}


@converts("sklearn.feature_selection.RFE", "sklearn.feature_selection.RFECV")
def recursive_elimination(source: Any, x: Value, context: Context) -> Outputs:
    """The columns that are left, and what the model fitted on them makes of them.

    Exactness and missing values: as `selector`; then those of the model.
    """
    outputs = dict(selector(source, x, context))
    inner = context.convert(source.estimator_, handed_on(outputs["transform"]), "estimator_")
    methods = [m for m in _INNER_METHODS if m in inner and hasattr(source, m)]
    return outputs | {m: inner[m] for m in methods}


# -- examples ------------------------------------------------------------------------------


def _rows(container: str, dtype: str = "float64") -> Any:
    rng = np.random.default_rng(0)
    X: Any = np.round(rng.normal(0, 3, (60, 6)), 1)
    X[:, 4] = 1
    if container == "missing":
        X[rng.random(X.shape) < 0.05] = np.nan
    if container in ("csr_matrix", "csr_array"):
        import scipy.sparse as sp

        return getattr(sp, container)(np.where(np.abs(X) > 2, X, 0).astype(dtype))
    if container == "frame":
        X = as_frame(X)
        X["d"], X["e"] = X["d"].astype("float32"), np.arange(60) % 4
        return X
    return X.astype(dtype)


def _target(X: Any) -> Any:
    rows = X.toarray() if hasattr(X, "toarray") else np.nan_to_num(np.asarray(X))
    return (rows[:, 0] + rows[:, 2] > 0).astype(int)


def _univariate(
    name: str, container: str = "array", dtype: str = "float64", **params: Any
) -> tuple[Any, Any]:
    import sklearn.feature_selection

    X = _rows(container, dtype)
    return getattr(sklearn.feature_selection, name)(**params).fit(X, _target(X)), X


def _with_model(name: str, model: str, container: str = "array", **params: Any) -> tuple[Any, Any]:
    import sklearn.feature_selection
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.tree import DecisionTreeClassifier

    models = {
        "logistic": LogisticRegression(max_iter=500),
        "linear": LinearRegression(),
        "tree": DecisionTreeClassifier(max_depth=3, random_state=0),
    }
    X = _rows(container)
    selector = getattr(sklearn.feature_selection, name)(models[model], **params)
    return selector.fit(X, _target(X)), X


def examples() -> Iterator[Example]:
    """Each selector; both sparse containers, frames of mixed dtypes, missing cells, nothing kept."""
    for name in ("SelectKBest", "SelectPercentile", "SelectFpr", "SelectFdr", "SelectFwe"):
        params = {"k": 2} if name == "SelectKBest" else {}
        yield Example(name, partial(_univariate, name, **params))
    yield Example("SelectKBest frame", partial(_univariate, "SelectKBest", "frame", k=3))
    yield Example("SelectKBest float32", partial(_univariate, "SelectKBest", dtype="float32", k=3))
    yield Example("SelectKBest int64", partial(_univariate, "SelectKBest", dtype="int64", k=3))
    yield Example("SelectKBest none", partial(_univariate, "SelectKBest", k=0), native=False)
    yield Example("SelectKBest csr", partial(_univariate, "SelectKBest", "csr_matrix", k=3))
    generic = "GenericUnivariateSelect"
    yield Example(generic, partial(_univariate, generic, mode="k_best", param=3))
    for container in ("missing", "frame", "csr_array"):
        yield Example(
            f"VarianceThreshold {container}", partial(_univariate, "VarianceThreshold", container)
        )
    why = BLAS_ORDER
    bound: dict[str, Any] = {"ulp": 64, "absolute": 1e-4, "why": why}
    for model in ("logistic", "linear", "tree"):
        yield Example(f"SelectFromModel {model}", partial(_with_model, "SelectFromModel", model))
        rfe = partial(_with_model, "RFE", model, n_features_to_select=3)
        yield Example(f"RFE {model}", rfe, **({} if model == "tree" else bound))
    yield Example(
        "SelectFromModel missing", partial(_with_model, "SelectFromModel", "tree", "missing")
    )
    yield Example("RFE frame", partial(_with_model, "RFE", "logistic", "frame"), **bound)
    yield Example("RFE csr", partial(_with_model, "RFE", "linear", "csr_matrix"), **bound)
    yield Example("RFECV", partial(_with_model, "RFECV", "linear", cv=3), **bound)
    yield Example(
        "SequentialFeatureSelector",
        partial(_with_model, "SequentialFeatureSelector", "linear", n_features_to_select=2, cv=2),
    )
