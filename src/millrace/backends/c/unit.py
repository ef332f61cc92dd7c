"""What the functions of one C file share: constants, helper functions, status codes, labels."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from millrace.backends.c.snippets import SNIPPETS
from millrace.backends.c.words import TEXT, ctype, literal, string, wrapped
from millrace.errors import ExportError
from millrace.ir.ops import Forest

KINDS = ("OK", "NON_FINITE", "UNKNOWN_CATEGORY", "REFUSED_ROW")
"""Kinds of status, by their number; a code is its kind plus 16 times the place of its message."""


@dataclass
class Unit:
    """One C file under construction.

    Attributes
    ----------
    name : str
        What every public name begins with.
    constants : dict
        C text of a constant (without its name) -> its name.
    helpers : dict
        Text of the helper functions, in the order in which they must stand.
    messages : dict
        (kind, message) -> status code.
    labels : dict
        Output -> the texts that its numbers stand for.
    forests : dict
        (forest, dtype of its block) -> the prefix of its functions.
    structures : dict
        Name of a type -> its declaration.
    has_text : bool
        Whether cells of text occur, and so the marks of missing text.
    """

    name: str
    constants: dict[tuple[str, int, str], str] = field(
        default_factory=dict[tuple[str, int, str], str]
    )
    helpers: dict[str, str] = field(default_factory=dict[str, str])
    messages: dict[tuple[int, str], int] = field(default_factory=dict[tuple[int, str], int])
    labels: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    forests: dict[tuple[Forest, str], str] = field(default_factory=dict[tuple[Forest, str], str])
    structures: dict[str, str] = field(default_factory=dict[str, str])
    has_text: bool = False

    def numbers(self, values: npt.ArrayLike, dtype: str) -> str:
        """The name of a constant array of numbers."""
        flat = np.asarray(values).ravel()
        cells = [literal(v, dtype) for v in flat.tolist()] or ["0"]
        return self._constant(ctype(dtype), cells)

    def texts(self, values: tuple[str, ...], step: int) -> str:
        """The name of a constant array of strings."""
        check_texts(values, step)
        return self._constant(TEXT + "const ", [string(v) for v in values] or ["0"])

    def records(self, kind: str, cells: list[str]) -> str:
        """The name of a constant array of structures."""
        return self._constant(kind, cells or ["{0}"])

    def _constant(self, kind: str, cells: list[str]) -> str:
        key = (kind, len(cells), wrapped(cells))
        return self.constants.setdefault(key, f"c{len(self.constants)}")

    def helper(self, name: str, dtype: str = "float64") -> str:
        """The name of a helper function for a float type, written once if it is used."""
        suffix = "f" if dtype == "float32" else ""
        if name + suffix not in self.helpers:
            snippet = SNIPPETS[name]
            for needed in snippet.needs:
                self.helper(needed, dtype)
            text = snippet.text.replace("@T", ctype(dtype)).replace("@f", suffix)
            self.helpers[name + suffix] = text
        return name + suffix

    def status(self, kind: str, message: str) -> str:
        """The status code of a refusal, with the message that tells it."""
        number = KINDS.index(kind)
        code = self.messages.setdefault((number, message), number + 16 * len(self.messages))
        return str(code)


def check_texts(values: tuple[str, ...], step: int) -> None:
    """Refuse texts that a C string cannot hold."""
    for value in values:
        if "\0" in value:
            raise ExportError.refused(
                "Text",
                step,
                f"{value!r} holds a zero byte, which ends a C string",
                "Clean the column",
            )
