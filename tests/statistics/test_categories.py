"""Distinct values, counts and target sums: against pandas, for every kind of column."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from millrace.errors import FitError
from millrace.statistics import Batch, Columns
from millrace.statistics.categories import Counted, Distinct, Presence, TargetSums
from millrace.statistics.terms import StoredByColumn, Terms
from tests.statistics.batches import batches, in_a_line, in_pairs

N = 250


def words(missing: bool) -> list[str | None]:
    rng = np.random.default_rng(3)
    found: list[Any] = rng.choice(["ash", "birch", "Äpfel", "", "fig"], N).tolist()
    return [None if missing and rng.random() < 0.2 else w for w in found]


def column(kind: str) -> Any:
    rng = np.random.default_rng(9)
    whole = rng.integers(-3, 4, N)
    match kind:
        case "string":
            return pa.array(words(True))
        case "large_string":
            return pa.array(words(False), pa.large_string())
        case "dictionary":
            return pa.array(words(True)).dictionary_encode()
        case "odd dictionary":
            codes = pa.array([None if i % 7 == 0 else i % 4 for i in range(N)], pa.int8())
            return pa.DictionaryArray.from_arrays(codes, pa.array(["a", "b", "a", "c", "unused"]))
        case "int":
            return pa.array(whole)
        case "int with null":
            return pa.array(whole, mask=whole == 2)
        case "float":
            return pa.array(np.where(whole == 2, np.nan, whole * 0.5), mask=whole == 1)
        case "bool":
            return pa.array(whole > 0, mask=whole == -3)
        case "date":
            return pa.array(whole.astype("datetime64[D]"), mask=whole == 0)
        case "numpy":
            return np.where(whole == 2, np.nan, whole * 0.5)
        case _:
            return np.array([np.nan if w is None else w for w in words(True)], object)


KINDS = [
    "string", "large_string", "dictionary", "odd dictionary", "int", "int with null", "float", "bool",
    "date", "numpy", "objects",
]  # fmt: skip


def as_counts(found: Counted) -> tuple[dict[Any, int], int]:
    values = (
        found.values.tolist() if isinstance(found.values, np.ndarray) else found.values.to_pylist()
    )
    assert len(set(values)) == len(values)
    return dict(zip(values, found.counts.tolist(), strict=True)), found.nans + found.nones


def expected(cells: Any) -> tuple[dict[Any, int], int]:
    plain = cells.tolist() if isinstance(cells, np.ndarray) else cells.to_pylist()
    present = [v for v in plain if v is not None and v == v]
    return pd.Series(present, dtype=object).value_counts().to_dict(), len(plain) - len(present)


def cut(cells: Any, size: int = 37) -> list[Batch]:
    if isinstance(cells, np.ndarray):
        return batches(cells[:, None], size=size)
    return batches(Columns(("c",), (cells,)), size=size)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1, 37, N])
def test_counts_are_those_of_all_rows(kind: str, size: int) -> None:
    cells = column(kind)
    for merged in (in_pairs, in_a_line):
        (found,) = merged(Distinct(), cut(cells, size))
        assert as_counts(found) == expected(cells)


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_the_batches_changes_nothing(kind: str) -> None:
    parts = cut(column(kind))
    (forward,), (back,) = in_pairs(Distinct(), parts), in_pairs(Distinct(), parts[::-1])
    assert as_counts(forward) == as_counts(back)


@pytest.mark.parametrize("kind", KINDS)
def test_presence_counts_as_distinct_values_do(kind: str) -> None:
    cells = column(kind)
    (found,), (all_,) = in_pairs(Presence(), cut(cells)), in_pairs(Distinct(), cut(cells))
    assert (found.nans, found.nones) == (all_.nans, all_.nones)
    assert found.counts.tolist() == [all_.counts.sum()]
    assert set(as_counts(found)[0]) <= set(as_counts(all_)[0])


def test_presence_refuses_infinity_with_its_row() -> None:
    cells = pa.array([1.0, None, np.inf])
    with pytest.raises(FitError, match=r"Imputer .*'c' is infinite in row 2"):
        in_pairs(Presence("Imputer"), cut(cells, 2))


def test_batches_without_a_value_take_no_part() -> None:
    cells = pa.chunked_array([pa.nulls(40, pa.string()), pa.array(["x"] * 3)]).combine_chunks()
    (found,) = in_pairs(Distinct(), cut(cells, 20))
    assert as_counts(found) == ({"x": 3}, 40)


def test_none_and_nan_are_told_apart_in_objects() -> None:
    cells = np.array(["a", None, np.nan, "a", np.nan], object)
    (found,) = in_pairs(Distinct(), cut(cells, 2))
    assert (found.nans, found.nones) == (2, 1)
    values, counts, _ = found.complete()
    assert counts.tolist() == [2, 2, 1]
    assert values[0] == "a"
    assert np.isnan(values[1])
    assert values[2] is None


def test_states_survive_pickling() -> None:
    state = Distinct().of(cut(column("dictionary"), N)[0])
    again = pickle.loads(pickle.dumps(state))
    assert as_counts(again[0]) == as_counts(state[0])


@pytest.mark.parametrize("kind", ["string", "numpy", "objects"])
def test_target_sums_are_those_of_the_groups(kind: str) -> None:
    cells, y = column(kind), np.random.default_rng(1).normal(1e6, 1, N)
    X = cells[:, None] if isinstance(cells, np.ndarray) else Columns(("c",), (cells,))
    (found,) = in_pairs(TargetSums(np.array([y.mean()])), batches(X, y))
    series = pd.Series(cells if isinstance(cells, np.ndarray) else cells.to_pylist())
    groups = pd.Series(y - y.mean()).groupby(series, dropna=False)
    values, counts, sums = found.complete()
    labels = values.tolist() if isinstance(values, np.ndarray) else values.to_pylist()
    for label, count, line in zip(labels, counts, sums, strict=True):
        missing = label is None or label != label
        group = groups.get_group(np.nan if missing else label)
        assert count == len(group)
        # Up to 100 gaps of size 1 that cancel.
        np.testing.assert_allclose(line, [group.sum(), (group**2).sum()], rtol=1e-12, atol=1e-12)


def test_target_sums_of_labels_count_them() -> None:
    y = np.random.default_rng(2).choice(["n", "p", "q"], N)
    X = Columns(("c",), (column("string"),))
    (found,) = in_pairs(TargetSums(np.zeros(3), np.unique(y)), batches(X, y))
    _, counts, sums = found.complete()
    np.testing.assert_array_equal(sums[:, :3].sum(axis=1), counts)
    np.testing.assert_array_equal(sums[:, :3].sum(axis=0), [(y == c).sum() for c in "npq"])


@pytest.mark.parametrize("size", [1, 5, 40])
def test_terms_are_those_of_the_vectorizer(size: int) -> None:
    from sklearn.feature_extraction.text import CountVectorizer

    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(["ant", "bee", "cat", "dog"], k)) for k in rng.integers(0, 6, 40)]
    vectorizer = CountVectorizer(ngram_range=(1, 2))
    found = in_pairs(Terms(vectorizer), batches(Columns(("t",), (pa.array(texts),)), size=size))
    counts = vectorizer.fit_transform(texts)
    at = [vectorizer.vocabulary_[t] for t in found.terms]
    assert sorted(at) == list(range(counts.shape[1]))
    np.testing.assert_array_equal(found.times, counts.sum(axis=0).A1[at])
    np.testing.assert_array_equal(found.documents, (counts > 0).sum(axis=0).A1[at])
    assert found.n_rows == 40


def test_stored_cells_by_column() -> None:
    import scipy.sparse as sp

    X = np.random.default_rng(4).integers(0, 2, (90, 4)) * 1.5
    for rows in (X, sp.csr_matrix(X)):
        found = in_pairs(StoredByColumn("Tfidf"), batches(rows))
        assert (found.cells.tolist(), found.n_rows) == ((X != 0).sum(axis=0).tolist(), 90)
