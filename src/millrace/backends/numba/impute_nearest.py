"""Fill missing cells from the nearest points."""

from __future__ import annotations

from typing import Any


def impute_nearest(block: Any, op: Any) -> Any:
    """See `millrace.ir.ops.ImputeNearest`."""
    raise NotImplementedError
