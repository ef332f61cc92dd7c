"""How long does `compile` take, and how much memory, with kernels warm and with kernels cold?

Warm: a random forest of 1,000 trees × 64 leaves in a process that has compiled another model
before. Cold: the first compile ever on a machine, with an empty kernel cache, in a fresh process,
from the import to the first answer. Memory is the process's high-water mark during the compile,
over what it held before, against the size of the forest's own arrays.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import harness, models, peers
from benchmarks.harness import MILLRACE, Budget, Case, Contender, Options, Target, Verdict
from benchmarks.models import Model

TREES, LEAVES = 1_000, 64
WITHOUT_VERIFY = f"{MILLRACE}, verify=False"
COLD = f"{MILLRACE}, compile"
COLD_TOTAL = f"{MILLRACE}, import to first answer"

LIMIT = (
    "The forest is 127,000 nodes of 64 bytes and 127,000 values of 16: 10 MB, copied in a few "
    "milliseconds. What remains is one visit a tree in Python, some 20 µs of attribute look-ups: "
    "20 ms."
)

WARM_TARGETS = (Target("compile 1,000 × 64 leaves, kernels warm", 1.0, 0.3, unit="s"),)
MEMORY_TARGET = Target("compile 1,000 × 64 leaves, memory", 3.0, 1.5, unit="× the model")
COLD_TARGETS = (
    Target("first compile on a machine, kernels cold", 4.0, 2.0, contender=COLD, unit="s"),
)


def main() -> None:
    chosen = harness.options(__doc__)
    result = harness.begin("compile_time", "Compile", __doc__, chosen, LIMIT)
    model = models.forest_classifier(TREES, LEAVES)
    result.cases.append(warm(model, chosen))
    memory = peak_memory(model)
    result.extra |= {
        "MB of the forest's own arrays": memory["model_mb"],
        "MB more at the peak of the compile": memory["peak_mb"],
        "MB more when it is done": memory["kept_mb"],
    }
    result.cases[0].verdicts.append(memory_verdict(memory))
    result.cases.append(cold(model, chosen))
    result.write()


# --- warm -----------------------------------------------------------------------------------------


def warm(model: Model, chosen: Options) -> Case:
    case = Case(
        f"kernels warm, RandomForestClassifier {TREES:,} × {LEAVES}: object in, callable out",
        targets=WARM_TARGETS,
    )
    contenders = [
        Contender(MILLRACE, partial(ours, model), run=called),
        Contender(WITHOUT_VERIFY, partial(ours, model, verify=False), run=called),
        Contender("ONNX Runtime (convert, load)", partial(onnxruntime, model), run=called),
        Contender("Treelite (import)", partial(treelite, model), run=called),
        Contender("Hummingbird (torch)", partial(hummingbird, model), run=called),
    ]
    return harness.run_case(case, contenders, None, chosen.measure_budget(quick=20, full=60))


def called(make: Callable[[], Any]) -> float:
    make()
    return 0.0


def ours(model: Model, **given: Any) -> Callable[[], Any]:
    import millrace as mr

    return partial(mr.compile, model.fitted, **given)


def onnxruntime(model: Model) -> Callable[[], Any]:
    import onnxruntime as ort

    def make() -> Any:
        payload = peers.to_onnx(model.fitted).SerializeToString()
        return ort.InferenceSession(payload, providers=["CPUExecutionProvider"])

    return make


def treelite(model: Model) -> Callable[[], Any]:
    return partial(peers.to_treelite, model.fitted)


def hummingbird(model: Model) -> Callable[[], Any]:
    X = models.rows(1_000, seed=7)
    return partial(peers.hummingbird, model, 2, X, method="predict_proba")


# --- memory ---------------------------------------------------------------------------------------

MEMORY_PROGRAM = """
import json, sys
import joblib, numpy as np
import millrace as mr

def kilobytes(field):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(field))

fitted, small = joblib.load(sys.argv[1]), joblib.load(sys.argv[2])
mr.compile(small)
open("/proc/self/clear_refs", "w").write("5")  # forget the high-water mark
before = kilobytes("VmRSS")
model = mr.compile(fitted)
peak, after = kilobytes("VmHWM"), kilobytes("VmRSS")
print(json.dumps({"peak_mb": (peak - before) / 1e3, "kept_mb": (after - before) / 1e3}))
"""


def peak_memory(model: Model) -> dict[str, float]:
    """Megabytes of the forest, and of the compile at its highest and when it is done."""
    forest = sum(tree_bytes(tree.tree_) for tree in model.fitted.estimators_) / 1e6
    small = models.forest_classifier(10, 8)
    done = python(MEMORY_PROGRAM, str(model.file(".joblib")), str(small.file(".joblib")))
    found = json.loads(done) | {"model_mb": forest}
    print("  " + ", ".join(f"{name} {value:.1f}" for name, value in found.items()))
    return found


def tree_bytes(tree: Any) -> int:
    state = tree.__getstate__()
    return state["nodes"].nbytes + state["values"].nbytes


def memory_verdict(memory: dict[str, float]) -> Verdict:
    measured = memory["peak_mb"] / memory["model_mb"]
    return harness.verdict(MEMORY_TARGET, measured, higher_is_better=False)


# --- cold -----------------------------------------------------------------------------------------

COLD_PROGRAM = """
import json, sys, time
import joblib, numpy as np
fitted = joblib.load(sys.argv[1])
X = np.zeros((1, fitted.n_features_in_), dtype=np.float32)
start = time.perf_counter()
import millrace as mr
imported = time.perf_counter()
model = mr.compile(fitted)
compiled = time.perf_counter()
model.predict(X)
done = time.perf_counter()
print(json.dumps({"compile": compiled - imported, "total": done - start}))
"""


@dataclass
class ColdRuns:
    """Runs of the cold program; one run gives a figure for both contenders, which take turns."""

    path: Path
    unused: dict[str, list[float]]

    def seconds(self, which: str) -> float:
        if not self.unused[which]:
            for name, value in self.run().items():
                self.unused[name].append(value)
        return self.unused[which].pop(0)

    def run(self) -> dict[str, float]:
        with tempfile.TemporaryDirectory(prefix="kernels-") as empty:
            return json.loads(
                python(COLD_PROGRAM, str(self.path), NUMBA_CACHE_DIR=empty, XDG_CACHE_HOME=empty)
            )


def cold(model: Model, chosen: Options) -> Case:
    case = Case(
        "kernels cold: a fresh process with an empty kernel cache, the same forest",
        unit="s",
        targets=COLD_TARGETS,
    )
    runs = ColdRuns(model.file(".joblib"), {"compile": [], "total": []})
    contenders = [
        Contender(name, lambda: runs, run=lambda _: 0.0, seconds=partial(clock, which))
        for name, which in ((COLD, "compile"), (COLD_TOTAL, "total"))
    ]
    rounds = 7 if chosen.full else 3
    budget = Budget(seconds=1e9, min_rounds=rounds, max_rounds=rounds, turn_seconds=0.0)
    return harness.run_case(case, contenders, None, budget)


def clock(which: str, runs: ColdRuns, repeats: int) -> float:
    return sum(runs.seconds(which) for _ in range(repeats))


def python(program: str, *arguments: str, **variables: str) -> str:
    """What a program printed in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout


if __name__ == "__main__":
    main()
