"""Ridge classifiers: ridge regression on signs, whose moments follow from those of the classes.

The sign columns are constant within a class, so the scatter within the classes and their means give all
second moments, with the classes not known before the one sweep.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from millrace.errors import FitError
from millrace.solvers.registry import Decline, Example, solves
from millrace.solvers.rows import Ask, Rows
from millrace.solvers.sklearn._made import made, tighter
from millrace.solvers.sklearn.least_squares import (
    best_left_out,
    checked_alphas,
    ridge_from,
    source_iterates,
)
from millrace.statistics.class_moments import ByClass, ClassScatter
from millrace.statistics.gram import CrossMoments
from millrace.statistics.leave_one_out import signs

Steps = Generator[Ask, Any, dict[str, Any]]


@solves("sklearn.linear_model.RidgeClassifier", weight=True, equivalent=source_iterates)
def ridge_classifier(estimator: Any, rows: Rows) -> Steps:
    """Exact to 1e-7 of the coefficients, as `Ridge`."""
    estimator._validate_params()
    found: ByClass = yield rows.ask(_asked(estimator))
    shared, moments, _ = _moments(estimator, found)

    def turned(centre: np.ndarray, basis: np.ndarray) -> Generator[Ask, Any, CrossMoments]:
        again: ByClass = yield rows.ask(replace(_asked(estimator), centre=centre, basis=basis))
        return _moments(estimator, again)[1]

    solved = yield from ridge_from(estimator, rows, moments, turned)
    return {**shared, **solved}


@solves("sklearn.linear_model.RidgeClassifierCV", weight=True)
def ridge_classifier_cv(estimator: Any, rows: Rows) -> Steps:
    """The penalty with the least leave-one-out error; a second sweep for all penalties at once."""
    estimator._validate_params()
    if estimator.cv is not None:
        raise Decline("its folds are drawn by class (leave cv=None for leave-one-out)")
    alphas = checked_alphas(estimator)
    found: ByClass = yield rows.ask(_asked(estimator))
    shared, moments, factors = _moments(estimator, found)
    solved = yield from best_left_out(estimator, rows, moments, alphas, found.classes, factors)
    return {**shared, **solved}


def _asked(estimator: Any) -> ClassScatter:
    return ClassScatter(pooled=not estimator.class_weight, who=type(estimator).__name__)


def _moments(
    estimator: Any, found: ByClass
) -> tuple[dict[str, Any], CrossMoments, np.ndarray | None]:
    """Attributes of the labels, moments of features and signs, and the factors of ``class_weight``."""
    from sklearn.preprocessing import LabelBinarizer

    binarizer = LabelBinarizer(pos_label=1, neg_label=-1).fit(found.classes)
    n_classes = len(found.classes)
    if n_classes < 2:
        raise FitError.one_class(type(estimator).__name__, found.classes[0])
    factors = _factors(estimator.class_weight, found)
    weights = found.weights if factors is None else found.weights * factors
    within = found.second if factors is None else np.tensordot(factors, found.second, axes=1)
    both = np.hstack([found.mean, signs(np.arange(n_classes), n_classes)])
    total = float(weights.sum())
    mean = weights @ both / total
    apart = (both - mean) * np.sqrt(weights)[:, None]
    scatter = apart.T @ apart
    p = found.mean.shape[1]
    scatter[:p, :p] += within
    moments = CrossMoments(
        int(found.counts.sum()),
        total,
        mean,
        np.zeros(len(mean)),
        scatter,
        p,
        False,
        found.dtype,
        found.sparse,
    )
    return {"classes_": binarizer.classes_, "_label_binarizer": binarizer}, moments, factors


def _factors(class_weight: Any, found: ByClass) -> np.ndarray | None:
    """What ``class_weight`` multiplies the weights of every class by."""
    from sklearn.utils.class_weight import compute_class_weight

    if not class_weight:
        return None
    if class_weight == "balanced":
        return found.counts.sum() / (len(found.classes) * found.counts)
    return np.asarray(
        compute_class_weight(class_weight, classes=found.classes, y=found.classes), np.float64
    )


def _data(n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(60)
    y = rng.integers(0, n_classes, 240)
    return rng.normal(size=(240, 5)) * np.logspace(0, 2, 5) + y[:, None] + 20.0, y * 10


def _sparse() -> tuple[Any, np.ndarray]:
    import scipy.sparse as sp

    X = sp.random(240, 6, 0.4, "csr", rng=np.random.default_rng(61))
    return X, (X.toarray()[:, 0] > 0.2).astype(int)


def _near() -> tuple[np.ndarray, np.ndarray]:
    X, y = _data(3)
    X[:, 3] = X[:, 0] + 1e-6 * X[:, 3]
    return X, y


def examples() -> Iterator[Example]:
    """Every parameter that changes the answer."""
    from sklearn.linear_model import RidgeClassifier, RidgeClassifierCV

    grid = (0.1, 10.0, 1e4)
    for n_classes in (2, 3):

        def data(n: int = n_classes) -> Any:
            return _data(n)

        plain = made(RidgeClassifier, data, f"{n_classes} classes", weight=True)
        yield plain()
        yield plain(alpha=30.0, fit_intercept=False, class_weight="balanced")
        chosen = made(RidgeClassifierCV, data, f"{n_classes} classes", weight=True)
        yield chosen(alphas=grid)
        yield chosen(alphas=grid, class_weight={0: 2.0, 10: 0.5})
    yield made(RidgeClassifier, _near, "nearly dependent", weight=True)(
        alpha=1e-10, solver="svd", class_weight="balanced"
    )
    yield made(
        RidgeClassifier, _sparse, "sparse", weight=True, oracle=tighter(tol=1e-14)
    )()  # fmt: skip
