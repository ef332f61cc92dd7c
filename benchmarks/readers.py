"""Which reader is fastest through a file larger than memory, batch by batch?

2,000,000 rows of five floats and a label, as CSV (200 MB) and as Parquet. Every reader gives all
columns as Arrow batches or polars frames, in the order of the file, one after the other, as a sweep
takes them; the answer that is compared is the sum of a column. Each runs in a process of its own, which
keeps the clock and its peak memory. pandas and polars in one piece are there for scale: they hold the
whole table.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness
from benchmarks.harness import CACHE, MILLRACE, Budget, Case, Contender, Target

ROWS = 65_536
WARM = 1_000
COLUMN = "x0"

LIMIT = (
    "Turning the digits of 200 MB into floats is about half a second of one core for the best parsers "
    "here; the rest is how many cores they use. Parquet is bound by copying its pages."
)
TARGETS = {
    "csv": (Target("CSV, against the fastest other reader", 0.8, 1.0, (
        "pyarrow.csv", "pyarrow.dataset", "polars", "DuckDB")),),
    "parquet": (Target("Parquet, against the fastest other reader", 0.8, 1.0, (
        "pyarrow.parquet", "pyarrow.dataset", "polars", "DuckDB")),),
}  # fmt: skip


def main() -> None:
    parser = harness.command_line(__doc__)
    parser.add_argument("--read", nargs=2, metavar=("READER", "FILE"), help="used by the question")
    given = parser.parse_args()
    if given.read:
        print(json.dumps(measured(given.read[0], Path(given.read[1]))))
        return
    chosen = harness.chosen_options(given)
    result = harness.begin("readers", "Reading tables", __doc__, chosen, LIMIT)
    files(WARM)
    for path in files(20_000_000 if chosen.full else 2_000_000):
        kind = path.suffix[1:]
        case = Case(f"{path.name}, {path.stat().st_size / 1e6:,.0f} MB", targets=TARGETS[kind])
        seen: dict[str, dict[str, float]] = {}
        contenders = [
            Contender(
                name,
                partial(str, path),
                partial(answer, name, seen),
                partial(seconds, name, seen),
            )
            for name in READERS[kind]
        ]
        rounds = 9 if chosen.full else 4
        budget = Budget(
            chosen.budget or 600.0, min_rounds=rounds, max_rounds=rounds, turn_seconds=0.0
        )
        case.tolerance = 1e-3  # sums of millions of floats in other orders
        result.cases.append(harness.run_case(case, contenders, MILLRACE, budget))
        case.notes += [
            f"{name}: at least {found['cpu']:.2f} s of processor time, at most "
            f"{found['megabytes']:,.0f} MB taken by reading."
            for name, found in seen.items()
        ]
        print("\n".join(f"  {note}" for note in case.notes))
    result.write()


def files(n_rows: int) -> list[Path]:
    """The table as CSV and as Parquet, written once."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyarrow import csv

    CACHE.mkdir(exist_ok=True)
    paths = [CACHE / f"floats-{n_rows}.{kind}" for kind in ("csv", "parquet")]
    if all(p.exists() for p in paths):
        return paths
    asides = [Path(f"{p}.part") for p in paths]
    rng = np.random.default_rng(0)
    schema = pa.schema([*((f"x{i}", pa.float64()) for i in range(5)), ("y", pa.int64())])
    with csv.CSVWriter(asides[0], schema) as one, pq.ParquetWriter(asides[1], schema) as other:
        for first in range(0, n_rows, 200_000):
            n = min(n_rows - first, 200_000)
            columns = [rng.normal(size=n) for _ in range(5)]
            batch = pa.record_batch([*columns, rng.integers(0, 2, n)], schema=schema)
            one.write_batch(batch)
            other.write_batch(batch)
    for aside, path in zip(asides, paths, strict=True):
        aside.replace(path)
    return paths


# --- in a process of its own ----------------------------------------------------------------------


def process(name: str, path: str) -> dict[str, float]:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.readers", "--read", name, path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return json.loads(done.stdout)


def answer(name: str, seen: dict[str, dict[str, float]], path: str) -> float:
    seen[name] = process(name, path)
    return seen[name]["sum"]


def seconds(name: str, seen: dict[str, dict[str, float]], path: str, repeats: int) -> float:
    total = 0.0
    for _ in range(repeats):
        found = process(name, path)
        seen[name]["cpu"] = min(seen[name]["cpu"], found["cpu"])
        seen[name]["megabytes"] = max(seen[name]["megabytes"], found["megabytes"])
        total += found["seconds"]
    return total


def measured(name: str, path: Path) -> dict[str, float]:
    """Read a file once: seconds, the sum of a column, and megabytes above what the imports take."""
    read = READERS[path.suffix[1:]][name]
    # Imports, also those behind np.asarray of an Arrow array, and starts threads.
    sum_of(read(path.with_name(f"floats-{WARM}{path.suffix}")))
    before = status("VmRSS")
    begun, begun_cpu = time.perf_counter(), cpu()
    total = sum_of(read(path))
    return {
        "seconds": time.perf_counter() - begun,
        "cpu": cpu() - begun_cpu,
        "sum": total,
        "megabytes": status("VmHWM") - before,
    }


def sum_of(columns: Columns) -> float:
    return sum(float(np.asarray(column).sum()) for column in columns)


def cpu() -> float:
    """Seconds of processor time of all threads: unlike the clock's, not those of other processes."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def status(key: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) / 1024
    return float("nan")


Columns = Iterator[Any]


def millrace(path: Path) -> Columns:
    from millrace.data import scan

    return (b[COLUMN] for p in [path] for b in scan(p).batches(rows=ROWS))


def arrow_csv(path: Path) -> Columns:
    from pyarrow import csv

    return (b[COLUMN] for p in [path] for b in csv.open_csv(p))


def arrow_parquet(path: Path) -> Columns:
    import pyarrow.parquet as pq

    return (b[COLUMN] for p in [path] for b in pq.ParquetFile(p).iter_batches(ROWS))


def arrow_dataset(path: Path) -> Columns:
    from pyarrow import dataset

    form = path.suffix[1:]
    return (
        b[COLUMN]
        for p in [path]
        for b in dataset.dataset(p, format=form).to_batches(batch_size=ROWS)
    )


def polars(path: Path) -> Columns:
    import polars as pl

    scan = pl.scan_csv if path.suffix == ".csv" else pl.scan_parquet
    return (f[COLUMN] for p in [path] for f in scan(p).collect_batches(chunk_size=ROWS))


def polars_whole(path: Path) -> Columns:
    import polars as pl

    read = pl.read_csv if path.suffix == ".csv" else pl.read_parquet
    return (read(p)[COLUMN] for p in [path])


def duckdb(path: Path) -> Columns:
    import duckdb

    connection = duckdb.connect()
    return (b[COLUMN] for p in [path] for b in connection.sql(f"from '{p}'").to_arrow_reader(ROWS))


def pandas_whole(path: Path) -> Columns:
    import pandas as pd

    read: Any = pd.read_csv if path.suffix == ".csv" else pd.read_parquet
    return (read(p)[COLUMN] for p in [path])


_BOTH: dict[str, Callable[[Path], Columns]] = {
    "pyarrow.dataset": arrow_dataset,
    "polars": polars,
    "DuckDB": duckdb,
    "polars in one piece": polars_whole,
    "pandas in one piece": pandas_whole,
}
READERS: dict[str, dict[str, Callable[[Path], Columns]]] = {
    "csv": {MILLRACE: millrace, "pyarrow.csv": arrow_csv, **_BOTH},
    "parquet": {MILLRACE: millrace, "pyarrow.parquet": arrow_parquet, **_BOTH},
}


if __name__ == "__main__":
    main()
