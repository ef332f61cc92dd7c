"""Does a fit keep to the memory that it is given?

A synthetic Parquet file with 36 columns of numbers and three of strings, some missing: 1 GB as it lies
in memory, with `--full` 10 GB. Impute, one-hot, scale; then a Ridge, a LogisticRegression, a KMeans of 16
and a RandomForest of 50 trees, each with ``memory="512MB"`` in a process of its own. Compared are the
peak of its resident memory with the budget, and its sweeps with those that `millrace.plan` announced.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness
from benchmarks.budget_worker import NUMBERS, STRINGS
from benchmarks.harness import CACHE, MILLRACE, Case, Target, Timing

MEMORY = 512 << 20
GROUP = 1 << 17
"""Rows that are made, and written as one row group, at a time."""

MODELS = ("Ridge", "LogisticRegression", "KMeans", "RandomForest")
LIMIT = (
    "Python with its libraries takes 150 to 250 MB of the budget before the first row is read; each "
    "thread works on a chunk and its one-hot columns; a forest needs the target and a few numbers of "
    "every row at a time."
)


def main() -> None:
    parser = harness.command_line(__doc__)
    parser.add_argument("--model", choices=MODELS, help="only this one; nothing is written")
    given = parser.parse_args()
    chosen = harness.chosen_options(given)
    result = harness.begin("fit_budget", "Fitting within a budget", __doc__, chosen, LIMIT)
    size = 10_000_000_000 if chosen.full else 1_000_000_000
    path = made(size)
    for model in (given.model,) if given.model else MODELS:
        result.cases.append(measured(model, path, size))
    if given.model is None:
        result.write()


def measured(model: str, path: Path, size: int) -> Case:
    """One model: its peak, its sweeps and the plan's."""
    plan, found = worker("plan", model, path), worker("fit", model, path)
    mark = Target("peak memory over the budget", 1.2, 1.0)
    case = Case(f"{model} from {size / 1e9:.0f} GB with memory='512MB'", unit="s", targets=(mark,))
    seconds, peak = found["seconds"], found["peak"]
    case.timings.append(Timing(MILLRACE, seconds, seconds, seconds, seconds, 1))
    case.verdicts.append(harness.verdict(mark, peak / MEMORY, "512 MB", higher_is_better=False))
    kinds = {k: f"{v >> 20:,} MB" for k, v in found["largest"].items() if v}
    case.notes += [
        f"peak {peak >> 20:,} MB, of which {found['imports'] >> 20:,} MB before the fit; {kinds}",
        f"{len(found['sweeps'])} sweeps, {len(plan['sweeps'])} planned; {compared(plan, found)}",
        *found["notes"],
    ]
    harness.print_case(case)
    return case


def compared(plan: dict[str, Any], found: dict[str, Any]) -> str:
    """Whether a fit asked for what its plan said, repeated sweeps of a solver that iterates aside."""
    planned, asked = (_once(f["sweeps"]) for f in (plan, found))
    return "as planned" if planned == asked else f"planned {planned}, asked {asked}"


def _once(sweeps: list[list[str]]) -> list[list[str]]:
    return [s for i, s in enumerate(sweeps) if i == 0 or s != sweeps[i - 1]]


def worker(what: str, model: str, path: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.budget_worker", what, model, str(path), str(MEMORY)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def made(size: int) -> Path:
    """The table as a file, written once, in pieces."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    CACHE.mkdir(exist_ok=True)
    path = CACHE / f"budget-{size // 10**9}GB.parquet"
    if path.exists():
        return path
    rng, part = np.random.default_rng(0), path.with_suffix(".part")
    first = pa.table(columns(rng, GROUP))
    with pq.ParquetWriter(part, first.schema, compression="lz4") as writer:
        for _ in range(0, size, first.nbytes):
            writer.write_table(pa.table(columns(rng, GROUP)))
    return part.replace(path)


def columns(rng: np.random.Generator, n: int) -> dict[str, Any]:
    """Numbers and strings, one cell in twenty missing, and two targets that depend on them."""
    import pyarrow as pa

    found: dict[str, Any] = {}
    score = np.zeros(n)
    for j, name in enumerate(NUMBERS):
        x = rng.normal(j, 1 + j % 7, n).round(2 + j % 3)
        score += (x - j) / (1 + j % 7) * np.cos(j)
        found[name] = pa.array(x, mask=rng.random(n) < 0.05)
    for name, count in STRINGS.items():
        codes = np.minimum(rng.exponential(count / 4, n).astype(np.int32), count - 1)
        score += np.sin(codes)
        words = pa.array([f"{name}-{k}" for k in range(count)])
        found[name] = words.take(pa.array(codes, mask=rng.random(n) < 0.05))
    found["amount"] = score + rng.normal(0, 2, n)
    found["bought"] = (score + rng.logistic(0, 2, n) > 0).astype(np.int8)
    return found


if __name__ == "__main__":
    main()
