"""How fast does a random forest of 100 trees, grown to purity on 20,000 rows, answer a batch?

60,000 rows × 28 float32, one call: `predict_proba` of a classifier and `predict` of a regressor,
whose trees have a leaf for almost every row of their sample.

scikit-learn on several threads adds the trees in the order in which the threads finish, so its last
bits change from call to call. The answers are compared with the one that it gives on one thread.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from benchmarks import harness, models, peers
from benchmarks.harness import Case, Contender, Options, Target
from benchmarks.models import Model

ROWS = 60_000

LIMIT = (
    "Trees this deep are walked, not compared whole: about 15 and 18 steps a tree and row, so "
    "60,000 × 100 × 15 = 90 million dependent loads. A tree of some thousand nodes of 16 bytes "
    "fits the second level cache (14 cycles a load); with 8 rows in flight the loads overlap and "
    "90 million × 14 ÷ 8 ÷ 2 cores ÷ 2.6 GHz = 30 ms. The regressor's trees are several times "
    "larger than that cache and pay the third level (about 50 cycles): 108 million × 50 ÷ 8 ÷ 2 ÷ "
    "2.6 GHz = 130 ms."
)


def targets(kind: str) -> tuple[Target, ...]:
    job = f"RandomForest{kind} 100 trees to purity, batch"
    return (Target(job, 2, 4, ("scikit-learn",)), Target(job, 2, 4, ("ONNX Runtime",)))


def main() -> None:
    chosen = harness.options(__doc__)
    result = harness.begin("forest_batch", "Random forest, a batch", __doc__, chosen, LIMIT)
    result.cases.append(forest(models.forest_classifier(), "Classifier", "predict_proba", chosen))
    result.cases.append(forest(models.forest_regressor(), "Regressor", "predict", chosen))
    result.write()


def forest(model: Model, kind: str, method: str, chosen: Options) -> Case:
    n_leaves = sum(tree.get_n_leaves() for tree in model.fitted.estimators_)
    case = Case(
        f"RandomForest{kind}, {n_leaves // 100:,} leaves a tree, {ROWS:,} rows: `{method}`",
        targets=targets(kind),
    )
    X = models.rows(ROWS, seed=7)
    return harness.run_case(
        case,
        contenders(model, method, X, n_leaves, chosen),
        source="scikit-learn",
        budget=chosen.measure_budget(quick=12, full=60),
        truth=peers.sklearn(model.fitted, 1, method).call(X),
    )


def contenders(
    model: Model, method: str, X: np.ndarray, n_leaves: int, chosen: Options
) -> list[Contender]:
    fitted, threads = model.fitted, chosen.threads
    torch = partial(peers.hummingbird, model, threads, X, method=method)
    return [
        peers.batch(harness.MILLRACE, lambda: peers.millrace(fitted, threads, method), X),
        peers.batch("scikit-learn", lambda: peers.sklearn(fitted, threads, method), X),
        peers.batch("ONNX Runtime", lambda: peers.onnxruntime(model, threads), X),
        peers.batch("TL2cgen", lambda: peers.tl2cgen(model, threads, n_leaves), X),
        peers.batch("Treelite GTIL", lambda: peers.treelite_gtil(model, threads), X),
        peers.batch("Hummingbird (torch)", torch, X),
    ]


if __name__ == "__main__":
    main()
