"""The way back from codes and indicators to the categories and labels that people know.

Semantics matched: ``sklearn/preprocessing/_encoders.py`` and ``_label.py`` of scikit-learn 1.9.1.

Exactness: the same values, in the dtype that the source gives them. Codes that no category has are
refused; the source counts negative codes from the last category and cuts fractions off.
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
    Result,
    SparseValue,
    inverts,
    vector,
)
from millrace.catalog.sklearn._forest import labels
from millrace.catalog.sklearn.inverses import numbered_from_zero
from millrace.ir.arrays import Text
from millrace.ir.build import Value

_NONE: Any = Text((None,))  # pyright: ignore[reportArgumentType]
"""A cell that is None."""


def _dense(y: Value) -> Value:
    if isinstance(y, SparseValue):
        raise Decline("its input is a sparse matrix")
    return y


# -- encoders ------------------------------------------------------------------------------


@inverts("sklearn.preprocessing.OneHotEncoder")
def one_hot_encoder(encoder: Any, y: Value, context: Context) -> Value | Result:
    """The category of the largest indicator of each feature.

    A feature of zeros stands for the dropped category, or for an unknown one, which becomes None, or is
    refused, as ``handle_unknown`` says. Missing values: refused.

    Declines: sparse rows; numbers as categories where an unknown one would become None, which makes
    the source's dtype depend on the batch; categories that are neither all text nor all numbers,
    but for NaN and None; several columns of fixed-width text.
    """
    if not y.width:
        raise Decline("it has no columns of its own")
    y = _dense(y).cast("numeric").guard("OneHotEncoder")
    _require_one_kind(encoder.categories_)
    blocks: list[Value] = []
    start = 0
    for position in range(len(encoder.categories_)):
        width = int(encoder._n_features_outs[position])
        blocks.append(_category(encoder, position, y.take(range(start, start + width))))
        start += width
    return y.builder.concat(blocks)


def _category(encoder: Any, position: int, indicators: Value) -> Value:
    """The words of one feature from its indicators."""
    words = encoder._compute_transformed_categories(position, remove_dropped=False)
    kept = encoder._remove_dropped_categories(words, position)
    dropped = encoder._drop_idx_after_grouping
    dropped = None if dropped is None else dropped[position]
    if not len(kept):
        return _looked_up(indicators.builder.constant(np.array([dropped], np.int64)), words)
    zero = indicators.builder.constant(np.zeros(1)).cast_like(indicators)
    nothing = indicators.reduce("sum").equals(zero)
    code = indicators.reduce("argmax")
    infrequent = encoder._infrequent_enabled and encoder._infrequent_indices[position] is not None
    lenient = encoder.handle_unknown == "ignore" or (
        encoder.handle_unknown in ("infrequent_if_exist", "warn") and not infrequent
    )
    if dropped is not None:
        source = encoder.categories_[position] if lenient else words
        table = np.append(kept, source[dropped : dropped + 1])
        return _looked_up(nothing.where(np.array([len(kept)], np.int64), code), table)
    if lenient:
        if words.dtype.kind != "O":
            raise Decline("unknown numbers become None, and its dtype depends on the batch")
        return nothing.where(_NONE, _looked_up(code, kept))
    if len(words) > 1 or encoder._drop_idx_after_grouping is None:
        problem = "a category without any indicator"
        code = code.require(nothing.apply("logical_not"), "OneHotEncoder", problem)
    return _looked_up(code, kept)


@inverts("sklearn.preprocessing.OrdinalEncoder")
def ordinal_encoder(encoder: Any, y: Value, context: Context) -> Value | Result:
    """The category of each number; None for ``unknown_value``.

    NaN is refused, but for ``encoded_missing_value`` and ``unknown_value``.

    Declines: categories as in `one_hot_encoder`; a column that has both a missing and an infrequent
    category.
    """
    y = _dense(y).cast("numeric").guard("OrdinalEncoder", allow_nan=True)
    objects = encoder.handle_unknown == "use_encoded_value" or _has_infrequent(encoder)
    if not objects:
        _require_one_kind(encoder.categories_)
    blocks = [_ordinal_category(encoder, i, y.column(i)) for i in range(y.width)]
    return y.builder.concat(blocks)


def _has_infrequent(encoder: Any) -> bool:
    return any(i is not None for i in getattr(encoder, "_infrequent_indices", ()))


def _ordinal_category(encoder: Any, position: int, codes: Value) -> Value:
    """The words of one column from its numbers."""
    words = encoder.categories_[position]
    missing = encoder._missing_indices.get(position)
    infrequent = getattr(encoder, "_infrequent_indices", None)
    infrequent = None if infrequent is None else infrequent[position]
    if infrequent is not None:
        if missing is not None:
            raise Decline("a column has both a missing and an infrequent category")
        frequent = np.delete(words, infrequent)
        words = np.append(frequent.astype(object), "infrequent_sklearn")
        if not all(isinstance(w, str) for w in frequent):
            raise Decline("a column of numbers has an infrequent category")
    if missing is not None:
        here = _equal(codes, encoder.encoded_missing_value)
        codes = here.where(codes.builder.constant(np.float64(missing)), codes)
    if encoder.handle_unknown != "use_encoded_value":
        return _looked_up(numbered_from_zero(codes, len(words), "OrdinalEncoder"), words)
    unknown = _equal(codes, encoder.unknown_value)
    codes = unknown.where(codes.builder.constant(np.zeros(1)), codes)
    known = _looked_up(numbered_from_zero(codes, len(words), "OrdinalEncoder"), words)
    return unknown.where(_NONE, known)


def _equal(codes: Value, number: Any) -> Value:
    return codes.is_missing() if np.isnan(number) else codes.equals(np.array([number], np.float64))


def _require_one_kind(categories: Any) -> None:
    """Raise `Decline` where the result would be an array of fixed-width text of several columns."""
    if len(categories) > 1 and any(c.dtype.kind in "US" for c in categories):
        raise Decline("its categories are columns of fixed-width text")


def _looked_up(codes: Value, words: Any) -> Value:
    """``words[codes]`` for numbers, or for text with NaN and None among it."""
    words = np.asarray(words)
    if words.dtype.kind != "O":
        return codes.gather(labels(words))
    texts = Text(tuple(str(w) if isinstance(w, str) else "" for w in words))
    block = codes.gather(texts)
    for position, word in enumerate(words):
        if isinstance(word, str):
            continue
        if word is not None and not (isinstance(word, (float, np.floating)) and np.isnan(word)):
            raise Decline(f"its categories hold {word!r} among other things")
        here = codes.equals(np.array([position], np.int64))
        block = here.where(_NONE if word is None else np.array([np.nan], np.float64), block)
    return block


# -- labels --------------------------------------------------------------------------------


@inverts("sklearn.preprocessing.LabelEncoder")
def label_encoder(encoder: Any, y: Value, context: Context) -> Value | Result:
    """The label of each number; whole floats are numbers here too, which the source refuses.

    Declines: labels that are neither all text nor all numbers.
    """
    classes = np.asarray(encoder.classes_)
    y = y.cast("numeric")
    y = y.require(y.equals(y.apply("trunc")), "LabelEncoder", "a number that is not whole")
    return vector(numbered_from_zero(y, len(classes), "LabelEncoder").gather(labels(classes)))


@inverts("sklearn.preprocessing.LabelBinarizer")
def label_binarizer(binarizer: Any, y: Value, context: Context) -> Value | Result:
    """The class of the largest indicator; of two classes the second one above the middle of the marks.

    Declines: sparse rows, multi-label targets, a single class; labels as in `label_encoder`.
    """
    y = _dense(y).cast("numeric")
    classes = np.asarray(binarizer.classes_)
    if binarizer.sparse_input_ or binarizer.y_type_ not in ("binary", "multiclass"):
        raise Decline(f"it was fitted on {binarizer.y_type_} labels in another container")
    if len(classes) < 2:
        raise Decline("it knows a single class")
    if binarizer.y_type_ == "multiclass":
        return vector(y.reduce("argmax").gather(labels(classes)))
    y = y.cast("float")
    threshold = (binarizer.pos_label + binarizer.neg_label) / 2.0
    above = y > y.scalar(threshold)
    return vector(above.cast("int64").gather(labels(classes)))


# -- examples ------------------------------------------------------------------------------


def _encoder(name: str, rows: str, **params: Any) -> tuple[Any, Any]:
    import sklearn.preprocessing

    rng = np.random.default_rng(0)
    words: Any = rng.choice(["b", "ä", "long word", ""], (60, 1 if rows == "fixed width" else 2))
    if rows == "frame":
        import pandas as pd

        words = pd.DataFrame(words.astype(object), columns=["u", "v"])
        words["n"] = np.arange(60) % 4
        words.loc[::9, "u"] = np.nan
    return getattr(sklearn.preprocessing, name)(**params).fit(words), words


def examples() -> Iterator[Example]:
    """Encoders of fixed-width text and of frames with missing cells, whose words are asked for again."""
    for rows in ("fixed width", "frame"):
        yield Example(f"OneHotEncoder {rows}", partial(_encoder, "OneHotEncoder", rows))
        yield Example(
            f"OneHotEncoder dense {rows}",
            partial(_encoder, "OneHotEncoder", rows, sparse_output=False, drop="first"),
        )
        yield Example(f"OrdinalEncoder {rows}", partial(_encoder, "OrdinalEncoder", rows))
