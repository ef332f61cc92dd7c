"""Boosting libraries that bin their rows themselves: all rows as one matrix, in memory or on disk.

Rows that take more than a quarter of the budget are mapped from a file. The libraries are then handed
copies of a few rows at a time (`parts`, `taken`), because mapped pages count as memory of the process for
as long as they are mapped in.
"""

from __future__ import annotations

import mmap
from collections.abc import Generator, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np

from millrace.solvers.registry import Decline
from millrace.solvers.rows import Ask, Rows
from millrace.statistics.binned import IN_MEMORY, TargetRows, Targets
from millrace.statistics.spooled import SpooledRows

Steps = Generator["Ask | list[Ask]", Any, dict[str, Any]]

PART = 16 << 20
"""Bytes of rows that are handed on at a time."""


def installed(library: str) -> bool:
    """Whether a library can be imported."""
    return find_spec(library) is not None


def spooled(
    estimator: Any, rows: Rows, *, labels: bool, single: bool
) -> Generator[Any, Any, tuple[np.ndarray, np.ndarray, TargetRows]]:
    """Two sweeps: the target, then the rows as a matrix.

    Parameters
    ----------
    estimator : object
    rows : Rows
    labels : bool
        Whether the target is labels.
    single : bool
        Whether the library rounds values to float32 itself, so that no more need be kept.

    Returns
    -------
    tuple
        X (n_samples, n_features), mapped from a file where it takes more than a quarter of the budget; y
        as the library would be given it, and the rest of the target.

    Raises
    ------
    Decline
        Rows that are sparse, or columns that are not numbers: these libraries code categories
        themselves, from a whole data frame.
    """
    if hasattr(rows.head, "indptr"):
        raise Decline("its sparse rows would be stored dense")
    kinds = [getattr(t, "kind", "O") for t in getattr(rows.head, "dtypes", [])]
    if any(kind not in "iufb" for kind in kinds):
        raise Decline("it codes categories itself, from a whole data frame; encode them first")
    target: TargetRows = yield rows.ask(Targets(labels))
    head = rows.head
    narrow = single or getattr(head, "dtype", None) == np.float32
    if kinds:
        narrow = single or all(t == np.float32 for t in head.dtypes)
    X = yield rows.ask(
        SpooledRows(
            type(estimator).__name__,
            (target.n_samples, rows.width or 0),
            "float32" if narrow else "float64",
            rows.memory // 4 if rows.memory else IN_MEMORY,
            target.rows,
        )
    )
    let_go(X)
    y = target.y if target.classes is None else target.classes[target.y]
    return X, y, target


def is_mapped(X: np.ndarray) -> bool:
    """Whether rows are mapped from a file, because they did not fit into their share of the budget."""
    return isinstance(X, np.memmap)


def parts(X: np.ndarray, size: int = PART) -> Iterator[slice]:
    """Consecutive rows of at most `size` bytes, and 1,024 at least."""
    rows = max(size // (X.itemsize * max(X.shape[1], 1)), 1024)
    for start in range(0, len(X), rows):
        yield slice(start, min(start + rows, len(X)))


def taken(X: np.ndarray, rows: slice) -> np.ndarray:
    """Rows of a mapped matrix, copied; the mapped pages are given back to the system."""
    copied = np.array(X[rows])
    let_go(X)
    return copied


def let_go(X: np.ndarray) -> None:
    """Unmap the pages of a mapped matrix; its content stays in the file and is mapped in again on use."""
    if isinstance(X.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        X.base.madvise(mmap.MADV_DONTNEED)


def learned(fitted: Any) -> dict[str, Any]:
    """What ``fit`` has set on an estimator."""
    params = set(fitted.get_params(deep=False))
    return {name: value for name, value in vars(fitted).items() if name not in params}
