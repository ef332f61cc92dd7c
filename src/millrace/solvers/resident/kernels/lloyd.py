"""Lloyd's assignment of rows of 16-bit codes: nearest centres, and what they do to the sums.

The labels are those of scores ``|c|^2 - 2 x c`` in float64, and the first of equal ones. They are found
by integers: a half score is then off by `off` units at most, and where the two least ones are not farther
apart than that allows, the row is done again in float64.

Rows are left out by Hamerly's bounds (Hamerly, 2010), as one number a row: how much nearer its own centre
was than any other when it was looked at, plus how far centres had moved towards a change by then. While
that is above how far they have moved by now, the label is what it was.
"""

# Kernels are not Python: Numba gives them their types.
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from millrace.solvers.resident.kernels.coded_tile import ROWS, coded_tile
from millrace.statistics.kernels.score_tile import add_row, copy_row, fetch_row

_njit: Any = njit
_how: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy"}

fused: Any = _njit(fastmath={"contract"}, **_how)

_within: dict[str, Any] = {
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "_nrt": False,
    **_how,
}

inner: Any = _njit(fastmath={"contract"}, **_within)
"""Compiles what only others here call: without a wrapper for Python and without counting references."""

loose: Any = _njit(fastmath={"contract", "reassoc", "nnan", "nsz"}, **_within)
"""In any order, of numbers: for least values, and for sums that are bounds."""

BLOCK = 512
"""Rows that are listed at a time."""


@fused
def ranges(rows, sums, lows, highs):
    """Add up the columns, and find their least and largest values.

    Parameters
    ----------
    rows : float of (n_samples, n_features)
        Where one is not finite, neither is the sum of its column.
    sums, lows, highs : float64 of (n_features,)
    """
    for i in range(rows.shape[0]):
        row = rows[i]
        for j in range(rows.shape[1]):
            value = np.float64(row[j])
            sums[j] += value
            lows[j] = min(lows[j], value)
            highs[j] = max(highs[j], value)


@fused
def encode(rows, shift, inverse, codes, squares, variances):
    """Round every row less the shift to codes; the largest sum of a row's absolute codes.

    Parameters
    ----------
    rows : float of (n_samples, n_features)
    shift : as `rows`, of (n_features,)
    inverse : float32 of (n_features,)
        Codes per unit.
    codes : int16 of (n_samples, width)
        Zeros beyond the features stay.
    squares : float32 of (n_samples,)
        Receives the squared norms.
    variances : float64 of (n_features,)
        Receives the sums of the squares of the columns.
    """
    p, largest = rows.shape[1], np.float32(0)
    block = np.empty(p, np.float32)
    for i in range(rows.shape[0]):
        row, code = rows[i], codes[i]
        for j in range(p):
            value = row[j] - shift[j]
            variances[j] += np.float64(value) * np.float64(value)
            block[j] = value
        for j in range(p):
            code[j] = np.int16(np.int32(np.rint(block[j] * inverse[j])))
        squares[i], size = _norms(block, inverse)
        largest = max(largest, size)
    return largest


@loose
def _norms(block, inverse):
    square = size = np.float32(0)
    for j in range(len(block)):
        square += block[j] * block[j]
        size += abs(block[j] * inverse[j])
    return square, size


@fused
def assign_coded(
    rows, shift, codes, squares, exact, norms, centers, starts, mask, unit, off, reach, ulps,
    label, margin, limit, weight, whole, sums, weights, counts,
):  # fmt: skip
    """Bring labels and sums to new centres; how many rows were done in float64.

    Parameters
    ----------
    rows : float of (n_samples, n_features)
    shift : as `rows`, of (n_features,)
    codes : int32 of (n_samples, n_pairs)
        Of the rows less the shift.
    squares : float32 of (n_samples,)
        Their squared norms.
    exact, norms : float64 of (n_features, n_clusters) and (n_clusters,)
        The centres times -2, and their squared norms.
    centers, starts, mask
        The centres in codes, see `coded_tile`.
    unit : float32
        Twice what a unit of the integers stands for: they are half scores.
    off : int
        What they can be off by.
    reach, ulps : float32
        The largest norm of a centre squared, and the roundings of a square over its size.
    label : int32 of (n_samples,)
    margin : float32 of (n_samples,)
        The bounds, -inf where there are none.
    limit : float32 of (n_clusters,)
        How far centres have moved towards a change of rows with this label.
    weight : float64 of (n_samples,), or empty for ones
    whole : bool
        Add all rows to the sums, not just changes.
    sums : float64 of (n_clusters, stride)
        Receives sums of rows; the stride is a multiple of 16.
    weights, counts : float64 of (n_clusters,)
        Receive sums of weights, where there are any, and the numbers of rows of any weight.
    """
    n, redone = len(label), 0
    places, found = np.empty(BLOCK + ROWS, np.int64), 0
    # one by one: rows of one array would be strided ones to the compiler
    best, second = np.empty(BLOCK + ROWS, np.int32), np.empty(BLOCK + ROWS, np.int32)
    square, lead = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    unsure, special = np.empty(BLOCK, np.bool_), np.empty(BLOCK + 1, np.int64)
    scores, block = np.empty(len(norms)), np.zeros((1, sums.shape[1]), np.float32)
    double = np.zeros((1 if rows.itemsize == 8 else 0, sums.shape[1]))
    for first in range(0, n, BLOCK):
        stop = min(first + BLOCK, n)
        found = _list(first, stop, label, margin, limit, squares, places, square)
        for at in range(0, found, ROWS):
            coded_tile(codes, places, at, centers, starts, mask, best, second)
        _lead(best, second, square, mask, unit, off, reach, ulps, found, lead)
        _doubt(best, second, mask, 2 * off + ~mask + 1, found, unsure)
        found = _keep(places, best, ~mask, lead[:found], unsure, limit, label, margin, special)
        redone += _settle(
            rows, shift, exact, norms, special[:found], places, best, ~mask, unsure, square,
            reach, ulps, limit, label, margin, whole, scores, block, double, sums, counts,
        )  # fmt: skip
        if whole:
            _add(rows, first, stop, shift, block, double, label, weight, sums, weights, counts)
    return redone


@inner
def _list(first, stop, label, margin, limit, squares, places, square):
    """List the rows whose label may be another one, with their squared norms."""
    found = 0
    for i in range(first, stop):
        places[found], square[found] = i, squares[i]
        found += not margin[i] > limit[np.uint32(label[i])]
    if found:
        places[found : found + ROWS] = places[0]
    return found


@inner
def _lead(best, second, square, mask, unit, off, reach, ulps, n, lead):
    """How much nearer the nearest centre is than the next one, at least."""
    zero, under, over = np.float32(0), np.float32(off), np.float32(off + ~mask + 1)
    for q in range(n):
        error = ulps * (square[q] + reach)
        near = square[q] + unit * (np.float32(best[q] & mask) + over) + error
        far = square[q] + unit * (np.float32(second[q] & mask) - under) - error
        near, far = np.sqrt(near if near > zero else zero), np.sqrt(far if far > zero else zero)
        lead[q] = (far - near) - np.float32(1e-6) * (far + near)


@inner
def _doubt(best, second, mask, most, n, unsure):
    """Whether the two least scores lie so near each other that either may be the less."""
    for q in range(n):
        unsure[q] = (second[q] & mask) - (best[q] & mask) <= most


@inner
def _keep(places, best, bits, lead, unsure, limit, label, margin, special):
    """Keep the bounds found, and list the rows that are uncertain or have another label."""
    found = 0
    for q in range(len(lead)):
        # without signs, an index is not tried for one that counts from the end
        i, new = np.uint64(places[q]), np.uint32(best[q] & bits)
        margin[i] = lead[q] + limit[new] * np.float32(1.0 - 1e-6)
        special[found] = q
        found += unsure[q] | (new != np.uint32(label[i]))
    return found


@inner
def _settle(
    rows, shift, exact, norms, special, places, best, bits, unsure, square, reach, ulps,
    limit, label, margin, whole, scores, block, double, sums, counts,
):  # fmt: skip
    """Label the rows listed, in float64 where that is needed, and move them between the sums."""
    redone = 0
    for q in special:
        fetch_row(rows, places[q])
    for q in special:
        i, new = places[q], best[q] & bits
        if unsure[q]:
            redone += 1
            new, ahead = _nearest(rows[i], shift, exact, norms, scores, square[q], reach, ulps)
            margin[i] = ahead + limit[new] * np.float32(1.0 - 1e-6)
        old, label[i] = label[i], new
        if not whole and new != old:
            _move(rows, i, shift, block, double, sums, new, old)
            counts[new] += 1.0
            counts[old] -= 1.0
    return redone


@inner
def _nearest(row, shift, exact, norms, scores, square, reach, ulps):
    """The nearest centre in float64, the first one of equal ones; how much nearer than the next."""
    p, k = exact.shape
    whole = p - p % 4
    for c in range(k):
        scores[c] = norms[c]
    for j in range(0, whole, 4):
        x, y = np.float64(row[j] - shift[j]), np.float64(row[j + 1] - shift[j + 1])
        z, w = np.float64(row[j + 2] - shift[j + 2]), np.float64(row[j + 3] - shift[j + 3])
        for c in range(k):
            total = scores[c] + exact[j, c] * x
            total = total + exact[j + 1, c] * y
            total = total + exact[j + 2, c] * z
            scores[c] = total + exact[j + 3, c] * w
    for j in range(whole, p):
        x = np.float64(row[j] - shift[j])
        for c in range(k):
            scores[c] += exact[j, c] * x
    least, label = _least(scores), 0
    while scores[label] != least:
        label += 1
    scores[label] = np.inf
    error = ulps * (square + reach)
    near, far = max(square + least + error, 0.0), max(square + _least(scores) - error, 0.0)
    near, far = np.sqrt(near), np.sqrt(far)
    return label, np.float32((far - near) - 1e-6 * (far + near))


@loose
def _least(scores):
    least = np.inf
    for c in range(len(scores)):
        least = scores[c] if scores[c] < least else least
    return least


@inner
def _move(rows, i, shift, block, double, sums, new, old):
    """Move one row from the sum of its old label to that of its new one."""
    copy_row(rows[i : i + 1], 0, shift, block, double)
    if rows.itemsize == 8:
        add_row(double, 0, 1.0, sums, new)
        add_row(double, 0, -1.0, sums, old)
    else:
        add_row(block, 0, 1.0, sums, new)
        add_row(block, 0, -1.0, sums, old)


@inner
def _add(rows, first, stop, shift, block, double, label, weight, sums, weights, counts):
    """Add rows to the sums of their labels."""
    for i in range(first, stop):
        times = weight[i] if len(weight) else 1.0
        copy_row(rows[i : i + 1], 0, shift, block, double)
        if rows.itemsize == 8:
            add_row(double, 0, times, sums, label[i])
        else:
            add_row(block, 0, times, sums, label[i])
        counts[label[i]] += times != 0.0
        if len(weight):
            weights[label[i]] += times
