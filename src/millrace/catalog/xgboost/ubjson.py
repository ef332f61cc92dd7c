"""Reading Universal Binary JSON, in which XGBoost saves models; typed arrays become NumPy arrays.

Format: ubjson.org draft 12, as far as ``UBJWriter`` of XGBoost 3.2 writes it.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

_NUMBER = {
    "i": struct.Struct(">b"),
    "U": struct.Struct(">B"),
    "I": struct.Struct(">h"),
    "l": struct.Struct(">i"),
    "L": struct.Struct(">q"),
    "d": struct.Struct(">f"),
    "D": struct.Struct(">d"),
}
_DTYPE = {"i": ">i1", "U": ">u1", "I": ">i2", "l": ">i4", "L": ">i8", "d": ">f4", "D": ">f8"}
_CONSTANT = {"T": True, "F": False, "Z": None}


class _Reader:
    """A position in the bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def marker(self) -> str:
        self.at += 1
        return chr(self.data[self.at - 1])

    def number(self, marker: str) -> Any:
        form = _NUMBER[marker]
        self.at += form.size
        return form.unpack_from(self.data, self.at - form.size)[0]

    def string(self) -> str:
        size = self.number(self.marker())
        self.at += size
        return self.data[self.at - size : self.at].decode()

    def value(self) -> Any:
        marker = self.marker()
        if marker == "{":
            return self.mapping()
        if marker == "[":
            return self.array()
        if marker == "S":
            return self.string()
        return _CONSTANT[marker] if marker in _CONSTANT else self.number(marker)

    def mapping(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while self.data[self.at] != ord("}"):
            key = self.string()
            found[key] = self.value()
        self.at += 1
        return found

    def array(self) -> Any:
        """A counted array: typed ones as NumPy arrays, others as lists."""
        marker = self.marker()
        kind = self.marker() if marker == "$" else ""
        if kind:
            marker = self.marker()
        if marker != "#":
            raise ValueError(f"an array without a count at byte {self.at}")
        count = self.number(self.marker())
        if not kind:
            return [self.value() for _ in range(count)]
        dtype = np.dtype(_DTYPE[kind])
        self.at += count * dtype.itemsize
        return np.frombuffer(self.data, dtype, count, self.at - count * dtype.itemsize)


def loads(data: bytes | bytearray) -> Any:
    """The value that the bytes hold."""
    return _Reader(bytes(data)).value()
