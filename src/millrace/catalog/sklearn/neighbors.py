"""Nearest neighbours: KNeighborsClassifier and KNeighborsRegressor, and the search that others share.

Semantics matched: ``sklearn/neighbors/_base.py``, ``_classification.py`` and ``_regression.py`` of
scikit-learn 1.9.1. Rows are compared in float64. A kd or ball tree adds up the differences of the columns
in order, and compares distances before their root is taken; so does brute force, but for ``euclidean``,
whose squares it takes apart into products (``xx - 2 xy + yy``), unless a classifier of one output weighs
its neighbours uniformly. Here all are added up in order.

Exactness: with a tree the same bits, but for the roots of ``minkowski``. By brute force neighbours are
found by distances that differ from the source's by the rounding of its products (of float32, where it
was fitted on float32): another one is found where two fitted rows are so nearly as far, and weights that
divide by distances have a bound.

Ties: of several fitted rows at the same distance, not all of which are among the nearest, the source
takes those that its heap happens to keep, here it is the first ones in the order of its tree, or of the
fitted rows. The two agree where all rows are as far, and where the tied ones have the same target. An
object whose own fitted rows have ties that matter (they lie on a grid) falls back.

Missing values: NaN and infinities are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.catalog.registry import (
    BLAS_ORDER,
    Context,
    Decline,
    Example,
    Outputs,
    SparseValue,
    converts,
    list_of,
    vector,
)
from millrace.catalog.sklearn._examples import as_csr, as_frame, example_labels, spelled
from millrace.catalog.sklearn._forest import labels
from millrace.catalog.sklearn._pairwise import distance_bound
from millrace.catalog.sklearn.linear import checked
from millrace.ir.arrays import Array
from millrace.ir.build import Value
from millrace.ir.ops import Distances, Metric, Nearest

Floats = npt.NDArray[np.float64]

WHY_PRODUCTS = (
    "brute force takes distances from products, whose order of additions BLAS does not fix"
)
WHY_POWERS = "powers of the C library and of NumPy differ in the last place"
WHY_TIES = "the order in which equally near neighbours are added is not specified"

_METRICS: dict[str, Metric] = {
    "euclidean": "sqeuclidean",
    "l2": "sqeuclidean",
    "sqeuclidean": "sqeuclidean",
    "manhattan": "cityblock",
    "cityblock": "cityblock",
    "l1": "cityblock",
    "chebyshev": "chebyshev",
    "infinity": "chebyshev",
    "minkowski": "minkowski",
    "p": "minkowski",
}
"""What the source compares: squares where it takes a root afterwards."""

_SAMPLE = 2000
"""So many fitted rows are compared with each other for a bound."""

_ASKED = 200
"""So many fitted rows are asked for their own neighbours."""

_ASKED_PAIRS = 10_000_000
"""Most distances computed for that, down to a quarter of the rows."""


@dataclass(frozen=True)
class Search:
    """How a fitted object finds neighbours.

    Attributes
    ----------
    points : float64 (n_points, n_features)
        The fitted rows in the order in which they are tried.
    order : int (n_points,)
        Which fitted row each of them is.
    metric : Metric
        Of what is compared.
    p : float
    rooted : bool
        Whether a distance is the root of what is compared.
    brute : bool
        Whether the source may take distances from products.
    """

    points: Floats
    order: npt.NDArray[np.int64]
    metric: Metric
    p: float
    rooted: bool
    brute: bool

    def nearest(self, x: Value, k: int, owner: str) -> tuple[Value, Value]:
        """Distances of the `k` nearest and their positions among `points` (n, k).

        The source keeps row 0 where a distance overflows.
        """
        if k > len(self.points):
            raise Decline("it asks for more neighbours than it was fitted on")
        rows = checked(x, owner).cast("float64")
        found = rows.then(Nearest(Array(self.points), k, self.metric, self.p))
        far, at = found.take(range(k)), found.take(range(k, 2 * k))
        first = np.float64(np.argmin(self.order))
        at = (far < np.float64(np.inf)).where(at, first).cast("int64")
        return far.apply("sqrt") if self.rooted else far, at

    def require_settled(self, k: int, outcomes: npt.NDArray[Any]) -> None:
        """Decline where it is up to the source's heap which of tied fitted rows are neighbours.

        `outcomes` (n_points, n_outcomes) is what a neighbour adds to the answer. Some of the fitted rows
        are asked for their own neighbours.
        """
        from scipy.spatial.distance import cdist

        n_points = len(self.points)
        asked = self.points[
            :: -(-n_points // max(_ASKED // 4, min(_ASKED, _ASKED_PAIRS // n_points)))
        ]
        options: dict[str, Any] = {"p": self.p} if self.metric == "minkowski" else {}
        by_scipy: Any = cdist
        for one in range(len(asked)):  # one by one: all distances together would leave the cache
            far = by_scipy(asked[one : one + 1], self.points, self.metric, **options)[0]
            last = np.partition(far, k - 1)[k - 1]
            tied = outcomes[far == last]
            if np.count_nonzero(far <= last) > k and (tied != tied[0]).any():
                raise Decline("its fitted rows lie on a grid, and its heap chooses among tied ones")

    def within(self, x: Value, radius: float, owner: str) -> tuple[Value, Value]:
        """Distances to all `points`, and which are not farther than `radius` (n, n_points)."""
        rows = checked(x, owner).cast("float64")
        far = rows.then(Distances(Array(self.points), self.metric, self.p))
        if not self.rooted:
            return far, far <= np.float64(radius)
        return far.apply("sqrt"), far <= np.float64(radius) * np.float64(radius)

    def state_bound(self, context: Context, n_added: int, scale: float) -> None:
        """The bound of means weighted by one over the distance, of answers as large as `scale`.

        A distance from products is off by at most d (`distance_bound`). Of two neighbours the farther
        one is at least half as far as they are from each other, e. So the weight of one neighbour, as a
        part of the nearest one's, moves by less than ``4 d / e``. Fitted rows that are equal, but have
        different targets, are not covered: the source's own distance to them is rounding.
        """
        if self.metric == "minkowski":
            context.bound(32, 32 * 2.0**-52 * scale, WHY_POWERS)
        if not (self.brute and self.metric == "sqeuclidean"):
            return
        ulp, absolute = distance_bound(self.points)
        few = np.unique(self.points[:_SAMPLE], axis=0)
        norms = np.einsum("ij,ij->i", few, few)
        squares = norms[:, None] + norms - 2 * few @ few.T
        least = float(np.sqrt(squares[squares > absolute**2].min(initial=np.inf)))
        context.bound(2 * ulp, 4 * n_added * absolute / least * scale, WHY_PRODUCTS)


def search(model: Any, x: Value, *, by_distance: bool) -> Search:
    """How a fitted object finds neighbours.

    Parameters
    ----------
    model : an object with ``effective_metric_``
    x : Value
        Its input.
    by_distance : bool
        Whether distances go into its answers.

    Raises
    ------
    Decline
    """
    if isinstance(x, SparseValue) or hasattr(model._fit_X, "toarray"):
        raise Decline("neighbours of sparse rows are found by sparse products and a partial sort")
    metric = model.effective_metric_
    if not isinstance(metric, str):
        raise Decline("its metric is a Python function")
    if metric not in _METRICS:
        raise Decline(f"its metric {metric!r} is no Minkowski distance")
    brute, parameters = model._fit_method == "brute", model.effective_metric_params_
    if parameters.get("w") is not None:
        raise Decline("its metric weighs the columns")
    if brute and model.metric_params:
        raise Decline("brute force reads the parameters of its metric in more than one way")
    fitted = np.asarray(model._fit_X)
    if brute and by_distance and fitted.dtype == np.float32:
        raise Decline("it was fitted on float32, in which brute force rounds distances")
    order = np.arange(len(fitted)) if brute else np.asarray(model._tree.idx_array)
    points = fitted[order].astype(np.float64)
    p = float(parameters.get("p", 2.0))
    return Search(points, order, _METRICS[metric], p, metric in ("euclidean", "l2"), brute)


def weights_kind(model: Any) -> bool:
    """Whether neighbours are weighted by one over their distance; a function is declined."""
    if callable(model.weights):
        raise Decline("its weights are a Python function")
    return model.weights == "distance"


def inverse_distances(far: Value) -> Value:
    """``_get_weights(far, "distance")``: where some distances are 0, these weigh 1 and others nothing."""
    weights = far.builder.constant(np.float64(1.0)) / far
    infinite = weights.apply("isinf")
    return infinite.reduce("any").where(infinite.cast("float64"), weights)


def of_neighbours(column: npt.NDArray[Any], at: Value) -> Value:
    """``column[at]`` (n, k) for a number of each fitted row and the positions of neighbours.

    Looked up neighbour by neighbour: a constant row would be as wide as there are fitted rows.
    """
    table = Array(column)
    return at.builder.concat([at.column(i).gather(table) for i in range(at.width)])


def one_by_one(values: Sequence[Value]) -> Value:
    """The values added one after another."""
    return reduce(lambda a, b: a + b, values)


@converts("sklearn.neighbors.KNeighborsClassifier")
def k_neighbors_classifier(model: Any, x: Value, context: Context) -> Outputs:
    """The votes of the nearest fitted rows, of equal votes the first class; one or several outputs."""
    by_distance = weights_kind(model)
    found = search(model, x, by_distance=by_distance)
    if found.brute and model.metric == "minkowski" and model.p == np.inf:
        raise Decline("brute force takes p=inf for data frames and refuses it for arrays")
    owner, k = type(model).__name__, model.n_neighbors
    far, at = found.nearest(x, k, owner)
    weights = None
    if by_distance:
        found.state_bound(context, k, 1.0)
        weights = inverse_distances(far)
        weights = weights.require(
            weights.reduce("max") > np.float64(0.0), owner, "all its neighbours weigh nothing"
        )
    classes = model.classes_ if model.outputs_2d_ else [model.classes_]
    targets = np.asarray(model._y).reshape(len(found.points), -1)[found.order]
    found.require_settled(k, targets)
    predicted: list[Value] = []
    probabilities: list[Value] = []
    for position, own in enumerate(classes):
        voted = of_neighbours(targets[:, position], at)
        votes = one_by_one([_vote(voted, weights, i, len(own)) for i in range(k)])
        probabilities.append(votes / votes.reduce("sum"))
        counts = votes if weights is None else _weighted_counts(voted, weights, votes)
        predicted.append(counts.reduce("argmax").gather(labels(own)))
    if not model.outputs_2d_:
        return {"predict": vector(predicted[0]), "predict_proba": probabilities[0]}
    return {"predict": x.builder.concat(predicted), "predict_proba": list_of(probabilities)}


def _vote(voted: Value, weights: Value | None, neighbour: int, n_classes: int) -> Value:
    """The weight of one neighbour in the column of its class."""
    vote = voted.column(neighbour).one_hot(n_classes)
    return vote if weights is None else vote * weights.column(neighbour)


def _weighted_counts(voted: Value, weights: Value, votes: Value) -> Value:
    """The weights of each class as ``weighted_mode`` adds them up.

    From eight neighbours on that is another order than one after another.
    """
    if voted.width < 8:
        return votes
    builder = voted.builder
    nothing = np.float64(0.0)
    return builder.concat(
        [
            voted.equals(np.int64(c)).where(weights, nothing).reduce("sum")
            for c in range(votes.width)
        ]
    )


@converts("sklearn.neighbors.KNeighborsRegressor")
def k_neighbors_regressor(model: Any, x: Value, context: Context) -> Outputs:
    """The mean of the targets of the nearest fitted rows, one or several targets.

    Equally near neighbours are added in an order that the source does not specify, which moves a mean by
    less than ``2 n_neighbors eps`` times the largest target.
    """
    by_distance = weights_kind(model)
    found = search(model, x, by_distance=by_distance)
    k = model.n_neighbors
    far, at = found.nearest(x, k, type(model).__name__)
    targets = np.asarray(model._y)
    if targets.dtype.kind not in "iuf":
        raise Decline(f"its targets are {targets.dtype}")
    single = targets.ndim == 1
    targets = targets.reshape(len(targets), -1)[found.order]
    found.require_settled(k, targets)
    eps = np.finfo(targets.dtype).eps if targets.dtype.kind == "f" else 2.0**-52
    largest = float(np.abs(targets).max())
    context.bound(0, 2 * k * float(eps) * largest, WHY_TIES)
    if by_distance:
        found.state_bound(context, k, 2 * largest)
        answer = _weighted_means(targets, at, inverse_distances(far))
    else:
        answer = _means(targets, at)
    return {"predict": vector(answer) if single else answer}


def _weighted_means(targets: npt.NDArray[Any], at: Value, weights: Value) -> Value:
    """``sum(targets * weights) / sum(weights)`` of each target."""
    total = weights.reduce("sum")
    means = [(of_neighbours(column, at) * weights).reduce("sum") / total for column in targets.T]
    return at.builder.concat(means)


def _means(targets: npt.NDArray[Any], at: Value) -> Value:
    """``numpy.mean(targets[at], axis=1)``: several targets are added one neighbour after another."""
    if targets.shape[1] == 1:
        return of_neighbours(targets[:, 0], at).reduce("mean")
    if targets.dtype.kind != "f":
        targets = targets.astype(np.float64)
    table = Array(targets)
    total = one_by_one([at.column(i).gather(table) for i in range(at.width)])
    return (total / np.float64(at.width)).cast_like(total)


@converts("sklearn.neighbors.KNeighborsTransformer", "sklearn.neighbors.RadiusNeighborsTransformer")
def neighbors_graph(model: Any, x: Value, context: Context) -> Outputs:
    """The sparse graph of the neighbours of each row; the original object is called."""
    raise Decline("its graph has a column for each fitted row, and cells that are zero")


@converts("sklearn.neighbors.NeighborhoodComponentsAnalysis")
def neighborhood_components(model: Any, x: Value, context: Context) -> Outputs:
    """``x @ components_.T``, whose order of additions BLAS does not fix."""
    return {"transform": checked(x, type(model).__name__) @ np.asarray(model.components_).T}


# -- examples ------------------------------------------------------------------------------


def example_rows(n_features: int = 4, kind: str = "float64") -> tuple[Any, Any, Floats]:
    """Seeded rows to fit on, rows to ask about (the first of them fitted) and a signal."""
    rng = np.random.default_rng(n_features)
    rows = rng.normal(0, 1, (140, n_features))
    signal = rows[:, 0] + np.abs(rows[:, 1]) + rng.normal(0, 0.3, len(rows))
    asked = np.vstack([rows[:10], rng.normal(0, 1.2, (50, n_features))])
    if kind == "frame":
        return as_frame(rows), as_frame(asked), signal
    if kind == "csr":
        return as_csr(rows), as_csr(asked), signal
    return rows.astype(kind), asked.astype(kind), signal


def example_targets(kind: str, signal: Floats) -> Any:
    """The targets that the examples name."""
    match kind:
        case "text":
            return example_labels(signal, ["low", "middle", "high"])
        case "binary":
            return example_labels(signal, [0, 1])
        case "outputs":
            pair = example_labels(signal, [0, 1, 2]), example_labels(-signal, [5, 7, 9])
            return np.column_stack(pair)
        case "numbers":
            return np.column_stack([signal, -3.0 * signal, np.abs(signal)])
        case "count":
            return np.floor(np.exp(signal)).astype(np.int64)
        case "narrow":
            return signal.astype(np.float32)
        case _:
            return signal


def fitted_neighbors(
    name: str, targets: str, n_features: int = 4, kind: str = "float64", **params: Any
) -> tuple[Any, Any]:
    """A fitted object of ``sklearn.neighbors`` and rows to ask about."""
    import sklearn.neighbors

    rows, asked, signal = example_rows(n_features, kind)
    model = getattr(sklearn.neighbors, name)(**params)
    return model.fit(rows, example_targets(targets, signal)), asked


_FOR_ALL: tuple[dict[str, Any], ...] = (
    {},
    {"weights": "distance"},
    {"weights": "distance", "n_neighbors": 11, "algorithm": "ball_tree", "leaf_size": 7},
    {"p": 1, "weights": "distance"},
    {"p": 3, "n_neighbors": 1},
    {"p": 1.5, "algorithm": "ball_tree", "weights": "distance"},
    {"metric": "chebyshev", "algorithm": "kd_tree"},
    {"algorithm": "brute", "metric": "manhattan", "weights": "distance"},
    {"n_features": 20},
    {"n_features": 20, "n_neighbors": 17, "weights": "distance"},
    {"kind": "frame", "weights": "distance"},
    {"kind": "float32"},
)
"""Parameters of both classes."""


def examples() -> Iterator[Example]:
    """Each way to search and to weigh, one and several outputs, and what is not native."""
    for name, kinds in (
        ("KNeighborsClassifier", ("text", "outputs")),
        ("KNeighborsRegressor", ("number", "numbers")),
    ):
        for params in _FOR_ALL:
            words = spelled(params, " ")
            made = partial(fitted_neighbors, name, kinds[0], **params)
            yield Example(f"{name} {kinds[0]}{words}", made, **_bound(name, params))
        for params in ({}, {"weights": "distance", "n_neighbors": 9}):
            words = spelled(params, " ")
            made = partial(fitted_neighbors, name, kinds[1], **params)
            yield Example(f"{name} {kinds[1]}{words}", made, absolute=1e-12, why=WHY_TIES)
    yield from _other_examples()


def _on_a_grid() -> tuple[Any, Any]:
    from sklearn.neighbors import KNeighborsClassifier

    rows, asked, signal = example_rows()
    return KNeighborsClassifier().fit(rows.round(), example_targets("text", signal)), asked.round()


def _bound(name: str, params: dict[str, Any]) -> dict[str, Any]:
    """The bound of an example."""
    if "weights" in params and params.get("n_features") == 20:
        return {"absolute": 1e-5, "why": WHY_PRODUCTS}
    if "weights" in params and params.get("p") == 1.5:
        return {"ulp": 32, "absolute": 1e-12, "why": WHY_POWERS}
    return {"absolute": 1e-12, "why": WHY_TIES} if name.endswith("Regressor") else {}


def _other_examples() -> Iterator[Example]:
    for kind in ("count", "narrow"):
        made = partial(fitted_neighbors, "KNeighborsRegressor", kind)
        yield Example(f"KNeighborsRegressor {kind}", made, absolute=1e-5, why=WHY_TIES)
    yield Example("KNeighborsClassifier on a grid", _on_a_grid, native=False)
    for params in ({"metric": "cosine"}, {"weights": np.exp}, {"kind": "csr"}):
        words = "".join(f" {k}={getattr(v, '__name__', v)}" for k, v in params.items())
        made = partial(fitted_neighbors, "KNeighborsClassifier", "text", **params)
        yield Example(f"KNeighborsClassifier{words}", made, native=False)
    for name in ("KNeighborsTransformer", "RadiusNeighborsTransformer"):
        yield Example(name, partial(fitted_neighbors, name, "number"), native=False)
    yield Example(
        "NeighborhoodComponentsAnalysis",
        partial(
            fitted_neighbors, "NeighborhoodComponentsAnalysis", "text", n_components=2, max_iter=5
        ),
        ulp=64,
        absolute=1e-12,
        why=BLAS_ORDER,
    )
