"""How fast this machine is on both sides, beside the one on which ``costs.json`` was measured."""

from __future__ import annotations

import json
import os
import sys
from functools import cache
from pathlib import Path


def cache_file() -> Path:
    """Where the factors are kept, for this number of CPUs."""
    if sys.platform == "win32":
        folder = Path(os.environ.get("LOCALAPPDATA", Path.home()))
    else:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return folder / "millrace" / f"costs-{os.cpu_count()}.json"


@cache
def factors() -> tuple[float, float]:
    """By what the seconds in ``costs.json`` are multiplied, scikit-learn's and Millrace's.

    Both are 1 until `keep` was called on this machine.
    """
    try:
        kept = json.loads(cache_file().read_text())
        theirs, ours = float(kept["theirs"]), float(kept["ours"])
    except (OSError, ValueError, KeyError, TypeError, RuntimeError):
        return 1.0, 1.0
    plausible = 0.01 < theirs < 100.0 and 0.01 < ours < 100.0
    return (theirs, ours) if plausible else (1.0, 1.0)


def keep(theirs: float, ours: float) -> Path:
    """Keep the factors for later processes.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    path = cache_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(f".{os.getpid()}")
    aside.write_text(json.dumps({"theirs": theirs, "ours": ours}))
    aside.replace(path)
    return path
