"""One fit of `fit_budget` in a process of its own: prints what it took as JSON.

    python -m benchmarks.budget_worker plan|fit MODEL FILE MEMORY

Peak memory is that of this process since it began (``VmHWM``), imports and Numba's compiler included, and
pages of mapped files too: those of libraries, 160 MB, and of the bins of a forest while they are mapped;
`ru_maxrss` would begin with the size of the process that started it.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

NUMBERS = [f"x{j}" for j in range(36)]
STRINGS = {"channel": 4, "region": 12, "product": 50}
"""String columns, and how many values each has."""


def pipeline(model: str) -> Any:
    """Impute, one-hot and scale, then the model."""
    from sklearn.cluster import KMeans
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    once: Any = 1  # scikit-learn's annotation leaves numbers out
    models = {
        "Ridge": Ridge(),
        "LogisticRegression": LogisticRegression(),
        "KMeans": KMeans(16, n_init=once, max_iter=20, random_state=0),
        "RandomForest": RandomForestClassifier(50, max_depth=8, random_state=0),
    }
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    strings = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder())
    columns = make_column_transformer((numbers, NUMBERS), (strings, list(STRINGS)))
    return make_pipeline(columns, models[model])


def main() -> None:
    what, model, path, memory = sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4]
    import millrace as mr
    from millrace.fitting import fit_report

    target = None if model == "KMeans" else "amount" if model == "Ridge" else "bought"
    wanted = [*NUMBERS, *STRINGS, *([target] if target else [])]
    table = mr.scan(path, columns=wanted)
    estimator = pipeline(model)
    if what == "plan":
        plan = mr.plan(estimator, table, target, memory=memory)
        print(json.dumps({"sweeps": plan.sweeps}))
        return
    begin, parts = _now("VmRSS"), Parts()
    started = time.perf_counter()
    mr.fit(estimator, table, target, memory=memory, progress=False)
    seconds = time.perf_counter() - started
    report = fit_report(estimator)
    print(
        json.dumps({
            "seconds": seconds,
            "peak": _now("VmHWM"),
            "imports": begin,
            "largest": parts.largest,
            "sweeps": [s.asked for s in report.sweeps],
            "notes": [" ".join(n) for n in report.notes],
        })
    )  # fmt: skip


class Parts(threading.Thread):
    """Looks every 20 ms of what kind the memory of this process is."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.largest = {"RssAnon": 0, "RssFile": 0, "RssShmem": 0}
        self.start()

    def run(self) -> None:
        while True:
            for kind, before in self.largest.items():
                self.largest[kind] = max(before, _now(kind))
            time.sleep(0.02)


def _now(kind: str) -> int:
    """One line of ``/proc/self/status``, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(kind + ":"):
            return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    main()
