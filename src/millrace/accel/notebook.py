"""``%load_ext millrace`` in a notebook."""

from __future__ import annotations

from typing import Any


def load_ipython_extension(ipython: Any) -> None:
    """Accelerate the notebook from here on."""
    from millrace.accel.session import accelerate

    accelerate("equivalent")


def unload_ipython_extension(ipython: Any) -> None:
    """Put scikit-learn's own methods back."""
    from millrace.accel.session import restore

    restore()
