"""The report of what ran where."""

from __future__ import annotations

from millrace.accel.records import RECORDS


class Report:
    """What ran where, so far."""

    def __str__(self) -> str:
        return "\n".join(f"{key} {line}" for key, line in RECORDS.lines())


def report() -> Report:
    """What ran where since acceleration was turned on."""
    return Report()
