"""Documents to counts of their terms: one pass over UTF-8 bytes for each document.

A document is first written anew into `text`: lower-cased, its words (or characters) next to each
other, so that every n-gram is a slice of it. `window[i]` holds the four bytes from `i` on as one
little-endian number, so that a slice is hashed and compared four bytes at a time. The hash is
MurmurHash3_x86_32 with seed 0, which scikit-learn uses where terms are hashed; tables of terms are open
addressing on the same hash.

A *unit* is what n-grams are made of: a word, or a character. Unit k is ``text[first[k]:last[k]]``.
"""

from __future__ import annotations

import numba
import numpy as np
from numba import types

WORD, SPACE = 1, 2
"""The bits of `classes`: what kind of character a code point is."""

BREAK = 0xFF
"""Ends each word of a document that was split before; no byte of UTF-8."""

WORDS, CHARS, PADDED, SPLIT = range(4)
"""How a document becomes units: by words, by characters, by those of padded words, or it was split."""

(HOW, SHORTEST, LONGEST, LEAST, HASHED, SIGNED, BINARY, WIDTH) = range(8)
"""Fields of `options`; LEAST is how many characters a word has at least."""

FEW = 48
"""So few numbers are sorted by insertion."""

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_ZERO, _ONE = np.uint64(0), np.uint64(1)


def _array(dtype: types.Type, readonly: bool = False) -> types.Array:
    return types.Array(dtype, 1, "C", readonly=readonly)


_BYTES = _array(types.uint8, readonly=True)
_LONGS = _array(types.int64)
_SLOTS, _TERMS = _array(types.uint64), _array(types.uint32)
_INTS = _array(types.int32)

_inlined = numba.njit(nogil=True, cache=True, inline="always")
"""What is called for every byte or n-gram: a call with arrays costs more than the work in it."""


# -- hashing -------------------------------------------------------------------------------
@_inlined
def _mixed(word):  # type: ignore[no-untyped-def]
    word = (word * np.uint64(0xCC9E2D51)) & _LOW
    word = ((word << np.uint64(15)) | (word >> np.uint64(17))) & _LOW
    return (word * np.uint64(0x1B873593)) & _LOW


@_inlined
def _tail(word, length):  # type: ignore[no-untyped-def]
    """The first ``length % 4`` bytes of a word."""
    bits = np.uint64(8 * (length & 3))
    return np.uint64(word) & ((_ONE << bits) - _ONE)


@_inlined
def _hash(window, at, length):  # type: ignore[no-untyped-def]
    """MurmurHash3 of `length` bytes from `at` on, unsigned."""
    h = _ZERO
    end = at + (length & ~3)
    while at < end:
        h ^= _mixed(np.uint64(window[at]))
        h = ((h << np.uint64(13)) | (h >> np.uint64(19))) & _LOW
        h = (h * np.uint64(5) + np.uint64(0xE6546B64)) & _LOW
        at += 4
    if length & 3:
        h ^= _mixed(_tail(window[at], length))
    h ^= np.uint64(length)
    h = ((h ^ (h >> np.uint64(16))) * np.uint64(0x85EBCA6B)) & _LOW
    h = ((h ^ (h >> np.uint64(13))) * np.uint64(0xC2B2AE35)) & _LOW
    return h ^ (h >> np.uint64(16))


@numba.njit(nogil=True, cache=True)
def _read(text, begin, end, window):  # type: ignore[no-untyped-def]
    """Fill ``window[begin:end]``."""
    word = _ZERO
    for at in range(end - 1, begin - 1, -1):
        word = ((word << np.uint64(8)) | np.uint64(text[at])) & _LOW
        window[at] = word


@numba.njit(_INTS(_BYTES, _LONGS), nogil=True, cache=True)
def hash_names(text, end):  # type: ignore[no-untyped-def]
    """The signed hash of each name; name k ends at byte ``end[k]``, where the next one begins."""
    hashes = np.empty(len(end), np.int32)
    window = np.empty(len(text), np.uint32)
    _read(text, 0, len(text), window)
    at = 0
    for k in range(len(end)):
        hashes[k] = np.int32(np.uint32(_hash(window, at, end[k] - at)))
        at = end[k]
    return hashes


# -- tables of terms -----------------------------------------------------------------------
@_inlined
def _same(window, at, length, terms, here):  # type: ignore[no-untyped-def]
    """Whether a slice is the term whose words begin at ``terms[here]``."""
    end = at + (length & ~3)
    while at < end and window[at] == terms[here]:
        at += 4
        here += 1
    return at == end and (length & 3 == 0 or _tail(window[at], length) == np.uint64(terms[here]))


@_inlined
def _find(window, at, length, slots, terms):  # type: ignore[no-untyped-def]
    """The number of a term, -1 where it is none."""
    h = _hash(window, at, length)
    mask = np.uint64(len(slots) - 1)
    place = h & mask
    found = -1
    while found < 0 and slots[place] != _ZERO:
        if slots[place] >> _HALF == h:
            here = np.int64(slots[place] & _LOW) - 1
            if terms[here + 1] == length and _same(window, at, length, terms, here + 2):
                found = np.int64(terms[here])
        place = (place + _ONE) & mask
    return found


@numba.njit(types.Tuple((_SLOTS, _TERMS))(_BYTES, _LONGS), nogil=True, cache=True)
def make_table(text, end):  # type: ignore[no-untyped-def]
    """A table of terms; term k ends at byte ``end[k]`` of the text, where the next one begins.

    Returns
    -------
    slots : uint64 (a power of two,)
        The hash of a term and, plus one, where it stands in `terms`, 32 bits each; 0 where there is none.
    terms : uint32
        For each term its number, how many bytes it has, and its bytes filled up with zeros to full words.
    """
    n_terms = len(end)
    size = 2
    while size < 2 * n_terms:
        size *= 2
    slots = np.zeros(size, np.uint64)
    window = np.empty(len(text), np.uint32)
    _read(text, 0, len(text), window)
    terms = np.empty(len(text) // 4 + 3 * n_terms, np.uint32)
    at = n = 0
    for term in range(n_terms):
        length = end[term] - at
        h = _hash(window, at, length)
        place = h & np.uint64(size - 1)
        while slots[place] != _ZERO:
            place = (place + _ONE) & np.uint64(size - 1)
        slots[place] = (h << _HALF) | np.uint64(n + 1)
        terms[n], terms[n + 1] = term, length
        n += 2
        for k in range(0, length & ~3, 4):
            terms[n] = window[at + k]
            n += 1
        if length & 3:
            terms[n] = _tail(window[at + (length & ~3)], length)
            n += 1
        at = end[term]
    return slots, terms


# -- documents to units --------------------------------------------------------------------
@_inlined
def _character(buffer, at, classes):  # type: ignore[no-untyped-def]
    """Bytes and class of the character at a place."""
    byte = np.int64(buffer[at])
    if byte < 0x80:
        return 1, classes[byte]
    size = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
    point = byte & (0x7F >> size)
    for k in range(1, size):
        point = point << 6 | np.int64(buffer[at + k]) & 0x3F
    return size, classes[point]


@_inlined
def _lowered(byte, lower):  # type: ignore[no-untyped-def]
    return byte + 32 if lower and 65 <= byte <= 90 else byte


@numba.njit(nogil=True, cache=True)
def _by_word(  # type: ignore[no-untyped-def]
    buffer, at, stop, lower, classes, options, slots, terms, text, window, first, last
):
    """Write the words that are long enough and no stop words, a blank after each."""
    split, least = options[HOW] == SPLIT, options[LEAST]
    units = written = begin = n_chars = 0
    while at <= stop:
        size, inside, closes = 1, False, True
        if at < stop and split:
            inside = buffer[at] != BREAK
        elif at < stop:
            size, kind = _character(buffer, at, classes)
            inside = kind & WORD != 0
        else:
            closes = not split
        if inside:
            text[written] = _lowered(buffer[at], lower)
            for k in range(1, size):
                text[written + k] = buffer[at + k]
            written += size
            n_chars += 1
        elif closes:
            kept = n_chars >= least
            if kept and len(terms):
                _read(text, begin, written, window)
                kept = _find(window, begin, written - begin, slots, terms) < 0
            if kept:
                first[units], last[units] = begin, written
                units += 1
                text[written] = 32
                written += 1
            else:
                written = begin
            begin, n_chars = written, 0
        at += size
    return units, written


@numba.njit(nogil=True, cache=True)
def _by_character(buffer, at, stop, lower, classes, text, first, last):  # type: ignore[no-untyped-def]
    """Write every character; several whitespace characters in a row become one blank."""
    units = written = 0
    while at < stop:
        size, kind = _character(buffer, at, classes)
        first[units] = written
        end = at + size
        if kind & SPACE:
            while end < stop:
                more, kind = _character(buffer, end, classes)
                if kind & SPACE == 0:
                    break
                end += more
        if end > at + size:
            text[written] = 32
            written += 1
        else:
            text[written] = _lowered(buffer[at], lower)
            for k in range(1, size):
                text[written + k] = buffer[at + k]
            written += size
        last[units] = written
        units += 1
        at = end
    return units, written


@numba.njit(nogil=True, cache=True)
def _by_padded_word(buffer, at, stop, lower, classes, text, first, last, edge):  # type: ignore[no-untyped-def]
    """Write the characters of words with a blank before, between and after them.

    `edge` gets the units that are blanks: word k lies between ``edge[k]`` and ``edge[k + 1]``.
    """
    text[0], first[0], last[0], edge[0] = 32, 0, 1, 0
    units = written = 1
    n_edges = 1
    while at <= stop:
        size, blank = 1, True
        if at < stop:
            size, kind = _character(buffer, at, classes)
            blank = kind & SPACE != 0
        if not blank or units - 1 > edge[n_edges - 1]:
            first[units] = written
            if blank:
                text[written] = 32
                written += 1
                edge[n_edges] = units
                n_edges += 1
            else:
                text[written] = _lowered(buffer[at], lower)
                for k in range(1, size):
                    text[written + k] = buffer[at + k]
                written += size
            last[units] = written
            units += 1
        at += size
    return n_edges, written


@numba.njit(nogil=True, cache=True)
def _divide(  # type: ignore[no-untyped-def]
    buffer, at, stop, lower, classes, options, slots, terms, text, window, first, last, edge
):
    """Write a document as units, those of group k from ``edge[k]`` to ``edge[k + 1]``; read its windows.

    Returns the number of edges; n-grams lie within a group.
    """
    n_edges = units = 0
    if options[HOW] == PADDED:
        n_edges, written = _by_padded_word(
            buffer, at, stop, lower, classes, text, first, last, edge
        )
    elif options[HOW] == CHARS:
        units, written = _by_character(buffer, at, stop, lower, classes, text, first, last)
    else:
        units, written = _by_word(
            buffer, at, stop, lower, classes, options, slots, terms, text, window, first, last
        )
    if units:
        edge[0], edge[1], n_edges = 0, units - 1, 2
    _read(text, 0, written, window)
    return n_edges


# -- units to counts -----------------------------------------------------------------------
@_inlined
def _key(window, at, length, slots, terms, hashed, signed, width):  # type: ignore[no-untyped-def]
    """Twice the column of a term, plus one where it counts -1; negative where it has no column."""
    if hashed:
        h = np.int64(_hash(window, at, length))
        negative = h >> 31
        if negative:
            h = (1 << 32) - h
        key = h % width * 2 + (negative & signed)
    else:
        key = 2 * _find(window, at, length, slots, terms)
    return key


@numba.njit(nogil=True, cache=True)
def _keys(window, first, last, begin, end, slots, terms, options, keys, n_keys):  # type: ignore[no-untyped-def]
    """Append the keys of all n-grams of some units, to a longer array where this one is full."""
    units, longest = end - begin, options[LONGEST]
    hashed, signed, width = options[HASHED], options[SIGNED], options[WIDTH]
    needed = n_keys + max(min(longest, units) - options[SHORTEST] + 1, 1) * units
    if needed > len(keys):
        longer = np.empty(2 * needed, np.int64)
        longer[:n_keys] = keys[:n_keys]
        keys = longer
    n = options[SHORTEST]
    if options[HOW] == PADDED and n > units:
        n = units
    while n <= min(longest, units):
        for k in range(begin, end - n + 1):
            at = first[k]
            length = last[k + n - 1] - at
            key = _key(window, at, length, slots, terms, hashed, signed, width)
            keys[n_keys] = key
            n_keys += key >= 0
        n += 1
    return keys, n_keys


@numba.njit(nogil=True, cache=True)
def _sorted(keys, n, spare, width):  # type: ignore[no-untyped-def]
    """The first `n` keys in order, in one array or the other; all are below ``2 * width``."""
    if n <= FEW:
        for i in range(1, n):
            key = keys[i]
            k = i
            while k > 0 and keys[k - 1] > key:
                keys[k] = keys[k - 1]
                k -= 1
            keys[k] = key
        return keys
    counts = np.empty(257, np.int64)
    shift = 0
    while (2 * width - 1) >> shift:
        counts[:] = 0
        for i in range(n):
            counts[((keys[i] >> shift) & 255) + 1] += 1
        for k in range(256):
            counts[k + 1] += counts[k]
        for i in range(n):
            digit = (keys[i] >> shift) & 255
            spare[counts[digit]] = keys[i]
            counts[digit] += 1
        keys, spare = spare, keys
        shift += 8
    return keys


@numba.njit(nogil=True, cache=True)
def _count(keys, n_keys, binary, columns, counts, n):  # type: ignore[no-untyped-def]
    """Append the column and the count of every run of equal columns."""
    previous = -1
    for k in range(n_keys):
        column = keys[k] >> 1
        if column != previous:
            columns[n], counts[n] = column, 0
            previous = column
            n += 1
        counts[n - 1] += 1 - 2 * (keys[k] & 1)
        if binary:
            counts[n - 1] = 1
    return n


@numba.njit(nogil=True, cache=True)
def _doubled(array):  # type: ignore[no-untyped-def]
    longer = np.empty(2 * len(array), array.dtype)
    longer[: len(array)] = array
    return longer


@numba.njit(
    types.Tuple((_INTS, _INTS, _INTS))(
        _BYTES,
        _LONGS,
        _LONGS,
        _array(types.boolean),
        _BYTES,
        _SLOTS,
        _TERMS,
        _SLOTS,
        _TERMS,
        _LONGS,
    ),
    nogil=True,
    cache=True,
)
def count_documents(  # type: ignore[no-untyped-def]
    buffer, start, stop, lower, classes, slots, terms, stop_slots, stop_words, options
):
    """The counts of the terms of each document, as the arrays of a CSR matrix.

    Parameters
    ----------
    buffer : uint8
        UTF-8; document k is ``buffer[start[k]:stop[k]]``.
    start, stop : int64 (n_samples,)
    lower : bool (n_samples,)
        Whether the ASCII letters of the document are still to be lower-cased.
    classes : uint8
        By code point: `WORD`, `SPACE`; 128 entries do where all documents are ASCII.
    slots, terms, stop_slots, stop_words : see `make_table`
        The vocabulary, and the stop words.
    options : int64 (8,)

    Returns
    -------
    indptr, columns, counts : int32
        The columns of a row ascend.
    """
    longest = 0
    for row in range(len(start)):
        longest = max(longest, stop[row] - start[row])
    text, window = np.empty(longest + 3, np.uint8), np.empty(longest + 3, np.uint32)
    first, last = np.empty(longest + 3, np.int64), np.empty(longest + 3, np.int64)
    edge = np.empty(longest + 3, np.int64)
    keys, spare = np.empty(256, np.int64), np.empty(256, np.int64)
    indptr = np.zeros(len(start) + 1, np.int32)
    columns, counts = np.empty(1024, np.int32), np.empty(1024, np.int32)
    n = 0
    for row in range(len(start)):
        place = (buffer, start[row], stop[row], lower[row], classes, options)
        n_edges = _divide(*place, stop_slots, stop_words, text, window, first, last, edge)
        n_keys = 0
        for k in range(n_edges - 1):
            begin, end = edge[k], edge[k + 1] + 1
            keys, n_keys = _keys(
                window, first, last, begin, end, slots, terms, options, keys, n_keys
            )
        if len(spare) < len(keys):
            spare = np.empty(len(keys), np.int64)
        while n + n_keys > len(columns):
            columns, counts = _doubled(columns), _doubled(counts)
        ordered = _sorted(keys, n_keys, spare, options[WIDTH])
        n = _count(ordered, n_keys, options[BINARY], columns, counts, n)
        indptr[row + 1] = n
    return indptr, columns[:n].copy(), counts[:n].copy()


@numba.njit(types.void(_BYTES, _LONGS, _LONGS, _array(types.boolean)), nogil=True, cache=True)
def find_ascii(buffer, start, stop, ascii_only):  # type: ignore[no-untyped-def]
    """Which documents have no byte above 127."""
    for row in range(len(start)):
        seen = np.uint8(0)
        for at in range(start[row], stop[row]):
            seen |= buffer[at]
        ascii_only[row] = seen < 0x80
