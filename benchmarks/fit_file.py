"""How much more than a bare scan of its file does a logistic regression cost?

`make_classification` with 5 columns, as CSV and as Parquet; 2M rows, with `--full` 20M (a CSV of 2 GB and
more). Every contender is a process of its own. Bare scans by the fastest readers that are installed;
scikit-learn reads everything with pandas and fits; `SGDClassifier` is fed chunks of pandas.

Timed is the job alone, from the path to the end of the scan or to the fitted model: nobody's imports are.
The notes give whole processes too: the interpreter, imports, the job, and for models the score of
100,000 rows.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness
from benchmarks.harness import CACHE, MILLRACE, Budget, Case, Contender, Skip, Target

SCANS = ("scan-pyarrow", "scan-polars", "scan-duckdb")
LIMIT = (
    "The bare scan by the fastest reader; what is fitted from the columns it leaves takes two or three "
    "passes over 40 bytes a row at memory bandwidth."
)


def main() -> None:
    chosen = harness.options(__doc__)
    result = harness.begin("fit_file", "Fitting from a file", __doc__, chosen, LIMIT)
    rows = 20_000_000 if chosen.full else 2_000_000
    for suffix, times in ((".csv", 1.5), (".parquet", 2.0)):
        path = made(rows, suffix)
        case = Case(
            f"logistic regression from {rows:,} x 5 in {suffix[1:]}, {path.stat().st_size >> 20:,} MB",
            unit="s",
            targets=targets(suffix, times),
        )
        seen: dict[str, dict[str, float]] = {}
        contenders = [contender(n, j, path, seen) for n, j in names(suffix).items()]
        rounds = 5 if chosen.full else 3
        budget = Budget(
            seconds=chosen.budget or 3600.0, min_rounds=rounds, max_rounds=rounds, turn_seconds=0.0
        )
        harness.run_case(case, contenders, None, budget)
        case.verdicts += against_scan(case, times)
        case.notes += [
            f"{name}: whole process {found['process']:.2f} s, "
            f"peak memory {found['peak_memory'] / 2**20:,.0f} MB"
            + (f", accuracy {found['accuracy']:.4f}" if "accuracy" in found else "")
            for name, found in seen.items()
        ]
        memory = seen[MILLRACE]["peak_memory"] / 2**20
        target = Target("peak memory of the fit", 600.0, 400.0, unit="MB")
        case.verdicts.append(harness.verdict(target, memory, higher_is_better=False))
        print("\n".join(f"  {n}" for n in case.notes))
        result.cases.append(case)
    result.write()


def names(suffix: str) -> dict[str, str]:
    """Contender -> job."""
    found = {MILLRACE: "millrace", "bare scan, pyarrow": "scan-pyarrow"}
    found |= {"bare scan, polars": "scan-polars", "bare scan, DuckDB": "scan-duckdb"}
    found |= {"scikit-learn, all in memory": "scikit-learn"}
    return found | ({"pandas chunks, partial_fit": "chunks"} if suffix == ".csv" else {})


def targets(suffix: str, times: float) -> tuple[Target, ...]:
    if suffix != ".csv":
        return ()
    return (
        Target("against scikit-learn, all in memory", 4.0, 8.0, ("scikit-learn, all in memory",)),
        Target("against pandas chunks", 1.0, 2.0, ("pandas chunks, partial_fit",)),
    )


def against_scan(case: Case, times: float) -> list[harness.Verdict]:
    """Our time over that of the fastest bare scan: lower is better."""
    scans = [t for t in case.timings if t.name.startswith("bare scan")]
    ours, fastest = case.timing(MILLRACE), min(scans, key=lambda t: t.median)
    measured = None if ours is None else ours.median / fastest.median
    target = Target("time over a bare scan", times, 1.0)
    return [harness.verdict(target, measured, fastest.name, higher_is_better=False)]


def contender(name: str, job: str, path: Path, seen: dict[str, dict[str, float]]) -> Contender:
    def run(_: Any) -> np.ndarray:
        begun = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "benchmarks.fit_worker", job, str(path)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise Skip((done.stderr.strip().splitlines() or ["failed"])[-1])
        found = json.loads(done.stdout.splitlines()[-1])
        found["process"] = time.perf_counter() - begun
        before = seen.get(name, found)
        found["peak_memory"] = max(before["peak_memory"], found["peak_memory"])
        found["process"] = min(before["process"], found["process"])
        seen[name] = found
        return np.zeros(0)

    def seconds(_: Any, repeats: int) -> float:
        total = 0.0
        for _ in range(repeats):
            run(None)
            total += seen[name]["seconds"]
        return total

    return Contender(name, lambda: None, run, seconds=seconds)


def made(rows: int, suffix: str) -> Path:
    """The table as a file, written once, and the test rows beside it."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.csv as pc
    import pyarrow.parquet as pq
    from sklearn.datasets import make_classification

    CACHE.mkdir(exist_ok=True)
    path = CACHE / f"fit-{rows}{suffix}"
    test = CACHE / "fit-test.parquet"
    if path.exists() and test.exists():
        return path
    X, y = make_classification(
        500_000, 5, n_informative=4, n_redundant=1, class_sep=0.7, random_state=0
    )
    rng = np.random.default_rng(0)
    names = [f"x{j}" for j in range(5)]

    def table(n: int, seed_rows: np.ndarray) -> Any:
        noise = rng.normal(0, 0.05, (n, 5))
        columns = {c: X[seed_rows, j] + noise[:, j] for j, c in enumerate(names)}
        return pa.table({**columns, "target": y[seed_rows]})

    pd.DataFrame(table(100_000, rng.integers(0, len(X), 100_000)).to_pandas()).to_parquet(test)
    writer: Any = None
    block = 500_000
    for _ in range(0, rows, block):
        part = table(block, rng.integers(0, len(X), block))
        if writer is None:
            make = partial(pc.CSVWriter) if suffix == ".csv" else partial(pq.ParquetWriter)
            writer = make(path, part.schema)
        writer.write_table(part)
    writer.close()
    return path


if __name__ == "__main__":
    main()
