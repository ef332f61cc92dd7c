"""Losses, gradients and Hessians of linear models."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse as sp

from millrace.errors import FitError
from millrace.solvers import lookup
from millrace.solvers.rows import Rows, Source
from millrace.solvers.sklearn import _newton
from millrace.statistics import Batch
from millrace.statistics import glm as glm_module
from millrace.statistics.base import Columns
from millrace.statistics.glm import GLM, Labels
from millrace.statistics.losses import (
    Binomial,
    Gamma,
    Huber,
    Multinomial,
    Poisson,
    SmoothPinball,
    Squared,
    SquaredEpsilonInsensitive,
    SquaredHinge,
    Tweedie,
)

LOSSES = {
    "squared": (Squared(), "numbers"),
    "binomial": (Binomial(), "two"),
    "multinomial": (Multinomial(), "three"),
    "poisson": (Poisson(), "counts"),
    "gamma": (Gamma(), "positive"),
    "tweedie": (Tweedie(1.5), "counts"),
    "inverse gaussian": (Tweedie(3.0), "positive"),
    "squared hinge": (SquaredHinge(), "two"),
    "squared tube": (SquaredEpsilonInsensitive(0.2), "numbers"),
    "huber": (Huber(1.35), "numbers"),
    "quantile": (SmoothPinball("pinball", 0.3, 0.8, 0.2), "numbers"),
    "hinge": (SmoothPinball("hinge", 0.3), "two"),
    "tube": (SmoothPinball("tube", 0.1, epsilon=0.4), "numbers"),
}


def _case(name, n=60, sparse=False, hessian=True, n_candidates=1):
    loss, kind = LOSSES[name]
    rng = np.random.default_rng(7)
    X = rng.standard_normal((n, 3))
    X[rng.random((n, 3)) < 0.3] = 0.0
    y = {
        "numbers": rng.standard_normal(n),
        "two": rng.integers(0, 2, n),
        "three": rng.integers(0, 3, n),
        "counts": rng.poisson(2.0, n).astype(float),
        "positive": rng.gamma(2.0, 1.0, n),
    }[kind]
    labels = None
    if kind == "two":
        labels = Labels(np.array([0, 1]), np.array([1.0, 2.5]), 1)
    if kind == "three":
        labels = Labels(np.arange(3))
    outputs = 3 if kind == "three" else 1
    coef = 0.4 * rng.standard_normal((n_candidates, outputs, 4 + int(loss.has_scale)))
    if loss.has_scale:
        coef[..., -1] = 0.7
    batch = Batch(0, sp.csr_matrix(X) if sparse else X, y, rng.random(n))
    return GLM(loss, coef, labels, hessian=hessian), batch


def _at(glm, coef):
    return GLM(glm.loss, coef, glm.labels, glm.intercept, glm.center, glm.hessian)


def _close(a, b, rtol=1e-11):
    for name in ("loss", "gradient", "hessian", "weight"):
        x, y = getattr(a, name), getattr(b, name)
        if x is not None:
            np.testing.assert_allclose(x, y, rtol=rtol, atol=1e-11, err_msg=name)


@pytest.mark.parametrize("name", LOSSES)
def test_derivatives_are_those_of_the_loss(name):
    glm, batch = _case(name)
    here = glm.of(batch)
    h = 1e-6
    size = glm.coef[0].size
    slope, curve = np.empty(size), np.empty((size, size))
    for j in range(size):
        step = np.zeros(size)
        step[j] = h
        step = step.reshape(glm.coef.shape)
        up, down = _at(glm, glm.coef + step).of(batch), _at(glm, glm.coef - step).of(batch)
        slope[j] = (up.loss[0] - down.loss[0]) / (2 * h)
        curve[j] = ((up.gradient - down.gradient) / (2 * h)).ravel()
    np.testing.assert_allclose(here.gradient.ravel(), slope, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(here.hessian, curve, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_sparse_rows_give_what_dense_ones_give(name):
    dense, sparse = _case(name), _case(name, sparse=True)
    _close(dense[0].of(dense[1]), sparse[0].of(sparse[1]))


@pytest.mark.parametrize("centred", [False, True], ids=["as they are", "centred"])
@pytest.mark.parametrize("name", ["binomial", "multinomial", "huber", "inverse gaussian"])
def test_columns_give_what_a_matrix_gives_block_by_block(monkeypatch, name, centred):
    monkeypatch.setattr(glm_module, "BLOCK_ROWS", 32)
    glm, batch = _case(name, n=75)
    X = np.round(4 * batch.X) / 4  # exact in every dtype
    glm = replace(glm, center=X.mean(axis=0) if centred else None)
    whole = np.round(4 * X[:, 2]).astype(np.int64)
    X[:, 2] = whole
    arrays = (pa.array(X[:, 0]), pa.array(X[:, 1].astype(np.float32)), pa.array(whole))
    columns = Batch(0, Columns(("a", "b", "c"), arrays), pa.array(batch.y), batch.weight)
    _close(glm.of(columns), glm.of(Batch(0, X, batch.y, batch.weight)), rtol=1e-12)


def test_a_missing_cell_of_a_column_is_refused_with_its_place():
    columns = Columns(("a", "b"), (pa.array([1.0, 2.0, 3.0]), pa.array([1.0, 2.0, None])))
    glm = GLM(Binomial(), np.zeros((1, 1, 3)), Labels(np.array([0, 1]), None, 1), who="Model")
    with pytest.raises(FitError, match=r"'b'.*row 12|row 12.*'b'"):
        glm.of(Batch(10, columns, pa.array([0, 1, 1])))


@pytest.mark.parametrize("name", LOSSES)
def test_a_weight_is_a_repetition(name):
    glm, batch = _case(name)
    times = np.random.default_rng(1).integers(0, 4, len(batch))
    again = np.repeat(np.arange(len(batch)), times)
    weighted = Batch(0, batch.X, batch.y, times.astype(float))
    repeated = Batch(0, batch.X[again], batch.y[again])
    _close(glm.of(weighted), glm.of(repeated))


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("name", ["binomial", "multinomial", "huber"])
def test_merging_is_associative_and_is_the_whole(name, sparse):
    glm, batch = _case(name, sparse=sparse, n_candidates=2)
    cut = [0, 7, 31, len(batch)]
    a, b, c = (
        glm.of(Batch(i, batch.X[i:j], batch.y[i:j], batch.weight[i:j]))
        for i, j in zip(cut, cut[1:], strict=False)
    )
    left, right = glm.merge(glm.merge(a, b), c), glm.merge(a, glm.merge(b, c))
    _close(left, right, rtol=1e-13)
    _close(left, glm.of(batch))


def test_candidates_are_independent():
    glm, batch = _case("binomial", n_candidates=3, hessian=False)
    all_three = glm.of(batch)
    for k in range(3):
        one = _at(glm, glm.coef[k : k + 1]).of(batch)
        np.testing.assert_allclose(all_three.loss[k], one.loss[0], rtol=1e-13)
        np.testing.assert_allclose(all_three.gradient[k], one.gradient[0], rtol=1e-13)


def test_a_centre_moves_the_rows():
    glm, batch = _case("poisson")
    center = np.array([1.0, -2.0, 0.5])
    moved = Batch(0, batch.X + center, batch.y, batch.weight)
    _close(GLM(glm.loss, glm.coef, center=center, hessian=True).of(moved), glm.of(batch))


def test_float32_rows_are_summed_in_float64():
    glm, batch = _case("binomial")
    single = Batch(0, batch.X.astype(np.float32), batch.y, batch.weight)
    double = Batch(0, single.X.astype(np.float64), batch.y, batch.weight)
    _close(glm.of(single), glm.of(double), rtol=1e-15)


@pytest.mark.parametrize(
    ("loss", "value"), [(Poisson(), -1.0), (Gamma(), 0.0), (Tweedie(1.5), -0.5)], ids=str
)
def test_targets_out_of_range_are_refused(loss, value):
    batch = Batch(0, np.ones((2, 1)), np.array([1.0, value]))
    with pytest.raises(FitError, match="out of the valid range"):
        GLM(loss, np.zeros((1, 1, 2))).of(batch)


@pytest.mark.parametrize("value", [np.nan, np.inf], ids=["missing", "infinite"])
def test_targets_that_are_not_finite_are_refused_with_their_row(value):
    batch = Batch(10, np.ones((2, 1)), np.array([1.0, value]))
    with pytest.raises(FitError, match="row 11"):
        GLM(Squared(), np.zeros((1, 1, 2))).of(batch)


def _fitted(estimator, X, y, weight=None, size=64):
    """The attributes, from batches of `size` rows."""
    names = tuple(f"x{j}" for j in range(X.shape[1]))
    rows = Rows(Source(names), head=X[:20], weighted=weight is not None, n_rows=X.shape[0])
    solver, answer, n_sweeps = lookup(type(estimator))(estimator, rows), None, 0
    while True:
        try:
            asked = solver.send(answer)
        except StopIteration as end:
            return end.value, n_sweeps
        n_sweeps += 1
        found = [_swept(r.statistic, X, y, weight, size) for r in np.atleast_1d(asked)]
        answer = found if isinstance(asked, list) else found[0]


def _swept(statistic, X, y, weight, size):
    state = None
    for i in range(0, X.shape[0], size):
        at = slice(i, i + size)
        some = statistic.of(Batch(i, X[at], y[at], None if weight is None else weight[at]))
        state = some if state is None else statistic.merge(state, some)
    return statistic.finish(state)


def _classes(n=1200, n_classes=2, seed=3):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 4)) * [1.0, 3.0, 0.3, 1.0] + [0.0, 20.0, 0.0, 1.0]
    scores = (X - X.mean(axis=0)) @ rng.standard_normal((4, n_classes))
    return X, (scores + rng.gumbel(size=scores.shape)).argmax(axis=1)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_a_small_sample_leads_to_the_optimum_of_all_rows(monkeypatch, n_classes, form):
    from sklearn.linear_model import LogisticRegression

    monkeypatch.setattr(_newton, "SAMPLE_BYTES", 0)  # the least sample, 2,000 rows, of 6,000
    X, y = _classes(6_000, n_classes)
    given = sp.csr_matrix(np.where(X > 0.5, X, 0.0)) if form == "sparse" else X
    found, n_sweeps = _fitted(LogisticRegression(C=0.1), given, y, size=1024)
    truth = LogisticRegression(C=0.1, solver="newton-cholesky", tol=1e-12).fit(given, y)
    assert n_sweeps <= 6
    np.testing.assert_allclose(found["coef_"], truth.coef_, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found["intercept_"], truth.intercept_, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("kind", ["heavy tails", "rare class"])
def test_where_a_sample_says_little_more_sweeps_are_taken(monkeypatch, kind):
    from sklearn.linear_model import LogisticRegression

    monkeypatch.setattr(_newton, "SAMPLE_BYTES", 0)  # the least sample, 2,000 rows, of 40,000
    rng = np.random.default_rng(5)
    X = rng.standard_normal((40_000, 5)) ** (3 if kind == "heavy tails" else 1)
    shift = 6.5 if kind == "rare class" else 0.0
    y = (X @ [0.5, -0.3, 0.2, 0.4, 0.1] + rng.logistic(size=len(X)) > shift).astype(int)
    found, _ = _fitted(LogisticRegression(), X, y, size=8192)
    truth = LogisticRegression(solver="newton-cholesky", tol=1e-12).fit(X, y)
    close = 1e-8 * np.abs(truth.coef_).max()  # the bound that the solver states
    np.testing.assert_allclose(found["coef_"], truth.coef_, rtol=0.0, atol=close)


def test_a_hinge_is_minimised_from_the_rows_near_its_kink(monkeypatch):
    from sklearn.svm import LinearSVC

    from millrace.solvers.sklearn import _kinked

    monkeypatch.setattr(_newton, "SAMPLE_BYTES", 0)
    monkeypatch.setattr(_kinked, "BAND_ROWS", 400)
    X, y = _classes(4_000)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    found, n_sweeps = _fitted(LinearSVC(loss="hinge", C=0.001), X, y, size=1024)
    truth = LinearSVC(loss="hinge", C=0.001, tol=1e-10, max_iter=100_000).fit(X, y)
    assert n_sweeps <= 8
    np.testing.assert_allclose(found["coef_"], truth.coef_, rtol=1e-5, atol=1e-6)


def test_many_parameters_are_found_without_a_hessian(monkeypatch):
    from sklearn.linear_model import PoissonRegressor

    monkeypatch.setattr(_newton, "WIDEST_HESSIAN", 2)
    rng = np.random.default_rng(5)
    X = rng.standard_normal((400, 4))
    y = rng.poisson(np.exp(X @ [0.3, -0.2, 0.1, 0.0])).astype(float)
    found, _ = _fitted(PoissonRegressor(), X, y)
    truth = PoissonRegressor(solver="newton-cholesky", tol=1e-12).fit(X, y)
    np.testing.assert_allclose(found["coef_"], truth.coef_, rtol=1e-6, atol=1e-9)


def test_classes_that_a_plane_divides_end_without_a_penalty():
    from sklearn.linear_model import LogisticRegression

    X = np.array([[-2.0], [-1.0], [1.0], [2.0]] * 10)
    found, _ = _fitted(LogisticRegression(C=np.inf), X, (X[:, 0] > 0).astype(int))
    assert np.isfinite(found["coef_"]).all()
    assert found["coef_"][0, 0] > 5


def test_rows_that_are_not_finite_are_refused_wherever_they_are(monkeypatch):
    from sklearn.linear_model import LogisticRegression

    monkeypatch.setattr(_newton, "SAMPLE_BYTES", 0)
    X, y = _classes(5_000)
    for row in (3, 2_500, 4_999):
        holed = X.copy()
        holed[row, 1] = np.nan
        with pytest.raises(FitError, match=f"LogisticRegression .* row {row}:"):
            _fitted(LogisticRegression(), holed, y, size=1024)
