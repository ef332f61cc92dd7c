"""Whether two answers are the same: shape, dtype and bits, or within a converter's bound."""

from __future__ import annotations

from typing import Any

import numpy as np


def difference(expected: Any, got: Any, ulp: int = 0, absolute: float = 0.0) -> str | None:
    """The first difference in words; None where there is none."""
    if isinstance(expected, list) or isinstance(got, list):
        if type(expected) is not type(got) or len(expected) != len(got):
            return f"expected {_kind(expected)}, got {_kind(got)}"
        found = (difference(a, b, ulp, absolute) for a, b in zip(expected, got, strict=True))
        return next((f"[{i}] {f}" for i, f in enumerate(found) if f), None)
    expected, got = _dense(expected), _dense(got)
    if expected.shape != got.shape or not _same_dtype(expected.dtype, got.dtype):
        return f"expected {expected.dtype}{expected.shape}, got {got.dtype}{got.shape}"
    equal = _equal(expected, got, ulp, absolute)
    if equal.all():
        return None
    at = tuple(int(i) for i in np.argwhere(~equal)[0])
    return (
        f"{int((~equal).sum())} of {equal.size} cells differ, first at {at}: "
        f"expected {expected[at]!r}, got {got[at]!r}"
    )


def ulps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How many floats lie between two arrays of one float dtype, as float64; -0.0 is one below 0.0."""
    whole = {2: np.int16, 4: np.int32, 8: np.int64}[a.dtype.itemsize]
    bits = [np.ascontiguousarray(x).view(whole).astype(object) for x in (a, b)]
    lowest = int(np.iinfo(whole).min)
    ordered = [np.where(x < 0, lowest - x - 1, x) for x in bits]
    return np.abs(ordered[0] - ordered[1]).astype(np.float64)


def _equal(expected: np.ndarray, got: np.ndarray, ulp: int, absolute: float) -> np.ndarray:
    if expected.dtype == object:
        cells = [_same_cell(a, b) for a, b in zip(expected.ravel(), got.ravel(), strict=True)]
        return np.array(cells, bool).reshape(expected.shape)
    if expected.dtype.kind != "f":
        return expected == got
    whole = f"i{expected.dtype.itemsize}"
    both_nan = np.isnan(expected) & np.isnan(got)
    same = np.ascontiguousarray(expected).view(whole) == np.ascontiguousarray(got).view(whole)
    equal = both_nan | same
    if (ulp or absolute) and not equal.all():
        finite = np.isfinite(expected) & np.isfinite(got)
        with np.errstate(all="ignore"):
            equal |= finite & ((ulps(expected, got) <= ulp) | (np.abs(expected - got) <= absolute))
    return equal


def _same_cell(a: object, b: object) -> bool:
    if isinstance(a, (float, np.floating)) and a != a:
        return isinstance(b, (float, np.floating)) and b != b
    if isinstance(a, str) or isinstance(b, str) or a is None or b is None:
        return type(a) is type(b) and a == b
    return bool(a == b) and np.signbit(a) == np.signbit(b)


def _same_dtype(a: np.dtype, b: np.dtype) -> bool:
    # An array of strings is as wide as its longest one, which may not be among these rows.
    return a == b or (a.kind == "U" and b.kind == "U")


def _dense(answer: Any) -> np.ndarray:
    return answer.toarray() if hasattr(answer, "toarray") else np.asarray(answer)


def _kind(answer: Any) -> str:
    return f"{type(answer).__name__} of {len(answer)}"
