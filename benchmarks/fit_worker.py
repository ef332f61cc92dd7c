"""One job of `fit_file` or `fit_budget` in a process of its own: prints seconds and peak memory as JSON.

    python -m benchmarks.fit_worker JOB FILE

Imports are not timed, whoever makes them; what is read, fitted and kept is. Peak memory is that of the
whole process.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 65_536
TEST_ROWS = 100_000


def scan_pyarrow(path: Path) -> None:
    import pyarrow.dataset as ds

    for _ in ds.dataset(path, format=path.suffix[1:]).to_batches():
        pass


def scan_polars(path: Path) -> None:
    import polars as pl

    lazy = pl.scan_csv(path) if path.suffix == ".csv" else pl.scan_parquet(path)
    for _ in lazy.collect_batches(chunk_size=BATCH):
        pass


def scan_duckdb(path: Path) -> None:
    import duckdb

    found = duckdb.connect().execute(f"select * from '{path}'")
    reader = found.to_arrow_reader(BATCH)
    for _ in reader:
        pass


def scan_pandas(path: Path) -> None:
    import pandas as pd

    pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)


def millrace_logistic(path: Path) -> Any:
    from sklearn.linear_model import LogisticRegression

    import millrace as mr

    return mr.fit(LogisticRegression(), path, "target", progress=False)


def sklearn_logistic(path: Path) -> Any:
    import pandas as pd
    from sklearn.linear_model import LogisticRegression

    table = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    return LogisticRegression().fit(table.drop(columns="target"), table["target"])


def pandas_chunks(path: Path) -> Any:
    import pandas as pd
    from sklearn.linear_model import SGDClassifier

    model = SGDClassifier(loss="log_loss", random_state=0)
    for chunk in pd.read_csv(path, chunksize=BATCH):
        model.partial_fit(chunk.drop(columns="target"), chunk["target"], classes=[0, 1])
    return model


JOBS: dict[str, Callable[[Path], Any]] = {
    "scan-pyarrow": scan_pyarrow,
    "scan-polars": scan_polars,
    "scan-duckdb": scan_duckdb,
    "scan-pandas": scan_pandas,
    "millrace": millrace_logistic,
    "scikit-learn": sklearn_logistic,
    "chunks": pandas_chunks,
}


def main() -> None:
    job, path = sys.argv[1], Path(sys.argv[2])
    imported(job)
    begun = time.perf_counter()
    model = JOBS[job](path)
    seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    found: dict[str, Any] = {"seconds": seconds, "peak_memory": peak}
    if model is not None:
        import pandas as pd

        test = pd.read_parquet(path.with_name("fit-test.parquet"))
        answers = model.predict(test.drop(columns="target"))
        found["accuracy"] = float(np.mean(answers == test["target"]))
    print(json.dumps(found))


def imported(job: str) -> None:
    """Load what the job will import, so that only its work is timed."""
    needed = {
        "scan-pyarrow": ("pyarrow.dataset",),
        "scan-polars": ("polars",),
        "scan-duckdb": ("duckdb",),
        "scan-pandas": ("pandas",),
        "millrace": (
            "sklearn.linear_model",
            "millrace.fitting",
            "millrace.solvers.sklearn.logistic",
            "millrace.data.csv",
            "millrace.data.parquet",
        ),
        "scikit-learn": ("pandas", "pyarrow.parquet", "sklearn.linear_model"),
        "chunks": ("pandas", "sklearn.linear_model"),
    }
    for name in needed[job]:
        __import__(name)


if __name__ == "__main__":
    main()
