"""One self-contained HTML page about a training: it asks the network for nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from millrace.statistics.profile import CAP, ColumnProfile, is_number
from millrace.training import plots
from millrace.training.metrics import BETTER, LEVEL, LOWER
from millrace.training.opening import HELD
from millrace.training.result import Candidate, TrainResult
from millrace.training.roles import Role
from millrace.training.words import number, seconds, share, short, size

TOP = 4
"""Values of a column that are shown."""

SWEEPS = 40
"""Sweeps that are listed one by one."""


def render(result: TrainResult, files: Sequence[Path] = ()) -> str:
    """The page as text.

    Parameters
    ----------
    result : TrainResult
    files : sequence of Path
        What was written: the model, and the scikit-learn object beside it.

    Notes
    -----
    Every name and value that comes from the data is escaped. Two calls give the same text.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("millrace.training"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number, "share": share, "seconds": seconds, "size": size,
        "short": short, "asked": _asked,
    }  # fmt: skip
    context = {
        "result": result,
        "classification": result.classes is not None,
        "measure": BETTER[result.task],
        "level": f"{LEVEL:.0%}".replace("%", " %"),
        "facts": _facts(result),
        "columns": [_column(result, i) for i in range(len(result.profiles))],
        "comparison": _comparison(result),
        "plots": _plots(result),
        "sweeps": result.report.sweeps[:SWEEPS],
        "more_sweeps": max(len(result.report.sweeps) - SWEEPS, 0),
        "steps": result.model.info.steps,
        "provenance": _provenance(result),
        "files": [(f.name, f.stat().st_size) for f in files if f.is_file()],
        "use": _use(result, files),
    }
    return environment.get_template("report.html").render(context)


def _facts(result: TrainResult) -> list[tuple[str, str]]:
    """What stands at the top: the main figure, and what it was found on."""
    measure = result.best.metrics
    leading = next((m for m in measure if m.name in ("ROC AUC", "R²")), measure[1])
    columns = [r for r in result.roles if not r.date]
    used = sum(r.part != "left out" for r in columns)
    return [
        (leading.name, number(leading.value)),
        (measure[0].name, number(measure[0].value)),
        ("rows", number(result.target_profile.n)),
        ("held out", number(len(result.y))),
        ("columns used", f"{used} of {len(columns)}"),
        ("time", seconds(sum(result.seconds.values()))),
    ]


# --- columns --------------------------------------------------------------------------------------


def _column(result: TrainResult, at: int) -> dict[str, Any]:
    """One line of the overview."""
    profile, role = result.profiles[at], result.roles[at]
    return {
        "name": profile.name,
        "type": str(profile.type),
        "role": role,
        "missing": profile.missing / profile.n if profile.n else 0.0,
        "distinct": f"> {CAP:,}" if profile.distinct is None else f"{profile.distinct:,}",
        "plot": _small_plot(result, profile, role, f"column{at}"),
        "values": _values(profile),
    }


def _small_plot(result: TrainResult, profile: ColumnProfile, role: Role, name: str) -> str:
    if not is_number(profile.type) or profile.missing == profile.n or profile.distinct == 1:
        return ""
    if math.isinf(profile.minimum) or math.isinf(profile.maximum):
        return ""
    values, weights = plots.distribution(profile.counts, result.sample[profile.name])
    return plots.column_plot(name, values, weights) if len(values) else ""


def _cell(value: Any) -> str:
    """A value of a column: years have no comma."""
    text = number(value)
    return text.replace(",", "") if len(text) <= 6 else text


def _values(profile: ColumnProfile) -> str:
    """Range and mean of numbers, the most frequent of other values."""
    present = profile.n - profile.missing
    if not present:
        return ""
    if is_number(profile.type) and math.isfinite(profile.mean):
        low, high, mean = map(_cell, (profile.minimum, profile.maximum, profile.mean))
        return f"{low} to {high}, mean {mean} ± {number(profile.deviation, 3)}"
    if profile.counts is None or profile.distinct == present:
        return f"{short(profile.minimum)} to {short(profile.maximum)}"
    top = sorted(profile.counts.items(), key=lambda item: (-item[1], str(item[0])))
    shown = ", ".join(f"{short(value)} {share(n / profile.n)}" for value, n in top[:TOP])
    return f"{shown} and {len(top) - TOP:,} more" if len(top) > TOP else shown


def _asked(request: str) -> str:
    """A request of a sweep, in words: the only part of the rows is the one held out."""
    text = request.replace(f" without fold {HELD}", "").replace(
        f"of fold {HELD}", "of held-out rows"
    )
    return text.replace("/", " › ")


# --- comparison -----------------------------------------------------------------------------------


def _comparison(result: TrainResult) -> list[dict[str, Any]]:
    """A line a metric: the candidates' values, and which is better; None for the baseline."""
    lines: list[dict[str, Any]] = []
    for metric in result.best.metrics:
        found = [c.metric(metric.name) for c in (*result.candidates, result.baseline)]
        sign = 1 if metric.name in LOWER else -1
        values = [sign * m.value for m in found[:-1]]
        better = [v == np.nanmin(values) for v in values]
        lines.append(
            {
                "name": metric.name,
                "lower": metric.name in LOWER,
                "found": list(zip(found, [*better, None], strict=True)),
            }
        )
    return lines


def _plots(result: TrainResult) -> dict[str, Any]:
    found: dict[str, Any] = {
        "target": plots.target_plot(result),
        "candidates": plots.candidate_plot(_shown(result), BETTER[result.task]),
        "importance": plots.importance_plot(result.importances, BETTER[result.task]),
    }
    if result.classes is None:
        return {**found, "pairs": plots.residual_plots(result), "confusion": ""}
    confusion = plots.confusion_plot(result)
    pairs = [*plots.curve_plots(result), ("Calibration", plots.calibration_plot(result))]
    return {**found, "pairs": [*pairs, (f"Confusion, {result.best.name}", confusion)]}


def _shown(result: TrainResult) -> list[Candidate]:
    return [*result.candidates, result.baseline]


# --- provenance and use ---------------------------------------------------------------------------


def _provenance(result: TrainResult) -> list[tuple[str, str]]:
    found = result.model.info.provenance
    training, versions = found.get("training", {}), found.get("versions", {})
    lines = [
        (k.replace("_", " "), v) for k, v in training.items() if not isinstance(v, (dict, list))
    ]
    lines += [("python", found.get("python", ""))]
    lines += list(versions.items())
    return [(name, value if isinstance(value, str) else number(value)) for name, value in lines]


def _use(result: TrainResult, files: Sequence[Path]) -> list[tuple[str, str]]:
    """(what for, commands to copy)."""
    model = next((f.name for f in files if f.suffix == ".mill"), "model.mill")
    fitted = next((f.name for f in files if f.suffix != ".mill"), "model.joblib")
    method = "predict" if result.classes is None else "predict_proba"
    load = [
        "import joblib",
        f"pipeline = joblib.load({fitted!r})  # runs code: only files that you trust",
    ]
    if fitted.endswith(".skops"):
        load = [
            "import skops.io",
            f"unknown = skops.io.get_untrusted_types(file={fitted!r})  # look at them",
            f"pipeline = skops.io.load({fitted!r}, trusted=unknown)",
        ]
    if parts := [r.column for r in result.roles if r.date and r.part == "number"]:
        load.append(f"# it takes the parts of dates as columns: {', '.join(map(repr, parts))}")
    return [
        (
            "Predict a file, in constant memory",
            f"millrace predict {_shell(model)} rows.csv --method {method} -o answers.parquet",
        ),
        (
            "Predict in Python; scikit-learn is not needed",
            f"import millrace as mr\n\nmodel = mr.load({model!r})\nmodel.{method}(rows)  # a data frame",
        ),
        (
            "Serve: one record in microseconds, from as many threads as you like",
            f"record = {_record(result)}\nmodel.{method}_one(record)",
        ),
        ("Without Python: C source", f"millrace export {_shell(model)} --c source"),
        ("The scikit-learn object", "\n".join(load)),
        ("Look inside", f"millrace describe {_shell(model)}"),
    ]


def _shell(word: str) -> str:
    from shlex import quote

    return quote(word)


def _record(result: TrainResult) -> str:
    """A held-out row as a dictionary of the columns that the model reads, dates instead of parts."""
    used = [r.column for r in result.roles if r.part != "left out" and not r.date]
    frame = result.sample[used]
    fullest = frame.iloc[int(np.argmin(frame.isna().sum(axis=1).to_numpy()))]
    cells = {c: None if v != v or v is None else _plain(v) for c, v in fullest.items()}
    text = json.dumps(cells, ensure_ascii=False, default=str)
    if len(text) < 80:
        return text.replace("null", "None").replace("true", "True").replace("false", "False")
    lines = ",\n".join(f"    {c!r}: {v!r}" for c, v in cells.items())
    return f"{{\n{lines},\n}}"


def _plain(value: Any) -> Any:
    """A cell as it can be written down; dates as texts."""
    if isinstance(value, date):
        return str(value)
    return value.item() if hasattr(value, "item") else value
