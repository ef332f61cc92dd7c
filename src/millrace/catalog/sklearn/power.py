"""Power transformations towards a normal distribution.

Semantics matched: ``PowerTransformer`` in ``sklearn/preprocessing/_data.py`` of scikit-learn 1.9.1, and
``_yeojohnson_transform`` in ``scipy/stats/_morestats.py`` of SciPy 1.17. A column computes in the wider
of its own dtype and that of ``lambdas_``, and is rounded to its own dtype afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from millrace.catalog.registry import Context, Example, Outputs, converts
from millrace.catalog.sklearn._examples import as_frame
from millrace.ir.build import Value


@converts("sklearn.preprocessing.PowerTransformer")
def power_transformer(source: Any, x: Value, context: Context) -> Outputs:
    """Box-Cox or Yeo-Johnson of each column by its fitted lambda, then standardised.

    Exactness: the same bits, as far as the backend calls the same functions. Missing values: NaN stays
    NaN; infinities are refused, also those that come from an overflow before standardising. Box-Cox
    refuses rows with values that are not positive.
    """
    x = x.cast("float").guard("PowerTransformer", allow_nan=True)
    if source.method == "box-cox":
        x = _positive(x)
        block = x.combine("boxcox", source.lambdas_).cast_like(x)
    else:
        columns = [_yeo_johnson(x.column(i), lmbda) for i, lmbda in enumerate(source.lambdas_)]
        block = x.builder.concat(columns)
    if source.standardize:
        block = context.value(source._scaler, block, "_scaler")
    return {"transform": block}


def _positive(x: Value) -> Value:
    zero = x.scalar(0)
    ok = (x > zero).combine("logical_or", x.is_missing())
    return x.require(ok, "PowerTransformer", "Box-Cox takes strictly positive values only")


def _yeo_johnson(x: Value, lmbda: Any) -> Value:
    """One column; `lmbda` is a NumPy scalar of float32 or float64."""
    wide = x + np.zeros(1, lmbda.dtype)  # the dtype of the result
    zero = x.scalar(0)
    upper, lower = x.apply("log1p"), (-x).apply("log1p")
    one_eps = float(np.finfo(lmbda.dtype).eps)
    rest = 2 - lmbda
    if abs(lmbda) >= one_eps:
        upper = _scaled_expm1(upper, lmbda)
    lower = -_scaled_expm1(lower, rest) if abs(rest) > one_eps else -lower
    return (x >= zero).where(upper.cast_like(wide), lower.cast_like(wide)).cast_like(x)


def _scaled_expm1(logarithm: Value, power: Any) -> Value:
    power = np.atleast_1d(power)
    return (logarithm * power).apply("expm1") / power


# -- examples ------------------------------------------------------------------------------


def _fitted(
    dtype: str = "float64", frame: bool = False, lambdas: Any = None, **params: Any
) -> tuple[Any, Any]:
    from sklearn.preprocessing import PowerTransformer

    rng = np.random.default_rng(0)
    X = rng.lognormal(0, 1, (60, 4))
    X[:, 3] = 2 + np.arange(60) % 3
    if params.get("method") != "box-cox":
        X[:, :2] -= 1.5
        X[5, 0] = -0.0
    if dtype != "int64":
        X[rng.random(X.shape) < 0.05] = np.nan
    X = X.astype(dtype)
    if frame:
        X = as_frame(X)
    fitted = PowerTransformer(**params).fit(X)
    if lambdas is not None:
        fitted.lambdas_[:] = lambdas
    return fitted, X


def examples() -> Iterator[Example]:
    """Both methods on each dtype, unscaled, and the lambdas that have formulas of their own."""
    for dtype in ("float64", "float32"):
        for standardize in (True, False):
            words = f"{dtype} standardize={standardize}"
            params = {"standardize": standardize}
            yield Example(f"yeo-johnson {words}", partial(_fitted, dtype, **params))
            yield Example(f"box-cox {words}", partial(_fitted, dtype, method="box-cox", **params))
    yield Example("yeo-johnson int64", partial(_fitted, "int64"))
    yield Example("yeo-johnson frame", partial(_fitted, frame=True))
    special = [0.0, 2.0, 1e-17, 1.0]
    yield Example("yeo-johnson special", partial(_fitted, lambdas=special, standardize=False))
    yield Example("box-cox special", partial(_fitted, lambdas=special, method="box-cox"))
