"""Naive Bayes: counts, sums and moments of every class, from one sweep.

The sufficient statistics are summed here; what scikit-learn makes of them (smoothing, priors) is its own
code, called on a working copy.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import numpy as np

from millrace.solvers.registry import Decline, Example, solves
from millrace.solvers.rows import Ask, Rows
from millrace.solvers.sklearn._made import made
from millrace.solvers.sklearn._working import learned, working_copy
from millrace.statistics.class_moments import (
    ByClass,
    CategorySums,
    ClassCategories,
    ClassMoments,
    ClassSums,
)

Steps = Generator["Ask | list[Ask]", Any, dict[str, Any]]


@solves("sklearn.naive_bayes.GaussianNB", weight=True)
def gaussian_nb(estimator: Any, rows: Rows) -> Steps:
    """Mean and variance of every feature in every class; exact to 1e-10."""
    from sklearn.utils.multiclass import check_classification_targets, unique_labels

    estimator._validate_params()
    asked = ClassMoments(who="GaussianNB")
    if rows.weighted:
        found, plain = yield [rows.ask(asked), rows.unweighted().ask(asked)]
    else:
        found = yield rows.ask(asked)
        plain = found
    if found.sparse:
        raise Decline("it takes no sparse rows")
    check_classification_targets(found.classes)
    between = (plain.mean - plain.total_mean) ** 2
    variance = (plain.second.sum(axis=0) + plain.weights @ between) / plain.counts.sum()
    epsilon = estimator.var_smoothing * variance.max()
    weights = found.weights[:, None]
    some = weights > 0
    within = np.divide(found.second, weights, out=np.zeros_like(found.second), where=some)
    dtype = found.dtype
    return {
        "classes_": unique_labels(found.classes),
        "class_count_": found.weights.astype(dtype),
        "class_prior_": _priors(estimator, found).astype(dtype),
        "epsilon_": dtype.type(epsilon),
        "theta_": np.where(some, found.mean, 0.0).astype(dtype),
        "var_": (within + epsilon).astype(dtype),
    }


def _priors(estimator: Any, found: ByClass) -> np.ndarray:
    if estimator.priors is None:
        return found.weights / found.weights.sum()
    priors = np.asarray(estimator.priors, np.float64)
    if len(priors) != len(found.classes):
        raise ValueError("Number of priors must match number of classes.")
    if not np.isclose(priors.sum(), 1.0):
        raise ValueError("The sum of the priors should be 1.")
    if (priors < 0).any():
        raise ValueError("Priors must be non-negative.")
    return priors


@solves("sklearn.naive_bayes.MultinomialNB", "sklearn.naive_bayes.ComplementNB", weight=True)
def multinomial_nb(estimator: Any, rows: Rows) -> Steps:
    """Sums of every feature in every class; exact to rounding. Dense or CSR."""
    work = working_copy(estimator)
    who = type(estimator).__name__
    found: ByClass = yield rows.ask(ClassSums(who=who, not_negative=True))
    return _discrete(work, found, found.mean)


@solves("sklearn.naive_bayes.BernoulliNB", weight=True)
def bernoulli_nb(estimator: Any, rows: Rows) -> Steps:
    """Counts of every feature above ``binarize`` in every class; exact. Dense or CSR."""
    work = working_copy(estimator)
    above = None if estimator.binarize is None else float(estimator.binarize)
    found: ByClass = yield rows.ask(ClassSums(who="BernoulliNB", above=above))
    return _discrete(work, found, found.mean)


def _discrete(work: Any, found: ByClass, sums: np.ndarray) -> dict[str, Any]:
    """What the source makes of counts by class."""
    from sklearn.utils.multiclass import unique_labels

    work.classes_ = unique_labels(found.classes)
    work.n_features_in_ = sums.shape[1]
    work.class_count_ = found.weights.astype(np.float64)
    work.feature_count_ = sums
    if type(work).__name__ == "ComplementNB":
        work.feature_all_ = sums.sum(axis=0)
    return _smoothed(work)


def _smoothed(work: Any) -> dict[str, Any]:
    work._update_feature_log_prob(work._check_alpha())
    work._update_class_log_prior(class_prior=work.class_prior)
    return learned(work)


@solves("sklearn.naive_bayes.CategoricalNB", weight=True)
def categorical_nb(estimator: Any, rows: Rows) -> Steps:
    """Counts of every category in every class; exact."""
    from sklearn.utils.multiclass import unique_labels

    work = working_copy(estimator)
    found: CategorySums = yield rows.ask(ClassCategories())
    widths = np.array([[c.shape[1] - 1 for c in found.counts]])
    work.classes_ = unique_labels(found.rows.classes)
    work.n_features_in_ = len(found.counts)
    work.class_count_ = found.rows.weights.astype(np.float64)
    work.n_categories_ = work._validate_n_categories(widths, work.min_categories)
    work.category_count_ = [
        np.pad(c, [(0, 0), (0, int(n) - c.shape[1])])
        for c, n in zip(found.counts, work.n_categories_, strict=True)
    ]
    return _smoothed(work)


def _numbers() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(40)
    y = rng.integers(0, 3, 230)
    return rng.normal(size=(230, 4)) * [1.0, 10.0, 0.1, 3.0] + y[:, None] + [0, 1e4, 5, 0], y


def _counts() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(41)
    y = rng.choice(["ham", "maybe", "spam"], 230, p=[0.5, 0.2, 0.3]).astype(object)
    return rng.poisson(1 + (y == "spam")[:, None] * np.arange(6), (230, 6)).astype(float), y


def _sparse() -> tuple[Any, np.ndarray]:
    import scipy.sparse as sp

    X, y = _counts()
    return sp.csr_matrix(np.maximum(X - 1, 0)), y


def _categories() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(42)
    X = np.column_stack([rng.integers(0, n, 230) for n in (2, 3, 7)]).astype(float)
    return X, (X[:, 1] + rng.integers(0, 2, 230) > 1).astype(int)


def examples() -> Iterator[Example]:
    """Every parameter that changes the answer."""
    from sklearn import naive_bayes as nb

    gauss = made(nb.GaussianNB, _numbers, weight=True)
    yield gauss()
    yield gauss(priors=[0.2, 0.3, 0.5], var_smoothing=1e-3)
    for data, name in ((_counts, "words"), (_sparse, "sparse")):
        multinomial = made(nb.MultinomialNB, data, name, weight=True)
        yield multinomial()
        yield multinomial(alpha=0.1, fit_prior=False)
        complement = made(nb.ComplementNB, data, name, weight=True)
        yield complement()
        yield complement(norm=True, alpha=2.0)
        bernoulli = made(nb.BernoulliNB, data, name, weight=True)
        yield bernoulli()
        yield bernoulli(binarize=1.0, class_prior=[0.1, 0.2, 0.7])
    categorical = made(nb.CategoricalNB, _categories, weight=True)
    yield categorical()
    yield categorical(alpha=0.5, min_categories=8)
