"""Bins of continuous columns.

Semantics matched: ``sklearn/preprocessing/_discretization.py`` of scikit-learn 1.9.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from millrace.catalog.registry import (
    Context,
    Decline,
    Example,
    Outputs,
    Result,
    SparseValue,
    converts,
    sparse,
)
from millrace.catalog.sklearn._examples import as_frame
from millrace.ir.arrays import Array, offsets
from millrace.ir.build import Value
from millrace.ir.ops import SearchSorted


def as_sparse(value: Value) -> Result:
    """A result in the sparse container that scikit-learn is set to return."""
    from sklearn import get_config

    arrays = get_config()["sparse_interface"] == "sparray"
    return sparse(value, "csr_array" if arrays else "csr_matrix")


@converts("sklearn.preprocessing.KBinsDiscretizer")
def k_bins_discretizer(source: Any, x: Value, context: Context) -> Outputs:
    """The number of the bin that a value falls into, as it is or as indicators of all bins.

    Values beyond the outer edges go into the first and the last bin.

    Exactness: the same bits. Missing values: NaN and infinities are refused.
    """
    if isinstance(x, SparseValue):
        raise Decline("its input is a sparse matrix")
    x = x.cast("float" if source.dtype is None else np.dtype(source.dtype).name)
    x = x.guard("KBinsDiscretizer")
    inner = [np.asarray(edges[1:-1], np.float64) for edges in source.bin_edges_]
    start = offsets([len(e) for e in inner])
    bins = x.then(SearchSorted(Array(start), Array(np.concatenate(inner)), "right"))
    if source.encode == "ordinal":
        return {"transform": bins.cast_like(x)}
    is_sparse = source.encode == "onehot"
    blocks = [
        bins.column(position).one_hot(int(n_bins), sparse=is_sparse)
        for position, n_bins in enumerate(source.n_bins_)
    ]
    block = x.builder.concat(blocks).cast_like(x)
    return {"transform": as_sparse(block) if is_sparse else block}


# -- examples ------------------------------------------------------------------------------


def _fitted(
    dtype: str = "float64", frame: bool = False, to: Any = None, **params: Any
) -> tuple[Any, Any]:
    from sklearn.preprocessing import KBinsDiscretizer

    rng = np.random.default_rng(0)
    X = (rng.normal(0, 3, (60, 4)) * [1, 1e-3, 1e3, 0] + [0, 0, 0, 2]).astype(dtype)
    if frame:
        X = as_frame(X)
    options: dict[str, Any] = {"quantile_method": "averaged_inverted_cdf", "dtype": to, **params}
    fitted = KBinsDiscretizer(**options).fit(X)
    edges = fitted.bin_edges_[0][1:-1]
    if not frame and dtype != "int64":
        X[: len(edges), 0] = edges
    return fitted, X


def examples() -> Iterator[Example]:
    """Every strategy, encoding and dtype; a constant column; rows on the edges themselves."""
    for strategy in ("uniform", "quantile", "kmeans"):
        for encode in ("onehot", "onehot-dense", "ordinal"):
            yield Example(
                f"{strategy} {encode}", partial(_fitted, strategy=strategy, encode=encode)
            )
    for dtype in ("float32", "int64"):
        yield Example(f"{dtype} onehot-dense", partial(_fitted, dtype, encode="onehot-dense"))
        yield Example(f"{dtype} ordinal", partial(_fitted, dtype, encode="ordinal", n_bins=3))
    yield Example("to float32", partial(_fitted, encode="ordinal", to=np.float32))
    yield Example("frame", partial(_fitted, frame=True, n_bins=[2, 3, 4, 5]))
