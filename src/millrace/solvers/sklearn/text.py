"""CountVectorizer, TfidfVectorizer, TfidfTransformer. (HashingVectorizer learns nothing.)

One sweep counts terms. Texts are cut by scikit-learn's own analyzer, so words are the same; which terms
are kept follows ``CountVectorizer._limit_features`` (1.9), ties included.
"""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np
import scipy.sparse as sp

from millrace.solvers.registry import Decline, Example, solves
from millrace.solvers.rows import Rows
from millrace.solvers.sklearn._working import Asking, learned, library, working_copy
from millrace.statistics.terms import Stored, StoredByColumn, TermCounts, Terms


@solves("sklearn.feature_extraction.text.CountVectorizer")
def count_vectorizer(estimator: Any, rows: Rows) -> Asking:
    """The vocabulary over all documents."""
    work, _ = yield from _counted(estimator, rows)
    return learned(work)


@solves("sklearn.feature_extraction.text.TfidfVectorizer")
def tfidf_vectorizer(estimator: Any, rows: Rows) -> Asking:
    """The vocabulary, and the weights of its terms."""
    from sklearn.feature_extraction.text import TfidfTransformer

    estimator._check_params()
    work, found = yield from _counted(estimator, rows)
    names = ("norm", "use_idf", "smooth_idf", "sublinear_tf")
    work._tfidf = TfidfTransformer(**{name: getattr(work, name) for name in names})
    documents = np.zeros(len(work.vocabulary_), np.int64)
    places = [work.vocabulary_.get(term, -1) for term in found.terms]
    kept = np.asarray(places, np.int64) >= 0
    documents[np.asarray(places, np.int64)[kept]] = found.documents[kept]
    dtype = work.dtype if work.dtype in (np.float32, np.float64) else np.float64
    _weigh(work._tfidf, documents, found.n_rows, np.dtype(dtype))
    return learned(work)


@solves("sklearn.feature_extraction.text.TfidfTransformer")
def tfidf_transformer(estimator: Any, rows: Rows) -> Asking:
    """The weights of columns that hold counts."""
    work = working_copy(estimator)
    found: Stored = yield rows.ask(StoredByColumn("TfidfTransformer"))
    dtype = getattr(rows.head, "dtype", np.dtype(np.float64))
    _weigh(work, found.cells, found.n_rows, np.dtype("f4" if dtype == np.float32 else "f8"))
    return learned(work)


def _weigh(transformer: Any, documents: np.ndarray, n_rows: int, dtype: np.dtype) -> None:
    """Fit a TfidfTransformer; with ``idf_``, in the steps of scikit-learn, from document counts."""
    with np.errstate(divide="ignore"):  # of the empty row that stands in for all
        transformer.fit(sp.csr_array((1, len(documents)), dtype=dtype))
    if transformer.use_idf:
        smooth = transformer.smooth_idf
        counts = documents.astype(dtype) + dtype.type(smooth)
        with np.errstate(divide="ignore"):
            weights = np.full_like(counts, n_rows + int(smooth)) / counts
        transformer.idf_ = np.log(weights) + dtype.type(1)


def _counted(estimator: Any, rows: Rows) -> Asking:
    """A clone with its vocabulary, and the counts of terms."""
    if estimator.input != "content":
        raise Decline("its documents are files")
    work = working_copy(estimator)
    head = rows.head
    if getattr(head, "ndim", 1) == 2 and head.shape[1] != 1:
        raise Decline("it takes one column of texts; choose it by a ColumnTransformer")
    work._validate_ngram_range()
    work._warn_for_unused_params()
    work._validate_vocabulary()
    fixed = None
    if work.fixed_vocabulary_:
        fixed = tuple(sorted(work.vocabulary_, key=work.vocabulary_.__getitem__))
    found: TermCounts = yield rows.ask(Terms(working_copy(estimator), fixed))
    work.build_analyzer()  # warns of stop words that are cut otherwise than texts
    if hasattr(work, "_stop_words_id"):
        work._stop_words_id = id(estimator.stop_words)
    if fixed is None:
        if not len(found.terms):
            raise ValueError("empty vocabulary; perhaps the documents only contain stop words")
        work.vocabulary_ = _kept(work, found)
    return work, found


def _kept(work: Any, found: TermCounts) -> dict[str, Any]:
    """The terms within the limits, and their columns."""
    low, high = (
        limit if isinstance(limit, Integral) else limit * found.n_rows
        for limit in (work.min_df, work.max_df)
    )
    if high < low:
        raise ValueError("max_df corresponds to < documents than min_df")
    order = np.asarray(sorted(range(len(found.terms)), key=found.terms.__getitem__))
    terms, documents = found.terms[order], found.documents[order]
    mask = (documents <= high) & (documents >= low)
    if work.max_features is not None and mask.sum() > work.max_features:
        # The sort is not stable: counts need the dtype that they have there for the same ties.
        times = found.times[order].astype(work.dtype)
        chosen = (-times[mask]).argsort()[: work.max_features]
        limited = np.zeros(len(mask), bool)
        limited[np.flatnonzero(mask)[chosen]] = True
        mask = limited
    if not mask.any():
        raise ValueError("After pruning, no terms remain. Try a lower min_df or a higher max_df.")
    number = int if work.max_features is None else np.int64
    return {str(term): number(i) for i, term in enumerate(terms[mask])}


_WORDS = [
    "the",
    "quick",
    "brown",
    "fox",
    "jumps",
    "over",
    "a",
    "lazy",
    "dog",
    "Ärger",
    "joy",
    "The",
]


def _documents() -> Any:
    rng = np.random.default_rng(4)
    weights = 1 / np.arange(1, len(_WORDS) + 1)
    draw = rng.choice(_WORDS, (120, 7), p=weights / weights.sum())
    return np.array([" ".join(words[: rng.integers(1, 8)]) for words in draw], object)


def examples() -> Iterator[Example]:
    """Limits, n-grams, a given vocabulary, and weights."""
    t = library("sklearn.feature_extraction.text")
    CountVectorizer, TfidfVectorizer = t.CountVectorizer, t.TfidfVectorizer
    ColumnTransformer = library("sklearn.compose").ColumnTransformer

    def case(name: str, vectorizer: Any) -> Example:
        import pandas as pd

        def make() -> Any:
            whole = ColumnTransformer([("t", vectorizer, "text")])
            return whole, pd.DataFrame({"text": _documents()}), None

        return Example(name, make)

    yield case("CountVectorizer", CountVectorizer())
    yield case("CountVectorizer, limits", CountVectorizer(min_df=5, max_df=0.6))
    yield case("CountVectorizer, most", CountVectorizer(max_features=6, binary=True))
    yield case("CountVectorizer, pairs", CountVectorizer(ngram_range=(1, 2), stop_words="english"))
    yield case("CountVectorizer, given", CountVectorizer(vocabulary=["fox", "dog", "cat"]))
    yield case("TfidfVectorizer", TfidfVectorizer())
    yield case("TfidfVectorizer, most", TfidfVectorizer(max_features=6, sublinear_tf=True))
    yield case("TfidfVectorizer, plain", TfidfVectorizer(use_idf=False, norm=None))
    yield case(
        "TfidfVectorizer, given", TfidfVectorizer(vocabulary=["fox", "dog"], smooth_idf=True)
    )

    def counts(transformer: Any) -> Any:
        def make() -> Any:
            return transformer, sp.csr_matrix(CountVectorizer().fit_transform(_documents())), None

        return make

    yield Example("TfidfTransformer", counts(t.TfidfTransformer()))
    yield Example(
        "TfidfTransformer, rough", counts(t.TfidfTransformer(smooth_idf=False, norm="l1"))
    )
