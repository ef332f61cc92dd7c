"""Random projections: one matrix product with fixed components.

Semantics matched: ``sklearn/random_projection.py`` of scikit-learn 1.9.1.

Exactness: the order of additions differs between BLAS, which computes the product here, and the sparse
products of the source, which pass over zeros; any two orders of k terms differ by at most
``2 k eps sum(abs(x * w))``. Missing values: NaN and infinities are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial, reduce
from typing import Any

import numpy as np

from millrace.catalog.registry import (
    BLAS_ORDER,
    Context,
    Example,
    Outputs,
    SparseValue,
    converts,
    sparse,
)
from millrace.catalog.sklearn._examples import as_csr, as_frame
from millrace.catalog.sklearn._pairwise import require_dtype
from millrace.ir.build import Value
from millrace.ir.ops import Sparse


@converts("sklearn.random_projection.GaussianRandomProjection")
def gaussian_random_projection(model: Any, x: Value, context: Context) -> Outputs:
    """``x @ components_.T``; a sparse matrix stays sparse until the product."""
    return {"transform": x.cast("float").guard(type(model).__name__) @ model.components_.T}


@converts("sklearn.random_projection.SparseRandomProjection")
def sparse_random_projection(model: Any, x: Value, context: Context) -> Outputs:
    """``x @ components_.T``; the answer to a sparse matrix is sparse unless ``dense_output`` is set.

    Dense rows have the same bits: their terms are added one by one, in the order of the source.
    """
    owner, components = type(model).__name__, model.components_
    rows = x.cast("float").guard(owner)
    if not hasattr(components, "toarray"):  # density=1
        return {"transform": rows @ components.T}
    most = int(np.diff(components.indptr).max())
    if not isinstance(x, SparseValue) and 0 < most <= _MOST_TERMS:
        return {"transform": _term_by_term(rows, components)}
    if isinstance(x, SparseValue) and model.dense_output:
        rows = require_dtype(rows, components.dtype, owner)
    product = rows @ components.toarray().T
    if isinstance(x, SparseValue) and not model.dense_output:
        return {"transform": sparse(product.then(Sparse()))}
    return {"transform": product}


_MOST_TERMS = 256
"""Components with more terms than this are multiplied as dense ones."""


def _term_by_term(rows: Value, components: Any) -> Value:
    """``rows @ components.T`` as SciPy adds it up: the first term of each component, the second ..."""
    lengths = np.diff(components.indptr)
    terms = []
    for term in range(int(lengths.max())):
        at = np.where(term < lengths, components.indptr[:-1] + term, 0)
        weights = np.where(term < lengths, components.data[at], 0).astype(components.dtype)
        terms.append(rows.take(components.indices[at]) * weights)
    return reduce(Value.__add__, terms[1:], terms[0] + np.zeros(1, components.dtype))


# -- examples ------------------------------------------------------------------------------


def _fitted(name: str, dtype: str, container: str, params: dict[str, Any]) -> tuple[Any, Any]:
    import sklearn.random_projection

    X = np.random.default_rng(0).normal(0, 2, (60, 12)).round(2).astype(dtype)
    X[np.abs(X) < 1] = 0
    if container == "frame":
        X = as_frame(X)
    if container == "csr":
        X = as_csr(X)
    options = {"n_components": 4, "random_state": 0, **params}
    return getattr(sklearn.random_projection, name)(**options).fit(X), X


def _after_sparse(dense_output: bool) -> tuple[Any, Any]:
    """A projection that receives the sparse matrix of a one-hot encoder."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder
    from sklearn.random_projection import SparseRandomProjection

    X = np.random.default_rng(1).integers(0, 7, (60, 3)).astype(float)
    encoder = OneHotEncoder(handle_unknown="ignore")
    size: Any = 5
    projection = SparseRandomProjection(size, dense_output=dense_output, random_state=0)
    return make_pipeline(encoder, projection).fit(X), X


def examples() -> Iterator[Example]:
    """Both projections on each dtype and container, sparse and dense answers."""
    for name, dtype, container, params in [
        ("GaussianRandomProjection", "float64", "array", {}),
        ("GaussianRandomProjection", "float32", "frame", {}),
        ("GaussianRandomProjection", "int64", "array", {}),
        ("GaussianRandomProjection", "float64", "csr", {}),
        ("SparseRandomProjection", "float64", "array", {}),
        ("SparseRandomProjection", "float32", "array", {"density": 0.5}),
        ("SparseRandomProjection", "float64", "frame", {"density": 1.0}),
        ("SparseRandomProjection", "float64", "csr", {}),
        ("SparseRandomProjection", "float64", "csr", {"dense_output": True}),
    ]:
        words = " ".join(f"{k}={v}" for k, v in params.items())
        yield Example(
            f"{name} {dtype} {container} {words}".strip(),
            partial(_fitted, name, dtype, container, params),
            ulp=64,
            absolute=1e-4 if dtype == "float32" else 1e-13,
            why=BLAS_ORDER,
        )
    for dense_output in (False, True):
        yield Example(
            f"SparseRandomProjection after sparse dense_output={dense_output}",
            partial(_after_sparse, dense_output),
            ulp=64,
            absolute=1e-13,
            why=BLAS_ORDER,
        )
