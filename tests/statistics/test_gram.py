"""Second moments against sums in extended precision: offsets, weights, CSR, order of rows, folds."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from millrace.errors import FitError
from millrace.statistics.base import Batch, Statistic
from millrace.statistics.gram import CrossMoments, Gram, GramOfFolds, RowPlaces, merged

N = 1_000


def answer(
    statistic: Statistic[Any, Any], X: Any, y: Any = None, weight: Any = None, step: int = 170
) -> Any:
    """What the statistic finds batch by batch, joined in a tree, through pickles."""
    states: list[Any] = []
    for first in range(0, X.shape[0], step):
        here = slice(first, first + step)
        batch = Batch(
            first,
            X[here],
            None if y is None else y[here],
            None if weight is None else weight[here],
        )
        states.append(pickle.loads(pickle.dumps(statistic.of(batch))))
    while len(states) > 1:
        pairs = [states[i : i + 2] for i in range(0, len(states), 2)]
        states = [statistic.merge(*p) if len(p) == 2 else p[0] for p in pairs]
    return statistic.finish(states[0])


def exact(Z: np.ndarray, weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Mean and scatter in extended precision."""
    Z = Z.astype(np.longdouble)
    w = np.ones(len(Z), np.longdouble) if weight is None else weight.astype(np.longdouble)
    mean = w @ Z / w.sum()
    apart = Z - mean
    return mean.astype(float), (apart.T @ (apart * w[:, None])).astype(float)


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest error against the norms of the two columns."""
    norm = np.sqrt(np.diag(expected))
    return float((np.abs(found - expected) / np.outer(norm, norm)).max())


def rows(offset: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N, 5)) * [1.0, 10.0, 0.1, 3.0, 1e3] + offset
    return X, rng.normal(size=(N, 2)) + offset, rng.uniform(0.0, 3.0, N)


@pytest.mark.parametrize("offset", [0.0, 1e4, 1e8])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("order", ["random", "sorted"])
def test_moments_lose_nothing_to_a_common_offset(offset: float, weighted: bool, order: str) -> None:
    X, y, weight = rows(offset)
    if order == "sorted":
        X = np.sort(X, axis=0)
    w = weight if weighted else None
    found = answer(Gram(), X, y, w)
    mean, scatter = exact(np.hstack([X, y]), w)
    assert relative(found.scatter, scatter) < 1e-13
    spread = np.sqrt(np.diag(scatter) / N)
    assert (np.abs(found.mean - mean) <= 1e-14 * (np.abs(mean) + spread)).all()
    np.testing.assert_array_equal(found.scatter, found.scatter.T)
    assert found.weight == pytest.approx(N if w is None else w.sum(), rel=1e-14)
    assert (found.rows, found.n_features, found.n_targets, found.flat) == (N, 5, 2, False)


def test_float32_is_summed_in_float64() -> None:
    X, y, _ = rows(0.0)
    found = answer(Gram(), X.astype(np.float32), y)
    _, scatter = exact(np.hstack([X.astype(np.float32), y]), None)
    assert relative(found.scatter, scatter) < 1e-13
    assert found.dtype == np.float32
    assert answer(Gram(), X, y).dtype == np.float64


@pytest.mark.parametrize("weighted", [False, True])
def test_csr_is_the_dense_answer(weighted: bool) -> None:
    X, y, weight = rows(1e6)
    few = sp.random(N, 20, 0.1, "csr", rng=np.random.default_rng(1))
    dense = X.copy()
    dense[::7] = 0.0  # a column that is mostly stored, and not always
    both = sp.hstack([few, sp.csr_matrix(dense)], "csr")
    w = weight if weighted else None
    found = answer(Gram(), both, y, w)
    mean, scatter = exact(np.hstack([both.toarray(), y]), w)
    assert relative(found.scatter, scatter) < 1e-12
    np.testing.assert_allclose(found.mean, mean, rtol=1e-13)
    assert found.sparse


def test_csr_with_a_cell_stored_twice_counts_their_sum() -> None:
    X = sp.csr_matrix((np.r_[1.0, 2.0, 5.0], np.r_[0, 0, 1], np.r_[0, 2, 3]), shape=(2, 2))
    found = answer(Gram(target=False), X)
    np.testing.assert_allclose(found.about_zero, [[9.0, 0.0], [0.0, 25.0]], atol=1e-14)


def test_a_basis_is_applied_to_centred_rows() -> None:
    X, y, weight = rows(50.0)
    rng = np.random.default_rng(2)
    centre, basis = X.mean(axis=0), rng.normal(size=(5, 3))
    turned = answer(Gram(centre=centre, basis=basis), X, y, weight)
    _, scatter = exact(np.hstack([(X - centre) @ basis, y]), weight)
    assert relative(turned.scatter, scatter) < 1e-12
    sparse = answer(Gram(centre=centre, basis=basis), sp.csr_matrix(X), y, weight)
    assert relative(sparse.scatter, scatter) < 1e-12


def test_merging_is_associative_up_to_rounding_and_changes_nothing() -> None:
    X, y, _ = rows(1e5)
    gram = Gram()
    a, b, c = (gram.of(Batch(s, X[s : s + 300], y[s : s + 300])) for s in (0, 300, 600))
    before = a.scatter.copy()
    left, right = merged(merged(a, b), c), merged(a, merged(b, c))
    assert relative(left.scatter, right.scatter) < 1e-14
    np.testing.assert_array_equal(a.scatter, before)


@pytest.mark.parametrize("starts", [False, True])
def test_folds_are_consecutive_rows(starts: bool) -> None:
    X, y, _ = rows(10.0)
    ends = (334, 667, 1_000)
    places = answer(RowPlaces(), X, y) if starts else None
    found: tuple[CrossMoments, ...] = answer(GramOfFolds(Gram(), ends, places), X, y)
    for k, (first, last) in enumerate(zip((0, *ends[:-1]), ends, strict=True)):
        _, scatter = exact(np.hstack([X[first:last], y[first:last]]), None)
        assert found[k].rows == last - first
        assert relative(found[k].scatter, scatter) < 1e-13


def test_row_places_count_past_the_gaps() -> None:
    parts = [(0, 3), (10, 2), (20, 4)]
    statistic = RowPlaces()
    states = [statistic.of(Batch(first, np.zeros((n, 1)))) for first, n in parts]
    state = statistic.merge(statistic.merge(states[0], states[1]), states[2])
    assert statistic.finish(state) == {0: 0, 10: 3, 20: 5, -1: 9}


def test_equal_questions_have_equal_keys_whoever_asks() -> None:
    assert Gram(who="Ridge").key == Gram(who="Lasso").key
    assert Gram().key != Gram(target=False).key
    assert GramOfFolds(Gram(), (3, 6)).key != GramOfFolds(Gram(), (2, 6)).key


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["X", "y", "sparse"])
def test_what_is_not_finite_is_refused_with_its_row(value: float, where: str) -> None:
    X, y, _ = rows(0.0)
    (y if where == "y" else X)[423, 1] = value
    given = sp.csr_matrix(X) if where == "sparse" else X
    with pytest.raises(FitError, match="row 423"):
        answer(Gram(who="Ridge"), given, y)


def test_negative_weights_are_refused() -> None:
    X, y, weight = rows(0.0)
    weight[5] = -1.0
    with pytest.raises(FitError, match="negative"):
        answer(Gram(), X, y, weight)
