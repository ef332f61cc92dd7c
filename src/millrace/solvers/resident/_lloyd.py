"""Rows in memory for Lloyd's iterations: their codes of 16 bits, labels, bounds and sums.

The answers are those of `statistics.kmeans.Clusters`, but for the order of sums: without weights, rows
are moved from the sum of their old label to that of the new one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace.runtime.pool import spread
from millrace.statistics.kmeans import ClusterSums

BLOCK_ROWS = 1 << 15
"""Rows that are summed up at a time: fixed, since the order of sums follows from it."""

_ROOM = 1 << 30
"""Above every score: two of them differ by less than 32 bits hold."""

_FINE = 90_000.0
"""The largest code, times the root of the number of features: the roundings of rows are then about as
large as those of centres, for rows of the normal distribution."""

_UNSURE = 0.2
"""Share of rows done in float64 from which on codes do not pay: rows lie too far apart for them."""

_MOST_SHAPE = 4096
"""Most centres, and most features: beyond, too few bits are left."""

_LEAST_EXTENT, MOST_EXTENT = 1e-12, 1e15
"""Between them, squares are numbers in float32."""


def summary(X: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The means of the columns, and how far values lie from them at most; None if one is not finite.

    Parameters
    ----------
    X : numpy.ndarray of float32 or float64
        C-contiguous, (n_samples, n_features).

    Returns
    -------
    tuple of numpy.ndarray of float64
        (n_features,) each, the means as the dtype of X holds them.
    """
    from millrace.solvers.resident.kernels.lloyd import ranges

    def part(first: int, stop: int) -> Any:
        found = np.zeros(X.shape[1]), np.full(X.shape[1], np.inf), np.full(X.shape[1], -np.inf)
        ranges(X[first:stop], *found)
        return found

    sums, lows, highs = (np.stack(each) for each in zip(*blocks(part, len(X)), strict=True))
    total = sums.sum(axis=0)
    if not np.isfinite(total).all():
        return None
    mean = (total / len(X)).astype(X.dtype).astype(np.float64)
    return mean, np.maximum(highs.max(axis=0) - mean, mean - lows.min(axis=0))


def blocks(part: Any, n_rows: int) -> list[Any]:
    """What ``part(first, stop)`` is of every block of rows, in their order."""
    found: dict[int, Any] = {}

    def work(first: int, stop: int) -> None:
        found[first] = part(first, stop)

    spread(work, n_rows, BLOCK_ROWS)
    return [found[first] for first in sorted(found)]


@dataclass(frozen=True)
class _Form:
    """Centres in the forms that `kernels.lloyd.assign_coded` reads."""

    exact: np.ndarray
    norms: np.ndarray
    centers: np.ndarray
    starts: np.ndarray
    mask: Any
    unit: Any
    off: int
    reach: Any
    ulps: Any

    @property
    def arguments(self) -> tuple[Any, ...]:
        forms = self.exact, self.norms, self.centers, self.starts
        return *forms, self.mask, self.unit, self.off, self.reach, self.ulps


class Coded:
    """Rows and what is known of them from one step to the next.

    Attributes
    ----------
    label : numpy.ndarray of int32
        The nearest centres of the last step (n_samples,).
    variance : float
        The mean of the variances of the columns.
    failed : bool
        Too many rows were done in float64: the answers are right, and other ways are quicker.
    """

    def __init__(
        self, X: np.ndarray, weight: np.ndarray | None, mean: np.ndarray, extent: np.ndarray
    ) -> None:
        from millrace.solvers.resident.kernels.lloyd import encode

        n, p = X.shape
        largest = int(np.clip(_FINE / np.sqrt(p), 127, 32000))
        # a column that hardly varies needs no finer codes than the others
        self._scale = np.maximum(extent, 1e-4 * extent.max()) / largest
        self.rows, self.weight, self._shift = X, weight, mean.astype(X.dtype)
        self._codes = np.empty((n, -(-p // 4) * 4), np.int16)
        self._codes[:, p:] = 0
        self._squares = np.empty(n, np.float32)
        inverse = (1.0 / self._scale).astype(np.float32)

        def part(first: int, stop: int) -> tuple[Any, np.ndarray]:
            own, here = np.zeros(p), slice(first, stop)
            codes, squares = self._codes[here], self._squares[here]
            return encode(X[here], self._shift, inverse, codes, squares, own), own

        sizes, sums = zip(*blocks(part, n), strict=True)
        # rounded to codes, and in float32
        self._norm = float(np.sqrt(self._squares.max())) * (1.0 + 1e-3)
        self._size = (1.0 + 1e-5) * float(max(sizes)) + 0.51 * p
        self.variance = float(np.mean(np.sum(sums, axis=0) / n))
        self.label = np.zeros(n, np.int32)
        self._margin = np.empty(n, np.float32)
        self.start()

    @staticmethod
    def takes(n_clusters: int, extent: np.ndarray) -> bool:
        """Whether this processor can, and whether codes can stand for such rows."""
        from millrace.solvers.resident.kernels.coded_tile import available

        width = float(np.sqrt((extent * extent).sum()))
        most = max(n_clusters, len(extent))
        return available() and most <= _MOST_SHAPE and _LEAST_EXTENT < width < MOST_EXTENT

    def start(self) -> None:
        """Forget all labels and bounds."""
        self._margin.fill(-np.inf)
        self._centers: np.ndarray | None = None
        self.failed = False

    def step(self, centers: np.ndarray) -> ClusterSums:
        """The rows nearest to each of some centres (n_clusters, n_features) of float64, less the mean."""
        from millrace.solvers.resident.kernels.lloyd import assign_coded

        form, fresh = self._packed(centers), self._centers is None
        self._moved(centers)
        whole = fresh or self.weight is not None
        k, p = centers.shape

        def part(first: int, stop: int) -> tuple[Any, ...]:
            here = slice(first, stop)
            found = np.zeros((k, -(-p // 16) * 16)), np.zeros(k), np.zeros(k)
            weight = np.empty(0) if self.weight is None else self.weight[here]
            redone = assign_coded(
                self.rows[here], self._shift, self._codes[here].view(np.int32),
                self._squares[here], *form.arguments, self.label[here], self._margin[here],
                self._limit, weight, whole, *found,
            )  # fmt: skip
            return redone, *found

        redone, *found = zip(*blocks(part, len(self.rows)), strict=True)
        sums, weights, counts = (np.sum(each, axis=0) for each in found)
        sums = sums[:, :p]
        if not whole:
            sums, counts = self._sums + sums, self._counts + counts
        weights = counts if self.weight is None else weights
        sums[counts == 0], weights[counts == 0] = 0.0, 0.0
        self._sums, self._counts = sums, counts
        self.failed = sum(redone) > _UNSURE * len(self.rows)
        return ClusterSums(sums, weights)

    def seeds(self, n_clusters: int, weight: np.ndarray, state: Any) -> np.ndarray:
        """The rows that k-means++ chooses, where nothing is subtracted from the rows.

        ``_kmeans_plusplus`` of scikit-learn 1.9.1, with `state` and weights of the dtype of the rows.
        """
        X, n = self.rows, len(self.rows)
        n_trials = 2 + int(np.log(n_clusters))
        room = np.empty((n_trials, n), np.int32), np.empty((n_trials, n), X.dtype)
        chosen = [int(state.choice(n, p=weight / weight.sum()))]
        closest = self._away(chosen[0])
        for _ in range(1, n_clusters):
            drawn = state.uniform(size=n_trials) * (closest @ weight)
            weighted = closest if self.weight is None else weight * closest
            tried = np.searchsorted(np.cumsum(weighted), drawn)
            np.clip(tried, None, n - 1, out=tried)
            gains, counts = self._trials(tried, closest, room)
            best = int(np.argmax(gains))
            for first, count in zip(range(0, n, BLOCK_ROWS), counts[:, best], strict=True):
                here = slice(first, first + count)
                closest[first + room[0][best, here]] = room[1][best, here]
            chosen.append(int(tried[best]))
        return np.array(chosen)

    def _away(self, row: int) -> np.ndarray:
        from millrace.solvers.resident.kernels.seeds import distances_from

        out = np.empty(len(self.rows), self.rows.dtype)
        blocks(lambda a, b: distances_from(self.rows[a:b], self.rows[row], out[a:b]), len(out))
        return out

    def _trials(self, tried: np.ndarray, closest: np.ndarray, room: Any) -> Any:
        """How much each trial brings, and how many rows of each block; these rows go to `room`."""
        from millrace.solvers.resident.kernels.seeds import try_seeds

        points = self.rows[tried]
        form = self._packed(points.astype(np.float64))
        codes = form.centers, form.starts, form.unit, form.off, form.reach, form.ulps

        def part(first: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
            here, gains, counts = (
                slice(first, stop),
                np.zeros(len(tried)),
                np.zeros(len(tried), int),
            )
            weight = np.empty(0) if self.weight is None else self.weight[here]
            try_seeds(
                self.rows[here], self._codes[here].view(np.int32), self._squares[here], *codes,
                points, closest[here], weight, gains, counts, room[0][:, here], room[1][:, here],
            )  # fmt: skip
            return gains, counts

        gains, counts = zip(*blocks(part, len(closest)), strict=True)
        return np.sum(gains, axis=0), np.stack(counts)

    def _moved(self, centers: np.ndarray) -> None:
        """Add how far the centres have moved towards a change of each label."""
        if self._centers is None:
            self._limit = np.zeros(len(centers), np.float32)
        elif self._centers is not centers:
            away = np.sqrt(((centers - self._centers) ** 2).sum(axis=1))
            first = int(np.argmax(away))
            others = np.full(len(away), away[first])
            others[first] = np.delete(away, first).max(initial=0.0)
            self._limit = ((self._limit + away + others) * (1.0 + 1e-6)).astype(np.float32)
        self._centers = centers

    def _packed(self, centers: np.ndarray) -> _Form:
        from millrace.solvers.resident.kernels.coded_tile import LANES

        k, p = centers.shape
        n_groups, width = -(-k // LANES), self._codes.shape[1]
        norms = (centers * centers).sum(axis=1)
        scaled = centers * self._scale
        reach = np.abs(scaled).sum(axis=1)
        # half scores are at most this, by Cauchy and Schwarz; a tenth is left to roundings
        most = np.sqrt(norms.max()) * (self._norm + np.sqrt(norms.max()) / 2.0)
        unit = max(most / (0.9 * _ROOM), np.abs(scaled).max() / 32000.0, 1e-12 * self._norm**2)
        codes = np.zeros((n_groups * LANES, width), np.int16)
        codes[:k, :p] = np.rint(scaled / -unit)
        starts = np.full(n_groups * LANES, _ROOM, np.int32)
        starts[:k] = np.rint(norms / (2.0 * unit))
        pairs = codes.reshape(n_groups, LANES, width // 2, 2).transpose(0, 2, 1, 3)
        bits = max(4, int(n_groups * LANES - 1).bit_length())
        off = int(np.ceil(0.51 * (reach.max() / unit + self._size))) + 2
        return _Form(
            np.ascontiguousarray(-2.0 * centers.T),
            norms,
            np.ascontiguousarray(pairs).view(np.int32)[..., 0],
            starts.reshape(n_groups, LANES),
            np.int32(-(1 << bits)),
            np.float32(2.0 * unit),
            off,
            np.float32(norms.max()),
            np.float32((p + 16) * 2.0**-23),
        )
