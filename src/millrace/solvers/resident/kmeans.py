"""KMeans of rows in memory: scikit-learn's own starts, and Lloyd's iterations with bounds.

Semantics matched: ``KMeans.fit`` of scikit-learn 1.9.1. The starts are drawn from the same random
numbers, with the same distances and the same sums of them; in float32 these sums depend on the threads of
the BLAS, so that a start may be another one. The iterations are those of `solvers.sklearn.kmeans`.

Where the processor has the instruction for it, rows are compared as codes of 16 bits (`_lloyd`).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from functools import partial, reduce
from typing import Any, NamedTuple

import numpy as np

from millrace.runtime.pool import one_thread_of_blas, spread
from millrace.solvers.registry import Decline, Example, resident
from millrace.solvers.resident._lloyd import MOST_EXTENT, Coded, blocks, summary
from millrace.solvers.sklearn._working import library, working_copy
from millrace.solvers.sklearn.kmeans import BOUND_BYTES, check_starts, lloyd, warn_of_duplicates
from millrace.statistics.base import Batch, Statistic
from millrace.statistics.kmeans import Assigned, Assignment, Clusters
from millrace.statistics.nearest import Bounds

_DISTANCES = 1 << 11
"""Rows whose distances from the candidates are worked out at a time, in the cache."""


class _Run(NamedTuple):
    labels: np.ndarray
    inertia: float
    centers: np.ndarray
    n_iter: int


class _Rows:
    """All rows, their weights, what is subtracted from them, and their codes where these pay."""

    def __init__(
        self, X: np.ndarray, weight: np.ndarray | None, shift: np.ndarray, extent: np.ndarray | None
    ) -> None:
        self.X, self.weight, self.shift = X, weight, shift
        self.coded: Any = None if extent is None else Coded(X, weight, shift, extent)

    @property
    def variance(self) -> float:
        """The mean of the variances of the columns."""
        return float(np.mean(self.X.var(axis=0))) if self.coded is None else self.coded.variance

    def codes_pay(self, centers: np.ndarray) -> bool:
        if self.coded is None or self.coded.failed:
            return False
        return bool(np.abs(centers).max() < MOST_EXTENT)

    def answer(self, asked: Statistic[Any, Any]) -> Any:
        """A statistic of all rows: of blocks, joined in their order."""
        if isinstance(asked, Clusters) and self.codes_pay(asked.centers):
            return self.coded.step(asked.centers)

        def part(first: int, stop: int) -> Any:
            weight = None if self.weight is None else self.weight[first:stop]
            return asked.of(Batch(first, self.X[first:stop], None, weight))

        return asked.finish(reduce(asked.merge, blocks(part, len(self.X))))

    def inertia(self, centers: np.ndarray, labels: np.ndarray) -> float:
        """The weighted sum of the squared distances from the centres of the labels."""
        from millrace.statistics.kernels.kmeans import squared_distances

        shift = self.shift.astype(self.X.dtype)

        def part(first: int, stop: int) -> float:
            away = np.empty(stop - first)
            squared_distances(self.X[first:stop], shift, centers, labels[first:stop], away)
            return float(away.sum() if self.weight is None else self.weight[first:stop] @ away)

        return float(sum(blocks(part, len(self.X))))


class _Here:
    """Rows that are here: what is asked of them is the statistic."""

    def ask(self, statistic: Statistic[Any, Any]) -> Statistic[Any, Any]:
        return statistic


def _may_differ(estimator: Any, shape: tuple[int, int]) -> bool:
    return isinstance(estimator.init, str) or callable(estimator.init)


@resident("sklearn.cluster.KMeans", weight=True, equivalent=_may_differ)
def kmeans_in_memory(estimator: Any, X: Any, y: Any, weight: np.ndarray | None) -> dict[str, Any]:
    """Fit X (n_samples, n_features); sparse rows are declined."""
    if hasattr(X, "toarray") or estimator.verbose:
        raise Decline("rows are sparse, or it is to print what it does")
    work, X = working_copy(estimator), np.ascontiguousarray(X)
    found = summary(X)
    if found is None:
        raise Decline("rows are not finite")
    mean, extent = found
    tol, work.tol = work.tol, 0.0  # the source would go over all rows for the variance
    work._check_params_vs_input(X)
    state = library("sklearn.utils").check_random_state(estimator.random_state)
    init, shift = estimator.init, mean
    if isinstance(init, str) or callable(init):
        X, shift = X - mean.astype(X.dtype), np.zeros(len(mean))
    else:
        init = check_starts(estimator, X) - mean.astype(X.dtype)
    times = np.ones(len(X), X.dtype) if weight is None else weight.astype(X.dtype)
    rows = _Rows(X, weight, shift, extent if Coded.takes(work.n_clusters, extent) else None)
    tol = tol * rows.variance
    best: _Run | None = None
    same = library("sklearn.cluster._kmeans")._is_same_clustering
    with one_thread_of_blas:
        for _ in range(work._n_init):
            start = _start(work, rows, init, state, times)
            run = _run(rows, start, tol, work.max_iter)
            if best is None or (
                run.inertia < best.inertia and not same(run.labels, best.labels, len(start))
            ):
                best = run
    if best is None:
        raise Decline("it has no start")
    warn_of_duplicates(estimator, best.labels)
    return {
        "cluster_centers_": best.centers + mean.astype(X.dtype),
        "labels_": best.labels,
        "inertia_": best.inertia,
        "n_iter_": best.n_iter,
        "_n_features_out": len(best.centers),
        "_n_threads": 1,
        "_n_init": work._n_init,
        "_tol": tol,
        "_algorithm": work._algorithm,
    }


def _run(rows: _Rows, start: np.ndarray, tol: float, max_iter: int) -> _Run:
    """Lloyd's iterations from one start."""
    X, shift = rows.X, rows.shift
    size = Bounds.nbytes(len(X), len(start))
    bounds = Bounds() if size <= BOUND_BYTES else None
    coded = rows.coded
    if coded is not None:
        coded.start()
    here: Any = _Here()
    steps = lloyd(here, start.astype(np.float64), shift, tol, max_iter, bounds)
    centers, n_iter = _driven(steps, rows)
    centers = centers.astype(X.dtype)
    if coded is not None and rows.codes_pay(centers):
        coded.step(centers.astype(np.float64))
        labels = coded.label.copy()
        return _Run(labels, rows.inertia(centers, labels), centers, n_iter)
    found: Assigned = rows.answer(Assignment(centers.astype(np.float64), shift, bounds=bounds))
    return _Run(found.labels, found.inertia, centers, n_iter)


def split_in_memory(
    plain: bool,
    X: np.ndarray,
    sample_weight: np.ndarray,
    centers_init: np.ndarray,
    max_iter: int,
    verbose: bool,
    tol: float,
    n_threads: int,
) -> _Run:
    """What ``_kmeans_single_lloyd`` is of rows that are centred; `plain` where all weights are 1."""
    weight = None if plain else sample_weight.astype(np.float64)
    extent = np.maximum(X.max(axis=0), -X.min(axis=0)).astype(np.float64)
    takes = Coded.takes(len(centers_init), extent)
    rows = _Rows(X, weight, np.zeros(X.shape[1]), extent if takes else None)
    return _run(rows, centers_init, tol, max_iter)


def _driven(steps: Generator[Any, Any, Any], rows: _Rows) -> Any:
    """Answer what a generator asks of the rows."""
    answer: Any = None
    while True:
        try:
            asked = steps.send(answer)
        except StopIteration as end:
            return end.value
        answer = rows.answer(asked)


def _start(work: Any, rows: _Rows, init: Any, state: Any, weight: np.ndarray) -> np.ndarray:
    """First centres, as ``KMeans._init_centroids`` chooses them."""
    X = rows.X
    if rows.coded is not None and isinstance(init, str) and init == "k-means++":
        return X[rows.coded.seeds(work.n_clusters, weight, state)]
    squares = library("sklearn.utils.extmath").row_norms(X, squared=True)
    if not (isinstance(init, str) and init == "k-means++"):
        return work._init_centroids(
            X, x_squared_norms=squares, init=init, random_state=state, sample_weight=weight
        )
    return X[_plus_plus(X, work.n_clusters, squares, weight, state)]


def _plus_plus(
    X: np.ndarray, n_clusters: int, squares: np.ndarray, weight: np.ndarray, state: Any
) -> np.ndarray:
    """The rows that k-means++ chooses: ``_kmeans_plusplus``, but for where distances come from."""
    n, n_trials = len(X), 2 + int(np.log(n_clusters))
    if X.dtype == np.float32:
        squares = np.einsum("ij,ij->i", X, X, dtype=np.float64)
    chosen = [int(state.choice(n, p=weight / weight.sum()))]
    closest = _closer(X, squares, chosen, np.full(n, np.inf, X.dtype))[0]
    potential = closest @ weight
    for _ in range(1, n_clusters):
        drawn = state.uniform(size=n_trials) * potential
        tried = np.searchsorted(np.cumsum(weight * closest), drawn)
        np.clip(tried, None, n - 1, out=tried)
        distances = _closer(X, squares, tried, closest)
        potentials = distances @ weight.reshape(-1, 1)
        best = int(np.argmin(potentials))
        potential, closest = potentials[best], distances[best]
        chosen.append(int(tried[best]))
    return np.array(chosen)


def _closer(X: np.ndarray, squares: np.ndarray, rows: Any, closest: np.ndarray) -> np.ndarray:
    """Squared distances from some rows, `closest` where that is less: (n_rows, n_samples)."""
    centers = X[rows].astype(np.float64)
    norms = np.einsum("ij,ij->i", centers, centers)[:, None]
    out = np.empty((len(centers), len(X)), X.dtype)

    def work(first: int, stop: int) -> None:
        away = -2.0 * (centers @ X[first:stop].astype(np.float64).T)
        away += norms
        away += squares[first:stop]
        part = away.astype(X.dtype)
        np.maximum(part, 0, out=part)
        np.minimum(part, closest[first:stop], out=out[:, first:stop])

    spread(work, len(X), _DISTANCES)
    return out


def _inertia(estimator: Any, X: Any, y: Any) -> float:
    return float(estimator.score(X))


def examples() -> Iterator[Example]:
    """Both kinds of starts, several of them, given ones, and rows that are all alike."""
    from sklearn.cluster import KMeans

    def made(dtype: str = "float64", **params: Any) -> tuple[Any, Any, None]:
        rng = np.random.default_rng(5)
        X = rng.standard_normal((400, 4)) + 6.0 * rng.integers(0, 3, (400, 4)) + 30.0
        return KMeans(random_state=0, **params), X.astype(dtype), None

    def given() -> tuple[Any, Any, None]:
        _, X, _ = made()
        return KMeans(20, init=X[:20]), X, None

    yield Example("KMeans in memory", partial(made, n_clusters=20), weight=True)
    yield Example("KMeans in memory, given", given, weight=True)
    random = partial(made, n_clusters=5, init="random", n_init=3)
    yield Example("KMeans in memory, random", random)
    single = partial(made, "float32", n_clusters=7)
    yield Example("KMeans in memory, float32", single, quality=_inertia)
