"""Which of some centres is nearest to each dense row, and what is remembered of that for later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace.statistics.base import Batch

LANES = 16
"""Centres of a group; `kernels.score_tile` has its reason."""

_NO_CENTER = 1e38
"""Squared norm in a lane without a centre: farther than any, and still a number."""


@dataclass(frozen=True)
class Packed:
    """Centres in the forms that the kernels read; `kernels.assign.assign` says what they are."""

    exact: np.ndarray
    norms: np.ndarray
    groups: np.ndarray
    group_norms: np.ndarray
    plain: np.ndarray
    names: np.ndarray
    places: np.ndarray
    ulps: float

    @property
    def arguments(self) -> tuple[Any, ...]:
        """All of them, in the order of `assign`."""
        forms = (self.exact, self.norms, self.groups, self.group_norms, self.plain)
        return *forms, self.names, self.places, self.ulps


def packed(centers: np.ndarray, order: np.ndarray | None = None) -> Packed:
    """Pack centres of float64 (n_clusters, n_features), sixteen neighbours of `order` in a group."""
    k, p = centers.shape
    n_groups, width, stride = -(-k // LANES), -(-p // 4) * 4, -(-p // LANES) * LANES
    order = np.arange(k) if order is None else order
    norms = (centers * centers).sum(axis=1)
    names = np.full(n_groups * LANES, -1, np.int32)
    names[:k] = order
    places = np.empty(k, np.int32)
    places[order] = np.arange(k)
    group_norms = np.full(n_groups * LANES, _NO_CENTER, np.float32)
    lanes = np.zeros((n_groups * LANES, width), np.float32)
    plain = np.zeros((k, stride), np.float32)
    with np.errstate(over="ignore"):
        plain[:, :p] = centers
        lanes[:k, :p] = -2.0 * centers[order]
        group_norms[:k] = norms[order]
    groups = np.ascontiguousarray(lanes.reshape(n_groups, LANES, width).transpose(0, 2, 1))
    exact = np.ascontiguousarray(-2.0 * centers.T)
    # sums of p products, the roundings of their factors, and four bits for the number of a lane
    ulps = (p + 32) * 2.0**-23
    return Packed(exact, norms, groups, group_norms.reshape(-1, LANES), plain, names, places, ulps)


def neighbours(centers: np.ndarray) -> np.ndarray:
    """An order in which sixteen centres that follow each other lie near each other: (n_clusters,)."""

    def ordered(some: np.ndarray) -> list[np.ndarray]:
        if len(some) <= LANES:
            return [np.sort(some)]
        part = centers[some]
        along = part[:, int(np.argmax(part.var(axis=0)))]
        some = some[np.argsort(along, kind="stable")]
        half = -(-len(some) // LANES) // 2 * LANES
        return ordered(some[:half]) + ordered(some[half:])

    return np.concatenate(ordered(np.arange(len(centers))))


@dataclass
class _Seen:
    """What is remembered of one batch, for which centres, and how far they have moved meanwhile."""

    label: np.ndarray
    lower: np.ndarray
    centers: np.ndarray
    moved: np.ndarray


class Bounds:
    """Labels and bounds of rows from one step of k-means to the next, by the first row of their batch.

    They save work and change no answer: without them, or with those of a step before the last, the
    labels are the same. They are not pickled.
    """

    def __init__(self) -> None:
        self._seen: dict[int, _Seen] = {}
        self._order: np.ndarray | None = None
        self._packed: tuple[np.ndarray, Packed] | None = None
        self._drift: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    def __reduce__(self) -> tuple[type[Bounds], tuple[()]]:
        return Bounds, ()

    @staticmethod
    def nbytes(n_rows: int, n_clusters: int) -> int:
        """Bytes that they take."""
        return n_rows * 4 * (1 + -(-n_clusters // LANES))

    def packed(self, centers: np.ndarray) -> Packed:
        """The centres, packed in one order throughout."""
        last = self._packed
        if last is None or last[0] is not centers:
            if self._order is None:
                self._order = neighbours(centers)
            last = self._packed = centers, packed(centers, self._order)
        return last[1]

    def taken(self, batch: Batch, centers: np.ndarray) -> tuple[_Seen, bool]:
        """What is remembered of a batch, brought to these centres; and whether there was anything.

        It is gone then, until it is given to `keep`: work that is broken off leaves nothing behind.
        """
        found = self._seen.pop(batch.first, None)
        if found is None or len(found.label) != len(batch) or found.centers.shape != centers.shape:
            n_groups = -(-len(centers) // LANES)
            label, lower = np.zeros(len(batch), np.int32), np.empty((n_groups, len(batch)), "f4")
            return _Seen(label, lower, centers, np.zeros(n_groups)), False
        if found.centers is not centers:
            found.moved = found.moved + self._drifted(found.centers, centers)
            found.centers = centers
        return found, True

    def keep(self, batch: Batch, seen: _Seen) -> None:
        """Remember a batch."""
        self._seen[batch.first] = seen

    def _drifted(self, old: np.ndarray, new: np.ndarray) -> np.ndarray:
        """How far the centres of each group have moved at most."""
        last = self._drift
        if last is None or last[0] is not old or last[1] is not new:
            away = np.zeros(-(-len(new) // LANES) * LANES)
            away[: len(new)] = np.sqrt(((new - old) ** 2).sum(axis=1))[self._order]
            groups = away.reshape(-1, LANES).max(axis=1) * (1.0 + 1e-9)
            last = self._drift = old, new, groups
        return last[2]


def assign_rows(
    batch: Batch,
    shift: np.ndarray,
    centers: np.ndarray,
    bounds: Bounds | None,
    sums: np.ndarray,
    weights: np.ndarray,
) -> np.ndarray:
    """Label the dense rows of a batch, and add them to the sums of their labels.

    Parameters
    ----------
    batch : Batch
        Its matrix is float32 or float64 and finite.
    shift : numpy.ndarray
        Subtracted from the rows, of their dtype (n_features,).
    centers : numpy.ndarray of float64
        (n_clusters, n_features), less the shift.
    bounds : Bounds, optional
        Not used for rows that are numbered one by one: they may be others the next time.
    sums, weights : numpy.ndarray of float64
        Receive the sums (n_clusters, n_features) and (n_clusters,); nothing where `weights` is empty.

    Returns
    -------
    numpy.ndarray of int32
        The nearest centres by their distance in float64, of equal ones the first (n_samples,). Not to
        be written to.
    """
    from millrace.statistics.kernels.assign import BOUNDED, FRESH, UNBOUNDED, assign

    X = np.ascontiguousarray(batch.matrix)
    n, p = X.shape
    weight = np.empty(0) if batch.weight is None else batch.weight
    form = packed(centers) if bounds is None or batch.rows is not None else bounds.packed(centers)
    padded = np.zeros(form.plain.shape if len(weights) else (0, 0))
    if bounds is None or batch.rows is not None:
        label, lower = np.zeros(n, np.int32), np.empty((len(form.groups), 0), np.float32)
        moved = np.zeros(len(form.groups), np.float32)
        state = (label, lower, moved, UNBOUNDED)
        assign(X, shift, *form.arguments, *state, weight, padded, weights)
    else:
        seen, known = bounds.taken(batch, centers)
        label = seen.label
        state = (label, seen.lower, seen.moved.astype("f4"), BOUNDED if known else FRESH)
        assign(X, shift, *form.arguments, *state, weight, padded, weights)
        bounds.keep(batch, seen)
    if len(weights):
        sums += padded[:, :p]
    return label
