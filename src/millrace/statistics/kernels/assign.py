"""The centre nearest to every row: all centres, or those that bounds from before leave over.

The labels are those of scores ``|c|^2 - 2 x c`` in float64, and the first of equal ones. They are found
in float32: a score is then off by ``ulps (|x| + |c|)^2`` at most, and where the two least ones are not
farther apart than twice that, the row is done again in float64.

Bounds are Yinyang's (Ding et al., 2015): of each row and each group of 16 centres, the least distance
that any centre of the group can have, but for the row's own. It is kept with the sum of the group's moves
up to then added, so that moves cost nothing until it is looked at. A group is left out where its bound is
above the distance from the own centre: with bounds or without, the labels are the same.
"""

# Kernels are not Python: Numba gives them their types.
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from millrace.statistics.kernels.score_tile import (
    LANES,
    ROWS,
    add_row,
    copy_row,
    fetch_row,
    score_tile,
    squares,
)

_njit: Any = njit
_how: dict[str, Any] = {"fastmath": {"contract"}, "error_model": "numpy"}  # a * b + c in one step

fused: Any = _njit(nogil=True, cache=True, **_how)

inner: Any = _njit(
    nogil=True, cache=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, _nrt=False, **_how
)
"""Compiles what only `assign` calls: without a wrapper for Python and without counting references."""

BLOCK_BYTES = 1 << 14
"""Rows of a block, as float32: they stay in the first-level cache beside the centres."""

MOSTLY = 0.6
"""Share of the groups from which on all are looked at: leaving out some would cost more."""

UNBOUNDED, FRESH, BOUNDED = range(3)
"""What `lower` holds: there is none; nothing yet; bounds."""

_LARGEST = 1e37
"""Squares above it might overflow float32."""


@fused
def assign(
    rows, shift, exact, norms, groups, group_norms, plain, names, places, ulps,
    label, lower, moved, mode, weight, sums, weights,
):  # fmt: skip
    """Label every row less the shift, and add it to the sums of its label.

    Parameters
    ----------
    rows : float of (n_samples, n_features)
        C-contiguous.
    shift : float of (n_features,)
    exact : float64 of (n_features, n_clusters)
        The centres times -2.
    norms : float64 of (n_clusters,)
        Their squared norms.
    groups, group_norms : float32 of (n_groups, width, 16) and (n_groups, 16)
        The same in groups, see `score_tile`.
    plain : float32 of (n_clusters, stride)
        The centres, filled up with zeros.
    names : int32 of (16 * n_groups,)
        The centre in each lane.
    places : int32 of (n_clusters,)
        The lane of each centre.
    ulps : float
        The error of a score over ``(|x| + |c|)^2``.
    label : int32 of (n_samples,)
        Receives the centres; with bounds, holds those that they are for.
    lower : float32 of (n_groups, n_samples)
        Bounds, brought up to date; not looked at where there are none.
    moved : float32 of (n_groups,)
        How far the centres of each group have moved since the bounds began, at most.
    mode : int
        `UNBOUNDED`, `FRESH` or `BOUNDED`.
    weight : float64 of (n_samples,), or empty for ones
    sums, weights : float64 of (n_clusters, stride) and (n_clusters,)
        Receive the sums; no sums where `weights` is empty.
    """
    n, stride, n_groups = rows.shape[0], plain.shape[1], groups.shape[0]
    size = max(ROWS, min(256, BLOCK_BYTES // (4 * stride) // ROWS * ROWS))
    block = np.zeros((size, stride), np.float32)
    double = np.zeros((size if rows.itemsize == 8 else 0, stride))
    # one by one: rows of one array would be strided ones to the compiler
    own, square = np.empty(size, np.float32), np.empty(size, np.float32)
    error, least = np.empty(size, np.float32), np.empty(size, np.float32)
    rival, after = np.empty(size, np.float32), np.empty(size, np.float32)
    best, second = np.empty(size + ROWS, np.float32), np.empty(size + ROWS, np.float32)
    where = np.empty(size, np.int32)
    listed = np.empty((n_groups, size + ROWS), np.int64)
    count = np.empty(n_groups, np.int64)
    everything, scores = np.arange(size), np.empty(len(norms))
    reach = np.float32(np.sqrt(np.max(norms)))
    for first in range(0, n, size):
        part = rows[first : first + size]
        here = label[first : first + size]
        _fill(part, shift, block, double)
        ahead = rows[first + size : first + 2 * size]
        _measure(block, here, plain, mode == BOUNDED, np.float32(ulps), reach, own, square, error)
        if mode == BOUNDED:
            looked = _list(
                first, lower, moved, own, square, least, reach, np.float32(ulps), listed, count
            )
            if first == 0 and looked > MOSTLY * len(part) * n_groups:
                mode = FRESH
        if mode == BOUNDED:
            _fetch(ahead, 0, 2)
            _some(
                block, groups, group_norms, names, listed, count, here, first, lower, moved,
                square, error, best, second, least, rival, after, where,
            )  # fmt: skip
            _fetch(ahead, 1, 2)
            _move(
                part, shift, exact, norms, names, places, here, first, lower, moved,
                own, square, error, least, rival, after, where, scores,
            )  # fmt: skip
        else:
            _all(
                block, ahead, groups, group_norms, everything, first, lower, moved,
                mode == FRESH, len(part), square, error, best, second, least, rival, after, where,
            )  # fmt: skip
            _settle(
                part, shift, exact, norms, names, here, first, lower, moved, mode == FRESH,
                square, error, least, rival, after, where, scores,
            )  # fmt: skip
        if len(weights):
            _add_either(block, double, here, weight[first : first + size], sums, weights)


@inner
def _fill(rows, shift, block, double):
    """The rows less the shift, as float32, and as float64 where they are."""
    for i in range(len(rows)):
        copy_row(rows, i, shift, block, double)


@inner
def _fetch(ahead, first, step):
    for i in range(first, len(ahead), step):
        fetch_row(ahead, i)


@inner
def _measure(block, label, plain, labelled, ulps, reach, own, square, error):
    """Squared distances from the own centres, squared norms, and what scores may be off by."""
    n = len(label)
    for i in range(n):
        own[i], square[i] = squares(block, i, plain, label[i] if labelled else 0)
    for i in range(n):
        size = np.sqrt(square[i]) + reach
        error[i] = ulps * (size * size)


@inner
def _list(first, lower, moved, own, square, upper, reach, ulps, listed, count):
    """List the rows for which each group is to be looked at; how many pairs these are."""
    n, n_groups = min(len(own), lower.shape[1] - first), len(count)
    for i in range(n):
        upper[i] = np.sqrt(own[i]) + ulps * (np.sqrt(square[i]) + reach)
    looked = 0
    for g in range(n_groups):
        found = 0
        rows, bounds, by = listed[g], lower[g, first : first + n], moved[g]
        slack = by * np.float32(1e-6)
        for i in range(n):
            rows[found] = i
            found += not bounds[i] - by > upper[i] + slack
        count[g] = found
        looked += found
    return looked


@inner
def _bound(square, score, error):
    """The least distance that a score can stand for."""
    return np.sqrt(max(square + score - error, np.float32(0.0)))


@inner
def _some(
    block, groups, group_norms, names, listed, count, label, first, lower, moved,
    square, error, best, second, least, rival, after, where,
):  # fmt: skip
    """Look at the groups listed: the least two scores of each row but for its own centre's."""
    for i in range(len(label)):
        least[i], rival[i], where[i] = np.inf, np.inf, -1
    bits = best.view(np.int32)
    for g in range(len(count)):
        n, rows, by = count[g], listed[g], moved[g]
        bounds = lower[g, first : first + len(label)]
        rows[n : n + ROWS] = rows[0] if n else 0
        for at in range(0, n, ROWS):
            score_tile(block, rows, at, groups, group_norms, g, best, second)
        for q in range(n):
            i = rows[q]
            mine = names[LANES * g + (bits[q] & (LANES - 1))] == label[i]
            score = second[q] if mine else best[q]
            following = np.float32(np.inf) if mine else second[q]
            bounds[i] = _bound(square[i], score, error[i]) + by
            closer = score < least[i]
            beaten = min(least[i], following) if closer else score
            rival[i] = min(rival[i], beaten)
            least[i] = score if closer else least[i]
            after[i] = following if closer else after[i]
            where[i] = g if closer else max(where[i], 0)


@inner
def _move(
    rows, shift, exact, norms, names, places, label, first, lower, moved,
    own, square, error, least, rival, after, where, scores,
):  # fmt: skip
    """Rows that are nearer to another centre get its label."""
    bits = least.view(np.int32)
    for i in range(len(label)):
        if where[i] < 0:
            continue
        unsure = 2 * error[i]
        nearer = least[i] - (own[i] - square[i])
        if nearer > unsure and unsure < _LARGEST:
            continue
        if -nearer > unsure and rival[i] - least[i] > unsure and unsure < _LARGEST:
            old, new = places[label[i]] // LANES, where[i]
            label[i] = names[LANES * new + (bits[i] & (LANES - 1))]
            lower[new, first + i] = _bound(square[i], after[i], error[i]) + moved[new]
            kept = _bound(own[i], np.float32(0.0), error[i]) + moved[old]
            lower[old, first + i] = min(lower[old, first + i], kept)
        else:
            label[i] = _nearest_of(rows[i], shift, exact, norms, scores)
            lower[:, first + i] = -np.inf


@inner
def _all(
    block, ahead, groups, group_norms, everything, first, lower, moved, keep, n,
    square, error, best, second, least, rival, after, where,
):  # fmt: skip
    """Look at all groups, for all rows; `keep` their bounds."""
    for i in range(n):
        least[i], rival[i], where[i] = np.inf, np.inf, 0
    for g in range(len(groups)):
        for at in range(0, n, ROWS):
            score_tile(block, everything, at, groups, group_norms, g, best, second)
            for i in range(at + g, min(at + ROWS, len(ahead)), len(groups)):
                fetch_row(ahead, i)
        _keep_group(best, second, n, np.int32(g), least, after, where)
        _keep_least(best, second, n, least, rival)
        if keep:
            _keep_bounds(lower[g, first : first + n], best, square, error, moved[g])


@inner
def _keep_bounds(bounds, best, square, error, by):
    zero = np.float32(0.0)
    for i in range(len(bounds)):
        away = square[i] + best[i] - error[i]
        bounds[i] = np.sqrt(away if away > zero else zero) + by


@inner
def _keep_group(best, second, n, group, least, after, where):
    """The group of the least score so far, and the score that follows in it."""
    for i in range(n):
        closer = best[i] < least[i]
        after[i] = second[i] if closer else after[i]
        where[i] = group if closer else where[i]


@inner
def _keep_least(best, second, n, least, rival):
    """The least two scores of all groups so far."""
    for i in range(n):
        score, following, old, other = best[i], second[i], least[i], rival[i]
        closer = score < old
        beaten = old if closer else score
        other = beaten if beaten < other else other
        rival[i] = following if following < other else other
        least[i] = score if closer else old


@inner
def _settle(
    rows, shift, exact, norms, names, label, first, lower, moved, keep,
    square, error, least, rival, after, where, scores,
):  # fmt: skip
    """The labels that `_all` has found; in float64 where they are not certain."""
    bits = least.view(np.int32)
    for i in range(len(label)):
        unsure = 2 * error[i]
        if rival[i] - least[i] > unsure and unsure < _LARGEST:
            g = where[i]
            label[i] = names[LANES * g + (bits[i] & (LANES - 1))]
            if keep:
                lower[g, first + i] = _bound(square[i], after[i], error[i]) + moved[g]
        else:
            label[i] = _nearest_of(rows[i], shift, exact, norms, scores)
            if keep:
                lower[:, first + i] = -np.inf


@inner
def _nearest_of(row, shift, exact, norms, scores):
    """The nearest centre in float64; the first one where some are equal."""
    for c in range(len(norms)):
        scores[c] = norms[c]
    for j in range(exact.shape[0]):
        value = np.float64(row[j] - shift[j])
        for c in range(exact.shape[1]):
            scores[c] += exact[j, c] * value
    least, label = np.inf, 0
    for c in range(len(scores)):
        if scores[c] < least:
            least, label = scores[c], c
    return label


@inner
def _add_either(block, double, label, weight, sums, weights):
    """Add the rows of a block as float64, where they are."""
    if len(double):
        _add(double, label, weight, sums, weights)
    else:
        _add(block, label, weight, sums, weights)


@inner
def _add(block, label, weight, sums, weights):
    """Add the rows of a block to the sums of their labels."""
    for i in range(len(label)):
        times = weight[i] if len(weight) else 1.0
        add_row(block, i, times, sums, label[i])
        weights[label[i]] += times
