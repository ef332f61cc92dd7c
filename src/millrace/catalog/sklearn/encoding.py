"""Encoders of categories: one-hot and ordinal.

Semantics matched: ``sklearn/preprocessing/_encoders.py`` and ``sklearn/utils/_encode.py`` of
scikit-learn 1.9.1. Both encoders number the value of each column by its position in
``categories_``, group infrequent categories, and then write indicators or numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from millrace.catalog.registry import Context, Decline, Example, Outputs, converts, sparse
from millrace.ir.arrays import Array, Text
from millrace.ir.build import Value
from millrace.ir.ops import Encode

_LARGEST_EXACT = 2**53
"""Whole numbers up to here are exact in float64, in which categories are compared."""


@converts("sklearn.preprocessing.OneHotEncoder")
def one_hot_encoder(encoder: Any, x: Value, context: Context) -> Outputs:
    """One indicator column per category that is left after grouping and dropping.

    An unknown value gives zeros, the infrequent category, or an error, as ``handle_unknown`` says;
    with ``drop`` the dropped category gives zeros too. Strings match exactly and numbers by value,
    whatever their dtypes.

    Exactness: the same bits. Missing values: NaN and None are categories of their own when ``fit``
    saw them, and unknown values otherwise; infinities in number columns are refused.

    Declines: categories that are neither all text nor all numbers (dates, bytes, mixtures), whole
    numbers from 2**53 on, and a ``dtype`` that is not numeric.
    """
    dtype = _output_dtype(encoder)
    blocks: list[Value] = []
    for position in range(len(encoder.categories_)):
        codes, unknown = _one_hot_codes(encoder, position)
        encode = _encode(encoder, position, codes, unknown)
        width = int(encoder._n_features_outs[position])
        column = x.column(position).guard("OneHotEncoder", allow_nan=True)
        blocks.append(column.encode(encode).one_hot(width, dtype, sparse=encoder.sparse_output))
    block = x.builder.concat(blocks)
    if not encoder.sparse_output:
        return {"transform": block}
    from sklearn import get_config

    arrays = get_config()["sparse_interface"] == "sparray"
    return {"transform": sparse(block, "csr_array" if arrays else "csr_matrix")}


def _one_hot_codes(encoder: Any, position: int) -> tuple[Any, int]:
    """The indicator column of each category, and of unknown values; past the end for none."""
    width = int(encoder._n_features_outs[position])
    codes = np.arange(len(encoder.categories_[position]))
    unknown = -1
    if encoder._infrequent_enabled:
        mapping = encoder._default_to_infrequent_mappings[position]
        if mapping is not None:
            codes = mapping
            if encoder.handle_unknown in ("infrequent_if_exist", "warn"):
                unknown = int(mapping[encoder._infrequent_indices[position][0]])
    drop = encoder._drop_idx_after_grouping
    if drop is not None and drop[position] is not None:
        dropped = int(drop[position])
        unknown = width if unknown == dropped else unknown - (unknown > dropped)
        codes = np.where(codes == dropped, width, codes - (codes > dropped))
    return codes, unknown


@converts("sklearn.preprocessing.OrdinalEncoder")
def ordinal_encoder(encoder: Any, x: Value, context: Context) -> Outputs:
    """The position of each value in ``categories_``, after infrequent ones were grouped.

    Exactness: the same bits. Missing values: NaN becomes ``encoded_missing_value`` when ``fit`` saw
    it; otherwise NaN, like None and any unknown value, is an error or becomes ``unknown_value``.
    Infinities in number columns are refused.

    Declines: as `one_hot_encoder`.
    """
    dtype = _output_dtype(encoder)
    blocks: list[Value] = []
    for position, categories in enumerate(encoder.categories_):
        n_categories = len(categories)
        encode = _encode(encoder, position, np.arange(n_categories), n_categories)
        table = np.empty(n_categories + 1, dtype)
        table[:-1] = _ordinal_numbers(encoder, position)
        if position in encoder._missing_indices:
            table[encoder._missing_indices[position]] = encoder.encoded_missing_value
        unknown = encoder.unknown_value
        table[-1] = 0 if unknown is None else unknown
        column = x.column(position).guard("OrdinalEncoder", allow_nan=True)
        blocks.append(column.encode(encode).gather(Array(table)))
    return {"transform": x.builder.concat(blocks)}


def _ordinal_numbers(encoder: Any, position: int) -> Any:
    numbers = np.arange(len(encoder.categories_[position]))
    if encoder._infrequent_enabled:
        mapping = encoder._default_to_infrequent_mappings[position]
        if mapping is not None:
            numbers[: len(mapping)] = mapping  # NaN, always last, is not grouped
    return numbers


def _output_dtype(encoder: Any) -> str:
    dtype = np.dtype(encoder.dtype)
    if dtype.kind not in "biuf":
        raise Decline(f"its output dtype {dtype} is not numeric")
    return dtype.name


def _encode(encoder: Any, position: int, codes: Any, unknown: int) -> Encode:
    """The primitive that numbers one column; `codes` go with ``categories_[position]``."""
    values: list[Any] = []
    kept: list[int] = []
    none = nan = unknown
    for value, code in zip(encoder.categories_[position], codes, strict=True):
        if value is None:
            none = int(code)
        elif isinstance(value, (float, np.floating)) and np.isnan(value):
            nan = int(code)
        else:
            values.append(value)
            kept.append(int(code))
    names = getattr(encoder, "feature_names_in_", None)
    return Encode(
        _categories(values),
        Array(kept, "int32"),
        nan,
        none,
        unknown,
        strict=encoder.handle_unknown == "error",
        owner_column=f"x{position}" if names is None else str(names[position]),
    )


def _categories(values: list[Any]) -> Array | Text:
    if all(isinstance(v, str) for v in values):
        return Text(tuple(str(v) for v in values))
    if not all(isinstance(v, (bool, int, float, np.bool_, np.number)) for v in values):
        kinds = sorted({type(v).__name__ for v in values})
        raise Decline(f"its categories are of type {' and '.join(kinds)}")
    if any(abs(v) >= _LARGEST_EXACT and np.isfinite(v) for v in values if not _is_float(v)):
        raise Decline("it has whole numbers beyond 2**53 as categories")
    return Array([float(v) for v in values], "float64")


def _is_float(value: Any) -> bool:
    return isinstance(value, (float, np.floating))


# -- examples ------------------------------------------------------------------------------


def _text(*, missing: str = "") -> Any:
    """Two text columns and one of two values; `missing` names the kinds of holes in them."""
    import pandas as pd

    rng = np.random.default_rng(0)
    size = 80
    table = {
        "letter": rng.choice(list("abcdefg"), size, p=[0.4, 0.3, 0.1, 0.1, 0.05, 0.03, 0.02]),
        "word": rng.choice(["ärger", "", "a b", "Z"], size),
        "flag": rng.choice(["no", "yes"], size),
    }
    cells = {name: values.astype(object) for name, values in table.items()}
    holes = {"nan": np.nan, "none": None}
    for name, hole in holes.items():
        if name in missing:
            cells["letter"][rng.random(size) < 0.2] = hole
            cells["flag"][rng.random(size) < 0.1] = hole
    return pd.DataFrame({n: pd.Series(c, dtype=object) for n, c in cells.items()})


def _numbers(dtype: str = "float64", *, missing: bool = False) -> Any:
    rng = np.random.default_rng(1)
    X = rng.choice([-2.0, 0.0, 1.0, 3.0, 10.0, 20.0], (80, 3), p=[0.4, 0.3, 0.1, 0.1, 0.07, 0.03])
    X[:, 2] = X[:, 2] > 0
    if dtype.startswith("float"):
        X[:, :2] *= 0.1
    if missing:
        X[rng.random(X.shape) < 0.1] = np.nan
    return X.astype(dtype)


def _fitted(name: str, X: Any, unseen: bool = False, **params: Any) -> tuple[Any, Any]:
    """An encoder fitted on `X`, or on all but its rarest rows when unseen values are allowed."""
    import sklearn.preprocessing

    rows: Any = X() if callable(X) else X
    encoder = getattr(sklearn.preprocessing, name)(**params)
    return encoder.fit(rows[20:] if unseen else rows), _with_strangers(rows) if unseen else rows


def _with_strangers(rows: Any) -> Any:
    """Values that no category equals: near misses of text, fractions, NaN where it may stand."""
    strangers = rows.copy()
    if hasattr(strangers, "iloc"):
        for row, value in enumerate(("A", "a ", None, np.nan, "aa", "yes\0")):
            strangers.iloc[row, row % strangers.shape[1]] = value
        return strangers
    strangers[0, 0] += 1
    strangers[1, 1] = -7
    if strangers.dtype.kind == "f":
        strangers[2, :] = np.nan
        strangers[3, 0] = np.nextafter(strangers[3, 0], strangers.dtype.type(9))
        strangers[4, :] = -0.0
    return strangers


def _one_hot(X: object, **params: Any) -> Any:
    return partial(_fitted, "OneHotEncoder", X, **params)


def _ordinal(X: object, **params: Any) -> Any:
    return partial(_fitted, "OrdinalEncoder", X, **params)


def _mixed_frame() -> Any:
    """Text of pandas' own dtype, whole numbers, float32 and booleans."""
    import pandas as pd

    X = _numbers(missing=True)
    return pd.DataFrame(
        {
            "text": pd.Series(["x", "y", None, "z"] * 20, dtype="str"),
            "int": X[:, 2] == 1,
            "small": X[:, 0].astype("float32"),
            "count": np.arange(80) % 5,
        }
    )


def _object_numbers() -> Any:
    X = _numbers().astype(object)
    X[::9, 0] = None
    X[::7, 1] = np.nan
    return X


def _one_hot_examples() -> Iterator[Example]:
    grouped = {"min_frequency": 8, "handle_unknown": "infrequent_if_exist"}
    yield Example("onehot text", _one_hot(_text))
    yield Example("onehot text nan", _one_hot(partial(_text, missing="nan")))
    yield Example("onehot text nan none", _one_hot(partial(_text, missing="nan none")))
    for unknown in ("ignore", "infrequent_if_exist", "warn"):
        for drop in (None, "first", "if_binary"):
            for limit in ({}, {"min_frequency": 0.1}, {"max_categories": 3}, {"max_categories": 1}):
                words = f"{unknown} drop={drop} {limit}"
                yield Example(
                    f"onehot text {words}",
                    _one_hot(
                        partial(_text, missing="nan"),
                        unseen=True,
                        handle_unknown=unknown,
                        drop=drop,
                        **limit,
                    ),
                )
    yield Example("onehot drop list", _one_hot(_text, drop=["c", "", "yes"]))
    yield Example("onehot drop nan", _one_hot(partial(_numbers, missing=True), drop=[np.nan] * 3))
    yield Example(
        "onehot categories",
        _one_hot(_text, categories=[list("gfedcbaz"), ["Z", "", "a b", "ärger"], ["yes", "no"]]),
    )
    for dtype in ("float64", "float32", "int64", "bool", "object"):
        yield Example(f"onehot numbers {dtype}", _one_hot(partial(_numbers, dtype)))
    yield Example(
        "onehot numbers unknown", _one_hot(_numbers, unseen=True, handle_unknown="ignore")
    )
    yield Example(
        "onehot numbers nan grouped",
        _one_hot(partial(_numbers, missing=True), unseen=True, drop="first", **grouped),
    )
    for dtype in ("float32", "int8", "bool"):
        yield Example(f"onehot to {dtype}", _one_hot(_text, dtype=dtype, sparse_output=False))
    yield Example("onehot mixed frame", _one_hot(_mixed_frame, sparse_output=False))
    yield Example("onehot object numbers", _one_hot(_object_numbers, sparse_output=False))
    yield Example(
        "onehot one category dropped",
        _one_hot(partial(np.ones, (30, 2)), drop="first", sparse_output=False),
    )


def _ordinal_examples() -> Iterator[Example]:
    use = {"handle_unknown": "use_encoded_value"}
    yield Example("ordinal text", _ordinal(_text))
    yield Example("ordinal text nan", _ordinal(partial(_text, missing="nan")))
    yield Example(
        "ordinal text nan none",
        _ordinal(partial(_text, missing="nan none"), encoded_missing_value=-5),
    )
    for unknown in (-1, 99, np.nan):
        for missing in (np.nan, -2, 50):
            for limit in ({}, {"min_frequency": 8}, {"max_categories": 2}):
                words = f"unknown={unknown} missing={missing} {limit}"
                yield Example(
                    f"ordinal {words}",
                    _ordinal(
                        partial(_text, missing="nan"),
                        unseen=True,
                        unknown_value=unknown,
                        encoded_missing_value=missing,
                        **use,
                        **limit,
                    ),
                )
    for dtype in ("float64", "float32", "int64", "bool", "object"):
        yield Example(f"ordinal numbers {dtype}", _ordinal(partial(_numbers, dtype)))
    yield Example(
        "ordinal numbers nan",
        _ordinal(partial(_numbers, missing=True), unseen=True, unknown_value=-1, **use),
    )
    for dtype in ("float32", "int16", "uint8"):
        yield Example(
            f"ordinal to {dtype}",
            _ordinal(_numbers, unseen=True, dtype=dtype, unknown_value=100, **use),
        )
    yield Example("ordinal mixed frame", _ordinal(_mixed_frame))
    yield Example("ordinal object numbers", _ordinal(_object_numbers))
    yield Example(
        "ordinal large numbers",
        _ordinal(np.array([[2**53 + 1], [2**53 + 2]] * 15), unknown_value=-1, **use),
        native=False,
    )


def examples() -> Iterator[Example]:
    """Both encoders: text and numbers, every way to treat unknown, rare and missing values."""
    yield from _one_hot_examples()
    yield from _ordinal_examples()
