"""What the solvers of trees and forests share: binned rows, and trees grown from them.

A tree is grown by the algorithm of scikit-learn 1.9, with its random numbers, over columns of at most 255
bins. Where the rows are at most 200,000 and no column has more than 255 distinct values, nothing is lost,
and the tree is scikit-learn's, bit for bit, if its sums are exact (class counts without weights; whole
numbers as target); else equal up to ties that rounding decides. Columns of more values are split between
bins of equally many rows: trees of the same quality, not the same trees. Thresholds lie between values of
the column in either case. Under a memory budget the 200,000 rows are fewer where they would take more
than a sixteenth of it.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from math import ceil, inf
from numbers import Integral
from typing import Any

import numpy as np

from millrace.errors import FitError
from millrace.runtime.pool import spread
from millrace.solvers.registry import Decline
from millrace.solvers.rows import Ask, Rows
from millrace.statistics.binned import (
    IN_MEMORY,
    Binned,
    BinnedCache,
    RowSample,
    TargetRows,
    Targets,
    quantile_edges,
)
from millrace.statistics.mapped import Store, few_pages

Steps = Generator["Ask | list[Ask]", Any, dict[str, Any]]

SAMPLE_ROWS = 200_000
"""Rows from which the bins are found."""

_FEWEST_ROWS = 2_000
"""Rows from which they are found however small the budget is."""

_WIDEST_SPARSE = 4096
"""Columns up to which sparse rows are binned: a bin takes a byte even where it is zero."""


@dataclass(frozen=True)
class TreeRows:
    """Binned rows with their target.

    Attributes
    ----------
    binned : Binned
    target : TargetRows
    sparse : bool
        Whether they came as a sparse matrix.
    memory : int, optional
        The budget of the call in bytes.
    """

    binned: Binned
    target: TargetRows
    sparse: bool
    memory: int | None = None

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return self.target.n_samples

    @property
    def n_features(self) -> int:
        """Number of columns."""
        return len(self.binned.codes)

    @property
    def n_classes(self) -> int:
        """Number of classes; 0 for regression."""
        return 0 if self.target.classes is None else len(self.target.classes)


def cache_memory(rows: Rows) -> int:
    """Bytes of binned columns to keep in memory."""
    return rows.memory // 4 if rows.memory else IN_MEMORY


def decline_unsupported(estimator: Any, rows: Rows) -> None:
    """Decline parameters that histogram trees do not have.

    Raises
    ------
    Decline
        With the parameter.
    """
    if estimator.criterion not in ("gini", "entropy", "log_loss", "squared_error", "poisson"):
        raise Decline(f"sums of bins do not give the criterion {estimator.criterion!r}")
    if getattr(estimator, "monotonic_cst", None) is not None:
        raise Decline("monotonic_cst bounds the values of nodes, and these trees keep no bounds")
    if not isinstance(getattr(estimator, "splitter", ""), str):
        raise Decline("its splitter is an object")
    sparse = hasattr(rows.head, "indptr")
    if sparse and (rows.width or 0) > _WIDEST_SPARSE:
        raise Decline(f"its sparse rows are wider than {_WIDEST_SPARSE:,} columns")


def binned_rows(
    estimator: Any, rows: Rows, *, allow_nan: bool = True
) -> Generator[Ask | list[Ask], Any, TreeRows]:
    """Two sweeps: the target and a sample of the rows; then every value's bin."""
    from sklearn.base import is_classifier
    from sklearn.utils.multiclass import check_classification_targets

    who, sparse = type(estimator).__name__, hasattr(rows.head, "indptr")
    every = rows.left_out is None and rows.only is None
    sample = RowSample(
        who,
        _sample_rows(rows),
        single=True,
        allow_nan=allow_nan and not sparse,
        n_rows=rows.n_rows if every else None,
    )
    target, drawn = yield [rows.ask(Targets(is_classifier(estimator))), rows.ask(sample)]
    if target.y.ndim == 2 and target.y.shape[1] > 1:
        raise Decline("histogram trees have one target")
    if target.classes is not None:
        check_classification_targets(target.classes)
    if estimator.criterion == "poisson":
        if (target.y < 0).any():
            raise FitError(
                f"{who}: the target has negative values, which Poisson regression refuses."
            )
        if target.y.sum() <= 0:
            raise FitError(f"{who}: the sum of the target must be positive for Poisson regression.")
    edges = tuple(quantile_edges(drawn.X, spread=spread))
    del drawn
    memory = cache_memory(rows)
    cache = BinnedCache(who, edges, target.n_samples, memory, target.rows, single=True)
    binned: Binned = yield rows.ask(cache)
    return TreeRows(binned, target, sparse, rows.memory)


def _sample_rows(rows: Rows) -> int:
    if not rows.memory:
        return SAMPLE_ROWS
    of_row = np.dtype(np.float32).itemsize * max(rows.width or 1, 1)
    return min(SAMPLE_ROWS, max(rows.memory // 16 // of_row, _FEWEST_ROWS))


def class_weights(estimator: Any, found: TreeRows) -> np.ndarray | None:
    """The weight of every row by its class (n_samples,), or None."""
    from sklearn.utils import compute_sample_weight

    wanted = getattr(estimator, "class_weight", None)
    if wanted is None or found.target.classes is None:
        return None
    if isinstance(wanted, str):
        return compute_sample_weight(wanted, found.target.y)
    return compute_sample_weight(wanted, found.target.classes)[found.target.y]


def product(first: np.ndarray | None, second: np.ndarray | None) -> np.ndarray | None:
    """The product of weights, where None means ones."""
    if first is None or second is None:
        return second if first is None else first
    return first * second


def most_features(tree: Any, n_features: int) -> int:
    """How many features are tried at a node: ``max_features_``."""
    wanted = tree.max_features
    if wanted is None:
        return n_features
    if wanted == "sqrt":
        return max(1, int(np.sqrt(n_features)))
    if wanted == "log2":
        return max(1, int(np.log2(n_features)))
    if isinstance(wanted, Integral):
        return int(wanted)
    return max(1, int(wanted * n_features)) if wanted > 0.0 else 0


def grow(tree: Any, found: TreeRows, weight: np.ndarray | None) -> Any:
    """Fit a ``DecisionTree*`` in place: `tree` gets the attributes that its own ``_fit`` sets.

    Parameters
    ----------
    tree : object
        With integer or other ``random_state``, which is drawn from as scikit-learn does.
    found : TreeRows
    weight : numpy.ndarray, optional
        Of every row (n_samples,); rows of weight 0 are left out.
    """
    from sklearn.tree._tree import Tree
    from sklearn.utils import check_random_state

    seed = check_random_state(tree.random_state).randint(0, 2147483647)
    n_classes = found.n_classes
    tree.n_features_in_ = found.n_features
    tree.n_outputs_ = 1
    tree.max_features_ = most_features(tree, found.n_features)
    if n_classes:
        tree.n_classes_ = np.intp(n_classes)
    nodes, values, depth = _grown(tree, found, weight, seed)
    shape = np.array([max(n_classes, 1)], dtype=np.intp)
    tree.tree_ = Tree(found.n_features, shape, 1)
    tree.tree_.__setstate__(
        {"max_depth": depth, "node_count": len(nodes), "nodes": nodes, "values": values}
    )
    tree._prune_tree()
    return tree


def _rule(tree: Any, found: TreeRows, weight: np.ndarray | None, counted: bool) -> Any:
    from millrace.statistics.kernels import criteria
    from millrace.statistics.kernels.growth import RULE

    kinds = {
        "gini": criteria.GINI,
        "entropy": criteria.ENTROPY,
        "log_loss": criteria.ENTROPY,
        "squared_error": criteria.SQUARED,
        "poisson": criteria.POISSON,
    }
    n = found.n_samples
    leaf, split = tree.min_samples_leaf, tree.min_samples_split
    leaf = int(leaf) if isinstance(leaf, Integral) else ceil(leaf * n)
    split = int(split) if isinstance(split, Integral) else max(2, ceil(split * n))
    total = float(n) if weight is None else float(np.sum(weight))
    wanted = {
        "kind": kinds[tree.criterion],
        "n_classes": found.n_classes,
        "counted": counted,
        "max_features": tree.max_features_,
        "min_samples_split": max(split, 2 * leaf),
        "min_samples_leaf": leaf,
        "max_depth": np.iinfo(np.int32).max if tree.max_depth is None else tree.max_depth,
        "max_leaf_nodes": -1 if tree.max_leaf_nodes is None else tree.max_leaf_nodes,
        "min_weight_leaf": tree.min_weight_fraction_leaf * total,
        "min_impurity_decrease": tree.min_impurity_decrease,
        "total_weight": total,
    }
    rule = np.zeros(1, RULE)
    for name, value in wanted.items():
        rule[name] = value
    return rule[0]


def _held(found: TreeRows, weight: np.ndarray | None) -> tuple[Any, bool]:
    """The rows of a tree as its kernels take them; and whether they are counted.

    Raises
    ------
    FitError
        More rows or classes than a record has bits for.
    """
    from millrace.statistics.kernels.growth import Held
    from millrace.statistics.kernels.histograms import ROW_BITS

    if found.n_samples >> ROW_BITS or found.n_classes >> (64 - ROW_BITS):
        raise FitError(f"trees take fewer than 2**{ROW_BITS} rows and 2**{64 - ROW_BITS} classes.")
    n = found.n_samples if weight is None else int(np.count_nonzero(weight))
    counted = 0 < found.n_classes <= 256 and (weight is None or _are_counts(weight))
    room = inf if found.memory is None else found.memory // 8
    records, more_records = (_array((n,), np.uint64, room) for _ in range(2))
    real, more_real = (_array((0 if counted else n, 2), np.float64, room) for _ in range(2))
    done, y = 0, found.target.y.reshape(-1)
    for first in range(0, found.n_samples, _BLOCK):
        some = None if weight is None else weight[first : first + _BLOCK]
        kept = np.arange(len(y[first : first + _BLOCK])) if some is None else np.flatnonzero(some)
        here, of = slice(done, done + len(kept)), y[first : first + _BLOCK][kept]
        w = np.ones(len(kept)) if some is None else some[kept]
        records[here] = kept + first
        if found.n_classes:
            records[here] |= of.astype(np.uint64) << np.uint64(ROW_BITS)
        if counted:
            records[here] |= w.astype(np.uint64) << np.uint64(48)
        else:
            real[here, 0], real[here, 1] = w, of
        done += len(kept)
    return Held(records, real, more_records, more_real), counted


def _array(shape: tuple[int, ...], dtype: Any, room: float) -> np.ndarray:
    """An empty array, mapped from a file where it takes more than `room` bytes."""
    return np.asarray(Store(shape, room, dtype).get())


_BLOCK = 1 << 18
"""Rows that are prepared at a time."""


def _are_counts(weight: np.ndarray) -> bool:
    """Whether weights are whole numbers of 16 bits, with a sum of 32."""
    if weight.min(initial=0) < 0 or weight.max(initial=0) >= 1 << 16:
        return False
    whole = weight.dtype.kind in "iu" or bool((weight == np.floor(weight)).all())
    return whole and float(weight.sum()) < 1 << 32


_SHARE_OF_PAGES = 32
"""Of the budget, what each thread may have mapped of the bins at a time."""

_LOCAL = 1 << 18
"""Bytes of bins of the rows of a subtree: a share of a core's own cache."""


def _grown(
    tree: Any, found: TreeRows, weight: np.ndarray | None, seed: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Nodes, values (n_nodes, 1, n_values) and depth of a tree."""
    from sklearn.tree._tree import NODE_DTYPE

    from millrace.statistics.kernels.growth import Table, workspace
    from millrace.statistics.kernels.pages import mapped_pages
    from millrace.statistics.kernels.random_splits import padded
    from millrace.statistics.kernels.trees import grow_best_first, grow_depth_first

    held, counted = _held(found, weight)
    random = 1 if tree.splitter == "random" else None
    rule, binned, p = _rule(tree, found, weight, counted), found.binned, found.n_features
    wide = padded(p) if random else p
    room = max(min(_LOCAL // wide, found.n_samples), 1)
    local = np.zeros((room, wide), np.uint8).T if random else np.empty((p, room), np.uint8)
    codes = np.asarray(binned.codes)
    pages = mapped_pages(codes, (found.memory or 2 << 30) // _SHARE_OF_PAGES)
    table = Table(codes, binned.low, binned.high, binned.edges, local, random, pages)
    work = workspace(p, found.n_classes, counted, seed, random is not None)
    room = _most_nodes(rule, len(held.records))
    nodes, values = np.zeros(room, NODE_DTYPE), np.empty((room, max(found.n_classes, 1)))
    queue, gains = np.empty((room + 2, 6), np.int64), np.empty(room + 2)
    with few_pages(*held):
        if rule["max_leaf_nodes"] < 0:
            count, depth = grow_depth_first(table, held, rule, work, nodes, values, queue, gains)
        else:
            more = np.empty((room + 2, 2))
            count, depth = grow_best_first(
                table, held, rule, work, nodes, values, queue, gains, more
            )
    return nodes[:count].copy(), values[:count, np.newaxis].copy(), int(depth)


def _most_nodes(rule: Any, n_samples: int) -> int:
    """The most nodes that a tree can have; memory is only taken as they are written."""
    most = 2 * max(n_samples // int(rule["min_samples_leaf"]), 1) - 1
    if rule["max_depth"] < 40:
        most = min(most, 2 ** (int(rule["max_depth"]) + 1) - 1)
    if rule["max_leaf_nodes"] > 0:
        most = min(most, 2 * int(rule["max_leaf_nodes"]) - 1)
    return most


def leaves_of(tree: Any, binned: Binned, rows: np.ndarray) -> np.ndarray:
    """The leaves that some rows come to, as ``tree.apply`` finds them: int64 of (n_rows,).

    Exact, since no threshold lies within a bin.
    """
    from millrace.statistics.kernels.trees import leaves

    nodes = tree.tree_.__getstate__()["nodes"]
    greatest = np.maximum.accumulate(binned.high, axis=1)
    cuts = np.zeros(len(nodes), np.uint8)
    for feature in np.unique(nodes["feature"][nodes["feature"] >= 0]):
        of = nodes["feature"] == feature
        below = np.searchsorted(greatest[feature, :255], nodes["threshold"][of], side="right")
        cuts[of] = np.maximum(below - 1, 0)
    out = np.empty(len(rows), np.int64)
    leaves(binned.codes, rows, nodes, cuts, out)
    return out
