"""Checkpoints: a fit that is killed goes on and ends with the same bits."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import millrace as mr
from millrace.data.splits import Folds
from millrace.errors import CheckpointError
from millrace.fitting import source
from millrace.fitting.fit import session
from millrace.solvers.rows import Fit

RNG = np.random.default_rng(0)
X = RNG.normal(3.0, 2.0, (4_000, 5))
Y = X @ RNG.normal(size=5) + RNG.normal(size=len(X))


def pipeline(alpha: float = 1.0) -> Any:
    return make_pipeline(StandardScaler(), Ridge(alpha=alpha))


def test_a_finished_fit_is_replayed_without_reading(tmp_path: Path) -> None:
    first = mr.fit(pipeline(), X, Y, checkpoint=tmp_path / "run", progress=False)
    again = mr.fit(pipeline(), X, Y, checkpoint=tmp_path / "run", progress=False)
    assert all(s.replayed for s in mr.fit_report(again).sweeps)
    assert again[-1].coef_.tobytes() == first[-1].coef_.tobytes()


def test_a_checkpoint_of_another_fit_says_what_differs(tmp_path: Path) -> None:
    mr.fit(pipeline(), X, Y, checkpoint=tmp_path, progress=False)
    with pytest.raises(CheckpointError, match=r"the estimator is .*Ridge\(alpha=2"):
        mr.fit(pipeline(2.0), X, Y, checkpoint=tmp_path, progress=False)
    with pytest.raises(CheckpointError, match="the data is"):
        mr.fit(pipeline(), X + 1.0, Y, checkpoint=tmp_path, progress=False)


def test_a_damaged_checkpoint(tmp_path: Path) -> None:
    mr.fit(pipeline(), X, Y, checkpoint=tmp_path, progress=False)
    (tmp_path / "sweep-0001.pickle").write_bytes(b"half a fi")
    with pytest.raises(CheckpointError, match="cannot be read"):
        mr.fit(pipeline(), X, Y, checkpoint=tmp_path, progress=False)


def test_a_full_disk(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full on this system")
    (tmp_path / "run.json.new").symlink_to(full)
    with pytest.raises(CheckpointError, match="cannot be written"):
        mr.fit(pipeline(), X, Y, checkpoint=tmp_path, progress=False)


def test_ctrl_c_leaves_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "_FEWEST", 64)
    monkeypatch.setattr(source, "FEWEST_CHUNKS", 60)
    wanted = mr.fit(pipeline(), X, Y, progress=False)
    stop = Interrupting(after=2_000)
    with pytest.raises(KeyboardInterrupt):
        mr.fit(pipeline(), X, Y, checkpoint=tmp_path, progress=stop)
    assert (tmp_path / "part.pickle").exists()
    went_on = Interrupting(after=10**9)
    ours = mr.fit(pipeline(), X, Y, checkpoint=tmp_path, progress=went_on)
    assert went_on.first > 2_000  # not from the beginning
    assert ours[-1].coef_.tobytes() == wanted[-1].coef_.tobytes()


@pytest.mark.parametrize("form", ["matrix", "file", "target aside"])
def test_stratified_folds_go_on_in_the_middle_of_a_sweep(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fold of a row depends on the rows before it: those that are not summarised any more."""
    monkeypatch.setattr(source, "_FEWEST", 64)
    monkeypatch.setattr(source, "FEWEST_CHUNKS", 60)
    labels = np.where(Y.mean() < Y, "high", "low")
    table: Any = X
    target: Any = labels
    if form != "matrix":
        table = pd.DataFrame(X, columns=list("abcde")).assign(y=labels)
        table.to_parquet(tmp_path / "rows.parquet")
        table = mr.scan(
            tmp_path / "rows.parquet", columns=None if form == "file" else list("abcde")
        )
        target = "y" if form == "file" else labels

    def fitted(folder: Path | None, progress: Any) -> Any:
        with session(
            table, target, folds=Folds(3, stratify=True), checkpoint=folder, progress=progress
        ) as run:
            fits = [
                Fit(
                    make_pipeline(StandardScaler(), RidgeClassifier()),
                    replace(run.data.rows(), left_out=i),
                )
                for i in range(3)
            ]
            run.fit(fits)
        return [f.step[-1].coef_.tobytes() for f in fits]

    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path / "run", Interrupting(after=2_000))
    went_on = Interrupting(after=10**9)
    assert fitted(tmp_path / "run", went_on) == fitted(None, False)
    assert went_on.first > 2_000


class Interrupting:
    """Progress that behaves as if Ctrl-C were pressed."""

    def __init__(self, after: int) -> None:
        self.after = after
        self.first = 0

    def begin(self, number: int, asked: Sequence[str], n_rows: int | None) -> None:
        """A sweep begins."""

    def rows(self, done: int) -> None:
        """So many rows of it are done."""
        self.first = self.first or done
        if done >= self.after:
            raise KeyboardInterrupt

    def end(self) -> None:
        """It is finished."""


SCRIPT = """
import sys, numpy as np, time
import millrace as mr
from millrace.fitting import source
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
source._FEWEST, source.FEWEST_CHUNKS = 64, 64
rng = np.random.default_rng(0)
X = rng.normal(3.0, 2.0, (40_000, 8))
y = (X @ rng.normal(size=8) + rng.normal(size=len(X)) > 3).astype(int)
class Slow:
    def begin(self, *a): pass
    def rows(self, done): time.sleep(0.002)
    def end(self): pass
print("ready", flush=True)
m = make_pipeline(StandardScaler(), LogisticRegression())
mr.fit(m, X, y, checkpoint=sys.argv[1], progress=Slow())
print(m[-1].coef_.tobytes().hex(), m[0].mean_.tobytes().hex(), flush=True)
"""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The answer of a run that is not killed."""
    return _run(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("seed", range(20 if os.environ.get("MILLRACE_SOAK") else 3))
def test_killed_at_a_random_moment(seed: int, undisturbed: str, tmp_path: Path) -> None:
    """A killed process goes on where it was; the answer has the bits of one that was not."""
    moment = random.Random(seed)
    folder, killed = tmp_path / "killed", 0
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(folder)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(moment.uniform(0.02, 0.5))
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        process.stdout.close()
    assert killed
    assert _run(folder) == undisturbed


def _run(folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder)], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()[-1]
