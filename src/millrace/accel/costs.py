"""From which size on Millrace is faster than scikit-learn, as measured."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

MARGIN = 1.1
"""Millrace has to be expected to be faster by this factor: an estimate is not exact."""


@dataclass(frozen=True)
class Point:
    """One measured call.

    Attributes
    ----------
    cells : int
        Rows times columns.
    theirs, ours : float
        Seconds of scikit-learn and of Millrace.
    """

    cells: int
    theirs: float
    ours: float


@dataclass(frozen=True)
class Estimate:
    """Seconds that a call is expected to take."""

    theirs: float
    ours: float

    @property
    def gains(self) -> bool:
        """Whether Millrace should run it."""
        return self.theirs > MARGIN * self.ours


def is_known(name: str, method: str) -> bool:
    """Whether a method of a class has been measured."""
    return method in _table().get(name, {})


def estimate(name: str, method: str, rows: int, columns: int) -> Estimate | None:
    """What a call is expected to take; None for a method that has not been measured.

    Between two measured sizes the logarithm of the seconds is a straight line in the logarithm of the
    cells; below the smallest the seconds stay, above the largest they grow with the cells.
    """
    points = _table().get(name, {}).get(method)
    if not points:
        return None
    cells = max(rows * columns, 1)
    return Estimate(
        _between([(p.cells, p.theirs) for p in points], cells),
        _between([(p.cells, p.ours) for p in points], cells),
    )


def _between(points: Sequence[tuple[int, float]], cells: int) -> float:
    if cells <= points[0][0]:
        return points[0][1]
    for (left, low), (right, high) in zip(points, points[1:], strict=False):
        if cells <= right:
            share = math.log(cells / left) / math.log(right / left)
            return low * (high / low) ** share
    last, seconds = points[-1]
    return seconds * cells / last


@cache
def _table() -> dict[str, dict[str, list[Point]]]:
    """``costs.json``: class -> method -> points by size; ``benchmarks/accel_costs.py`` writes it."""
    text = resources.files("millrace.accel").joinpath("costs.json").read_text()
    return {
        name: {method: [Point(*p) for p in points] for method, points in methods.items()}
        for name, methods in json.loads(text).items()
    }
