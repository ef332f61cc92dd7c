"""Documents and collections to sparse counts: text as UTF-8 bytes in a kernel, objects in Python.

ASCII documents go to the kernel as they are. What only Python knows (`str.lower` beyond ASCII,
`unicodedata`, a token pattern that is no run of word characters) is done in Python for the documents
that need it; the kernel splits, looks up and counts all of them.
"""

from __future__ import annotations

import re
import sys
from array import array
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from itertools import chain, compress, repeat
from numbers import Number
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from millrace.backends.numba.names import MANY, KnownNames, hashed_names, joined
from millrace.errors import ColumnTypeError, UnknownCategoryError
from millrace.ir.ops import Features, Terms
from millrace.ir.words import COLLECTIONS, surrogate, text_of, without_accents

Array = npt.NDArray[Any]

_RUN = re.compile(
    r"(?:\(\?u\))?(\\b)?(\\[wWdDsS]|\[\^?(?:[^\]\\]|\\.)+\])((?:\2)*)(?:\+|\{([1-9]\d*),\})(\\b)?"
)
r"""A token pattern that finds runs of one class of characters: ``\b\w\w+\b``, ``[a-z]+``, ``\S{3,}``."""

_SURROGATES = "".join(map(chr, range(0xD800, 0xE000)))


def _run(pattern: str) -> tuple[str, int] | None:
    r"""The class of characters of whose runs a token pattern consists, and how many a run has at least.

    >>> _run(r"(?u)\b\w\w+\b"), _run("[a-z]{3,}"), _run(r"\d+|\w+"), _run(r"\b[a-z]+\b")
    (('\\w', 2), ('[a-z]', 3), None, None)
    """
    found = _RUN.fullmatch(pattern)
    if found is None:
        return None
    before, kind, more, least, after = found.groups()
    if (before or after) and kind != r"\w":  # a run may begin or end within a word
        return None
    return kind, int(least or 1) + len(more) // len(kind)


@cache
def _classes(kind: str, n_points: int) -> Array:
    """The classes of the first code points: what counts as part of a word, and whitespace."""
    from millrace.backends.numba.kernels.terms import SPACE, WORD

    points = "".join(map(chr, range(n_points)))
    classes = np.zeros(n_points, np.uint8)
    for pattern, bit in ((kind, WORD), (r"\s", SPACE)):
        for run in re.finditer(f"{pattern}+", points):
            classes[run.start() : run.end()] |= bit
    return classes


def _table(terms: Iterable[str]) -> tuple[Array, Array]:
    from millrace.backends.numba.kernels.terms import make_table

    return make_table(*joined([t.encode("utf-8", "surrogatepass") for t in terms]))


# -- documents -----------------------------------------------------------------------------


class TermCounter:
    """One `Terms` step with its vocabulary in a hash table.

    Parameters
    ----------
    op : Terms
    """

    def __init__(self, op: Terms) -> None:
        from millrace.backends.numba.kernels import terms as kernel

        self.op = op
        how, least = kernel.CHARS if op.analyzer == "char" else kernel.PADDED, 0
        self.kind = r"\w"
        self.pattern: re.Pattern[str] | None = None
        may_hold_surrogates = True
        if op.analyzer == "word":
            if run := _run(op.token_pattern):
                how, (self.kind, least) = kernel.WORDS, run
                may_hold_surrogates = re.search(self.kind, _SURROGATES) is not None
            else:
                how, self.pattern = kernel.SPLIT, re.compile(op.token_pattern)
        hashed = op.vocabulary is None
        # scikit-learn cannot hash a term that holds a surrogate.
        self.surrogates = "strict" if hashed and may_hold_surrogates else "surrogatepass"
        flags = (hashed, op.alternate_sign, op.binary)
        self.options = np.array([how, *op.ngram_range, least, *flags, op.n_features], np.int64)
        self.table = _table(op.vocabulary.values if op.vocabulary else ())
        self.stops = _table(op.stop_words.values if op.analyzer == "word" else ())

    def __call__(self, column: Any) -> sp.csr_matrix:
        """The counts of a column: (n_samples, n_features), indices sorted.

        Parameters
        ----------
        column : ndarray of str, or pyarrow array of text (dictionaries too)

        Raises
        ------
        ColumnTypeError
            A cell is no text.
        """
        from millrace.backends.numba.kernels.terms import count_documents

        if isinstance(column, np.ndarray):
            buffer, start, stop, lower = self._from_cells(column.tolist())
        elif hasattr(column, "dictionary"):
            if len(column.dictionary) < len(column) and not column.null_count:
                return self(column.dictionary)[column.indices.to_numpy()]
            buffer, start, stop, lower = self._from_arrow(column.dictionary_decode())
        else:
            buffer, start, stop, lower = self._from_arrow(column)
        wide = self.pattern is None and not lower.all()
        classes = _classes(self.kind, 0x110000 if wide else 128)
        lower &= self.op.lowercase
        indptr, columns, counts = count_documents(
            buffer, start, stop, lower, classes, *self.table, *self.stops, self.options
        )
        return sp.csr_matrix(
            (counts.astype(self.op.dtype), columns, indptr), shape=(len(start), self.op.n_features)
        )

    def _from_cells(self, cells: list[Any]) -> tuple[Array, Array, Array, Array]:
        """The arguments of the kernel for Python strings."""
        in_ascii = np.ones(len(cells), bool)
        plain = self.pattern is None
        documents: list[bytes] = []
        for row, cell in enumerate(cells):
            text = cell if type(cell) is str else text_of(cell)
            if plain and text.isascii():
                documents.append(text.encode())
            else:
                in_ascii[row] = False
                documents.append(self._prepared(text))
        buffer, stop = joined(documents)
        return buffer, _starts(stop), stop, in_ascii

    def _from_arrow(self, column: Any) -> tuple[Array, Array, Array, Array]:
        """The same for Arrow's text, whose bytes stay where they are if all of them are ASCII."""
        import pyarrow as pa

        from millrace.backends.numba.kernels.terms import find_ascii

        if column.null_count:
            text_of(None)
        if pa.types.is_string_view(column.type):
            column = column.cast(pa.large_string())
        width = np.int64 if pa.types.is_large_string(column.type) else np.int32
        _, offsets, data = column.buffers()
        if offsets is None or data is None:  # no rows, or no bytes
            return self._from_cells(column.to_pylist())
        at = np.frombuffer(offsets, width)[column.offset :][: len(column) + 1].astype(np.int64)
        start, stop = at[:-1].copy(), at[1:].copy()
        buffer = np.frombuffer(data, np.uint8)
        in_ascii = np.zeros(len(column), bool)
        if self.pattern is None:
            find_ascii(buffer, start, stop, in_ascii)
        others = np.flatnonzero(~in_ascii)
        if len(others):
            texts = [bytes(buffer[start[i] : stop[i]]).decode() for i in others.tolist()]
            more, ends = joined([self._prepared(t) for t in texts])
            start[others], stop[others] = len(buffer) + _starts(ends), len(buffer) + ends
            buffer = np.concatenate([buffer, more])
        return buffer, start, stop, in_ascii

    def _prepared(self, document: str) -> bytes:
        """What the kernel gets of a document that it cannot lower-case or split itself."""
        if self.op.lowercase:
            document = document.lower()
        document = without_accents(document, self.op.strip_accents)
        try:
            if self.pattern is None:
                return document.encode("utf-8", self.surrogates)
            words = self.pattern.findall(document)
            if document.isascii():
                return "\xff".join([*words, ""]).encode("latin-1")
            return b"\xff".join([*(w.encode("utf-8", self.surrogates) for w in words), b""])
        except UnicodeEncodeError as error:
            raise surrogate(document) from error


def _starts(ends: Array) -> Array:
    starts = np.zeros(len(ends), np.int64)
    starts[1:] = ends[:-1]
    return starts


# -- collections ---------------------------------------------------------------------------

_LOOKED_AT = 16
"""Rows that are looked at before it is decided how to read all of them."""

_Parts = tuple[Array, Array, Array]
"""The entries of all rows in turn: their columns, their values, and how many each row has."""


class FeatureSpreader:
    """One `Features` step with its names in a dictionary.

    Parameters
    ----------
    op : Features
    """

    def __init__(self, op: Features) -> None:
        self.op = op
        self.dtype = np.dtype(op.dtype)
        self.columns: dict[Any, int] | None = None
        self.known = KnownNames(op.separator)
        if op.names is not None:
            self.columns = {name: i for i, name in enumerate(op.names.array().tolist())}

    def __call__(self, column: Any) -> sp.csr_matrix:
        """The values of a column of collections: (n_samples, n_features), indices sorted.

        Raises
        ------
        ColumnTypeError
            A cell is no collection of the kind that the step takes, or holds what has no value.
        UnknownCategoryError
            A feature is unknown, where the step is strict.
        """
        cells = column.tolist() if isinstance(column, np.ndarray) else column.to_pylist()
        try:
            columns, values, lengths = self._parts(cells)
        except (ColumnTypeError, UnknownCategoryError):
            raise
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ColumnTypeError.unsupported(
                f"the cells of the column: {error}", f"{COLLECTIONS[self.op.kind]} in every row"
            ) from error
        indptr = np.zeros(len(cells) + 1, np.int32)
        np.cumsum(lengths, out=indptr[1:])
        shape = (len(cells), self.op.n_features)
        matrix = sp.csr_matrix((values, columns.astype(np.int32), indptr), shape=shape)
        if self.columns is None:
            matrix.sum_duplicates()  # SciPy's own order of addition, as in the source
        matrix.sort_indices()
        return matrix

    def _parts(self, cells: list[Any]) -> _Parts:
        if self.op.kind == "set":
            return self._labels(cells)
        if self.columns is None:
            loop = _loop_of_source() if self._suits_source(cells) else None
            if loop is None:
                return self._hashed(*_items(cells, self.op.kind))
            op, items = self.op, map(dict.items, cells)
            columns, ends, values = loop(
                items, op.n_features, self.dtype, op.alternate_sign, seed=0
            )
            return np.asarray(columns), np.asarray(values), np.diff(ends)
        return self._named(cells, self.columns.get)

    # -- known names -----------------------------------------------------------------------
    def _labels(self, cells: list[Any]) -> _Parts:
        """The labels of every row; of rows that are alike once, where many are."""
        if len(cells) < MANY:
            return self._labels_of(cells)
        keys = list(map(tuple, cells))
        number = {key: k for k, key in enumerate(dict.fromkeys(keys))}
        if 4 * len(number) > len(keys):
            return self._labels_of(keys)
        try:
            columns, _, each = self._labels_of(list(number))
        except UnknownCategoryError:  # it has to name the row
            return self._labels_of(keys)
        alike = np.fromiter(map(number.__getitem__, keys), np.int64, len(keys))
        lengths = each[alike]
        starts = (np.cumsum(each) - each)[alike]
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        columns = columns[np.repeat(starts, lengths) + within]
        return columns, np.ones(len(columns), self.dtype), lengths

    def _labels_of(self, cells: list[Any]) -> _Parts:
        cells = [c if hasattr(c, "__len__") else list(c) for c in cells]
        lengths = np.fromiter(map(len, cells), np.int64, len(cells))
        labels = list(chain.from_iterable(cells))
        codes = map((self.columns or {}).get, labels, repeat(-1))
        columns = np.fromiter(codes, np.int64, len(labels))
        rows = np.repeat(np.arange(len(cells)), lengths)
        known = columns >= 0
        if not known.all():
            if self.op.strict:
                at = int(np.argmin(known))
                raise UnknownCategoryError.without_number("x0", labels[at], int(rows[at]))
            columns, rows = columns[known], rows[known]
        keys = np.unique(rows * self.op.n_features + columns)  # a label may stand twice in a row
        rows, columns = np.divmod(keys, max(self.op.n_features, 1))
        ones = np.ones(len(columns), self.dtype)
        return columns, ones, np.bincount(rows, minlength=len(cells))

    def _named(self, cells: list[Any], get: Callable[[Any], int | None]) -> _Parts:
        columns: list[int] = []
        values: list[Any] = []
        lengths = np.empty(len(cells), np.int64)
        separator, strict = self.op.separator, self.op.strict
        for row, cell in enumerate(cells):
            before = len(columns)
            for name, value in cell.items():
                kind = type(value)
                if kind is str:
                    entries = ((f"{name!s}{separator}{value!s}", 1),)
                elif kind is float or kind is int:
                    entries = ((name, value),)
                else:
                    entries = _entries(name, value, separator)
                for feature, number in entries:
                    column = get(feature)
                    if column is not None:
                        columns.append(column)
                        values.append(number)
                    elif strict:
                        raise UnknownCategoryError.without_number("x0", feature, row)
            lengths[row] = len(columns) - before
        if self.dtype.kind != "f":
            values = [self.dtype.type(v) for v in values]
        return np.array(columns, np.int64), np.array(values, self.dtype), lengths

    # -- hashed names ----------------------------------------------------------------------
    def _suits_source(self, cells: list[Any]) -> bool:
        """Whether rows hold values of text, whose names have to be made one by one in any case."""
        if self.op.kind != "dict" or self.op.separator != "=" or set(map(type, cells)) != {dict}:
            return False
        return any(type(value) is str for cell in cells[:_LOOKED_AT] for value in cell.values())

    def _hashed(self, names: list[Any], values: list[Any] | None, lengths: Array) -> _Parts:
        found = self.known.of(names, values) or self._hashed_each(names, values)
        numbers, hashes = found
        if not numbers.all():
            kept = numbers != 0
            rows = np.repeat(np.arange(len(lengths)), lengths)[kept]
            numbers, lengths = numbers[kept], np.bincount(rows, minlength=len(lengths))
            hashes = hashes[kept]
        if self.op.alternate_sign:
            numbers = np.where(hashes < 0, -numbers, numbers)
        if self.dtype.kind in "iu":  # Python's integers refuse what does not fit, as in the source
            numbers = np.array(numbers.tolist(), self.dtype)
        return np.abs(hashes) % self.op.n_features, numbers.astype(self.dtype), lengths

    def _hashed_each(self, names: list[Any], values: list[Any] | None) -> tuple[Array, Array]:
        """The value and the hash of every entry; of one whose value is 0 the name is not looked at."""
        if values is None:
            return np.ones(len(names)), hashed_names(names)
        try:
            numbers = np.frombuffer(array("d", values))
        except TypeError:  # text among them: `array` takes what has a float and nothing else
            names, values = _numbered(names, values, self.op.separator)
            numbers = np.frombuffer(array("d", values))
        hashes = np.zeros(len(names), np.int64)
        kept = numbers != 0
        hashes[kept] = hashed_names(list(compress(names, kept.tolist())))
        return numbers, hashes


def _loop_of_source() -> Callable[..., tuple[Any, Any, Any]] | None:
    """scikit-learn's own compiled loop over mappings, where the process has loaded it."""
    module = sys.modules.get("sklearn.feature_extraction._hashing_fast")
    return getattr(module, "transform", None)


def _items(cells: list[Any], kind: str) -> tuple[list[Any], list[Any] | None, Array]:
    """Names and values of all rows in turn (no values where each counts 1), and how many each has."""
    if kind == "dict" and set(map(type, cells)) == {dict}:
        lengths = np.fromiter(map(len, cells), np.int64, len(cells))
        values = list(chain.from_iterable(map(dict.values, cells)))
        return list(chain.from_iterable(cells)), values, lengths
    if kind == "string" and any(isinstance(c, str) for c in cells):
        raise TypeError("a cell is one name and no collection")
    groups: list[list[Any]] = [list(c.items() if kind == "dict" else c) for c in cells]
    lengths = np.fromiter(map(len, groups), np.int64, len(groups))
    if kind == "string":
        return list(chain.from_iterable(groups)), None, lengths
    pairs = [(name, value) for group in groups for name, value in group]
    return [name for name, _ in pairs], [value for _, value in pairs], lengths


def _numbered(names: list[Any], values: list[Any], separator: str) -> tuple[list[Any], list[Any]]:
    """Text values as part of the name, which then counts 1."""
    names, values = names.copy(), values.copy()
    kinds = list(map(type, values))
    n_texts = kinds.count(str)
    if kinds.count(float) + kinds.count(int) + n_texts == len(kinds):
        if 8 * n_texts > len(kinds):
            told = zip(names, values, kinds, strict=True)
            names = [f"{n!s}{separator}{v}" if k is str else n for n, v, k in told]
            return names, [1.0 if k is str else v for v, k in zip(values, kinds, strict=True)]
        at = -1
        for _ in range(n_texts):  # the quickest way to the few places of one type
            at = kinds.index(str, at + 1)
            names[at], values[at] = f"{names[at]!s}{separator}{values[at]}", 1.0
        return names, values
    for at, value in enumerate(values):
        if isinstance(value, str):
            names[at], values[at] = f"{names[at]!s}{separator}{value!s}", 1.0
    return names, values


def _entries(name: Any, value: Any, separator: str) -> list[tuple[Any, Any]]:
    """The features of one entry of a mapping."""
    if isinstance(value, str):
        return [(f"{name!s}{separator}{value!s}", 1)]
    if isinstance(value, Number) or value is None:
        return [(name, value)]
    if isinstance(value, Mapping) or not isinstance(value, Iterable):
        raise TypeError(f"the value {value!r:.60} of {name!r:.60} is neither number nor text")
    entries: list[tuple[Any, Any]] = []
    for part in value:
        if not isinstance(part, str):
            raise TypeError(f"{part!r:.60} in the value of {name!r:.60} is no text")
        entries.append((f"{name!s}{separator}{part!s}", 1))
    return entries
