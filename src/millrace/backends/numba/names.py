"""Names of features as hashes."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import compress, islice, repeat
from operator import is_
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

MANY = 1024
"""So many rows or names are worth a look whether the same ones come again and again."""


class _UnusualName(Exception):
    """A name is no text."""


class KnownNames(dict[Any, int]):
    """The hashes of names that come again and again; those with a value of text in `pairs`.

    Parameters
    ----------
    separator : str
    of_pairs : bool
        The keys are pairs: a name that is itself a tuple must never pass for one.
    """

    _MOST = 1 << 16

    def __init__(self, separator: str, of_pairs: bool = False) -> None:
        super().__init__()
        self.separator = separator
        self.pairs = None if of_pairs else KnownNames(separator, of_pairs=True)

    def __missing__(self, key: Any) -> int:
        from millrace.backends.numba.kernels.terms import hash_names

        first = key if self.pairs is not None else key[0]
        if type(first) is not str:
            raise _UnusualName
        name = key if self.pairs is not None else f"{first}{self.separator}{key[1]}"
        found = int(hash_names(*encoded([name]))[0])
        if len(self) < self._MOST:
            self[key] = found
        return found

    def of(self, names: list[Any], values: list[Any] | None) -> tuple[Array, Array] | None:
        """The values and hashes of entries; None where they are of unusual types or mostly new."""
        if not names or not _come_again(names[:MANY]):
            return None
        try:
            if values is None:
                return np.ones(len(names)), self._hashes(names, len(names))
            try:
                numbers = np.frombuffer(array("d", values))
            except TypeError:  # text among them
                return self._of_words(names, values)
            return numbers, self._hashes(names, len(names))
        except (_UnusualName, TypeError):
            return None

    def _of_words(self, names: list[Any], values: list[Any]) -> tuple[Array, Array] | None:
        """`of` where some values are text."""
        if self.pairs is None:
            return None
        is_text = bytes(map(is_, map(type, values), repeat(str)))
        at = np.frombuffer(is_text, bool)
        is_number, n_texts = (~at).tobytes(), int(np.count_nonzero(at))

        def pairs() -> Iterator[
            tuple[Any, Any]
        ]:  # each gone before the next: no work for the collector
            return zip(compress(names, is_text), compress(values, is_text), strict=True)

        if not _come_again(list(islice(pairs(), MANY))):
            return None
        numbers, hashes = np.ones(len(names)), np.empty(len(names), np.int64)
        numbers[~at] = np.frombuffer(array("d", compress(values, is_number)))
        hashes[~at] = self._hashes(compress(names, is_number), len(names) - n_texts)
        hashes[at] = self.pairs._hashes(pairs(), n_texts)
        return numbers, hashes

    def _hashes(self, keys: Iterable[Any], n: int) -> Array:
        return np.fromiter(map(self.__getitem__, keys), np.int64, n)


def hashed_names(names: list[Any]) -> Array:
    """The hash of every name (int64); each name once, where the same ones come again and again."""
    from millrace.backends.numba.kernels.terms import hash_names

    if len(names) >= MANY and _come_again(names[:MANY]):
        number = {name: k for k, name in enumerate(dict.fromkeys(names))}
        own = hash_names(*encoded(list(number))).astype(np.int64)
        return own[np.fromiter(map(number.__getitem__, names), np.int64, len(names))]
    return hash_names(*encoded(names)).astype(np.int64)


def _come_again(names: list[Any]) -> bool:
    try:
        return 4 * len(set(names)) < len(names)
    except TypeError:  # one is no text, of which `encoded` speaks
        return False


def encoded(names: list[Any]) -> tuple[Array, Array]:
    """Names as UTF-8 end to end, and where each ends."""
    try:
        text = "".join(names)
    except TypeError:
        for name in names:
            if not isinstance(name, (str, bytes)):
                raise TypeError(f"the name {name!r:.60} is no text") from None
        return joined([name.encode() if isinstance(name, str) else name for name in names])
    if not text.isascii():
        return joined([name.encode() for name in names])
    ends = np.cumsum(np.fromiter(map(len, names), np.int64, len(names)), dtype=np.int64)
    return np.frombuffer(text.encode(), np.uint8), ends


def joined(texts: Sequence[bytes]) -> tuple[Array, Array]:
    """Texts end to end, and where each ends."""
    ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)), dtype=np.int64)
    return np.frombuffer(b"".join(texts), np.uint8), ends
