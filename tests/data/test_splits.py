"""Folds: every row in one, the same for any batches and process, groups whole, classes even."""

from __future__ import annotations

import datetime
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    PredefinedSplit,
    ShuffleSplit,
    StratifiedKFold,
    TimeSeriesSplit,
)

from millrace.data import Folds, TrainTest, shuffled
from millrace.data.hashing import hashes_of
from millrace.errors import MissingColumnsError, SplitError

N = 5_000
RNG = np.random.default_rng(0)
LABELS = RNG.choice(["a", "b", "rare"], N, p=[0.7, 0.29, 0.01])
GROUPS = pa.record_batch({"who": [f"person {i}" for i in RNG.integers(0, 400, N)]})

SPLITS = {
    "rows": Folds(5),
    "seed": Folds(5, seed=3),
    "groups": Folds(5, key="who"),
    "strata": Folds(5, stratify=True),
    "contiguous": Folds.contiguous(5, N),
    "held out": TrainTest(0.3),
    "held out groups": TrainTest(0.3, key="who"),
    "held out strata": TrainTest(0.3, stratify=True),
}


def dealt(split, sizes=(N,)):
    parts, first = [], 0
    for n in sizes:
        y = pa.array(LABELS[first : first + n])
        parts.append(split.of(first, n, GROUPS.slice(first, n), y))
        first += n
    return np.concatenate(parts)


@pytest.mark.parametrize("name", SPLITS)
def test_batches_of_any_size_give_the_same_folds(name):
    found = dealt(SPLITS[name])
    assert found.dtype == np.int8
    assert set(found.tolist()) == set(range(SPLITS[name].n))
    import copy

    again = Folds(5, stratify=True) if name == "strata" else copy.copy(SPLITS[name])
    assert (dealt(again, (1, 999, 3000, 1000)) == found).all()
    assert (SPLITS[name].of(999, 2, GROUPS.slice(999, 2)) == found[999:1001]).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_rows_are_dealt_evenly_and_by_the_seed(seed):
    found = Folds(10, seed=seed).of(0, 100_000)
    assert (np.abs(np.bincount(found) - 10_000) < 400).all()  # four deviations
    assert (found != Folds(10, seed=seed + 1).of(0, 100_000)).mean() > 0.85
    assert abs(TrainTest(0.25, seed=seed).of(0, 100_000).mean() - 0.25) < 0.006


def test_groups_stay_together():
    found = dealt(SPLITS["groups"])
    for who in set(GROUPS["who"].to_pylist()):
        rows = np.array(GROUPS["who"].to_pylist()) == who
        assert len(set(found[rows].tolist())) == 1


@pytest.mark.parametrize("n", [2, 5, 10])
def test_classes_are_dealt_evenly(n):
    found = dealt(Folds(n, stratify=True))
    for label in ("a", "b", "rare"):
        counts = np.bincount(found[label == LABELS], minlength=n)
        assert counts.max() - counts.min() <= 1


def test_of_each_class_the_fraction_is_held_out():
    found = dealt(TrainTest(0.3, stratify=True))
    for label in ("a", "b", "rare"):
        rows = label == LABELS
        # A golden-ratio sequence of n terms is off by less than log(n) terms; one for each two here.
        assert abs(found[rows].sum() - 0.3 * rows.sum()) <= 3


@pytest.mark.parametrize(("n", "n_rows"), [(3, 10), (5, 5), (4, 4001)])
def test_contiguous_folds_are_those_of_kfold(n, n_rows):
    found = Folds.contiguous(n, n_rows)
    for k, (_, test) in enumerate(KFold(n).split(np.zeros(n_rows))):
        assert np.flatnonzero(found.of(0, n_rows) == k).tolist() == test.tolist()


@pytest.mark.parametrize(
    "cv",
    [KFold(4, shuffle=True, random_state=0), StratifiedKFold(3), GroupKFold(5),
     PredefinedSplit(np.arange(N) % 7)],
    ids=lambda cv: type(cv).__name__,
)  # fmt: skip
def test_a_splitter_gives_its_own_folds(cv):
    groups = np.array(GROUPS["who"].to_pylist()) if isinstance(cv, GroupKFold) else None
    found = Folds.from_splitter(cv, N, LABELS, groups)
    tests = [test for _, test in cv.split(np.zeros((N, 1)), LABELS, groups)]
    assert found.n == len(tests)
    for k, test in enumerate(tests):
        assert set(np.flatnonzero(found.of(0, N) == k)) == set(test)
    assert repr(found) == repr(Folds.from_splitter(cv, N, LABELS, groups))
    assert repr(found) != repr(Folds.contiguous(found.n, N))


@pytest.mark.parametrize(
    ("cv", "why"),
    [
        (TimeSeriesSplit(3), "training rows of fold 0 are not all the others"),
        (ShuffleSplit(3, random_state=0), "is in several test folds"),
        (PredefinedSplit([-1] * 10 + [0] * 20 + [1] * 20), "row 0 is in no test fold"),
        ([(np.arange(50), np.arange(5))], "training rows of fold 0"),
    ],
    ids=["time", "shuffle", "predefined", "list"],
)
def test_splits_that_are_no_partition(cv, why):
    with pytest.raises(SplitError, match=why):
        Folds.from_splitter(cv, 50)


def test_what_a_split_needs():
    with pytest.raises(SplitError, match="needs the column 'who'"):
        Folds(3, key="who").of(0, 5)
    with pytest.raises(MissingColumnsError, match=r"'woh' .did you mean 'who'"):
        Folds(3, key="woh").of(0, 5, GROUPS.slice(0, 5))
    with pytest.raises(SplitError, match="needs the target"):
        Folds(3, stratify=True).of(0, 5)
    with pytest.raises(SplitError, match="row 7 came before row 0"):
        Folds(3, stratify=True).of(7, 5, None, np.zeros(5))
    with pytest.raises(SplitError, match="more than 10,000 different"):
        Folds(3, stratify=True).of(0, 20_000, None, np.arange(20_000.0))
    with pytest.raises(SplitError, match="needs at most 10 rows"):
        Folds.contiguous(2, 10).of(8, 5)
    for wrong in (1, 128):
        with pytest.raises(ValueError, match="2 to 127 folds"):
            Folds(wrong)


# --- hashes -------------------------------------------------------------------------------------

MOMENT = datetime.datetime(2024, 2, 29, 13, 0, 1)
EQUAL = {
    "integers": [pa.array([3, -1, None], t) for t in (pa.int8(), pa.int64(), pa.float32(), pa.float64())],
    "texts": [
        pa.array(["a", "", None, "größer"], t) for t in (pa.string(), pa.large_string())
    ] + [pa.array(["a", "", None, "größer"]).dictionary_encode()],
    "zeros": [pa.array([0.0]), pa.array([-0.0]), pa.array([0]), pa.array([False])],
    "days": [pa.array([datetime.date(2024, 2, 29)]), pa.array([datetime.datetime(2024, 2, 29)])],
    "moments": [pa.array([MOMENT], pa.timestamp(u)) for u in ("s", "ms", "us", "ns")],
}  # fmt: skip


@pytest.mark.parametrize("name", EQUAL)
def test_equal_values_have_equal_hashes(name):
    first, *others = [hashes_of(column).tolist() for column in EQUAL[name]]
    assert all(found == first for found in others)
    assert len(set(first)) == len(first)


@given(st.lists(st.text(max_size=8), max_size=30), st.integers(0, 5))
def test_hashes_of_texts_tell_them_apart_at_any_offset(texts, skip):
    column = pa.array(["before"] * skip + texts, pa.string())
    found = hashes_of(column.slice(skip))
    assert len(set(found.tolist())) == len(set(texts))
    assert found.tolist() == [int(hashes_of(pa.array([t]))[0]) for t in texts]


@given(st.lists(st.floats(allow_nan=True), max_size=30))
def test_hashes_of_floats_tell_them_apart(values):
    found = hashes_of(np.array(values, float))
    distinct = {"nan" if v != v else v for v in values}
    assert len(set(found.tolist())) == len(distinct)


def test_hashes_are_the_same_in_another_process():
    code = (
        "import pyarrow as pa\nfrom millrace.data.hashing import hashes_of\n"
        "print(hashes_of(pa.array(['x', 'yz', None])).tolist(), hashes_of(pa.array([1, 2.5])).tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    texts, numbers = hashes_of(pa.array(["x", "yz", None])), hashes_of(pa.array([1, 2.5]))
    assert done.stdout.strip() == f"{texts.tolist()} {numbers.tolist()}"


def test_a_key_that_cannot_be_hashed():
    batch = pa.record_batch({"k": [[1], [2]]})
    with pytest.raises(SplitError, match=r"'k' holds list"):
        Folds(2, key="k").of(0, 2, batch)


# --- another order ------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [7, 64, 1000])
def test_shuffled_rows_stay_within_their_window(window):
    rows = pa.record_batch({"i": np.arange(300)})

    def order(seed, size):
        parts = [rows.slice(i, size) for i in range(0, 300, size)]
        return np.concatenate([b["i"].to_numpy() for b in shuffled(parts, seed, window)])

    found = order(1, 50)
    assert sorted(found) == list(range(300))
    assert (found // window == np.arange(300) // window).all()
    assert (order(1, 13) == found).all(), "the size of the batches does not matter"
    assert (order(2, 50) != found).any()
