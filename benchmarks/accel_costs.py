"""Where does Millrace gain? Writes ``src/millrace/accel/costs.json``.

For every class of scikit-learn with a solver: ``fit`` at default parameters by scikit-learn and through
the door of acceleration, on a few numbers of rows and columns; for every converted class its methods in
the same way. Both sides take turns and the shortest times count. A size that would take too long is left
to extrapolation. Answers that gain nowhere are left out, and so is what sets other attributes than
scikit-learn; fits stay, since a search may gain by sharing them.

    python -m benchmarks.accel_costs [--only Ridge] [--fits] [--answers] [--loaded] [--quick]

On a machine that has other work, ``--loaded`` gives both sides one thread and counts seconds of the CPU.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

import millrace
from benchmarks.accel_cases import (
    classes_with_converters,
    classes_with_solvers,
    made,
    quiet,
    rows_for,
)
from millrace.accel import answer_door, costs, fit_door
from millrace.accel.calls import Call, originals
from millrace.accel.doors import public_name_of
from millrace.accel.plain import plain_fit

TABLE = Path(costs.__file__).parent / "costs.json"


@dataclass
class Plan:
    """What is measured.

    Attributes
    ----------
    rows, columns : tuple of int
    longest : float
        Seconds that either side may take for a size, as far as that is known beforehand.
    a_point : float
        Seconds that measuring one size goes on, if a pair of calls is shorter than that.
    clock : callable
    """

    rows: tuple[int, ...] = (200, 1_000, 5_000, 20_000, 200_000)
    columns: tuple[int, ...] = (20, 5, 100)
    longest: float = 1.0
    a_point: float = 0.12
    clock: Callable[[], float] = time.perf_counter


PLAN = Plan()

NARROW = (3,)
"""Columns for what is only taken with few, as what goes through a tree of points."""

Points = list[tuple[int, int, float, float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="classes whose name holds this text")
    parser.add_argument("--fits", action="store_true", help="fits, and not answers")
    parser.add_argument("--answers", action="store_true", help="answers, and not fits")
    parser.add_argument("--loaded", action="store_true", help="one thread, seconds of the CPU")
    parser.add_argument("--quick", action="store_true", help="few sizes")
    parser.add_argument("--after", default="", help="classes from this name on")
    given = parser.parse_args()
    quiet()
    solved, converted = classes_with_solvers(), classes_with_converters()
    if given.loaded:  # after all libraries are imported that have threads of their own
        threadpool_limits(1)
        millrace.set_threads(1)
        PLAN.clock = time.process_time
    if given.quick:
        PLAN.rows, PLAN.columns, PLAN.longest, PLAN.a_point = (500, 5_000, 50_000), (20,), 1.0, 0.0
    table: dict[str, dict[str, Any]] = json.loads(TABLE.read_text())
    if not given.answers:
        for cls in chosen(solved, given):
            keep(table, cls, "fit", points_of_fit(cls))
    if not given.fits:
        for cls in chosen(converted, given):
            for method, points in points_of_answers(cls).items():
                keep(table, cls, method, points)


def chosen(classes: list[type], given: argparse.Namespace) -> list[type]:
    return [c for c in classes if given.only in c.__name__ and public_name_of(c) >= given.after]


def keep(table: dict[str, dict[str, Any]], cls: type, method: str, points: Points) -> None:
    """Put what was measured into the table and write it, or take out what gains nowhere."""
    name = public_name_of(cls)
    ratios = " ".join(f"{n}x{p}:{theirs / ours:.2f}" for n, p, theirs, ours in points)
    print(f"{name}.{method}: {ratios or 'not measured'}", flush=True)
    methods = table.setdefault(name, {})
    methods.pop(method, None)
    gains = any(theirs > costs.MARGIN * ours for _, _, theirs, ours in points)
    if points and (gains or method == "fit"):  # a fit may gain where folds share it
        methods[method] = [[n, p, float(f"{a:.3g}"), float(f"{b:.3g}")] for n, p, a, b in points]
    filled = {key: dict(sorted(table[key].items())) for key in sorted(table) if table[key]}
    text = (
        json.dumps(filled, separators=(",", ":")).replace('},"', '},\n"').replace('{"', '{\n"', 1)
    )
    aside = TABLE.with_suffix(".part")
    aside.write_text(text + "\n")
    aside.replace(TABLE)


def points_of_fit(cls: type) -> Points:
    """``(rows, columns, scikit-learn, Millrace)`` of fits."""

    def pair(n: int, p: int) -> tuple[Callable[[], Any], Callable[[], Any]] | None:
        X, y = rows_for(made(cls), n, p)
        args = (X,) if y is None else (X, y)
        theirs, ours = made(cls), made(cls)

        def by_door() -> None:
            call = Call(ours, "fit", type(ours).fit, args, {})
            with originals():
                fit_door.fit_in_one_go(ours, plain_fit(call))

        try:
            by_door()
        except Exception as why:  # the original would run
            print(f"  {cls.__name__} {n} x {p}: {why}")
            return None
        theirs.fit(*args)
        if vars(ours).keys() != vars(theirs).keys():
            print(f"  {cls.__name__}: other attributes", vars(ours).keys() ^ vars(theirs).keys())
            return None
        return (lambda: theirs.fit(*args)), by_door

    return points(pair) or points(pair, NARROW)


def points_of_answers(cls: type) -> dict[str, Points]:
    """The same for each method that has a door."""
    found: dict[str, Points] = {}
    for method in answer_door.METHODS:
        if not hasattr(cls, method):
            continue

        def pair(n: int, p: int, method: str = method) -> Any:
            estimator = made(cls)
            if isinstance(getattr(estimator, "max_iter", None), int):
                estimator.set_params(max_iter=5)  # answers take as long after a poor fit
            X, y = rows_for(estimator, 500, p)
            estimator.fit(X) if y is None else estimator.fit(X, y)
            model = millrace.compile(estimator, verify=False)
            if method not in model.methods or any(s[2] != "native" for s in model.info.steps):
                return None
            rows = rows_for(estimator, n, p, seed=1)[0]
            return (lambda: getattr(estimator, method)(rows)), lambda: getattr(model, method)(rows)

        try:
            found[method] = points(pair)
        except Exception as error:  # a class that these rows do not suit
            print(f"  {cls.__name__}.{method}: {type(error).__name__}: {str(error)[:100]}")
    return found


def points(pair: Callable[[int, int], Any], widths: tuple[int, ...] = ()) -> Points:
    """Measure sizes from small to large, as long as they are short enough."""
    found: Points = []
    for p in widths or PLAN.columns:
        last = (1, 0.0)
        for n in PLAN.rows:
            if last[1] * n / last[0] > PLAN.longest:
                break
            if n < 2 * p:
                continue
            if (calls := pair(n, p)) is None:
                continue
            theirs, ours = shortest(*calls)
            found.append((n, p, theirs, ours))
            last = n, max(theirs, ours)
    return found


def shortest(theirs: Callable[[], Any], ours: Callable[[], Any]) -> tuple[float, float]:
    """The shortest of some calls of each, in turns."""
    best = [1e9, 1e9]
    begun, rounds = time.perf_counter(), 0
    while rounds < 2 or (time.perf_counter() - begun < PLAN.a_point and rounds < 20):
        for side, call in enumerate((theirs, ours)):
            start = PLAN.clock()
            call()
            best[side] = min(best[side], PLAN.clock() - start)
        rounds += 1
    return best[0], best[1]


if __name__ == "__main__":
    main()
