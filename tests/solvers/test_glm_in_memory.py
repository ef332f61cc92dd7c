"""Generalised linear models of rows that are all in the sample: some rows first, then all of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, PoissonRegressor

from millrace.fitting.fit import fit_by_solvers
from millrace.runtime.pool import get_threads, set_threads
from millrace.solvers.sklearn._labels import source_checks
from millrace.solvers.sklearn._newton import COARSER

N_ROWS = 6_000


def _rows(kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_ROWS, 4)) * [0.01, 1.0, 3.0, 100.0] + 20.0
    z = (X - X.mean(axis=0)) @ [50.0, 1.0, -0.5, 0.01]
    y = (z + rng.logistic(size=N_ROWS) > 0).astype(int)
    if kind == "the first rows are of one class":
        y[::COARSER] = 1  # those that the search begins with: a plane divides them
    elif kind == "rare":
        y = ((z > np.quantile(z, 0.98)) & (rng.random(N_ROWS) < 0.1)).astype(int)
    elif kind == "three classes":
        y = np.digitize(z + rng.logistic(size=N_ROWS), [-1.0, 1.0])
    elif kind == "sorted":
        order = np.argsort(z)
        X, y = X[order], y[order]
    weight = rng.integers(0, 4, N_ROWS) / 2.0 if kind == "weighted" else None
    return X, y, weight


@pytest.fixture
def any_threads() -> Iterator[None]:
    before = get_threads()
    yield
    set_threads(before)


KINDS = ["the first rows are of one class", "rare", "three classes", "sorted", "weighted"]


@pytest.mark.usefixtures("any_threads")
@pytest.mark.parametrize("kind", KINDS)
def test_the_optimum_is_that_of_the_source(kind: str) -> None:
    X, y, weight = _rows(kind)
    ours = LogisticRegression()
    theirs = LogisticRegression(solver="newton-cholesky", tol=1e-11, max_iter=1_000)
    theirs.fit(X, y, sample_weight=weight)
    more: dict[str, Any] = {} if weight is None else {"weight": weight}
    coefs = []
    for n_threads in (1, 2):
        set_threads(n_threads)
        fit_by_solvers(ours, X, y, **more)
        coefs.append(ours.coef_)
    np.testing.assert_array_equal(coefs[0], coefs[1])
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-6)


def test_an_outlier_that_the_first_rows_lack() -> None:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(N_ROWS, 3))
    X[3] = [900.0, 0.0, 0.0]  # exp overflows where the column's coefficient is that of the others
    y = rng.poisson(np.exp(0.9 * np.clip(X[:, 0], -3, 3)))
    ours, theirs = (
        PoissonRegressor(alpha=1e-3, solver=s, tol=1e-9, max_iter=1_000)
        for s in ("lbfgs", "newton-cholesky")
    )
    fit_by_solvers(ours, X, y)
    theirs.fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-6, atol=1e-9)


def test_checks_that_warn_do_so_every_time() -> None:
    bad = LogisticRegression(penalty="l2", n_jobs=2)
    for _ in range(2):
        with pytest.warns(FutureWarning):
            source_checks(bad)
    wrong = LogisticRegression(solver="lbfgs", l1_ratio=0.5)
    for _ in range(2):
        with pytest.raises(ValueError, match="l2"):
            source_checks(wrong)
