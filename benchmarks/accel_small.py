"""Is anything small slower? 500 small calls, with acceleration and without.

Classes with doors in turn; 10 to 5,000 rows, 2 to 30 columns, parameters that are not the defaults; a
fit or an answer of a fitted object. Each call is made by scikit-learn alone and with acceleration on, in
turns; the ratio is that of the shortest times. One below the mark is measured again, up to three times,
and counts if it stays there: single calls are fractions of a millisecond.

    python -m benchmarks.accel_small [--cases 500] [--loaded]
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import millrace
from benchmarks import harness
from benchmarks.accel_cases import found, is_measured, made, quiet, rows_for
from benchmarks.accel_costs import TABLE
from benchmarks.harness import Case, Target

MARK = 0.95
ROUNDS = 3

AWKWARD: dict[str, tuple[Any, ...]] = {
    "n_estimators": (1, 5, 30),
    "max_depth": (1, 3, None),
    "n_clusters": (2, 5),
    "n_components": (1, 2),
    "n_neighbors": (1, 5),
    "alpha": (1e-3, 10.0),
    "C": (1e-2, 10.0),
    "fit_intercept": (False,),
    "max_iter": (20, 300),
    "cv": (3,),
    "n_bins": (3,),
    "min_samples_leaf": (5,),
}


@dataclass
class Small:
    """One call.

    Attributes
    ----------
    ratio : float
        scikit-learn's seconds over those with acceleration on.
    """

    name: str
    method: str
    rows: int
    columns: int
    params: dict[str, Any]
    seconds: float
    ratio: float


def main() -> None:
    parser = harness.command_line(__doc__)
    parser.add_argument("--cases", type=int, default=500)
    parser.add_argument("--loaded", action="store_true", help="one thread, seconds of the CPU")
    given = parser.parse_args()
    chosen = harness.chosen_options(given)
    result = harness.begin("accel_small", "Small calls, accelerated", __doc__, chosen, "")
    quiet()
    clock = time.perf_counter
    calls = list(small_calls(given.cases))
    if given.loaded:
        threadpool_limits(1)
        millrace.set_threads(1)
        clock = time.process_time
    done = [measured(*one, clock) for one in calls]
    slower = sorted((c for c in done if c.ratio < MARK), key=lambda c: c.ratio)
    for one in slower:
        print(f"{one.ratio:.2f} {one.name}.{one.method} {one.rows}x{one.columns} {one.params}")
    case = Case(f"{len(done)} small calls")
    goal = Target(f"slower than {MARK}", 0.0, 0.0, unit="calls")
    case.verdicts.append(
        harness.verdict(goal, float(len(slower)), "scikit-learn", higher_is_better=False)
    )
    result.cases.append(case)
    result.extra["calls"] = [{**asdict(c), "params": repr(c.params)} for c in done]
    mean = math.exp(np.mean([math.log(c.ratio) for c in done]))
    print(f"{len(done)} calls, {len(slower)} below {MARK}; geometric mean {mean:.2f}")
    if not given.loaded:
        result.write()


def small_calls(wanted: int) -> Iterator[tuple[Any, str, tuple[Any, ...], dict[str, Any]]]:
    """``(estimator, method, arguments, awkward parameters)``; fitted where the method is no fit."""
    table = json.loads(TABLE.read_text())
    doors = [(n, m) for n, methods in table.items() for m in methods if is_measured(n)]
    rng = np.random.default_rng(0)
    number = 0
    while number < wanted:
        name, method = (
            doors[(number * 7) % len(doors)]
            if number < len(doors)
            else (doors[rng.integers(len(doors))])
        )
        number += 1
        n, p = int(10 ** rng.uniform(1.0, 3.7)), int(rng.integers(2, 31))
        try:
            cls: Any = found(name)
            params = awkward(cls, rng)
            estimator = made(cls, **params)
            X, y = rows_for(estimator, n, p, seed=number)
            args = (X,) if y is None else (X, y)
            estimator.fit(*args)
            args = args if method == "fit" else (X,)
            getattr(estimator, method)(*args)
        except Exception:  # too few rows for the class or its parameters, or texts beside `found`
            wanted += number < 4 * wanted
            continue
        yield estimator, method, args, params


def awkward(cls: Any, rng: np.random.Generator) -> dict[str, Any]:
    """Up to two parameters that are not the defaults."""
    names = [n for n in made(cls).get_params(deep=False) if n in AWKWARD]
    kept = rng.permutation(names)[: rng.integers(0, 3)]
    return {str(n): AWKWARD[n][rng.integers(len(AWKWARD[n]))] for n in kept}


def measured(
    estimator: Any, method: str, args: tuple[Any, ...], params: dict[str, Any],
    clock: Callable[[], float],
) -> Small:  # fmt: skip
    ratio, seconds = 0.0, 0.0
    for _ in range(4):
        theirs, ours = pair(estimator, method, args, clock)
        if theirs / ours > ratio:
            ratio, seconds = theirs / ours, ours
        if ratio >= MARK:
            break
    name = type(estimator).__name__
    return Small(name, method, args[0].shape[0], args[0].shape[1], params, seconds, ratio)


def pair(
    estimator: Any, method: str, args: tuple[Any, ...], clock: Callable[[], float]
) -> tuple[float, float]:
    """The shortest of some calls without acceleration, and with it."""
    best = [math.inf, math.inf]
    for _ in range(ROUNDS):
        for side in (0, 1):
            if side:
                millrace.accelerate("equivalent")
            call = getattr(estimator, method)
            call(*args)  # not counted: Python's own caches of methods are empty now
            repeats = 1 + int(4e-3 / min(best))
            begun = clock()
            for _ in range(repeats):
                call(*args)
            best[side] = min(best[side], (clock() - begun) / repeats)
            millrace.restore()
    return best[0], best[1]


if __name__ == "__main__":
    main()
