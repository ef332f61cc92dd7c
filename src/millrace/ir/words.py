"""What the cells of `Terms` and `Features` are, before any backend takes them apart."""

from __future__ import annotations

import unicodedata

from millrace.errors import ColumnTypeError

COLLECTIONS = {
    "dict": "a mapping of names to numbers or text",
    "pair": "pairs of a name and a number or text",
    "string": "a collection of names",
    "set": "a collection of labels",
}
"""What a cell of each kind of `Features` holds, for errors."""


def text_of(cell: object) -> str:
    """A cell as text: a string as it is, bytes as UTF-8.

    Raises
    ------
    ColumnTypeError
        It is neither.
    """
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


def without_accents(text: str, how: str | None) -> str:
    """``strip_accents_unicode`` or ``strip_accents_ascii`` of scikit-learn."""
    if how is None or text.isascii():
        return text
    parts = unicodedata.normalize("NFKD", text)
    if how == "ascii":
        return parts.encode("ascii", "ignore").decode()
    combining = unicodedata.combining
    return "".join([c for c in parts if not combining(c)])


def surrogate(text: str) -> ColumnTypeError:
    """The error for a text that cannot be hashed: it has no UTF-8."""
    return ColumnTypeError.unsupported(f"the text {text!r:.60}", "text without surrogates")
