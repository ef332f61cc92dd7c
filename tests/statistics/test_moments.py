"""Moments of columns: against NumPy in extended precision, over batches, weights, NaN and CSR."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import scipy.sparse as sp

from millrace.errors import FitError
from millrace.statistics import Batch
from millrace.statistics.dependence import ByClass, WithTarget
from millrace.statistics.moments import ColumnMoments, Moments
from tests.statistics.batches import batches, in_a_line, in_pairs, table

# Sums of 300 values in different orders differ by a few roundings.
ROUNDING = 1e-13


def holes(X: np.ndarray, seed: int = 1) -> np.ndarray:
    X = X.copy()
    X[np.random.default_rng(seed).random(X.shape) < 0.2] = np.nan
    return X


def agree(a: ColumnMoments, b: ColumnMoments, rtol: float = ROUNDING) -> None:
    assert a.n_rows == b.n_rows
    np.testing.assert_array_equal(a.present, b.present)
    np.testing.assert_array_equal(a.least, b.least)
    np.testing.assert_array_equal(a.greatest, b.greatest)
    np.testing.assert_allclose(a.weight, b.weight, rtol)
    np.testing.assert_allclose(a.mean, b.mean, rtol, atol=1e-15)
    np.testing.assert_allclose(a.m2, b.m2, max(rtol, 1e-11))


@pytest.mark.parametrize("size", [1, 7, 37, 300])
@pytest.mark.parametrize("missing", [False, True], ids=["full", "missing"])
def test_batches_and_the_shape_of_the_tree_change_only_rounding(size: int, missing: bool) -> None:
    X = holes(table()) if missing else table()
    whole = in_a_line(Moments(), [Batch(0, X)])
    agree(in_a_line(Moments(), batches(X, size=size)), whole)
    agree(in_pairs(Moments(), batches(X, size=size)), whole)


def test_a_large_mean_costs_no_digits_of_the_variance() -> None:
    X = np.random.default_rng(3).normal(1e9, 1.0, (20_000, 2))
    exact = X.astype(np.longdouble)
    variance = ((exact - exact.mean(axis=0)) ** 2).mean(axis=0).astype(float)
    found = in_pairs(Moments(), batches(X, size=1000))
    # The mean of 1e9 itself is rounded to 1e-7; twelve digits of the variance are kept.
    np.testing.assert_allclose(found.variance, variance, rtol=1e-12)


def test_a_constant_column_has_no_variance_at_all() -> None:
    X = np.full((1000, 1), 0.1)
    assert in_pairs(Moments(), batches(X)).m2[0] == 0.0


def test_weights_are_repeated_rows() -> None:
    X = holes(table())
    times = np.random.default_rng(5).integers(0, 4, len(X))
    weighted = in_pairs(Moments(), batches(X, weight=times.astype(float)))
    repeated = in_pairs(Moments(), batches(np.repeat(X, times, axis=0)))
    np.testing.assert_array_equal(weighted.weight, repeated.weight)
    np.testing.assert_allclose(weighted.mean, repeated.mean, ROUNDING)
    np.testing.assert_allclose(weighted.m2, repeated.m2, 1e-11)


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("index", [np.int32, np.int64], ids=["int32", "int64"])
def test_sparse_rows_are_dense_rows(weighted: bool, index: type) -> None:
    rng = np.random.default_rng(8)
    X = holes(table())
    X[rng.random(X.shape) < 0.5] = 0.0
    X[:, 3] = 0.0
    weight = rng.uniform(0, 2, len(X)) if weighted else None
    rows = sp.csr_matrix(X)
    rows.indices, rows.indptr = rows.indices.astype(index), rows.indptr.astype(index)
    dense = Moments().finish(Moments().of(Batch(0, X, weight=weight)))
    agree(Moments().finish(Moments().of(Batch(0, rows, weight=weight))), dense, 1e-12)


def test_float32_rows_are_summed_in_float64() -> None:
    X = np.random.default_rng(2).normal(100, 1, (5000, 3)).astype(np.float32)
    found = in_pairs(Moments(), batches(X, size=1000))
    agree(found, in_pairs(Moments(), batches(X.astype(np.float64), size=1000)), 1e-15)


def test_a_column_without_values() -> None:
    X = np.array([[np.nan, 1.0], [np.nan, 3.0]])
    found = in_a_line(Moments(), batches(X, size=1))
    assert np.isnan([found.mean[0], found.least[0], found.variance[0]]).all()
    assert (found.mean[1], found.m2[1], list(found.missing)) == (2.0, 2.0, [2, 0])


def test_states_survive_pickling() -> None:
    state = Moments().of(Batch(0, table()))
    agree(pickle.loads(pickle.dumps(state)), state, 0)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan], ids=str)
def test_what_is_not_finite_is_refused_with_its_row(value: float) -> None:
    X = table()
    X[41, 2] = value
    with pytest.raises(FitError, match=r"Scaler .*column 2 .* row 41"):
        in_a_line(Moments(allow_nan=False, who="Scaler"), batches(X))


def test_nan_and_infinity_together_are_refused_where_nan_is_allowed() -> None:
    X = table()
    X[3, 0], X[100, 1] = np.nan, np.inf
    with pytest.raises(FitError, match=r"column 1 is infinite in row 100"):
        in_a_line(Moments(who="Scaler"), batches(X))


def test_moments_by_class_are_those_of_the_rows_of_the_class() -> None:
    X, y = table(), np.random.default_rng(4).choice(["b", "a", "c"], 300)
    found = in_pairs(ByClass(), batches(X, y))
    assert found.classes.tolist() == ["a", "b", "c"]
    for label, moments in zip("abc", found.moments, strict=True):
        agree(moments, Moments().finish(Moments().of(Batch(0, X[y == label]))))


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_comoments_with_the_target(sparse: bool) -> None:
    # Sparse rows are not centred, so a mean of 1e9 would cost them 9 digits.
    X = table()[:, [0, 1, 4] if sparse else [0, 2, 4]]
    y = X[:, 2] + np.random.default_rng(7).normal(1e6, 1, 300)
    found = in_pairs(WithTarget(), batches(sp.csr_matrix(X) if sparse else X, y))
    exact = X.astype(np.longdouble)
    gaps = y.astype(np.longdouble) - y.astype(np.longdouble).mean()
    products = (gaps @ (exact - exact.mean(axis=0))).astype(float)
    np.testing.assert_allclose(found.products, products, rtol=1e-11)
    np.testing.assert_allclose(found.y_m2, float(gaps @ gaps), rtol=1e-12)
