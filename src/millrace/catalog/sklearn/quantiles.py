"""Quantile transformation: each column through its own empirical distribution function.

Semantics matched: ``QuantileTransformer`` in ``sklearn/preprocessing/_data.py`` of scikit-learn 1.9.1 and
``rv_continuous.ppf`` of SciPy 1.17 for the normal distribution.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.catalog.registry import Context, Decline, Example, Outputs, SparseValue, converts
from millrace.catalog.sklearn._examples import as_frame
from millrace.ir.arrays import Array
from millrace.ir.build import Value
from millrace.ir.ops import Interpolate

BOUNDS_THRESHOLD = 1e-7


@converts("sklearn.preprocessing.QuantileTransformer")
def quantile_transformer(source: Any, x: Value, context: Context) -> Outputs:
    """The mean of two interpolations between the quantiles, up and down, as uniform or normal values.

    Exactness: the same bits. Missing values: NaN stays NaN; infinities are refused.

    Declines: sparse input, whose stored cells alone are transformed.
    """
    if isinstance(x, SparseValue):
        raise Decline("its input is a sparse matrix, whose stored cells alone it transforms")
    x = x.cast("float").guard("QuantileTransformer", allow_nan=True)
    quantiles = np.asarray(source.quantiles_)
    references = np.asarray(source.references_, np.float64)
    below, above = beyond(x, quantiles[0], quantiles[-1], source.output_distribution)
    up = x.then(interpolation(quantiles.T, references))
    down = (-x).then(interpolation(-quantiles[::-1].T, -references[::-1]))
    block = ((up - down) * np.array([0.5], np.float64)).cast_like(x)
    if len(quantiles) == 1:  # numpy.interp gives NaN its only value
        block = x.is_missing().where(x, block)
    block = above.where(x.scalar(1), block)
    block = below.where(x.scalar(0), block)
    if source.output_distribution == "normal":
        block = _normal_ppf(block).cast_like(x)
    return {"transform": block}


def interpolation(xp: npt.NDArray[Any], fp: npt.NDArray[Any]) -> Interpolate:
    """``numpy.interp`` of each column between its own points and shared values, or the other way round.

    Parameters
    ----------
    xp, fp : ndarray (n_columns, n_points) or (n_points,)
    """
    xp, fp = np.broadcast_arrays(xp, fp)
    n_columns, n_points = xp.shape
    start = Array(np.arange(n_columns + 1) * n_points, "int64")
    return Interpolate(start, Array(xp.ravel(), "float64"), Array(fp.ravel(), "float64"))


def beyond(x: Value, low: Any, high: Any, distribution: str) -> tuple[Value, Value]:
    """Which cells are at or beyond the ends; for normal values within 1e-7 of them."""
    if distribution == "uniform":
        return x.equals(low), x.equals(high)
    slack = x.scalar(BOUNDS_THRESHOLD)
    return (x - slack) < low, (x + slack) > high


def _normal_ppf(x: Value) -> Value:
    """``norm.ppf`` of SciPy in float64 (its ``ndtri`` in the dtype of `x`), clipped as in the source."""
    from scipy.special import ndtri

    edge = BOUNDS_THRESHOLD - np.spacing(1)
    low, high = np.float64(ndtri(edge)), np.float64(ndtri(1 - edge))
    y = x.apply("ndtri").cast("float64") + np.array([0.0], np.float64)
    y = (y < low).where(x.builder.constant(low), y)
    return (y > high).where(x.builder.constant(high), y)


# -- examples ------------------------------------------------------------------------------


def _fitted(dtype: str = "float64", frame: bool = False, **params: Any) -> tuple[Any, Any]:
    from sklearn.preprocessing import QuantileTransformer

    rng = np.random.default_rng(0)
    X = rng.lognormal(0, 1, (80, 4))
    X[:, 1] = np.round(X[:, 1])
    X[:, 2] = 3
    if dtype != "int64":
        X[rng.random(X.shape) < 0.05] = np.nan
    X = X.astype(dtype)
    rows: Any = X
    if frame:
        rows = as_frame(X)
    options: dict[str, Any] = {"n_quantiles": 20, "random_state": 0, **params}
    fitted: Any = QuantileTransformer(**options).fit(rows)
    if not frame and dtype != "int64":
        X[:20, 0] = fitted.quantiles_[:, 0]
        X[20:40, 0] = np.nextafter(fitted.quantiles_[:, 0], 9)
    return fitted, rows


def _sparse() -> tuple[Any, Any]:
    import scipy.sparse as sp
    from sklearn.preprocessing import QuantileTransformer

    X = sp.random(60, 4, 0.4, format="csr", rng=0)
    return QuantileTransformer(n_quantiles=10).fit(X), X


def examples() -> Iterator[Example]:
    """Both distributions on each dtype; repeated quantiles, a constant column, rows on the quantiles."""
    for distribution in ("uniform", "normal"):
        for dtype in ("float64", "float32", "int64"):
            yield Example(
                f"{distribution} {dtype}", partial(_fitted, dtype, output_distribution=distribution)
            )
        yield Example(
            f"{distribution} frame", partial(_fitted, frame=True, output_distribution=distribution)
        )
    yield Example("one quantile", partial(_fitted, n_quantiles=1))
    yield Example("csr", _sparse, native=False)
