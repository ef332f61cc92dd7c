"""Imputation of missing cells by a constant of each column, and indicators of where they were.

Semantics matched: ``sklearn/impute/_base.py`` of scikit-learn 1.9.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from millrace.catalog.registry import (
    Context,
    Decline,
    Example,
    Outputs,
    SparseValue,
    converts,
)
from millrace.catalog.sklearn._examples import as_frame
from millrace.ir.arrays import Array, Text
from millrace.ir.build import Value
from millrace.ir.ops import Guard

_NO_NAN = Guard("SimpleImputer", low=Array([-np.inf]), high=Array([np.inf]))
"""In an object array the source refuses NaN only, wherever it refuses anything."""


@dataclass(frozen=True)
class _Missing:
    """Which cells count as missing, and whether other NaN may stand in the input."""

    rule: Literal["nan", "none", "value"]
    value: float | str | None = None
    allow_nan: bool = False

    def mask(self, x: Value) -> Value:
        return x.is_missing(self.rule, self.value)


def _missing(missing_values: Any) -> _Missing:
    """The rule of ``missing_values``: NaN, None, ``pandas.NA``, a number or a string."""
    if type(missing_values).__name__ == "NAType":
        return _Missing("none", allow_nan=True)
    if missing_values is None:
        return _Missing("none")
    if isinstance(missing_values, str):
        return _Missing("value", str(missing_values))
    if np.isnan(missing_values):
        return _Missing("nan", allow_nan=True)
    return _Missing("value", float(missing_values))


@converts("sklearn.impute.SimpleImputer")
def simple_imputer(imputer: Any, x: Value, context: Context) -> Outputs:
    """Missing cells become ``statistics_``, rounded to the dtype of the input; others stay.

    Mean, median and callables make the input float first; the other strategies keep integers and
    text. A column without a statistic (all of it missing in ``fit``) is dropped, unless
    ``keep_empty_features`` is set. ``add_indicator`` puts the mask of ``indicator_.features_``
    behind, computed before columns are dropped.

    Exactness: the same bits. Missing values: only what ``missing_values`` names is imputed, so None
    in a text column stays where it is NaN that counts; NaN is refused unless it is what counts
    (or ``missing_values`` is ``pandas.NA``), infinities are in number columns.

    More lenient than the source: with strategy "constant" an imputer fitted on floats also takes
    integers, which the source refuses.

    Declines: sparse input; fill values that are neither numbers nor text.
    """
    if isinstance(x, SparseValue):
        raise Decline("its input is a sparse matrix")
    missing = _missing(imputer.missing_values)
    holds_objects = imputer._fit_dtype.kind == "O"
    if not holds_objects:
        if imputer.strategy not in ("most_frequent", "constant"):
            x = x.cast("float")
        x = x.guard("SimpleImputer", allow_nan=missing.allow_nan)
    kept = _kept(imputer)
    fill = imputer.statistics_[kept].astype(imputer._fill_dtype, copy=False)
    columns = [x.column(i) for i in range(x.width)] if holds_objects else []
    if not missing.allow_nan:
        columns = [column.then(_NO_NAN) for column in columns]
    if holds_objects:
        blocks = [_filled_object(columns[i], f, missing) for i, f in zip(kept, fill, strict=True)]
    else:
        blocks = [_filled(x.take(kept), missing.mask(x).take(kept), fill)] if len(kept) else []
    if imputer.add_indicator:
        flagged = imputer.indicator_.features_
        blocks += (
            [missing.mask(columns[i]) for i in flagged]
            if holds_objects
            else ([missing.mask(x).take(flagged)] if len(flagged) else [])
        )
    return {"transform": x.builder.concat(blocks) if blocks else x.take([])}


def _kept(imputer: Any) -> Any:
    """Positions of the columns that have a statistic."""
    statistics = imputer.statistics_
    if imputer.keep_empty_features:
        return np.arange(len(statistics))
    return np.flatnonzero([not _is_nan(s) for s in statistics])


def _is_nan(value: Any) -> bool:
    return isinstance(value, (float, np.floating)) and bool(np.isnan(value))


def _filled(x: Value, mask: Value, fill: Any) -> Value:
    return mask.where(x.builder.constant(fill).cast_like(x), x)


def _filled_object(x: Value, fill: Any, missing: _Missing) -> Value:
    """One column of an imputer that was fitted on text, or on text and numbers."""
    if isinstance(fill, str):
        return missing.mask(x).where(Text((str(fill),)), x)
    if isinstance(fill, (bool, int, float, np.bool_, np.number)):
        return missing.mask(x).where(np.asarray(fill), x)
    raise Decline(f"it fills in {fill!r}, neither a number nor text")


@converts("sklearn.impute.MissingIndicator")
def missing_indicator(indicator: Any, x: Value, context: Context) -> Outputs:
    """Which cells of ``features_`` are missing (bool).

    Exactness: the same bits. Missing values: what ``missing_values`` names; other NaN, and
    infinities, are refused.

    Declines: sparse input or output; ``error_on_new`` where a column without missing cells in
    ``fit`` must raise as soon as it has one.
    """
    if isinstance(x, SparseValue) or indicator.sparse is True:
        raise Decline("its input or output is a sparse matrix")
    features: Sequence[int] = indicator.features_
    everywhere = len(features) == indicator.n_features_in_
    if indicator.features == "missing-only" and indicator.error_on_new and not everywhere:
        raise Decline("it raises when a column has its first missing cell (error_on_new=True)")
    missing = _missing(indicator.missing_values)
    allow_nan = missing.rule == "nan"
    if not len(features):
        return {"transform": x.take([]).cast("bool")}
    block = x.guard("MissingIndicator", allow_nan=allow_nan)
    return {"transform": missing.mask(block).take(features)}


# -- examples ------------------------------------------------------------------------------


def _rows(dtype: str, missing: float) -> Any:
    """Column 1 is complete, column 3 is missing altogether."""
    rng = np.random.default_rng(0)
    X = rng.integers(-3, 4, (50, 5)).astype("float64")
    if dtype != "int64":
        X[...] += rng.choice([0, 0.1, 0.25], X.shape)
        X[0, 0] = -0.0
    X[rng.random(X.shape) < 0.2] = missing
    X[:, 1] = np.arange(50) % 7
    X[:, 3] = missing
    return X.astype(dtype)


def _fitted(dtype: str = "float64", missing_values: float = np.nan, **params: Any) -> Any:
    from sklearn.impute import SimpleImputer

    X = _rows(dtype, missing_values)
    return SimpleImputer(missing_values=missing_values, **params).fit(X), X


def _text_rows(missing: object) -> Any:
    import pandas as pd

    rng = np.random.default_rng(1)
    cells = rng.choice(["a", "b", "cc", "?"], (50, 3)).astype(object)
    if missing != "?":
        cells[rng.random(cells.shape) < 0.2] = missing
    cells[:, 2] = missing
    return pd.DataFrame(cells, columns=["u", "v", "w"], dtype=object)


def _fitted_text(missing_values: Any = np.nan, **params: Any) -> tuple[Any, Any]:
    from sklearn.impute import SimpleImputer

    X = _text_rows(missing_values)
    return SimpleImputer(missing_values=missing_values, **params).fit(X), X


def _fitted_mixed(**params: Any) -> tuple[Any, Any]:
    """Text of both pandas dtypes, numbers and None, which is not missing."""
    import pandas as pd
    from sklearn.impute import SimpleImputer

    X = _text_rows(np.nan)
    X["v"] = X["v"].where(X["v"] != "b", None)
    X["w"] = pd.Series(["s", "t", None, "s", "s"] * 10, dtype="str")
    X["number"] = [1.5, np.nan, 1.5, 2.0, 1.5] * 10
    X["count"] = np.arange(50) % 3
    return SimpleImputer(**params).fit(X), X


def _fitted_na() -> tuple[Any, Any]:
    import pandas as pd
    from sklearn.impute import SimpleImputer

    X = as_frame(_rows("float64", np.nan))
    missing: Any = pd.NA
    return SimpleImputer(missing_values=missing, strategy="median").fit(X), X


def _column_range(column: Any) -> float:
    return float(column.max() - column.min()) if len(column) else np.nan


def _indicator(**params: Any) -> tuple[Any, Any]:
    from sklearn.impute import MissingIndicator

    missing = params.get("missing_values", np.nan)
    X = _rows("float64", missing)
    return MissingIndicator(**params).fit(X), X


def examples() -> Iterator[Example]:
    """Every strategy on every dtype, every kind of missing value, with and without indicators."""
    for strategy in ("mean", "median", "most_frequent", "constant"):
        for dtype in ("float64", "float32"):
            yield Example(f"{strategy} {dtype}", partial(_fitted, dtype, strategy=strategy))
        yield Example(
            f"{strategy} int64 missing=-1",
            partial(_fitted, "int64", -1, strategy=strategy, add_indicator=True),
        )
        yield Example(
            f"{strategy} indicator", partial(_fitted, strategy=strategy, add_indicator=True)
        )
        yield Example(
            f"{strategy} keep-empty",
            partial(_fitted, strategy=strategy, keep_empty_features=True, add_indicator=True),
        )
    yield Example(
        "constant 0.1 float32", partial(_fitted, "float32", strategy="constant", fill_value=0.1)
    )
    yield Example("callable", partial(_fitted, strategy=_column_range))
    yield Example("missing=0", partial(_fitted, "float64", 0, strategy="mean"))
    yield Example("missing=0.1", partial(_fitted, "float32", 0.1, strategy="median"))
    yield Example("missing=NA", _fitted_na)
    for missing in (np.nan, None, "?"):
        for params in (
            {"strategy": "most_frequent"},
            {"strategy": "constant"},
            {"strategy": "constant", "fill_value": "none", "add_indicator": True},
            {"strategy": "most_frequent", "keep_empty_features": True},
        ):
            words = " ".join(f"{k}={v}" for k, v in params.items())
            yield Example(
                f"text missing={missing} {words}", partial(_fitted_text, missing, **params)
            )
    yield Example(
        "mixed most_frequent", partial(_fitted_mixed, strategy="most_frequent", add_indicator=True)
    )
    yield Example("mixed constant", partial(_fitted_mixed, strategy="constant", fill_value="x"))
    yield Example(
        "mixed constant number", partial(_fitted_mixed, strategy="constant", fill_value=-1)
    )
    yield Example("indicator all", partial(_indicator, features="all"))
    yield Example("indicator missing-only", partial(_indicator, error_on_new=False))
    yield Example(
        "indicator missing=-1", partial(_indicator, missing_values=-1, error_on_new=False)
    )
    yield Example("indicator error-on-new", _indicator, native=False)
