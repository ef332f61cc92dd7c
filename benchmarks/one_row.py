"""How long does one row through a LightGBM model of 500 trees × 31 leaves take?

One row of 28 float32 as a NumPy array, one thread: `model.predict` with an array of shape (1, 28),
and the call that `model.row_function()` prepares, with an array of shape (28,). 1,000 different
rows are asked one after the other, so that no branch is learned by heart; a second table asks the
same row again and again, which is how such figures are often quoted.
"""

from __future__ import annotations

import numpy as np

from benchmarks import harness, models, peers
from benchmarks.harness import MILLRACE, Case, Contender, Options, Target
from benchmarks.models import Model

TREES, LEAVES = 500, 31
N_LEAVES = TREES * LEAVES
PREPARED = f"{MILLRACE}, prepared call"

LIMIT = (
    "About 5.5 splits on the path of each of 500 trees, 2,750 steps. Branching code that guesses "
    "half of them wrong pays 2,750 ÷ 2 × 15 cycles = 8 µs at 2.6 GHz. Without branches a step is a "
    "dependent load and compare of about 12 cycles; with 8 trees in flight 2,750 × 12 ÷ 8 cycles = "
    "1.6 µs. The model, 15,000 splits of 8 to 16 bytes, is read from the second-level cache: 500 "
    "trees × 3 lines × 14 cycles ÷ 8 = 1 µs. The call itself (Python, checking the array) adds "
    "about 1 µs."
)

TARGETS = (
    Target("one row, 500 × 31: `predict`", 15, 6, unit="µs"),
    Target("one row, 500 × 31: prepared call", 8, 4, contender=PREPARED, unit="µs"),
    Target("one row, prepared call", 1, 1.2, ("ONNX Runtime",), contender=PREPARED),
    Target("one row, prepared call", 1, 1.2, peers.LLEAVES, contender=PREPARED),
)


def main() -> None:
    chosen = harness.options(__doc__, threads=1)
    model = models.lightgbm_regressor(TREES, LEAVES)
    many = models.rows(1_000, seed=7)
    same = np.repeat(many[:1], 1_000, axis=0)
    result = harness.begin("one_row", "LightGBM, one row", __doc__, chosen, LIMIT)
    result.cases.append(one_by_one(model, "1,000 different rows, time a row", many, chosen))
    result.cases.append(one_by_one(model, "the same row 1,000 times, time a row", same, chosen))
    result.write()


def one_by_one(model: Model, name: str, X: np.ndarray, chosen: Options) -> Case:
    case = Case(name, calls=len(X), unit="µs", targets=TARGETS)
    return harness.run_case(
        case,
        contenders(model, X, chosen.threads),
        source="LightGBM",
        budget=chosen.measure_budget(quick=10, full=40),
    )


def contenders(model: Model, X: np.ndarray, threads: int) -> list[Contender]:
    fitted = model.fitted
    booster = fitted.booster_
    return [
        peers.row_by_row(MILLRACE, lambda: peers.millrace(booster, threads), X),
        peers.row_by_row(PREPARED, lambda: peers.millrace_prepared(booster, threads), X),
        peers.lleaves(model, X, threads, N_LEAVES, one_row=True),
        peers.lleaves(model, X, threads, N_LEAVES, one_row=True, fp64=False),
        peers.row_by_row("ONNX Runtime", lambda: peers.onnxruntime(model, threads), X),
        peers.row_by_row("TL2cgen", lambda: peers.tl2cgen(model, threads, N_LEAVES), X),
        peers.row_by_row("Treelite GTIL", lambda: peers.treelite_gtil(model, threads), X),
        peers.row_by_row("LightGBM", lambda: peers.lightgbm(fitted, threads), X),
    ]


if __name__ == "__main__":
    main()
