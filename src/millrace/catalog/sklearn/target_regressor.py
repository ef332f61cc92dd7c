"""Regressors of a transformed target.

Semantics matched: ``sklearn/compose/_target.py`` of scikit-learn 1.9.1: what the regressor predicts is a
column (or a matrix) that goes back through the transformer's ``inverse_transform``.

Exactness: that of the regressor, stretched by the inverse. Missing values: as the regressor takes
them; functions refuse predictions that are not finite.
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
    converts,
    handed_on,
    vector,
)
from millrace.catalog.sklearn._examples import example_rows
from millrace.catalog.sklearn._meta import block
from millrace.ir.build import Value


@converts("sklearn.compose.TransformedTargetRegressor")
def transformed_target_regressor(model: Any, x: Value, context: Context) -> Outputs:
    """The regressor's prediction, transformed back.

    Declines: inverse functions that are no ufuncs of NumPy or ``scipy.special``, and transformers
    without a native inverse.
    """
    predicted = block(context.convert(model.regressor_, x, "regressor_"), "predict", "regressor_")
    transformer = model.transformer_
    if type(transformer).__name__ == "FunctionTransformer":
        inverted: Value | Result = _by_function(transformer, predicted)
    else:
        inverted = context.invert(transformer, predicted, "transformer_")
    value = handed_on(inverted)
    return {"predict": vector(value) if model._training_dim == 1 and value.width == 1 else value}


def _by_function(transformer: Any, predicted: Value) -> Value:
    """``FunctionTransformer.inverse_transform``."""
    if transformer.validate:
        predicted = predicted.cast("numeric").guard("FunctionTransformer")
    function = transformer.inverse_func
    if function is None:
        return predicted
    name = getattr(function, "__name__", type(function).__name__)
    if transformer.inv_kw_args:
        raise Decline(f"it gives keyword arguments to its inverse function {name}")
    from scipy import special

    known = getattr(np, name, None) is function or getattr(special, name, None) is function
    if not (isinstance(function, np.ufunc) and known and (function.nin, function.nout) == (1, 1)):
        raise Decline(f"its inverse function {name} is not a ufunc of NumPy or scipy.special")
    return predicted.apply(name)


# -- examples ------------------------------------------------------------------------------


def _example(inverse: str, rows: str = "plain", targets: int = 1, native: bool = True) -> Example:
    def make() -> tuple[Any, Any]:
        from sklearn.compose import TransformedTargetRegressor
        from sklearn.linear_model import Ridge
        from sklearn.preprocessing import MinMaxScaler, StandardScaler
        from sklearn.tree import DecisionTreeRegressor

        x, signal = example_rows(5, rows, 100)
        options: dict[str, Any] = {
            "log1p": {"func": np.log1p, "inverse_func": np.expm1},
            "log": {"func": np.log, "inverse_func": np.exp},
            "standard": {"transformer": StandardScaler()},
            "range": {"transformer": MinMaxScaler()},
            "nothing": {},
            "python": {"func": _half, "inverse_func": _twice},
        }[inverse]
        regressor = Ridge() if rows == "named" else DecisionTreeRegressor(random_state=0)
        y = np.exp(signal / 3) if targets == 1 else np.exp(np.column_stack([signal, -signal]) / 3)
        if rows == "float32":
            y = y.astype(np.float32)
        return TransformedTargetRegressor(regressor, **options).fit(x, y), x

    bound: dict[str, Any] = {
        "ulp": 64,
        "absolute": 1e-11,
        "why": f"the linear model inside: {BLAS_ORDER}",
    }
    name = f"TransformedTargetRegressor {inverse}, {targets} targets, {rows} rows"
    return Example(name, make, **(bound if rows == "named" else {}), native=native)


def _half(y: Any) -> Any:
    return y / 2


def _twice(y: Any) -> Any:
    return y * 2


def examples() -> Iterator[Example]:
    """Functions and scalers, one and two targets, every kind of row, and a function of Python."""
    yield _example("log1p")
    yield _example("log", "named", targets=2)
    yield _example("log", "float32")
    yield _example("standard", "named")
    yield _example("range", "plain", targets=2)
    yield _example("nothing", "float32")
    yield _example("python", native=False)
