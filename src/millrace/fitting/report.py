"""What a fit did: sweeps, rows a second, seconds, memory, what fell back."""

from __future__ import annotations

import contextlib
import html
import sys
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from millrace.fitting.sweep import SweepRecord

_REPORTS: weakref.WeakKeyDictionary[Any, FitReport] = weakref.WeakKeyDictionary()


@dataclass
class FitReport:
    """What a fit did.

    Attributes
    ----------
    sweeps : list of SweepRecord
        Every read of the data and what it answered.
    seconds : float
        From the call to the fitted estimator; `compute` of them outside sweeps.
    n_rows : int
        Rows of one sweep.
    peak_memory : int
        Largest resident size of the process so far, in bytes.
    notes : list of (path, class, text)
        Which estimators were fitted in another way than by a solver, and why.
    fell_back : dict
        Transformers that run as they are between steps, and why.
    """

    sweeps: list[SweepRecord] = field(default_factory=list)
    seconds: float = 0.0
    n_rows: int = 0
    peak_memory: int = 0
    notes: list[tuple[str, str, str]] = field(default_factory=list)
    fell_back: dict[str, str] = field(default_factory=dict)

    @property
    def rows_per_second(self) -> float:
        """Rows read by all sweeps, over their seconds."""
        seconds = sum(s.seconds for s in self.sweeps)
        return sum(s.rows for s in self.sweeps) / seconds if seconds else 0.0

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values."""
        return {
            "seconds": self.seconds,
            "n_rows": self.n_rows,
            "rows_per_second": self.rows_per_second,
            "peak_memory": self.peak_memory,
            "sweeps": [
                {
                    "number": s.number,
                    "asked": list(s.asked),
                    "rows": s.rows,
                    "seconds": s.seconds,
                    "replayed": s.replayed,
                }
                for s in self.sweeps
            ],
            "notes": [list(n) for n in self.notes],
            "fell_back": dict(self.fell_back),
        }

    def __str__(self) -> str:
        lines = [
            f"{len(self.sweeps)} sweeps over {self.n_rows:,} rows in {self.seconds:.2f} s "
            f"({self.rows_per_second:,.0f} rows/s), peak memory {self.peak_memory >> 20:,} MB"
        ]
        for sweep in self.sweeps:
            kept = ", from the checkpoint" if sweep.replayed else ""
            lines.append(f"  {sweep.number}. {sweep.seconds:.3f} s{kept}: {listed(sweep.asked)}")
        lines += [f"  {path or name}: fitted {text}" for path, name, text in self.notes]
        lines += [f"  {name} runs as it is: {why}" for name, why in self.fell_back.items()]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def listed(asked: Sequence[str], most: int = 6) -> str:
    """Requests in one line."""
    shown = "; ".join(asked[:most])
    return shown + (f"; and {len(asked) - most} more" if len(asked) > most else "")


def keep_report(estimator: Any, report: FitReport) -> None:
    """Remember the report of an estimator as long as the estimator lives, and not inside it."""
    try:
        _REPORTS[estimator] = report
    except TypeError:  # unhashable or without weak references
        return


def fit_report(estimator: Any) -> FitReport:
    """The report of the fit of an estimator in this process.

    Raises
    ------
    KeyError
        It was not fitted by `millrace.fit` in this process.
    """
    try:
        return _REPORTS[estimator]
    except KeyError:
        raise KeyError(
            f"{type(estimator).__name__} was not fitted by millrace.fit in this process"
        ) from None


def peak_memory() -> int:
    """Largest resident size of this process so far, in bytes."""
    with contextlib.suppress(OSError, StopIteration):  # Linux: of this process, not of its parent
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024
    import resource

    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size * 1024
