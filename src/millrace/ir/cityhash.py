"""CityHash64 as CatBoost uses it to compare category texts.

CatBoost keeps no category texts in a model, only the low 32 bits of the hash of their UTF-8 bytes,
and compares those. Semantics: CityHash64 version 1.0 (Pike and Alakuijala, 2011), which differs
from the later 1.1 for texts of every length.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from millrace.errors import ColumnTypeError

_MASK = (1 << 64) - 1
_K0 = 0xC3A5C85C97CB3127
_K1 = 0xB492B66FBE98F273
_K2 = 0x9AE16A3B2F90404F
_K3 = 0xC949D7C7509E6557
_PAIR = 0x9DDFEA08EB382D69
"""The multiplier that folds two words into one."""

_CACHE = 1 << 16


@lru_cache(maxsize=_CACHE)
def category_hash(text: str) -> int:
    """The number that CatBoost compares in place of a category: a signed 32-bit integer.

    >>> category_hash("4"), category_hash("")
    (-78686594, 797982799)
    """
    low = cityhash64(text.encode()) & 0xFFFFFFFF
    return low - (1 << 32) if low >> 31 else low


def category_text(value: object) -> str:
    """The text by which CatBoost knows a category: strings, integers and booleans.

    Raises
    ------
    ColumnTypeError
        On floats and missing cells, as CatBoost does.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, (int, np.integer, np.bool_)):
        return str(int(value))
    raise ColumnTypeError.unsupported(
        f"the category {value!r} ({type(value).__name__})",
        "text or integers; CatBoost takes neither floats nor missing cells as categories",
    )


def cityhash64(data: bytes) -> int:
    """The unsigned 64-bit hash of some bytes."""
    if len(data) <= 16:
        return _up_to_16(data)
    if len(data) <= 32:
        return _up_to_32(data)
    if len(data) <= 64:
        return _up_to_64(data)
    return _longer(data)


def _word(data: bytes, position: int, size: int = 8) -> int:
    """A little-endian word; a negative position counts from the end."""
    if position < 0:
        position += len(data)
    return int.from_bytes(data[position : position + size], "little")


def _rotate(value: int, shift: int) -> int:
    value &= _MASK
    return (value >> shift | value << (64 - shift)) & _MASK


def _mix(value: int) -> int:
    value &= _MASK
    return value ^ value >> 47


def _fold(first: int, second: int) -> int:
    """Two words to one (``Hash128to64``)."""
    second &= _MASK
    a = _mix((first ^ second) * _PAIR)
    return _mix((second ^ a) * _PAIR) * _PAIR & _MASK


def _up_to_16(data: bytes) -> int:
    size = len(data)
    if size > 8:
        last = _word(data, -8)
        return _fold(_word(data, 0), _rotate(last + size, size)) ^ last
    if size >= 4:
        return _fold(size + (_word(data, 0, 4) << 3), _word(data, -4, 4))
    if size > 0:
        y = data[0] + (data[size >> 1] << 8)
        z = size + (data[-1] << 2)
        return _mix(y * _K2 ^ z * _K3) * _K2 & _MASK
    return _K2


def _up_to_32(data: bytes) -> int:
    a, b = _word(data, 0) * _K1, _word(data, 8)
    c, d = _word(data, -8) * _K2, _word(data, -16) * _K0
    return _fold(
        (_rotate(a - b, 43) + _rotate(c, 30) + d) & _MASK,
        a + _rotate(b ^ _K3, 20) - c + len(data),
    )


def _half_of_64(data: bytes, start: int, seed: int, z: int) -> tuple[int, int]:
    """One of the two 32-byte halves of `_up_to_64`: words at `start`, with `z` from its end."""
    a = seed
    b, c = _rotate(a + z, 52), _rotate(a, 37)
    a += _word(data, start + 8)
    c += _rotate(a, 7)
    a += _word(data, start + 16)
    return a + z, b + _rotate(a, 31) + c


def _up_to_64(data: bytes) -> int:
    size = len(data)
    head = _word(data, 0) + (size + _word(data, -16)) * _K0
    v = _half_of_64(data, 0, head, _word(data, 24))
    tail = _word(data, 16) + _word(data, -32)
    w = _half_of_64(data, size - 32, tail, _word(data, -8))
    r = _mix((v[0] + w[1]) * _K2 + (w[0] + v[1]) * _K0)
    return _mix(r * _K0 + v[1]) * _K2 & _MASK


def _weak(data: bytes, start: int, a: int, b: int) -> tuple[int, int]:
    """Two words from the 32 bytes at `start` and two seeds."""
    w, x, y, z = (_word(data, start + 8 * i) for i in range(4))
    a += w
    b = _rotate(b + a + z, 21)
    c = a
    a += x + y
    return (a + z) & _MASK, (b + _rotate(a, 44) + c) & _MASK


def _longer(data: bytes) -> int:
    size = len(data)
    x, y, z = _word(data, 0), _word(data, -16) ^ _K1, _word(data, -56) ^ _K0
    v = _weak(data, size - 64, size, y)
    w = _weak(data, size - 32, size * _K1, _K0)
    z += _mix(v[1]) * _K1
    x = _rotate(z + x, 39) * _K1
    y = _rotate(y, 33) * _K1
    for at in range(0, (size - 1) & ~63, 64):
        x = _rotate(x + y + v[0] + _word(data, at + 16), 37) * _K1
        y = _rotate(y + v[1] + _word(data, at + 48), 42) * _K1
        x = (x & _MASK) ^ w[1]
        y = (y & _MASK) ^ v[0]
        z = _rotate((z & _MASK) ^ w[0], 33)
        v = _weak(data, at, v[1] * _K1, x + w[0])
        w = _weak(data, at + 32, z + w[1], y)
        z, x = x, z
    return _fold(
        (_fold(v[0], w[0]) + _mix(y) * _K1 + z) & _MASK,
        _fold(v[1], w[1]) + x,
    )
