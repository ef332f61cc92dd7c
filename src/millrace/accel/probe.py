"""What an answer of scikit-learn looks like, and whether ours is the same, seen on a few rows.

Before the first answer for a kind of input, a few of its rows are answered by both. So differences of
type, dtype, layout or value, a warning, or an input that is edited in place show before they matter.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace.accel.calls import NotHere, originals

ROWS = 6
"""Rows that are answered by both: enough to tell rows from columns."""

_TIGHT, _LOOSE = 1e-7, 1e-3
"""Largest difference, relative to the largest value, in float64 and in float32. This finds blunders; how
exact a compiled model is, is tested with it."""


@dataclass(frozen=True)
class Template:
    """The form of an answer.

    Attributes
    ----------
    cls : type
    dtype : dtype, optional
    ndim : int
    order : str
        ``"F"`` where columns are contiguous, ``"C"`` where rows are, ``"K"`` where nothing can be said.
    parts : tuple of Template
        Of a list.
    """

    cls: type
    dtype: np.dtype[Any] | None = None
    ndim: int = 0
    order: str = "K"
    parts: tuple[Template, ...] = ()

    @classmethod
    def of(cls, answer: Any) -> Template:
        """The form of scikit-learn's answer.

        Raises
        ------
        NotHere
            It is of a kind that is not accelerated.
        """
        kind: type = type(answer)
        if kind is list and answer:
            return cls(list, parts=tuple(map(cls.of, answer)))
        if kind is np.ndarray:
            if not answer.flags.writeable:
                raise NotHere("its answer cannot be written to")
            return cls(np.ndarray, answer.dtype, answer.ndim, _order(answer))
        if hasattr(answer, "tocsr") and answer.format == "csr":
            return cls(kind, answer.dtype, 2, str(answer.indices.dtype))
        raise NotHere(f"its answer is a {kind.__name__}")

    def given(self, answer: Any) -> Any:
        """An answer of ours in this form.

        Raises
        ------
        NotHere
            It cannot be brought into it.
        """
        kind: type = type(answer)
        if kind is list and self.cls is list and len(answer) == len(self.parts):
            return [part.given(a) for part, a in zip(self.parts, answer, strict=True)]
        if (
            kind is not self.cls
            or answer.dtype != self.dtype
            or answer.ndim != self.ndim
            or (self.cls is not np.ndarray and str(answer.indices.dtype) != self.order)
        ):
            raise NotHere("the compiled answer has another form")
        if self.cls is not np.ndarray:
            return answer
        if self.order == "F" and not answer.flags.f_contiguous:
            answer = np.asfortranarray(answer)
        elif self.order == "C" and not answer.flags.c_contiguous:
            answer = np.ascontiguousarray(answer)
        return answer if answer.flags.writeable else answer.copy(order="K")


def _order(array: np.ndarray[Any, Any]) -> str:
    if array.flags.c_contiguous == array.flags.f_contiguous:
        return "K"
    return "C" if array.flags.c_contiguous else "F"


def compared(theirs: Callable[[Any], Any], ours: Callable[[Any], Any], X: Any) -> Template:
    """Answer the first rows by both.

    Parameters
    ----------
    theirs, ours : callable
        From rows to the answer.
    X : table-like

    Returns
    -------
    Template
        The form of the answer.

    Raises
    ------
    NotHere
        Ours is not the same, or the original warns or edits its input.
    Exception
        What the original raises.
    """
    few, untouched = _first(X), _first(X)
    with originals(), warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        expected = theirs(few)
        if seen or not _same(few, untouched):
            raise NotHere("its own code warns" if seen else "its own code edits X in place")
        template = Template.of(expected)
        answer = template.given(ours(few))
    if _shares(expected, few) or _shares(answer, few):
        raise NotHere("its answer is the input itself")
    if not _same(expected, answer):
        raise NotHere("the compiled answer differs")
    return template


def _first(X: Any) -> Any:
    if type(X) is np.ndarray:
        return np.array(X[:ROWS], order="K")
    if hasattr(X, "iloc"):
        return X.iloc[:ROWS].copy()
    return X[:ROWS].copy()


def _shares(answer: Any, X: Any) -> bool:
    arrays = answer if isinstance(answer, list) else [answer]
    rows = X if isinstance(X, np.ndarray) else getattr(X, "data", None)
    if not isinstance(rows, np.ndarray):
        return False
    return any(np.may_share_memory(getattr(a, "data", a), rows) for a in arrays)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, list):
        return len(a) == len(b) and all(map(_same, a, b))
    if hasattr(a, "iloc"):
        return bool(a.equals(b))
    if hasattr(a, "tocsr"):
        same = a.shape == b.shape and np.array_equal(a.indptr, b.indptr)
        return same and np.array_equal(a.indices, b.indices) and _same(a.data, b.data)
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype.kind != "f":
        return bool(np.array_equal(a, b))
    finite = np.abs(a[np.isfinite(a)])
    bound = (_TIGHT if a.dtype.itemsize == 8 else _LOOSE) * finite.max(initial=0.0)
    return bool(np.allclose(a, b, rtol=0.0, atol=bound, equal_nan=True))
