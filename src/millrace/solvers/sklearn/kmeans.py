"""KMeans and MiniBatchKMeans: Lloyd's iterations, a sweep each.

With given centres the iterations are those of scikit-learn. Otherwise the centres are chosen, and brought
to convergence, on a sample in memory, by scikit-learn itself; the sweeps go on from there.
"""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from millrace.errors import FitError
from millrace.solvers.registry import Example, solves
from millrace.solvers.rows import Rows
from millrace.solvers.sklearn._newton import sample_of
from millrace.solvers.sklearn._working import learned, working_copy
from millrace.statistics.kmeans import Assigned, Assignment, Clusters, ClusterSums
from millrace.statistics.moments import Moments
from millrace.statistics.nearest import Bounds
from millrace.statistics.sample import Sampled

BOUND_BYTES = 1 << 28
"""Largest size of bounds where no budget is given; else an eighth of it."""


def _draws_starts(estimator: Any, shape: tuple[int, int]) -> bool:
    return isinstance(estimator.init, str) or callable(estimator.init)


@solves("sklearn.cluster.KMeans", weight=True, equivalent=_draws_starts)
def kmeans(estimator: Any, rows: Rows) -> Generator[Any, Any, dict[str, Any]]:
    """scikit-learn's own answer for given centres (up to 1e-6) and for tables that fit in the sample."""
    work = working_copy(estimator)
    given = not isinstance(estimator.init, str) and not callable(estimator.init)
    sample: Sampled
    sample, moments = yield [
        rows.ask(sample_of(rows)),
        rows.unweighted().ask(Moments(who="KMeans")),
    ]
    _check_size(estimator, sample)
    if sample.complete and not given:
        return _in_memory(work, sample)
    centers = (
        check_starts(estimator, sample.batch.matrix)
        if given
        else _in_memory(work, sample)["cluster_centers_"]
    )
    dtype = sample.batch.matrix.dtype
    # as the rows can hold it: what is subtracted from them is what is added to the centres
    shift = None if sample.batch.is_sparse else moments.mean.astype(dtype).astype(np.float64)
    tol = estimator.tol * float(np.mean(moments.variance))
    centers = centers.astype(np.float64) - (0.0 if shift is None else shift)
    bounds = _bounds_for(rows, sample.n_rows, len(centers))
    centers, n_iter = yield from lloyd(rows, centers, shift, tol, estimator.max_iter, bounds)
    moved_back = (centers + (0.0 if shift is None else shift)).astype(dtype)
    # labels are those of the centres as they are given out
    centers = moved_back.astype(np.float64) - (0.0 if shift is None else shift)
    found: Assigned = yield rows.ask(Assignment(centers, shift, bounds=bounds))
    warn_of_duplicates(estimator, found.labels)
    return {
        "cluster_centers_": moved_back,
        "labels_": found.labels,
        "inertia_": found.inertia,
        "n_iter_": n_iter,
        "_n_features_out": len(centers),
        "_n_threads": 1,
        "_n_init": 1,
        "_tol": tol,
        "_algorithm": estimator.algorithm,
    }


@solves("sklearn.cluster.MiniBatchKMeans", weight=True, equivalent=True)
def mini_batch_kmeans(estimator: Any, rows: Rows) -> Generator[Any, Any, dict[str, Any]]:
    """Every row in every step instead of random batches: an inertia at least as low as the source's."""
    from sklearn.cluster import KMeans

    working_copy(estimator)
    full = KMeans(
        estimator.n_clusters,
        init=estimator.init,
        n_init=estimator.n_init,
        max_iter=estimator.max_iter,
        tol=estimator.tol or 1e-4,
        random_state=estimator.random_state,
    )
    found = yield from kmeans(full, rows)
    n_rows = len(found["labels_"])
    attributes = {
        name: found[name] for name in ("cluster_centers_", "inertia_", "n_iter_", "_n_features_out")
    }
    attributes["_n_threads"] = 1
    attributes["n_steps_"] = found["n_iter_"] * -(-n_rows // estimator.batch_size)
    attributes["_counts"] = np.bincount(found["labels_"], minlength=estimator.n_clusters).astype(
        found["cluster_centers_"].dtype
    )
    if estimator.compute_labels:
        attributes["labels_"] = found["labels_"]
    return attributes


def _bounds_for(rows: Rows, n_rows: int, n_clusters: int) -> Bounds | None:
    """Bounds, where there is memory for those of all rows."""
    most = BOUND_BYTES if rows.memory is None else rows.memory // 8
    return Bounds() if Bounds.nbytes(n_rows, n_clusters) <= most else None


def lloyd(
    rows: Rows,
    centers: np.ndarray,
    shift: np.ndarray | None,
    tol: float,
    most: int,
    bounds: Bounds | None,
) -> Generator[Any, Any, tuple[np.ndarray, int]]:
    """Steps until the centres move by `tol` at most (a squared distance), or not at all."""
    for n_iter in range(1, most + 1):
        found: ClusterSums = yield rows.ask(Clusters(centers, shift, "", bounds))
        empty = np.flatnonzero(found.weights == 0)
        if len(empty):
            far = yield rows.ask(Assignment(centers, shift, len(empty), bounds))
            found = _relocated(found, empty, far)
        largest = int(np.argmax(found.weights))
        weights = np.where(found.weights > 0, found.weights, 1.0)[:, None]
        new = np.where(found.weights[:, None] > 0, found.sums / weights, 0.0)
        new[found.weights <= 0] = new[largest]
        moved = float(((new - centers) ** 2).sum())
        centers = new
        if moved <= tol:
            return centers, n_iter
    return centers, most


def _relocated(found: ClusterSums, empty: np.ndarray, far: Assigned) -> ClusterSums:
    """Empty clusters get the rows that are farthest from their centres."""
    sums, weights = found.sums.copy(), found.weights.copy()
    if far.far_distance.max(initial=0.0) == 0:
        return found
    for cluster, row, weight, old in zip(
        empty, far.far, far.far_weight, far.far_label, strict=False
    ):
        sums[old] -= row * weight
        sums[cluster] = row * weight
        weights[cluster] = weight
        weights[old] -= weight
    return ClusterSums(sums, weights)


def _in_memory(work: Any, sample: Sampled) -> dict[str, Any]:
    """scikit-learn's fit on the sample."""
    return learned(work.fit(sample.batch.matrix, sample_weight=sample.batch.weight))


def _check_size(estimator: Any, sample: Sampled) -> None:
    if sample.n_rows < estimator.n_clusters:
        raise FitError(f"n_samples={sample.n_rows} should be >= n_clusters={estimator.n_clusters}.")


def check_starts(estimator: Any, X: Any) -> np.ndarray:
    """The given centres, checked as scikit-learn checks them."""
    from sklearn.utils import check_array

    centers = check_array(estimator.init, dtype=X.dtype, copy=True, order="C")
    estimator._validate_center_shape(X, centers)
    if estimator.n_init not in ("auto", 1):
        warnings.warn(
            "Explicit initial center position passed: performing only one init in "
            f"{type(estimator).__name__} instead of n_init={estimator.n_init}.",
            RuntimeWarning,
            stacklevel=2,
        )
    return centers


def warn_of_duplicates(estimator: Any, labels: np.ndarray) -> None:
    """Warn as scikit-learn does where some centres have no rows."""
    from sklearn.exceptions import ConvergenceWarning

    distinct = len(np.unique(labels))
    if distinct < estimator.n_clusters:
        warnings.warn(
            f"Number of distinct clusters ({distinct}) found smaller than n_clusters "
            f"({estimator.n_clusters}). Possibly due to duplicate points in X.",
            ConvergenceWarning,
            stacklevel=2,
        )


def _inertia(estimator: Any, X: Any, y: Any) -> float:
    return float(estimator.score(X))


def examples() -> Iterator[Example]:
    """Given centres, which both must bring to the same end, and chosen ones, compared by inertia."""
    from sklearn.cluster import KMeans, MiniBatchKMeans

    def data(n_features: int = 3) -> np.ndarray:
        rng = np.random.default_rng(6)
        return rng.standard_normal((240, n_features)) + 3.0 * rng.integers(0, 3, (240, 1)) + 10.0

    def given(**params: Any) -> Any:
        def make() -> tuple[Any, Any, Any]:
            X: Any = data()
            return KMeans(5, init=X[:5], **params), X, None

        return make

    def empty() -> tuple[Any, Any, Any]:
        X = data()
        centers: Any = np.vstack([X[:3], [[500.0, 0.0, 0.0]]])
        return KMeans(4, init=centers), X, None

    def sparse() -> tuple[Any, Any, Any]:
        import scipy.sparse as sp

        X: Any = np.where(data(6) > 13.0, data(6), 0.0)
        return KMeans(4, init=X[:4]), sp.csr_matrix(X), None

    base = Example("KMeans", given(), weight=True)
    yield base
    yield replace(base, name="KMeans tight", make=given(tol=0.0, algorithm="elkan"))
    yield replace(base, name="KMeans short", make=given(max_iter=2))
    yield replace(base, name="KMeans empty cluster", make=empty, weight=False)
    yield replace(base, name="KMeans sparse", make=sparse)
    free = Example("KMeans chosen", lambda: (KMeans(5, random_state=0), data(), None))
    free = replace(free, quality=_inertia, quality_slack=1e-9)  # sums in another order
    yield free
    random = replace(free, name="KMeans random")
    yield replace(random, make=lambda: (KMeans(3, init="random", random_state=1), data(), None))
    mini = replace(free, name="MiniBatchKMeans", quality=_inertia, quality_slack=1e-9)
    yield replace(mini, make=lambda: (MiniBatchKMeans(5, random_state=0), data(), None))
