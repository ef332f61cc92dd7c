"""The main job on real data: train, verify, load without scikit-learn, predict a file, time it.

    python examples/demo.py                  # or: make demo
    python examples/demo.py --rows 2000      # fewer rows, for a quick look

Reads the census data `../shared/data/adult_train.csv` and `adult_test.csv` where they are, and
otherwise the largest real data set inside the scikit-learn package, the handwritten digits.
Everything is written into `demo-output/`; open `report.html` there.
"""

from __future__ import annotations

import argparse
import os
import shlex
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

# Threads of scikit-learn that wait should sleep. Where the machine has other work to do, their
# spinning would slow scikit-learn down and flatter the comparison. Has to be set before the import.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import joblib
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

import millrace as mr

ROOT = Path(__file__).resolve().parents[1]
ADULT = ROOT.parent / "shared" / "data"
SEED = 0

console = Console(width=100, highlight=False)


@dataclass(frozen=True)
class Data:
    """A file to train on, a file held out, and the column to predict."""

    name: str
    train: Path
    test: Path
    target: str


def census(rows: int | None, out: Path) -> Data:
    """UCI Adult: 6 columns of numbers, 8 of strings, empty cells where nothing is known."""
    train, test = ADULT / "adult_train.csv", ADULT / "adult_test.csv"
    if rows is not None:
        for path in (train, test):
            pd.read_csv(path, nrows=rows).to_csv(out / path.name, index=False)
        train, test = out / train.name, out / test.name
    return Data("UCI Adult (census income)", train, test, "income")


def digits(rows: int | None, out: Path) -> Data:
    """8 x 8 pixels of handwritten digits."""
    frame, target = load_digits(return_X_y=True, as_frame=True)
    frame = frame.assign(digit=target).iloc[:rows]
    train, test = train_test_split(frame, test_size=0.33, random_state=SEED)
    train.to_csv(out / "digits_train.csv", index=False)
    test.to_csv(out / "digits_test.csv", index=False)
    name = "handwritten digits (in scikit-learn)"
    return Data(name, out / "digits_train.csv", out / "digits_test.csv", "digit")


def millrace(*arguments: object) -> None:
    """Run the command line as a user would, and show what it prints."""
    words = [_short(a) for a in arguments]
    console.print(f"\n  $ millrace {shlex.join(words)}\n", soft_wrap=True)
    command = [str(Path(sys.executable).with_name("millrace")), *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"COLUMNS": "98"}
    )
    if done.returncode:
        raise SystemExit(f"{done.stdout}{done.stderr}millrace ended with {done.returncode}")
    for line in (done.stdout + done.stderr).splitlines():
        console.print(f"  {line.rstrip()}", soft_wrap=True, markup=False)


def _short(argument: object) -> str:
    """Paths below the current folder, or beside it, as one would type them."""
    if not isinstance(argument, Path):
        return str(argument)
    shorter = os.path.relpath(argument)
    return shorter if len(shorter) < len(str(argument)) else str(argument)


WITHOUT = """
import sys
for name in ("sklearn", "pandas", "joblib"):
    sys.modules[name] = None  # an import of one of them now fails
import pyarrow.csv
import millrace as mr

rows = pyarrow.csv.read_csv(sys.argv[2])
labels = mr.load(sys.argv[1]).predict(rows.drop_columns([sys.argv[3]]))
right = sum(a == str(b).rstrip(".") for a, b in zip(map(str, labels), rows[sys.argv[3]].to_pylist()))
print(f"  {len(labels):,} rows that were never seen, accuracy {right / len(labels):.4f}")
"""
"""Some copies of the census test file end its labels with a full stop."""


def load_without_scikit_learn(model: Path, data: Data) -> None:
    """Predict in a process of its own, in which scikit-learn and pandas cannot be imported."""
    command = [sys.executable, "-c", WITHOUT, str(model), str(data.test), data.target]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    console.print(done.stdout.rstrip())


def interleaved(
    first: Callable[[], object], second: Callable[[], object], seconds: float = 2.0
) -> tuple[float, float]:
    """Median seconds of two functions, called in turn so that both meet the same machine."""
    first(), second()
    times: tuple[list[float], list[float]] = ([], [])
    stop = perf_counter() + seconds
    while perf_counter() < stop or len(times[1]) < 5:
        for call, record in zip((first, second), times, strict=True):
            start = perf_counter()
            call()
            record.append(perf_counter() - start)
    return statistics.median(times[0]), statistics.median(times[1])


def timing_table(fitted: Pipeline, model: mr.CompiledModel, rows: pd.DataFrame) -> Table:
    """predict_proba of the original and of Millrace, all rows at once and one row at a time."""
    row = rows.iloc[[0]]
    record = row.iloc[0].to_dict()
    table = Table("predict_proba", title="Medians of interleaved runs on this machine, just now")
    for name in ("scikit-learn", "Millrace", "ratio"):
        table.add_column(name, justify="right")

    def measure(name: str, original: Callable[[], object], compiled: Callable[[], object]) -> None:
        slow, fast = interleaved(original, compiled)
        table.add_row(name, _duration(slow), _duration(fast), f"{slow / fast:.1f}x")

    measure(
        f"all {len(rows):,} held-out rows (data frame)",
        lambda: fitted.predict_proba(rows),
        lambda: model.predict_proba(rows),
    )
    with threadpool_limits(1):  # scikit-learn is at its best so: threads only cost time for one row
        measure(
            "one row (data frame)",
            lambda: fitted.predict_proba(row),
            lambda: model.predict_proba(row),
        )
        measure(
            "one row (dict)",
            lambda: fitted.predict_proba(pd.DataFrame([record])),
            lambda: model.predict_proba_one(record),
        )
    return table


def _duration(seconds: float) -> str:
    return f"{seconds * 1e3:,.2f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:,.0f} µs"


def compile_your_own(train: pd.DataFrame, test: pd.DataFrame, target: str) -> None:
    """Any fitted object can be compiled: here a random forest on the columns of numbers."""
    numbers = train.drop(columns=target).select_dtypes("number").columns
    forest = RandomForestClassifier(50, min_samples_leaf=5, random_state=SEED)
    fitted = make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), forest)
    fitted.fit(train[numbers], train[target])
    start = perf_counter()
    model = mr.compile(fitted, sample=train[numbers].head(1000))
    console.print(f"  compiled and verified in {perf_counter() - start:.1f} s")
    console.print(str(model.describe()), soft_wrap=True)
    same = np.array_equal(model.predict_proba(test[numbers]), fitted.predict_proba(test[numbers]))
    console.print(f"  every bit of every probability equal: {same}")


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, help="use at most this many rows")
    parser.add_argument("--output", type=Path, default=ROOT / "demo-output")
    options = parser.parse_args()
    out: Path = options.output.resolve()
    out.mkdir(parents=True, exist_ok=True)
    data = (census if (ADULT / "adult_train.csv").exists() else digits)(options.rows, out)
    file, beside = out / "model.mill", out / "model.joblib"
    page, answers = out / "report.html", out / "answers.parquet"

    console.rule(f"1. Train on {data.name}")
    millrace("train", data.train, "--target", data.target, "-o", file, "--report", page)

    console.rule("2. Verify the compiled model against the fitted one, on rows never seen")
    millrace("verify", beside, file, "--trust-pickle", "--sample", data.test, "--seconds", "2")

    console.rule("3. Load it where scikit-learn and pandas are not installed")
    load_without_scikit_learn(file, data)

    console.rule("4. Predict a file from the command line")
    millrace("predict", file, data.test, "-o", answers)
    test = pd.read_csv(data.test)
    rows, fitted, model = test.drop(columns=data.target), joblib.load(beside), mr.load(file)
    if pq.read_table(answers)["predict"].to_pylist() != fitted.predict(rows).tolist():
        raise SystemExit("the file's predictions are not those of the pipeline")
    console.print("  the predictions in the file are those of the fitted pipeline")

    console.rule("5. Time it against scikit-learn")
    console.print(timing_table(fitted, model, rows))

    console.rule("6. Compile a pipeline of your own")
    compile_your_own(pd.read_csv(data.train), test, data.target)

    console.rule("Files")
    for path in sorted(out.iterdir()):
        console.print(f"  {_short(path):<40} {path.stat().st_size:>12,} bytes")
    console.print(f"  the report is one page that opens in any browser: {_short(page)}")


if __name__ == "__main__":
    main()
