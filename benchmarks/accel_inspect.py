"""How much faster is looking into a model of 300 trees with acceleration on?

`permutation_importance` (5 repeats of 20 columns, 1,000 rows) and `partial_dependence` (50 values of a
column, 7 by 7 of a pair) are called with unchanged code. Both sides run in one process: scikit-learn's
side inside a block in which calls go straight to its own methods. Compiling is counted where it happens,
in the first call of each case ("first call"); later calls find the model compiled. Importance of
histogram boosting is left out, since one call of scikit-learn takes longer than all other cases.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks import harness
from benchmarks.harness import MILLRACE, Case, Contender, Target

SKLEARN = "scikit-learn"
LIMIT = (
    "Permutation importance walks each row once down each tree, and further only where a permuted value "
    "parts from it; every version of a row still adds one value a tree, in the order of trees. A model "
    "without such a walk (histograms) is left with scoring: about 0.4 ms for each of 101 scores."
)
N_TREES = 300


def main() -> None:
    chosen = harness.options(__doc__)
    warnings.simplefilter("ignore")
    result = harness.begin("accel_inspect", "Inspection, accelerated", __doc__, chosen, LIMIT)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1_000, 20))
    y = X[:, 0] + X[:, 1] * X[:, 2] + 0.5 * rng.normal(size=len(X))
    for name, make in forests().items():
        classes = "Classifier" in name
        fitted = make().fit(X, (y > 0).astype(int) if classes else y)
        goal = (y > 0).astype(int) if classes else y
        for what, call in (
            ("permutation importance", importance),
            ("partial dependence", dependence),
        ):
            if call is importance and name.startswith("Hist"):
                continue
            result.cases.append(compared(name, what, partial(call, fitted, X, goal), chosen))
    result.write()


def forests() -> dict[str, Callable[[], Any]]:
    from sklearn.ensemble import (
        GradientBoostingClassifier,
        HistGradientBoostingRegressor,
        RandomForestClassifier,
        RandomForestRegressor,
    )

    return {
        "RandomForestClassifier": partial(RandomForestClassifier, N_TREES, random_state=0),
        "RandomForestRegressor": partial(
            RandomForestRegressor, N_TREES, max_features=0.3, random_state=0
        ),
        "GradientBoostingClassifier": partial(
            GradientBoostingClassifier, n_estimators=N_TREES, random_state=0
        ),
        "HistGradientBoostingRegressor": partial(
            HistGradientBoostingRegressor, max_iter=N_TREES, random_state=0
        ),
    }


def importance(fitted: Any, X: np.ndarray, y: np.ndarray) -> np.ndarray:
    from sklearn.inspection import permutation_importance

    found: Any = permutation_importance(fitted, X, y, n_repeats=5, random_state=0)
    return found["importances"]


def dependence(fitted: Any, X: np.ndarray, y: np.ndarray) -> np.ndarray:
    from sklearn.inspection import partial_dependence

    answers = [
        partial_dependence(fitted, X, features, kind="average", grid_resolution=points)["average"]
        for features, points in (([0], 50), ([0, 1], 7))
    ]
    return np.concatenate([a.ravel() for a in answers])


def compared(name: str, what: str, call: Callable[[], np.ndarray], chosen: harness.Options) -> Case:
    goal = Target(f"{what} of {name}", 8.0, 16.0, (SKLEARN,))
    case = Case(f"{what}, {name} of {N_TREES} trees", tolerance=1e-9, targets=(goal,))
    contenders = [
        Contender(MILLRACE, lambda: None, lambda _: ours(call), note="compiled before"),
        Contender(SKLEARN, lambda: None, lambda _: theirs(call)),
    ]
    began = time.perf_counter()
    ours(call)
    case.notes.append(f"The first call, which compiles, takes {time.perf_counter() - began:.2f} s.")
    return harness.run_case(case, contenders, SKLEARN, chosen.measure_budget(6.0, 60.0))


def ours(call: Callable[[], np.ndarray]) -> np.ndarray:
    import millrace

    millrace.accelerate()
    return call()


def theirs(call: Callable[[], np.ndarray]) -> np.ndarray:
    from millrace.accel.calls import originals

    with originals():
        return call()


if __name__ == "__main__":
    main()
