"""Function transformers whose function is a NumPy ufunc, `expit` or nothing at all.

Semantics matched: ``sklearn/preprocessing/_function_transformer.py`` of scikit-learn 1.9.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from millrace.catalog.registry import Context, Decline, Example, Outputs, converts, in_container_of
from millrace.ir.build import Value


@converts("sklearn.preprocessing.FunctionTransformer")
def function_transformer(transformer: Any, x: Value, context: Context) -> Outputs:
    """The identity, a NumPy ufunc of one argument or ``scipy.special.expit``, cell by cell.

    A data frame is not made one array first: each column keeps its dtype, and the ufunc computes
    in it. With ``validate`` the input becomes one numeric array and must be finite.

    Exactness: the same bits, as far as the backend calls the same function. Missing values:
    as the ufunc; with ``validate`` NaN and infinities are refused.

    Declines: any other function, because a program holds no code, and keyword arguments.
    """
    name = _ufunc_name(transformer)
    if transformer.validate:
        x = x.cast("numeric").guard("FunctionTransformer")
    if name is None:
        return {"transform": in_container_of(x, x)}
    if x.names is not None and x.builder.named:
        columns = [x.column(i).apply(name) for i in range(x.width)]
        return {"transform": x.builder.concat(columns)}
    return {"transform": in_container_of(x, x.apply(name))}


def _ufunc_name(transformer: Any) -> str | None:
    """The name of the function in NumPy, None for the identity."""
    function = transformer.func
    if function is None:
        return None
    name = getattr(function, "__name__", type(function).__name__)
    if transformer.kw_args:
        raise Decline(f"it gives keyword arguments to its function {name}")
    if not isinstance(function, np.ufunc):
        raise Decline(f"its function {name} is not a NumPy ufunc")
    if function.nin != 1 or function.nout != 1 or function.signature:
        raise Decline(f"its function {name} does not map one array to one array cell by cell")
    from scipy.special import expit

    if function is expit or getattr(np, name, None) is function:
        return name
    raise Decline(f"its function {name} is not one of NumPy's own ufuncs")


# -- examples ------------------------------------------------------------------------------


def _rows(dtype: str) -> Any:
    rng = np.random.default_rng(0)
    X = rng.lognormal(0, 2, (40, 4))
    if dtype != "int64":
        X[rng.random(X.shape) < 0.05] = np.nan
        X[0, :2] = [0.0, -0.0]
    return X.astype(dtype)


def _fitted(function: Any, dtype: str = "float64", **params: Any) -> tuple[Any, Any]:
    from sklearn.preprocessing import FunctionTransformer

    X = np.nan_to_num(_rows(dtype)) if params.get("validate") else _rows(dtype)
    return FunctionTransformer(function, **params).fit(X), X


def _on_frame(function: Any, *, validate: bool) -> tuple[Any, Any]:
    """Columns of three dtypes."""
    import pandas as pd
    from sklearn.preprocessing import FunctionTransformer

    X = np.nan_to_num(_rows("float64")) if validate else _rows("float64")
    table = pd.DataFrame({"a": X[:, 0], "b": X[:, 1].astype("float32"), "c": np.arange(len(X))})
    return FunctionTransformer(function, validate=validate).fit(table), table


def _on_text() -> tuple[Any, Any]:
    import pandas as pd
    from sklearn.preprocessing import FunctionTransformer

    table = pd.DataFrame({"a": ["x", None, "y", np.nan] * 6, "b": np.arange(24.0)})
    return FunctionTransformer().fit(table), table


def _sigmoid(dtype: str) -> tuple[Any, Any]:
    from scipy.special import expit

    return _fitted(expit, dtype)


def _twice(X: Any) -> Any:
    return X * 2


def examples() -> Iterator[Example]:
    """The identity, many ufuncs on each dtype, frames of mixed dtypes and what falls back."""
    ufuncs = (
        np.log1p,
        np.sqrt,
        np.exp,
        np.log,
        np.expm1,
        np.abs,
        np.sign,
        np.square,
        np.tanh,
        np.reciprocal,
        np.isnan,
        np.negative,
        np.floor,
        np.cbrt,
    )
    for ufunc in ufuncs:
        yield Example(ufunc.__name__, partial(_fitted, ufunc))
    for dtype in ("float32", "int64"):
        for ufunc in (np.log1p, np.sqrt, np.exp, np.negative):
            yield Example(f"{ufunc.__name__} {dtype}", partial(_fitted, ufunc, dtype))
    for dtype in ("float64", "float32"):
        yield Example(f"expit {dtype}", partial(_sigmoid, dtype))
    yield Example("identity", partial(_fitted, None))
    yield Example("identity validate", partial(_fitted, None, validate=True))
    yield Example("log1p validate", partial(_fitted, np.log1p, validate=True))
    for validate in (False, True):
        yield Example(f"frame validate={validate}", partial(_on_frame, np.log1p, validate=validate))
    yield Example("identity text", _on_text)
    yield Example("python function", partial(_fitted, _twice), native=False)
    yield Example(
        "keyword arguments", partial(_fitted, np.exp, kw_args={"dtype": "float64"}), native=False
    )
