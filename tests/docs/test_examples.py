"""The demo runs, on the census data where it is and on the digits where it is not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CENSUS = ROOT.parent / "shared" / "data" / "adult_train.csv"


def run_demo(script: Path, out: Path, tables: set[str]) -> str:
    command = [sys.executable, str(script), "--rows", "1000", "--output", str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    written = {"answers.parquet", "model.joblib", "model.mill", "report.html"}
    assert {p.name for p in out.iterdir()} == written | tables
    return done.stdout


@pytest.mark.skipif(not CENSUS.exists(), reason=f"{CENSUS.name} is not in ../shared/data")
def test_demo_on_the_census(tmp_path: Path) -> None:
    printed = run_demo(
        ROOT / "examples" / "demo.py", tmp_path / "out", {"adult_train.csv", "adult_test.csv"}
    )
    assert "UCI Adult" in printed
    assert "the same bits on" in printed
    assert "rows that were never seen, accuracy 0." in printed
    assert "every bit of every probability equal: True" in printed


def test_demo_on_what_scikit_learn_ships(tmp_path: Path) -> None:
    script = tmp_path / "project" / "examples" / "demo.py"
    script.parent.mkdir(parents=True)
    shutil.copy(ROOT / "examples" / "demo.py", script)
    printed = run_demo(script, tmp_path / "out", {"digits_train.csv", "digits_test.csv"})
    assert "handwritten digits" in printed
    assert "the same bits on" in printed
    assert "rows that were never seen, accuracy 0." in printed
    assert "every bit of every probability equal: True" in printed
