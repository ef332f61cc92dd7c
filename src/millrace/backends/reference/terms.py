"""Terms of documents and features of collections, cell by cell in plain Python.

Semantics: ``sklearn/feature_extraction/text.py``, ``_hash.py`` and ``_dict_vectorizer.py`` of
scikit-learn 1.9.1; MurmurHash3_x86_32 (Appleby, 2011) as in its ``utils/src/MurmurHash3.cpp``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from numbers import Number
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from millrace.errors import ColumnTypeError, UnknownCategoryError
from millrace.ir.ops import Features, Terms
from millrace.ir.words import COLLECTIONS, surrogate, text_of, without_accents

Cells = npt.NDArray[Any]
Matrix = Any
"""A ``scipy.sparse.csr_matrix``."""

_WORD = 0xFFFFFFFF


def murmur3(data: bytes) -> int:
    """The signed 32-bit MurmurHash3 (seed 0) of some bytes.

    >>> murmur3(b""), murmur3(b"hello")
    (0, 613153351)
    """
    h = 0
    whole = len(data) // 4 * 4
    for at in range(0, whole, 4):
        h = _rotate(h ^ _mixed(int.from_bytes(data[at : at + 4], "little")), 13)
        h = (h * 5 + 0xE6546B64) & _WORD
    h ^= _mixed(int.from_bytes(data[whole:], "little")) ^ len(data)
    h = (h ^ h >> 16) * 0x85EBCA6B & _WORD
    h = (h ^ h >> 13) * 0xC2B2AE35 & _WORD
    h ^= h >> 16
    return h - (1 << 32) if h >> 31 else h


def _mixed(word: int) -> int:
    return _rotate(word * 0xCC9E2D51 & _WORD, 15) * 0x1B873593 & _WORD


def _rotate(word: int, by: int) -> int:
    return (word << by | word >> (32 - by)) & _WORD


# -- documents -----------------------------------------------------------------------------


def count_terms(cells: Cells, op: Terms) -> Matrix:
    """The counts of the terms of each document: (n_samples, n_features), indices sorted.

    Parameters
    ----------
    cells : ndarray of str (n_samples,)
    op : Terms

    Raises
    ------
    ColumnTypeError
        A cell is no text.
    """
    columns = None
    if op.vocabulary is not None:
        columns = {term: i for i, term in enumerate(op.vocabulary.values)}
    indptr, indices, counts = [0], [], []
    for cell in cells.tolist():
        row: Counter[int] = Counter()
        for term in _terms(text_of(cell), op):
            if columns is None:
                h = _hash_of(term)
                row[abs(h) % op.n_features] += -1 if op.alternate_sign and h < 0 else 1
            elif term in columns:
                row[columns[term]] += 1
        for column, count in sorted(row.items()):
            indices.append(column)
            counts.append(1 if op.binary else count)
        indptr.append(len(indices))
    data = np.array(counts, np.int64).astype(op.dtype)
    where = np.array(indices, np.int32), np.array(indptr, np.int32)
    return sp.csr_matrix((data, *where), shape=(len(cells), op.n_features))


def _hash_of(name: str) -> int:
    try:
        return murmur3(name.encode())
    except UnicodeEncodeError as error:
        raise surrogate(name) from error


def _terms(document: str, op: Terms) -> Iterator[str]:
    if op.lowercase:
        document = document.lower()
    document = without_accents(document, op.strip_accents)
    shortest, longest = op.ngram_range
    if op.analyzer == "word":
        stop = frozenset(op.stop_words.values)
        words = [w for w in re.findall(op.token_pattern, document) if w not in stop]
        for n in range(shortest, min(longest, len(words)) + 1):
            yield from (" ".join(words[i : i + n]) for i in range(len(words) - n + 1))
    elif op.analyzer == "char":
        document = re.sub(r"\s\s+", " ", document)
        for n in range(shortest, min(longest, len(document)) + 1):
            yield from (document[i : i + n] for i in range(len(document) - n + 1))
    else:
        for word in document.split():
            yield from _padded_terms(f" {word} ", shortest, longest)


def _padded_terms(word: str, shortest: int, longest: int) -> Iterator[str]:
    """The n-grams of one word; where it is shorter than an n-gram, itself, once."""
    for n in range(shortest, longest + 1):
        yield from (word[i : i + n] for i in range(max(len(word) - n, 0) + 1))
        if n >= len(word):
            return


# -- collections ---------------------------------------------------------------------------


def spread_features(cells: Cells, op: Features) -> Matrix:
    """The values of the features of each collection: (n_samples, n_features), indices sorted.

    Parameters
    ----------
    cells : ndarray of object (n_samples,)
    op : Features

    Raises
    ------
    ColumnTypeError
        A cell is no collection of the kind that `op` takes, or holds what has no value.
    UnknownCategoryError
        A feature is unknown, where `op` is strict.
    """
    columns = _columns(op)
    indptr, indices, values = [0], [], []
    for row, cell in enumerate(cells.tolist()):
        try:
            for column, value in _entries(cell, op, columns, row):
                indices.append(column)
                values.append(value)
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            if isinstance(error, (ColumnTypeError, UnknownCategoryError)):
                raise
            raise _unreadable(cell, op, error) from error
        indptr.append(len(indices))
    where = np.array(indices, np.int32), np.array(indptr, np.int32)
    data = np.array(values, op.dtype)
    matrix = sp.csr_matrix((data, *where), shape=(len(cells), op.n_features))
    if columns is None:
        matrix.sum_duplicates()
    matrix.sort_indices()
    return matrix


def _unreadable(cell: object, op: Features, error: Exception) -> ColumnTypeError:
    return ColumnTypeError.unsupported(f"the cell {cell!r:.60}: {error}", COLLECTIONS[op.kind])


def _columns(op: Features) -> dict[Any, int] | None:
    if op.names is None:
        return None
    return {name: column for column, name in enumerate(op.names.array().tolist())}


def _entries(
    cell: Any, op: Features, columns: dict[Any, int] | None, row: int
) -> Iterator[tuple[int, Any]]:
    """Column and value of every feature of one cell."""
    kind = np.dtype(op.dtype).type
    if op.kind == "set":
        found = {_column(label, columns or {}, op, row) for label in cell}
        yield from ((column, kind(1)) for column in sorted(found - {None}))  # pyright: ignore[reportArgumentType]
    elif columns is None:
        for name, value in _hashed_items(cell, op):
            h = murmur3(name)
            signed = -value if op.alternate_sign and h < 0 else value
            yield abs(h) % op.n_features, np.array([signed], kind)[0]
    else:
        for name, value in _named_items(cell, op):
            if (column := _column(name, columns, op, row)) is not None:
                yield column, kind(value)


def _column(name: object, columns: dict[Any, int], op: Features, row: int) -> int | None:
    if op.strict and name not in columns:
        raise UnknownCategoryError.without_number("x0", name, row)
    return columns.get(name)


def _hashed_items(cell: Any, op: Features) -> Iterator[tuple[bytes, float]]:
    """Name and value of every feature that is not zero."""
    if op.kind == "string":
        if isinstance(cell, str):
            raise TypeError("it is one name and no collection")
        cell = [(name, 1) for name in cell]
    for name, value in cell.items() if op.kind == "dict" else cell:
        if isinstance(value, str):
            name, value = f"{name!s}{op.separator}{value!s}", 1
        if isinstance(value, bytes):
            raise TypeError(f"{value!r:.60} is no number")
        if (number := float(value)) == 0:
            continue
        if not isinstance(name, (str, bytes)):
            raise TypeError(f"the name {name!r:.60} is no text")
        yield name.encode() if isinstance(name, str) else name, number


def _named_items(cell: Mapping[Any, Any], op: Features) -> Iterator[tuple[Any, Any]]:
    for name, value in cell.items():
        if isinstance(value, str):
            yield f"{name!s}{op.separator}{value!s}", 1
        elif isinstance(value, Number) or value is None:
            yield name, value
        elif isinstance(value, Mapping) or not isinstance(value, Iterable):
            raise TypeError(f"the value {value!r:.60} of {name!r:.60} is neither number nor text")
        else:
            for part in value:
                if not isinstance(part, str):
                    raise TypeError(f"{part!r:.60} in the value of {name!r:.60} is no text")
                yield f"{name!s}{op.separator}{part!s}", 1
