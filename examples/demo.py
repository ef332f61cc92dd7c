"""The whole of Millrace on one real pipeline: compile, verify, save, load, predict a file, time it.

    python examples/demo.py                  # or: make demo
    python examples/demo.py --rows 2000      # fewer rows, for a quick look

Reads the census data `../shared/data/adult_train.csv` and `adult_test.csv` where they are, and
otherwise the largest real data set inside the scikit-learn package, the handwritten digits.
Everything is written into `demo-output/`.
"""

from __future__ import annotations

import argparse
import os
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
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_digits
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits

import millrace as mr

ROOT = Path(__file__).resolve().parents[1]
ADULT = ROOT.parent / "shared" / "data"
SEED = 0

console = Console(width=100, highlight=False)


@dataclass(frozen=True)
class Data:
    """Rows to fit on and rows held out, and which columns are categories."""

    name: str
    train: pd.DataFrame
    train_target: pd.Series
    test: pd.DataFrame
    test_target: pd.Series
    categories: list[str]

    @property
    def numbers(self) -> list[str]:
        return [c for c in self.train.columns if c not in self.categories]


def census(rows: int | None) -> Data:
    """UCI Adult: 6 columns of numbers, 8 of strings, empty cells where nothing is known."""
    train = pd.read_csv(ADULT / "adult_train.csv", nrows=rows)
    test = pd.read_csv(ADULT / "adult_test.csv", nrows=rows)
    target, held_out_target = train.pop("income"), test.pop("income")
    text = [c for c in train.columns if not pd.api.types.is_numeric_dtype(train[c])]
    return Data("UCI Adult (census income)", train, target, test, held_out_target, text)


def digits(rows: int | None) -> Data:
    """8 x 8 pixels of handwritten digits; pixels with at most 8 shades are taken as categories."""
    frame, target = load_digits(return_X_y=True, as_frame=True)
    frame, target = frame.iloc[:rows], target.iloc[:rows]
    few = [c for c in frame.columns if 1 < frame[c].nunique() <= 8]
    train, test, y, held_out = train_test_split(frame, target, test_size=0.33, random_state=SEED)
    return Data("handwritten digits (in scikit-learn)", train, y, test, held_out, few)


def build(data: Data) -> Pipeline:
    """Impute and scale the numbers, impute and one-hot the categories, boost 100 trees a class."""
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    categories = make_pipeline(
        SimpleImputer(strategy="most_frequent"),
        OneHotEncoder(handle_unknown="ignore", sparse_output=False),
    )
    columns = ColumnTransformer(
        [("numbers", numbers, data.numbers), ("categories", categories, data.categories)]
    )
    boosting = HistGradientBoostingClassifier(max_iter=100, early_stopping=False, random_state=SEED)
    return Pipeline([("columns", columns), ("boosting", boosting)])


def millrace(*arguments: object) -> None:
    """Run the command line as a user would."""
    command = [str(Path(sys.executable).with_name("millrace")), *map(str, arguments)]
    console.print(f"  $ millrace {' '.join(_short(a) for a in arguments)}")
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{done.stdout}{done.stderr}millrace ended with {done.returncode}")


def _short(argument: object) -> str:
    """Paths below the current folder, as one would type them."""
    inside = isinstance(argument, Path) and argument.is_relative_to(Path.cwd())
    return str(argument.relative_to(Path.cwd())) if inside else str(argument)


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


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, help="use at most this many rows")
    parser.add_argument("--output", type=Path, default=ROOT / "demo-output")
    options = parser.parse_args()
    out: Path = options.output.resolve()
    out.mkdir(parents=True, exist_ok=True)

    data = (census if (ADULT / "adult_train.csv").exists() else digits)(options.rows)
    console.rule(f"1. Fit a scikit-learn pipeline on {data.name}")
    start = perf_counter()
    fitted = build(data).fit(data.train, data.train_target)
    score = fitted.score(data.test, data.test_target)
    console.print(
        f"  {len(data.train):,} rows, {len(data.numbers)} columns of numbers and "
        f"{len(data.categories)} of categories, {perf_counter() - start:.1f} s\n"
        f"  accuracy on {len(data.test):,} held-out rows {score:.4f}"
    )

    console.rule("2. Compile it")
    start = perf_counter()
    model = mr.compile(fitted, sample=data.train.head(1000))
    console.print(f"  {perf_counter() - start:.1f} s, verified on rows made to break it")
    console.print(str(model.describe()), soft_wrap=True)

    console.rule("3. Verify it on the held-out rows")
    console.print(str(model.verify(data.test)), soft_wrap=True)
    same = np.array_equal(model.predict_proba(data.test), fitted.predict_proba(data.test))
    console.print(f"  every bit of every probability equal: {same}")

    console.rule("4. Save, load, and predict a file from the command line")
    file, rows, scores = out / "model.mill", out / "rows.csv", out / "scores.parquet"
    model.save(file)
    data.test.to_csv(rows, index=False)
    joblib.dump(fitted, out / "pipeline.joblib")
    model = mr.load(file)
    millrace("predict", file, rows, "-o", scores)
    answers = pq.read_table(scores)
    console.print(f"  {answers.num_rows:,} rows, columns {', '.join(answers.column_names)}")
    if answers["predict"].to_pylist() != fitted.predict(data.test).tolist():
        raise SystemExit("the file's predictions are not those of the pipeline")
    console.print("  the predictions in the file are those of the pipeline")

    console.rule("5. Time it")
    console.print(timing_table(fitted, model, data.test))

    console.rule("Files")
    for path in sorted(out.iterdir()):
        console.print(f"  {_short(path):<40} {path.stat().st_size:>12,} bytes")
    program = Path(sys.executable).with_name("millrace")
    console.print(f"  look inside with: {_short(program)} describe {_short(file)}")


if __name__ == "__main__":
    main()
