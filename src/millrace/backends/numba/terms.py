"""Documents and collections to sparse counts: text as UTF-8 bytes in a kernel, objects in Python.

ASCII documents go to the kernel as they are. What only Python knows (`str.lower` beyond ASCII,
`unicodedata`, a token pattern that is no plain ``\\w+``) is done in Python for the documents that need it; the
kernel splits, looks up and counts all of them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from itertools import chain
from numbers import Number
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from millrace.errors import ColumnTypeError, UnknownCategoryError
from millrace.ir.arrays import Text
from millrace.ir.ops import Features, Terms

Array = npt.NDArray[Any]

_LEAST = {
    pattern: least
    for least, run in ((1, r"\w+"), (2, r"\w\w+"), (2, r"\w{2,}"), (3, r"\w{3,}"), (3, r"\w\w\w+"))
    for pattern in (run, rf"\b{run}\b", rf"(?u){run}", rf"(?u)\b{run}\b")
}
"""Token patterns that find runs of word characters, and how many characters a run has at least."""


@cache
def _all_classes() -> Array:
    """The classes of all code points: letters, digits and ``_``, or whitespace, as `re` sees them."""
    from millrace.backends.numba.kernels.terms import SPACE, WORD

    points = "".join(map(chr, range(0x110000)))
    classes = np.zeros(len(points), np.uint8)
    for pattern, bit in ((r"\w+", WORD), (r"\s+", SPACE)):
        for run in re.finditer(pattern, points):
            classes[run.start() : run.end()] |= bit
    return classes


@cache
def _ascii_classes() -> Array:
    """The first 128 of `_all_classes`, which take no time to find."""
    from millrace.backends.numba.kernels.terms import SPACE, WORD

    points = map(chr, range(128))
    kinds = [(p.isalnum() or p == "_") * WORD + p.isspace() * SPACE for p in points]
    return np.array(kinds, np.uint8)


def _joined(texts: Sequence[bytes]) -> tuple[Array, Array]:
    """Texts end to end, and where each ends."""
    ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)), dtype=np.int64)
    return np.frombuffer(b"".join(texts), np.uint8), ends


def _table(terms: Iterable[str]) -> Any:
    from millrace.backends.numba.kernels.terms import make_table

    return make_table(*_joined([t.encode("utf-8", "surrogatepass") for t in terms]))


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
        least = _LEAST.get(op.token_pattern)
        self.pattern: re.Pattern[str] | None = None
        if op.analyzer == "word":
            how = kernel.WORDS
            if least is None:
                how, least, self.pattern = kernel.SPLIT, 0, re.compile(op.token_pattern)
        else:
            how, least = kernel.CHARS if op.analyzer == "char" else kernel.PADDED, 0
        hashed = op.vocabulary is None
        # Only whole words never hold the surrogates that scikit-learn cannot hash.
        self.surrogates = "strict" if hashed and how != kernel.WORDS else "surrogatepass"
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
        classes = _all_classes() if wide else _ascii_classes()
        lower &= self.op.lowercase
        indptr, columns, counts = count_documents(
            buffer, start, stop, lower, classes, self.table, self.stops, self.options
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
            text = cell if type(cell) is str else _document(cell)
            if plain and text.isascii():
                documents.append(text.encode())
            else:
                in_ascii[row] = False
                documents.append(self._prepared(text))
        buffer, stop = _joined(documents)
        return buffer, _starts(stop), stop, in_ascii

    def _from_arrow(self, column: Any) -> tuple[Array, Array, Array, Array]:
        """The same for Arrow's text, whose bytes stay where they are if all of them are ASCII."""
        import pyarrow as pa

        from millrace.backends.numba.kernels.terms import find_ascii

        if column.null_count:
            _document(None)
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
            more, ends = _joined([self._prepared(t) for t in texts])
            start[others], stop[others] = len(buffer) + _starts(ends), len(buffer) + ends
            buffer = np.concatenate([buffer, more])
        return buffer, start, stop, in_ascii

    def _prepared(self, document: str) -> bytes:
        """What the kernel gets of a document that it cannot lower-case or split itself."""
        if self.op.lowercase:
            document = document.lower()
        document = _without_accents(document, self.op.strip_accents)
        try:
            if self.pattern is None:
                return document.encode("utf-8", self.surrogates)
            words = self.pattern.findall(document)
            if document.isascii():
                return "\xff".join([*words, ""]).encode("latin-1")
            return b"\xff".join([*(w.encode("utf-8", self.surrogates) for w in words), b""])
        except UnicodeEncodeError as error:
            raise _surrogate(document) from error


def _surrogate(text: str) -> ColumnTypeError:
    return ColumnTypeError.unsupported(f"the text {text!r:.60}", "text without surrogates")


def _starts(ends: Array) -> Array:
    starts = np.zeros(len(ends), np.int64)
    starts[1:] = ends[:-1]
    return starts


def _document(cell: object) -> str:
    """A cell as text: a string as it is, bytes as UTF-8."""
    if isinstance(cell, bytes):
        try:
            return cell.decode()
        except UnicodeDecodeError as error:
            raise ColumnTypeError.unsupported(f"the document {cell!r:.60}", "UTF-8") from error
    if not isinstance(cell, str):
        raise ColumnTypeError.unsupported(
            f"the document {cell!r:.60} ({type(cell).__name__})", "text in every row"
        )
    return cell


def _without_accents(document: str, how: str | None) -> str:
    if how is None or document.isascii():
        return document
    parts = unicodedata.normalize("NFKD", document)
    if how == "ascii":
        return parts.encode("ascii", "ignore").decode()
    combining = unicodedata.combining
    return "".join([c for c in parts if not combining(c)])
