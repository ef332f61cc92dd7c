"""B-spline bases of columns.

Semantics matched: ``SplineTransformer`` in ``sklearn/preprocessing/_polynomial.py`` of scikit-learn
1.9.1. Every column is one `Spline` whose coefficients give the basis functions; what lies outside the
knots is replaced as ``extrapolation`` says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.catalog.registry import Context, Decline, Example, Outputs, SparseValue, converts
from millrace.catalog.sklearn._examples import as_frame
from millrace.catalog.sklearn.discretizing import as_sparse
from millrace.ir.arrays import Array
from millrace.ir.build import Value
from millrace.ir.ops import Spline


@converts("sklearn.preprocessing.SplineTransformer")
def spline_transformer(source: Any, x: Value, context: Context) -> Outputs:
    """The values of each column's B-splines, in the dtype of a float input (float64 where sparse).

    Exactness: the same bits, as far as the backend calls SciPy's own recursion. Missing values: refused,
    or zeros with ``handle_missing="zeros"``, where infinities pass too.

    Declines: sparse output with ``handle_missing="zeros"`` and an extrapolation other than "constant" and
    "linear", where the source fills missing cells of later columns from the other rows; columns that
    were constant in ``fit``.
    """
    if isinstance(x, SparseValue):
        raise Decline("its input is a sparse matrix")
    zeros = source.handle_missing == "zeros"
    if zeros and source.sparse_output and source.extrapolation not in ("constant", "linear"):
        raise Decline("its sparse output takes missing cells from the other rows of the batch")
    x = x.cast("numeric")
    x = x if zeros else x.guard("SplineTransformer")
    basis = _Basis(source)
    blocks = [basis.of(x.column(i), spline) for i, spline in enumerate(source.bsplines_)]
    if not source.include_bias:
        blocks = [block.take(range(block.width - 1)) for block in blocks]
    block = x.builder.concat(blocks)
    return {
        "transform": as_sparse(block) if source.sparse_output else block.cast_like(x.cast("float"))
    }


class _Basis:
    """The basis functions of one column after another.

    With linear extrapolation of degree 0 or 1 the source raises the degree that it works with by one for
    each column, until it is 2: columns are to be taken in order.
    """

    def __init__(self, source: Any) -> None:
        self.degree = int(source.degree)
        self.extrapolation = str(source.extrapolation)
        self.sparse = bool(source.sparse_output)

    def of(self, x: Value, spline: Any) -> Value:
        """The splines of one column, float64."""
        missing = x.is_missing()
        if self.extrapolation in ("constant", "linear"):
            return self._extrapolated(x, spline)
        if self.extrapolation == "periodic":
            first, last = spline.t[spline.k], spline.t[len(spline.t) - spline.k - 1]
            start, period = np.array([first], np.float64), np.array([last - first], np.float64)
            x = (x - start).combine("remainder", period) + start
        rule = "no" if self.extrapolation == "error" else "yes"
        block = x.then(_spline(spline, rule))
        if self.extrapolation == "error":
            inside = block.equals(block).combine("logical_or", missing)
            problem = "values beyond the limits of the knots"
            block = block.require(inside, "SplineTransformer", problem)
        return missing.where(np.zeros(1), block)

    def _extrapolated(self, x: Value, spline: Any) -> Value:
        """Zero outside the knots, then the functions of either end constant or linear."""
        low, high = (
            np.array([spline.t[self.degree]], np.float64),
            np.array([spline.t[-self.degree - 1]], np.float64),
        )
        inside = (x >= low).combine("logical_and", x <= high)
        block = inside.where(x, x.builder.constant(low)).then(_spline(spline, "yes"))
        block = inside.where(block, np.zeros(1))
        if self.sparse:
            block = self._as_stand_in(x, inside, low, spline, block)
        below, above = x < low, x > high
        at_low, at_high = spline(low[0]), spline(high[0])
        if self.extrapolation == "constant":
            if self.degree == 0 and not self.sparse:
                problem = "values beyond the last knot with degree 0"
                block = block.require(above.apply("logical_not"), "SplineTransformer", problem)
            block = _replaced(below, range(self.degree), x.builder.constant(at_low), block)
            upper = range(block.width)[-self.degree :]
            return _replaced(above, upper, x.builder.constant(at_high), block)
        self.degree += self.degree <= 1
        line = (x - low) * spline(low[0], nu=1) + at_low
        block = _replaced(below, range(self.degree), line, block)
        line = (x - high) * spline(high[0], nu=1) + at_high
        return _replaced(above, range(block.width)[-self.degree :], line, block)

    def _as_stand_in(self, x: Value, inside: Value, low: Any, spline: Any, block: Value) -> Value:
        """For sparse output the source puts the first knot, in the dtype of `x`, where cells are outside.

        Rounded to float32 it may be out of the splines' range itself, which the source refuses.
        """
        stand_in = x.builder.constant(low).cast_like(x)
        first, last = spline.t[spline.k], spline.t[len(spline.t) - spline.k - 1]
        fits = (stand_in >= np.array([first], np.float64)).combine(
            "logical_and", stand_in <= np.array([last], np.float64)
        )
        problem = "a value beyond the knots, the first of which is no number of this dtype"
        return block.require(inside.combine("logical_or", fits), "SplineTransformer", problem)


def _replaced(rows: Value, columns: Sequence[int], new: Value, block: Value) -> Value:
    """`new` in these columns of the marked rows, `block` elsewhere."""
    mask = np.zeros(block.width, bool)
    mask[list(columns)] = True
    return rows.combine("logical_and", mask).where(new, block)


def _spline(spline: Any, rule: Any) -> Spline:
    if len(np.unique(spline.t[spline.k : len(spline.t) - spline.k])) < 2:
        raise Decline("one of its columns was constant when it was fitted")
    coefficients: npt.NDArray[Any] = np.asarray(spline.c, np.float64)
    return Spline(Array(spline.t, "float64"), Array(coefficients), int(spline.k), rule)


# -- examples ------------------------------------------------------------------------------


def _fitted(
    dtype: str = "float64",
    frame: bool = False,
    missing: bool = False,
    spread: float = 0.5,
    beyond: bool = True,
    **params: Any,
) -> tuple[Any, Any]:
    """Rows that leave the knots on both sides, unless that is an error."""
    from sklearn.preprocessing import SplineTransformer

    rng = np.random.default_rng(0)
    X = (rng.normal(0, 3, (60, 3)) * [1, spread, 10]).astype(dtype)
    if missing:
        X[rng.random(X.shape) < 0.1] = np.nan
        params["handle_missing"] = "zeros"
    rows: Any = X
    fewer: Any = X[:40] if beyond else X
    if frame:
        rows, fewer = as_frame(rows), as_frame(fewer)
    return SplineTransformer(**params).fit(fewer), rows


def examples() -> Iterator[Example]:
    """Every extrapolation with each degree, both containers, missing cells and kinds of knots."""
    for extrapolation in ("constant", "linear", "continue", "periodic", "error"):
        params: dict[str, Any] = {
            "extrapolation": extrapolation,
            "beyond": extrapolation != "error",
        }
        yield Example(extrapolation, partial(_fitted, **params))
        yield Example(f"{extrapolation} sparse", partial(_fitted, sparse_output=True, **params))
        yield Example(f"{extrapolation} missing", partial(_fitted, missing=True, **params))
    for degree in (0, 1, 2):
        for extrapolation in ("constant", "linear", "continue"):
            options = {"degree": degree, "extrapolation": extrapolation}
            yield Example(f"degree {degree} {extrapolation}", partial(_fitted, **options))
    for dtype in ("float32", "int64"):
        yield Example(f"{dtype} no bias", partial(_fitted, dtype, include_bias=False))
    yield Example("quantile knots frame", partial(_fitted, frame=True, knots="quantile"))
    yield Example("given knots", partial(_fitted, knots=[[-3, -1, -9], [0, 0.5, 0], [4, 1, 8]]))
    yield Example(
        "sparse missing periodic",
        partial(_fitted, missing=True, sparse_output=True, extrapolation="periodic"),
        native=False,
    )
    yield Example("constant column", partial(_fitted, spread=0), native=False)
