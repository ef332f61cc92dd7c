"""Does the compiled model answer as its source does? Asked on rows made to break it.

Rows are made from the program itself: for every forest, rows that reach a leaf along a path of its
own and stand exactly on the thresholds of that path or on the next float beyond; NaN, both infinities,
-0.0; known, unseen, fractional and missing categories. The oracle is the source object.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from millrace.catalog.registry import ask, can_ask
from millrace.compiler.probes import Probes
from millrace.compiler.rounding import Slack
from millrace.errors import InputError, VerificationError
from millrace.ir.arrays import dense_array

if TYPE_CHECKING:
    from millrace.runtime.model import CompiledModel

_TELLING = ("predict_proba", "decision_function", "transform", "predict", "score_samples", "apply")
"""Methods whose answer holds most of what the others derive from it, first."""

_BATCHES = (64, 256, 1024, 4096, 16384)


@dataclass(frozen=True)
class Difference:
    """One disagreement.

    Attributes
    ----------
    method, kind : str
        The method, and the kind of rows: ``"sample"``, ``"boundaries"``, ``"missing"`` ...
    row : int
        First differing row of the batch, -1 where the whole answer differs.
    expected, got : str
    input : str
        The row.
    """

    method: str
    kind: str
    row: int
    expected: str
    got: str
    input: str = ""

    def __str__(self) -> str:
        return (
            f"{self.method} on {self.kind} rows, row {self.row}: source {self.expected}, "
            f"compiled {self.got}" + (f"; input {self.input}" if self.input else "")
        )


@dataclass
class Report:
    """The outcome of a verification; true when there is no difference.

    Attributes
    ----------
    rows : dict of str to int
        Rows compared, by kind.
    methods : tuple of str
    largest_ulp : float
        Largest distance between two float answers, in units in the last place.
    bound_ulp, bound_absolute : float
        What the converters allow: 0 for the same bits.
    differences : list of Difference
    refused : dict of str to int
        Rows that source and compiled model both refuse, by kind.
    seconds : float
    """

    rows: dict[str, int] = field(default_factory=dict)
    methods: tuple[str, ...] = ()
    largest_ulp: float = 0.0
    bound_ulp: float = 0.0
    bound_absolute: float = 0.0
    differences: list[Difference] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    def __bool__(self) -> bool:
        return not self.differences

    @property
    def summary(self) -> str:
        """One line."""
        n = sum(self.rows.values())
        if self.differences:
            return f"{len(self.differences)} difference(s) on {n:,} rows"
        how = (
            "the same bits"
            if self.largest_ulp == 0
            else (
                f"within {self.largest_ulp:.0f} ulp (allowed: {self.bound_ulp:.0f} ulp or "
                f"{self.bound_absolute:g})"
            )
        )
        return f"{how} on {n:,} rows x {len(self.methods)} method(s)"

    def __str__(self) -> str:
        lines = [self.summary + f" in {self.seconds:.2f} s"]
        lines += [f"  {kind:<12}{n:>8,} rows" for kind, n in self.rows.items()]
        lines += [f"  {kind:<12}{n:>8,} rows refused by both" for kind, n in self.refused.items()]
        lines += [f"  DIFFERS: {d}" for d in self.differences[:10]]
        return "\n".join(lines)

    __repr__ = __str__

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**asdict(self), "summary": self.summary}


def verify(
    model: CompiledModel,
    source: Any,
    rows: Any = None,
    *,
    seconds: float = 5.0,
    raise_on_difference: bool = True,
) -> Report:
    """Compare a compiled model with its source; see `CompiledModel.verify`."""
    if source is None:
        raise InputError(
            "verify needs the fitted object to compare with: this model was loaded from a "
            "file. Pass it as source=fitted."
        )
    started = time.perf_counter()
    methods = _comparable(model, source)
    bounds = model.info.provenance.get("bounds", [])
    report = Report(
        methods=methods,
        bound_ulp=max((b["ulp"] for b in bounds), default=0),
        bound_absolute=max((b["absolute"] for b in bounds), default=0.0),
    )
    clock = _Clock(started + seconds)
    if rows is not None:
        for method in methods:
            _compare(model, source, method, "sample", rows, report)
    probes = Probes(model, rows)
    for number, size in enumerate(_BATCHES):
        for method, (kind, frame) in _in_order(methods, list(probes.frames(size, seed=number))):
            if clock.allows((method, size)) and not report.differences:
                with clock.timing((method, size)):
                    _compare(model, source, method, kind, frame, report)
        if report.differences or not clock.allows((methods[0], size), share=4.0):
            break
    report.seconds = time.perf_counter() - started
    if report.differences and raise_on_difference:
        raise VerificationError.of(report)
    return report


def _comparable(model: CompiledModel, source: Any) -> tuple[str, ...]:
    """The methods, and methods with an option, that the source has; the most telling one first."""
    names = [n for n in model._names if can_ask(source, n)]
    return tuple(sorted(names, key=lambda n: _TELLING.index(n) if n in _TELLING else len(_TELLING)))


class _Clock:
    """Whether there is time for one more comparison, judged by how long the last ones took."""

    def __init__(self, stop: float) -> None:
        self.stop = stop
        self.took: dict[tuple[str, int], float] = {}

    def allows(self, task: tuple[str, int], share: float = 1.0) -> bool:
        """True for the very first comparison, and while another one is expected to end in time."""
        if not self.took:
            return True
        expected = self.took.get(task, max(self.took.values()))
        return time.perf_counter() + share * expected <= self.stop

    @contextmanager
    def timing(self, task: tuple[str, int]) -> Generator[None]:
        """Note how long a comparison takes; the first one of a method compiles kernels."""
        began = time.perf_counter()
        yield
        self.took[task] = time.perf_counter() - began


def _in_order(
    methods: tuple[str, ...], frames: list[tuple[str, Any]]
) -> Iterator[tuple[str, tuple[str, Any]]]:
    """What tells most comes first: every kind of rows by the first method, then the other methods."""
    first, *others = methods
    yield first, frames[0]
    if "apply" in others:
        yield "apply", frames[0]
    yield from ((first, frame) for frame in frames[1:])
    yield from ((method, frames[0]) for method in others if method != "apply")
    yield from ((method, frame) for frame in frames[1:] for method in others)


def _compare(
    model: CompiledModel, source: Any, method: str, kind: str, rows: Any, report: Report
) -> None:
    expected, refused = _answer(lambda: ask(source, method, rows))
    got, refused_too = _answer(lambda: model.call(method, rows))
    n = rows.shape[0] if hasattr(rows, "shape") else len(rows)
    if refused is not None or refused_too is not None:
        if refused is not None and refused_too is not None:
            report.refused[kind] = max(report.refused.get(kind, 0), n)
        else:
            report.differences.append(
                Difference(method, kind, -1, _spoken(refused, expected), _spoken(refused_too, got))
            )
        return
    if method == report.methods[0]:
        report.rows[kind] = report.rows.get(kind, 0) + n
    pairs = zip(expected, got, strict=False) if isinstance(expected, list) else [(expected, got)]
    for position, (one, other) in enumerate(pairs):
        slack = Slack(model, method, rows, report.bound_absolute, position)
        _compare_arrays(*_arrays(one, other), method, kind, rows, report, slack)


def _answer(function: Any) -> tuple[Any, Exception | None]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return function(), None
        except Exception as error:
            return None, error


def _spoken(error: Exception | None, answer: Any) -> str:
    return (
        f"raises {type(error).__name__}: {str(error)[:200]}"
        if error
        else f"answers {str(answer)[:80]}"
    )


def _arrays(one: Any, other: Any) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Two answers as arrays; of sparse ones with cells in the same places, the cells alone."""
    if hasattr(one, "tocsr") and hasattr(other, "tocsr") and one.shape == other.shape:
        first, second = one.tocsr().copy(), other.tocsr().copy()
        for matrix in (first, second):
            matrix.sum_duplicates()
            matrix.eliminate_zeros()
        if np.array_equal(first.indptr, second.indptr) and np.array_equal(
            first.indices, second.indices
        ):
            return first.data, second.data
    return dense_array(one), dense_array(other)


def _compare_arrays(
    expected: np.ndarray[Any, Any],
    got: np.ndarray[Any, Any],
    method: str,
    kind: str,
    rows: Any,
    report: Report,
    slack: Slack,
) -> None:
    if expected.shape != got.shape or expected.dtype != got.dtype:
        report.differences.append(
            Difference(
                method, kind, -1, f"{expected.dtype}{expected.shape}", f"{got.dtype}{got.shape}"
            )
        )
        return
    if expected.dtype.kind != "f":
        wrong = expected != got
        if expected.dtype == object:
            both_nan = np.array(
                [a != a and b != b for a, b in zip(expected.ravel(), got.ravel(), strict=True)],
                bool,
            )
            wrong = np.asarray(wrong, bool) & ~both_nan.reshape(expected.shape)
        if wrong.any():
            wrong = wrong & ~slack.excuses_labels(got)
    else:
        distance = ulp_distance(expected, got)
        report.largest_ulp = max(report.largest_ulp, float(distance.max(initial=0)))
        wrong = distance > report.bound_ulp
        if wrong.any():
            wrong &= ~slack.excuses(expected, got)
    if wrong.any():
        at = int(np.argwhere(np.atleast_1d(wrong))[0][0])
        report.differences.append(
            Difference(method, kind, at, repr(expected[at]), repr(got[at]), _row_text(rows, at))
        )


def ulp_distance(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """How many floats lie between two arrays of the same float dtype; NaN equals NaN."""
    bits = {2: np.uint16, 4: np.uint32, 8: np.uint64}[a.dtype.itemsize]
    sign = bits(1) << bits(8 * a.dtype.itemsize - 1)

    def ordered(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Whole numbers in the order of the floats; both zeros are one number."""
        whole = np.ascontiguousarray(x).view(bits)
        return np.where(whole & sign, sign - (whole & ~sign), sign + whole)

    one, other = ordered(a), ordered(b)
    distance = np.where(one > other, one - other, other - one).astype(np.float64)
    both_nan = np.isnan(a) & np.isnan(b)
    return np.where(both_nan, 0.0, np.where(np.isnan(a) ^ np.isnan(b), np.inf, distance))


def _row_text(rows: Any, at: int) -> str:
    if hasattr(rows, "toarray"):
        rows = rows.tocsr()[at : at + 1].toarray()
        at = 0
    row = rows.iloc[at].to_dict() if hasattr(rows, "iloc") else rows[at]
    return str(row)[:300]
