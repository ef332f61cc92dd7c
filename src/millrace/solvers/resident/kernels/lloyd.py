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

_njit: Any = njit
_how: dict[str, Any] = {"nogil": True, "cache": True, "error_model": "numpy"}

fused: Any = _njit(fastmath={"contract"}, **_how)

inner: Any = _njit(fastmath={"contract"}, no_cpython_wrapper=True, no_cfunc_wrapper=True, **_how)

summed: Any = _njit(
    fastmath={"contract", "reassoc"}, no_cpython_wrapper=True, no_cfunc_wrapper=True, **_how
)
"""Sums in any order: for bounds alone."""

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


@summed
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
    sums, weights, counts : float64 of (n_clusters, n_features), (n_clusters,) and (n_clusters,)
        Receive sums of rows, of weights, and the numbers of rows of any weight.
    """
    n, redone = len(label), 0
    places = np.empty(BLOCK + ROWS, np.int64)
    best, second = np.empty((2, BLOCK + ROWS), np.int32)
    lead, slack = np.empty((2, BLOCK), np.float32)
    unsure, scores = np.empty(BLOCK, np.bool_), np.empty(len(norms))
    over = np.float32(off + ~mask + 1)
    for first in range(0, n, BLOCK):
        stop = min(first + BLOCK, n)
        found = _list(first, stop, label, margin, limit, places)
        for at in range(0, found, ROWS):
            coded_tile(codes, places, at, centers, starts, mask, best, second)
        _bound(
            squares, places[:found], best, second, mask, unit, off, over, reach, ulps,
            lead, slack, unsure,
        )  # fmt: skip
        for q in range(found):
            i, new = places[q], best[q] & ~mask
            ahead = lead[q]
            if unsure[q]:
                redone += 1
                new, ahead = _nearest(
                    rows[i], shift, exact, norms, scores, squares[i], reach, ulps
                )
            margin[i] = (ahead + limit[new]) - np.float32(1e-6) * (slack[q] + limit[new])
            old, label[i] = label[i], new
            if not whole and new != old:
                _add(rows[i], shift, 1.0, sums[new])
                _add(rows[i], shift, -1.0, sums[old])
                counts[new] += 1.0
                counts[old] -= 1.0
        if whole:
            for i in range(first, stop):
                times = weight[i] if len(weight) else 1.0
                _add(rows[i], shift, times, sums[label[i]])
                weights[label[i]] += times
                counts[label[i]] += times != 0.0
    return redone


@inner
def _list(first, stop, label, margin, limit, places):
    """List the rows whose label may be another one."""
    found = 0
    for i in range(first, stop):
        places[found] = i
        found += not margin[i] > limit[label[i]]
    if found:
        places[found : found + ROWS] = places[0]
    return found


@inner
def _bound(
    squares, places, best, second, mask, unit, off, over, reach, ulps, lead, slack, unsure
):
    """How much nearer the nearest centre is than the next one, at least; whether that is certain."""
    zero, under = np.float32(0), np.float32(off)
    for q in range(len(places)):
        least, following = best[q] & mask, second[q] & mask
        square = squares[places[q]]
        error = ulps * (square + reach)
        near = square + unit * (np.float32(least) + over) + error
        far = square + unit * (np.float32(following) - under) - error
        near, far = np.sqrt(near if near > zero else zero), np.sqrt(far if far > zero else zero)
        lead[q], slack[q] = far - near, far + near
        unsure[q] = following - least <= over + under


@inner
def _nearest(row, shift, exact, norms, scores, square, reach, ulps):
    """The nearest centre in float64, the first one of equal ones; how much nearer than the next."""
    for c in range(len(norms)):
        scores[c] = norms[c]
    for j in range(exact.shape[0]):
        value = np.float64(row[j] - shift[j])
        for c in range(exact.shape[1]):
            scores[c] += exact[j, c] * value
    least, following, label = np.inf, np.inf, 0
    for c in range(len(scores)):
        following = min(following, max(least, scores[c]))
        if scores[c] < least:
            least, label = scores[c], c
    error = ulps * (square + reach)
    near, far = max(square + least + error, 0.0), max(square + following - error, 0.0)
    return label, np.float32(np.sqrt(far) - np.sqrt(near))


@inner
def _add(row, shift, weight, total):
    for j in range(len(row)):
        total[j] += weight * np.float64(row[j] - shift[j])
