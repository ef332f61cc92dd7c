"""How fast does a LightGBM model of 500 trees × 31 leaves answer a batch of rows?

60,000 and (`--full`) 1,000,000 rows × 28 float32, one call. The regression model shows the trees
alone; the binary model adds the sigmoid that `Booster.predict` applies.
"""

from __future__ import annotations

from functools import partial

from benchmarks import harness, models, peers
from benchmarks.harness import Case, Contender, Options, Target
from benchmarks.models import Model

TREES, LEAVES = 500, 31
N_LEAVES = TREES * LEAVES

LIMIT = (
    "Reading 60,000 × 28 float32 once is 6.7 MB, under a millisecond of memory traffic, so "
    "arithmetic is the limit. Two floors for it, at 2.6 GHz on two cores with vectors of 16 "
    "floats: every split of every tree compared, 60,000 × 500 × 30 ÷ 16 = 56 million vector "
    "compares with a masked and, 11 ms at one compare a cycle; or only the splits on the path, "
    "about 5.5 a tree, 165 million dependent steps, 32 ms at one step a cycle and core."
)

RATIOS = (
    Target("LightGBM 500 × 31, batch", 12, 20, ("LightGBM",)),
    Target("LightGBM 500 × 31, batch", 8, 14, ("ONNX Runtime",)),
    Target("LightGBM 500 × 31, batch", 2.5, 4.5, peers.LLEAVES),
    Target("LightGBM 500 × 31, batch", 100, 100, ("Hummingbird (torch)",)),
)


def main() -> None:
    chosen = harness.options(__doc__)
    result = harness.begin("lightgbm_batch", "LightGBM, a batch", __doc__, chosen, LIMIT)
    result.extra["rows whose leaf ids were compared, all equal"] = check_leaves()
    result.cases.append(regression(chosen, 60_000))
    result.cases.append(binary(chosen, 60_000))
    if chosen.full:
        result.cases.append(regression(chosen, 1_000_000))
    result.write()


def check_leaves() -> int:
    """Every row must end in the same leaf of every tree as in LightGBM."""
    import millrace as mr

    booster = models.lightgbm_regressor(TREES, LEAVES).fitted.booster_
    X = models.rows(20_000, seed=8)
    ours = mr.compile(booster).predict(X, pred_leaf=True)
    wrong = int((ours != booster.predict(X, pred_leaf=True)).sum())
    if wrong:
        raise harness.WrongAnswer(f"{wrong} of {ours.size} leaf ids differ from LightGBM's")
    return len(X)


def regression(chosen: Options, n_rows: int) -> Case:
    model = models.lightgbm_regressor(TREES, LEAVES)
    case = Case(f"regression, {n_rows:,} rows × 28 float32: `Booster.predict`", targets=RATIOS)
    return harness.run_case(
        case,
        contenders(model, n_rows, chosen, method="predict", positive=False),
        source="LightGBM",
        budget=chosen.measure_budget(quick=15, full=90),
    )


def binary(chosen: Options, n_rows: int) -> Case:
    model = models.lightgbm_classifier(TREES, LEAVES)
    case = Case(f"binary, {n_rows:,} rows × 28 float32: `Booster.predict`", targets=RATIOS)
    return harness.run_case(
        case,
        contenders(model, n_rows, chosen, method="predict_proba", positive=True),
        source="LightGBM",
        budget=chosen.measure_budget(quick=15, full=90),
    )


def contenders(
    model: Model, n_rows: int, chosen: Options, *, method: str, positive: bool
) -> list[Contender]:
    X = models.rows(n_rows, seed=7)
    fitted, threads = model.fitted, chosen.threads
    torch = partial(peers.hummingbird, model, threads, X, method=method, positive=positive)
    return [
        peers.batch(harness.MILLRACE, lambda: peers.millrace(fitted.booster_, threads), X),
        peers.batch("LightGBM", lambda: peers.lightgbm(fitted, threads), X),
        peers.lleaves(model, X, threads, N_LEAVES),
        peers.lleaves(model, X, threads, N_LEAVES, fp64=False),
        peers.batch(
            "TL2cgen", lambda: peers.tl2cgen(model, threads, N_LEAVES, positive=positive), X
        ),
        peers.batch(
            "ONNX Runtime", lambda: peers.onnxruntime(model, threads, positive=positive), X
        ),
        peers.batch(
            "Treelite GTIL", lambda: peers.treelite_gtil(model, threads, positive=positive), X
        ),
        peers.batch("Hummingbird (torch)", torch, X),
        peers.batch("Hummingbird (torch.jit)", partial(torch, backend="torch.jit"), X),
    ]


if __name__ == "__main__":
    main()
