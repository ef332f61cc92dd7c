"""``python -m millrace script.py``, and worker processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
import numpy as np
from sklearn.model_selection import GridSearchCV
from sklearn.linear_model import Ridge
from joblib import Parallel, delayed

X = np.random.default_rng(0).normal(size=(30_000, 20))
y = X[:, 0]

def work(alpha):
    return GridSearchCV(Ridge(), {"alpha": [alpha, 2, 3, 4]}, cv=5).fit(X, y).best_score_

print(__name__, sys.argv[1:], work(1.0) > 0.9)
"""
IN_WORKERS = SCRIPT + "print(min(Parallel(2)(delayed(work)(a) for a in (1.0, 5.0))) > 0.9)\n"


def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "millrace", *words], cwd=cwd, capture_output=True, text=True
    )


def test_a_script_runs_as_main_with_its_own_words(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    done = run("--report", "script.py", "--report", "x", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "__main__ ['--report', 'x'] True\n"
    assert "script.py:12" in done.stderr
    assert "GridSearchCV.fit" in done.stderr
    assert "Millrace, exact" in done.stderr


def test_worker_processes_inherit_and_report(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(IN_WORKERS)
    done = run("--report", "page.html", "script.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "page.html").read_text()
    assert "<td>3</td><td>Millrace, exact</td>" in page, page


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--exact"], "expected a script"), (["absent.py"], "cannot open 'absent.py'")],
)
def test_a_mistake_is_told_in_a_line(tmp_path: Path, words: list[str], message: str) -> None:
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_what_the_script_raises_is_its_own(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("import sys\nsys.exit(7)\n")
    assert run("script.py", cwd=tmp_path).returncode == 7


def test_other_words_are_commands(tmp_path: Path) -> None:
    assert run("--version", cwd=tmp_path).stdout.startswith("millrace ")
