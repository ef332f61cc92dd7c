"""The memory budget: how it is written, and the least that will do."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

from millrace.errors import MemoryBudgetError
from millrace.fitting.source import Data

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def as_bytes(memory: str | int | None) -> int | None:
    """``"2GB"``, ``"512 MB"``, ``"1.5GiB"`` or a number of bytes.

    Raises
    ------
    ValueError
        It is none of these.
    """
    if memory is None:
        return None
    found = re.fullmatch(r"\s*([0-9.]+)\s*([bkmgt]?)i?b?\s*", str(memory).lower())
    try:
        size = int(float(found[1]) * _UNITS[found[2]]) if found else 0
    except ValueError:
        size = 0
    if size < 1:
        raise ValueError(f"memory is a size such as '2GB' or a number of bytes, got {memory!r}")
    return size


def check_budget(budget: int | None, data: Data, threads: int) -> None:
    """Refuse a budget that the process exceeds before it has read anything.

    Raises
    ------
    MemoryBudgetError
        With the least that will do.
    """
    if budget is None:
        return
    chunk = 8 * data.chunk_rows * max(len(data.features), 1)
    least = resident() + 4 * chunk * (threads + 2)
    if budget < least:
        raise MemoryBudgetError.of(
            budget, least, f"Python with its libraries and {threads + 2} chunks of rows"
        )


def resident() -> int:
    """Resident size of this process now, in bytes; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
    except (OSError, ValueError, IndexError):
        return 0


def give_back() -> None:
    """Return freed memory to the system: what Arrow's pool and the C library keep for later."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()
    _malloc_trim()(0)


@cache
def _malloc_trim() -> Callable[[int], int]:
    """The GNU C library's ``malloc_trim``; nothing where there is another."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return lambda _: 0
