"""Encoding of categories by the mean of the target.

Semantics matched: ``sklearn/preprocessing/_target_encoder.py`` of scikit-learn 1.9.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from millrace.catalog.registry import Context, Decline, Example, Outputs, SparseValue, converts
from millrace.catalog.sklearn.encoding import _categories
from millrace.ir.arrays import Array
from millrace.ir.build import Value
from millrace.ir.ops import Encode


@converts("sklearn.preprocessing.TargetEncoder")
def target_encoder(encoder: Any, x: Value, context: Context) -> Outputs:
    """The smoothed mean of the target for each category, one column a class where there are several.

    Unknown values get the mean of the whole target. Strings match exactly, numbers by value.

    Exactness: the same bits. Missing values: NaN and None are categories of their own when ``fit`` saw
    them, and unknown values otherwise; infinities in number columns are refused.

    Declines: categories that are neither all text nor all numbers, and whole numbers from 2**53 on.
    """
    if isinstance(x, SparseValue):
        raise Decline("its input is a sparse matrix")
    width = len(encoder.classes_) if encoder.target_type_ == "multiclass" else 1
    means = np.atleast_1d(np.asarray(encoder.target_mean_, np.float64))
    blocks: list[Value] = []
    for position, categories in enumerate(encoder.categories_):
        own = encoder.encodings_[position * width : (position + 1) * width]
        table = np.vstack([np.column_stack(own), means])
        column = x.column(position).guard("TargetEncoder", allow_nan=True)
        blocks.append(column.encode(numbered(categories)).gather(Array(table, "float64")))
    return {"transform": x.builder.concat(blocks)}


def numbered(categories: Any, strict: bool = False, owner: str = "") -> Encode:
    """The position of a value among categories; of unknown ones, their number."""
    values: list[Any] = []
    codes: list[int] = []
    nan = none = len(categories)
    for code, value in enumerate(categories):
        if value is None:
            none = code
        elif isinstance(value, (float, np.floating)) and np.isnan(value):
            nan = code
        else:
            values.append(value)
            codes.append(code)
    return Encode(
        _categories(values),
        Array(codes, "int32"),
        nan,
        none,
        len(categories),
        strict=strict,
        owner_column=owner,
    )


# -- examples ------------------------------------------------------------------------------


def _target(kind: str, size: int) -> Any:
    rng = np.random.default_rng(1)
    if kind == "continuous":
        return rng.normal(5, 2, size)
    return np.array(["no", "yes", "so"])[rng.integers(0, 2 if kind == "binary" else 3, size)]


def _fitted(kind: str, rows: str, missing: bool = False, **params: Any) -> tuple[Any, Any]:
    from sklearn.preprocessing import TargetEncoder

    rng = np.random.default_rng(0)
    X: Any = rng.choice([-2.0, 0.0, 0.5, 3.0], (80, 3))
    if missing:
        X[rng.random(X.shape) < 0.1] = np.nan
    if rows == "frame":
        import pandas as pd

        words = np.array(["ärger", "", "a b", "Z", np.nan if missing else "q"], object)[
            rng.integers(0, 5, 80)
        ]
        X = pd.DataFrame(
            {"word": pd.Series(words, dtype=object), "x": X[:, 0], "n": np.arange(80) % 5}
        )
    encoder = TargetEncoder(**params).fit(X[20:], _target(kind, 80)[20:])
    if rows == "array":
        X[:4, 0] = [7.0, -0.0, np.nan, 0.25]
    else:
        X.iloc[:2, 0] = ["unseen", "a "]
    return encoder, X


def examples() -> Iterator[Example]:
    """Each kind of target and of smoothing, text and numbers, missing and unknown values."""
    for kind in ("binary", "continuous", "multiclass"):
        for rows in ("array", "frame"):
            for missing in (False, True):
                words = f"{kind} {rows}{' missing' if missing else ''}"
                yield Example(words, partial(_fitted, kind, rows, missing))
        yield Example(f"{kind} smooth", partial(_fitted, kind, "array", smooth=3.0))
