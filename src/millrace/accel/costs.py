"""From which size on Millrace is faster than scikit-learn, as measured.

``costs.json`` holds seconds of both sides for every class and method that gains anywhere, over a few
numbers of rows and columns, at default parameters; ``python -m benchmarks.accel_costs`` writes it. It is
the same on every machine: which of two sides is faster depends on the machine far less than how fast
either is. `measure` times a few of its points on this machine and keeps two factors, one for
each side, in the user's cache folder (`machine`); until it is called both are 1.

No clock has a say in a decision, so that a script takes the same way through Millrace in every run.
What the first use of a kernel costs in a process (`COLD`) is therefore weighed against the gains that
were *expected* of the calls so far and forgone.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import resources

from millrace.accel import machine

MARGIN = 1.1
"""Millrace has to be expected to be faster by this factor: an estimate is not exact."""

MARGIN_OF_OTHERS = 2.0
"""The same for parameters that are not the defaults, at which it was measured."""

WIDER = 2.0
"""An estimate is made for up to so many times the columns that were measured."""

COLD = 0.6
"""Seconds that importing Numba takes, and whatever else the first call of a process does."""

COLD_CLASS = 0.1
"""Seconds that the first call of a method of one class takes beyond that: kernels from their cache."""


@dataclass(frozen=True)
class Estimate:
    """Seconds that a call is expected to take.

    Attributes
    ----------
    theirs, ours : float
        Of scikit-learn and of Millrace.
    """

    theirs: float
    ours: float

    @property
    def gains(self) -> bool:
        """Whether Millrace should run it."""
        return self.theirs > MARGIN * self.ours

    def gains_by(self, factor: float) -> bool:
        """Whether Millrace is expected to be faster by a factor."""
        return self.theirs > factor * self.ours


@dataclass(frozen=True)
class _Curve:
    """Logarithms of the seconds over logarithms of the rows, for one number of columns."""

    columns: float
    rows: tuple[float, ...]
    theirs: tuple[float, ...]
    ours: tuple[float, ...]

    def at(self, rows: float) -> tuple[float, float]:
        """``(theirs, ours)``: constant below the smallest size, as the rows above the largest."""
        at = bisect_right(self.rows, rows)
        if at == 0:
            return self.theirs[0], self.ours[0]
        if at == len(self.rows):
            more = rows - self.rows[-1]
            return self.theirs[-1] + more, self.ours[-1] + more
        share = (rows - self.rows[at - 1]) / (self.rows[at] - self.rows[at - 1])
        return tuple(
            side[at - 1] + share * (side[at] - side[at - 1]) for side in (self.theirs, self.ours)
        )  # type: ignore[return-value]


@dataclass(frozen=True)
class _Measured:
    """What was measured of one method of one class.

    Attributes
    ----------
    curves : tuple of _Curve
        By columns, ascending.
    least : int
        Below so many rows Millrace gained nowhere.
    """

    curves: tuple[_Curve, ...]
    least: int

    def at(self, rows: int, columns: int) -> Estimate | None:
        log_rows, log_columns = math.log(rows), math.log(columns)
        widest = self.curves[-1].columns
        if log_columns > widest + math.log(WIDER):
            return None
        at = bisect_right([c.columns for c in self.curves], log_columns)
        right = self.curves[min(at, len(self.curves) - 1)]
        left = self.curves[max(at - 1, 0)]
        theirs, ours = left.at(log_rows)
        if right is not left:
            share = (log_columns - left.columns) / (right.columns - left.columns)
            theirs_right, ours_right = right.at(log_rows)
            theirs += share * (theirs_right - theirs)
            ours += share * (ours_right - ours)
        return Estimate(math.exp(theirs), math.exp(ours))


NEVER = 1 << 62
"""More rows than there are: the least number of rows of what gains at no size."""


@dataclass
class _Used:
    """What this process has used, and what it has forgone.

    Attributes
    ----------
    warm : set of (class, method)
        Those that Millrace has answered.
    forgone : dict
        ``(class, method)`` -> seconds that calls would have gained.
    in_all : float
        The sum of these.
    always : bool
        See `always`.
    """

    warm: set[tuple[str, str]] = field(default_factory=set)
    forgone: dict[tuple[str, str], float] = field(default_factory=dict)
    in_all: float = 0.0
    always: bool = False


_USED = _Used()


def is_known(name: str, method: str) -> bool:
    """Whether a method of a class has been measured, and gains at some size."""
    found = _table().get(name, {}).get(method)
    return found is not None and found.least < NEVER


def names() -> Iterator[str]:
    """The public names of all classes that have been measured."""
    yield from _table()


def is_hopeless(name: str, method: str, rows: int) -> bool:
    """Whether so few rows gain at no number of columns; this is quicker than `estimate`."""
    found = _table().get(name, {}).get(method)
    return (found is None or rows < found.least) and not _USED.always


def estimate(name: str, method: str, rows: int, columns: int) -> Estimate | None:
    """What a call is expected to take.

    Parameters
    ----------
    name, method : str
        ``"sklearn.linear_model.Ridge"``, ``"fit"``.
    rows, columns : int

    Returns
    -------
    Estimate or None
        None for what has not been measured: another method, or many more columns. Between measured
        sizes the logarithm of the seconds is linear in the logarithms of rows and columns.
    """
    if is_hopeless(name, method, rows):
        return None
    return measured(name, method, rows, columns)


def measured(name: str, method: str, rows: int, columns: int) -> Estimate | None:
    """The same where it does not gain by itself as well."""
    if _USED.always:
        return Estimate(1.0, 0.0)
    found = _table().get(name, {}).get(method)
    return None if found is None or rows < 1 or columns < 1 else found.at(rows, columns)


def pays(name: str, method: str, expected: Estimate) -> bool:
    """Whether the first use of a method in this process pays; from then on it does.

    It pays as soon as the gains that were forgone so far, this call's among them, cover what it costs.
    """
    key = name, method
    if key in _USED.warm:
        return True
    if _USED.always:
        _USED.warm.add(key)
        return True
    gain = expected.theirs - expected.ours
    _USED.in_all += gain
    _USED.forgone[key] = _USED.forgone.get(key, 0.0) + gain
    if _USED.forgone[key] < COLD_CLASS:
        return False
    if not _USED.warm and _USED.in_all < COLD + COLD_CLASS:
        return False
    _USED.warm.add(key)
    return True


@contextmanager
def always() -> Generator[None]:
    """Within this block every call with a door is Millrace's, whatever it costs: for tests."""
    before, _USED.always = _USED.always, True
    try:
        yield
    finally:
        _USED.always = before


@cache
def _table() -> dict[str, dict[str, _Measured]]:
    """``costs.json`` in seconds of this machine: class -> method -> what was measured."""
    text = resources.files("millrace.accel").joinpath("costs.json").read_text()
    theirs, ours = machine.factors()
    return {
        name: {method: _measured(points, theirs, ours) for method, points in methods.items()}
        for name, methods in json.loads(text).items()
    }


def _measured(points: Sequence[Sequence[float]], theirs: float, ours: float) -> _Measured:
    """From points ``(rows, columns, theirs, ours)`` and the factors of this machine."""
    curves: list[_Curve] = []
    least = math.inf
    for columns in sorted({p[1] for p in points}):
        of_width = sorted([p for p in points if p[1] == columns], key=lambda p: p[0])
        for at, (rows, _, their_seconds, our_seconds) in enumerate(of_width):
            if their_seconds * theirs > MARGIN * our_seconds * ours:
                least = min(least, of_width[at - 1][0] if at else rows / 2)
                break
        curves.append(
            _Curve(
                math.log(columns),
                tuple(math.log(p[0]) for p in of_width),
                tuple(math.log(p[2] * theirs) for p in of_width),
                tuple(math.log(p[3] * ours) for p in of_width),
            )
        )
    return _Measured(tuple(curves), NEVER if math.isinf(least) else int(least))
