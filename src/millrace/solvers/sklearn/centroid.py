"""Nearest centroid, from the moments of every class: one sweep."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterator
from typing import Any

import numpy as np

from millrace.solvers.registry import Decline, Example, solves
from millrace.solvers.rows import Ask, Rows
from millrace.solvers.sklearn._made import made
from millrace.statistics.class_moments import ByClass, ClassMoments

Steps = Generator[Ask, Any, dict[str, Any]]


@solves("sklearn.neighbors.NearestCentroid")
def nearest_centroid(estimator: Any, rows: Rows) -> Steps:
    """Means of the classes, shrunk if asked; exact to 1e-10."""
    from sklearn.utils.multiclass import check_classification_targets

    estimator._validate_params()
    if estimator.metric != "euclidean":
        raise Decline(f"metric={estimator.metric!r} needs medians of the classes")
    found: ByClass = yield rows.ask(ClassMoments(who="NearestCentroid"))
    check_classification_targets(found.classes)
    n_classes = len(found.classes)
    if n_classes < 2:
        raise ValueError(f"The number of classes has to be greater than one; got {n_classes} class")
    n_samples = int(found.counts.sum())
    within = np.sqrt(found.second.sum(axis=0) / (n_samples - n_classes))
    if (within == 0).any():
        if (np.ptp(found.mean, axis=0)[within == 0] == 0).all() and (within == 0).all():
            raise ValueError("All features have zero variance. Division by zero.")
        warnings.warn(
            "self.within_class_std_dev_ has at least 1 zero standard deviation."
            "Inputs within the same classes for at least 1 feature are identical.",
            stacklevel=2,
        )
    shares = np.sqrt(1.0 / found.counts - 1.0 / n_samples)[:, None]
    scale = shares * (within + np.median(within))
    centre = found.total_mean
    deviations = (found.mean - centre) / scale
    centroids = found.mean
    if estimator.shrink_threshold:
        shrunk = np.maximum(np.abs(deviations) - estimator.shrink_threshold, 0.0)
        deviations = shrunk * np.sign(deviations)
        centroids = centre + scale * deviations
    return {
        "classes_": found.classes,
        "class_prior_": _priors(estimator.priors, found),
        "centroids_": centroids,
        "within_class_std_dev_": within,
        "deviations_": deviations,
    }


def _priors(priors: Any, found: ByClass) -> np.ndarray:
    n_classes = len(found.classes)
    if isinstance(priors, str):
        uniform = np.full(n_classes, 1 / n_classes)
        return uniform if priors == "uniform" else found.counts / float(found.counts.sum())
    given = np.asarray(priors)
    if (given < 0).any():
        raise ValueError("priors must be non-negative")
    if not np.isclose(given.sum(), 1.0):
        warnings.warn(
            "The priors do not sum to 1. Normalizing such that it sums to one.",
            UserWarning,
            stacklevel=2,
        )
        given = given / given.sum()
    return given


def _data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(50)
    y = rng.choice(["a", "b", "c"], 200).astype(object)
    return rng.normal(size=(200, 5)) + 0.7 * (y == "b")[:, None] + 100.0, y


def _sparse() -> tuple[Any, np.ndarray]:
    import scipy.sparse as sp

    X = sp.random(200, 6, 0.4, "csr", rng=np.random.default_rng(51))
    return X, (X.toarray()[:, 0] > 0.2).astype(int)


def examples() -> Iterator[Example]:
    """Every parameter that changes the answer."""
    from sklearn.neighbors import NearestCentroid

    plain = made(NearestCentroid, _data)
    yield plain()
    yield plain(shrink_threshold=0.8, priors="empirical")
    yield plain(priors=[0.2, 0.3, 0.5])
    yield made(NearestCentroid, _sparse, "sparse")()
