"""What `train` returns."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from millrace.errors import MissingDependencyError, ModelFileError
from millrace.fitting import FitReport
from millrace.runtime.model import CompiledModel
from millrace.statistics.profile import ColumnProfile
from millrace.training.metrics import BETTER, Metric, Task
from millrace.training.roles import Role
from millrace.training.words import number


@dataclass
class Candidate:
    """One fitted pipeline and what it does on held-out rows.

    Attributes
    ----------
    answers : dict
        Method -> its answers for the held-out rows.
    """

    name: str
    estimator: Any
    metrics: list[Metric] = field(default_factory=list)
    answers: dict[str, np.ndarray] = field(default_factory=dict)

    def metric(self, name: str) -> Metric:
        """One metric by its name."""
        return next(m for m in self.metrics if m.name == name)


@dataclass(frozen=True)
class Importance:
    """How much the comparison metric worsens when a column is shuffled: mean and deviation."""

    column: str
    mean: float
    deviation: float


@dataclass
class TrainResult:
    """A trained model and all that its report shows.

    Attributes
    ----------
    source, target : str
    task : {"binary", "multiclass", "regression"}
    model : CompiledModel
        The better candidate, compiled and verified.
    estimator : sklearn.pipeline.Pipeline
        The same, as scikit-learn has it.
    candidates : list of Candidate
        The better one first.
    profiles, roles : tuple
        One a column of the table.
    target_profile : ColumnProfile
    classes : numpy.ndarray, optional
    y : numpy.ndarray
        The target of the held-out rows.
    importances : list of Importance
        The most important column first.
    sample : pandas.DataFrame
        Some held-out rows, for plots.
    baseline : Candidate
        What a model without columns does.
    difference : Metric
        By how much the other candidate is worse in the comparison metric.
    report : FitReport
    seconds : dict
        Stage -> seconds.
    notes : list of str
    """

    source: str
    target: str
    task: Task
    model: CompiledModel
    estimator: Any
    candidates: list[Candidate]
    profiles: tuple[ColumnProfile, ...]
    roles: tuple[Role, ...]
    target_profile: ColumnProfile
    classes: Any
    y: np.ndarray
    importances: list[Importance]
    sample: Any
    baseline: Candidate
    difference: Metric
    report: FitReport
    seconds: dict[str, float]
    notes: list[str] = field(default_factory=list)

    @property
    def best(self) -> Candidate:
        """The better candidate."""
        return self.candidates[0]

    @property
    def verdict(self) -> str:
        """Whether the better candidate is so by more than chance."""
        found, (best, other) = self.difference, self.candidates
        begun = (
            f"The {found.name} of the {other.name} is {number(found.value, 3)} higher than that of the "
            f"{best.name} (95 % interval {number(found.low, 3)} to {number(found.high, 3)})"
        )
        if found.low > 0:
            return f"{begun}: more than chance explains."
        return f"{begun}: on these rows the two cannot be told apart."

    def save(self, path: str | os.PathLike[str], beside: str = "joblib") -> list[Path]:
        """Write the compiled model (``.mill``) and, beside it, the scikit-learn object.

        Parameters
        ----------
        path : path-like
        beside : {"joblib", "skops"}
            How the scikit-learn object is written. Loading a joblib file can run any code; a skops file
            names the types that it needs, to be allowed one by one.

        Returns
        -------
        list of Path
            What was written; every file whole, or the old one.

        Raises
        ------
        ModelFileError
            A file cannot be written.
        MissingDependencyError
            skops is not installed.
        """
        if beside not in _WRITERS:
            raise ValueError(f"beside is one of {', '.join(_WRITERS)}, got {beside!r}")
        path = Path(path)
        fitted = path.with_suffix(f".{beside}")
        with whole_file(fitted) as new:  # first: it can be compiled again
            _WRITERS[beside](self.estimator, new)
        return [Path(self.model.save(path)), fitted]

    def write_report(
        self, path: str | os.PathLike[str], files: Sequence[str | os.PathLike[str]] = ()
    ) -> Path:
        """Write one self-contained HTML page about the training; `files` are what `save` returned."""
        from millrace.training.report import render

        text = render(self, [Path(f) for f in files])
        with whole_file(Path(path)) as new:
            new.write_text(text, encoding="utf-8")
        return Path(path)

    def as_dict(self) -> dict[str, Any]:
        """The result as plain values, for scripts."""
        return {
            "source": self.source,
            "target": self.target,
            "task": self.task,
            "best": self.best.name,
            "compared_by": BETTER[self.task],
            "rows": self.target_profile.n,
            "held_out_rows": len(self.y),
            "metrics": {
                c.name: {
                    m.name: {"value": m.value, "low": _known(m.low), "high": _known(m.high)}
                    for m in c.metrics
                }
                for c in self.candidates
            },
            "columns": {r.column: {"part": r.part, "note": r.note} for r in self.roles},
            "importances": {i.column: i.mean for i in self.importances},
            "seconds": dict(self.seconds),
            "fit": self.report.as_dict(),
            "baseline": {m.name: m.value for m in self.baseline.metrics},
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        lines = [
            f"{self.best.name} for {self.target!r} ({self.task}), {len(self.y):,} rows held out"
        ]
        for one in self.candidates:
            shown = ", ".join(f"{m.name} {m.value:.4g}" for m in one.metrics)
            lines.append(f"  {one.name}: {shown}")
        return "\n".join(lines)


def _known(value: float) -> float | None:
    """JSON has no NaN."""
    return None if np.isnan(value) else value


def _joblib(estimator: Any, path: Path) -> None:
    import joblib

    joblib.dump(estimator, path, compress=3)


def _skops(estimator: Any, path: Path) -> None:
    try:
        import skops.io
    except ModuleNotFoundError as error:
        raise MissingDependencyError.of("skops", "Writing a skops file", "skops") from error
    skops.io.dump(estimator, path)


_WRITERS: dict[str, Callable[[Any, Path], None]] = {"joblib": _joblib, "skops": _skops}


@contextmanager
def whole_file(path: Path) -> Generator[Path]:
    """A name to write to; it takes the place of `path` when it is whole.

    Raises
    ------
    ModelFileError
        It cannot be written.
    """
    try:
        handle, name = tempfile.mkstemp(
            suffix=path.suffix, prefix=f".{path.name}.", dir=path.parent
        )
        os.close(handle)
        aside = Path(name)
    except OSError as error:
        raise ModelFileError.cannot_write(path, str(error)) from error
    try:
        yield aside
        mask = os.umask(0)
        os.umask(mask)
        aside.chmod(0o666 & ~mask)
        os.replace(aside, path)
    except OSError as error:
        raise ModelFileError.cannot_write(path, str(error)) from error
    finally:
        aside.unlink(missing_ok=True)
