"""Texts to sparse counts of their terms, and the weights of tf-idf.

Semantics matched: ``sklearn/feature_extraction/text.py`` and ``sklearn/utils/sparsefuncs_fast.pyx`` of
scikit-learn 1.9.1. A row is normalised by a sum that the source adds up cell by cell in float64: it is
written as a product with ones, which SciPy adds up in the same order; where the cells are whole numbers
(hashed counts), any order gives the same bits.

Exactness: the same bits. Missing values: only text is taken; bytes are read as UTF-8.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
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
    sparse,
)
from millrace.ir.arrays import Text
from millrace.ir.build import Value
from millrace.ir.ops import Sparse, Terms
from millrace.ir.program import Column, Shape

_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_DTYPES = ("bool", *_INTEGERS, "float32", "float64")
_PREPARED = "its {} is Python code"


def container() -> Shape:
    """The container of sparse answers that scikit-learn is set to."""
    from sklearn import get_config

    return "csr_array" if get_config()["sparse_interface"] == "sparray" else "csr_matrix"


def sparse_dtype(dtype: Any) -> str:
    """The name of the dtype of a sparse answer."""
    try:
        name = np.dtype(dtype).name
    except TypeError:
        raise Decline(f"its dtype {dtype!r} is none of NumPy's") from None
    if name not in _DTYPES:
        raise Decline(f"its dtype is {name}")
    return name


def _documents(fitted: Any) -> list[Column]:
    return [Column("x0", kind="text")]


def _terms(vectorizer: Any, vocabulary: Text | None, n_features: int) -> Terms:
    """How the documents are analysed; declines what runs a user's code or reads files."""
    _require_plain(vectorizer)
    words = vectorizer.analyzer == "word"
    shortest, longest = (int(n) for n in vectorizer.ngram_range)
    if not 1 <= shortest <= longest:
        raise Decline(f"its ngram_range is {vectorizer.ngram_range}")
    stop_words = (vectorizer.get_stop_words() if words else None) or ()
    return Terms(
        analyzer=vectorizer.analyzer,
        ngram_range=(shortest, longest),
        vocabulary=vocabulary,
        n_features=n_features,
        alternate_sign=bool(getattr(vectorizer, "alternate_sign", False)),
        lowercase=bool(vectorizer.lowercase),
        strip_accents=vectorizer.strip_accents,
        token_pattern=vectorizer.token_pattern if words else Terms.token_pattern,
        stop_words=Text(tuple(sorted(w for w in stop_words if isinstance(w, str)))),
        binary=bool(vectorizer.binary),
        dtype=sparse_dtype(vectorizer.dtype),
    )


def _require_plain(vectorizer: Any) -> None:
    if vectorizer.input != "content":
        raise Decline(f"it reads documents from a {vectorizer.input}")
    if (vectorizer.encoding, vectorizer.decode_error) != ("utf-8", "strict"):
        raise Decline("it decodes bytes by other rules than UTF-8, strictly")
    words = vectorizer.analyzer == "word"
    for name in ("preprocessor", "tokenizer", "strip_accents", "analyzer"):
        if callable(getattr(vectorizer, name)) and (words or name != "tokenizer"):
            raise Decline(_PREPARED.format(name))
    if words and not isinstance(vectorizer.token_pattern, str):
        raise Decline("it has no token_pattern")
    if words and re.compile(vectorizer.token_pattern).groups > 1:
        raise Decline("its token_pattern has several groups")


def _vocabulary(vectorizer: Any) -> Text:
    """The terms in the order of their columns."""
    terms = sorted(vectorizer.vocabulary_, key=vectorizer.vocabulary_.__getitem__)
    if [vectorizer.vocabulary_[t] for t in terms] != list(range(len(terms))):
        raise Decline("the columns of its vocabulary_ are not 0, 1, 2 ...")
    if not all(isinstance(t, str) for t in terms):
        raise Decline("its vocabulary_ holds terms that are no text")
    return Text(tuple(str(t) for t in terms))


def _counts(vectorizer: Any, x: Value) -> Value:
    """The counts of the terms of a vocabulary."""
    _require_one_column(x)
    vocabulary = _vocabulary(vectorizer)
    return x.then(_terms(vectorizer, vocabulary, len(vocabulary.values)))


def _require_one_column(x: Value) -> None:
    if x.width != 1:
        raise Decline(f"it takes one text a row, not {x.width} columns")


@converts("sklearn.feature_extraction.text.CountVectorizer", columns=_documents, series=True)
def count_vectorizer(vectorizer: Any, x: Value, context: Context) -> Outputs:
    """How often each term of the vocabulary stands in a document, as a sparse matrix."""
    return {"transform": sparse(_counts(vectorizer, x), container())}


@converts("sklearn.feature_extraction.text.TfidfVectorizer", columns=_documents, series=True)
def tfidf_vectorizer(vectorizer: Any, x: Value, context: Context) -> Outputs:
    """The counts of `CountVectorizer`, weighted by `TfidfTransformer`.

    With ``sublinear_tf`` only the counting is native: the weights are the original's.
    """
    counts = _counts(vectorizer, x)
    block = SparseValue(counts.builder, counts.at, (), container())
    return context.convert(vectorizer._tfidf, block, "tfidf")


@converts("sklearn.feature_extraction.text.TfidfTransformer")
def tfidf_transformer(transformer: Any, x: Value, context: Context) -> Outputs:
    """Counts times ``idf_``, each row divided by its norm; dense input becomes sparse.

    The cells are multiplied and divided in float64 and rounded to the dtype of the input.
    ``sublinear_tf`` is not native: there is no logarithm of the stored cells of a sparse block.
    Missing values: refused, as infinities are.
    """
    if transformer.sublinear_tf:
        raise Decline("sublinear_tf takes the logarithm of stored cells only")
    block = x.cast("float").guard("TfidfTransformer")
    if not block.is_sparse:
        block = block.then(Sparse())
    if hasattr(transformer, "idf_"):
        block = (block * transformer.idf_).cast_like(block)
    if transformer.norm is not None:
        block = _normalised(block, transformer.norm, whole=False)
    return {"transform": sparse(block, container())}


@converts("sklearn.feature_extraction.text.HashingVectorizer", columns=_documents, series=True)
def hashing_vectorizer(vectorizer: Any, x: Value, context: Context) -> Outputs:
    """How often terms stand in a document, each in the column of its hash, rows divided by their norm."""
    _require_one_column(x)
    terms = _terms(vectorizer, None, int(vectorizer.n_features))
    if terms.alternate_sign and terms.dtype[0] in "bu":
        raise Decline(f"it counts down in {terms.dtype}")
    block = x.then(terms)
    if vectorizer.norm is not None:
        block = _normalised(block.cast("float"), vectorizer.norm, whole=True)
    return {"transform": sparse(block, container())}


def _normalised(x: Value, norm: Literal["l1", "l2"], whole: bool) -> Value:
    """Rows divided by their norm, rows of zeros as they are: ``inplace_csr_row_normalize_l2``.

    Squares are rounded to the dtype of the block, their sum is float64. Where the cells are whole
    numbers, `whole`, the sum is exact in any order.
    """
    cells = x.apply("square" if norm == "l2" else "absolute").cast("float64")
    total = cells.reduce("sum") if whole else cells @ np.ones((x.width, 1))
    size = total.apply("sqrt") if norm == "l2" else total
    divisor = total.equals(np.float64(0)).where(np.float64(1), size)
    return (x / divisor).cast_like(x)


# -- examples ------------------------------------------------------------------------------

_WORDS = """the The mill wheel's water_wheel x a of grinds GRAIN 42 3.14 naïve Straße café ΣΊΣΥΦΟΣ
İstanbul 中文 re-grind co-op Ⅷ ™ e-mail@host.org and AND it it it"""


def _texts() -> list[str]:
    """Documents in ASCII and beyond, empty ones, long words, controls and runs of blanks."""
    rng = np.random.default_rng(0)
    words = _WORDS.split()
    texts = [" ".join(rng.choice(words, rng.integers(1, 14))) for _ in range(36)]
    odd = [
        "",
        " ",
        "a",
        "\t\n  ",
        "nul\x00byte nul",
        "two  blanks\n\nmill",
        "wheel" * 60,
        "x\u2003y é",
    ]
    return [*texts, *odd]


def _fitted(name: str, **params: Any) -> tuple[Any, Any]:
    import sklearn.feature_extraction.text as text

    texts = _texts()
    vectorizer = getattr(text, name)(**params).fit(texts[:30])
    return vectorizer, np.array(texts, dtype=object)


def _weighted(container: str, **params: Any) -> tuple[Any, Any]:
    """A `TfidfTransformer` on a table of counts."""
    import scipy.sparse as sp
    from sklearn.feature_extraction.text import TfidfTransformer

    X = np.random.default_rng(1).poisson(0.4, (50, 30)).astype(np.float64)
    X[3] = 0
    table = sp.csr_matrix(X) if container == "csr" else X
    return TfidfTransformer(**params).fit(table), table


def _classifier() -> tuple[Any, Any]:
    """A sparse matrix of weights that goes into a linear model."""
    from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
    from sklearn.linear_model import SGDClassifier
    from sklearn.pipeline import make_pipeline

    texts = _texts()
    steps = CountVectorizer(), TfidfTransformer(), SGDClassifier(random_state=0)
    labels = ["odd" if len(t) % 2 else "even" for t in texts]
    return make_pipeline(*steps).fit(texts, labels), np.array(texts, dtype=object)


def _initials(text: str) -> str:
    return text[:3]


_VECTORIZERS: dict[str, list[dict[str, Any]]] = {
    "CountVectorizer": [
        {},
        {"stop_words": "english", "ngram_range": (1, 2), "max_features": 40},
        {"analyzer": "char", "ngram_range": (2, 3), "strip_accents": "unicode", "binary": True},
        {"analyzer": "char_wb", "ngram_range": (3, 5), "lowercase": False, "dtype": np.float32},
        {"token_pattern": r"(?u)\b\w+\b", "strip_accents": "ascii", "dtype": np.int8},
        {"token_pattern": r"[\w.@-]+", "ngram_range": (2, 3), "stop_words": ["of", "x"]},
        {"vocabulary": ["wheel", "mill", "it", "two blanks", "straße"], "ngram_range": (1, 2)},
    ],
    "TfidfVectorizer": [
        {},
        {"norm": "l1", "ngram_range": (1, 2), "min_df": 2, "smooth_idf": False},
        {"use_idf": False, "dtype": np.float32, "analyzer": "char_wb", "ngram_range": (2, 4)},
        {"norm": None, "binary": True, "dtype": np.float32},
    ],
    "HashingVectorizer": [
        {"n_features": 4096},
        {"n_features": 31, "norm": "l1", "ngram_range": (1, 2)},
        {"n_features": 7, "norm": None, "alternate_sign": False, "dtype": np.int32},
        {"n_features": 64, "analyzer": "char", "ngram_range": (1, 3), "dtype": np.float32},
        {"n_features": 16, "binary": True, "stop_words": "english"},
    ],
}
_TRANSFORMERS: list[dict[str, Any]] = [{}, {"norm": "l1"}, {"norm": None}, {"use_idf": False}]


def examples() -> Iterator[Example]:
    """Each vectorizer with its analysers, parameters and dtypes; what falls back."""
    for name, parameters in _VECTORIZERS.items():
        for number, params in enumerate(parameters):
            words = " ".join(params) or "default"
            yield Example(f"{name} {number} {words}", partial(_fitted, name, **params))
    for params in _TRANSFORMERS:
        words = " ".join(f"{k}={v}" for k, v in params.items())
        for kind in ("csr", "dense"):
            yield Example(
                f"TfidfTransformer {kind} {words}".strip(), partial(_weighted, kind, **params)
            )
    yield Example("counts weights classifier", _classifier)
    sublinear = partial(_fitted, "TfidfVectorizer", sublinear_tf=True)
    yield Example("TfidfVectorizer sublinear", sublinear, native=False)
    code = partial(_fitted, "CountVectorizer", preprocessor=_initials)
    yield Example("CountVectorizer preprocessor", code, native=False)
