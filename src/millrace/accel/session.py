"""Turning acceleration on and off."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from millrace.accel import patches, workers
from millrace.accel.options import OPTIONS, Level, Options


def accelerate(level: Level = "exact", *, strict: bool = False, compare: bool = False) -> None:
    """Have scikit-learn's own methods answered by Millrace where that is faster.

    Parameters
    ----------
    level : {"exact", "equivalent"}
        ``"exact"``: only what gives scikit-learn's answer (fitted attributes to 1e-6, predictions within
        the bound that `compile` states). ``"equivalent"``: also solvers that reach the same objective or
        quality by another way, such as histogram forests.
    strict : bool
        Raise an error of Millrace's own instead of running scikit-learn's code and recording it.
    compare : bool
        Run scikit-learn's code as well, on a copy, and put its seconds into the report.

    Notes
    -----
    Calls change nothing that scikit-learn would not change: bad or unusual input goes to its own
    code and raises its own errors. `restore` puts the original methods back. Worker processes that
    joblib starts are accelerated too.
    """
    OPTIONS.set(Options(level=level, strict=strict, compare=compare))
    patches.install()
    workers.install()


def restore() -> None:
    """Put scikit-learn's own methods back. What was fitted or compiled stays as it is."""
    workers.uninstall()
    patches.uninstall()


@contextmanager
def accelerated(
    level: Level = "exact", *, strict: bool = False, compare: bool = False
) -> Generator[None]:
    """`accelerate` for the length of a ``with`` block; what was on before is on again afterwards."""
    before = OPTIONS.get() if patches.installed() else None
    accelerate(level, strict=strict, compare=compare)
    try:
        yield
    finally:
        if before is None:
            restore()
        else:
            OPTIONS.set(before)
