"""Time several ways of answering the same call, fairly, and write down what was seen.

What is done about the usual ways in which a benchmark misleads:

- *Drift* (clock speed, neighbours on the machine): contenders take turns, A B C, B C A, C A B …,
  and the median over rounds is kept, with the quartiles beside it.
- *Spinning threads*: OpenMP and ONNX Runtime leave threads spinning after a call. Each turn starts
  with a pause and, where a call is short, with a call that is not counted.
- *One slow peer*: each contender has the same share of the time budget; one that has used its share
  and has been measured `min_rounds` times leaves. One whose single call exceeds the share is
  measured once.
- *Wrong answers*: the first answer of every contender is compared with the source library's.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

ROOT = Path(__file__).parent
RESULTS = ROOT / "results"
CACHE = ROOT / ".cache"

MILLRACE = "Millrace"

LIBRARIES = (
    "millrace", "numpy", "scipy", "scikit-learn", "numba", "llvmlite", "lightgbm", "xgboost",
    "xgboost-cpu", "catboost", "pandas", "onnx", "onnxruntime", "skl2onnx", "onnxmltools",
    "treelite", "tl2cgen", "torch", "hummingbird-ml",
)  # fmt: skip


class Skip(Exception):
    """A contender, or a whole question, cannot be had here. The message is shown in the table."""


class WrongAnswer(Exception):
    """Millrace's answer differs from the source library's by more than the benchmark allows."""


@dataclass(frozen=True)
class Contender:
    """One way of answering the call that a case is about.

    Attributes
    ----------
    name
        As shown in the table.
    prepare
        What is not timed: convert, compile, copy the input to the form that this contender wants.
        Returns the state that `run` takes. May raise `Skip`.
    run
        The timed call. Returns the answer in whatever form this contender gives it.
    seconds
        `(state, repeats) -> seconds`, for a contender that keeps its own clock because it lives in
        another process. Without it `run` is timed here.
    read
        Turns what `run` returned into an array that can be compared with the source's. Not timed.
    note
        What a reader should know about how this contender is called.
    """

    name: str
    prepare: Callable[[], Any]
    run: Callable[[Any], Any]
    seconds: Callable[[Any, int], float] | None = None
    read: Callable[[Any], np.ndarray] = np.asarray
    note: str = ""


@dataclass(frozen=True)
class Budget:
    """How long one case may be measured, and how often each contender is measured at least."""

    seconds: float = 20.0
    min_rounds: int = 5
    max_rounds: int = 40
    turn_seconds: float = 0.05  # calls shorter than this are repeated within a turn
    pause_seconds: float = 0.02  # let the previous contender's threads go to sleep


@dataclass(frozen=True)
class Target:
    """A figure that the project set itself.

    `peer` names the contenders of which the fastest is the mark (a ratio, higher is better).
    Without it the figure is the contender's own time in `unit`, and lower is better.
    """

    job: str
    least: float
    aim: float
    peer: tuple[str, ...] = ()
    contender: str = MILLRACE
    unit: str = "×"


@dataclass
class Timing:
    """Seconds a call (or a row, see `Case.calls`), and the distance to the source's answer."""

    name: str
    median: float
    low: float  # first quartile
    high: float  # third quartile
    best: float
    rounds: int
    ratio: float | None = None  # this contender's median over Millrace's
    max_error: float | None = None  # largest absolute difference to the source library's answer
    differing: float | None = None  # share of values that are not equal to the source's
    note: str = ""


@dataclass
class Verdict:
    """A target with what was measured for it."""

    job: str
    against: str
    unit: str
    least: float
    aim: float
    measured: float | None
    status: str  # "aim reached", "reached", "missed", "not measured"
    higher_is_better: bool = True


@dataclass
class Case:
    """One table: the same call answered by all contenders.

    Attributes
    ----------
    name
        What was called on what.
    calls
        How many calls `run` makes; times are divided by it.
    tolerance
        Largest absolute difference to the source that Millrace is allowed; 0 asks for the same
        bits.
    """

    name: str
    calls: int = 1
    unit: str = "ms"
    tolerance: float = 0.0
    targets: tuple[Target, ...] = ()
    timings: list[Timing] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    verdicts: list[Verdict] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def timing(self, name: str) -> Timing | None:
        return next((t for t in self.timings if t.name == name), None)


@dataclass
class Result:
    """The answer to one question, as it is written to `results/<question>.json`."""

    question: str
    title: str
    text: str
    command: str
    limit: str = ""
    environment: dict[str, Any] = field(default_factory=dict)
    cases: list[Case] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)

    def write(self) -> Path:
        RESULTS.mkdir(exist_ok=True)
        self.environment["load_at_end"] = os.getloadavg()[0]
        path = RESULTS / f"{self.question}.json"
        aside = path.with_suffix(".json.part")
        aside.write_text(json.dumps(asdict(self), indent=1, default=_plain) + "\n")
        aside.replace(path)
        print(f"written: {path.relative_to(ROOT.parent)}")
        return path


# --- the run --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Options:
    """What the command line asked for."""

    full: bool
    threads: int
    budget: float | None

    def measure_budget(self, quick: float = 8.0, full: float = 40.0) -> Budget:
        seconds = self.budget or (full if self.full else quick)
        return Budget(seconds=seconds, min_rounds=7 if self.full else 3)


def options(doc: str | None, threads: int = 2) -> Options:
    """Read the command line of a question and set the number of threads of every library."""
    given = command_line(doc, threads).parse_args()
    return chosen_options(given)


def chosen_options(given: argparse.Namespace) -> Options:
    use_threads(given.threads)
    return Options(full=given.full, threads=given.threads, budget=given.budget)


def command_line(doc: str | None, threads: int = 2) -> argparse.ArgumentParser:
    """The flags that every question takes."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="small sizes, few rounds (default)")
    size.add_argument("--full", action="store_true", help="all sizes")
    parser.add_argument("--threads", type=int, default=threads, help="for every contender")
    parser.add_argument("--budget", type=float, help="seconds a table, in place of the default")
    return parser


def use_threads(n: int) -> None:
    """Set the thread count of libraries that read it from the environment, before they do."""
    for variable in (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMBA_NUM_THREADS",
        "MILLRACE_NUM_THREADS",
    ):
        os.environ[variable] = str(n)


def begin(question: str, title: str, doc: str | None, chosen: Options, limit: str = "") -> Result:
    """An empty result with the command and the machine written down."""
    command = f"python -m benchmarks.{question} {'--full' if chosen.full else '--quick'}"
    return Result(
        question=question,
        title=title,
        text=(doc or "").strip(),
        command=command,
        limit=limit,
        environment=environment(chosen.threads),
    )


def run_case(
    case: Case,
    contenders: Sequence[Contender],
    source: str | None,
    budget: Budget,
    truth: np.ndarray | None = None,
) -> Case:
    """Prepare, check and measure all contenders, then judge the targets.

    Parameters
    ----------
    source
        Name of the contender whose answer is the right one; None where there is no answer to check.
    truth
        The right answer, where it is not what `source` answers in this case.

    Raises
    ------
    WrongAnswer
        Millrace's answer is further from the source's than `case.tolerance`.
    """
    print(f"\n{case.name}")
    ready = _prepare(case, contenders, source)
    if truth is None:
        truth = next((r.answer for r in ready if r.contender.name == source), None)
    errors = {} if truth is None else _errors(case, ready, truth)
    samples = interleave(ready, budget)
    case.timings = [
        _summary(r.contender, samples[r.contender.name], case.calls, errors.get(r.contender.name))
        for r in ready
    ]
    _add_ratios(case)
    case.verdicts = [judge(case, target) for target in case.targets]
    print_case(case)
    return case


def _errors(
    case: Case, ready: Sequence[Ready], truth: np.ndarray
) -> dict[str, tuple[float, float]]:
    """How far each answer lies from the source's. Millrace's may not lie too far."""
    errors = {r.contender.name: distance(r.answer, truth) for r in ready}
    for name, (worst, _) in errors.items():
        if name.startswith(MILLRACE) and not worst <= case.tolerance:
            raise WrongAnswer(f"{case.name}: {name} is off by {worst}, allowed {case.tolerance}")
    return errors


@dataclass
class Ready:
    """A prepared contender with its first answer and the seconds that its latest call took."""

    contender: Contender
    state: Any
    answer: np.ndarray
    latest: float

    def seconds(self, repeats: int) -> float:
        """Seconds of `repeats` calls, one after the other."""
        if self.contender.seconds is not None:
            return self.contender.seconds(self.state, repeats)
        run, state = self.contender.run, self.state
        start = time.perf_counter()
        for _ in range(repeats):
            run(state)
        return time.perf_counter() - start


def _prepare(case: Case, contenders: Sequence[Contender], source: str | None) -> list[Ready]:
    """Make every contender answer once. A peer that cannot is skipped and the reason noted."""
    ready = []
    for contender in contenders:
        must = contender.name == source or contender.name.startswith(MILLRACE)
        try:
            state = contender.prepare()
            start = time.perf_counter()
            raw = contender.run(state)
            ready.append(Ready(contender, state, contender.read(raw), time.perf_counter() - start))
        except Exception as error:
            if must:
                raise
            case.skipped[contender.name] = reason(error)
            print(f"  {contender.name}: skipped: {reason(error)}")
    return ready


def reason(error: Exception) -> str:
    """Why a peer is missing, in one line."""
    if isinstance(error, Skip):
        return str(error)
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:160]}"


def interleave(ready: Sequence[Ready], budget: Budget) -> dict[str, list[float]]:
    """Seconds of one `run` of each contender, one figure a round it took part in."""
    share = budget.seconds / max(len(ready), 1)
    samples: dict[str, list[float]] = {r.contender.name: [] for r in ready}
    playing = list(ready)
    for round_number in range(budget.max_rounds):
        for one in rotated(playing, round_number):
            samples[one.contender.name].append(_turn(one, budget))
        playing = [r for r in playing if _stays(r, samples[r.contender.name], share, budget)]
        if not playing:
            break
    return samples


def _turn(one: Ready, budget: Budget) -> float:
    """Seconds a call, after the pause and, for short calls, a turn that is not counted."""
    time.sleep(budget.pause_seconds)
    if one.latest < 5 * budget.turn_seconds:
        one.latest = one.seconds(1)
    repeats = max(1, math.ceil(budget.turn_seconds / max(one.latest, 1e-9)))
    one.latest = one.seconds(repeats) / repeats
    return one.latest


def _stays(one: Ready, samples: list[float], share: float, budget: Budget) -> bool:
    """Whether a contender takes part in the next round."""
    spent = sum(max(s, budget.turn_seconds) for s in samples)
    few = len(samples) < budget.min_rounds
    return spent < share or (few and one.latest < share)


def rotated(items: Sequence[Ready], by: int) -> list[Ready]:
    """The same items, starting elsewhere, so that no one always follows the same neighbour."""
    if not items:
        return []
    start = by % len(items)
    return [*items[start:], *items[:start]]


def distance(answer: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Largest absolute difference and the share of values that differ. Compares n with n × 1 too.

    Answers that are not numbers (labels) count 0 where equal and infinity where not.
    """
    if answer.size != truth.size:
        return math.inf, 1.0
    a, b = answer.reshape(-1), truth.reshape(-1)
    if not (np.issubdtype(a.dtype, np.number) and np.issubdtype(b.dtype, np.number)):
        differing = float(np.mean(a.astype(str) != b.astype(str)))
        return (math.inf if differing else 0.0), differing
    both_missing = np.isnan(a) & np.isnan(b)
    apart = np.where(both_missing, 0.0, np.abs(a.astype(np.float64) - b.astype(np.float64)))
    return float(apart.max(initial=0.0)), float(np.mean(apart > 0))


def _summary(
    contender: Contender, seconds: list[float], calls: int, error: tuple[float, float] | None
) -> Timing:
    each = np.array(seconds) / calls
    low, high = np.percentile(each, [25, 75])
    return Timing(
        name=contender.name,
        median=float(median(each)),
        low=float(low),
        high=float(high),
        best=float(each.min()),
        rounds=len(seconds),
        max_error=error[0] if error else None,
        differing=error[1] if error else None,
        note=contender.note,
    )


def _add_ratios(case: Case) -> None:
    ours = case.timing(MILLRACE)
    if ours is None:
        return
    for timing in case.timings:
        timing.ratio = timing.median / ours.median


# --- targets --------------------------------------------------------------------------------------

IN_SECONDS = {"s": 1.0, "ms": 1e-3, "µs": 1e-6}


def judge(case: Case, target: Target) -> Verdict:
    """Compare a target with what was measured in its case."""
    ours = case.timing(target.contender)
    if target.peer:
        marks = [t for name in target.peer if (t := case.timing(name)) is not None]
        against = min(marks, key=lambda t: t.median, default=None)
        measured = against.median / ours.median if against and ours else None
        return verdict(target, measured, against.name if against else " / ".join(target.peer))
    measured = ours.median / IN_SECONDS[target.unit] if ours else None
    return verdict(target, measured, "", higher_is_better=False)


def verdict(
    target: Target, measured: float | None, against: str = "", *, higher_is_better: bool = True
) -> Verdict:
    """The status of one target: what is measured is compared with the aim first, then the least."""
    sign = 1 if higher_is_better else -1
    if measured is None:
        status = "not measured"
    elif sign * measured >= sign * target.aim:
        status = "aim reached"
    elif sign * measured >= sign * target.least:
        status = "reached"
    else:
        status = "missed"
    return Verdict(
        target.job,
        against,
        target.unit,
        target.least,
        target.aim,
        measured,
        status,
        higher_is_better,
    )


# --- the machine ----------------------------------------------------------------------------------


def environment(threads: int) -> dict[str, Any]:
    """What a reader needs to judge or repeat the figures."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "threads": threads,
        "load_at_start": os.getloadavg()[0],
        "versions": _versions(),
    }


def _versions() -> dict[str, str]:
    found = {}
    for library in LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    with contextlib.suppress(Skip):
        from benchmarks import lleaves_env

        found["lleaves"] = lleaves_env.version()
    return found


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _commit() -> str:
    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, check=False
        )
        return done.stdout.strip() if done.returncode == 0 else ""

    commit = git("rev-parse", "--short", "HEAD")
    if not commit:
        return "none"
    changed = git("status", "--porcelain", "--untracked-files=no", "--", "../src")
    return f"{commit} with uncommitted changes" if changed else commit


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not written to a result")


# --- on the terminal ------------------------------------------------------------------------------


def show_seconds(seconds: float, unit: str) -> str:
    """Three significant digits in the unit of the table."""
    value = seconds / IN_SECONDS[unit]
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def print_case(case: Case) -> None:
    for t in case.timings:
        spread = f"{show_seconds(t.low, case.unit)}–{show_seconds(t.high, case.unit)}"
        ratio = "" if t.ratio is None else f"{t.ratio:8.2f}×"
        error = "" if t.max_error is None else f"  error {t.max_error:.2g}"
        print(
            f"  {t.name:36s} {show_seconds(t.median, case.unit):>9s} {case.unit}"
            f"  ({spread}, {t.rounds} rounds) {ratio}{error}"
        )
    for v in case.verdicts:
        measured = "–" if v.measured is None else f"{v.measured:.3g}"
        against = f" against {v.against}" if v.against else ""
        bound = "at least" if v.higher_is_better else "at most"
        print(f"  → {v.job}{against}: {measured} {v.unit} ({bound} {v.least:g}): {v.status}")
    sys.stdout.flush()
