"""The report of what ran where: as text, in a notebook, as a page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from millrace.accel import workers
from millrace.accel.records import Key, Line, Ran, Site


def report() -> Report:
    """What ran where since acceleration was first turned on, in worker processes too.

    Returns
    -------
    Report
        Prints as a table; `Report.save` writes a page, `Report.clear` starts anew.
    """
    return Report(tuple(workers.lines()))


@dataclass(frozen=True)
class Report:
    """Calls of scikit-learn's methods: one line for each place, estimator, method and reason.

    Attributes
    ----------
    lines : tuple of (Key, Line)
        Calls too small to gain anything, which went straight to scikit-learn, are not among them.
    """

    lines: tuple[tuple[Key, Line], ...]

    @property
    def seconds(self) -> float:
        """What all calls took."""
        return sum(line.seconds for _, line in self.lines)

    @property
    def saved(self) -> float:
        """Seconds that scikit-learn would have taken longer: measured where known, else estimated."""
        return sum(
            (line.measured or line.estimated) - line.seconds
            for key, line in self.lines
            if key.ran is Ran.MILLRACE and (line.measured or line.estimated)
        )

    def summary(self) -> str:
        """The report in one line."""
        ours = sum(line.calls for key, line in self.lines if key.ran is Ran.MILLRACE)
        calls = sum(line.calls for _, line in self.lines)
        if not calls:
            return "no call of scikit-learn was large enough to gain"
        kept = f"about {shown_seconds(self.saved)} saved" if self.saved > 0 else "nothing saved"
        return f"{ours:,} of {calls:,} larger calls ran in Millrace, {kept}"

    @staticmethod
    def clear() -> None:
        """Forget what ran so far."""
        workers.forget()

    def save(self, path: str | Path) -> None:
        """Write the report as one HTML page that needs nothing else."""
        page = f"<!doctype html><meta charset=utf-8><title>What ran where</title>{_STYLE}"
        Path(path).write_text(page + self._repr_html_(), "utf-8")

    def __str__(self) -> str:
        from rich.console import Console
        from rich.table import Table

        table = Table(
            title=f"Millrace: {self.summary()}", title_justify="left", box=None, pad_edge=False
        )
        for name in HEADINGS:
            table.add_column(
                name,
                justify="right" if name in _NUMBERS else "left",
                overflow="ellipsis" if name == "call" else "fold",
                no_wrap=name == "call",
            )
        for key, line in self.lines:
            table.add_row(*cells(key, line))
        console = Console(width=_width(), markup=False)
        with console.capture() as text:
            console.print(table)
        return text.get().rstrip()

    def _repr_html_(self) -> str:
        from html import escape

        head = "".join(f"<th>{name}</th>" for name in HEADINGS)
        body = "".join(_row(key, line) for key, line in self.lines)
        return f"<p>{escape(self.summary())}</p><table><tr>{head}</tr>{body}</table>"

    __repr__ = __str__


HEADINGS = ("where", "call", "rows × columns", "calls", "ran in", "seconds", "scikit-learn", "note")
_NUMBERS = ("rows × columns", "calls", "seconds", "scikit-learn")
_STYLE = (
    "<style>body{font:14px/1.5 system-ui,sans-serif;margin:2rem}table{border-collapse:collapse}"
    "th,td{padding:.3em .8em;text-align:left;border-bottom:1px solid #ddd;vertical-align:top}"
    "pre{white-space:pre-wrap}</style>"
)


def cells(key: Key, line: Line) -> tuple[str, ...]:
    """The columns of the report for one line."""
    ours = key.ran is Ran.MILLRACE
    theirs = shown_seconds(line.measured) if line.measured else ""
    if ours and not theirs and line.estimated:
        theirs = f"≈ {shown_seconds(line.estimated)}"
    return (
        where(key.site),
        f"{key.estimator}.{key.method}",
        f"{line.rows:,} × {line.columns:,}" if line.rows else "",
        f"{line.calls:,}",
        f"{key.ran.value}, {key.level}" if key.level else key.ran.value,
        shown_seconds(line.seconds),
        theirs,
        _note(key),
    )


def _note(key: Key) -> str:
    lift = f"; {key.lift}" if key.lift else ""
    last = key.trace.rstrip().rpartition("\n")[2]
    return f"{key.reason}{': ' if last else ''}{last}{lift}"


def _row(key: Key, line: Line) -> str:
    from html import escape

    *columns, note = (escape(cell) for cell in cells(key, line))
    if key.trace:
        note = f"<details><summary>{note}</summary><pre>{escape(key.trace)}</pre></details>"
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in (*columns, note)) + "</tr>"


def where(site: Site) -> str:
    """A place as short as it can be clicked: file and line."""
    return f"{Path(site.file).name}:{site.line}" if site.file else ""


def shown_seconds(value: float) -> str:
    """A duration with three digits."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3)):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value * 1e6:.0f} µs"


def _width() -> int:
    import shutil

    return max(shutil.get_terminal_size((120, 24)).columns, 100)
