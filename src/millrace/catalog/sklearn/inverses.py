"""The way back from scaled, transformed and binned numbers: ``inverse_transform``.

Semantics matched: ``_data.py``, ``_discretization.py`` and ``_function_transformer.py`` in
``sklearn/preprocessing``, and ``sklearn/pipeline.py`` of scikit-learn 1.9.1. The source works in place
here too: each operation computes in the wider dtype and rounds back to the dtype of the input.

Exactness: the same bits, but for powers and exponentials, which NumPy may compute in another last bit
where a column lies otherwise in memory. Missing values: NaN stays NaN; infinities are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from millrace.catalog.registry import (
    Context,
    Decline,
    Example,
    Result,
    SparseValue,
    handed_on,
    in_container_of,
    inverts,
)
from millrace.catalog.sklearn.functions import _ufunc_name
from millrace.catalog.sklearn.quantiles import beyond, interpolation
from millrace.ir.arrays import Array
from millrace.ir.build import Value


def _checked(y: Value, owner: str) -> Value:
    return y.cast("float").guard(owner, allow_nan=True)


@inverts("sklearn.preprocessing.StandardScaler")
def standard_scaler(scaler: Any, y: Value, context: Context) -> Value | Result:
    """``y * scale_ + mean_``, both rounded to the dtype of the input first."""
    block = _checked(y, "StandardScaler")
    if isinstance(y, SparseValue):
        if scaler.with_mean:
            raise Decline("it refuses sparse rows, which it cannot uncentre")
        if scaler.scale_ is not None:
            block = (block * scaler.scale_).cast_like(block)
        return in_container_of(y, block)
    if scaler.with_std:
        block = block * y.builder.constant(scaler.scale_).cast_like(block)
    if scaler.with_mean:
        block = block + y.builder.constant(scaler.mean_).cast_like(block)
    return block


@inverts("sklearn.preprocessing.MinMaxScaler")
def min_max_scaler(scaler: Any, y: Value, context: Context) -> Value | Result:
    """``(y - min_) / scale_``."""
    y = _checked(y, "MinMaxScaler")
    y = (y - scaler.min_).cast_like(y)
    return (y / scaler.scale_).cast_like(y)


@inverts("sklearn.preprocessing.MaxAbsScaler")
def max_abs_scaler(scaler: Any, y: Value, context: Context) -> Value | Result:
    """``y * scale_``."""
    block = _checked(y, "MaxAbsScaler")
    return in_container_of(y, (block * scaler.scale_).cast_like(block))


@inverts("sklearn.preprocessing.RobustScaler")
def robust_scaler(scaler: Any, y: Value, context: Context) -> Value | Result:
    """``y * scale_ + center_``; sparse rows are not moved."""
    block = _checked(y, "RobustScaler")
    if scaler.with_scaling:
        block = (block * scaler.scale_).cast_like(block)
    if scaler.with_centering and not isinstance(y, SparseValue):
        block = (block + scaler.center_).cast_like(block)
    return in_container_of(y, block)


@inverts("sklearn.preprocessing.PowerTransformer")
def power_transformer(source: Any, y: Value, context: Context) -> Value | Result:
    """The inverse of Box-Cox or Yeo-Johnson by each column's lambda; NaN where there is none."""
    y = _checked(y, "PowerTransformer")
    if source.standardize:
        y = handed_on(context.invert(source._scaler, y, "_scaler"))
    if source.method == "box-cox":
        return y.combine("inv_boxcox", source.lambdas_).cast_like(y)
    columns = [_yeo_johnson(y.column(i), lmbda) for i, lmbda in enumerate(source.lambdas_)]
    return y.builder.concat(columns)


def _yeo_johnson(y: Value, lmbda: Any) -> Value:
    """``PowerTransformer._yeo_johnson_inverse_transform`` of one column; `lmbda` is a NumPy scalar."""
    if abs(lmbda) < np.spacing(1.0):
        powers = y.apply("exp")
    else:
        powers = _power(y, lmbda)
    upper = powers - powers.scalar(1)
    if abs(lmbda - 2) > np.spacing(1.0):
        powers = _power(y, -(2 - lmbda), 1 / (2 - lmbda))
    else:
        powers = (-y).apply("exp")
    lower = powers.scalar(1) - powers
    return (y >= y.scalar(0)).where(upper.cast_like(y), lower.cast_like(y))


def _power(y: Value, factor: Any, exponent: Any = None) -> Value:
    base = y * np.atleast_1d(factor)
    exponent = 1 / factor if exponent is None else exponent
    return (base + base.scalar(1)).combine("power", np.atleast_1d(exponent))


@inverts("sklearn.preprocessing.QuantileTransformer")
def quantile_transformer(source: Any, y: Value, context: Context) -> Value | Result:
    """The quantile that belongs to a value; for normal values through the normal distribution function.

    Declines: sparse input, whose stored cells alone are transformed.
    """
    if isinstance(y, SparseValue):
        raise Decline("its input is a sparse matrix, whose stored cells alone it transforms")
    y = _checked(y, "QuantileTransformer")
    quantiles = np.asarray(source.quantiles_)
    normal = source.output_distribution == "normal"
    uniform = y.cast("float64").apply("ndtr") if normal else y
    low, high = uniform.scalar(0), uniform.scalar(1)
    below, above = beyond(uniform, low, high, source.output_distribution)
    block = uniform.then(interpolation(source.references_, quantiles.T)).cast_like(uniform)
    if len(quantiles) == 1:  # numpy.interp gives NaN its only value
        block = uniform.is_missing().where(uniform, block)
    block = above.where(y.builder.constant(quantiles[-1]).cast_like(uniform), block)
    block = below.where(y.builder.constant(quantiles[0]).cast_like(uniform), block)
    return block.cast_like(y)


@inverts("sklearn.preprocessing.KBinsDiscretizer")
def k_bins_discretizer(source: Any, y: Value, context: Context) -> Value | Result:
    """The middle of each bin; a number that is no bin is refused.

    Stricter than the source, which counts negative numbers from the last bin.
    """
    if "onehot" in source.encode:
        y = handed_on(context.invert(source._encoder, y, "_encoder"))
    y = y.cast("float").guard("KBinsDiscretizer")
    columns: list[Value] = []
    for position, edges in enumerate(source.bin_edges_):
        with np.errstate(invalid="ignore"):
            centers = (edges[1:] + edges[:-1]) * 0.5
        codes = numbered_from_zero(y.column(position), len(centers), "KBinsDiscretizer")
        columns.append(codes.gather(Array(centers, "float64")))
    return y.builder.concat(columns).cast_like(y)


def numbered_from_zero(y: Value, count: int, owner: str) -> Value:
    """Whole parts of the numbers of a column as codes below `count`; others are refused."""
    ok = (y > np.array([-1], np.float64)).combine("logical_and", y < np.array([count], np.float64))
    return y.require(ok, owner, f"a number that is none of its {count} codes").cast("int64")


@inverts("sklearn.preprocessing.FunctionTransformer")
def function_transformer(source: Any, y: Value, context: Context) -> Value | Result:
    """``inverse_func`` where it is a NumPy ufunc of one argument, ``expit`` or nothing.

    Declines: any other function, and keyword arguments.
    """
    name = _ufunc_name(SimpleNamespace(func=source.inverse_func, kw_args=source.inv_kw_args))
    if source.validate:
        y = y.cast("numeric").guard("FunctionTransformer")
    if name is None:
        return in_container_of(y, y)
    if y.step < 0 and not isinstance(y, SparseValue):
        return y.builder.concat([y.column(i).apply(name) for i in range(y.width)])
    return in_container_of(y, y.apply(name))


@inverts("sklearn.pipeline.Pipeline")
def pipeline(source: Any, y: Value, context: Context) -> Value | Result:
    """The inverses of the steps, from the last to the first."""
    answer: Value | Result = in_container_of(y, y)
    for name, step in reversed(source.steps):
        if step is not None and not isinstance(step, str):
            answer = context.invert(step, handed_on(answer), name)
    return answer


# -- examples ------------------------------------------------------------------------------


def _fitted(kind: str, dtype: str = "float64") -> tuple[Any, Any]:
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import (
        FunctionTransformer,
        KBinsDiscretizer,
        MinMaxScaler,
        PowerTransformer,
        QuantileTransformer,
        RobustScaler,
        StandardScaler,
    )

    X = np.random.default_rng(0).lognormal(0, 1, (60, 4)).astype(dtype)
    logarithm: Any = np.log1p
    steps: dict[str, Any] = {
        "function": [FunctionTransformer(logarithm, inverse_func=np.expm1)],
        "validated": [FunctionTransformer(logarithm, inverse_func=np.expm1, validate=True)],
        "scalers": [StandardScaler(), "passthrough", RobustScaler(), MinMaxScaler()],
        "quantiles": [QuantileTransformer(n_quantiles=30), StandardScaler()],
        "power": [PowerTransformer("box-cox"), MinMaxScaler()],
        "bins": [KBinsDiscretizer(4, encode="ordinal", quantile_method="averaged_inverted_cdf")],
    }
    named = [(f"s{i}", step) for i, step in enumerate(steps[kind])]
    return Pipeline(named).fit(X), X


def examples() -> Iterator[Example]:
    """Pipelines of every kind of step that has a way back, on both float dtypes."""
    for kind in ("function", "validated", "scalers", "quantiles", "power", "bins"):
        for dtype in ("float64", "float32"):
            yield Example(f"{kind} {dtype}", partial(_fitted, kind, dtype))
