"""Terms of documents and features of collections: both backends count as scikit-learn does."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction import DictVectorizer, FeatureHasher
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer
from sklearn.preprocessing import MultiLabelBinarizer
from sklearn.utils import murmurhash3_32

from millrace.backends.numba import terms
from millrace.backends.numba.terms import FeatureSpreader, TermCounter
from millrace.backends.reference.terms import count_terms, murmur3, spread_features
from millrace.catalog import translate
from millrace.errors import ColumnTypeError, UnknownCategoryError
from millrace.ir.arrays import Array, Text
from millrace.ir.ops import Features, Terms

ODD = "aAbZk_9 \t\n\x00\x1c\x85'-éÉİΣσςß中Ⅷ½™ﬁ\u2003\u0301\U0001d400\U0001f600"
TEXTS = st.one_of(
    st.text(alphabet=ODD, max_size=30), st.text(max_size=12), st.text("ab \n", max_size=80)
)
LONG = "wheel" * 3000
RAW: Any = None
"""No norm: the counts themselves."""
ANALYSES: list[dict[str, Any]] = [
    {},
    {"ngram_range": (1, 3), "stop_words": ["a", "ab", "σ", "the"]},
    {"ngram_range": (2, 2), "lowercase": False, "strip_accents": "unicode"},
    {"token_pattern": r"(?u)\b\w+\b", "strip_accents": "ascii"},
    {"token_pattern": r"\S+", "ngram_range": (1, 2), "binary": True},
    {"token_pattern": r"(a*)b?", "stop_words": ["aa"]},
    {"token_pattern": r"\b[a-zA-Z']+\b"},
    {"token_pattern": r"[^\Wa-c]{2,}", "lowercase": False},
    {"analyzer": "char", "ngram_range": (1, 3)},
    {"analyzer": "char", "ngram_range": (3, 3), "strip_accents": "unicode", "binary": True},
    {"analyzer": "char_wb", "ngram_range": (1, 4), "lowercase": False},
    {"analyzer": "char_wb", "ngram_range": (5, 6), "strip_accents": "ascii"},
]


def objects(cells: list[Any]) -> Any:
    """Any cells as a column of Python objects."""
    column = np.empty(len(cells), dtype=object)
    column[:] = cells
    return column


def step(fitted: Any) -> Any:
    """The primitive that the converter writes for a vectorizer."""
    steps = translate(fitted).program.steps
    return next(s.op for s in steps if isinstance(s.op, (Terms, Features)))


def assert_same(got: Any, expected: Any) -> None:
    assert (got.shape, got.dtype, type(got)) == (expected.shape, expected.dtype, type(expected))
    assert got.has_sorted_indices
    np.testing.assert_array_equal(got.indptr, expected.indptr)
    np.testing.assert_array_equal(got.indices, expected.indices)
    np.testing.assert_array_equal(got.data, expected.data)


def fitted_on(texts: list[str], **params: Any) -> Any:
    """A vectorizer that knows every second term of the texts; None where they have none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is lower-case, and stop words that are not words
        try:
            terms = list(CountVectorizer(**params).fit(texts).vocabulary_)
        except ValueError:
            return None
        return CountVectorizer(vocabulary=terms[::2], **params).fit(texts)


# -- hashing ---------------------------------------------------------------------------------------
@given(st.binary(max_size=40))
def test_hash_is_the_one_of_scikit_learn(data: bytes) -> None:
    assert murmur3(data) == murmurhash3_32(data)


# -- documents -------------------------------------------------------------------------------------
@pytest.mark.parametrize("params", ANALYSES, ids=str)
@settings(max_examples=40)
@given(texts=st.lists(TEXTS, min_size=1, max_size=6))
def test_counts_of_known_terms(params: dict[str, Any], texts: list[str]) -> None:
    vectorizer = fitted_on(texts, **params)
    if vectorizer is None:
        return
    op, documents = step(vectorizer), objects([*texts, "", "ab ab"])
    expected = vectorizer.transform(documents)
    assert_same(count_terms(documents, op), expected)
    assert_same(TermCounter(op)(documents), expected)
    assert_same(TermCounter(op)(pa.array(documents, pa.string())), expected)


@pytest.mark.parametrize("n_features", [7, 1 << 20])
@pytest.mark.parametrize("params", ANALYSES, ids=str)
@settings(max_examples=40)
@given(texts=st.lists(TEXTS, min_size=1, max_size=4))
def test_counts_of_hashed_terms(params: dict[str, Any], n_features: int, texts: list[str]) -> None:
    vectorizer = HashingVectorizer(n_features=n_features, norm=RAW, **params)
    op, documents = step(vectorizer), objects(texts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = vectorizer.transform(texts)
    assert_same(count_terms(documents, op), expected)
    assert_same(TermCounter(op)(documents), expected)


@pytest.mark.parametrize("params", ANALYSES, ids=str)
def test_long_documents(params: dict[str, Any]) -> None:
    """More terms than the kernel has room for at first, and words of many thousand letters."""
    rng = np.random.default_rng(0)
    many = " ".join(f"w{i}" for i in rng.integers(0, 3000, 5000))
    texts = ["", many, LONG, f"{LONG} é {many}", " ", many.replace(" ", "\n\n") + LONG, "\x00" * 70]
    hashing = HashingVectorizer(n_features=1 << 12, norm=RAW, **params)
    for vectorizer in (fitted_on(texts, **params), hashing):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = vectorizer.transform(texts)
        assert_same(TermCounter(step(vectorizer))(objects(texts)), expected)


@pytest.mark.parametrize("kind", ["string", "large_string", "string_view", "dictionary"])
@pytest.mark.parametrize("params", [{}, {"token_pattern": "[a-zé]+"}], ids=str)
def test_arrow_columns(kind: str, params: dict[str, Any]) -> None:
    texts = ["skip", "the mill", "", "café au lait", "the wheel", "the mill", "mill"] * 3
    vectorizer = CountVectorizer(**params).fit(texts)
    if kind == "dictionary":
        column = pa.array(texts, pa.string()).dictionary_encode()
    else:
        column = pa.array(texts, pa.large_string()).cast(getattr(pa, kind)())
    count = TermCounter(step(vectorizer))
    for first, length in ((0, 21), (1, 9), (3, 1), (5, 0)):
        expected = vectorizer.transform(texts)[first : first + length]
        assert_same(count(column.slice(first, length)), expected)


def test_surrogates_are_counted_and_cannot_be_hashed() -> None:
    texts = ["ab \ud800 cd", "ab\udc80cd"]
    known = CountVectorizer(analyzer="char").fit(texts)
    assert_same(TermCounter(step(known))(objects(texts)), known.transform(texts))
    words = HashingVectorizer(n_features=8, norm=RAW)
    assert_same(TermCounter(step(words))(objects(texts)), words.transform(texts))
    op = step(HashingVectorizer(n_features=8, analyzer="char"))
    for run in (TermCounter(op), lambda cells: count_terms(cells, op)):
        with pytest.raises(ColumnTypeError, match="without surrogates"):
            run(objects(texts))


def test_bytes_are_read_as_utf_8() -> None:
    texts = ["naïve mill", "mill"]
    vectorizer = CountVectorizer().fit(texts)
    documents = objects([t.encode() for t in texts])
    op = step(vectorizer)
    assert_same(count_terms(documents, op), vectorizer.transform(texts))
    assert_same(TermCounter(op)(documents), vectorizer.transform(texts))


@pytest.mark.parametrize("cell", [np.nan, None, 7, ["a"], b"\xff"], ids=repr)
def test_what_is_no_text_is_refused(cell: Any) -> None:
    op = step(CountVectorizer().fit(["the mill"]))
    for run in (TermCounter(op), lambda cells: count_terms(cells, op)):
        with pytest.raises(ColumnTypeError, match="Cannot read the document"):
            run(objects(["the mill", cell]))
    if cell is None:
        for column in (pa.array(["mill", None]), pa.array(["mill", None]).dictionary_encode()):
            with pytest.raises(ColumnTypeError, match="text in every row"):
                TermCounter(op)(column)


def test_threads_share_a_counter() -> None:
    rng = np.random.default_rng(0)
    texts = objects([" ".join(rng.choice(list("abcdé"), 200)) for _ in range(50)])
    vectorizer = CountVectorizer(analyzer="char", ngram_range=(2, 3)).fit(texts)
    count, expected = TermCounter(step(vectorizer)), vectorizer.transform(texts)
    with ThreadPoolExecutor(4) as pool:
        for answer in pool.map(lambda _: count(texts), range(12)):
            assert_same(answer, expected)


# -- collections -----------------------------------------------------------------------------------
NAMES = st.sampled_from(["mill", "wheel", "é", "", "mill=stone", "x"])
NUMBERS = st.one_of(
    st.floats(allow_nan=True, width=32), st.integers(-(2**40), 2**40), st.just(np.float32(0.1))
)
VALUES = st.one_of(NUMBERS, st.booleans(), st.sampled_from(["stone", "", "é"]))
PAIRS = st.lists(st.tuples(NAMES, VALUES), max_size=8)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("alternate_sign", [True, False])
@given(rows=st.lists(PAIRS, min_size=1, max_size=5))
def test_hashed_features(dtype: Any, alternate_sign: bool, rows: list[Any]) -> None:
    shared: dict[str, Any] = {"dtype": dtype, "alternate_sign": alternate_sign, "n_features": 3}
    cells = {
        "pair": rows,
        "dict": [dict(row) for row in rows],
        "string": [[name for name, _ in row] for row in rows],
    }
    for kind, column in cells.items():
        hasher = FeatureHasher(input_type=kind, **shared)
        op = step(hasher)
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = hasher.transform(column)
            assert_same(spread_features(objects(column), op), expected)
            assert_same(FeatureSpreader(op)(objects(column)), expected)
            with patch.object(terms, "_loop_of_source", return_value=None):
                assert_same(FeatureSpreader(op)(objects(column)), expected)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@given(rows=st.lists(PAIRS, min_size=2, max_size=6))
def test_named_features(dtype: Any, rows: list[Any]) -> None:
    more = {"mill": None, "tools": ("axe", "saw", "axe"), "x": Fraction(1, 3), "none": []}
    cells = [*(dict(row) for row in rows), more]
    vectorizer = DictVectorizer(dtype=dtype).fit(cells[1:])
    op = step(vectorizer)
    expected = vectorizer.transform(cells)
    assert_same(spread_features(objects(cells), op), expected)
    assert_same(FeatureSpreader(op)(objects(cells)), expected)


@given(rows=st.lists(st.sets(st.sampled_from("abcdef")), min_size=1, max_size=6))
def test_sets_of_labels(rows: list[set[str]]) -> None:
    binarizer = MultiLabelBinarizer(classes=list("abcdef"), sparse_output=True)
    expected = binarizer.fit_transform(rows)
    expected.sort_indices()
    op = Features("set", Text(tuple("abcdef")), 6, dtype="int64")
    assert_same(spread_features(objects(rows), op), expected)
    assert_same(FeatureSpreader(op)(objects(rows)), expected)


@pytest.mark.parametrize(
    ("kind", "cell"),
    [
        ("dict", {"a": b"3"}),
        ("dict", {"a": 1j}),
        ("dict", {"a": [1]}),
        ("dict", {3: 1.0}),
        ("dict", ["a"]),
        ("dict", None),
        ("pair", [("a",)]),
        ("pair", [("a", None)]),
        ("string", 4),
        ("string", [4]),
        ("string", "text"),
        ("string", ["\ud800"]),
    ],
    ids=repr,
)
def test_what_cannot_be_hashed_is_refused(kind: str, cell: Any) -> None:
    hasher = FeatureHasher(n_features=4, input_type=kind)
    with pytest.raises((TypeError, ValueError, AttributeError)):
        hasher.transform(objects([cell]))
    _assert_refused(step(hasher), cell)


@pytest.mark.parametrize("cell", [{"a": {"b": 1}}, {"a": [1]}, {"a": 1j}, ["a"], 3.0], ids=repr)
def test_what_has_no_value_is_refused(cell: Any) -> None:
    vectorizer = DictVectorizer().fit([{"a": 1.0}])
    with pytest.raises((TypeError, ValueError, AttributeError)):
        vectorizer.transform(objects([cell]))
    _assert_refused(step(vectorizer), cell)


def _assert_refused(op: Features, cell: Any) -> None:
    for run in (FeatureSpreader(op), lambda cells: spread_features(cells, op)):
        with pytest.raises(ColumnTypeError, match="Cannot read the cell"):
            run(objects([cell]))


def test_strict_steps_refuse_unknown_labels() -> None:
    op = Features("set", Array([1, 2, 3]), 3, dtype="int64", strict=True)
    for run in (FeatureSpreader(op), lambda cells: spread_features(cells, op)):
        assert run(objects([[1, 3], []])).toarray().tolist() == [[1, 0, 1], [0, 0, 0]]
        with pytest.raises(UnknownCategoryError, match="9"):
            run(objects([[1], [2, 9]]))


def test_integers_that_do_not_fit_are_refused() -> None:
    for value in (300.0, np.nan):
        small: Any = np.int8
        hasher = FeatureHasher(n_features=4, dtype=small)
        with pytest.raises((OverflowError, ValueError)):
            hasher.transform([{"a": value}])
        _assert_refused(step(hasher), {"a": value})
