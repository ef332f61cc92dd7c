"""Terms of texts: in how many documents each occurs, and how often."""

# pyarrow ships no types.
# pyright: reportUnknownParameterType=false, reportUnknownVariableType=false

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from millrace.statistics.base import Batch, Columns, Statistic, check_finite


@dataclass(frozen=True)
class TermCounts:
    """The answer of `Terms`.

    Attributes
    ----------
    terms : numpy.ndarray of object
        In the order in which they first occur (n_terms,).
    documents : numpy.ndarray of int64
        Documents with the term.
    times : numpy.ndarray of int64
        How often it occurs in all; once a document if binary.
    n_rows : int
    """

    terms: np.ndarray
    documents: np.ndarray
    times: np.ndarray
    n_rows: int


@dataclass(frozen=True)
class Terms(Statistic[TermCounts, TermCounts]):
    """Terms of the only column, cut as a vectorizer of scikit-learn cuts them.

    Attributes
    ----------
    vectorizer : object
        CountVectorizer or a subclass, unfitted; its parameters alone say how texts are cut.
    vocabulary : tuple of str, optional
        The only terms that are counted.
    """

    vectorizer: Any
    vocabulary: tuple[str, ...] | None = None

    def of(self, batch: Batch) -> TermCounts:
        from sklearn.base import clone

        work: Any = clone(self.vectorizer)
        if self.vocabulary is not None:
            work.vocabulary_ = {term: i for i, term in enumerate(self.vocabulary)}
        try:
            found, X = work._count_vocab(texts(batch), self.vocabulary is not None)
        except ValueError as error:
            if "empty vocabulary" not in str(error):
                raise
            return TermCounts(np.empty(0, object), _none(0), _none(0), len(batch))
        if work.binary:
            X.data.fill(1)
        terms = np.empty(len(found), object)
        terms[list(found.values())] = list(found)
        documents = np.bincount(X.indices, minlength=len(terms)).astype(np.int64)
        times = np.bincount(X.indices, X.data, len(terms)).astype(np.int64)
        return TermCounts(terms, documents, times, len(batch))

    def merge(self, left: TermCounts, right: TermCounts) -> TermCounts:
        import pandas as pd

        codes, terms = pd.factorize(np.concatenate([left.terms, right.terms]))
        documents, times = _none(len(terms)), _none(len(terms))
        for part, places in ((left, codes[: len(left.terms)]), (right, codes[len(left.terms) :])):
            documents[places] += part.documents
            times[places] += part.times
        return TermCounts(np.asarray(terms, object), documents, times, left.n_rows + right.n_rows)

    def finish(self, state: TermCounts) -> TermCounts:
        return state


def _none(n: int) -> np.ndarray:
    return np.zeros(n, np.int64)


def texts(batch: Batch) -> Any:
    """The documents of a batch: the cells of its only column, as Python strings."""
    X = batch.X
    if isinstance(X, Columns):
        X = X.arrays[0]
    elif getattr(X, "ndim", 1) == 2:
        X = X[:, 0]
    return X.tolist() if isinstance(X, np.ndarray) else X.to_pylist()


@dataclass(frozen=True)
class Stored:
    """The answer of `StoredByColumn`: cells that are not zero (n_features,) and rows."""

    cells: np.ndarray
    n_rows: int


@dataclass(frozen=True)
class StoredByColumn(Statistic[Stored, Stored]):
    """Stored cells of each column of sparse rows; cells other than zero of dense ones.

    Attributes
    ----------
    who : str
        The estimator that refuses NaN and infinities.
    """

    who: str

    def of(self, batch: Batch) -> Stored:
        check_finite(batch, self.who)
        X = batch.matrix
        if sp.issparse(X):
            return Stored(np.bincount(X.indices, minlength=X.shape[1]), len(batch))
        return Stored(np.count_nonzero(X, axis=0), len(batch))

    def merge(self, left: Stored, right: Stored) -> Stored:
        return Stored(left.cells + right.cells, left.n_rows + right.n_rows)

    def finish(self, state: Stored) -> Stored:
        return state
