"""Arrays that may be larger than memory: mapped from files without a name, a few pages at a time."""

from __future__ import annotations

import mmap
import os
import tempfile
import threading
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from math import prod
from typing import Any

import numpy as np

from millrace.errors import FitError


class Store:
    """The array that a sweep fills: in memory, or mapped from a file without a name."""

    def __init__(self, shape: tuple[int, ...], memory: float, dtype: Any = np.uint8) -> None:
        self.shape, self.memory, self.dtype = shape, memory, np.dtype(dtype)
        self.array: np.ndarray | None = None
        self.lock = threading.Lock()

    def get(self) -> np.ndarray:
        """The array."""
        with self.lock:
            if self.array is None:
                self.array = self._new()
            return self.array

    def _new(self) -> np.ndarray:
        size = prod(self.shape) * self.dtype.itemsize
        if size <= self.memory:
            return np.empty(self.shape, self.dtype)
        with tempfile.TemporaryFile(prefix="millrace-", suffix=".bins") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, size)  # a full disk shows here, not as a crash
            except OSError as error:
                raise FitError(
                    f"The fit needs {size:,} bytes of disk in {tempfile.gettempdir()!r}: "
                    f"{error.strerror}. Free some space, or name another folder with TMPDIR=..."
                ) from error
            return np.memmap(file, self.dtype, "r+", shape=self.shape)

    def let_go(self) -> None:
        """Give back the memory of the pages of a mapped array, which stay in the system's file cache."""
        if self.array is not None:
            _let_go([self.array])

    def __reduce__(self) -> Any:
        return Store, (self.shape, self.memory, self.dtype)


def _let_go(arrays: Iterable[np.ndarray]) -> bool:
    """Unmap the pages of those arrays that are mapped from files; whether one is."""
    found = False
    for array in arrays:
        base: Any = array
        while isinstance(base, np.ndarray):
            base = base.base
        if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            base.madvise(mmap.MADV_DONTNEED)
            found = True
    return found


_OFTEN = 0.02
"""Seconds after which pages are unmapped again: a thread maps some ten megabytes in that time."""


@contextmanager
def few_pages(*arrays: np.ndarray) -> Generator[None]:
    """Keep unmapping the pages of mapped arrays while others work on them.

    Mapped pages count as memory of the process. They stay in the system's file cache, from where they
    are mapped in again without a read while there is room.
    """
    if not _let_go(arrays):
        yield
        return
    done = threading.Event()

    def work() -> None:
        while not done.wait(_OFTEN):
            _let_go(arrays)

    thread = threading.Thread(target=work, name="millrace-pages", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        _let_go(arrays)
