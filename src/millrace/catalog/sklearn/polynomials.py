"""Products of features.

Semantics matched: ``PolynomialFeatures`` in ``sklearn/preprocessing/_polynomial.py`` of scikit-learn
1.9.1. The terms of degree d are terms of degree d - 1, in the source's order, each times one more
feature: one multiplication a cell and degree.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from millrace.catalog.registry import Context, Decline, Example, Outputs, SparseValue, converts
from millrace.catalog.sklearn._examples import as_csr, as_frame
from millrace.ir.build import Value


@converts("sklearn.preprocessing.PolynomialFeatures")
def polynomial_features(source: Any, x: Value, context: Context) -> Outputs:
    """All products of the features up to a degree, in the dtype of the input.

    Exactness: the same bits. Missing values: NaN and infinities are refused.

    Declines: sparse input.
    """
    if isinstance(x, SparseValue):
        raise Decline("its input is a sparse matrix")
    x = x.cast("float").guard("PolynomialFeatures")
    blocks: list[Value] = []
    if source.include_bias:
        blocks.append(x.builder.constant(np.ones(1)).cast_like(x))
    if source._min_degree <= 1 <= source._max_degree:
        blocks.append(x)
    terms = x
    for degree, (factors, features) in enumerate(
        _products(x.width, source._max_degree, source.interaction_only), start=2
    ):
        terms = terms.take(factors) * x.take(features)
        if degree >= source._min_degree:
            blocks.append(terms)
    return {"transform": x.builder.concat(blocks) if blocks else x.take([])}


def _products(
    n_features: int, max_degree: int, interaction_only: bool
) -> Iterator[tuple[list[int], list[int]]]:
    """For each degree from 2 on: the term of the degree before, and the feature that it is multiplied by.

    `index` holds where the terms begin that exclude the features before each feature, as the
    source's loop keeps it, counted from the first term of their degree.
    """
    index = list(range(n_features + 1))
    for _ in range(2, max_degree + 1):
        factors: list[int] = []
        features: list[int] = []
        starts: list[int] = []
        for feature in range(n_features):
            starts.append(len(factors))
            start = index[feature]
            if interaction_only:
                start += index[feature + 1] - index[feature]
            if index[-1] <= start:
                break
            factors += range(start, index[-1])
            features += [feature] * (index[-1] - start)
        if not factors:
            return
        index = [*starts, len(factors)]
        yield factors, features


# -- examples ------------------------------------------------------------------------------


def _fitted(
    dtype: str = "float64", n_features: int = 4, container: str = "array", **params: Any
) -> tuple[Any, Any]:
    from sklearn.preprocessing import PolynomialFeatures

    X: Any = np.random.default_rng(0).normal(0, 30, (40, n_features)).astype(dtype)
    if container == "frame":
        X = as_frame(X)
    if container == "csr":
        X = as_csr(X, 20)
    return PolynomialFeatures(**params).fit(X), X


def examples() -> Iterator[Example]:
    """Degrees, ranges of degrees, interactions, with and without bias, on each dtype."""
    for degree in (0, 1, 2, 3, 5, (2, 3), (3, 3), (0, 2), (1, 4)):
        yield Example(f"degree={degree}", partial(_fitted, degree=degree))
    for degree in (2, 4, (2, 4)):
        for bias in (False, True):
            params = {"degree": degree, "include_bias": bias, "interaction_only": True}
            yield Example(f"interactions degree={degree} bias={bias}", partial(_fitted, **params))
    for dtype in ("float32", "int64"):
        yield Example(dtype, partial(_fitted, dtype, degree=3, include_bias=False))
    yield Example(
        "more degrees than features",
        partial(_fitted, n_features=2, degree=4, interaction_only=True),
    )
    yield Example("no bias", partial(_fitted, degree=(3, 4), include_bias=False, order="F"))
    none = {"degree": (3, 3), "interaction_only": True, "include_bias": False}
    yield Example("no terms", partial(_fitted, n_features=2, **none))
    yield Example("frame", partial(_fitted, container="frame"))
    yield Example("csr", partial(_fitted, container="csr"), native=False)
