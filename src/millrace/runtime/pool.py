"""The thread pool: how many threads there are, and how blocks of rows are spread over them."""

from __future__ import annotations

import numbers
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

_LOCK = threading.Lock()


class _State:
    pool: ThreadPoolExecutor | None = None
    threads: int | None = None


def _cgroup_limit() -> int | None:
    """CPUs that the container may use (cgroup v2 or v1), None without a limit."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            return max(1, -(-int(quota) // int(period)))
    except (OSError, ValueError):
        pass
    try:
        quota = int(Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us").read_text())
        period = int(Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us").read_text())
        return max(1, -(-quota // period)) if quota > 0 else None
    except (OSError, ValueError):
        return None


def default_threads() -> int:
    """``MILLRACE_NUM_THREADS``, else the CPUs of the process's affinity and container."""
    if wanted := os.environ.get("MILLRACE_NUM_THREADS"):
        if not wanted.isdigit() or int(wanted) < 1:
            raise ValueError(
                f"MILLRACE_NUM_THREADS must be a whole number of at least 1, got {wanted!r}"
            )
        return int(wanted)
    affinity = getattr(os, "sched_getaffinity", None)
    available = len(affinity(0)) if affinity else (os.cpu_count() or 1)
    return max(1, min(available, _cgroup_limit() or available))


def get_threads() -> int:
    """Threads that a prediction may use."""
    if _State.threads is None:
        _State.threads = default_threads()
    return _State.threads


def set_threads(n: int) -> None:
    """Use `n` threads for all predictions of this process from now on."""
    if not isinstance(n, numbers.Integral) or n < 1:
        raise ValueError(f"the number of threads must be a whole number of at least 1, got {n!r}")
    with _LOCK:
        _State.threads, _State.pool = int(n), None


def _forget_pool() -> None:
    """A forked child has the pool object but none of its threads."""
    global _LOCK
    _LOCK, _State.pool = threading.Lock(), None
    one_thread_of_blas.lock, one_thread_of_blas.inside = threading.Lock(), 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def _pool() -> ThreadPoolExecutor:
    with _LOCK:
        if _State.pool is None:
            _State.pool = ThreadPoolExecutor(max(1, get_threads() - 1), "millrace")
        return _State.pool


class _OneThreadOfBlas:
    """While a caller is inside, the BLAS of this process uses one thread: blocks are the parallelism.

    The limit is one of the process, so callers are counted: the first one sets it, the last one lifts it.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.limit: Any = None
        self.controller: Any = None

    def __enter__(self) -> None:
        with self.lock:
            self.inside += 1
            if self.inside == 1:
                if self.controller is None:
                    from threadpoolctl import ThreadpoolController

                    self.controller = ThreadpoolController()
                self.limit = self.controller.limit(limits=1, user_api="blas")

    def __exit__(self, *error: object) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                self.limit.restore_original_limits()


one_thread_of_blas = _OneThreadOfBlas()


def spread(work: Callable[[int, int], None], n_rows: int, block: int) -> None:
    """Call ``work(first, stop)`` for every block of rows, on this thread and the pool's.

    The first error is raised after all threads have stopped.
    """
    blocks = -(-n_rows // block)
    threads = min(get_threads(), blocks)
    if threads <= 1:
        for first in range(0, n_rows, block):
            work(first, min(first + block, n_rows))
        return
    pending = iter(range(blocks))
    lock = threading.Lock()

    def drain() -> None:
        while True:
            with lock:
                number = next(pending, None)
            if number is None:
                return
            work(number * block, min((number + 1) * block, n_rows))

    others = [_pool().submit(drain) for _ in range(threads - 1)]
    try:
        drain()
    finally:
        with lock:
            for _ in pending:  # after an error here, the others stop at their next block
                pass
        wait(others)
    for other in others:
        other.result()
