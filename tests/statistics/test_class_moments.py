"""Moments by class against NumPy on the rows of each class, in batches that lack some classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse as sp

from millrace.errors import FitError
from millrace.statistics.base import Batch
from millrace.statistics.class_moments import (
    ClassCategories,
    ClassMoments,
    ClassScatter,
    ClassSums,
)

N = 600


def answer(statistic: Any, X: Any, y: Any, weight: Any = None, step: int = 70) -> Any:
    state = None
    for first in range(0, X.shape[0], step):
        here = slice(first, first + step)
        w = None if weight is None else weight[here]
        found = statistic.of(Batch(first, X[here], y[here], w))
        state = found if state is None else statistic.merge(state, found)
    return statistic.finish(state)


def rows(offset: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three classes; the last appears in the last rows only."""
    rng = np.random.default_rng(7)
    y = rng.integers(0, 2, N)
    y[-90:] = rng.integers(0, 3, 90)
    X = rng.normal(size=(N, 3)) * [1.0, 5.0, 0.2] + y[:, None] * [3.0, 0.0, 1.0] + offset
    return X, np.array(["ash", "birch", "cedar"])[y], rng.uniform(0.5, 2.0, N)


def of_class(X: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    X, weight = X.astype(np.longdouble), weight.astype(np.longdouble)
    mean = weight @ X / weight.sum()
    apart = X - mean
    return mean.astype(float), (apart.T @ (apart * weight[:, None])).astype(float)


@pytest.mark.parametrize("offset", [0.0, 1e7])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("form", ["array", "csr", "arrow labels", "fortran"])
def test_mean_and_squares_of_every_class(offset: float, weighted: bool, form: str) -> None:
    X, y, weight = rows(offset)
    given: Any = {"csr": sp.csr_matrix(X), "fortran": np.asfortranarray(X)}.get(form, X)
    labels: Any = pa.array(y.tolist()) if form == "arrow labels" else y
    w = weight if weighted else np.ones(N)
    found = answer(ClassMoments(), given, labels, weight if weighted else None)
    assert found.classes.tolist() == ["ash", "birch", "cedar"]
    for k, label in enumerate(found.classes):
        mean, scatter = of_class(X[y == label], w[y == label])
        np.testing.assert_allclose(found.mean[k], mean, rtol=1e-13)
        np.testing.assert_allclose(found.second[k], np.diag(scatter), rtol=1e-11)
        assert found.counts[k] == (y == label).sum()
        assert found.weights[k] == pytest.approx(w[y == label].sum(), rel=1e-13)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
def test_scatter_of_every_class_and_pooled(weighted: bool, sparse: bool) -> None:
    X, y, weight = rows(1e5)
    given: Any = sp.csr_matrix(X) if sparse else X
    w = weight if weighted else np.ones(N)
    each = answer(ClassScatter(pooled=False), given, y, weight if weighted else None)
    pooled = answer(ClassScatter(), given, y, weight if weighted else None)
    within = np.zeros((3, 3))
    for k, label in enumerate(each.classes):
        _, scatter = of_class(X[y == label], w[y == label])
        np.testing.assert_allclose(each.second[k], scatter, rtol=1e-9, atol=1e-9)
        within += scatter
    np.testing.assert_allclose(pooled.second, within, rtol=1e-9, atol=1e-9)
    _, total = of_class(X, w)
    for found in (each, pooled):
        np.testing.assert_allclose(found.of_all(), total, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("above", [None, 0.0, 2.0])
def test_sums_by_class(sparse: bool, above: float | None) -> None:
    _, y, weight = rows()
    X = np.random.default_rng(8).poisson(1.0, (N, 4)).astype(float)
    found = answer(ClassSums(above=above), sp.csr_matrix(X) if sparse else X, y, weight)
    values = X if above is None else (above < X).astype(float)
    for k, label in enumerate(found.classes):
        np.testing.assert_allclose(
            found.mean[k], weight[y == label] @ values[y == label], rtol=1e-13
        )


@pytest.mark.parametrize("weighted", [False, True])
def test_categories_by_class_grow_with_the_batches(weighted: bool) -> None:
    _, y, weight = rows()
    rng = np.random.default_rng(9)
    X = np.column_stack([rng.integers(0, 3, N), np.arange(N) // 100])
    found = answer(ClassCategories(), X, y, weight if weighted else None)
    w = weight if weighted else np.ones(N)
    assert [c.shape for c in found.counts] == [(3, 3), (3, 6)]
    for j, counts in enumerate(found.counts):
        for k, label in enumerate(found.rows.classes):
            expected = np.bincount(X[y == label, j], w[y == label], minlength=counts.shape[1])
            np.testing.assert_allclose(counts[k], expected, rtol=1e-13)


def test_numbers_below_zero_are_refused_in_the_words_of_the_source() -> None:
    from sklearn.naive_bayes import MultinomialNB

    X, y, _ = rows()
    with pytest.raises(ValueError, match="Negative values") as theirs:
        MultinomialNB().fit(X, y)
    with pytest.raises(ValueError, match="Negative values") as ours:
        answer(ClassSums(who="MultinomialNB", not_negative=True), X, y)
    assert str(ours.value).rstrip(".") == str(theirs.value).rstrip(".")


@pytest.mark.parametrize("statistic", [ClassMoments(), ClassScatter(), ClassSums()], ids=str)
def test_what_is_not_finite_is_refused_with_its_row(statistic: Any) -> None:
    X, y, _ = rows()
    X[345, 2] = np.nan
    with pytest.raises(FitError, match="row 345"):
        answer(statistic, X, y)


@pytest.mark.parametrize("statistic", [ClassMoments(), ClassSums()], ids=str)
def test_a_label_that_is_missing_is_refused_with_its_row(statistic: Any) -> None:
    X, y, _ = rows()
    labels = pa.array([None if i == 77 else v for i, v in enumerate(y.tolist())])
    with pytest.raises(FitError, match="row 77"):
        answer(statistic, X, labels)


def test_as_many_classes_as_features_are_not_mistaken_for_a_pooled_scatter() -> None:
    X, y, _ = rows()
    at = np.argsort(y == "cedar", kind="stable")  # the third class comes last
    found = answer(ClassMoments(), X[at], y[at])
    for k, label in enumerate(found.classes):
        np.testing.assert_allclose(found.second[k], X[y == label].var(axis=0) * found.counts[k])


def test_several_labels_a_row_are_refused() -> None:
    X, y, _ = rows()
    with pytest.raises(FitError, match="one label a row"):
        answer(ClassMoments(), X, np.column_stack([y, y]))
