"""What the plots of a report show; `figures` says how they look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from millrace.training.figures import INK, LINE, MUTED, SERIES, drawn
from millrace.training.metrics import positions
from millrace.training.result import Candidate, Importance, TrainResult
from millrace.training.words import distinct_shorts, number, share, short

WIDE, SQUARE = (940, 300), (450, 360)
"""Pixels of a plot over the whole page, and of two beside each other."""

POINTS = 300
"""Points of a curve."""

CURVES = len(SERIES)
"""Classes with a curve of their own; those with the most rows."""

CELLS = 24
"""Classes of a confusion matrix; the others are taken together."""

COLUMNS = 30
"""Columns in the plot of importances."""


def target_plot(result: TrainResult) -> str:
    """The distribution of the target over all rows."""
    profile = result.target_profile
    if result.classes is None:
        values, weights = distribution(profile.counts, result.y)
        return drawn("target", *WIDE, lambda ax: _histogram(ax, values, weights, profile.name))
    counts = sorted((profile.counts or {}).items(), key=lambda item: -item[1])
    names, sizes = [c for c, _ in counts[:COLUMNS]], [n for _, n in counts[:COLUMNS]]
    if len(counts) > COLUMNS:
        names.append(f"{len(counts) - COLUMNS} others")
        sizes.append(sum(n for _, n in counts[COLUMNS:]))
    labels = distinct_shorts(names, 28)

    def draw(ax: Any) -> None:
        bars = ax.barh(range(len(sizes)), sizes, color=SERIES[0], height=0.7)
        ax.set_yticks(range(len(sizes)), labels)
        ax.margins(y=0.4 / len(sizes))
        shown = [f"{n:,} ({share(n / profile.n)})" for n in sizes]
        ax.bar_label(bars, shown, padding=3, fontsize=10, color=MUTED)
        ax.invert_yaxis()
        ax.margins(x=0.16)
        ax.grid(visible=False, axis="y")
        ax.set_xlabel("rows")
        ax.xaxis.set_major_formatter("{x:,.0f}")

    return drawn("target", WIDE[0], 56 + 22 * len(labels), draw)


def distribution(counts: Any, sample: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Values and how often each stands there: of all rows where they were counted, else of a sample."""
    if counts:
        values = np.asarray([float(v) for v in counts])
        weights = np.asarray(list(counts.values()), np.float64)
    else:
        values, weights = np.asarray(sample, np.float64), None
    finite = np.isfinite(values)
    return values[finite], None if weights is None else weights[finite]


def _histogram(ax: Any, values: np.ndarray, weights: np.ndarray | None, name: str) -> None:
    ax.hist(values, bins=_bins(values, 40), weights=weights, color=SERIES[0])
    ax.set_xlabel(short(name, 60))
    ax.set_ylabel("rows")
    ax.grid(visible=False, axis="x")


def _bins(values: np.ndarray, most: int) -> np.ndarray:
    """Edges of equal width; every bin of whole numbers holds equally many of them."""
    low, high = float(values.min()), float(values.max())
    if np.all(values == np.floor(values)) and high - low < 2**53:
        width = np.ceil((high - low + 1) / most)
        return np.arange(low - 0.5, high + width + 0.5, width)
    return np.linspace(low, high if high > low else low + 1.0, most + 1)


def column_plot(name: str, values: np.ndarray, weights: np.ndarray | None) -> str:
    """A small histogram without axes."""

    def draw(ax: Any) -> None:
        counts, edges = np.histogram(values, bins=_bins(values, 24), weights=weights)
        ax.stairs(counts, edges, fill=True, color=SERIES[0])
        ax.margins(x=0)

    return drawn(name, 150, 34, draw, bare=True)


# --- classes --------------------------------------------------------------------------------------


def curve_plots(result: TrainResult) -> list[tuple[str, str]]:
    """(title, SVG) of the ROC and the precision-recall curves."""
    from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_curve

    roc: list[tuple[str, np.ndarray, np.ndarray]] = []
    precision: list[tuple[str, np.ndarray, np.ndarray]] = []
    for label, positive, score in _one_against_rest(result):
        wrong, right, _ = roc_curve(positive, score)
        roc.append((f"{label}, area {auc(wrong, right):.3f}", wrong, right))
        found, recall, _ = precision_recall_curve(positive, score)
        area = average_precision_score(positive, score)
        precision.append((f"{label}, average {area:.3f}", recall[::-1], found[::-1]))
    if not roc:
        return []

    def draw_roc(ax: Any) -> None:
        ax.plot([0, 1], [0, 1], color=LINE, linewidth=1, linestyle="--")
        _curves(ax, roc, "false positive rate", "true positive rate", "lower right")

    def draw_precision(ax: Any) -> None:
        _curves(ax, precision, "recall", "precision", "lower left")

    return [
        ("ROC", drawn("roc", *SQUARE, draw_roc)),
        ("Precision and recall", drawn("precision", *SQUARE, draw_precision)),
    ]


def _one_against_rest(result: TrainResult) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """(label, positive, score): both candidates for two classes, else the best one's largest classes."""
    code = positions(result.classes, result.y)
    if len(result.classes) == 2:
        if len(np.unique(code)) < 2:
            return []
        return [(c.name, code == 1, c.answers["predict_proba"][:, 1]) for c in result.candidates]
    there = np.bincount(code, minlength=len(result.classes))
    largest = [k for k in np.argsort(-there, kind="stable")[:CURVES] if 0 < there[k] < len(code)]
    names = distinct_shorts([result.classes[k].item() for k in largest], 18)
    score = result.best.answers["predict_proba"]
    return [(n, code == k, score[:, k]) for n, k in zip(names, largest, strict=True)]


def _curves(ax: Any, curves: Sequence[tuple[str, Any, Any]], x: str, y: str, place: str) -> None:
    lines = [
        ax.plot(*_thinned(xs, ys), color=colour, linewidth=1.6)[0]
        for (_, xs, ys), colour in zip(curves, SERIES, strict=False)
    ]
    ax.set(xlabel=x, ylabel=y, xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
    size = 10 if len(curves) <= 4 else 8.5
    ax.legend(lines, [c[0] for c in curves], loc=place, handlelength=1.2, fontsize=size)


def _thinned(xs: np.ndarray, ys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most `POINTS` points, evenly along the curve."""
    if len(xs) <= POINTS:
        return xs, ys
    along = np.append(0.0, np.cumsum(np.hypot(np.diff(xs), np.diff(ys))))
    kept = np.unique(np.searchsorted(along, np.linspace(0, along[-1], POINTS)))
    kept = np.unique(np.clip(np.append(kept, [0, len(xs) - 1]), 0, len(xs) - 1))
    return xs[kept], ys[kept]


def calibration_plot(result: TrainResult) -> str:
    """How often the answer was right, against the probability that the model gave it."""
    from sklearn.calibration import calibration_curve

    code = positions(result.classes, result.y)
    binary = len(result.classes) == 2

    def draw(ax: Any) -> None:
        ax.plot([0, 1], [0, 1], color=LINE, linewidth=1, linestyle="--")
        for candidate, colour in zip(result.candidates, SERIES, strict=False):
            score = candidate.answers["predict_proba"]
            right = code == (1 if binary else score.argmax(axis=1))
            given = score[:, 1] if binary else score.max(axis=1)
            bins = max(2, min(10, len(code) // 20))
            seen, said = calibration_curve(
                right, np.clip(given, 0, 1), n_bins=bins, strategy="quantile"
            )
            ax.plot(said, seen, color=colour, marker="o", markersize=4, label=candidate.name)
        which = f"of {short(result.classes[1].item())}" if binary else "of the most likely class"
        ax.set(xlabel=f"probability {which}", ylabel="share that was so")
        ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        ax.legend(loc="upper left")

    return drawn("calibration", *SQUARE, draw)


def confusion_plot(result: TrainResult) -> str:
    """Truth in rows, answers in columns; classes with few rows taken together."""
    from sklearn.metrics import confusion_matrix

    code = positions(result.classes, result.y)
    answered = positions(result.classes, result.best.answers["predict"])
    names, groups = _grouped(result.classes, code)
    counts = confusion_matrix(groups[code], groups[answered], labels=range(len(names)))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    n, labels = len(names), distinct_shorts(names, 16)

    def draw(ax: Any) -> None:
        ax.set_aspect("equal" if n <= 6 else "auto")
        for i, j in np.argwhere(counts > 0):
            cell = (j - 0.5, j + 0.5), (i - 0.5, i + 0.5)
            ax.add_patch(_rectangle(*cell, 0.06 + 0.64 * shares[i, j]))
            text = f"{counts[i, j]:,}" if n <= 8 else _compact(int(counts[i, j]))
            ax.text(j, i, text, ha="center", va="center", fontsize=11 if n <= 8 else 8, color=INK)
        ax.set(xlim=(-0.5, n - 0.5), ylim=(n - 0.5, -0.5), xlabel="answer", ylabel="truth")
        ax.set_xticks(range(n), labels, rotation=0 if n <= 3 else 90)
        ax.set_yticks(range(n), labels, rotation=90 if n <= 3 else 0, va="center")
        ax.grid(visible=False)
        ax.tick_params(length=0, labelsize=9 if n > 8 else 11)

    wide = SQUARE if n <= 6 else (WIDE[0], 150 + 24 * n)
    return drawn("confusion", *wide, draw)


def _compact(count: int) -> str:
    """A count of at most four characters: 987, 1.2k, 56k."""
    if count < 1000:
        return str(count)
    return f"{count / 1000:.1f}k" if count < 9950 else f"{count / 1000:.0f}k"


def _grouped(classes: Any, code: np.ndarray) -> tuple[list[Any], np.ndarray]:
    """Names of the rows of the matrix, and which of them each class belongs to."""
    names = classes.tolist()
    if len(names) <= CELLS:
        return names, np.arange(len(names))
    there = np.bincount(code, minlength=len(names))
    own = np.sort(np.argsort(-there, kind="stable")[: CELLS - 1])
    groups = np.full(len(names), CELLS - 1)
    groups[own] = np.arange(CELLS - 1)
    return [*(names[k] for k in own), f"{len(names) - CELLS + 1} others"], groups


# --- numbers --------------------------------------------------------------------------------------


def residual_plots(result: TrainResult) -> list[tuple[str, str]]:
    """(title, SVG): prediction against truth, residuals against prediction, and their distribution."""
    y = np.asarray(result.y, np.float64)
    predicted = np.asarray(result.best.answers["predict"], np.float64)
    residual = y - predicted

    def against(ax: Any) -> None:
        low, high = float(min(y.min(), predicted.min())), float(max(y.max(), predicted.max()))
        _cloud(ax, y, predicted)
        ax.plot([low, high], [low, high], color=INK, linewidth=1, linestyle="--")
        ax.set(xlabel="truth", ylabel="prediction")

    def spread(ax: Any) -> None:
        _cloud(ax, predicted, residual)
        ax.axhline(0, color=INK, linewidth=1, linestyle="--")
        ax.set(xlabel="prediction", ylabel="truth − prediction")

    def shape(ax: Any) -> None:
        widest = np.quantile(np.abs(residual), 0.995) or 1.0
        shown = np.clip(residual, -widest, widest)
        ax.hist(shown, bins=40, color=SERIES[0])
        ax.axvline(0, color=INK, linewidth=1, linestyle="--")
        ax.set(xlabel="truth − prediction (outermost 0.5 % at the edge)", ylabel="held-out rows")
        ax.grid(visible=False, axis="x")

    return [
        ("Prediction against truth", drawn("against", *SQUARE, against)),
        ("Residuals", drawn("residuals", *SQUARE, spread)),
        ("Distribution of the residuals", drawn("shape", *WIDE, shape)),
    ]


def _cloud(ax: Any, x: np.ndarray, y: np.ndarray) -> None:
    """Few points one by one, many as cells that are the darker the more points they hold."""
    if len(x) <= 800:
        ax.scatter(x, y, s=9, color=SERIES[0], alpha=0.45, linewidths=0)
        return
    counts, xs, ys = np.histogram2d(x, y, bins=36)
    shade = np.log1p(counts) / np.log1p(counts.max())
    for i, j in np.argwhere(counts > 0):
        ax.add_patch(_rectangle(xs[i : i + 2], ys[j : j + 2], 0.08 + 0.85 * shade[i, j]))
    ax.set(xlim=(xs[0], xs[-1]), ylim=(ys[0], ys[-1]))


def _rectangle(xs: Any, ys: Any, alpha: float) -> Any:
    """A cell between two edges each way."""
    from matplotlib.patches import Rectangle

    corner, width, height = (xs[0], ys[0]), xs[1] - xs[0], ys[1] - ys[0]
    alpha = round(float(alpha), 2)
    return Rectangle(corner, width, height, facecolor=SERIES[0], alpha=alpha, linewidth=0)


# --- columns --------------------------------------------------------------------------------------


def importance_plot(found: Sequence[Importance], measure: str) -> str:
    """The loss that shuffling each column adds, with the deviation over the repeats."""
    shown = list(found[:COLUMNS])
    labels = distinct_shorts([i.column for i in shown], 30)

    def draw(ax: Any) -> None:
        means, deviations = [i.mean for i in shown], [i.deviation for i in shown]
        ax.barh(
            range(len(shown)), means, xerr=deviations, color=SERIES[0], height=0.7,
            error_kw={"ecolor": INK, "elinewidth": 1, "capsize": 2},
        )  # fmt: skip
        ax.set_yticks(range(len(shown)), labels)
        ax.margins(y=0.4 / len(shown))
        ax.axvline(0, color=LINE, linewidth=1)
        ax.invert_yaxis()
        ax.grid(visible=False, axis="y")
        ax.set_xlabel(f"{measure} added by shuffling the column")

    return drawn("importance", WIDE[0], 60 + 22 * len(shown), draw)


def candidate_plot(candidates: Sequence[Candidate], name: str) -> str:
    """One metric of every candidate, with its interval."""
    found = [c.metric(name) for c in candidates]

    def draw(ax: Any) -> None:
        at = np.arange(len(found))[::-1]
        values = np.array([m.value for m in found])
        low = np.maximum(values - [m.low for m in found], 0)
        high = np.maximum([m.high for m in found] - values, 0)
        ax.errorbar(values, at, xerr=[low, high], fmt="o", color=SERIES[0], capsize=4, markersize=5)
        for x, y in zip(values, at, strict=True):
            ax.annotate(
                number(float(x)),
                (x, y),
                (0, 7),
                textcoords="offset points",
                ha="center",
                fontsize=10,
            )
        ax.set_yticks(at, [c.name for c in candidates])
        ax.set(ylim=(-0.6, len(found) - 0.3), xlabel=f"{name}, with its 95 % interval")
        ax.grid(visible=False, axis="y")

    return drawn("candidates", WIDE[0], 66 + 40 * len(found), draw)
