"""The embedding of rows by the leaves of random trees.

Semantics matched: ``RandomTreesEmbedding`` in ``sklearn/ensemble/_forest.py`` of scikit-learn 1.9.1: the
rows are read as float32, and the leaf of each tree becomes indicators, one a leaf.

Exactness: the same bits. Missing values: NaN goes where the trees send it, in a sparse matrix it is
refused; infinities are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
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
from millrace.catalog.sklearn._examples import example_rows, spelled
from millrace.catalog.sklearn._forest import forest, read_nodes
from millrace.catalog.sklearn._meta import as_array
from millrace.ir.arrays import Array
from millrace.ir.build import Value
from millrace.ir.ops import Encode


@converts("sklearn.ensemble.RandomTreesEmbedding")
def random_trees_embedding(model: Any, x: Value, context: Context) -> Outputs:
    """One indicator for each leaf of each tree, sparse unless ``sparse_output=False``."""
    rows = as_array(x).cast("float32")
    allow_nan = model.estimators_[0].__sklearn_tags__().input_tags.allow_nan
    dense = not isinstance(x, SparseValue)
    rows = rows.guard("RandomTreesEmbedding", allow_nan=bool(allow_nan and dense))
    nodes = read_nodes([e.tree_ for e in model.estimators_])
    # The values of the leaves are not asked for.
    leaves = rows.leaves(forest(nodes, np.zeros((int(nodes.is_leaf.sum()), 1)), base=np.zeros(1)))
    encoder = model.one_hot_encoder_
    widths = [len(c) for c in encoder.categories_]
    blocks: list[Value] = []
    for tree, (categories, width) in enumerate(zip(encoder.categories_, widths, strict=True)):
        codes = Encode(
            Array(categories, np.float64),
            Array(np.arange(width), np.int32),
            strict=True,
            owner_column=f"tree {tree}",
        )
        encoded = leaves.column(tree).encode(codes)
        blocks.append(encoded.one_hot(width, sparse=model.sparse_output))
    embedded = x.builder.concat(blocks)
    if not model.sparse_output:
        return {"transform": embedded, "apply": leaves}
    from sklearn import get_config

    arrays = get_config()["sparse_interface"] == "sparray"
    kind = "csr_array" if arrays else "csr_matrix"
    return {"transform": sparse(embedded, kind), "apply": leaves}


# -- examples ------------------------------------------------------------------------------


def _example(rows: str = "plain", model: str = "", **params: Any) -> Example:
    def make() -> tuple[Any, Any]:
        from sklearn.ensemble import RandomTreesEmbedding
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        x, signal = example_rows(3, rows, 120)
        options: dict[str, Any] = {"n_estimators": 5, "random_state": 0} | params
        embedding = RandomTreesEmbedding(**options)
        if model:
            return make_pipeline(embedding, LogisticRegression()).fit(x, signal > 0), x
        return embedding.fit(x), x

    options = spelled(params)
    name = f"RandomTreesEmbedding{' into a linear model' * bool(model)}, {rows} rows{options}"
    why = f"the linear model at the end: {BLAS_ORDER}"
    return Example(name, make, *((64, 1e-12, why) if model else (0, 0.0, "")))


def examples() -> Iterator[Example]:
    """Few and many leaves, sparse and dense results, every kind of row, and a model on the leaves."""
    for rows in ("plain", "float32", "sparse"):
        yield _example(rows)
    yield _example(sparse_output=False, max_depth=2)
    yield _example(max_depth=None, n_estimators=9)
    yield _example(model="logistic")
    yield _example(model="logistic", max_depth=None, n_estimators=9)
