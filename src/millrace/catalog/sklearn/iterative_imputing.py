"""Imputation by models of each column on the others.

Semantics matched: ``sklearn/impute/_iterative.py`` of scikit-learn 1.9.1.
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
    SparseValue,
    converts,
    handed_on,
)
from millrace.catalog.sklearn._examples import as_frame
from millrace.catalog.sklearn.imputing import _missing
from millrace.ir.build import Value

_WHY = f"the models inside are linear: {BLAS_ORDER}"


@converts("sklearn.impute.IterativeImputer")
def iterative_imputer(imputer: Any, x: Value, context: Context) -> Outputs:
    """Missing cells get a first guess and then, in the order of ``fit``, what each model predicts.

    Every model of ``imputation_sequence_`` is converted by itself; predictions are clipped to
    ``min_value`` and ``max_value`` and rounded to the dtype of the input.

    Exactness: that of the models; what one of them rounds otherwise the next ones see, so the bounds of
    linear models hold for a well-conditioned sequence. A batch in which every cell is missing
    gets the sequence too, where the source stops at its first guess. Missing values: what
    ``missing_values`` names; other NaN, and infinities, are refused.

    Declines: ``sample_posterior``, whose answers are random; an initial imputer that keeps other columns
    than the models.
    """
    if isinstance(x, SparseValue):
        raise Decline("its input is a sparse matrix")
    if imputer.sample_posterior:
        raise Decline("it draws what it fills in at random")
    missing = _missing(imputer.missing_values)
    x = x.cast("float").guard("IterativeImputer", allow_nan=missing.allow_nan)
    mask = missing.mask(x)
    filled = context.value(imputer.initial_imputer_, x, "initial_imputer_")
    empty = np.asarray(imputer._is_empty_feature, bool)
    kept = np.arange(len(empty)) if imputer.keep_empty_features else np.flatnonzero(~empty)
    if filled.width != len(kept):
        raise Decline("its initial imputer keeps other columns than its models know")
    if imputer.n_iter_:
        filled = _rounds(imputer, filled, mask.take(kept), empty[kept], context)
    blocks = [filled]
    if imputer.add_indicator and len(imputer.indicator_.features_):
        blocks.append(mask.take(imputer.indicator_.features_))
    return {"transform": x.builder.concat(blocks)}


def _rounds(imputer: Any, x: Value, mask: Value, empty: Any, context: Context) -> Value:
    """All models one after another, each on what those before it have filled in.

    The source asks a model only about rows that miss its column; the others get zeros, so that no model
    can refuse them.
    """
    zero = x.builder.constant(np.zeros(1)).cast_like(x)
    columns = [x.column(i) for i in range(x.width)]
    masks = [mask.column(i) for i in range(x.width)]
    for number, step in enumerate(imputer.imputation_sequence_):
        at = int(step.feat_idx)
        if empty[at]:
            continue
        inputs = x.builder.concat([columns[i] for i in step.neighbor_feat_idx])
        inputs = masks[at].where(inputs, zero)
        outputs = context.convert(step.estimator, inputs, f"imputation_sequence_[{number}]")
        if "predict" not in outputs:
            raise Decline(f"its model {type(step.estimator).__name__} gives no predict to call")
        guess = handed_on(outputs["predict"])
        low, high = (np.atleast_1d(limit[at]) for limit in (imputer._min_value, imputer._max_value))
        guess = guess.combine("maximum", low).combine("minimum", high).cast_like(x)
        columns[at] = masks[at].where(guess, columns[at])
    return x.builder.concat(columns)


# -- examples ------------------------------------------------------------------------------


def _fitted(
    model: str, dtype: str = "float64", frame: bool = False, empty: bool = False, **params: Any
) -> tuple[Any, Any]:
    from sklearn.experimental import (
        enable_iterative_imputer,  # noqa: F401  # pyright: ignore[reportUnusedImport]
    )
    from sklearn.impute import IterativeImputer
    from sklearn.linear_model import LinearRegression, Ridge
    from sklearn.tree import DecisionTreeRegressor

    models = {
        "linear": LinearRegression(),
        "ridge": Ridge(),
        "tree": DecisionTreeRegressor(random_state=0),
    }
    rng = np.random.default_rng(0)
    X = rng.normal(0, 2, (60, 4))
    X[:, 3] = X[:, 0] - X[:, 1] + 0.1 * X[:, 3]
    hole = params.get("missing_values", np.nan)
    X[rng.random(X.shape) < 0.15] = hole
    X = X.astype(dtype)
    if empty:
        X = np.insert(X, 1, hole, axis=1)
    rows: Any = X
    if frame:
        rows = as_frame(X)
    options: dict[str, Any] = {"max_iter": 3, "random_state": 0, **params}
    imputer: Any = IterativeImputer(models[model], **options)
    return imputer.fit(rows), rows


def examples() -> Iterator[Example]:
    """Linear models and trees, limits, orders, initial guesses, indicators and empty columns."""
    bound: dict[str, Any] = {"ulp": 4096, "absolute": 1e-4, "why": _WHY}
    yield Example("tree", partial(_fitted, "tree"))
    yield Example("tree float32", partial(_fitted, "tree", "float32"))
    yield Example("tree no rounds", partial(_fitted, "tree", max_iter=0))
    for model in ("linear", "ridge"):
        yield Example(model, partial(_fitted, model), **bound)
    yield Example(
        "ridge limits frame",
        partial(_fitted, "ridge", frame=True, min_value=-1, max_value=[0.5, 1, 2, 3]),
        **bound,
    )
    yield Example(
        "ridge missing=-9 indicator",
        partial(_fitted, "ridge", missing_values=-9, add_indicator=True),
        **bound,
    )
    yield Example(
        "tree nearest features",
        partial(_fitted, "tree", n_nearest_features=2, imputation_order="random", max_iter=2),
    )
    for keep in (False, True):
        yield Example(
            f"ridge empty column keep={keep}",
            partial(_fitted, "ridge", empty=True, keep_empty_features=keep),
            **bound,
        )
    yield Example("tree median", partial(_fitted, "tree", initial_strategy="median"))
