"""Row-wise normalisation and thresholding: no statistics of the training data.

Semantics matched: ``normalize`` and ``binarize`` in ``sklearn/preprocessing/_data.py`` of scikit-learn
1.9.1. Missing values: NaN and infinities are refused.
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
    in_container_of,
)
from millrace.catalog.sklearn._examples import as_frame
from millrace.ir.build import Value

_WHY = "the order in which the source adds a row depends on its memory layout and on the CPU"


@converts("sklearn.preprocessing.Normalizer")
def normalizer(source: Any, x: Value, context: Context) -> Outputs:
    """Each row is divided by its l1, l2 or largest norm, unless that is (nearly) zero.

    Dense rows are left alone where the norm is below 10 eps of their dtype, sparse rows where it is 0;
    sparse rows are summed and divided in float64.

    Exactness: dense ``l2`` and ``max``: the same bits; ``l1`` of fewer than 8 dense columns as well.
    Otherwise the norm is a sum of ``n_features`` positive numbers whose order the source leaves to NumPy:
    the result is within ``n_features + 8`` ulp. A norm that close to 10 eps may fall on its other side.
    """
    block = x.cast("float").guard("Normalizer")
    width = block.width
    is_sparse = isinstance(x, SparseValue)
    if (source.norm == "l1" and (width > 7 or is_sparse)) or (source.norm == "l2" and is_sparse):
        context.bound(width + 8, 0.0, _WHY)
    if isinstance(x, SparseValue):
        return {"transform": in_container_of(x, _sparse_normalized(block, source.norm))}
    norms = _norms(block, source.norm)
    eps = norms.scalar(10) * _eps_like(norms)
    one = norms.scalar(1)
    return {"transform": (block / (norms < eps).where(one, norms)).cast_like(block)}


def _norms(x: Value, norm: str) -> Value:
    if norm == "l2":
        return x.reduce("square_sum").apply("sqrt")
    return x.apply("abs").reduce("sum" if norm == "l1" else "max")


def _eps_like(x: Value) -> Value:
    """``finfo(dtype of x).eps``, whatever that dtype turns out to be: the spacing of 1."""
    return x.scalar(1).apply("spacing")


def _sparse_normalized(x: Value, norm: str) -> Value:
    """The source's loops over the stored cells of a CSR matrix; rows of zeros stay as they are."""
    norms = _norms(x if norm == "max" else x.cast("float64"), norm)
    zero = norms.scalar(0)
    one = norms.scalar(1)
    return (x / norms.equals(zero).where(one, norms)).cast_like(x)


@converts("sklearn.preprocessing.Binarizer")
def binarizer(source: Any, x: Value, context: Context) -> Outputs:
    """1 where a value is above the threshold, else 0, in the dtype of the input.

    Exactness: the same bits. Integers and booleans are compared as float64.

    Declines: a threshold that is a NumPy number of a dtype other than float64; on sparse input a
    threshold other than 0 where most cells are not stored (a comparison does not keep them so).
    """
    threshold: Any = source.threshold
    if isinstance(threshold, np.generic) and threshold.dtype != np.float64:
        raise Decline(f"its threshold is of dtype {threshold.dtype}")
    if isinstance(x, SparseValue) and float(threshold) < 0:
        raise Decline("it refuses sparse rows with a negative threshold")
    block = x.cast("numeric").guard("Binarizer")
    if block.is_sparse and threshold == 0:
        half = block.apply("sign") * np.array([0.5], np.float32)
        return {
            "transform": in_container_of(x, half.apply("ceil").apply("square").cast_like(block))
        }
    limit = x.builder.constant(np.float64(threshold))
    if not isinstance(threshold, np.generic):
        limit = limit.cast_like(block.cast("float"))
    above = block.cast("float") > limit
    return {"transform": in_container_of(x, above.cast_like(block))}


# -- examples ------------------------------------------------------------------------------


def _rows(dtype: str, n_features: int) -> Any:
    """Rows of very different size, one of zeros, one below eps."""
    rng = np.random.default_rng(0)
    X = rng.normal(0, 3, (40, n_features)) * 10.0 ** rng.integers(-3, 4, (40, 1))
    X[3] = 0
    X[4] *= 1e-19
    X[5, ::2] = 0
    return X.astype(dtype)


def _fitted(
    name: str, dtype: str = "float64", n_features: int = 5, container: str = "array", **params: Any
) -> tuple[Any, Any]:
    import scipy.sparse as sp
    import sklearn.preprocessing

    X = _rows(dtype, n_features)
    if container == "frame":
        X = as_frame(X)
    elif container != "array":
        X = np.where(np.abs(X) > 2, X, 0).astype(dtype)
        X = getattr(sp, container)(X)
    return getattr(sklearn.preprocessing, name)(**params).fit(X), X


def examples() -> Iterator[Example]:
    """Every norm and threshold on each dtype, on frames, CSR matrices and arrays."""
    for norm in ("l1", "l2", "max"):
        for dtype in ("float64", "float32", "int64"):
            bound: dict[str, Any] = {"ulp": 13, "why": _WHY} if norm == "l2" else {}
            yield Example(
                f"Normalizer {norm} {dtype}",
                partial(_fitted, "Normalizer", dtype, norm=norm),
                **bound,
            )
        bound = {} if norm == "max" else {"ulp": 28, "why": _WHY}
        wide = partial(_fitted, "Normalizer", n_features=20, norm=norm)
        yield Example(f"Normalizer {norm} wide frame", partial(wide, container="frame"), **bound)
        yield Example(f"Normalizer {norm} csr", partial(wide, container="csr_matrix"), **bound)
    for threshold in (0.0, -1, 0.7, np.float64(0.1)):
        for dtype in ("float64", "float32", "int64"):
            yield Example(
                f"Binarizer {threshold!r} {dtype}",
                partial(_fitted, "Binarizer", dtype, threshold=threshold),
            )
    yield Example("Binarizer frame", partial(_fitted, "Binarizer", container="frame"))
    yield Example("Binarizer csr", partial(_fitted, "Binarizer", container="csr_array"))
