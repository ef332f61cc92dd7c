"""SGDClassifier, SGDRegressor, Perceptron, PassiveAggressive*, SGDOneClassSVM, MLP*: epochs in row order.

Each epoch is one sweep of ``partial_fit``; rows are shuffled within a batch. The rate of learning, the
averages and the count of rows stay in the estimator. Another optimum path than that of ``fit``, with the
same end up to the noise of stochastic gradients.
"""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from millrace.solvers.registry import Decline, Example, solves
from millrace.solvers.rows import Rows
from millrace.solvers.sklearn._labels import check_classes, class_weights
from millrace.solvers.sklearn._working import learned, working_copy
from millrace.solvers.sklearn.partial import by_epochs
from millrace.statistics.classes import Classes


@solves(
    "sklearn.linear_model.SGDClassifier",
    "sklearn.linear_model.Perceptron",
    "sklearn.neural_network.MLPClassifier",
    weight=True,
    equivalent=True,
)
def classifier(estimator: Any, rows: Rows) -> Generator[Any, Any, Mapping[str, Any]]:
    """Classes first, then epochs."""
    work = _prepared(estimator)
    found = yield rows.ask(Classes())
    check_classes(estimator, found)
    if isinstance(getattr(work, "class_weight", None), str):
        weights = class_weights(work.class_weight, found)
        assert weights is not None
        work.class_weight = dict(zip(found.classes.tolist(), weights.tolist(), strict=True))
    return (yield from _epochs(estimator, work, rows, found.classes))


@solves("sklearn.linear_model.PassiveAggressiveClassifier", equivalent=True)
def passive_aggressive_classifier(
    estimator: Any, rows: Rows
) -> Generator[Any, Any, Mapping[str, Any]]:
    """As `classifier`; the source takes no weights."""
    return (yield from classifier(estimator, rows))


@solves("sklearn.linear_model.PassiveAggressiveRegressor", equivalent=True)
def passive_aggressive_regressor(
    estimator: Any, rows: Rows
) -> Generator[Any, Any, Mapping[str, Any]]:
    """As `regressor`; the source takes no weights."""
    return (yield from regressor(estimator, rows))


@solves(
    "sklearn.linear_model.SGDRegressor",
    "sklearn.linear_model.SGDOneClassSVM",
    "sklearn.neural_network.MLPRegressor",
    weight=True,
    equivalent=True,
)
def regressor(estimator: Any, rows: Rows) -> Generator[Any, Any, Mapping[str, Any]]:
    """Epochs."""
    return (yield from _epochs(estimator, _prepared(estimator), rows, None))


def _prepared(estimator: Any) -> Any:
    work = working_copy(estimator)
    if getattr(work, "early_stopping", False):
        raise Decline("early_stopping=True holds rows back, which partial_fit cannot")
    if getattr(work, "solver", "") == "lbfgs":
        raise Decline("solver='lbfgs' has no partial_fit")
    return work


def _epochs(
    estimator: Any, work: Any, rows: Rows, classes: np.ndarray | None
) -> Generator[Any, Any, Mapping[str, Any]]:
    from sklearn.exceptions import ConvergenceWarning

    loss = None if hasattr(estimator, "hidden_layer_sizes") else mean_loss
    work, n_sweeps, settled = yield from by_epochs(work, rows, classes, loss)
    if not settled and work.tol > -np.inf:
        warnings.warn(
            "Maximum number of iteration reached before convergence. Consider increasing max_iter "
            "to improve the fit.",
            ConvergenceWarning,
            stacklevel=2,
        )
    found = learned(work)
    found["n_iter_"] = n_sweeps
    return found


def mean_loss(estimator: Any, X: Any, y: np.ndarray, weight: np.ndarray | None) -> float:
    """The mean loss of rows, summed over the classes of several one-against-rest problems."""
    if not hasattr(estimator, "classes_"):
        z = np.asarray(estimator.decision_function(X) if y is None else estimator.predict(X))
        target = np.ones(len(z)) if y is None else np.asarray(y, np.float64)
        losses = _loss(estimator, z, target)
    else:
        z = estimator.decision_function(X)
        z = z if z.ndim == 2 else z[:, None]
        sought = estimator.classes_[1:] if z.shape[1] == 1 else estimator.classes_
        sign = np.where(np.asarray(y)[:, None] == sought[None, :], 1.0, -1.0)
        losses = _loss(estimator, z, sign).sum(axis=1)
    return float(
        np.average(losses, weights=weight if weight is not None and weight.any() else None)
    )


def _loss(estimator: Any, z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Loss of every row as SGD's ``loss`` names it; y is -1 or 1, or a number."""
    name, epsilon = getattr(estimator, "loss", "hinge"), getattr(estimator, "epsilon", 0.1)
    if not hasattr(estimator, "classes_") and name != "hinge":
        gap = np.abs(y - z)
        if name == "squared_error":
            return 0.5 * gap * gap
        if name == "huber":
            return np.where(gap <= epsilon, 0.5 * gap * gap, epsilon * (gap - 0.5 * epsilon))
        over = np.maximum(0.0, gap - epsilon)
        return over * over if name.startswith("squared") else over
    margin = y * z
    short = np.maximum(0.0, 1.0 - margin)
    if name == "log_loss":
        return np.logaddexp(0.0, -margin)
    if name == "modified_huber":
        return np.where(margin >= -1.0, short * short, -4.0 * margin)
    if name == "perceptron":
        return np.maximum(0.0, -margin)
    return short * short if name == "squared_hinge" else short


def _score(estimator: Any, X: Any, y: Any) -> float:
    return float(estimator.score(X, y))


def examples() -> Iterator[Example]:
    """Compared by their scores: another order of the same steps."""
    from sklearn.linear_model import Perceptron, SGDClassifier, SGDRegressor
    from sklearn.neural_network import MLPClassifier

    def classes(estimator: Any, n_classes: int = 2) -> Any:
        def make() -> tuple[Any, Any, Any]:
            from sklearn.base import clone

            rng = np.random.default_rng(9)
            X = rng.standard_normal((300, 4))
            scores = X @ rng.standard_normal((4, n_classes))
            return clone(estimator), X, scores.argmax(axis=1)

        return make

    def numbers() -> tuple[Any, Any, Any]:
        rng = np.random.default_rng(9)
        X = rng.standard_normal((300, 4))
        y = X @ [1.0, 2.0, -1.0, 0.0] + 0.1 * rng.standard_normal(300)
        return SGDRegressor(random_state=0), X, y

    base = Example(
        "SGDClassifier",
        classes(SGDClassifier(random_state=0)),
        quality=_score,
        quality_slack=0.05,
    )
    yield base
    log = SGDClassifier(loss="log_loss", class_weight="balanced", random_state=0)
    yield replace(base, name="SGDClassifier classes", make=classes(log, 3))
    yield replace(base, name="Perceptron", make=classes(Perceptron(random_state=0)))
    yield replace(base, name="SGDRegressor", make=numbers)
    net = MLPClassifier((6,), random_state=0, learning_rate_init=0.05, tol=0.01, n_iter_no_change=3)
    yield replace(base, name="MLPClassifier", make=classes(net))
