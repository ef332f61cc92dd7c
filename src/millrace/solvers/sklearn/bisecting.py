"""BisectingKMeans: a tree of splits in two, several leaves split in the same sweeps.

A leaf's split does not depend on the others. So all leaves that may be the next to be split are brought
to their ends together, by Lloyd's iterations of a sweep each; those that turn out not to be needed are
dropped. The first centres of a split come from scikit-learn's own k-means of the leaf's rows in a sample.
"""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from millrace.errors import FitError
from millrace.solvers.registry import Example, solves
from millrace.solvers.rows import Rows
from millrace.solvers.sklearn._newton import sample_of
from millrace.solvers.sklearn._working import learned, library, working_copy
from millrace.statistics.bisected import Bisected, LeafSums, OfLeaf
from millrace.statistics.moments import Moments
from millrace.statistics.sample import Sample, Sampled

FEWEST = 200
"""Rows of a leaf in the sample; where there are fewer, some more are read for it."""


@dataclass
class _Node:
    """A cluster; its children are there where its split is known, needed or not."""

    center: np.ndarray
    score: float = 0.0
    inertia: float = 0.0
    n_rows: int = 0
    children: tuple[_Node, _Node] | None = None


@dataclass(frozen=True)
class _Settings:
    """What a split needs: the estimator, the sample, what is subtracted, the number of rows."""

    work: Any
    sample: Sampled
    shift: np.ndarray | None
    seed: int


@solves("sklearn.cluster.BisectingKMeans", weight=True, equivalent=True)
def bisecting_kmeans(estimator: Any, rows: Rows) -> Generator[Any, Any, dict[str, Any]]:
    """scikit-learn's own fit, for tables that fit in the sample; else a tree of the same quality.

    Each split is one that Lloyd's iterations do not improve (but for `tol`), from other starts than
    scikit-learn's.
    """
    work = working_copy(estimator)
    sample: Sampled
    sample, moments = yield [
        rows.ask(sample_of(rows)),
        rows.unweighted().ask(Moments(who="BisectingKMeans")),
    ]
    if sample.n_rows < estimator.n_clusters:
        raise FitError(f"n_samples={sample.n_rows} should be >= n_clusters={estimator.n_clusters}.")
    if sample.complete:
        batch = sample.batch
        return learned(work.fit(batch.matrix, sample_weight=batch.weight))
    shift = None if sample.batch.is_sparse else moments.mean
    state = library("sklearn.utils").check_random_state(estimator.random_state)
    settings = _Settings(work, sample, shift, int(state.randint(2**31 - 1)))
    center = moments.mean if shift is None else np.zeros(len(shift))
    root = _Node(center, n_rows=sample.n_rows)
    while wanted := _unknown(root, estimator.n_clusters):
        yield from _split(rows, settings, root, wanted)
    _keep(root, estimator.n_clusters)
    tree, nodes = _flat(root, shift)
    found: LeafSums = yield rows.ask(replace(tree, keep=True))
    attributes = _attributes(settings, root, nodes, found)
    tol = estimator.tol * float(np.mean(moments.variance))
    return {**attributes, "_random_state": state, "_tol": tol}


def _leaves(node: _Node, applied: set[int]) -> Iterator[_Node]:
    if node.children is None or id(node) not in applied:
        yield node
        return
    for child in node.children:
        yield from _leaves(child, applied)


def _greedy(root: _Node, n_clusters: int) -> tuple[set[int], list[_Node]]:
    """The splits that scikit-learn makes, as far as they are known, and the leaves then."""
    applied: set[int] = set()
    leaves = [root]
    while len(leaves) < n_clusters:
        best = max(leaves, key=lambda leaf: leaf.score)  # the first one where some are equal
        if best.children is None:
            break
        applied.add(id(best))
        leaves = list(_leaves(root, applied))
    return applied, leaves


def _unknown(root: _Node, n_clusters: int) -> list[_Node]:
    """Leaves whose splits may be needed, and are not known; none where the tree is complete."""
    _, leaves = _greedy(root, n_clusters)
    missing = n_clusters - len(leaves)
    likely = sorted(leaves, key=lambda leaf: -leaf.score)[:missing]
    return [leaf for leaf in likely if leaf.children is None]


def _keep(root: _Node, n_clusters: int) -> None:
    """Drop the splits that are not needed."""
    applied, leaves = _greedy(root, n_clusters)
    for leaf in leaves:
        if id(leaf) not in applied:
            leaf.children = None


def _flat(root: _Node, shift: np.ndarray | None) -> tuple[Bisected, list[_Node]]:
    """The tree as arrays, and its nodes in their order."""
    nodes = [root]
    left, right = [], []
    for node in nodes:  # grows while it is read
        pair = (-1, -1) if node.children is None else (len(nodes), len(nodes) + 1)
        nodes.extend(node.children or ())
        left.append(pair[0])
        right.append(pair[1])
    centers = np.stack([n.center for n in nodes])
    return Bisected(centers, np.array(left), np.array(right), shift), nodes


def _split(
    rows: Rows, settings: _Settings, root: _Node, wanted: Sequence[_Node]
) -> Generator[Any, Any, None]:
    """Give some leaves their children, by Lloyd's iterations side by side."""
    starts = yield from _starts(rows, settings, root, wanted)
    for node, centers in zip(wanted, starts, strict=True):
        node.children = (_Node(centers[0]), _Node(centers[1]))
    moving = dict.fromkeys(range(len(wanted)), 0)
    while True:
        tree, nodes = _flat(root, settings.shift)
        found: LeafSums = yield rows.ask(tree)
        place = {id(node): i for i, node in enumerate(nodes)}
        if not moving:
            break
        for i, n_iter in list(moving.items()):
            pair = wanted[i].children or ()
            moved = _step(pair, [place[id(child)] for child in pair], found)
            moving[i] = n_iter + 1
            if moved <= settings.work.tol or n_iter + 1 >= settings.work.max_iter:
                del moving[i]
    by_count = settings.work.bisecting_strategy == "largest_cluster"
    for child in (c for node in wanted for c in node.children or ()):
        at = place[id(child)]
        child.inertia, child.n_rows = float(found.inertia[at]), int(found.counts[at])
        child.score = float(child.n_rows) if by_count else child.inertia


def _step(pair: Sequence[_Node], places: list[int], found: LeafSums) -> float:
    """Move two centres to the means of their rows; the sum of the squared distances they move."""
    weights = found.weights[places]
    moved = 0.0
    fuller = pair[int(np.argmax(weights))]
    for child, at in zip(pair, places, strict=True):
        if found.weights[at] > 0:
            new = found.sums[at] / found.weights[at]
            moved += float(((new - child.center) ** 2).sum())
            child.center = new
    for child, weight in zip(pair, weights, strict=True):
        if weight <= 0:  # rows that are all alike
            child.center = fuller.center
    return moved


def _starts(
    rows: Rows, settings: _Settings, root: _Node, wanted: Sequence[_Node]
) -> Generator[Any, Any, list[np.ndarray]]:
    """First centres (2, n_features) of the split of each leaf."""
    tree, nodes = _flat(root, settings.shift)
    place = {id(node): i for i, node in enumerate(nodes)}
    X, weight = settings.sample.batch.matrix, settings.sample.batch.weight
    label = tree.leaves(_shifted(X, settings.shift))
    parts: dict[int, tuple[Any, Any]] = {}
    asked: list[int] = []
    for node in wanted:
        at = place[id(node)]
        where = np.flatnonzero(label == at)
        parts[at] = X[where], None if weight is None else weight[where]
        if len(where) < min(FEWEST, node.n_rows):
            asked.append(at)
    if asked:
        found = yield [rows.ask(OfLeaf(tree, at, Sample(10 * FEWEST))) for at in asked]
        for at, some in zip(asked, found, strict=True):
            if some is not None:
                parts[at] = some.batch.matrix, some.batch.weight
    return [
        _two_centers(settings, node, *parts[place[id(node)]], place[id(node)]) for node in wanted
    ]


def _shifted(X: Any, shift: np.ndarray | None) -> Any:
    return X if shift is None else X.astype(np.float64) - shift


def _two_centers(
    settings: _Settings, node: _Node, X: Any, weight: np.ndarray | None, at: int
) -> np.ndarray:
    """scikit-learn's k-means of some rows of a leaf."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    if X.shape[0] < 2:
        return np.stack([node.center, node.center])
    work = settings.work
    finder = KMeans(
        2,
        init=work.init,
        n_init=work.n_init,
        max_iter=work.max_iter,
        random_state=(settings.seed + at) % 2**32,
    )
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", ConvergenceWarning
        )  # of equal rows: they are a leaf as well
        finder.fit(_shifted(X, settings.shift), sample_weight=weight)
    return np.asarray(finder.cluster_centers_, np.float64)


def _attributes(
    settings: _Settings, root: _Node, nodes: list[_Node], found: LeafSums
) -> dict[str, Any]:
    """The tree as scikit-learn holds it, and what follows from it."""
    made = library("sklearn.cluster._bisect_k_means")._BisectingTree
    dtype = settings.sample.batch.matrix.dtype
    mean = None if settings.shift is None else settings.shift.astype(dtype)
    place = {id(node): i for i, node in enumerate(nodes)}
    order: list[int] = []

    def copied(node: _Node) -> Any:
        copy = made(center=node.center.astype(dtype), indices=None, score=node.score)
        if node.children is None:
            copy.label = len(order)
            order.append(place[id(node)])
        else:
            copy.left, copy.right = map(copied, node.children)
        return copy

    tree = copied(root)
    leaf_label = np.zeros(len(nodes), np.int32)
    leaf_label[order] = np.arange(len(order))
    centers = np.stack([nodes[i].center for i in order])
    if settings.shift is not None:
        centers = centers + settings.shift
    attributes = {
        "cluster_centers_": centers.astype(dtype),
        "labels_": leaf_label[np.concatenate(found.labels)],
        "inertia_": float(found.inertia.sum()),
        "_bisecting_tree": tree,
        "_n_features_out": len(order),
        "_n_threads": 1,
        "_n_init": settings.work.n_init,
    }
    return attributes if mean is None else {**attributes, "_X_mean": mean}


def _inertia(estimator: Any, X: Any, y: Any) -> float:
    return -float(estimator.inertia_)


def examples() -> Iterator[Example]:
    """A small table, which scikit-learn fits; larger ones are tested apart."""
    from sklearn.cluster import BisectingKMeans

    def data() -> tuple[Any, Any, Any]:
        rng = np.random.default_rng(6)
        X = rng.standard_normal((240, 3)) + 3.0 * rng.integers(0, 3, (240, 1)) + 10.0
        return BisectingKMeans(4, random_state=0), X, None

    yield Example("BisectingKMeans", data, quality=_inertia)
