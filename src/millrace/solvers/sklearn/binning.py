"""KBinsDiscretizer, QuantileTransformer, SplineTransformer.

The first two look at a sample of ``subsample`` rows where there are more. With ``random_state`` an
integer it is the sample that scikit-learn draws, found by its row numbers, and so are the edges; without
one it is a uniform sample that is the same on every run. With ``subsample=None`` the quantiles are those
of all rows, found exactly over a few sweeps.
"""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np

from millrace.solvers.registry import Decline, Example, solves
from millrace.solvers.rows import Rows
from millrace.solvers.sklearn._working import (
    Asking,
    float_dtype,
    is_sparse,
    learned,
    library,
    working_copy,
)
from millrace.statistics.base import Batch, check_finite
from millrace.statistics.moments import ColumnMoments, Moments
from millrace.statistics.picked import Picked
from millrace.statistics.quantiles import percentiles
from millrace.statistics.sample import Sample, Sampled

_MOST_NUMBERS = 1 << 27
"""Rows whose numbers are shuffled as scikit-learn shuffles them; beyond, the list would fill memory."""


def _draws_rows(estimator: Any, shape: tuple[int, int]) -> bool:
    """Whether quantiles are those of rows that are drawn, and of other ones in every fit."""
    drawn = estimator.subsample is not None and shape[0] > estimator.subsample
    return drawn and estimator.random_state is None


@solves("sklearn.preprocessing.KBinsDiscretizer", weight=True, equivalent=_draws_rows)
def k_bins(estimator: Any, rows: Rows) -> Asking:
    """Edges of the bins, from the sample or from all rows."""
    work = working_copy(estimator)
    if work.subsample is None:
        return (yield from _bins_of_all(work, rows))
    batch, n_rows = yield from _sample(estimator, rows, replace=True)
    if rows.weighted and len(batch) < n_rows:
        raise Decline("rows are drawn by their weights; pass subsample=None")
    check_finite(batch, "KBinsDiscretizer")
    # The sample is complete as it is: the clone is to take all of it.
    _fit_on(work, batch, _numeric_dtype(rows.head))
    return learned(work)


def _bins_of_all(work: Any, rows: Rows) -> Asking:
    """Edges from extremes or exact quantiles of all rows."""
    who = "KBinsDiscretizer"
    found: ColumnMoments
    if rows.weighted:
        raise Decline("weighted quantiles and extremes are not collected from all rows")
    if work.strategy == "kmeans":
        raise Decline("the k-means of each column needs it whole; pass a subsample")
    found = yield rows.ask(Moments(allow_nan=False, who=who))
    n_bins = work._validate_n_bins(len(found.mean))
    extremes = np.array([found.least, found.greatest], _numeric_dtype(rows.head))
    if work.strategy == "uniform":
        return learned(work.fit(extremes))
    if work.quantile_method not in ("linear", "inverted_cdf", "averaged_inverted_cdf"):
        raise Decline(f"quantiles of method {work.quantile_method!r} are not collected")
    points = np.unique(np.concatenate([np.linspace(0, 100, n + 1) for n in n_bins]))
    edges = yield from percentiles(rows, points, who, allow_nan=False, method=work.quantile_method)
    of_column = [
        edges[np.searchsorted(points, np.linspace(0, 100, n + 1)), j] for j, n in enumerate(n_bins)
    ]
    return _from_edges(work, of_column, _numeric_dtype(rows.head))


def _from_edges(work: Any, edges: list[np.ndarray], dtype: np.dtype) -> dict[str, Any]:
    """What ``fit`` makes of quantiles: narrow bins removed, and an encoder for their numbers."""
    import warnings

    OneHotEncoder = library("sklearn.preprocessing").OneHotEncoder
    bin_edges, n_bins = np.zeros(len(edges), dtype=object), np.zeros(len(edges), int)
    for j, found in enumerate(edges):
        if found[0] == found[-1]:
            warnings.warn(f"Feature {j} is constant and will be replaced with 0.", stacklevel=2)
            bin_edges[j], n_bins[j] = np.array([-np.inf, np.inf]), 1
            continue
        bin_edges[j] = found[np.ediff1d(found, to_begin=np.inf) > 1e-8]
        n_bins[j] = len(bin_edges[j]) - 1
        if n_bins[j] != len(found) - 1:
            warnings.warn(
                f"Bins whose width are too small (i.e., <= 1e-8) in feature {j} are removed. "
                "Consider decreasing the number of bins.",
                stacklevel=2,
            )
    work.bin_edges_, work.n_bins_ = bin_edges, n_bins
    if "onehot" in work.encode:
        work._encoder = OneHotEncoder(
            categories=[np.arange(i) for i in n_bins],
            sparse_output=work.encode == "onehot",
            dtype=work.dtype if work.dtype in (np.float64, np.float32) else dtype,
        ).fit(np.zeros((1, len(n_bins))))
    return learned(work)


def _numeric_dtype(head: Any) -> np.dtype:
    """The dtype that ``check_array(X, dtype="numeric")`` leaves."""
    if head is None:
        return np.dtype(np.float64)
    kinds = list(head.dtypes) if hasattr(head, "dtypes") else [head.dtype]
    found = np.result_type(*[k for k in kinds if isinstance(k, np.dtype)] or [np.float64])
    return found if found.kind in "fiu" else np.dtype(np.float64)


def _sample(estimator: Any, rows: Rows, replace: bool) -> Asking:
    """The rows that the fit looks at, and how many rows there are."""
    most = estimator.subsample
    found: Sampled = yield rows.ask(Sample(most, rows.n_rows))
    n_rows, state = found.n_rows, estimator.random_state
    whole = rows.left_out is None and rows.only is None
    if found.complete or not (isinstance(state, Integral) and whole and n_rows <= _MOST_NUMBERS):
        return found.batch, n_rows
    random = np.random.RandomState(int(state))
    if replace:
        drawn = random.choice(n_rows, size=most, replace=True)
    else:
        drawn = np.arange(n_rows)
        random.shuffle(drawn)
        drawn = drawn[:most]
    numbers = np.unique(drawn)
    picked: Batch = yield rows.ask(Picked(numbers))
    at = np.searchsorted(numbers, drawn)
    return Batch(0, picked.matrix[at], rows=drawn), n_rows


def _fit_on(work: Any, batch: Batch, dtype: np.dtype) -> None:
    """Fit a clone on a sample as it is."""
    subsample, work.subsample = work.subsample, None
    X = batch.matrix.astype(dtype, copy=False)
    weight = {} if batch.weight is None else {"sample_weight": batch.weight}
    work.fit(X, **weight)
    work.subsample = subsample


@solves("sklearn.preprocessing.QuantileTransformer", equivalent=_draws_rows)
def quantile_transformer(estimator: Any, rows: Rows) -> Asking:
    """Quantiles of the sample, or of all rows."""
    work = working_copy(estimator)
    subsample = work.subsample
    if subsample is not None and work.n_quantiles > subsample:
        raise ValueError(
            "The number of quantiles cannot be greater than the number of samples used. Got "
            f"{work.n_quantiles} quantiles and {subsample} samples."
        )
    dtype = float_dtype(rows.head)
    if subsample is not None:
        batch, n_rows = yield from _sample(estimator, rows, replace=False)
        check_finite(batch, "QuantileTransformer", allow_nan=True)
        if is_sparse(rows.head) and len(batch) < n_rows:
            raise Decline("sparse columns are sampled one by one, by their stored cells")
        _fit_on(work, batch, dtype)
        return learned(work)
    if is_sparse(rows.head):
        raise Decline("order statistics of sparse rows are not collected")
    found: ColumnMoments = yield rows.ask(Moments(who="QuantileTransformer"))
    n = max(1, min(work.n_quantiles, found.n_rows))
    # A fit on as many rows sets the number of quantiles, and warns, as on all of them.
    work.fit(np.zeros((min(found.n_rows, work.n_quantiles), len(found.mean)), dtype))
    points = np.linspace(0, 1, n, endpoint=True) * 100
    quantiles = yield from percentiles(rows, points, "QuantileTransformer")
    work.quantiles_ = quantiles.astype(dtype)
    return learned(work)


@solves("sklearn.preprocessing.SplineTransformer")
def spline_transformer(estimator: Any, rows: Rows) -> Asking:
    """Knots from extremes, or from exact quantiles of all rows."""
    work = working_copy(estimator)
    if is_sparse(rows.head):
        raise TypeError("Sparse data was passed, but dense data is required.")
    who, allow_nan = "SplineTransformer", work.handle_missing == "zeros"
    if isinstance(work.knots, str) and work.knots == "quantile":
        points = 100 * np.linspace(start=0, stop=1, num=work.n_knots, dtype=np.float64)
        knots = yield from percentiles(rows, points, who, allow_nan=allow_nan)
        work._get_base_knot_positions = lambda X, **given: knots
        work.fit(np.zeros((2, knots.shape[1])))
        del work._get_base_knot_positions
        return learned(work)
    found: ColumnMoments = yield rows.ask(Moments(allow_nan, who))
    work.fit(np.array([found.least, found.greatest]))
    return learned(work)


def _cells(case: str) -> Any:
    rng = np.random.default_rng(12)
    X = np.column_stack(
        [rng.normal(size=300), rng.lognormal(0, 2, 300), rng.integers(0, 4, 300), np.ones(300)]
    )
    if case == "missing":
        X[rng.random(X.shape) < 0.1] = np.nan
    return X if case != "plain" else X[:, :3]


def examples() -> Iterator[Example]:
    """Strategies, methods, samples and all rows."""
    p = library("sklearn.preprocessing")

    def case(name: str, estimator: Any, cells: str = "plain", weight: bool = False) -> Example:
        return Example(name, lambda: (estimator, _cells(cells), None), weight=weight)

    for strategy in ("uniform", "quantile", "kmeans"):
        made = p.KBinsDiscretizer(4, strategy=strategy, quantile_method="averaged_inverted_cdf")
        yield case(f"KBinsDiscretizer, {strategy}", made, weight=True)
    drawn = {"subsample": 100, "random_state": 3, "quantile_method": "averaged_inverted_cdf"}
    yield case("KBinsDiscretizer, drawn", p.KBinsDiscretizer(4, encode="ordinal", **drawn))
    for method in ("linear", "averaged_inverted_cdf", "inverted_cdf"):
        made = p.KBinsDiscretizer(
            [3, 4, 5], subsample=None, quantile_method=method, encode="onehot-dense"
        )
        yield case(f"KBinsDiscretizer, all, {method}", made)
    uniform = p.KBinsDiscretizer(3, strategy="uniform", subsample=None, dtype=np.float32)
    yield case("KBinsDiscretizer, all, uniform", uniform)
    made = {"n_quantiles": 50, "random_state": 1}
    yield case("QuantileTransformer", p.QuantileTransformer(**made), "missing")
    yield case("QuantileTransformer, drawn", p.QuantileTransformer(subsample=120, **made))
    all_ = p.QuantileTransformer(subsample=None, output_distribution="normal", **made)
    yield case("QuantileTransformer, all", all_, "missing")
    for knots in ("uniform", "quantile"):
        yield case(f"SplineTransformer, {knots}", p.SplineTransformer(knots=knots))
    zeros = p.SplineTransformer(knots="quantile", handle_missing="zeros", n_knots=3)
    yield case("SplineTransformer, missing", zeros, "missing")
    given = np.array([[-1.0, 0, 0], [0, 1, 2], [1, 9, 4]])
    yield case("SplineTransformer, given", p.SplineTransformer(knots=given, extrapolation="linear"))
