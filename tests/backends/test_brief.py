"""Short programs: the bits of scikit-learn, on arrays of every kind, and never the caller's own rows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.preprocessing import FunctionTransformer

import millrace as mr

X = np.random.default_rng(0).normal(size=(300, 4))


@pytest.mark.parametrize("rows", [X, X.astype("f4"), np.asfortranarray(X), X[::3], X[:1], X[:0]])
@pytest.mark.parametrize("function", [np.log1p, np.abs, np.isnan], ids=lambda f: f.__name__)
def test_one_function(function: np.ufunc, rows: np.ndarray) -> None:
    source = FunctionTransformer(function).fit(X)
    model = mr.compile(source, verify=False)
    for _ in range(2):  # the second call takes the short way
        answer = model.transform(rows)
        with np.errstate(all="ignore"):
            expected = source.transform(rows)
        assert answer.dtype == expected.dtype
        assert answer.tobytes() == expected.tobytes()
        assert not np.may_share_memory(answer, rows)


@pytest.mark.parametrize("n_rows", [1, 2, 300])
def test_constants(n_rows: int) -> None:
    y = X[:, 0]
    sources = [
        (DummyRegressor().fit(X, y), "predict"),
        (DummyRegressor().fit(X, X[:, :2]), "predict"),
        (DummyClassifier().fit(X, y > 0.5), "predict_proba"),
    ]
    for source, method in sources:
        model = mr.compile(source, verify=False)
        for _ in range(2):
            answer = getattr(model, method)(X[:n_rows])
            expected = getattr(source, method)(X[:n_rows])
            assert answer.shape == expected.shape
            assert answer.tobytes() == expected.tobytes()
            if answer.flags.writeable:  # then it is the caller's, and the next answer is another
                answer[:] = -1


@pytest.mark.parametrize("n_rows", [40, 40_000], ids=["one block", "blocks"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "int64"])
def test_sparse_answers_share_nothing_with_the_rows(n_rows: int, dtype: str) -> None:
    sp = pytest.importorskip("scipy.sparse")
    counts = np.random.default_rng(1).poisson(0.6, (n_rows, 30)).astype(dtype)
    rows = sp.csr_matrix(counts)
    source = TfidfTransformer().fit(rows[:40])
    model = mr.compile(source, verify=False)
    before = rows.copy()
    answer, expected = model.transform(rows), source.transform(rows)
    for name in ("data", "indices", "indptr"):
        mine, theirs = getattr(answer, name), getattr(expected, name)
        assert np.array_equal(mine, theirs)
        assert not np.may_share_memory(mine, getattr(rows, name))
    answer.data[::2] = 0
    answer.eliminate_zeros()
    assert (rows != before).nnz == 0
