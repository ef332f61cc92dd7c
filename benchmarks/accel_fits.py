"""How much faster do fits run with acceleration on?

The jobs of the accelerated script: scikit-learn's own ``fit`` and the same line after
``millrace.accelerate("equivalent")``, at default parameters unless they are named. Quality beside it:
score on rows that neither has seen, or inertia. With ``--full`` at full size; else at a tenth.

At the end the geometric means over all classes with a door, of fits and of answers, from ``costs.json``
at its largest measured sizes (`accel_costs` measures both sides in one run).

scikit-learn-intelex, where it is installed in a virtual environment of its own, is measured in a process
of its own on the same rows: ``--intelex path/to/python``.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

import millrace
from benchmarks import harness
from benchmarks.accel_cases import found, quiet
from benchmarks.accel_costs import TABLE
from benchmarks.harness import MILLRACE, Case, Contender, Target
from millrace.accel import costs

THEIRS = "scikit-learn"
INTELEX = "scikit-learn-intelex"

Quality = Callable[[Any, Any, Any], float]


@dataclass(frozen=True)
class Job:
    """One row of the table.

    Attributes
    ----------
    least : float
        By how much it has to be faster.
    rows, columns : int
    classes : int
        0 for regression, -1 for clusters.
    params : dict
    single : bool
        Whether the rows are float32.
    """

    name: str
    least: float
    rows: int
    columns: int
    classes: int
    params: dict[str, Any] = field(default_factory=dict)
    single: bool = False


JOBS = (
    Job("sklearn.ensemble.RandomForestClassifier", 12.0, 200_000, 28, 2, {"random_state": 0}),
    Job("sklearn.ensemble.RandomForestRegressor", 8.0, 200_000, 28, 0, {"random_state": 0}),
    Job("sklearn.ensemble.ExtraTreesClassifier", 2.0, 200_000, 28, 2, {"random_state": 0}),
    Job("sklearn.linear_model.LassoCV", 25.0, 1_000_000, 28, 0, single=True),
    Job("sklearn.linear_model.ElasticNetCV", 20.0, 1_000_000, 28, 0, single=True),
    Job("sklearn.linear_model.RidgeCV", 10.0, 1_000_000, 28, 0, single=True),
    Job("sklearn.linear_model.LogisticRegression", 4.0, 1_000_000, 28, 2),
    Job("sklearn.linear_model.LogisticRegression", 3.0, 200_000, 54, 7),
    Job("sklearn.cluster.KMeans", 4.0, 1_000_000, 28, -1, {"n_clusters": 64, "random_state": 0}),
    Job("sklearn.cluster.DBSCAN", 3.0, 200_000, 3, -1, {"eps": 0.3}),
    Job("sklearn.svm.SVC", 3.0, 20_000, 28, 2),
)


def main() -> None:
    parser = harness.command_line(__doc__)
    parser.add_argument("--only", default="", help="classes whose name holds this text")
    parser.add_argument("--intelex", default="", help="a Python that has scikit-learn-intelex")
    given = parser.parse_args()
    chosen = harness.chosen_options(given)
    result = harness.begin("accel_fits", "Fits, accelerated", __doc__, chosen, "")
    quiet()
    for job in JOBS:
        if given.only in job.name:
            result.cases.append(measured(job, chosen, given.intelex))
    result.cases.append(means())
    if not given.only:
        result.write()


def measured(job: Job, chosen: harness.Options, intelex: str) -> Case:
    """One job by all contenders, and what the answer was worth."""
    n = job.rows if chosen.full else job.rows // 10
    X, y = data(job, n + n // 5)
    cls: Any = found(job.name)
    last: dict[str, Any] = {}
    contenders = [
        Contender(MILLRACE, partial(ready, cls, job), partial(fit, X[:n], y[:n], last, MILLRACE)),
        Contender(THEIRS, partial(ready, cls, job), partial(fit, X[:n], y[:n], last, THEIRS)),
    ]
    for one in contenders:
        object.__setattr__(one, "read", nothing)
    name = f"{cls.__name__}, {n:,} x {job.columns} {X.dtype}"
    case = Case(name, unit="s", targets=(Target(name, job.least, job.least, (THEIRS,)),))
    harness.run_case(case, contenders, None, chosen.measure_budget(20.0, 240.0))
    worth = [quality(last[who], X[n:], y[n:]) for who in (THEIRS, MILLRACE)]
    case.notes.append(f"quality: scikit-learn {worth[0]:.5g}, Millrace {worth[1]:.5g}")
    if intelex:
        case.notes.append(f"{INTELEX}: {by_intelex(intelex, job, n):.3g} s")
    print(case.notes, flush=True)
    return case


def ready(cls: Any, job: Job) -> Any:
    """An estimator; the first use of a kernel is not what is measured here."""
    X, y = data(job, 2_000)
    with costs.always(), millrace.accelerated("equivalent"):
        cls(**job.params).fit(X, y)
    return cls(**job.params)


def fit(X: Any, y: Any, last: dict[str, Any], who: str, estimator: Any) -> None:
    if who == MILLRACE:
        with millrace.accelerated("equivalent"):
            last[who] = estimator.fit(X, y)
    else:
        last[who] = estimator.fit(X, y)


def nothing(_: Any) -> np.ndarray:
    return np.zeros(0)


def quality(model: Any, X: Any, y: Any) -> float:
    """The score on other rows; of clusters their inertia, or else how many there are."""
    if hasattr(model, "inertia_"):
        return float(model.inertia_)
    return float(model.score(X, y)) if hasattr(model, "score") else float(model.labels_.max() + 1)


def data(job: Job, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows with a target of the kind that a job wants; seeded."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, job.columns))
    if job.classes < 0:
        centers = np.random.default_rng(1).normal(0.0, 4.0, (64, job.columns))
        part = rng.integers(0, 64, n)
        return X * (0.2 if job.columns == 3 else 1.0) + centers[part], part
    weights = np.random.default_rng(1).standard_normal((job.columns, max(job.classes, 1)))
    scores = X @ weights + np.sin(2.0 * X[:, :1]) + 2.0 * rng.standard_normal((n, weights.shape[1]))
    y = scores[:, 0] if job.classes == 0 else scores.argmax(axis=1)
    return X.astype(np.float32 if job.single else np.float64), y


_IN_OTHER = """
import sys, time; sys.path.insert(0, {root!r})
from sklearnex import patch_sklearn; patch_sklearn(verbose=False)
from benchmarks.accel_fits import JOBS, data
import importlib
job = JOBS[{at}]; X, y = data(job, {n})
module, _, name = job.name.rpartition("."); cls = getattr(importlib.import_module(module), name)
cls(**job.params).fit(X[:2000], y[:2000])
best = 1e9
for _ in range(3):
    model, begun = cls(**job.params), time.perf_counter()
    model.fit(X, y)
    best = min(best, time.perf_counter() - begun)
print(best)
"""


def by_intelex(python: str, job: Job, n: int) -> float:
    """Seconds of the shortest of three fits in another environment."""
    code = _IN_OTHER.format(root=str(harness.ROOT.parent), at=JOBS.index(job), n=n)
    ran = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return float(ran.stdout.split()[-1])


def means() -> Case:
    """Geometric means over all classes with a door, each at the largest size that was measured."""
    table = json.loads(TABLE.read_text())
    case = Case("geometric means over classes, as measured by accel_costs")
    for what, kind in (("fit", "fits"), ("predict", "predicts")):
        ratios = [largest(methods[what]) for methods in table.values() if what in methods]
        mean = math.exp(sum(map(math.log, ratios)) / max(len(ratios), 1))
        goal = Target(f"{len(ratios)} {kind} with default parameters", 4.0, 4.0)
        case.verdicts.append(harness.verdict(goal, mean, THEIRS))
        print(f"{goal.job}: {mean:.2f}")
    return case


def largest(points: list[list[float]]) -> float:
    _, _, theirs, ours = max(points, key=lambda p: p[0] * p[1])
    return max(theirs / ours, 1.0)


if __name__ == "__main__":
    begun = time.perf_counter()
    main()
    print(f"{time.perf_counter() - begun:.0f} s", file=sys.stderr)
