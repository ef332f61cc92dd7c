"""Scalers: one subtraction, one division or multiplication per cell, in the dtype of the input.

Semantics matched: ``sklearn/preprocessing/_data.py`` of scikit-learn 1.9.1. The source works in
place (``X -= mean``), so each operation computes in the wider of the two dtypes and rounds back
to the dtype of the input. On sparse input (after a sparse encoder) it multiplies by reciprocals.

Exactness: the same bits. Missing values: NaN stays NaN; infinities are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from millrace.catalog.registry import (
    Context,
    Example,
    Outputs,
    SparseValue,
    converts,
    in_container_of,
)
from millrace.catalog.sklearn._examples import as_frame
from millrace.ir.build import Value


def _checked(x: Value, owner: str) -> Value:
    return x.cast("float").guard(owner, allow_nan=True)


def _clipped(x: Value, low: float, high: float) -> Value:
    """``numpy.clip`` with bounds of the dtype of `x`: NaN passes, so does -0.0 at a bound of 0."""
    lowest = x.scalar(low)
    highest = x.scalar(high)
    x = (x < lowest).where(lowest, x)
    return (x > highest).where(highest, x)


def _times_reciprocal(x: Value, scale: Any) -> Value:
    """``sklearn.utils.sparsefuncs.inplace_column_scale(X, 1 / scale)``."""
    return (x * (1.0 / scale)).cast_like(x)


@converts("sklearn.preprocessing.StandardScaler")
def standard_scaler(scaler: Any, x: Value, context: Context) -> Outputs:
    """``(x - mean_) / scale_``, both rounded to the dtype of the input first."""
    block = _checked(x, "StandardScaler")
    if isinstance(x, SparseValue):
        if scaler.scale_ is not None:
            block = _times_reciprocal(block, scaler.scale_)
        return {"transform": in_container_of(x, block)}
    if scaler.with_mean:
        block = block - x.builder.constant(scaler.mean_).cast_like(block)
    if scaler.with_std:
        block = block / x.builder.constant(scaler.scale_).cast_like(block)
    return {"transform": block}


@converts("sklearn.preprocessing.MinMaxScaler")
def min_max_scaler(scaler: Any, x: Value, context: Context) -> Outputs:
    """``x * scale_ + min_``, clipped to ``feature_range`` when ``clip`` is set."""
    x = _checked(x, "MinMaxScaler")
    x = (x * scaler.scale_).cast_like(x)
    x = (x + scaler.min_).cast_like(x)
    return {"transform": _clipped(x, *scaler.feature_range) if scaler.clip else x}


@converts("sklearn.preprocessing.MaxAbsScaler")
def max_abs_scaler(scaler: Any, x: Value, context: Context) -> Outputs:
    """``x / scale_``, clipped to -1 ... 1 when ``clip`` is set."""
    block = _checked(x, "MaxAbsScaler")
    block = _divided(x, block, scaler.scale_)
    return {"transform": in_container_of(x, _clipped(block, -1, 1) if scaler.clip else block)}


@converts("sklearn.preprocessing.RobustScaler")
def robust_scaler(scaler: Any, x: Value, context: Context) -> Outputs:
    """``(x - center_) / scale_``, each rounded to the dtype of the input afterwards."""
    block = _checked(x, "RobustScaler")
    if scaler.with_centering:
        block = (block - scaler.center_).cast_like(block)
    if scaler.with_scaling:
        block = _divided(x, block, scaler.scale_)
    return {"transform": in_container_of(x, block)}


def _divided(x: Value, block: Value, scale: Any) -> Value:
    if isinstance(x, SparseValue):
        return _times_reciprocal(block, scale)
    return (block / scale).cast_like(block)


# -- examples ------------------------------------------------------------------------------


def _rows(dtype: str) -> Any:
    """Columns of very different size, a constant one, NaN and -0.0."""
    rng = np.random.default_rng(0)
    X = rng.normal(0, 1, (60, 6)) * [1e-9, 1, 1e3, 1e12, 1, 0.1] + [0, 0, 5, 0, 7, 0]
    X[:, 4] = 7
    if dtype != "int64":
        X[rng.random(X.shape) < 0.05] = np.nan
        X[3, 1] = -0.0
    return X.astype(dtype)


def _fitted(name: str, dtype: str, frame: bool, **params: Any) -> tuple[Any, Any]:
    import sklearn.preprocessing

    rows = _rows(dtype)
    if frame:
        rows = as_frame(rows)
        rows["g"] = np.arange(len(rows), dtype="float32")
        rows["h"] = np.arange(len(rows)) % 7
    return getattr(sklearn.preprocessing, name)(**params).fit(rows), rows


def _after_sparse(name: str, **params: Any) -> tuple[Any, Any]:
    """A scaler that receives the sparse matrix of a one-hot encoder."""
    import sklearn.preprocessing
    from sklearn.pipeline import make_pipeline

    X = np.random.default_rng(1).integers(0, 7, (60, 3)).astype(float)
    narrow: Any = np.float32
    encoder = sklearn.preprocessing.OneHotEncoder(handle_unknown="ignore", dtype=narrow)
    scaler = getattr(sklearn.preprocessing, name)(**params)
    return make_pipeline(encoder, scaler).fit(X), X


_PARAMETERS: dict[str, list[dict[str, Any]]] = {
    "StandardScaler": [
        {},
        {"with_mean": False},
        {"with_std": False},
        {"with_mean": False, "with_std": False},
    ],
    "MinMaxScaler": [
        {},
        {"feature_range": (-2, 0.7)},
        {"clip": True},
        {"clip": True, "feature_range": (0.1, 0.3)},
    ],
    "MaxAbsScaler": [{}, {"clip": True}],
    "RobustScaler": [
        {},
        {"with_centering": False},
        {"with_scaling": False},
        {"quantile_range": (10, 70), "unit_variance": True},
    ],
}


def examples() -> Iterator[Example]:
    """Each scaler with every parameter, fitted on each dtype, on frames and after sparse steps."""
    for name, parameters in _PARAMETERS.items():
        for params in parameters:
            words = " ".join(f"{k}={v}" for k, v in params.items())
            for dtype in ("float64", "float32", "int64"):
                yield Example(
                    f"{name} {dtype} {words}".strip(),
                    partial(_fitted, name, dtype, frame=False, **params),
                )
        yield Example(f"{name} frame", partial(_fitted, name, "float64", frame=True))
    yield Example(
        "StandardScaler sparse", partial(_after_sparse, "StandardScaler", with_mean=False)
    )
    yield Example(
        "StandardScaler sparse unscaled",
        partial(_after_sparse, "StandardScaler", with_mean=False, with_std=False),
    )
    yield Example("MaxAbsScaler sparse", partial(_after_sparse, "MaxAbsScaler", clip=True))
    yield Example(
        "RobustScaler sparse",
        partial(_after_sparse, "RobustScaler", with_centering=False, quantile_range=(5.0, 95.0)),
    )
