"""Collections of named values to sparse rows: by a dictionary of names, or by their hashes.

Semantics matched: ``sklearn/feature_extraction/_dict_vectorizer.py``, ``_hash.py`` and
``_hashing_fast.pyx`` of scikit-learn 1.9.1.

Exactness: the same bits. Missing values: NaN is a value like any other.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from millrace.catalog.registry import Context, Decline, Example, Outputs, converts, sparse
from millrace.catalog.sklearn.text import container, sparse_dtype
from millrace.ir.arrays import Array, Text
from millrace.ir.build import Value
from millrace.ir.ops import Dense, Features
from millrace.ir.program import Column


def _objects(fitted: Any) -> list[Column]:
    return [Column("x0", kind="object")]


@converts("sklearn.feature_extraction.FeatureHasher", columns=_objects, series=True)
def feature_hasher(hasher: Any, x: Value, context: Context) -> Outputs:
    """The values of named features, each added to the column of its name's hash.

    A row of ``input_type="string"`` that is one string is always refused; the source refuses it only as
    the first row and takes it for its letters elsewhere.
    """
    features = Features(
        kind=hasher.input_type,
        names=None,
        n_features=int(hasher.n_features),
        alternate_sign=bool(hasher.alternate_sign),
        dtype=sparse_dtype(hasher.dtype),
    )
    return {"transform": sparse(x.then(features), container())}


@converts("sklearn.feature_extraction.DictVectorizer", columns=_objects, series=True)
def dict_vectorizer(vectorizer: Any, x: Value, context: Context) -> Outputs:
    """The values of named features, one column a name that was seen; other names are passed over.

    None is NaN where the dtype has one.
    """
    if not (isinstance(vectorizer.dtype, type) and issubclass(vectorizer.dtype, np.generic)):
        raise Decline(f"its dtype {vectorizer.dtype!r} is no NumPy type")
    names = sorted(vectorizer.vocabulary_, key=vectorizer.vocabulary_.__getitem__)
    if [vectorizer.vocabulary_[n] for n in names] != list(range(len(names))):
        raise Decline("the columns of its vocabulary_ are not 0, 1, 2 ...")
    features = Features(
        kind="dict",
        names=_names(names),
        n_features=len(names),
        separator=vectorizer.separator,
        dtype=sparse_dtype(vectorizer.dtype),
    )
    block = x.then(features)
    if not vectorizer.sparse:
        return {"transform": block.then(Dense())}
    return {"transform": sparse(block, container())}


def _names(names: list[Any]) -> Text | Array:
    if all(isinstance(n, str) for n in names):
        return Text(tuple(str(n) for n in names))
    if all(type(n) is int and abs(n) < 1 << 63 for n in names):
        return Array(names, "int64")
    raise Decline("its feature names are neither all text nor all integers")


# -- examples ------------------------------------------------------------------------------


def _cells(kind: str) -> Any:
    """Collections of a kind, empty ones and ones with awkward values among them."""
    rng = np.random.default_rng(0)
    cells: list[Any] = []
    for _ in range(40):
        names = rng.choice(["mill", "wheel", "grain", "water", "naïve", "x"], rng.integers(0, 6))
        values = rng.normal(size=len(names)).round(2).tolist()
        pairs: list[tuple[str, Any]] = list(zip(names.tolist(), values, strict=True))
        if rng.random() < 0.5:
            pairs += [("kind", str(rng.choice(["flour", "oil", "saw"]))), ("stones", 3)]
        cells.append({"pair": pairs, "string": names.tolist(), "dict": dict(pairs)}[kind])
    return _column(cells)


def _column(cells: list[Any]) -> Any:
    """Python objects as a one-dimensional array, even where all are lists of one length."""
    column = np.empty(len(cells), dtype=object)
    column[:] = cells
    return column


def _hasher(**params: Any) -> tuple[Any, Any]:
    from sklearn.feature_extraction import FeatureHasher

    cells = _cells(params.get("input_type", "dict"))
    return FeatureHasher(**params).fit(cells), cells


def _vectorizer(awkward: bool = False, **params: Any) -> tuple[Any, Any]:
    from sklearn.feature_extraction import DictVectorizer

    cells = _cells("dict")
    vectorizer = DictVectorizer(**params).fit(cells[:30])
    if awkward:
        more = [{"mill": None, "x": np.nan, "new": 1, "water": 0, "tools": ["axe", "axe", "saw"]}]
        vectorizer.fit([*cells[:30], {"tools": ["axe", "saw"]}])
        cells = _column([*cells.tolist(), *more, {"wheel": True, "grain": np.float32(0.1)}])
    return vectorizer, cells


def _numbered_names() -> tuple[Any, Any]:
    from sklearn.feature_extraction import DictVectorizer

    rng = np.random.default_rng(1)
    cells = [{int(k): float(k) / 3 for k in rng.integers(0, 9, 4)} for _ in range(30)]
    return DictVectorizer().fit(cells[:20]), _column(cells)


def _mixed_names() -> tuple[Any, Any]:
    from sklearn.feature_extraction import DictVectorizer

    cells: list[Any] = [{"a": 1.0, i: 2.0} for i in range(25)]
    return DictVectorizer(sort=False).fit(cells), _column(cells)


def examples() -> Iterator[Example]:
    """Every kind of collection and name, with each dtype and container."""
    hashers: list[dict[str, Any]] = [
        {"n_features": 16},
        {"n_features": 3, "dtype": np.float32},
        {"n_features": 11, "input_type": "pair", "alternate_sign": False},
        {"n_features": 1024, "input_type": "string"},
        {"n_features": 4, "input_type": "string", "dtype": np.int32},
    ]
    for number, params in enumerate(hashers):
        yield Example(f"FeatureHasher {number} {' '.join(params)}", partial(_hasher, **params))
    vectorizers: list[dict[str, Any]] = [
        {},
        {"sparse": False, "separator": ": "},
        {"dtype": np.float32, "sort": False},
        {"awkward": True},
    ]
    for params in vectorizers:
        words = " ".join(f"{k}={v}" for k, v in params.items() if k != "dtype")
        yield Example(f"DictVectorizer {words}".strip(), partial(_vectorizer, **params))
    yield Example("DictVectorizer numbers as names", _numbered_names)
    yield Example("DictVectorizer mixed names", _mixed_names, native=False)
