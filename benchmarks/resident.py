"""How much faster are estimators that need all rows in memory than scikit-learn's own?

Neighbours and density: DBSCAN on 200,000 x 3, predictions of the nearest neighbours among 100,000 x 28,
the local outlier factor of 50,000 rows. Each against scikit-learn with its default parameters, on the
same arrays; answers are compared in full. Without `--full` there are fewer rows.

Each case is one function of the command line's options, found in `CASES`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks import harness
from benchmarks.harness import MILLRACE, Case, Contender, Target

SKLEARN = "scikit-learn"
LIMIT = (
    "A query of 28 columns meets 100,000 points in 2.8M products: at 32 a cycle and core, with AVX-512 "
    "in float32, 30 µs."
)


def main() -> None:
    chosen = harness.options(__doc__)
    warnings.simplefilter("ignore")
    result = harness.begin("resident", "Fits of rows in memory", __doc__, chosen, LIMIT)
    result.cases.extend(case(chosen) for case in CASES)
    result.write()


def fit_case(
    chosen: harness.Options,
    name: str,
    make: Callable[[], Any],
    data: tuple[np.ndarray, np.ndarray | None],
    attribute: str,
    least: float,
    tolerance: float = 0.0,
) -> Case:
    """``fit`` of an estimator, compared by one fitted attribute."""
    X, y = data
    goal = Target(name, least, 2 * least, (SKLEARN,))
    case = Case(
        f"{name} on {len(X):,} x {X.shape[1]}", unit="s", tolerance=tolerance, targets=(goal,)
    )

    def read(fitted: Any) -> np.ndarray:
        return np.asarray(getattr(fitted, attribute))

    def warmed() -> None:
        ours(make, X[:2000], None if y is None else y[:2000], None)

    contenders = [
        Contender(MILLRACE, warmed, partial(ours, make, X, y), read=read),
        Contender(SKLEARN, lambda: None, partial(theirs, make, X, y), read=read),
    ]
    return harness.run_case(case, contenders, SKLEARN, chosen.measure_budget(30.0, 90.0))


def ours(make: Callable[[], Any], X: Any, y: Any, _: Any) -> Any:
    import millrace as mr

    return mr.fit(make(), X, y, in_memory=True, progress=False)


def theirs(make: Callable[[], Any], X: Any, y: Any, _: Any) -> Any:
    return make().fit(X) if y is None else make().fit(X, y)


# -- cases ---------------------------------------------------------------------------------
def dbscan(chosen: harness.Options) -> Case:
    """Twenty clusters, some of which touch, and a few percent of noise."""
    from sklearn.cluster import DBSCAN
    from sklearn.datasets import make_blobs

    n = 200_000 if chosen.full else 50_000
    made: Any = make_blobs(n, 3, centers=20, center_box=(-20, 20), random_state=0)
    eps = 0.3 if chosen.full else 0.3 * 4 ** (1 / 3)  # as many neighbours
    return fit_case(chosen, "DBSCAN", partial(DBSCAN, eps=eps), (made[0], None), "labels_", 3.0)


def outlier_factor(chosen: harness.Options) -> Case:
    """The density of normal rows in few columns."""
    from sklearn.neighbors import LocalOutlierFactor

    n = 50_000 if chosen.full else 10_000
    X = np.random.default_rng(0).normal(size=(n, 8))
    return fit_case(
        chosen, "LocalOutlierFactor", LocalOutlierFactor, (X, None), "negative_outlier_factor_",
        2.0, 1e-9,
    )  # fmt: skip


def predict_case(chosen: harness.Options, name: str, tolerance: float = 0.0) -> Case:
    """``predict`` of an object of ``sklearn.neighbors`` with default parameters, compiled."""
    import sklearn.neighbors

    import millrace as mr

    n, n_asked = (100_000, 10_000) if chosen.full else (20_000, 5_000)
    rng = np.random.default_rng(0)
    X, asked = rng.normal(size=(n, 28)), rng.normal(size=(n_asked, 28))
    signal = X @ rng.normal(size=28)
    target = signal if name.endswith("Regressor") else (signal > 0).astype(int)
    model = getattr(sklearn.neighbors, name)().fit(X, target)
    goal = Target(f"{name}.predict", 2.0, 5.0, (SKLEARN,))
    case = Case(
        f"{name}.predict of {n_asked:,} rows among {n:,} x 28",
        unit="s", tolerance=tolerance, targets=(goal,),
    )  # fmt: skip
    contenders = [
        Contender(MILLRACE, lambda: mr.compile(model), lambda compiled: compiled.predict(asked)),
        Contender(SKLEARN, lambda: None, lambda _: model.predict(asked)),
    ]
    return harness.run_case(case, contenders, SKLEARN, chosen.measure_budget(30.0, 90.0))


def classify_by_neighbors(chosen: harness.Options) -> Case:
    return predict_case(chosen, "KNeighborsClassifier")


def regress_by_neighbors(chosen: harness.Options) -> Case:
    return predict_case(chosen, "KNeighborsRegressor", 1e-9)


def svc(chosen: harness.Options) -> Case:
    """Two classes of overlapping clusters: 4,494 support vectors of 20,000 rows; the same bits."""
    from sklearn.datasets import make_classification
    from sklearn.svm import SVC

    n = 20_000 if chosen.full else 5_000
    made: Any = make_classification(n, 28, n_informative=14, flip_y=0.05, random_state=0)
    return fit_case(chosen, "SVC", SVC, made, "dual_coef_", 3.0)


def svr(chosen: harness.Options) -> Case:
    """A smooth function of five of 28 columns and noise; the same bits."""
    from sklearn.svm import SVR

    n = 10_000 if chosen.full else 4_000
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 28))
    y = np.sin(X[:, 0]) + X[:, 1] * X[:, 2] + X[:, 3] - X[:, 4] + 0.2 * rng.normal(size=n)
    return fit_case(chosen, "SVR", SVR, (X, y), "dual_coef_", 3.0)


def impute_by_neighbors(chosen: harness.Options) -> Case:
    """``KNNImputer.transform`` of rows of which a fifth of the cells is missing."""
    from sklearn.impute import KNNImputer

    import millrace as mr

    n = 10_000 if chosen.full else 4_000
    rng = np.random.default_rng(0)
    known, asked = (
        np.where(rng.random((n, 20)) < 0.2, np.nan, rng.normal(size=(n, 20))) for _ in "xy"
    )
    model = KNNImputer().fit(known)
    goal = Target("KNNImputer.transform", 2.0, 5.0, (SKLEARN,))
    case = Case(
        f"KNNImputer.transform of {n:,} x 20 among {n:,}", unit="s", tolerance=1e-9, targets=(goal,)
    )
    contenders = [
        Contender(MILLRACE, lambda: mr.compile(model), lambda compiled: compiled.transform(asked)),
        Contender(SKLEARN, lambda: None, lambda _: model.transform(asked)),
    ]
    return harness.run_case(case, contenders, SKLEARN, chosen.measure_budget(30.0, 90.0))


CASES: tuple[Callable[[harness.Options], Case], ...] = (
    dbscan,
    outlier_factor,
    classify_by_neighbors,
    regress_by_neighbors,
    impute_by_neighbors,
    svc,
    svr,
)
"""All of them, in the order in which they are measured."""


if __name__ == "__main__":
    main()
