"""Transformers whose ``fit`` looks at the number of columns and their names only.

Those that need no ``fit`` at all (Normalizer, Binarizer, HashingVectorizer) are fitted on the first rows
by `fitting.ways`, from their own tags. The ones here say that they need ``fit``, and what they learn is
the shape: a clone is fitted on the first rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp

from millrace.solvers.registry import Decline, Example, solves
from millrace.solvers.rows import Rows
from millrace.solvers.sklearn._working import Asking, float_dtype, learned, library, working_copy
from millrace.statistics.collect import Collect
from millrace.statistics.moments import ColumnMoments, Moments


@solves(
    "sklearn.preprocessing.PolynomialFeatures",
    "sklearn.preprocessing.FunctionTransformer",
    "sklearn.kernel_approximation.RBFSampler",
    "sklearn.kernel_approximation.SkewedChi2Sampler",
    "sklearn.kernel_approximation.PolynomialCountSketch",
    "sklearn.kernel_approximation.AdditiveChi2Sampler",
)
def by_shape(estimator: Any, rows: Rows) -> Asking:
    """A clone fitted on the first rows, with the columns of all rows."""
    work = working_copy(estimator)
    if getattr(work, "gamma", None) == "scale":
        found: ColumnMoments = yield rows.ask(
            Moments(allow_nan=False, who=type(estimator).__name__)
        )
        return _scaled(work, found, rows)
    head = rows.head
    if head is None:
        head = (yield rows.ask(Collect(most=50))).X
    work.fit(head)
    return learned(work)


def _scaled(work: Any, found: ColumnMoments, rows: Rows) -> dict[str, Any]:
    """RBFSampler with ``gamma="scale"``: the variance over all cells, from those of the columns."""
    # Two rows with the mean and the variance of all cells.
    mean = found.mean.mean()
    variance = (found.m2.sum() / found.n_rows + ((found.mean - mean) ** 2).sum()) / len(found.mean)
    spread = np.sqrt(variance)
    rows_ = np.full((2, len(found.mean)), mean)
    rows_[0] -= spread
    rows_[1] += spread
    work.fit(rows_.astype(float_dtype(rows.head)))
    if variance > 0:
        work._gamma = 1.0 / (len(found.mean) * variance)
    return learned(work)


@solves(
    "sklearn.random_projection.GaussianRandomProjection",
    "sklearn.random_projection.SparseRandomProjection",
)
def random_projection(estimator: Any, rows: Rows) -> Asking:
    """A clone fitted on zeros of the same shape, stored as nothing; ``auto`` counts the rows."""
    work = working_copy(estimator)
    if not isinstance(rows.width, int):
        raise Decline("the number of its columns is not known beforehand")
    n_rows = rows.n_rows
    if n_rows is None or rows.left_out is not None or getattr(rows, "only", None) is not None:
        found: ColumnMoments = yield rows.ask(Moments(allow_nan=False))
        n_rows = found.n_rows
    work.fit(sp.csr_matrix((n_rows, rows.width), dtype=float_dtype(rows.head)))
    return learned(work)


def _logarithm(X: Any) -> Any:
    return np.log1p(np.abs(X))


def examples() -> Iterator[Example]:
    """One of each, on arrays and a frame."""
    k, p = library("sklearn.kernel_approximation"), library("sklearn.preprocessing")
    r = library("sklearn.random_projection")

    def case(name: str, estimator: Any, frame: bool = False) -> Example:
        def make() -> Any:
            import pandas as pd

            X = np.random.default_rng(8).uniform(0.1, 4.0, (130, 4))
            return estimator, pd.DataFrame(X, columns=list("abcd")) if frame else X, None

        return Example(name, make)

    yield case("PolynomialFeatures", p.PolynomialFeatures(3, interaction_only=True))
    yield case("PolynomialFeatures, frame", p.PolynomialFeatures(2), frame=True)
    yield case("FunctionTransformer", p.FunctionTransformer(_logarithm), frame=True)
    yield case(
        "FunctionTransformer, checked", p.FunctionTransformer(np.log1p, np.expm1, validate=True)
    )
    yield case("RBFSampler", k.RBFSampler(random_state=0, n_components=7))
    yield case("RBFSampler, scale", k.RBFSampler(gamma="scale", random_state=0, n_components=7))
    yield case("SkewedChi2Sampler", k.SkewedChi2Sampler(random_state=0, n_components=5))
    yield case("PolynomialCountSketch", k.PolynomialCountSketch(random_state=0, n_components=8))
    yield case("AdditiveChi2Sampler", k.AdditiveChi2Sampler())
    yield case("GaussianRandomProjection", r.GaussianRandomProjection(3, random_state=1))
    yield case("SparseRandomProjection", r.SparseRandomProjection(3, random_state=1))
