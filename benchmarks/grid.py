"""Is there any shape of model and batch for which a peer is faster?

LightGBM regression models, trees {10, 100, 1,000, 5,000} × leaves {4, 31, 255, 4,000}, asked for
{1, 100, 10,000, 1,000,000} rows × 28 float32 in one call; `--quick` takes the smaller half. The
models are put together from real trained trees (see `benchmarks/forests.py`). One row is asked on
one thread by everyone, since that is each peer's fastest; 1,000 different rows follow each other
there.

So that the grid ends in an hour or two: a peer that was more than 10 times slower than the best at
100 rows, or 3 times at 10,000, is not asked for more; a cell in which one call would take over a
minute uses fewer rows, and says so. `--trees` and `--leaves` try a part and write nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import numpy as np

from benchmarks import forests, harness, models, peers
from benchmarks.harness import MILLRACE, Case, Contender, Options, Skip, Target
from benchmarks.models import Model
from benchmarks.peers import Make, Predictor

TREES = (10, 100, 1_000, 5_000)
LEAVES = (4, 31, 255, 4_000)
ROWS = (1, 100, 10_000, 1_000_000)
QUICK_TREES, QUICK_LEAVES, QUICK_ROWS = TREES[:3], LEAVES[:3], ROWS[:3]

DIFFERENT_ROWS = 1_000  # asked one by one in the cells of one row
LONGEST_CALL = 60.0
LEFT_BEHIND = {100: 10.0, 10_000: 3.0}  # from these rows on, peers this much slower leave
# Above this many leaves a peer needs minutes to convert the model, or too much memory.
MAX_LEAVES_ONNX = 1_300_000
MAX_LEAVES_TREELITE = 5_000_000
MAX_LEAVES_TORCH = 20_000
MAX_LEAVES_COMPILED_QUICK = 8_000

TARGET = Target("every cell of the grid, against the best peer", 0.9, 1.5)


def main() -> None:
    parser = harness.command_line(__doc__)
    parser.add_argument("--trees", type=int, nargs="+", help="only these")
    parser.add_argument("--leaves", type=int, nargs="+", help="only these")
    given = parser.parse_args()
    chosen = harness.chosen_options(given)
    trees = given.trees or (TREES if chosen.full else QUICK_TREES)
    leaves = given.leaves or (LEAVES if chosen.full else QUICK_LEAVES)
    result = harness.begin("grid", "The grid", __doc__, chosen)
    cells: list[Cell] = []
    for n_trees in trees:
        for n_leaves in leaves:
            for cell, case in column(n_trees, n_leaves, chosen):
                cells.append(cell)
                result.cases.append(case)
    summary = worst(cells)
    harness.print_case(summary)
    result.cases.insert(0, summary)
    result.extra["grid"] = [vars(cell) for cell in cells]
    if not partly(given):
        result.write()


def partly(given: argparse.Namespace) -> bool:
    return bool(given.trees or given.leaves)


@dataclass
class Cell:
    """One cell of the grid: Millrace against the fastest peer."""

    trees: int
    leaves: int
    rows: int
    rows_used: int
    seconds: float
    best_peer: str
    best_peer_seconds: float
    ratio: float


def worst(cells: list[Cell]) -> Case:
    """The verdict over all cells is that of the worst."""
    case = Case(f"all {len(cells)} cells")
    if cells:
        least = min(cells, key=lambda cell: cell.ratio)
        where = f"{least.best_peer} at {least.trees:,} × {least.leaves:,}, {least.rows:,} rows"
        case.verdicts.append(harness.verdict(TARGET, least.ratio, where))
    return case


def column(n_trees: int, n_leaves: int, chosen: Options) -> list[tuple[Cell, Case]]:
    """All row counts for one model."""
    model = forests.forest(n_trees, n_leaves)
    contest = Contest(model, n_trees, n_leaves, chosen)
    return [contest.measure(rows) for rows in (ROWS if chosen.full else QUICK_ROWS)]


@dataclass
class Contest:
    """The contenders for one model, converted once, and what is known of their speed."""

    model: Model
    n_trees: int
    n_leaves: int
    chosen: Options
    left: dict[str, str] = field(default_factory=dict)  # peer -> why it is not asked any more
    a_row: dict[str, float] = field(default_factory=dict)  # seconds, in the cell measured before

    def __post_init__(self) -> None:
        self.make: Callable[[str, int], Predictor] = cache(self._make)
        self.compiled = cache(partial(_compile, self.model.fitted))

    @property
    def all_leaves(self) -> int:
        return self.n_trees * self.n_leaves

    def measure(self, rows: int) -> tuple[Cell, Case]:
        used = self._affordable(rows)
        X = models.rows(DIFFERENT_ROWS if rows == 1 else used, seed=7)
        fewer = "" if used == rows else f" ({used:,} of them)"
        case = Case(
            f"{self.n_trees:,} trees × {self.n_leaves:,} leaves, {rows:,} rows{fewer}",
            calls=DIFFERENT_ROWS if rows == 1 else 1,
            unit="µs" if rows <= 100 else "ms",
        )
        case.skipped.update(self.left)
        budget = self.chosen.measure_budget(quick=3, full=10)
        harness.run_case(case, self._contenders(X, rows), "LightGBM", budget)
        self._remember(case, rows, used)
        return self._cell(case, rows, used), case

    def _cell(self, case: Case, rows: int, used: int) -> Cell:
        ours = next(t for t in case.timings if t.name == MILLRACE)
        best = min((t for t in case.timings if t is not ours), key=lambda t: t.median)
        ratio = best.median / ours.median
        return Cell(
            self.n_trees, self.n_leaves, rows, used, ours.median, best.name, best.median, ratio
        )

    def _contenders(self, X: np.ndarray, rows: int) -> list[Contender]:
        threads = 1 if rows == 1 else self.chosen.threads
        shape = peers.row_by_row if rows == 1 else peers.batch
        names = ["LightGBM", "ONNX Runtime", "TL2cgen", "Treelite GTIL", "Hummingbird (torch)"]
        return [
            shape(MILLRACE, lambda: self._millrace(threads), X),
            *self._lleaves(X, rows, threads),
            *(shape(n, partial(self.make, n, threads), X) for n in names if n not in self.left),
        ]

    def _millrace(self, threads: int) -> Predictor:
        import millrace as mr

        mr.set_threads(threads)
        return Predictor(self.compiled().predict)

    def _lleaves(self, X: np.ndarray, rows: int, threads: int) -> list[Contender]:
        """lleaves starts a thread pool in every call, which pays from some hundred rows on."""
        if "lleaves" in self.left:
            return []
        if not self.chosen.full and self.all_leaves > MAX_LEAVES_COMPILED_QUICK:
            return [Contender("lleaves", _left_out_when_quick, run=len)]
        few = 1 if rows <= 100 else threads
        return [peers.lleaves(self.model, X, few, self.all_leaves, one_row=rows == 1)]

    def _make(self, name: str, threads: int) -> Predictor:
        fitted, n_leaves, full = self.model.fitted, self.all_leaves, self.chosen.full
        makers: dict[str, tuple[int, Make]] = {
            "LightGBM": (n_leaves, lambda: peers.lightgbm(fitted, threads)),
            "ONNX Runtime": (MAX_LEAVES_ONNX, lambda: peers.onnxruntime(self.model, threads)),
            "TL2cgen": (
                peers.MAX_LEAVES_TL2CGEN if full else MAX_LEAVES_COMPILED_QUICK,
                lambda: peers.tl2cgen(self.model, threads, n_leaves),
            ),
            "Treelite GTIL": (
                MAX_LEAVES_TREELITE,
                lambda: peers.treelite_gtil(self.model, threads),
            ),
            "Hummingbird (torch)": (
                MAX_LEAVES_TORCH,
                lambda: peers.hummingbird(self.model, threads, models.rows(1_000, seed=7)),
            ),
        }
        most, make = makers[name]
        if n_leaves > most:
            raise Skip(f"left out above {most:,} leaves")
        return make()

    def _affordable(self, rows: int) -> int:
        """As many of the rows as no contender is expected to spend over a minute on."""
        slowest = max((s for n, s in self.a_row.items() if n not in self.left), default=0.0)
        if slowest * rows <= LONGEST_CALL:
            return rows
        return max(10_000, int(LONGEST_CALL / slowest) // 10_000 * 10_000)

    def _remember(self, case: Case, rows: int, used: int) -> None:
        """Note the speed of each contender, and which are not worth asking for more rows."""
        if rows == 1:
            return
        best = min(t.median for t in case.timings)
        self.a_row = {t.name: t.median / used for t in case.timings}
        for timing in case.timings:
            slower = timing.median / best
            if timing.name not in (MILLRACE, "LightGBM") and slower > LEFT_BEHIND.get(rows, 1e9):
                self.left[timing.name] = f"{slower:.0f} times slower than the best at {rows:,} rows"


def _left_out_when_quick() -> None:
    raise Skip(f"left out above {MAX_LEAVES_COMPILED_QUICK:,} leaves without --full")


def _compile(fitted: Any) -> Any:
    import millrace as mr

    return mr.compile(fitted)


if __name__ == "__main__":
    main()
