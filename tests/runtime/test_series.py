"""Texts, labels and collections: one cell a row, in every container, and one at a time."""

from __future__ import annotations

from collections import deque
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.feature_extraction import DictVectorizer, FeatureHasher
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import LabelBinarizer, LabelEncoder, MultiLabelBinarizer

import millrace as mr
from millrace.errors import (
    ColumnTypeError,
    InputError,
    NonFiniteError,
    ShapeError,
    UnknownCategoryError,
)
from tests.conformance.compare import difference

DOCUMENTS = ["the mill race", "water wheel turns", "the wheel", "mill water water", "a race", "dry"]
NEW = ["the water race", "unseen words", "", "MILL wheel"]
DICTS = [{"a": 1, "b": 2.5}, {"c": "x"}, {"a": 0}]


@cache
def texts() -> tuple[Any, mr.CompiledModel]:
    source = make_pipeline(TfidfVectorizer(), LogisticRegression())
    source.fit(DOCUMENTS, [0, 1, 1, 0, 1, 0])
    return source, mr.compile(source)


@cache
def foreign() -> tuple[Any, mr.CompiledModel]:
    source = CountVectorizer(preprocessor=str.upper).fit(DOCUMENTS)
    return source, mr.compile(source)


@cache
def labels() -> tuple[Any, mr.CompiledModel]:
    source = LabelEncoder().fit(["a", "b", "c"])
    return source, mr.compile(source)


TEXTS = {
    "list": list,
    "tuple": tuple,
    "deque": deque,
    "generator": lambda cells: (c for c in cells),
    "map": lambda cells: map(str, cells),
    "array": np.array,
    "array of objects": lambda cells: np.array(cells, dtype=object),
    "pandas": pd.Series,
    "pandas objects": lambda cells: pd.Series(cells, dtype=object),
    "pandas text": lambda cells: pd.Series(cells, dtype="string"),
    "pandas Arrow": lambda cells: pd.Series(cells, dtype="string[pyarrow]"),
    "pandas categories": lambda cells: pd.Series(cells, dtype="category"),
    "pandas of another index": lambda cells: pd.Series(cells, index=[7] * len(cells)),
    "polars": pl.Series,
    "polars categories": lambda cells: pl.Series(cells, dtype=pl.Categorical),
    "Arrow": pa.array,
    "Arrow, large": lambda cells: pa.array(cells, pa.large_string()),
    "Arrow, views": lambda cells: pa.array(cells, pa.string_view()),
    "Arrow, chunks": lambda cells: pa.chunked_array([cells[:2], cells[2:]]),
    "Arrow dictionary": lambda cells: pa.array(cells).dictionary_encode(),
    "Arrow dictionary, chunks": lambda cells: pa.chunked_array(
        [cells[:2], cells[2:]]
    ).dictionary_encode(),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_texts_in_every_container(kind: str) -> None:
    source, compiled = texts()
    expected = source.predict_proba(NEW)
    assert not difference(expected, compiled.predict_proba(TEXTS[kind](NEW)), 64, 1e-14)


@pytest.mark.parametrize("kind", TEXTS)
def test_texts_into_a_foreign_step(kind: str) -> None:
    source, compiled = foreign()
    assert not difference(source.transform(NEW), compiled.transform(TEXTS[kind](NEW)))


@pytest.mark.parametrize("kind", TEXTS)
def test_labels_in_every_container(kind: str) -> None:
    source, compiled = labels()
    cells = ["a", "c", "b", "a"]
    assert not difference(source.transform(cells), compiled.transform(TEXTS[kind](cells)))


@pytest.mark.parametrize(
    "column",
    [
        lambda cells: np.array(cells, dtype=object)[:, None],
        lambda cells: pd.DataFrame({"label": cells}),
        lambda cells: pl.DataFrame({"label": cells}),
        lambda cells: pa.table({"label": cells}),
    ],
    ids=["array", "pandas", "polars", "Arrow"],
)
def test_labels_in_the_only_column_of_a_table(column: Any) -> None:
    """As scikit-learn takes them, which warns. Texts in a table it reads as something else."""
    for cells, source in (
        (["a", "c", "b"], LabelEncoder()),
        ([3, 9, 5], LabelEncoder()),
        (["a", "c", "b"], LabelBinarizer()),
    ):
        compiled = mr.compile(source.fit(cells))
        assert not difference(source.transform(cells), compiled.transform(column(cells)))
    with pytest.raises(ShapeError, match=r"Expected a series.*frame\['text'\]"):
        texts()[1].predict(column(NEW))


def test_bytes_are_decoded_as_by_the_source() -> None:
    source, compiled = texts()
    cells = [c.encode() for c in NEW]
    assert not difference(source.predict_proba(cells), compiled.predict_proba(cells), 64, 1e-14)


def test_no_texts() -> None:
    for empty in (
        [],
        (),
        np.array([], object),
        pd.Series([], dtype=object),
        pa.array([], pa.string()),
    ):
        assert texts()[1].predict_proba(empty).shape == (0, 2)
        assert labels()[1].transform(empty).shape == (0,)


# -- collections -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("source", "cells"),
    [
        (DictVectorizer(), DICTS),
        (DictVectorizer(sparse=False), DICTS),
        (FeatureHasher(8), [{"a": 1, "b": 2}, {"c": 3.5}, {}]),
        (FeatureHasher(8, input_type="pair"), [[("a", 1), ("b", 2)], [("c", 3.5)], []]),
        (FeatureHasher(8, input_type="string"), [["a", "b"], ["c"], []]),
        (MultiLabelBinarizer(), [["a", "c"], ["b"], []]),
        (MultiLabelBinarizer(), [{"a", "c"}, {"b"}, set()]),
    ],
    ids=["dicts", "dense dicts", "hashed dicts", "pairs", "names", "label lists", "label sets"],
)
def test_collections(source: Any, cells: list[Any]) -> None:
    compiled = mr.compile(source.fit(cells))
    expected = source.transform(cells)
    as_objects = np.empty(len(cells), dtype=object)
    as_objects[:] = cells
    for rows in (cells, tuple(cells), as_objects, pd.Series(cells), iter(cells)):
        assert not difference(expected, compiled.transform(rows))
    prepared = compiled.row_function()
    for i, cell in enumerate(cells):
        for _ in range(2):
            one = prepared(cell)
            if hasattr(one, "toarray"):
                assert not difference(expected[[i]], one)
            else:
                assert not difference(expected[i], one)


def test_a_single_mapping_is_a_row_of_a_dict_vectorizer() -> None:
    source = make_pipeline(DictVectorizer(), LogisticRegression()).fit(DICTS, [0, 1, 1])
    compiled = mr.compile(source)
    for row in DICTS:
        assert not difference(source.predict_proba(row), compiled.predict_proba(row), 64, 1e-14)
        assert compiled.predict_one(row) == source.predict(row)[0]
    with pytest.raises(ColumnTypeError, match="single dict"):
        texts()[1].predict(DICTS[0])


# -- one at a time ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "form",
    [
        lambda c: c,
        np.str_,
        lambda c: c.encode(),
        lambda c: [c],
        lambda c: (c,),
        lambda c: np.array([c]),
        lambda c: {"x0": c},
        lambda c: pd.Series([c]),
    ],
    ids=["text", "NumPy text", "bytes", "list", "tuple", "array", "dict", "pandas"],
)
def test_one_text(form: Any) -> None:
    source, compiled = texts()
    expected = source.predict_proba(NEW)
    prepared = compiled.row_function("predict_proba")
    for i, text in enumerate(NEW):
        assert not difference(expected[i], compiled.predict_proba_one(form(text)), 64, 1e-14)
        assert not difference(expected[i], prepared(form(text)), 64, 1e-14)
        assert compiled.predict_one(form(text)) == source.predict([text])[0]


def test_one_label() -> None:
    assert labels()[1].row_function()("b") == 1
    numbers = mr.compile(LabelEncoder().fit([3, 5, 9]))
    assert numbers.row_function()(5) == numbers.row_function()(np.int64(5)) == 1
    indicators = mr.compile(LabelBinarizer().fit(["a", "b", "c"]))
    assert indicators.row_function()("b").tolist() == [0, 1, 0]
    assert foreign()[1].row_function()("water").shape == (1, foreign()[1].transform(NEW).shape[1])


def test_a_row_that_is_no_text() -> None:
    predict = texts()[1].predict_one
    for row in (None, np.nan, 3.5, {"x0": 3}):
        with pytest.raises(ColumnTypeError, match="document"):
            predict(row)
    with pytest.raises(ColumnTypeError, match=r"'text': 'a'.*a dict of 'x0' alone"):
        predict({"text": "a"})
    with pytest.raises(ShapeError, match="has 2 column"):
        predict(["a", "b"])


# -- samples ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("make", [texts, foreign], ids=["native", "foreign"])
def test_verified_on_a_sample_of_texts(make: Any, kind: str) -> None:
    report = mr.compile(make()[0], sample=TEXTS[kind](DOCUMENTS)).info.verification
    assert report is not None
    assert report["rows"]["sample"] == len(DOCUMENTS)
    assert report["differences"] == []


@pytest.mark.parametrize(
    ("source", "cells"),
    [
        (LabelEncoder().fit(["a", "b", "c"]), ["a", "b"]),
        (MultiLabelBinarizer().fit([["a", "b"], ["c"]]), [["a"], []]),
        (DictVectorizer().fit(DICTS), DICTS[:2]),
        (IsotonicRegression(out_of_bounds="clip").fit(np.arange(9.0), np.arange(9.0)), [0.5, 3.0]),
    ],
    ids=["labels", "sets", "dicts", "isotonic"],
)
def test_verified_on_a_sample(source: Any, cells: list[Any]) -> None:
    report = mr.compile(source, sample=cells).info.verification
    assert report is not None
    assert report["rows"]["sample"] == 2
    assert report["differences"] == []


# -- errors ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "cells",
    [
        ["a", None],
        ["a", np.nan],
        [1, 2],
        np.arange(3.0),
        ["a", 1],
        [["a", "b"]],
        pd.Series(["a", None], dtype="string"),
        pd.Series([1.0, 2.0]),
        pa.array(["a", None]),
        pa.array([1, 2]),
        pl.Series(["a", None]),
        pd.Series(pd.to_datetime(["2020-01-01"])),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "vectorizer", [CountVectorizer(), HashingVectorizer(n_features=8)], ids=str
)
def test_cells_that_are_no_text(vectorizer: Any, cells: Any) -> None:
    compiled = mr.compile(vectorizer.fit(DOCUMENTS))
    with pytest.raises(InputError):
        compiled.transform(cells)


@pytest.mark.parametrize("rows", ["one text", b"bytes", 3, None, 2.5, np.array("text")], ids=str)
def test_what_is_no_series(rows: Any) -> None:
    for compiled in (texts()[1], labels()[1], foreign()[1]):
        with pytest.raises(InputError, match=r"single|dimension|shape"):
            compiled.call(compiled.methods[0], rows)


def test_tables_where_a_series_is_needed() -> None:
    for rows in (np.ones((3, 2)), np.ones((2, 2, 2)), pd.DataFrame({"a": ["x"], "b": ["y"]})):
        for compiled in (texts()[1], labels()[1], foreign()[1]):
            with pytest.raises(ShapeError, match="Expected a series"):
                compiled.call(compiled.methods[0], rows)


def test_labels_that_are_no_labels() -> None:
    for cells in ([b"a"], [["a"]], [{"a": 1}], [("a",)]):
        for source in (LabelEncoder(), LabelBinarizer()):
            compiled = mr.compile(source.fit(["a", "b", "c"]))
            with pytest.raises(ColumnTypeError, match="row 0"):
                compiled.transform(cells)


def test_an_unknown_label_by_each_policy() -> None:
    with pytest.raises(UnknownCategoryError, match="'z' in row 1"):
        labels()[1].transform(["a", "z"])
    indicators = mr.compile(LabelBinarizer().fit(["a", "b", "c"]))
    assert indicators.transform(["a", "z"]).tolist() == [[1, 0, 0], [0, 0, 0]]
    counted = mr.compile(CountVectorizer().fit(DOCUMENTS))
    assert counted.transform(["nowhere"]).nnz == 0
    spread = mr.compile(DictVectorizer().fit(DICTS))
    assert spread.transform([{"z": 1}]).nnz == 0


# -- one column of numbers -------------------------------------------------------------------------
@pytest.mark.parametrize(
    "form",
    [
        np.asarray,
        list,
        tuple,
        pd.Series,
        pd.Index,
        pl.Series,
        pa.array,
        lambda x: pa.chunked_array([x]),
        lambda x: x[:, None],
        lambda x: pd.DataFrame({"x": x}),
    ],
    ids=[
        "array",
        "list",
        "tuple",
        "series",
        "index",
        "polars",
        "arrow",
        "chunked",
        "column",
        "frame",
    ],
)
@pytest.mark.parametrize("dtype", ["float64", "float32", "int64"])
def test_isotonic_regression_takes_one_dimension(form: Any, dtype: str) -> None:
    source = IsotonicRegression(out_of_bounds="clip").fit(
        np.arange(20.0), np.sin(np.arange(20) / 9)
    )
    compiled = mr.compile(source)
    x = np.linspace(-2, 25, 11).astype(dtype)
    for method in ("predict", "transform"):
        expected = getattr(source, method)(np.asarray(form(x)))
        for _ in range(2):  # the second time prepared
            assert not difference(expected, getattr(compiled, method)(form(x)))


def test_isotonic_regression_row_by_row(tmp_path: Any) -> None:
    source = IsotonicRegression(out_of_bounds="clip").fit(
        np.arange(20.0), np.sin(np.arange(20) / 9)
    )
    compiled = mr.compile(source)
    loaded = mr.load(compiled.save(tmp_path / "model.mill"))
    for model in (compiled, loaded):
        for row in (3.5, np.float64(3.5), np.array([3.5]), (3.5,), {"x0": 3.5}):
            assert model.predict_one(row) == source.predict([3.5])[0]
        assert not difference(source.predict(np.arange(3.0)), model.predict(np.arange(3.0)))
        with pytest.raises(NonFiniteError, match="row 1"):
            model.predict([1.0, None])
        with pytest.raises(ShapeError, match="has 2 column"):
            model.predict(np.ones((3, 2)))
        with pytest.raises(InputError, match="3 dimension"):
            model.predict(np.ones((3, 1, 1)))
        with pytest.raises(InputError):
            model.predict(["a"])


@pytest.mark.parametrize(
    "rows", [np.ones(3), [1.0], pd.Series([1.0]), pl.Series([1.0]), pa.array([1.0])], ids=str
)
def test_other_models_of_one_column_take_two_dimensions(rows: Any) -> None:
    from sklearn.linear_model import Ridge

    compiled = mr.compile(Ridge().fit(np.arange(9.0)[:, None], np.arange(9.0)))
    with pytest.raises(ShapeError, match="has 1 dimension"):
        compiled.predict(rows)
