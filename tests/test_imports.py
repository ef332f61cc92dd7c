"""`import millrace` is light: it loads none of the heavy libraries."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "catboost",
    "lightgbm",
    "llvmlite",
    "numba",
    "pandas",
    "polars",
    "pyarrow",
    "rich",
    "scipy",
    "sklearn",
    "torch",
    "typer",
    "xgboost",
)


def loaded_after(statement: str) -> set[str]:
    """Top-level modules in `sys.modules` of a fresh interpreter that ran the statement."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps([*sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    return {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


@pytest.mark.parametrize(
    "statement", ["import millrace", "import millrace; dir(millrace)", "import millrace.errors"]
)
def test_importing_loads_nothing_heavy(statement: str) -> None:
    assert loaded_after(statement).isdisjoint(HEAVY)


def test_the_face_is_complete() -> None:
    """Every public name can be had, and an unknown one is an ordinary AttributeError."""
    code = (
        "import millrace\n"
        "for name in millrace.__all__: getattr(millrace, name)\n"
        "assert set(millrace.__all__) <= set(dir(millrace))\n"
        "assert {'compile', 'load'} <= set(millrace.__all__)\n"
        "try: millrace.nothing\n"
        "except AttributeError as error: assert 'nothing' in str(error)\n"
        "else: raise SystemExit('no error')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_command_line_starts_light() -> None:
    """`millrace --help` needs typer and rich, not the compiler or a table reader."""
    loaded = loaded_after("import millrace.cli")
    assert loaded.isdisjoint(set(HEAVY) - {"rich", "typer"})


@pytest.mark.parametrize("module", ["millrace.ir", "millrace.rewrites"])
def test_programs_need_no_foreign_library(module: str) -> None:
    heavy = {"catboost", "lightgbm", "numba", "pandas", "polars", "sklearn", "torch", "xgboost"}
    assert loaded_after(f"import {module}").isdisjoint(heavy)


def test_a_loaded_model_needs_no_source_library(tmp_path: Path) -> None:
    """Loading a file and predicting with it imports neither scikit-learn nor pandas."""
    from sklearn.datasets import load_iris
    from sklearn.ensemble import HistGradientBoostingClassifier

    import millrace as mr

    X, y = load_iris(return_X_y=True)
    fitted = HistGradientBoostingClassifier(max_iter=5, random_state=0).fit(X, y)
    mr.compile(fitted).save(tmp_path / "iris.mill")
    loaded = loaded_after(
        "import numpy, millrace\n"
        f"model = millrace.load({str(tmp_path / 'iris.mill')!r})\n"
        f"answer = model.predict_proba(numpy.array({X[:3].tolist()}))\n"
        f"assert answer.tolist() == {fitted.predict_proba(X[:3]).tolist()}"
    )
    assert loaded.isdisjoint({"sklearn", "pandas", "polars", "lightgbm", "xgboost", "catboost"})
