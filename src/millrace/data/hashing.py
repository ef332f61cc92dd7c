"""Hashes of rows and of column values that are the same in every batch, process and machine.

A hash is a uint64. Equal values have equal hashes whatever the width of their type: the integers 3 and
the float 3.0, a text and the same text in a dictionary, a date and that day's midnight. All NaN are one
value, and so are 0.0 and -0.0.

Integers are mixed by the finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014). A text is the sum
of its bytes, each mixed with its place, modulo 2**64, mixed with its length.
"""

# pyarrow ships no types.
# pyright: reportUnknownParameterType=false

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from millrace.errors import SplitError

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MISSING = np.uint64(0x6D697373696E6721)
_NAN = np.uint64(0x6E6F742D6E756D21)
_PLACES = np.uint64(0xD6E8FEB86659FD93)


def mixed(numbers: np.ndarray, seed: int = 0) -> np.ndarray:
    """SplitMix64 of integers.

    Parameters
    ----------
    numbers : numpy.ndarray
        Integers of any shape.
    seed : int

    Returns
    -------
    numpy.ndarray of uint64

    Examples
    --------
    >>> hex(mixed(np.array([0]))[0])  # the first output of SplitMix64 with seed 0
    '0xe220a8397b1dcdaf'
    """
    start = (seed * 0xBF58476D1CE4E5B9 + int(_GOLDEN)) % 2**64
    z = numbers.astype(np.uint64) + np.uint64(start)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def below(hashes: np.ndarray, n: int) -> np.ndarray:
    """Hashes as numbers from 0 to n - 1, evenly: int64."""
    return (((hashes >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32)).astype(np.int64)


def unit(hashes: np.ndarray) -> np.ndarray:
    """Hashes as numbers of [0, 1): float64."""
    return (hashes >> np.uint64(11)).astype(np.float64) * 2.0**-53


def hashes_of(column: Any, name: str = "target") -> np.ndarray:
    """The hash of every value of a column.

    Parameters
    ----------
    column : pyarrow.Array, pyarrow.ChunkedArray or numpy.ndarray
        Texts, numbers, booleans, dates, times or dictionaries of them; (n_samples,).
    name : str
        For errors.

    Returns
    -------
    numpy.ndarray of uint64
        (n_samples,). Nulls are one value of their own.

    Raises
    ------
    SplitError
        The column holds something else, for example lists.
    """
    if isinstance(column, np.ndarray):
        if column.dtype != object and column.dtype.kind in "biuf":
            return _numbers(column)
        try:
            column = pa.array(column, from_pandas=True)
        except pa.ArrowException as error:
            raise SplitError.bad_key(name, "values of several types") from error
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    kind = column.type
    if pa.types.is_dictionary(kind):
        words = np.append(hashes_of(column.dictionary, name), _MISSING)
        return words[column.indices.fill_null(len(words) - 1).to_numpy(zero_copy_only=False)]
    if pa.types.is_null(kind):
        return np.full(len(column), _MISSING)
    found = _values(column, name)
    if column.null_count:
        found[column.is_null().to_numpy(zero_copy_only=False)] = _MISSING
    return found


def _values(column: pa.Array, name: str) -> np.ndarray:
    """Hashes of an Arrow column that is no dictionary; those of nulls mean nothing."""
    kind = column.type
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        wide = pa.uint64() if pa.types.is_uint64(kind) else pa.int64()
        return _numbers(column.cast(wide).fill_null(0).to_numpy())
    if pa.types.is_floating(kind):
        return _numbers(column.cast(pa.float64()).fill_null(0.0).to_numpy())
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        zone = kind.tz if pa.types.is_timestamp(kind) else None
        moments = column.cast(pa.timestamp("us", zone), safe=False)
        return _numbers(moments.cast(pa.int64()).fill_null(0).to_numpy())
    if pa.types.is_time(kind) or pa.types.is_duration(kind) or pa.types.is_decimal(kind):
        return _texts(column.cast(pa.string()))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return _texts(column)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return _texts(column)
    raise SplitError.bad_key(name, kind)


def _numbers(values: np.ndarray) -> np.ndarray:
    """Hashes of numbers; a float that is a whole number has the hash of that integer."""
    if values.dtype.kind != "f":
        return mixed(values)
    values = values.astype(np.float64) + 0.0  # -0.0 becomes 0.0
    whole = (np.abs(values) < 2.0**63) & (values == np.floor(values))
    bits = values.view(np.uint64) ^ _PLACES
    bits[whole] = values[whole].astype(np.int64).view(np.uint64)
    bits[np.isnan(values)] = _NAN
    return mixed(bits)


def _texts(column: pa.Array) -> np.ndarray:
    """Hashes of texts or bytes, from the bytes of all of them at once."""
    is_text = not (pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type))
    column = column.fill_null("" if is_text else b"")
    column = column.cast(pa.large_string() if is_text else pa.large_binary())
    _, offsets, content = column.buffers()
    ends = np.frombuffer(offsets, np.int64)[column.offset : column.offset + len(column) + 1]
    lengths = np.diff(ends)
    if content is None or ends[-1] == ends[0]:
        return mixed(lengths, seed=1)
    letters = np.frombuffer(content, np.uint8)[ends[0] : ends[-1]]
    starts = ends - ends[0]
    # Two steps of one sum: the place of a byte within its text, then byte and place mixed.
    places = np.arange(len(letters), dtype=np.int64) - np.repeat(starts[:-1], lengths)
    terms = mixed(places.astype(np.uint64) * np.uint64(256) + letters)
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(terms, dtype=np.uint64)])
    found = sums[starts[1:]] - sums[starts[:-1]]
    return mixed(found + lengths.astype(np.uint64) * _PLACES, seed=1)
