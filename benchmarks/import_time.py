"""How long does `import millrace` take, and what does it drag in?

Wall time of `python -c "import …"` in a fresh process, against a bare interpreter and the imports
that a user of the peers pays for. A second row asks for `millrace.compile`, which loads what
compiling needs. The first, uncounted process of each warms the disk and bytecode caches.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from functools import partial

from benchmarks import harness
from benchmarks.harness import MILLRACE, Budget, Case, Contender, Skip, Target, WrongAnswer

BARE = "python -c pass"
COMPILE = "import millrace; millrace.compile"
PEERS = ("numpy", "onnxruntime", "lightgbm", "xgboost", "sklearn", "treelite", "hummingbird.ml")
MUST_STAY_OUT = ("numba", "sklearn", "pandas", "torch")

LIMIT = (
    "A bare interpreter that starts and ends, 10 to 20 ms; NumPy, which every caller has anyway, "
    "adds 60 to 100 ms where it is imported."
)

TARGETS = (Target("`import millrace`, whole process", 0.2, 0.1, unit="s"),)


def main() -> None:
    chosen = harness.options(__doc__)
    result = harness.begin("import_time", "Import", __doc__, chosen, LIMIT)
    result.extra["in sys.modules after import millrace"] = loaded()
    case = Case("one process: start, import, end", unit="ms", targets=TARGETS)
    contenders = [
        contender(MILLRACE, "millrace"),
        Contender(f"{MILLRACE}, with what `compile` needs", lambda: COMPILE, run=process),
        Contender(BARE, lambda: "pass", run=process),
        *(contender(f"import {name}", name) for name in PEERS),
    ]
    rounds = 25 if chosen.full else 9
    budget = Budget(
        seconds=chosen.budget or 90.0, min_rounds=rounds, max_rounds=rounds, turn_seconds=0.0
    )
    result.cases.append(harness.run_case(case, contenders, None, budget))
    result.write()


def contender(name: str, module: str) -> Contender:
    return Contender(name, partial(statement, module), run=process)


def statement(module: str) -> str:
    """The statement that imports a module, if it is installed."""
    if importlib.util.find_spec(module.split(".")[0]) is None:
        raise Skip("not installed")
    process(f"import {module}")
    return f"import {module}"


def process(code: str) -> float:
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, capture_output=True)
    return 0.0


def loaded() -> int:
    """How many modules `import millrace` loads.

    Raises
    ------
    WrongAnswer
        It loads one of the libraries that it promises not to load.
    """
    found = f"[name for name in {MUST_STAY_OUT} if name in sys.modules]"
    code = f"import sys, millrace; print(len(sys.modules), *{found})"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    count, *dragged_in = done.stdout.split()
    if dragged_in:
        raise WrongAnswer(f"import millrace loads {', '.join(dragged_in)}")
    return int(count)


if __name__ == "__main__":
    main()
