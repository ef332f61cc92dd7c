"""The sample of rows."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from millrace.statistics import Batch, Columns
from millrace.statistics.sample import Sample, hashed


def _batches(n, size, form="dense"):
    X = np.arange(2.0 * n).reshape(n, 2)
    weight = 1.0 + np.arange(n) % 3
    for i in range(0, n, size):
        block = X[i : i + size]
        if form == "sparse":
            block = sp.csr_matrix(block)
        if form == "columns":
            block = Columns(("a", "b"), (block[:, 0], block[:, 1]))
        yield Batch(i, block, np.arange(i, min(n, i + size)), weight[i : i + size])


def _sampled(statistic, batches):
    states = [statistic.of(b) for b in batches]
    while len(states) > 1:
        pairs = [statistic.merge(a, b) for a, b in zip(states[::2], states[1::2], strict=False)]
        states = pairs + states[2 * len(pairs) :]
    return statistic.finish(states[0])


def test_the_rows_do_not_depend_on_the_batches():
    chosen = [_sampled(Sample(50), _batches(1000, size)).batch for size in (1000, 333, 64, 7)]
    for other in chosen[1:]:
        np.testing.assert_array_equal(other.row_numbers(), chosen[0].row_numbers())
        np.testing.assert_array_equal(other.X, chosen[0].X)


def test_they_are_those_with_the_smallest_hashes_in_order():
    found = _sampled(Sample(50), _batches(1000, 100)).batch.row_numbers()
    least = np.sort(np.argsort(hashed(np.arange(1000)))[:50])
    np.testing.assert_array_equal(found, least)


def test_rows_targets_and_weights_belong_together():
    found = _sampled(Sample(80), _batches(900, 100))
    rows = found.batch.row_numbers()
    np.testing.assert_array_equal(found.batch.y, rows)
    np.testing.assert_array_equal(found.batch.X[:, 0], 2.0 * rows)
    np.testing.assert_array_equal(found.batch.weight, 1.0 + rows % 3)
    assert found.weight == sum(1 + i % 3 for i in range(900))


def test_every_form_of_rows_gives_the_same_numbers():
    dense = _sampled(Sample(30), _batches(400, 90)).batch.matrix
    sparse = _sampled(Sample(30), _batches(400, 90, "sparse")).batch.matrix
    columns = _sampled(Sample(30), _batches(400, 90, "columns")).batch.matrix
    np.testing.assert_array_equal(sparse.toarray(), dense)
    np.testing.assert_array_equal(columns, dense)


def test_merging_is_associative():
    s = Sample(40)
    a, b, c = (s.of(x) for x in _batches(300, 100))
    left, right = (s.finish(one) for one in (s.merge(s.merge(a, b), c), s.merge(a, s.merge(b, c))))
    np.testing.assert_array_equal(left.batch.row_numbers(), right.batch.row_numbers())
    np.testing.assert_array_equal(left.batch.X, right.batch.X)


def test_a_small_table_is_kept_whole():
    found = _sampled(Sample(500), _batches(300, 100))
    assert found.complete
    np.testing.assert_array_equal(found.batch.row_numbers(), np.arange(300))


def test_knowing_the_number_of_rows_changes_nothing():
    known = _sampled(Sample(50, 5000), _batches(5000, 512)).batch.row_numbers()
    unknown = _sampled(Sample(50), _batches(5000, 512)).batch.row_numbers()
    np.testing.assert_array_equal(known, unknown)


def test_it_is_uniform():
    found = _sampled(Sample(2000), _batches(20_000, 4096)).batch.row_numbers()
    counts = np.histogram(found, bins=10, range=(0, 20_000))[0]
    assert ((counts - 200) ** 2 / 200).sum() < 21.7  # chi-squared, 9 degrees of freedom, 1 %
