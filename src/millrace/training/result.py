"""What `train` returns."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from millrace.fitting import FitReport
from millrace.runtime.model import CompiledModel
from millrace.statistics.profile import ColumnProfile
from millrace.training.metrics import BETTER, Metric
from millrace.training.pipelines import Task
from millrace.training.roles import Role


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
    report: FitReport
    seconds: dict[str, float]
    notes: list[str] = field(default_factory=list)

    @property
    def best(self) -> Candidate:
        """The better candidate."""
        return self.candidates[0]

    def save(self, path: str | os.PathLike[str]) -> list[Path]:
        """Write the compiled model (``.mill``), and beside it the scikit-learn object (``.joblib``).

        Returns
        -------
        list of Path
            What was written.
        """
        import joblib

        path = Path(path)
        self.model.save(path)
        beside = path.with_suffix(".joblib")
        new = beside.with_name(beside.name + ".new")
        joblib.dump(self.estimator, new, compress=3)
        os.replace(new, beside)
        return [path, beside]

    def as_dict(self) -> dict[str, Any]:
        """The result as plain values, for scripts."""
        return {
            "source": self.source,
            "target": self.target,
            "task": self.task,
            "best": self.best.name,
            "compared_by": BETTER[self.task],
            "held_out_rows": len(self.y),
            "metrics": {
                c.name: {m.name: {"value": m.value, "low": m.low, "high": m.high} for m in c.metrics}
                for c in self.candidates
            },
            "columns": {r.column: {"part": r.part, "note": r.note} for r in self.roles},
            "importances": {i.column: i.mean for i in self.importances},
            "seconds": dict(self.seconds),
            "fit": self.report.as_dict(),
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        lines = [f"{self.best.name} for {self.target!r} ({self.task}), {len(self.y):,} rows held out"]
        for one in self.candidates:
            shown = ", ".join(f"{m.name} {m.value:.4g}" for m in one.metrics)
            lines.append(f"  {one.name}: {shown}")
        return "\n".join(lines)
