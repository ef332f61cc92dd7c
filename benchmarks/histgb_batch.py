"""How fast does a HistGradientBoosting model of 300 trees × 31 leaves answer a batch of rows?

60,000 rows × 28 float32, one call of `predict`. scikit-learn converts the rows to float64 inside
the call, since its thresholds are float64; so does every exact answer, in one way or another.
"""

from __future__ import annotations

from functools import partial

from benchmarks import harness, models, peers
from benchmarks.harness import Case, Contender, Options, Target
from benchmarks.models import Model

TREES, LEAVES = 300, 31
N_LEAVES = TREES * LEAVES

LIMIT = (
    "Every split compared: 60,000 × 300 × 30 ÷ 16 = 34 million vector compares in float32, 6.5 ms "
    "at one a cycle, 2.6 GHz, two cores. Float32 rows need no float64 compares: a float64 "
    "threshold and the largest float32 that is not above it send every float32 the same way."
)

RATIOS = (Target("HistGradientBoosting 300 × 31, batch", 8, 15, ("scikit-learn",)),)


def main() -> None:
    chosen = harness.options(__doc__)
    result = harness.begin("histgb_batch", "HistGradientBoosting, a batch", __doc__, chosen, LIMIT)
    for n_rows in (60_000, 1_000_000) if chosen.full else (60_000,):
        result.cases.append(regression(chosen, n_rows))
    result.write()


def regression(chosen: Options, n_rows: int) -> Case:
    model = models.histgb_regressor(TREES, LEAVES)
    case = Case(f"regression, {n_rows:,} rows × 28 float32: `predict`", targets=RATIOS)
    return harness.run_case(
        case,
        contenders(model, n_rows, chosen),
        source="scikit-learn",
        budget=chosen.measure_budget(quick=12, full=60),
    )


def contenders(model: Model, n_rows: int, chosen: Options) -> list[Contender]:
    X = models.rows(n_rows, seed=7)
    fitted, threads = model.fitted, chosen.threads
    torch = partial(peers.hummingbird, model, threads, X)
    return [
        peers.batch(harness.MILLRACE, lambda: peers.millrace(fitted, threads), X),
        peers.batch("scikit-learn", lambda: peers.sklearn(fitted, threads), X),
        peers.batch("TL2cgen", lambda: peers.tl2cgen(model, threads, N_LEAVES), X),
        peers.batch("ONNX Runtime", lambda: peers.onnxruntime(model, threads), X),
        peers.batch("Treelite GTIL", lambda: peers.treelite_gtil(model, threads), X),
        peers.batch("Hummingbird (torch)", torch, X),
    ]


if __name__ == "__main__":
    main()
