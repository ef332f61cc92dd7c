"""Isotonic regression: straight lines between the steps of a monotone function.

Semantics matched: ``sklearn/isotonic.py`` of scikit-learn 1.9.1 and ``interp1d`` of SciPy 1.17, which
leaves float64 to ``numpy.interp`` and computes float32 (a model that was fitted on it) in float32. The
input is a table of one column, in the dtype that the model was fitted on; the answer is one-dimensional.

Exactness: the same bits. Missing values: NaN and infinities are refused.
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
    vector,
)
from millrace.ir.arrays import Array
from millrace.ir.build import Value
from millrace.ir.ops import Interpolate, SearchSorted
from millrace.ir.program import Column


@converts("sklearn.isotonic.IsotonicRegression", columns=lambda fitted: [Column("x0")])
def isotonic_regression(model: Any, x: Value, context: Context) -> Outputs:
    """The fitted steps, joined by straight lines; beyond them NaN, the last step or an error."""
    if isinstance(x, SparseValue):
        raise Decline("it takes no sparse rows")
    dtype = str(model.X_thresholds_.dtype)
    cells = x.cast(dtype).guard("IsotonicRegression")
    points, levels = model.X_thresholds_, model.y_thresholds_
    if model.out_of_bounds == "clip":
        cells = cells.combine("maximum", model.X_min_).combine("minimum", model.X_max_)
    if len(levels) == 1:
        # A function of the cells all the same: those that are not finite are refused.
        answer = cells.equals(cells).where(levels, levels)
        return {"predict": vector(answer), "transform": vector(answer)}
    inside = (cells >= points[:1]).combine("logical_and", cells <= points[-1:])
    if model.out_of_bounds == "raise":
        cells = cells.require(inside, "IsotonicRegression", "a value outside of the fitted range")
    exact = points.dtype == np.float64 and levels.dtype == np.float64
    answer = _interpolated(cells, points, levels) if exact else _on_lines(cells, points, levels)
    if model.out_of_bounds == "nan":
        answer = inside.where(answer, np.full(1, np.nan, points.dtype))
    answer = answer.cast(dtype)
    return {"predict": vector(answer), "transform": vector(answer)}


def _interpolated(cells: Value, points: Any, levels: Any) -> Value:
    start = Array([0, len(points)], np.int64)
    return cells.then(Interpolate(start, Array(points), Array(levels)))


def _on_lines(cells: Value, points: Any, levels: Any) -> Value:
    """``interp1d._call_linear``: the slope of the interval times the way into it, in the cells' dtype."""
    start = Array([0, len(points)], np.int64)
    above = cells.then(SearchSorted(start, Array(points)))
    above = above.combine("maximum", np.int64(1)).combine("minimum", np.int64(len(points) - 1))
    low = above - np.int64(1)
    slopes = (levels[1:] - levels[:-1]) / (points[1:] - points[:-1])
    way = cells - low.gather(Array(points))
    return low.gather(Array(slopes)) * way + low.gather(Array(levels))


# -- examples ------------------------------------------------------------------------------


def _fitted(dtype: str = "float64", shape: str = "column", **params: Any) -> tuple[Any, Any]:
    from sklearn.isotonic import IsotonicRegression

    rng = np.random.default_rng(0)
    X = rng.normal(0, 3, 80).round(1)
    y = X + rng.normal(0, 2, 80)
    if shape == "steps":
        X, y = np.repeat([1.0, 2.0, 5.0], 30), np.repeat([1.0, 4.0, 4.5], 30)
    if shape == "one":
        X, y = np.full(30, 2.0), rng.normal(size=30)
    model = IsotonicRegression(**params).fit(X.astype(dtype), y.astype(dtype))
    return model, X.astype(dtype)[:, None]


def examples() -> Iterator[Example]:
    """Each rule for what lies outside, both directions, both dtypes, one step only."""
    for dtype in ("float64", "float32"):
        for rule in ("nan", "clip", "raise"):
            made = partial(_fitted, dtype, out_of_bounds=rule)
            yield Example(f"IsotonicRegression {dtype} {rule}", made)
        yield Example(
            f"IsotonicRegression {dtype} falling", partial(_fitted, dtype, increasing=False)
        )
        yield Example(f"IsotonicRegression {dtype} one step", partial(_fitted, dtype, "one"))
    made = partial(_fitted, shape="steps", y_min=1.5, y_max=4.2, out_of_bounds="clip")
    yield Example("IsotonicRegression steps", made)
    yield Example("IsotonicRegression int64", partial(_fitted, "int64", increasing="auto"))
