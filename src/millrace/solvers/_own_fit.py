"""Boosting libraries that bin their rows themselves: their own ``fit``, on rows mapped from disk."""

from __future__ import annotations

from collections.abc import Generator
from importlib.util import find_spec
from typing import Any

import numpy as np

from millrace.solvers.registry import Decline
from millrace.solvers.rows import Ask, Rows
from millrace.statistics.binned import IN_MEMORY, TargetRows, Targets
from millrace.statistics.spooled import SpooledRows

Steps = Generator["Ask | list[Ask]", Any, dict[str, Any]]


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
        X (n_samples, n_features), y as the library would be given it, and the rest of the target.

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
    y = target.y if target.classes is None else target.classes[target.y]
    return X, y, target


def learned(fitted: Any) -> dict[str, Any]:
    """What ``fit`` has set on an estimator."""
    params = set(fitted.get_params(deep=False))
    return {name: value for name, value in vars(fitted).items() if name not in params}
