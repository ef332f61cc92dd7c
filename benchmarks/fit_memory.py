"""How much faster is a fit of a table in memory than scikit-learn's own?

1M x 28 float32 (and float64, to see what is due to the dtype), the same array for both. Then fits that
share their reads: a scaler, five ridges and a logistic regression together against the logistic
regression alone; and a grid of 50 ridges on 5 folds against one fit and against `GridSearchCV`.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks import harness
from benchmarks.harness import MILLRACE, Case, Contender, Target

SKLEARN = "scikit-learn"
LIMIT = (
    "A Gram matrix of 1M x 28 is 0.8 GFLOP of products in float64: about 20 ms on two cores of 20 "
    "GFLOP/s each. One read of 112 MB takes 10 ms. An iteration of KMeans(64) is 3.6 GFLOP in float32."
)
LEAST = {
    "Ridge": 10.0,
    "LinearRegression": 3.0,
    "LassoCV": 20.0,
    "LogisticRegression": 3.0,
    "GaussianNB": 3.0,
    "StandardScaler": 2.0,
    "KMeans": 3.0,
}


def main() -> None:
    chosen = harness.options(__doc__)
    warnings.simplefilter("ignore")
    result = harness.begin("fit_memory", "Fitting in memory", __doc__, chosen, LIMIT)
    n = 1_000_000
    for dtype in ("float32", "float64"):
        X, y, c = data(n, dtype)
        for name, (make, target) in estimators(X, y, c).items():
            least = LEAST[name] if dtype == "float32" else 2.0
            goal = Target(f"{name}, {dtype}", least, 2 * least, (SKLEARN,))
            case = Case(f"{name} on {n:,} x 28 {dtype}", targets=(goal,))
            contenders = [
                Contender(MILLRACE, lambda: None, partial(ours, make, X, target), read=nothing),
                Contender(SKLEARN, lambda: None, partial(theirs, make, X, target), read=nothing),
            ]
            result.cases.append(
                harness.run_case(case, contenders, None, chosen.measure_budget(20.0, 90.0))
            )
    result.cases.append(together(chosen))
    result.cases.append(grid(chosen))
    result.cases.append(checkpointed(chosen))
    result.write()


def data(n: int, dtype: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 28)).astype(dtype)
    z = X @ rng.normal(size=28)
    return X, (z + rng.normal(size=n)).astype(dtype), (z + rng.logistic(size=n) > 0).astype(int)


def estimators(
    X: np.ndarray, y: np.ndarray, c: np.ndarray
) -> dict[str, tuple[Callable[[], Any], Any]]:
    from sklearn.cluster import KMeans
    from sklearn.linear_model import LassoCV, LinearRegression, LogisticRegression, Ridge
    from sklearn.naive_bayes import GaussianNB
    from sklearn.preprocessing import StandardScaler

    return {
        "Ridge": (Ridge, y),
        "LinearRegression": (LinearRegression, y),
        "LassoCV": (LassoCV, y),
        "LogisticRegression": (LogisticRegression, c),
        "GaussianNB": (GaussianNB, c),
        "StandardScaler": (StandardScaler, None),
        "KMeans": (partial(KMeans, 64, init=X[:64].copy(), n_init=1, max_iter=20), None),
    }


def ours(make: Callable[[], Any], X: Any, y: Any, _: Any) -> Any:
    import millrace as mr

    return mr.fit(make(), X, y, progress=False)


def theirs(make: Callable[[], Any], X: Any, y: Any, _: Any) -> Any:
    return make().fit(X) if y is None else make().fit(X, y)


def nothing(_: Any) -> np.ndarray:
    return np.zeros(0)


def together(chosen: harness.Options) -> Case:
    """StandardScaler + five Ridges + LogisticRegression in one call, over the last alone."""
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.preprocessing import StandardScaler

    from millrace.fitting.fit import session
    from millrace.solvers import Fit

    X, _, c = data(1_000_000, "float32")

    def all_of(_: Any) -> None:
        with session(X, c, progress=False) as run:
            rows = run.data.rows()
            steps = [
                StandardScaler(),
                *(Ridge(alpha=10.0**k) for k in range(5)),
                LogisticRegression(),
            ]
            run.fit([Fit(s, rows) for s in steps])

    case = Case("a scaler, five ridges and a logistic regression on 1M x 28")
    alone = "LogisticRegression alone"
    contenders = [
        Contender(MILLRACE, lambda: None, all_of, read=nothing),
        Contender(alone, lambda: None, partial(ours, LogisticRegression, X, c), read=nothing),
    ]
    harness.run_case(case, contenders, None, chosen.measure_budget(20.0, 90.0))
    a, b = case.timing(MILLRACE), case.timing(alone)
    measured = a.median / b.median if a and b else None
    goal = Target("seven fits over one", 1.6, 1.2)
    case.verdicts.append(harness.verdict(goal, measured, alone, higher_is_better=False))
    return case


def grid(chosen: harness.Options) -> Case:
    """5 folds x 50 alphas of an imputing, encoding, scaling Ridge pipeline."""
    import pandas as pd
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV, KFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    import millrace as mr

    n = 200_000 if chosen.full else 50_000
    X, y, _ = data(n, "float64")
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(X[:, :10], columns=[f"x{j}" for j in range(10)])
    frame = frame.mask(rng.random(frame.shape) < 0.05)
    for j in range(3):
        frame[f"c{j}"] = rng.choice([f"word{k}" for k in range(12)], n)
    numbers, words = [f"x{j}" for j in range(10)], [f"c{j}" for j in range(3)]

    def pipeline() -> Any:
        return make_pipeline(
            make_column_transformer(
                (make_pipeline(SimpleImputer(), StandardScaler()), numbers),
                (OneHotEncoder(handle_unknown="ignore"), words),
            ),
            Ridge(),
        )

    alphas = {"ridge__alpha": np.geomspace(1e-3, 1e4, 50)}
    case = Case(f"5 folds x 50 alphas of a Ridge pipeline on {n:,} x 13", unit="s")
    one, peer = f"{MILLRACE}, one fit", "GridSearchCV"
    contenders = [
        Contender(
            MILLRACE,
            lambda: None,
            lambda _: mr.search(pipeline(), alphas, frame, y, folds=KFold(5), progress=False),
            read=nothing,
        ),
        Contender(one, lambda: None, partial(ours, pipeline, frame, y), read=nothing),
        Contender(
            peer,
            lambda: None,
            lambda _: GridSearchCV(pipeline(), alphas, cv=KFold(5)).fit(frame, y),
            read=nothing,
        ),
    ]
    harness.run_case(case, contenders, None, chosen.measure_budget(60.0, 240.0))
    a, b, c = (case.timing(t) for t in (MILLRACE, one, peer))
    if a and b:
        goal = Target("250 fits over one", 2.5, 1.5)
        case.verdicts.append(
            harness.verdict(goal, a.median / b.median, one, higher_is_better=False)
        )
    if a and c:
        case.verdicts.append(
            harness.verdict(Target("against GridSearchCV", 30.0, 60.0), c.median / a.median, peer)
        )
    return case


def checkpointed(chosen: harness.Options) -> Case:
    """A logistic regression that keeps a checkpoint over one that does not."""
    from sklearn.linear_model import LogisticRegression

    import millrace as mr

    n = 4_000_000 if chosen.full else 1_000_000
    X, _, c = data(n, "float32")
    case = Case(f"LogisticRegression on {n:,} x 28 with a checkpoint")
    without = "without a checkpoint"

    def kept(_: Any) -> None:
        with tempfile.TemporaryDirectory() as folder:
            mr.fit(LogisticRegression(), X, c, checkpoint=folder, progress=False)

    contenders = [
        Contender(MILLRACE, lambda: None, kept, read=nothing),
        Contender(without, lambda: None, partial(ours, LogisticRegression, X, c), read=nothing),
    ]
    harness.run_case(case, contenders, None, chosen.measure_budget(60.0, 120.0))
    a, b = case.timing(MILLRACE), case.timing(without)
    measured = a.median / b.median if a and b else None
    goal = Target("time with over time without", 1.03, 1.01)
    case.verdicts.append(harness.verdict(goal, measured, without, higher_is_better=False))
    return case


if __name__ == "__main__":
    main()
