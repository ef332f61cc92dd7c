"""Dictionaries of atoms: codes by a threshold are a product; all others solve a problem for each row.

Semantics matched: ``sklearn/decomposition/_dict_learning.py`` of scikit-learn 1.9.1 with
``transform_algorithm="threshold"``.

Exactness: the product of row and atoms is BLAS's, in no fixed order of additions; the rest is the same.
A code within that rounding of its threshold may be zero or not. Missing values: NaN and infinities are
refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from millrace.catalog.registry import BLAS_ORDER, Context, Decline, Example, Outputs, converts
from millrace.catalog.sklearn._pairwise import dense_points
from millrace.ir.build import Value


@converts(
    "sklearn.decomposition.DictionaryLearning",
    "sklearn.decomposition.MiniBatchDictionaryLearning",
    "sklearn.decomposition.SparseCoder",
)
def threshold_codes(model: Any, x: Value, context: Context) -> Outputs:
    """Products of row and atoms, shrunk towards zero by ``transform_alpha``.

    Declines: every ``transform_algorithm`` but ``threshold``, because it solves a problem for each row.
    """
    if model.transform_algorithm != "threshold":
        raise Decline(f"transform_algorithm={model.transform_algorithm!r} solves a problem a row")
    atoms = dense_points(getattr(model, "components_", getattr(model, "dictionary", None)))
    threshold = model.transform_alpha
    if threshold is None:
        threshold = getattr(model, "alpha", None)
    product = x.cast("float").guard(type(model).__name__) @ atoms.T
    if isinstance(threshold, np.generic):
        raise Decline("its threshold is a NumPy number, which has a dtype of its own")
    size = product.apply("absolute") - product.scalar(1.0 if threshold is None else threshold)
    code = product.apply("sign") * size.combine("maximum", size.scalar(0.0))
    zero = code.scalar(0.0)
    if model.positive_code:
        code = code.combine("maximum", zero)
    if model.split_sign:
        sides = [code.combine("maximum", zero), -code.combine("minimum", zero)]
        code = x.builder.concat(sides).cast("float64")
    return {"transform": code}


@converts(
    "sklearn.decomposition.NMF",
    "sklearn.decomposition.MiniBatchNMF",
    "sklearn.decomposition.LatentDirichletAllocation",
)
def fitted_per_batch(model: Any, x: Value, context: Context) -> Outputs:
    """Nothing natively but the inverse: ``transform`` iterates to convergence over the rows given.

    Declines: always.
    """
    raise Decline("its transform iterates to convergence over all rows of a batch together")


@converts("sklearn.decomposition.SparsePCA", "sklearn.decomposition.MiniBatchSparsePCA")
def sparse_pca(model: Any, x: Value, context: Context) -> Outputs:
    """Nothing natively but the inverse: ``transform`` is a ridge regression of the rows given.

    Declines: always. Its normal equations have a closed form, but the source answers a single row with
    a one-dimensional array, which a program cannot.
    """
    raise Decline("it answers a single row with an array of one dimension")


# -- examples ------------------------------------------------------------------------------


def _rows(dtype: str = "float64") -> Any:
    return np.random.default_rng(0).normal(0, 2, (60, 5)).round(2).astype(dtype)


def _fitted(name: str, dtype: str, params: dict[str, Any]) -> tuple[Any, Any]:
    import sklearn.decomposition

    X = _rows(dtype)
    if name in ("NMF", "LatentDirichletAllocation"):
        X = np.abs(X)
    if name == "SparseCoder":
        params = {"dictionary": _rows(dtype)[:4] / 4, **params}
    return getattr(sklearn.decomposition, name)(**params).fit(X), X


def examples() -> Iterator[Example]:
    """Codes by threshold with every option; what solves a problem a row falls back."""
    quick = {"n_components": 4, "max_iter": 3, "random_state": 0}
    cases: list[tuple[str, str, dict[str, Any]]] = [
        ("SparseCoder", "float64", {}),
        ("SparseCoder", "float64", {"transform_alpha": 0.3, "split_sign": True}),
        ("SparseCoder", "float32", {"transform_alpha": 0.3, "positive_code": True}),
        ("DictionaryLearning", "float64", {**quick, "alpha": 0.5}),
        ("DictionaryLearning", "float32", {**quick, "transform_alpha": 0.2, "split_sign": True}),
        ("MiniBatchDictionaryLearning", "float64", {**quick, "batch_size": 20}),
    ]
    for name, dtype, params in cases:
        options = {"transform_algorithm": "threshold", **params}
        words = " ".join(f"{k}={v}" for k, v in params.items() if k not in quick)
        yield Example(
            f"{name} {dtype} {words}".strip(),
            partial(_fitted, name, dtype, options),
            ulp=1024,
            absolute=1e-4 if dtype == "float32" else 1e-12,
            why=BLAS_ORDER,
        )
    for name in ("NMF", "LatentDirichletAllocation"):
        params = {"n_components": 2, "max_iter": 3, "random_state": 0}
        yield Example(name, partial(_fitted, name, "float64", params), native=False)
