"""How fast does an XGBoost model of 500 trees of depth 6 answer a batch of rows?

60,000 and (`--full`) 1,000,000 rows × 28 float32, one call, against `Booster.inplace_predict`, the
fastest public call of XGBoost, and `Booster.predict(DMatrix(X))`.
"""

from __future__ import annotations

from functools import partial

from benchmarks import harness, models, peers
from benchmarks.harness import Case, Contender, Options, Target
from benchmarks.models import Model

TREES, DEPTH = 500, 6
N_LEAVES = TREES * 2**DEPTH
INPLACE, DMATRIX = "XGBoost inplace_predict", "XGBoost predict(DMatrix(X))"

LIMIT = (
    "A full tree of depth 6 has 63 splits and 6 on a path. For 60,000 rows: all splits compared, "
    "60,000 × 500 × 63 ÷ 16 = 118 million vector compares, 23 ms at one a cycle, 2.6 GHz, two "
    "cores; the path alone, 180 million dependent steps, 35 ms at one a cycle and core. Reading "
    "the rows, 6.7 MB, takes under a millisecond."
)

RATIOS = (
    Target("XGBoost 500 × depth 6, batch", 2, 4, (INPLACE,)),
    Target("XGBoost 500 × depth 6, batch", 6, 10, ("ONNX Runtime",)),
)


def main() -> None:
    chosen = harness.options(__doc__)
    result = harness.begin("xgboost_batch", "XGBoost, a batch", __doc__, chosen, LIMIT)
    for n_rows in (60_000, 1_000_000) if chosen.full else (60_000,):
        result.cases.append(regression(chosen, n_rows))
    result.write()


def regression(chosen: Options, n_rows: int) -> Case:
    model = models.xgboost_regressor(TREES, DEPTH)
    case = Case(f"regression, {n_rows:,} rows × 28 float32: `inplace_predict`", targets=RATIOS)
    return harness.run_case(
        case,
        contenders(model, n_rows, chosen),
        source=INPLACE,
        budget=chosen.measure_budget(quick=15, full=90),
    )


def contenders(model: Model, n_rows: int, chosen: Options) -> list[Contender]:
    X = models.rows(n_rows, seed=7)
    fitted, threads = model.fitted, chosen.threads
    torch = partial(peers.hummingbird, model, threads, X)
    return [
        peers.batch(harness.MILLRACE, lambda: peers.millrace(fitted.get_booster(), threads), X),
        peers.batch(INPLACE, lambda: peers.xgboost_inplace(fitted, threads), X),
        peers.batch(DMATRIX, lambda: peers.xgboost_dmatrix(fitted, threads), X),
        peers.batch("TL2cgen", lambda: peers.tl2cgen(model, threads, N_LEAVES), X),
        peers.batch("ONNX Runtime", lambda: peers.onnxruntime(model, threads), X),
        peers.batch("Treelite GTIL", lambda: peers.treelite_gtil(model, threads), X),
        peers.batch("Hummingbird (torch)", torch, X),
    ]


if __name__ == "__main__":
    main()
