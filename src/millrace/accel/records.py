"""What ran where: one line for every call site, estimator, method and reason."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from types import FrameType

_LIBRARIES = frozenset(
    ("millrace", "sklearn", "joblib", "imblearn", "mlxtend", "skrub", "concurrent", "multiprocessing",
     "threading", "contextlib", "runpy")
)  # fmt: skip
"""Packages whose code is not the user's: a call site is the nearest line outside them."""


class Ran(Enum):
    """Who answered a call."""

    MILLRACE = "Millrace"
    SKLEARN = "scikit-learn"


@dataclass(frozen=True)
class Site:
    """Where in the user's code a call was made."""

    file: str
    line: int


@dataclass(frozen=True)
class Key:
    """What calls have in common that are one line of the report.

    Attributes
    ----------
    site : Site
    estimator, method : str
    ran : Ran
    level : str
        ``"exact"`` or ``"equivalent"``; empty for scikit-learn.
    reason, lift : str
        Why it was not Millrace, and what would change that; empty where it was.
    trace : str
        The traceback of an error inside Millrace.
    """

    site: Site
    estimator: str
    method: str
    ran: Ran
    level: str = ""
    reason: str = ""
    lift: str = ""
    trace: str = ""


@dataclass
class Line:
    """Calls with one `Key`, added up.

    Attributes
    ----------
    calls : int
    rows, columns : int
        Of the largest call.
    seconds : float
    estimated : float
        Seconds that scikit-learn was expected to take, over the calls for which that is known.
    measured : float
        Seconds that it did take, over the calls that were compared.
    """

    calls: int = 0
    rows: int = 0
    columns: int = 0
    seconds: float = 0.0
    estimated: float = 0.0
    measured: float = 0.0


class Records:
    """All lines of this process; may be added to from several threads."""

    def __init__(self) -> None:
        self._lines: dict[Key, Line] = {}
        self._lock = threading.Lock()

    def add(
        self,
        key: Key,
        seconds: float,
        shape: tuple[int, int] = (0, 0),
        *,
        estimated: float = 0.0,
        measured: float = 0.0,
    ) -> None:
        """Add one call."""
        with self._lock:
            line = self._lines.setdefault(key, Line())
            line.calls += 1
            line.rows, line.columns = max((line.rows, line.columns), shape)
            line.seconds += seconds
            line.estimated += estimated
            line.measured += measured

    def lines(self) -> list[tuple[Key, Line]]:
        """All lines, in the order of their first call."""
        with self._lock:
            return list(self._lines.items())

    def clear(self) -> None:
        with self._lock:
            self._lines.clear()


RECORDS = Records()


def merged(parts: Sequence[list[tuple[Key, Line]]]) -> list[tuple[Key, Line]]:
    """Lines of several processes, those with one key added up."""
    total: dict[Key, Line] = {}
    for key, line in (one for part in parts for one in part):
        into = total.setdefault(key, Line())
        into.calls += line.calls
        into.rows, into.columns = max((into.rows, into.columns), (line.rows, line.columns))
        into.seconds += line.seconds
        into.estimated += line.estimated
        into.measured += line.measured
    return list(total.items())


@dataclass
class _Default:
    """The site of calls that no line of the user's code makes: those of tasks in a worker process."""

    site: Site | None = None


DEFAULT = _Default()


def site() -> Site:
    """Where the user's code makes the call that is being answered."""
    return user_site() or DEFAULT.site or Site("", 0)


def user_site() -> Site | None:
    """The nearest line of the calling stack that is not in a library; None where all are."""
    frame: FrameType | None = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
    while frame is not None:
        package = frame.f_globals.get("__package__") or frame.f_globals.get("__name__", "")
        if package.partition(".")[0] not in _LIBRARIES and frame.f_code.co_filename[:1] != "<":
            return Site(frame.f_code.co_filename, frame.f_lineno)
        frame = frame.f_back
    return None
