"""LogisticRegression: the optimum of its objective, whatever its `solver` and `tol`.

The first sweep finds the classes and keeps a sample, the others are those of `minimise`. As in
scikit-learn, ``solver="liblinear"`` penalises the intercept.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from millrace.solvers.registry import Example, solves
from millrace.solvers.rows import Rows
from millrace.solvers.sklearn._labels import check_classes, class_weights, source_checks
from millrace.solvers.sklearn._newton import NARROW_SAMPLE, centered, minimise, sample_of
from millrace.solvers.sklearn._objective import Problem
from millrace.statistics.classes import ClassCounts, Classes
from millrace.statistics.glm import Labels
from millrace.statistics.losses import Binomial, Multinomial
from millrace.statistics.sample import Sampled


@solves("sklearn.linear_model.LogisticRegression", weight=True, equivalent=True)
def logistic_regression(estimator: Any, rows: Rows) -> Generator[Any, Any, dict[str, Any]]:
    """Exact up to 1e-8 of the largest coefficient (in units of its curvature)."""
    estimator._validate_params()
    found, sample = yield [rows.ask(Classes()), rows.ask(sample_of(rows, narrow=NARROW_SAMPLE))]
    check_classes(estimator, found)
    source_checks(estimator, len(found.classes))
    problem = centered(problem_of(estimator, found, sample), sample)
    w, n_sweeps = yield from minimise(rows, problem, sample, np.zeros(problem.size), estimator.tol)
    coef, intercept = problem.raw(w)
    liblinear = estimator.solver == "liblinear"
    dtype = np.float64 if liblinear else sample.batch.matrix.dtype
    attributes = {
        "classes_": found.classes,
        "coef_": coef.astype(dtype),
        "intercept_": intercept.astype(dtype),
        "n_iter_": np.array([n_sweeps], np.int32),
    }
    if liblinear and not estimator.fit_intercept:
        attributes["intercept_"] = 0.0
    return attributes


def problem_of(estimator: Any, found: ClassCounts, sample: Sampled) -> Problem:
    """The objective, divided by C: losses of all rows and ``1 / C`` times the penalty."""
    n_features = sample.batch.matrix.shape[1]
    binary = len(found.classes) == 2
    labels = Labels(
        found.classes, class_weights(estimator.class_weight, found), 1 if binary else None
    )
    liblinear = estimator.solver == "liblinear"
    constant = float(estimator.fit_intercept)
    if liblinear:
        constant *= estimator.intercept_scaling
    outputs, width = 1 if binary else len(found.classes), n_features + int(constant != 0)
    l1_ratio, strength = _penalty(estimator)
    size = np.full((outputs, width), strength)
    if not liblinear and constant:
        size[:, -1] = 0.0
    size = size.ravel()
    return Problem(
        Binomial() if binary else Multinomial(),
        (outputs, width),
        l1=l1_ratio * size,
        l2=(1.0 - l1_ratio) * size,
        linear=np.zeros(outputs * width),
        labels=labels,
        intercept=constant,
        who=type(estimator).__name__,
    )


def _penalty(estimator: Any) -> tuple[float, float]:
    """Share of the l1 penalty, and strength of both."""
    kind = estimator.penalty
    ratio = {"l1": 1.0, "l2": 0.0}.get(kind, estimator.l1_ratio or 0.0)
    return float(ratio), 0.0 if kind is None else 1.0 / estimator.C


def _data(n_classes: int = 2, n_features: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((240, n_features)) * np.linspace(0.5, 3, n_features) + 1.5
    scores = X @ rng.standard_normal((n_features, n_classes)) * 0.6
    scores -= scores.mean(axis=0)
    return X, (scores + rng.gumbel(size=scores.shape)).argmax(axis=1)


def _tight(estimator: Any) -> Any:
    from sklearn.base import clone

    copy: Any = clone(estimator)
    return copy.set_params(tol=1e-10, max_iter=100_000)


def _newton(estimator: Any) -> Any:
    return _tight(estimator).set_params(solver="newton-cholesky", tol=1e-12)


def _penalised(base: Example, of: Any) -> Iterator[Example]:
    """What liblinear and SAGA are for."""
    why = "the oracle stops short of the optimum: its test is a change of the coefficients"
    first_order = replace(base, oracle=_tight, rtol=1e-5, atol=1e-6, why=why)
    others: dict[str, dict[str, Any]] = {
        "liblinear": {"solver": "liblinear"},
        "liblinear dual": {"solver": "liblinear", "dual": True, "C": 0.1},
        "liblinear l1": {"solver": "liblinear", "l1_ratio": 1.0, "intercept_scaling": 2.0},
        "liblinear no intercept": {"solver": "liblinear", "fit_intercept": False},
        "l1": {"solver": "saga", "l1_ratio": 1.0, "C": 0.1},
        "elastic net": {"solver": "saga", "l1_ratio": 0.4, "C": 0.1},
    }
    for name, params in others.items():
        yield replace(first_order, name=f"LogisticRegression {name}", make=of(**params))
    many = of(3, solver="saga", l1_ratio=0.7, C=0.05)
    yield replace(first_order, name="LogisticRegression elastic net classes", make=many)


def examples() -> Iterator[Example]:
    """Every penalty and solver, two classes and more, weights of rows and of classes."""
    from sklearn.linear_model import LogisticRegression

    def words() -> tuple[Any, Any, Any]:
        X, y = _data()
        return LogisticRegression(class_weight={"no": 3.0}), X, np.array(["no", "yes"])[y]

    def sparse() -> tuple[Any, Any, Any]:
        import scipy.sparse as sp

        X, y = _data(3)
        return LogisticRegression(C=0.5), sp.csr_matrix(np.where(X > 1, X, 0.0)), y

    def of(n_classes: int = 2, **params: Any) -> Any:
        return lambda: (LogisticRegression(**params), *_data(n_classes))

    base = Example("LogisticRegression", of(), oracle=_newton, ignore=("n_iter_",), weight=True)
    yield base
    yield replace(base, name="LogisticRegression classes", make=of(3))
    yield replace(base, name="LogisticRegression words", make=words)
    yield replace(base, name="LogisticRegression sparse", make=sparse)
    yield replace(base, name="LogisticRegression balanced", make=of(3, class_weight="balanced"))
    yield replace(base, name="LogisticRegression no penalty", make=of(C=np.inf))
    yield replace(base, name="LogisticRegression no intercept", make=of(fit_intercept=False))
    for solver in ("newton-cg", "sag", "newton-cholesky"):
        yield replace(base, name=f"LogisticRegression {solver}", make=of(3, solver=solver, C=0.2))
    yield from _penalised(base, of)
