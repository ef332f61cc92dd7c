"""Sums of expectation maximisation."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from millrace.statistics import Batch
from millrace.statistics.mixture import Responsibilities

KINDS = ["full", "tied", "diag", "spherical"]


def _case(kind, offset=0.0):
    rng = np.random.default_rng(2)
    X = rng.standard_normal((160, 3)) @ rng.standard_normal((3, 3)) + offset
    X[:80] += 2.0
    model = GaussianMixture(2, covariance_type=kind, random_state=0, max_iter=3, tol=1.0).fit(X)
    asked = Responsibilities(np.log(model.weights_), model.means_, model.precisions_cholesky_, kind)
    return X, model, asked


@pytest.mark.parametrize("kind", KINDS)
def test_likelihood_and_mass_are_those_of_scikit_learn(kind):
    X, model, asked = _case(kind)
    found = asked.of(Batch(0, X))
    np.testing.assert_allclose(found.log_likelihood, model.score_samples(X).sum(), rtol=1e-12)
    np.testing.assert_allclose(found.mass, model.predict_proba(X).sum(axis=0), rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_second_sums_are_around_the_origin(kind):
    X, model, asked = _case(kind)
    resp = model.predict_proba(X)
    found = asked.of(Batch(0, X))
    for c in range(2):
        away = X - (asked.origin[c] if kind == "full" else asked.origin)
        np.testing.assert_allclose(found.first[c], resp[:, c] @ away, rtol=1e-10, atol=1e-10)
        if kind == "full":
            np.testing.assert_allclose(found.second[c], (resp[:, c] * away.T) @ away, rtol=1e-10)
        elif kind == "tied":
            np.testing.assert_allclose(found.second, away.T @ away, rtol=1e-10)
        else:
            np.testing.assert_allclose(found.second[c], resp[:, c] @ (away * away), rtol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_merging_is_associative_and_is_the_whole(kind):
    X, _, asked = _case(kind)
    a, b, c = (asked.of(Batch(i, X[i : i + 60])) for i in (0, 60, 120))
    left, right = asked.merge(asked.merge(a, b), c), asked.merge(a, asked.merge(b, c))
    whole = asked.of(Batch(0, X))
    for name in ("log_likelihood", "mass", "first", "second"):
        value = getattr(left, name)
        np.testing.assert_allclose(getattr(right, name), value, rtol=1e-12, atol=1e-11)
        np.testing.assert_allclose(getattr(whole, name), value, rtol=1e-11, atol=1e-10)
    assert left.n_rows == whole.n_rows == 160


def test_a_far_origin_costs_no_digits():
    near, far = _case("full"), _case("full", offset=1e5)
    a, b = near[2].of(Batch(0, near[0])), far[2].of(Batch(0, far[0]))
    np.testing.assert_allclose(b.second, a.second, rtol=1e-4)
    assert np.linalg.eigvalsh(b.second).min() > 0
