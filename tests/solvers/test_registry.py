"""How a solver is found without importing all of them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from millrace.solvers import registry

FRESH = """
import sys
from sklearn.linear_model import LogisticRegression
from millrace.solvers.registry import lookup
print(lookup(LogisticRegression).__name__, "millrace.solvers.sklearn.forest" in sys.modules)
"""


@pytest.mark.parametrize("kind", ["solvers", "residents"])
def test_every_solver_writes_the_names_of_its_classes(kind):
    registry.registered()
    sources = registry._sources()
    for name, solver in getattr(registry._REGISTRY, kind).items():
        if solver.__module__.startswith("millrace."):
            assert f'"{name}"'.encode() in sources[solver.__module__], name


def test_one_class_imports_its_own_module_only():
    done = subprocess.run([sys.executable, "-c", FRESH], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["logistic_regression", "False"]
