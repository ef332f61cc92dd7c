"""The dual of a support vector machine, solved by libsvm's own iteration on kernel rows made in blocks.

libsvm spends nine tenths of its time on kernel values, one at a time. Here its iteration is kept, bit for
bit (`kernels.smo`), and the rows that it asks for are worked out by threads, in blocks with the rows that
it is likely to ask for next. A row that was foreseen in vain costs time and changes nothing.

Method, beyond that:

- *Columns.* Rows hold the data of active variables only. When few are left, the rows that there are
  are narrowed; when all come back, they are forgotten.
- *The gradient of inactive variables.* libsvm adds the whole row of every variable that comes to its
  upper bound, as soon as it does. Once rows are narrow, that is noted here, and done in the same order
  when the sum is needed.

Exactness: kernel values are rounded to float32, as in libsvm; before, they may differ in the last bits of
float64 (the order of a scalar product, ``exp``), so that about one in 10^8 is rounded to the other side.
Unless such a bit turns a choice between two pairs that violate equally, the iterates are libsvm's. The
answer is the same for any number of threads and any cache.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace.runtime.pool import get_threads, spread

_WIDTH, _TILE = 16, 128
"""`WIDTH` and `TILE` of `kernels.kernel_rows`, without importing Numba."""

_FEWEST_VALUES = 1 << 14
"""Kernel values that are worth handing to another thread."""

_FEWEST, _VALUES = 8, 1 << 16
"""Rows, and about how many values, that are worked out together."""

_FIRST_BYTES = 16 << 20
"""Memory for rows, to begin with."""

_NARROWER = 0.8
"""Rows are narrowed when this share of their columns is still active."""


@dataclass(frozen=True)
class Kernel:
    """A kernel function: ``kind`` is ``linear``, ``poly``, ``rbf`` or ``sigmoid``."""

    kind: str
    gamma: float
    coef0: float
    degree: int

    @property
    def arguments(self) -> tuple[int, float, float, int]:
        """As the kernels in `kernels.kernel_rows` take it."""
        code = ("linear", "poly", "rbf", "sigmoid").index(self.kind)
        return code, self.gamma, self.coef0, self.degree


@dataclass(frozen=True)
class Problem:
    """``min 1/2 a' Q a + p' a`` where ``y' a`` is constant and ``0 <= a <= C``.

    Attributes
    ----------
    X : float64 (n_data, n_features)
    y, p, C, start : float64 (n_variables,)
        Labels 1 and -1, linear term, upper bounds, and a feasible start. There are as many variables as
        data or twice as many: variable i and i + n_data have the same row of X.
    paired : bool
        Whether ``sum(a)`` is constant too (nu-machines).
    """

    X: np.ndarray
    y: np.ndarray
    p: np.ndarray
    C: np.ndarray
    start: np.ndarray
    kernel: Kernel
    paired: bool
    tol: float
    shrinking: bool
    max_iter: int
    cache_bytes: int


@dataclass(frozen=True)
class Solution:
    """``alpha`` by variable, the offset ``rho``, nu-machines' ``r``, and how it went."""

    alpha: np.ndarray
    rho: float
    r: float
    n_iter: int
    timed_out: bool


def solve(problem: Problem) -> Solution:
    """Solve it up to its tolerance, as libsvm does."""
    return _Solver(problem).run()


class _Points:
    """Points in tiles, with their norms: what kernel rows are made from."""

    def __init__(self, X: np.ndarray) -> None:
        padded = _padded(X, _TILE)
        self.width = len(padded)
        self.squares = np.einsum("ij,ij->i", padded, padded)
        tiles = padded.reshape(-1, _WIDTH, X.shape[1]).transpose(0, 2, 1)
        self.tiles = np.ascontiguousarray(tiles).reshape(-1)


def _block(width: int, n_rows: int) -> int:
    """How many columns a thread works out at once: a few blocks each, none too small."""
    fewest = max(_FEWEST_VALUES // n_rows, width // (4 * get_threads()))
    return -(-fewest // _TILE) * _TILE


def _padded(X: np.ndarray, multiple: int) -> np.ndarray:
    extra = -len(X) % multiple
    return np.concatenate([X, np.zeros((extra, X.shape[1]))]) if extra else X


class _Rows:
    """The kernel rows that are in memory, of the data in `members`.

    They share one block of memory. It is used up to `limit` bytes, and to more only when rows were needed
    again that had been dropped: memory that is touched for the first time costs more than a kernel value.
    """

    def __init__(self, X: np.ndarray, kernel: Kernel, n_bytes: int) -> None:
        self.X, self.kernel = X, kernel
        self.squares = np.einsum("ij,ij->i", X, X)
        self.all = _Points(X)
        fewest = (4 * _FEWEST + 4) * self.all.width
        whole = len(X) * self.all.width
        self.memory = np.empty(min(whole, max(fewest, n_bytes // 4)), np.float32)
        self.limit = max(fewest, min(_FIRST_BYTES // 4, len(self.memory)))
        self.reset()

    def reset(self) -> None:
        """All columns, and no rows."""
        self._take(np.arange(len(self.X)), self.all)

    def _take(self, members: np.ndarray, points: _Points) -> None:
        self.members, self.points = members, points
        n_slots = min(len(members), len(self.memory) // points.width)
        self.rows = self.memory[: n_slots * points.width].reshape(n_slots, points.width)
        self.slot_of = np.full(len(members), -1)
        self.known = np.zeros(len(members), bool)
        self.again = 0
        self.owner = np.full(n_slots, -1)
        self.stamps = np.zeros(n_slots, np.int64)

    @property
    def usable(self) -> int:
        """How many slots are used at present."""
        return min(len(self.rows), max(4 * _FEWEST, self.limit // self.points.width))

    @property
    def at_once(self) -> int:
        """How many rows are worked out together."""
        return max(1, min(max(_FEWEST, _VALUES // self.points.width), self.usable // 4))

    def fill(self, places: np.ndarray) -> None:
        """Work out the rows of these columns' data."""
        from millrace.solvers.resident.kernels.kernel_rows import fill_rows

        slots = self._free(places)
        V = _padded(self.X[self.members[places]], 4)
        squares = np.zeros(len(V))
        squares[: len(places)] = self.squares[self.members[places]]
        points = self.points

        flat, arguments = V.reshape(-1), self.kernel.arguments

        def work(first: int, stop: int) -> None:
            fill_rows(points.tiles, points.squares, flat, squares, *arguments,
                      first, stop, slots, self.rows)  # fmt: skip

        spread(work, points.width, _block(points.width, len(places)))
        self.slot_of[places] = slots
        self.owner[slots] = places

    def _free(self, places: np.ndarray) -> np.ndarray:
        """Slots for new rows: those that were used longest ago."""
        from millrace.solvers.resident.kernels.kernel_rows import oldest

        self.again += int(self.known[places].sum())
        self.known[places] = True
        if self.again > self.usable // 4:
            self.again, self.limit = 0, 2 * self.limit
        slots = np.empty(len(places), np.int64)
        oldest(self.stamps[: self.usable], self.owner, self.slot_of, slots)
        return slots

    def narrow(self, kept: np.ndarray) -> None:
        """Keep the columns of some data, by their places, and the rows of these."""
        from millrace.solvers.resident.kernels.kernel_rows import narrow_rows

        old_slot, old_width, stamps = self.slot_of[kept], self.points.width, self.stamps
        members = self.members[kept]
        self._take(members, _Points(self.X[members]))
        present = np.flatnonzero(old_slot >= 0)
        present = present[np.argsort(old_slot[present])][: len(self.rows)]
        slots = old_slot[present]
        narrow_rows(self.memory, old_width, self.points.width, slots, kept)
        self.slot_of[present] = np.arange(len(present))
        self.known[present] = True
        self.owner[: len(present)] = present
        self.stamps[: len(present)] = stamps[slots]

    def add(self, targets: _Points, data: np.ndarray, times: np.ndarray, sums: np.ndarray) -> None:
        """Add the rows of `data` times a coefficient each, in this order, to (n_sums, n_targets) sums."""
        from millrace.solvers.resident.kernels.kernel_rows import add_rows

        V = _padded(self.X[data], 4)
        squares = np.zeros(len(V))
        squares[: len(data)] = self.squares[data]
        padded = np.zeros((len(sums), targets.width))
        padded[:, : sums.shape[1]] = sums

        flat, arguments = V.reshape(-1), self.kernel.arguments

        def work(first: int, stop: int) -> None:
            add_rows(targets.tiles, targets.squares, flat, squares, *arguments,
                     first, stop, times, padded)  # fmt: skip

        if len(data):
            spread(work, targets.width, _block(targets.width, len(data)))
            sums[:] = padded[:, : sums.shape[1]]

    def diagonal(self) -> np.ndarray:
        """``k(x, x)`` of all data, float64, not rounded: libsvm's ``QD``."""
        _, gamma, coef0, degree = self.kernel.arguments
        if self.kernel.kind == "rbf":
            return np.ones(len(self.X))
        from scipy.linalg import get_blas_funcs

        dot: Any = get_blas_funcs("dot", (self.X,))  # the one that libsvm calls
        products = np.array([dot(x, x) for x in self.X])
        if self.kernel.kind == "linear":
            return products
        inner = gamma * products + coef0
        if self.kernel.kind == "sigmoid":
            return np.array([math.tanh(v) for v in inner])  # the C library's, unlike NumPy's
        value, times = np.ones(len(inner)), degree
        while times > 0:
            if times % 2 == 1:
                value = value * inner
            inner = inner * inner
            times //= 2
        return value


class _Solver:
    """What `kernels.smo.advance` works on, and what it stops for."""

    def __init__(self, problem: Problem) -> None:
        from millrace.solvers.resident.kernels import smo

        self.smo, self.problem = smo, problem
        n = self.n_data = len(problem.X)
        size = self.size = len(problem.y)
        self.rows = _Rows(problem.X, problem.kernel, problem.cache_bytes)
        self.alpha, self.C, self.y = problem.start.copy(), problem.C.copy(), problem.y.copy()
        self.QD = np.tile(self.rows.diagonal(), size // n)
        self.order = np.arange(size)
        self.at = self.order % n
        self.direct, self.whole = size == n, True
        self.flags = np.empty(size, np.uint8)
        smo.flag_all(self.alpha, self.C, self.y, problem.paired, self.flags)
        self.counters = np.zeros(8, np.int64)
        self.counters[smo.ACTIVE] = size
        self.counters[smo.COUNTDOWN] = min(size, 1000) + 1
        self.log_index, self.log_times = np.empty(1024, np.int64), np.empty(1024)
        self.rooms, self.gains = np.empty((2, size), np.float32), np.empty(256, np.int64)
        self.bounded = np.zeros(
            n
        )  # libsvm's G_bar, times y: by data, variables of the same data share it
        self.F = problem.y * problem.p
        self._begin()

    def _begin(self) -> None:
        """The gradient at the start."""
        above = np.flatnonzero(self.alpha > 0)
        if not len(above):
            return
        self.rows.add(
            self.rows.all, above % self.n_data, self.y[above] * self.alpha[above],
            self.F.reshape(-1, self.n_data),
        )  # fmt: skip
        full = above[self.alpha[above] >= self.C[above]]
        self.rows.add(
            self.rows.all, full % self.n_data, self.y[full] * self.C[full], self.bounded[None]
        )

    def run(self) -> Solution:
        """Iterate until libsvm would stop."""
        smo = self.smo
        while (why := self._advance()) not in (smo.DONE, smo.TIMED_OUT):
            if why == smo.MISSING:
                self._fill()
            elif why == smo.LOG_FULL:
                self.log_index = np.concatenate([self.log_index, self.log_index])
                self.log_times = np.concatenate([self.log_times, self.log_times])
            elif why == smo.SHRINK:
                self._shrink()
            else:
                self._unshrink()
                self.counters[smo.PHASE] = smo.RECHECK
        return self._solution(why == smo.TIMED_OUT)

    def _advance(self) -> int:
        problem, rows = self.problem, self.rows
        return self.smo.advance(
            self.F, self.alpha, self.C, self.QD, self.y, self.flags, self.order, self.at,
            self.counters, rows.slot_of, rows.stamps, rows.rows, self.log_index, self.log_times,
            self.bounded, self.rooms, self.gains, self.direct, self.whole, problem.tol,
            problem.paired, problem.shrinking, problem.max_iter,
        )  # fmt: skip

    def _fill(self) -> None:
        smo, active = self.smo, self.counters[self.smo.ACTIVE]
        out = np.empty(self.rows.at_once, np.int64)
        n = smo.candidates(
            self.F, self.flags, self.at, self.rows.slot_of, active,
            self.counters[smo.WANTED], out,
        )  # fmt: skip
        self.rows.fill(out[:n])

    def _shrink(self) -> None:
        smo, problem = self.smo, self.problem
        if not problem.shrinking:
            return
        most = np.empty(4)
        smo.extremes(self.F, self.flags, self.counters[smo.ACTIVE], most)
        gap = max(most[0] + most[1], most[2] + most[3])
        if not self.counters[smo.UNSHRUNK] and gap <= problem.tol * 10:
            self.counters[smo.UNSHRUNK] = 1
            self._unshrink()
        before = self.order.copy()
        active = smo.shrink(
            self.F, self.alpha, self.C, self.QD, self.y, self.flags, self.order, self.at,
            self.counters[smo.ACTIVE], most,
        )  # fmt: skip
        self.counters[smo.ACTIVE] = active
        if not np.array_equal(before[:active], self.order[:active]):
            self.direct = False
        self._narrow(active)

    def _narrow(self, active: int) -> None:
        """Leave only the columns of active variables, where that saves enough."""
        width = len(self.rows.members)
        places = self.at[:active]
        if self.size != self.n_data:
            first = np.unique(places, return_index=True)[1]
            places = places[np.sort(first)]
        if not 0 < len(places) <= _NARROWER * width:
            return
        self.rows.narrow(places)
        self.whole = False
        where = np.full(width, -1)
        where[places] = np.arange(len(places))
        self.at = where[self.at]
        self.direct = self.size == self.n_data

    def _unshrink(self) -> None:
        """The gradient of all variables, and all of them active."""
        smo, active = self.smo, self.counters[self.smo.ACTIVE]
        if active == self.size:
            return
        logged = self.counters[smo.LOGGED]
        self.rows.add(
            self.rows.all, self.log_index[:logged], self.log_times[:logged], self.bounded[None]
        )
        self.counters[smo.LOGGED] = 0
        back = self.order[active:]
        data, place = np.unique(back % self.n_data, return_inverse=True)
        linear = (self.problem.y * self.problem.p).reshape(-1, self.n_data)
        part = self.bounded[data] + linear[:, data]
        free = np.flatnonzero((self.alpha[:active] > 0) & (self.alpha[:active] < self.C[:active]))
        self.rows.add(
            _Points(self.problem.X[data]), self.order[free] % self.n_data,
            self.y[free] * self.alpha[free], part,
        )  # fmt: skip
        self.F[active:] = part[back // self.n_data, place]
        self.rows.reset()
        self.at = self.order % self.n_data
        self.direct, self.whole = False, True
        self.counters[smo.ACTIVE] = self.size

    def _solution(self, timed_out: bool) -> Solution:
        smo, active = self.smo, self.counters[self.smo.ACTIVE]
        first, second = (
            smo.offset(self.F, self.alpha, self.C, self.y, active, self.problem.paired, group)
            for group in range(2)
        )
        rho, r = (
            ((first - second) / 2, (first + second) / 2) if self.problem.paired else (first, 0.0)
        )
        alpha = np.empty(self.size)
        alpha[self.order] = self.alpha
        return Solution(alpha, rho, r, int(self.counters[smo.STEPS]), timed_out)
