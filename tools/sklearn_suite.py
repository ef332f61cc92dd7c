"""Run scikit-learn's own test suite with acceleration on.

``python -m tools.sklearn_suite [MODULE ...]``: for every module with an accelerated class, or
the ones named (``linear_model``), the tests that the installed package brings. Every call that a door can
take goes in, however small: without that, the tiny data of tests would never reach Millrace.

A test that fails is run again without acceleration. What fails only with it is a bug, or stands in
`sklearn_suite.txt` beside this file with the reason why it stays.

As a pytest plugin (``-p tools.sklearn_suite``) this module turns acceleration on.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
REVIEWED = HERE / "sklearn_suite.txt"
_ACCELERATED = "MILLRACE_SUITE"
_FAILED = "MILLRACE_SUITE_FAILED"


# --- as a plugin -------------------------------------------------------------------------------------


def pytest_configure(config: Any) -> None:
    """Accelerate this process; pytest-xdist calls it in every worker."""
    if os.environ.get(_ACCELERATED) != "1":
        return
    import millrace
    from millrace.accel import costs

    stack = ExitStack()
    stack.enter_context(costs.always())
    config.add_cleanup(stack.close)
    millrace.accelerate("equivalent")


def pytest_runtest_logreport(report: Any) -> None:
    """Write down the name of a test that fails."""
    path = os.environ.get(_FAILED)
    if path and report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        with open(path, "a") as file:
            file.write(f"{name_of(report.location[0], report.nodeid)}\n")


# --- as a program ------------------------------------------------------------------------------------


def main(words: Sequence[str]) -> int:
    """Run the suite; the number of tests that fail and are not in the reviewed list."""
    asked = list(words) or modules()
    failed = run(["--pyargs", *map(_package_of, asked)], accelerated=True)
    own = run(["--pyargs", *map(_path_of, failed)], accelerated=False) if failed else set()
    reviewed = read_reviewed()
    found = failed - own
    new = sorted(n for n in found if n not in reviewed)
    for name in new:
        say(f"FAILED only with acceleration: {name}")
    say(f"{len(found)} fail only with acceleration, {len(new)} of them not reviewed")
    return min(len(new), 100)


def modules() -> list[str]:
    """The modules of scikit-learn with an accelerated class."""
    from millrace.accel import costs

    return sorted({name.split(".")[1] for name in costs.names()} | {"model_selection"})


def run(words: Iterable[str], accelerated: bool) -> set[str]:
    """The names of the tests that fail."""
    with tempfile.TemporaryDirectory() as folder:
        failed = Path(folder, "failed.txt")
        environment = os.environ | {
            "PYTHONPATH": str(HERE.parent),
            "SKLEARN_SKIP_NETWORK_TESTS": "1",
            _FAILED: str(failed),
            _ACCELERATED: str(int(accelerated)),
        }
        command = [sys.executable, "-m", "pytest", "-p", "tools.sklearn_suite", "-q", "-n", "2",
                   "--no-header", "--tb=short", "-p", "no:cacheprovider", *words]  # fmt: skip
        subprocess.run(command, cwd=folder, env=environment, check=False)
        return set(failed.read_text().splitlines()) if failed.exists() else set()


def read_reviewed() -> dict[str, str]:
    """Test -> why it may fail. One of them a line, the reason after a tab."""
    lines = REVIEWED.read_text().splitlines()
    pairs = (line.split("\t", 1) for line in lines if line and not line.startswith("#"))
    return {name.strip(): reason.strip() for name, reason in pairs}


def name_of(file: str, nodeid: str) -> str:
    """A test as the reviewed list has it: ``linear_model/tests/test_ridge.py::test_x[case]``.

    Of tests outside its folder pytest's own name has no file.
    """
    return f"{file.replace(os.sep, '/').rpartition('/sklearn/')[2]}::{nodeid.partition('::')[2]}"


def _path_of(name: str) -> str:
    import sklearn

    return str(Path(sklearn.__file__).parent / name)


def _package_of(module: str) -> str:
    """Where the tests of a module are: in a package of its own, or among those of scikit-learn itself."""
    import sklearn

    own = Path(sklearn.__file__).parent.joinpath(*module.split("."))
    return f"sklearn.{module}" if own.is_dir() else f"sklearn.tests.test_{module}"


def say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
