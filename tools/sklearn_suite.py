"""Run scikit-learn's own test suite with acceleration on.

``python -m tools.sklearn_suite [MODULE ...]``: for every module with an accelerated class, or
the ones named (``linear_model``), the tests that the installed package brings. Every call that a door can
take goes in, however small, and every class with a solver or a converter has a door, measured or not:
without that, the tiny data of tests would never reach Millrace.

A test that fails is run again without acceleration. What fails only with it is a bug, or stands in
`sklearn_suite.txt` beside this file with the reason why it stays. An error inside Millrace, which users
do not see because the original runs instead, is a bug as well.

As a pytest plugin (``-p tools.sklearn_suite``) this module turns acceleration on.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
REVIEWED = HERE / "sklearn_suite.txt"
_ACCELERATED = "MILLRACE_SUITE"
_NOTES = "MILLRACE_SUITE_NOTES"

_CALLERS = frozenset(
    ("base", "common", "compose", "inspection", "metaestimators", "model_selection", "multiclass",
     "multioutput", "pipeline")
)  # fmt: skip
"""Modules without a class of their own that is accelerated; ``common`` runs ``check_estimator``."""


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
    costs.is_known = _has_door
    millrace.accelerate("equivalent")


def _has_door(name: str, method: str) -> bool:
    """Every class and method, measured or not; searches have a door of their own."""
    return not name.endswith("SearchCV")


def pytest_runtest_logreport(report: Any) -> None:
    """Write down the name of a test that fails."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        _note("failed", f"{name_of(report.location[0], report.nodeid)}\n")


def pytest_sessionfinish() -> None:
    """Write down how many calls were Millrace's, and its errors; every worker does."""
    if os.environ.get(_ACCELERATED) != "1":
        return
    from millrace.accel.records import RECORDS, Ran

    lines = RECORDS.lines()
    ours = sum(line.calls for key, line in lines if key.ran is Ran.MILLRACE)
    _note("calls", f"{ours} {sum(line.calls for _, line in lines)}\n")
    for trace in sorted({key.trace for key, _ in lines if key.trace}):
        _note("errors", f"{trace}\0")


def _note(name: str, text: str) -> None:
    if folder := os.environ.get(_NOTES):
        with open(Path(folder, name), "a") as file:
            file.write(text)


# --- as a program ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What a run of tests has shown.

    Attributes
    ----------
    failed : frozenset of str
        Names of tests, as `name_of` gives them.
    errors : tuple of str
        Tracebacks of errors inside Millrace.
    ours, calls : int
        Calls that Millrace answered, of those that came to a door.
    """

    failed: frozenset[str]
    errors: tuple[str, ...]
    ours: int
    calls: int


def main(words: Sequence[str]) -> int:
    """Run the suite; the number of tests that fail and are not in the reviewed list."""
    asked = list(words) or modules()
    with_it = run(["--pyargs", *map(_package_of, asked)], accelerated=True)
    own = run(map(path_of, with_it.failed), accelerated=False).failed if with_it.failed else ()
    reviewed = read_reviewed()
    found = with_it.failed.difference(own)
    new = sorted(n for n in found if n not in reviewed)
    for error in with_it.errors:
        say(f"ERROR inside Millrace\n{error}")
    for name in new:
        say(f"FAILED only with acceleration: {name}")
    say(f"{with_it.ours:,} of {with_it.calls:,} calls ran in Millrace")
    say(f"{len(found)} fail only with acceleration, {len(new)} of them not reviewed")
    return min(len(new) + len(with_it.errors), 100)


def modules() -> list[str]:
    """The modules of scikit-learn with an accelerated class, and those that call its methods."""
    from millrace.accel import costs

    return sorted({name.split(".")[1] for name in costs.names()} | _CALLERS)


def run(words: Iterable[str], accelerated: bool, workers: int = 2) -> Outcome:
    """Run tests in so many processes of pytest-xdist; in one, without it, with 0.

    Raises
    ------
    subprocess.CalledProcessError
        The tests could not be collected, or none was found.
    """
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder, "pytest.ini")  # without it ours hold, which make warnings errors
        settings.write_text("[pytest]\n")
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")} | {
            "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE.parent / "src")]),
            "SKLEARN_SEED": "0",
            "SKLEARN_SKIP_NETWORK_TESTS": "1",
            _NOTES: folder,
            _ACCELERATED: str(int(accelerated)),
        }
        command = [sys.executable, "-m", "pytest", "-p", "tools.sklearn_suite", "-n", str(workers),
                   "-q", "--no-header", "--tb=short", "-p", "no:cacheprovider", "-c", str(settings),
                   *words]  # fmt: skip
        done = subprocess.run(command, cwd=folder, env=environment, check=False)
        if done.returncode not in (0, 1):  # passed, failed
            done.check_returncode()
        return _outcome(Path(folder))


def _outcome(folder: Path) -> Outcome:
    def noted(name: str, end: str) -> list[str]:
        path = folder / name
        return path.read_text().split(end)[:-1] if path.exists() else []

    counts = [tuple(map(int, line.split())) for line in noted("calls", "\n")]
    return Outcome(
        frozenset(noted("failed", "\n")),
        tuple(noted("errors", "\0")),
        sum(ours for ours, _ in counts),
        sum(calls for _, calls in counts),
    )


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


def path_of(name: str) -> str:
    """Where a test of that name, or a file of tests, is installed."""
    import sklearn

    return str(Path(sklearn.__file__).parent / name)


def _package_of(module: str) -> str:
    """Where the tests of a module are: in a package of its own, or among those of scikit-learn itself."""
    own = Path(path_of("")).joinpath(*module.split("."))
    return f"sklearn.{module}" if own.is_dir() else f"sklearn.tests.test_{module}"


def say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
