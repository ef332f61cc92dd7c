"""Sequential minimal optimisation, step for step as libsvm does it.

The source is ``Solver`` and ``Solver_NU`` in ``sklearn/svm/src/libsvm/svm.cpp`` of scikit-learn 1.9.1,
the method that of Fan, Chen and Lin, "Working set selection using second order information" (JMLR 6,
2005). Every number is worked out by the same operations in the same order, and ties go the same way, so
that the iterates are the same ones. What differs is where kernel values come from, and that loops have
no branches.

Conventions
-----------
The gradient of the dual is kept as ``F = y * G``. A variable is *up* if ``y * alpha`` may grow and
*low* if it may fall. The pair that violates optimality most is the least F among those up and the largest
among those low. `flags` says which a variable is: bits `UP` and `LOW` (for ``y = -1`` in nu-machines,
where only variables of one class are paired, `UP_2` and `LOW_2`) and `BOUND`, at its upper bound.

Variables are swapped as libsvm swaps them, the active ones first; `order` says which is where, and
`at` where each one's data stand in the kernel rows.
"""

# Kernels are not Python: Numba gives them their types.
# pyright: reportUnknownParameterType=false, reportMissingParameterType=false
# pyright: reportCallIssue=false

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from millrace.solvers.resident.kernels.bits import as_bits, rank, unrank

UP, LOW, BOUND, UP_2, LOW_2 = 1, 2, 4, 8, 16

ACTIVE, STEPS, COUNTDOWN, LOGGED, WANTED, CLOCK, PHASE, UNSHRUNK = range(8)
"""What stands where in `counters`."""

STEP, SELECT, RECHECK = range(3)
"""Phases: before an iteration, before its choice, and before the last check of all variables."""

OPTIMAL, DONE, TIMED_OUT, SHRINK, MISSING, LOG_FULL = range(6)
"""Why `advance` stopped."""

_HIGHEST = np.int64(2**63 - 1)
_TAU = 1e-12
_BLOCK = 256

jit: Any = njit(nogil=True, cache=True, error_model="numpy")


@jit
def _least(F, flags, mask):
    """The rank of the least F among the flagged."""
    low = _HIGHEST
    for t in range(F.shape[0]):
        key = rank(F[t])
        key = key if flags[t] & mask else _HIGHEST
        low = min(low, key)
    return low


@jit
def _last_least(F, flags, active, mask):
    """Position of the least F among the flagged, the last one of equals; -1 if there is none."""
    least, where = _HIGHEST, -1
    for first in range(0, active, _BLOCK):
        stop = min(first + _BLOCK, active)
        low = _least(F[first:stop], flags[first:stop], mask)
        if low <= least and low < _HIGHEST:
            least, where = low, first
    if where >= 0:
        for t in range(min(where + _BLOCK, active) - 1, where - 1, -1):
            if flags[t] & mask and rank(F[t]) == least:
                return t
    return -1


@jit
def _gains(F, flags, QD, row, own, top, mask, gains):
    """The rank of what each variable gains (-1 where it is none), of the most, and of the largest F."""
    most, largest = np.int64(-1), -_HIGHEST
    for t in range(F.shape[0]):
        f = F[t]
        away = top + f
        curve = own + QD[t] - 2.0 * np.float64(row[t])
        curve = curve if curve > 0 else _TAU
        gain = as_bits((away * away) / curve)
        gain = gain if away > 0 else np.int64(-1)
        gain = gain if flags[t] & mask else np.int64(-1)
        key = rank(f)
        key = key if flags[t] & mask else -_HIGHEST
        gains[t] = gain
        most = max(most, gain)
        largest = max(largest, key)
    return most, largest


@jit
def _best_partner(F, flags, QD, row, own, top, active, mask, gains):
    """The variable that lowers the objective most together with one whose ``-F`` is `top`.

    Returns its position (the last one of equals, -1 if there is none), the rank of its gain, and the
    largest F among the flagged.
    """
    best, where, largest = np.int64(-1), -1, -_HIGHEST
    for first in range(0, active, _BLOCK):
        stop = min(first + _BLOCK, active)
        most, high = _gains(
            F[first:stop], flags[first:stop], QD[first:stop], row[first:stop], own, top, mask, gains
        )
        largest = max(largest, high)
        if most >= best and most >= 0:
            best = most
            for t in range(stop - 1, first - 1, -1):
                if gains[t - first] == most:
                    where = t
                    break
    return where, best, unrank(largest) if largest > -_HIGHEST else -np.inf


@jit
def _new_pair(alpha_i, alpha_j, G_i, G_j, C_i, C_j, same, curve):
    """The two variables after a step along their constraint, and back into their box."""
    if not same:
        delta = (-G_i - G_j) / curve
        diff = alpha_i - alpha_j
        alpha_i += delta
        alpha_j += delta
        if diff > 0:
            if alpha_j < 0:
                alpha_j, alpha_i = 0.0, diff
        elif alpha_i < 0:
            alpha_i, alpha_j = 0.0, -diff
        if diff > C_i - C_j:
            if alpha_i > C_i:
                alpha_i, alpha_j = C_i, C_i - diff
        elif alpha_j > C_j:
            alpha_j, alpha_i = C_j, C_j + diff
        return alpha_i, alpha_j
    delta = (G_i - G_j) / curve
    total = alpha_i + alpha_j
    alpha_i -= delta
    alpha_j += delta
    if total > C_i:
        if alpha_i > C_i:
            alpha_i, alpha_j = C_i, total - C_i
    elif alpha_j < 0:
        alpha_j, alpha_i = 0.0, total
    if total > C_j:
        if alpha_j > C_j:
            alpha_j, alpha_i = C_j, total - C_j
    elif alpha_i < 0:
        alpha_i, alpha_j = 0.0, total
    return alpha_i, alpha_j


@jit
def flag(alpha, C, y, paired):
    """The flags of a variable."""
    bound, zero = alpha >= C, alpha < C and alpha <= 0
    up = not bound if y > 0 else not zero
    low = not zero if y > 0 else not bound
    bits = BOUND if bound else 0
    if paired and y < 0:
        return bits | (UP_2 if up else 0) | (LOW_2 if low else 0)
    return bits | (UP if up else 0) | (LOW if low else 0)


@jit
def flag_all(alpha, C, y, paired, flags):
    """The flags of all variables."""
    for t in range(alpha.shape[0]):
        flags[t] = flag(alpha[t], C[t], y[t], paired)


@jit
def _row(t, at, active, slot_of, stamps, counters, rows, direct, room):
    """The kernel row of a variable for all active ones; empty if it is not there."""
    slot = slot_of[at[t]]
    if slot < 0:
        counters[WANTED] = t
        return rows[0, :0]
    counters[CLOCK] += 1
    stamps[slot] = counters[CLOCK]
    if direct:
        return rows[slot, :active]
    row = rows[slot]
    for k in range(active):
        room[k] = row[at[k]]
    return room[:active]


@jit
def _choose(F, flags, QD, at, counters, slot_of, stamps, rows, direct, room, gains, tol, paired):
    """The next pair: its positions, ``(-1, -1)`` if optimal, ``(-2, -2)`` if a row is missing."""
    active = counters[ACTIVE]
    i, j, best, gap = -1, -1, np.int64(-1), -np.inf
    for group in range(2 if paired else 1):
        up, low = (UP, LOW) if group == 0 else (UP_2, LOW_2)
        first = _last_least(F, flags, active, up)
        if first < 0:
            continue
        row = _row(first, at, active, slot_of, stamps, counters, rows, direct, room)
        if row.shape[0] == 0:
            return -2, -2
        top = -F[first]
        partner, gain, largest = _best_partner(
            F, flags, QD, row, QD[first], top, active, low, gains
        )
        gap = max(gap, top + largest)
        if partner >= 0 and (gain > best or (gain == best and partner > j)):
            i, j, best = first, partner, gain
    if gap < tol or j < 0:
        return -1, -1
    return i, j


@jit
def _bound_changed(
    t, sign, C, y, order, at, counters, slot_of, rows, log_index, log_times, bounded, whole
):  # fmt: skip
    """Add what a variable at its upper bound gives to the gradient, or note it where rows are narrow."""
    times = sign * y[t] * C[t]
    if whole:
        row = rows[slot_of[at[t]]]
        for k in range(bounded.shape[0]):
            bounded[k] += times * np.float64(row[k])
        return
    logged = counters[LOGGED]
    log_index[logged] = order[t] % bounded.shape[0]
    log_times[logged] = times
    counters[LOGGED] = logged + 1


@jit
def advance(
    F, alpha, C, QD, y, flags, order, at, counters, slot_of, stamps, rows, log_index, log_times,
    bounded, rooms, gains, direct, whole, tol, paired, shrinking, max_iter,
):  # fmt: skip
    """Iterate until something else is needed; returns what.

    Parameters
    ----------
    F, alpha, C, QD, y : float64 (n_variables,)
        The gradient times y, the variables, their upper bounds, the kernel's diagonal, 1 or -1.
    flags : uint8 (n_variables,)
    order, at : int64 (n_variables,)
        Which variable is where; where the data of each stand in the kernel rows.
    counters : int64 (8,)
    slot_of : int64 (n_columns,), stamps : int64 (n_slots,), rows : float32 (n_slots, n_columns)
        The kernel rows that there are: which row is in which slot (-1: in none), when it was last used.
    log_index, log_times : int64 and float64 (n_log,)
        Variables that came to their upper bound or left it, and are still to be added to `bounded`.
    bounded : float64 (n_data,)
        The gradient of those at their upper bound, times y, by data.
    rooms : float32 (2, n_variables), gains : int64 (256,)
        Room.
    direct : bool
        Whether kernel rows stand in the order of the variables.
    whole : bool
        Whether they have all data, in their order.
    tol, paired, shrinking, max_iter
        `paired` for nu-machines.
    """
    while True:
        if counters[PHASE] == STEP:
            if max_iter != -1 and counters[STEPS] >= max_iter:
                return TIMED_OUT
            if counters[LOGGED] + 2 > log_index.shape[0]:
                return LOG_FULL
            counters[PHASE] = SELECT
            counters[COUNTDOWN] -= 1
            if counters[COUNTDOWN] == 0:
                counters[COUNTDOWN] = min(F.shape[0], 1000)
                return SHRINK  # also without shrinking: Python looks for an interrupt
        i, j = _choose(
            F, flags, QD, at, counters, slot_of, stamps, rows, direct, rooms[0], gains, tol, paired
        )
        if i == -2:
            return MISSING
        if i == -1:
            return DONE if counters[PHASE] == RECHECK else OPTIMAL
        active = counters[ACTIVE]
        if direct or paired:
            row_i = _row(i, at, active, slot_of, stamps, counters, rows, direct, rooms[0])
        else:
            row_i = rooms[0, :active]  # `_choose` left it there
        row_j = _row(j, at, active, slot_of, stamps, counters, rows, direct, rooms[1])
        if row_i.shape[0] == 0 or row_j.shape[0] == 0:
            return MISSING
        if counters[PHASE] == RECHECK:
            counters[COUNTDOWN] = 1
        counters[STEPS] += 1
        counters[PHASE] = STEP
        was_i, was_j = flags[i] & BOUND, flags[j] & BOUND
        _step(F, alpha, C, QD, y, flags, active, paired, i, j, row_i, row_j)
        for t, was in ((i, was_i), (j, was_j)):
            if shrinking and (flags[t] & BOUND) != was:
                _bound_changed(
                    t, -1.0 if was else 1.0, C, y, order, at, counters, slot_of, rows, log_index,
                    log_times, bounded, whole,
                )  # fmt: skip


@jit
def _step(F, alpha, C, QD, y, flags, active, paired, i, j, row_i, row_j):
    """Move a pair of variables, and the gradient with them."""
    same = y[i] == y[j]
    curve = QD[i] + QD[j] - 2.0 * np.float64(row_i[j])
    curve = curve if curve > 0 else _TAU
    new_i, new_j = _new_pair(alpha[i], alpha[j], y[i] * F[i], y[j] * F[j], C[i], C[j], same, curve)
    by_i, by_j = y[i] * (new_i - alpha[i]), y[j] * (new_j - alpha[j])
    alpha[i], alpha[j] = new_i, new_j
    for k in range(active):
        F[k] += np.float64(row_i[k]) * by_i + np.float64(row_j[k]) * by_j
    flags[i] = flag(alpha[i], C[i], y[i], paired)
    flags[j] = flag(alpha[j], C[j], y[j], paired)


@jit
def extremes(F, flags, active, out):
    """The largest ``-F`` of those up and F of those low, of both groups: (up, low, up 2, low 2)."""
    out[:] = -np.inf
    for t in range(active):
        if flags[t] & UP:
            out[0] = max(out[0], -F[t])
        if flags[t] & LOW:
            out[1] = max(out[1], F[t])
        if flags[t] & UP_2:
            out[2] = max(out[2], -F[t])
        if flags[t] & LOW_2:
            out[3] = max(out[3], F[t])


@jit
def _is_done(t, F, flags, most):
    """Whether a variable at a bound is so far from being chosen that it is left out."""
    bits = flags[t]
    if bits & UP:
        return not bits & LOW and F[t] > most[1]
    if bits & LOW:
        return -F[t] > most[0]
    if bits & UP_2:
        return not bits & LOW_2 and F[t] > most[3]
    return -F[t] > most[2]


@jit
def shrink(F, alpha, C, QD, y, flags, order, at, active, most):
    """Swap the variables that are left out behind the others; returns how many stay active.

    `most` are the `extremes`.
    """
    t = 0
    while t < active:
        if _is_done(t, F, flags, most):
            active -= 1
            while active > t:
                if not _is_done(active, F, flags, most):
                    for array in (F, alpha, C, QD, y):
                        array[t], array[active] = array[active], array[t]
                    flags[t], flags[active] = flags[active], flags[t]
                    order[t], order[active] = order[active], order[t]
                    at[t], at[active] = at[active], at[t]
                    break
                active -= 1
        t += 1
    return active


@jit
def offset(F, alpha, C, y, active, paired, group):
    """The mean of F over the free variables (of a group, if `paired`), else the middle of its bounds."""
    n_free, total, upper, lower = 0, 0.0, np.inf, -np.inf
    for t in range(active):
        if paired and (y[t] < 0) != (group == 1):
            continue
        f = y[t] * F[t] if paired else F[t]
        bound, zero = alpha[t] >= C[t], alpha[t] < C[t] and alpha[t] <= 0
        if not bound and not zero:
            n_free += 1
            total += f
        elif bound == (y[t] > 0 or paired):
            lower = max(lower, f)
        else:
            upper = min(upper, f)
    return total / n_free if n_free > 0 else (upper + lower) / 2


@jit
def _any_below(F, sign, limit):
    count = 0
    for t in range(F.shape[0]):
        count += sign * F[t] < limit
    return count > 0


@jit
def _worst_without(F, flags, at, slot_of, active, wanted, sign, mask, place):
    """The flagged variables of least ``sign * F`` whose kernel row is not there: where their data are."""
    n = place.shape[0]
    worst, limit = np.full(n, np.inf), np.inf
    place[:] = -1
    for first in range(0, active, _BLOCK):
        stop = min(first + _BLOCK, active)
        if not _any_below(F[first:stop], sign, limit):
            continue
        for t in range(first, stop):
            f = sign * F[t]
            if f < limit and flags[t] & mask and slot_of[at[t]] < 0 and t != wanted:
                k = n - 1
                while k > 0 and f < worst[k - 1]:
                    worst[k], place[k] = worst[k - 1], place[k - 1]
                    k -= 1
                worst[k], place[k] = f, at[t]
                limit = worst[n - 1]


@jit
def candidates(F, flags, at, slot_of, active, wanted, out):
    """Rows to work out beside a wanted one: the data of those that violate most and have none.

    `out` receives places in the kernel rows, the wanted one first; returns how many.
    """
    out[0] = at[wanted]
    count, n = 1, out.shape[0]
    for side in range(2):
        place = np.empty((n - count) // (2 - side), np.int64)
        if place.shape[0] == 0:
            continue
        if side == 0:
            _worst_without(F, flags, at, slot_of, active, wanted, 1.0, UP | UP_2, place)
        else:
            _worst_without(F, flags, at, slot_of, active, wanted, -1.0, LOW | LOW_2, place)
        for k in range(place.shape[0]):
            new = place[k] >= 0
            for q in range(count):
                new = new and out[q] != place[k]
            if new:
                out[count] = place[k]
                count += 1
    return count
