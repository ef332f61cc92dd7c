"""The functions and names at the top of the package."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import millrace as mr
from millrace.backends.numba.kernels import machine, tiles
from millrace.backends.numba.kernels.operations import Operations
from tests.conformance.compare import difference
from tests.runtime.models import boosted, matrix, model


def in_fresh_python(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# -- names -----------------------------------------------------------------------------------------
def test_dir_has_all_names_before_any_is_used() -> None:
    assert in_fresh_python("import millrace as m; print(set(m.__all__) <= set(dir(m)))") == "True"


def test_names_are_had_when_they_are_used() -> None:
    code = (
        "import sys, millrace\n"
        "assert 'compile' not in vars(millrace)\n"
        "function = millrace.compile\n"
        "assert vars(millrace)['compile'] is function\n"
        "assert millrace.errors.MillraceError.__module__ == 'millrace.errors'\n"
        "assert millrace.CompiledModel.__module__ == 'millrace.runtime.model'\n"
        "print('numba' in sys.modules)\n"
    )
    assert in_fresh_python(code) == "False"


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'predikt'"):
        mr.predikt
    with pytest.raises(ImportError, match="predikt"):
        from millrace import predikt  # noqa: F401


def test_every_error_is_a_millrace_error() -> None:
    """And a built-in class that code written for scikit-learn catches."""
    found = vars(mr.errors).values()
    classes = [c for c in found if isinstance(c, type) and c.__module__ == mr.errors.__name__]
    assert len(classes) > 10
    assert all(issubclass(c, mr.errors.MillraceError) for c in classes)
    assert issubclass(mr.errors.InputError, ValueError)
    assert issubclass(mr.errors.MethodMissingError, AttributeError)


# -- threads ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("n", [0, -1, -(10**9)])
def test_too_few_threads(n: int) -> None:
    before = mr.get_threads()
    with pytest.raises(ValueError, match=f"at least 1, got {n}"):
        mr.set_threads(n)
    assert mr.get_threads() == before


@pytest.mark.parametrize("n", ["2", None, 1.5, float("nan"), [2]], ids=repr)
def test_threads_that_are_no_number(n: Any) -> None:
    before = mr.get_threads()
    with pytest.raises((TypeError, ValueError)):
        mr.set_threads(n)
    assert mr.get_threads() == before


def test_threads_are_kept(threads: Callable[[int], None]) -> None:
    rows = matrix(10_000)
    threads(1)
    expected = model(boosted).predict_proba(rows)
    for n in (2, 5, 1, 3):
        threads(n)
        assert mr.get_threads() == n
        assert not difference(expected, model(boosted).predict_proba(rows))


def test_threads_from_the_environment() -> None:
    code = "import millrace; print(millrace.get_threads())"
    assert in_fresh_python(code, MILLRACE_NUM_THREADS="7") == "7"


@pytest.mark.parametrize("value", ["many", "1.5", "0", "-3"])
def test_a_bad_number_of_threads_in_the_environment(value: str) -> None:
    """It is named in the error, or read as one thread."""
    code = (
        "import millrace\n"
        "try: print(millrace.get_threads())\n"
        "except ValueError as error: print('MILLRACE_NUM_THREADS' in str(error))\n"
    )
    assert in_fresh_python(code, MILLRACE_NUM_THREADS=value) in ("1", "True")


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_threads_honour_the_affinity() -> None:
    code = (
        "import os, millrace\n"
        "os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])\n"
        "print(millrace.get_threads())"
    )
    assert in_fresh_python(code, MILLRACE_NUM_THREADS="") == "1"


# -- kernels ---------------------------------------------------------------------------------------
def test_warm() -> None:
    """Forests of every dtype, width and kind of split; texts and mappings; distances and neighbours;
    the operations of one row and of big batches, the forests that they call, dtypes of row and answer.
    """
    operations = [*_forms(machine.OPERATIONS), *_forms(tiles.OPERATIONS)]
    assert mr.warm() == 2 * 2 * 2 * 2 + 7 + 8 + 2 * 2 * 2 + 3 * 3 + len(operations)
    assert all(o in own._compiled for own, o in operations)


def _forms(operations: Operations) -> list[tuple[Operations, tuple[Any, ...]]]:
    """Every operation in each of its forms."""
    return [(operations, (n, *c)) for n, forms in operations._choices.items() for c in forms]
