"""A few of the calls of ``costs.json``, timed on this machine."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from millrace.accel import costs, machine
from millrace.accel.calls import originals

PROBES = (
    ("sklearn.naive_bayes", "GaussianNB"),
    ("sklearn.linear_model", "RidgeCV"),
    ("sklearn.linear_model", "LinearRegression"),
)
"""Classes whose fits are timed, as far as they are in the table."""

SHAPE = 5_000, 20
ROUNDS = 20


def measure() -> Path | None:
    """Keep by how much both sides are faster or slower here than where ``costs.json`` was measured.

    Takes about a second once the kernels are in their cache. The medians over a few classes count.

    Returns
    -------
    Path or None
        The file that was written; None where the table has none of the classes.

    Raises
    ------
    OSError
        The cache folder cannot be written.
    """
    theirs: list[float] = []
    ours: list[float] = []
    before = machine.factors()
    for module, name in PROBES:
        expected = costs.estimate(f"{module}.{name}", "fit", *SHAPE)
        if expected is not None:
            seconds = _seconds(module, name)
            theirs.append(seconds[0] / expected.theirs * before[0])
            ours.append(seconds[1] / expected.ours * before[1])
    if not theirs:
        return None
    return machine.keep(statistics.median(theirs), statistics.median(ours))


def _seconds(module: str, name: str) -> tuple[float, float]:
    """The shortest of some fits by scikit-learn and by Millrace, in turns."""
    import importlib

    from millrace.fitting.fit import fit_by_solvers

    made: Callable[[], Any] = getattr(importlib.import_module(module), name)
    rng = np.random.default_rng(0)
    X = rng.standard_normal(SHAPE)
    y = (X[:, 0] > 0).astype(np.int64)
    best = [math.inf, math.inf]
    with originals():
        for _ in range(ROUNDS + 1):
            for side, fit in enumerate(
                (lambda: made().fit(X, y), lambda: fit_by_solvers(made(), X, y))
            ):
                begun = time.perf_counter()
                fit()
                best[side] = min(best[side], time.perf_counter() - begun)
    return best[0], best[1]
