"""How much faster does each class that has a converter answer one row, 1,000 rows and 1M rows?

For every class: the first example of the conformance suite that is native, fitted as it is there (some
fifty rows, few trees or iterations), and its own rows over and over. The method is the one that tells
most. One row is a prepared call on different rows, against the source's method on a batch of one.
Where the source is expected to take more than some seconds for a million rows, both get fewer.
"""

from __future__ import annotations

import math
import os
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks import harness
from benchmarks.harness import Case, Options, Target, Verdict

METHODS = ("predict_proba", "decision_function", "transform", "predict", "score_samples")
SIZES = (1, 1_000, 1_000_000)
LONGEST = 4.0
"""Seconds that one call of the source may take."""

CLOSE, LONG = (0.6, 1.3), 2.0
"""Ratios that are measured for so many seconds."""

LIMIT = (
    "One row: scikit-learn validates its input in 50 to 100 µs whatever the model; a Python call of a "
    "few NumPy functions takes 3 to 10 µs. A million rows of a step that is one multiplication a cell: "
    "both sides read and write memory once, so little more than the number of threads can be gained."
)


@dataclass
class Cell:
    """One class and one number of rows.

    Attributes
    ----------
    rows : int
        The column of the table; `used` is how many were asked for.
    seconds, source : float
        Medians of one call.
    """

    name: str
    method: str
    rows: int
    used: int
    seconds: float
    source: float

    @property
    def ratio(self) -> float:
        return self.source / self.seconds


def main() -> None:
    parser = harness.command_line(__doc__)
    parser.add_argument("--only", default="", help="classes whose name holds this text")
    given = parser.parse_args()
    chosen = harness.chosen_options(given)
    result = harness.begin("every_class", "Every class", __doc__, chosen, LIMIT)
    cells = [cell for one in classes(given.only) for cell in measured(*one, chosen)]
    result.extra["classes"] = [{**asdict(c), "ratio": c.ratio} for c in cells]
    result.cases.append(Case("every native class of scikit-learn", verdicts=verdicts(cells)))
    if given.only:
        return
    result.write()


def classes(only: str) -> Iterator[tuple[str, Any, Any]]:
    """``(public name, fitted, rows)`` of every converted class of scikit-learn."""
    from millrace.catalog import examples, translate
    from millrace.catalog.registry import public_name

    seen: set[str] = set()
    for module, example in examples():
        if not module.startswith("sklearn.") or not example.native:
            continue
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            fitted, X = example.make()
            name = public_name(type(fitted))
            if name in seen or only not in name or not translate_natively(translate, fitted, X):
                continue
        seen.add(name)
        yield name, fitted, X


def translate_natively(translate: Callable[..., Any], fitted: Any, X: Any) -> bool:
    from millrace.runtime.inputs import is_sparse, sparse_kind

    sparse = sparse_kind(X) if is_sparse(X) else None
    return not translate(fitted, sparse=sparse).program.foreign


def measured(name: str, fitted: Any, X: Any, chosen: Options) -> list[Cell]:
    import millrace as mr

    mr.set_threads(chosen.threads)
    method = next((m for m in METHODS if callable(getattr(fitted, m, None))), None)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        model = mr.compile(fitted, verify=False)
        method = method if method in model.methods else next(iter(model.methods))
        cells = []
        a_row = 0.0
        for rows in SIZES:
            used = rows if a_row * rows < LONGEST else max(1_000, int(LONGEST / a_row))
            cell = one_size(name, model, fitted, X, method, rows, used)
            a_row = max(cell.source, cell.seconds) / used if rows > 1 else 0.0
            cells.append(cell)
    print(f"{name:60s}" + "".join(f"{c.ratio:10.2f}" for c in cells), flush=True)
    return cells


def one_size(name: str, model: Any, fitted: Any, X: Any, method: str, rows: int, used: int) -> Cell:
    source = getattr(fitted, method)
    if rows == 1:
        ours, theirs = single(model, source, X, method)
    else:
        many = repeated(X, used)
        compiled = getattr(model, method)
        ours, theirs = (lambda: compiled(many)), (lambda: source(many))
    seconds, of_source = interleaved(ours, theirs, 0.15 if rows == 1 else 0.3)
    return Cell(name, method, rows, used, seconds, of_source)


def single(model: Any, source: Any, X: Any, method: str) -> tuple[Any, Any]:
    """One row by a prepared call, and by the source; a sparse row or a text by a batch of one."""
    table: Any = X
    few = [take(X, i, i + 1) for i in range(8)]
    at = iter(range(1 << 60))
    their = lambda: source(few[next(at) % 8])  # noqa: E731
    if isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype.kind in "fiub":
        prepared = model.row_function(method)
        rows = [X[i] for i in range(8)]
        return (lambda: prepared(rows[next(at) % 8])), their
    if hasattr(X, "to_dict") and X.ndim == 2:
        prepared = model.row_function(method)
        dicts = table.iloc[:8].to_dict("records")
        return (lambda: prepared(dicts[next(at) % 8])), their
    compiled = getattr(model, method)
    return (lambda: compiled(few[next(at) % 8])), their


def take(X: Any, first: int, stop: int) -> Any:
    return X.iloc[first:stop] if hasattr(X, "iloc") else X[first:stop]


def repeated(X: Any, n_rows: int) -> Any:
    """The rows over and over."""
    n = X.shape[0] if hasattr(X, "shape") else len(X)
    at = np.arange(n_rows) % n
    if isinstance(X, list):
        return [X[i] for i in at]
    return X.iloc[at].reset_index(drop=True) if hasattr(X, "iloc") else X[at]


def interleaved(
    ours: Callable[[], Any], theirs: Callable[[], Any], seconds: float
) -> tuple[float, float]:
    """Median seconds of a call of each, taking turns; longer where it is not clear who is quicker."""
    ours()
    theirs()
    took: tuple[list[float], list[float]] = ([], [])
    repeats = [max(1, int(0.005 / max(timed(f, 1), 1e-7))) for f in (ours, theirs)]
    began = time.perf_counter()
    while len(took[0]) < 3 or time.perf_counter() < began + seconds or is_close(took, began):
        for k, call in enumerate((ours, theirs)):
            settle()
            took[k].append(timed(call, repeats[k]))
        if time.perf_counter() > began + 6 * LONGEST:
            break
    return statistics.median(took[0]), statistics.median(took[1])


def is_close(took: tuple[list[float], list[float]], began: float) -> bool:
    """Whether two samples are so much alike that few of them say nothing, and there is time for more."""
    ratio = statistics.median(took[1]) / statistics.median(took[0])
    return CLOSE[0] < ratio < CLOSE[1] and time.perf_counter() < began + LONG


def settle() -> None:
    """Wait until no thread of this process works.

    The threads of OpenBLAS go on looking for work for some 50 ms after a product: time that they would
    take from the call after it, which is another's.
    """
    for _ in range(100):
        before = time.process_time()
        time.sleep(0.002)
        if time.process_time() - before < 0.0005:
            return


def timed(call: Callable[[], Any], repeats: int) -> float:
    began = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - began) / repeats


def verdicts(cells: list[Cell]) -> list[Verdict]:
    """The slowest class, and the geometric means that the project asks for."""
    found = []
    worst = min(cells, key=lambda c: c.ratio)
    job = f"slowest of all native classes ({worst.name.rpartition('.')[2]}, {worst.rows:,} rows)"
    targets = [(Target(job, 0.9, 1.0, ("scikit-learn",)), worst.ratio)]
    for rows, least in ((1, 30.0), (1_000_000, 3.0)):
        logs = [math.log(c.ratio) for c in cells if c.rows == rows]
        mean = math.exp(sum(logs) / len(logs))
        targets.append(
            (
                Target(f"geometric mean over all, {rows:,} rows", least, least, ("scikit-learn",)),
                mean,
            )
        )
    for target, measured in targets:
        status = "aim reached" if measured >= target.aim else "reached"
        status = status if measured >= target.least else "missed"
        found.append(
            Verdict(target.job, "scikit-learn", "×", target.least, target.aim, measured, status)
        )
    return found


if __name__ == "__main__":
    os.environ.setdefault("PYTHONHASHSEED", "0")
    main()
