"""Numbers and names as a report shows them."""

from __future__ import annotations

import math
from typing import Any


def number(value: Any, digits: int = 4) -> str:
    """A number with so many significant digits: 0.9251, 12.35, 1,234, 1.2e-09."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if not math.isfinite(value):
        return "–" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}".replace("-", "−")
    size = math.floor(math.log10(abs(value)))
    if size < -5 or size > 14:
        return f"{value:.{digits - 1}e}".replace("-", "−")
    return f"{value:,.{max(digits - 1 - size, 0)}f}".replace("-", "−")


def share(part: float) -> str:
    """A share of one, in per cent: 0, 0.03 %, 12.5 %, 100 %."""
    if part in (0, 1):
        return f"{int(part * 100)} %" if part else "0"
    percent = 100 * part
    if percent < 0.01:
        return "< 0.01 %"
    return f"{percent:.2f} %" if percent < 1 else f"{min(percent, 99.9):.1f} %"


def seconds(value: float) -> str:
    """A duration: 0.43 s, 12.3 s, 3 min 20 s."""
    if value < 60:
        return f"{value:.2f} s" if value < 10 else f"{value:.1f} s"
    return f"{int(value // 60)} min {int(value % 60)} s"


def size(n_bytes: float) -> str:
    """A number of bytes: 812 B, 34.1 KB, 1.2 MB."""
    for unit in ("B", "KB", "MB", "GB"):
        if n_bytes < 1000 or unit == "GB":
            return f"{n_bytes:.0f} {unit}" if unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    raise AssertionError("unreachable")


def short(value: Any, most: int = 24) -> str:
    """A value on one line, its middle left out where it is long."""
    text = (
        " ".join(number(value).split()) if not isinstance(value, str) else " ".join(value.split())
    )
    if not text:
        return "(empty)"
    if len(text) <= most:
        return text
    head = (most - 1) * 2 // 3
    return f"{text[:head]}…{text[len(text) - (most - 1 - head) :]}"


def distinct_shorts(values: list[Any], most: int = 24) -> list[str]:
    """Short forms of values that stay different from each other."""
    found = [short(v, most) for v in values]
    return [f"{text} ({i + 1})" if found.count(text) > 1 else text for i, text in enumerate(found)]
