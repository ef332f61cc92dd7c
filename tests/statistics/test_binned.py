"""Bins, and the cache of them: the same bytes however the rows are cut, kept or pickled."""

import pickle
from functools import reduce

import numpy as np
import pytest
import scipy.sparse as sp

from millrace.errors import FitError
from millrace.statistics import Batch
from millrace.statistics.binned import BinnedCache, RowSample, Targets, quantile_edges
from millrace.statistics.spooled import SpooledRows


def _rows(n=500, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 3)) * [1.0, 100.0, 1e-3]
    X[:, 1] = np.round(X[:, 1] / 50)
    X[rng.random(X.shape) < 0.1] = np.nan
    return X


def _answer(statistic, X, y=None, size=64, rows=None, through=lambda s: s, backwards=False):
    cuts = range(0, X.shape[0], size)
    batches = [
        Batch(
            int(i if rows is None else rows[i]),
            X[i : i + size],
            None if y is None else y[i : i + size],
            rows=None if rows is None else rows[i : i + size],
        )
        for i in cuts
    ]
    states = [through(statistic.of(b)) for b in batches]
    return statistic.finish(reduce(statistic.merge, states[::-1] if backwards else states))


def _twin(X, edges):
    """The bins by NumPy: how many edges are less than the value."""
    codes = np.array([np.searchsorted(e, x, "left") for e, x in zip(edges, X.T, strict=True)])
    return np.where(np.isnan(X.T), 255, codes)


def test_few_values_have_a_bin_each():
    values = np.array([3.0, -1.0, 7.0, 3.0, np.nan])[:, None]
    assert quantile_edges(values)[0].tolist() == [1.0, 5.0]


@pytest.mark.parametrize("column", [[2.0, 2.0], [np.nan, np.nan], [np.nan, 1.0]])
def test_a_column_of_one_value_has_no_edges(column):
    assert len(quantile_edges(np.array(column)[:, None])[0]) == 0


def test_many_values_have_bins_of_equal_size():
    x = np.random.default_rng(0).exponential(size=(20_000, 1))
    edges = quantile_edges(x)[0]
    sizes = np.bincount(np.searchsorted(edges, x[:, 0]))
    assert len(edges) == 254
    assert sizes.min() >= 77
    assert sizes.max() <= 80


def test_a_common_value_does_not_hide_the_others():
    x = np.r_[np.zeros(9_000), np.linspace(1, 2, 1_000)][:, None]
    sizes = np.bincount(np.searchsorted(quantile_edges(x)[0], x[:, 0]))
    assert sizes[0] == 9_000
    assert len(sizes) > 20


@pytest.mark.parametrize("size", [1, 64, 500])
@pytest.mark.parametrize("memory", [0, 1 << 20], ids=["disk", "memory"])
def test_bins_do_not_depend_on_batches_or_place(size, memory):
    X = _rows()
    edges = tuple(quantile_edges(X, 20))
    found = _answer(BinnedCache("X", edges, len(X), memory), X, size=size, backwards=True)
    assert np.array_equal(found.codes, _twin(X, edges))
    assert isinstance(found.codes, np.memmap) == (memory == 0)


def test_a_pickled_state_brings_its_rows():
    X = _rows()
    edges = tuple(quantile_edges(X, 20))

    def through(state):
        return pickle.loads(pickle.dumps(state))

    first = BinnedCache("X", edges, len(X), 1 << 20)
    found = first.finish(
        reduce(first.merge, [through(BinnedCache("X", edges, len(X), 0).of(Batch(0, X[:200]))),
                             first.of(Batch(200, X[200:]))])
    )  # fmt: skip
    assert np.array_equal(found.codes, _twin(X, edges))
    spool = SpooledRows("X", X.shape, "float64", 0)
    assert np.array_equal(_answer(spool, X, through=through), X, equal_nan=True)


def test_rows_that_are_left_out_take_no_place():
    X = _rows()
    rows = np.flatnonzero(np.arange(len(X)) % 5 != 2)
    edges = tuple(quantile_edges(X, 20))
    cache = BinnedCache("X", edges, len(rows), 1 << 20, rows)
    assert np.array_equal(_answer(cache, X[rows], rows=rows).codes, _twin(X[rows], edges))


def test_extremes_are_those_of_float32_values():
    X = _rows()
    single = X.astype(np.float32)
    edges = tuple(quantile_edges(single, 20))
    found = _answer(BinnedCache("X", edges, len(X), 1 << 20, single=True), X)
    assert np.array_equal(found.codes, _twin(single, edges))
    for j, codes in enumerate(found.codes):
        for b in np.unique(codes[codes < 255]):
            inside = single[codes == b, j]
            assert (found.low[j, b], found.high[j, b]) == (inside.min(), inside.max())


def test_sparse_rows_are_binned_like_dense_ones():
    X = np.nan_to_num(_rows(9_000))
    X[np.abs(X) < 0.5] = 0.0
    edges = tuple(quantile_edges(X, 20))
    found = _answer(BinnedCache("X", edges, len(X), 1 << 20), sp.csr_matrix(X), size=5_000)
    assert np.array_equal(found.codes, _twin(X, edges))


def test_the_bins_are_those_of_scikit_learn():
    from sklearn.ensemble._hist_gradient_boosting.binning import _BinMapper

    X = _rows(3_000)
    mapper = _BinMapper(n_bins=65).fit(X)
    cache = BinnedCache("X", tuple(mapper.bin_thresholds_), len(X), 1 << 20, missing=64)
    assert np.array_equal(_answer(cache, X).codes.T, mapper.transform(X))


def test_a_table_that_changes_between_sweeps_is_refused():
    X = _rows()
    cache = BinnedCache("Forest", tuple(quantile_edges(X)), len(X), 1 << 20)
    with pytest.raises(FitError, match="500 rows in one sweep and 300 in the next"):
        cache.finish(cache.of(Batch(0, X[:300])))


def test_a_sample_depends_on_row_numbers_alone():
    X = _rows(2_000)
    one = _answer(RowSample("X", size=300), X, size=2_000)
    many = _answer(RowSample("X", size=300), X, size=37, backwards=True)
    assert len(one.rows) == 300
    assert one.n_samples == many.n_samples == 2_000
    assert np.array_equal(one.rows, many.rows)
    assert np.array_equal(one.X, X[one.rows], equal_nan=True)
    assert np.array_equal(many.X, one.X, equal_nan=True)
    assert 800 < one.rows.mean() < 1_200  # from all of the table


def test_chosen_rows_are_those_rows():
    X, chosen = _rows(), np.array([0, 63, 64, 65, 499])
    found = _answer(RowSample("X", chosen=chosen), X, size=64)
    assert np.array_equal(found.rows, chosen)
    assert np.array_equal(found.X, X[chosen], equal_nan=True)


@pytest.mark.parametrize("bad", [np.inf, 1e39])
def test_what_float32_cannot_hold_is_refused(bad):
    X = np.zeros((5, 2))
    X[3, 1] = bad
    with pytest.raises(FitError):
        RowSample("Tree", single=True).of(Batch(0, X))


def test_targets_come_in_the_order_of_the_rows():
    y = np.array(["b", "a", "c", "a", "b", "d", "a"])
    found = _answer(Targets(True), np.zeros((7, 1)), y, size=2, backwards=True)
    assert found.classes.tolist() == ["a", "b", "c", "d"]
    assert found.classes[found.y].tolist() == y.tolist()
    assert found.rows is None


def test_a_target_that_is_not_finite_is_refused():
    y = np.array([1.0, 2.0, np.inf])
    with pytest.raises(FitError, match="infinite in row 2"):
        Targets(False).of(Batch(0, np.zeros((3, 1)), y))
