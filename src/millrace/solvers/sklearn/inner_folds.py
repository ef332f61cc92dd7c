"""The folds inside an estimator with a ``cv`` of its own: consecutive rows, one set of moments each."""

from __future__ import annotations

import numbers
from collections.abc import Generator
from functools import reduce
from typing import Any

import numpy as np

from millrace.errors import FitError
from millrace.solvers.registry import Decline
from millrace.solvers.rows import Ask, Rows
from millrace.statistics.gram import CrossMoments, Gram, GramOfFolds, RowPlaces, merged


def number_of_folds(cv: Any, default: int = 5) -> int:
    """How many consecutive folds scikit-learn would cut for this ``cv``.

    Raises
    ------
    Decline
        Folds that are not consecutive rows.
    """
    from sklearn.model_selection import KFold

    if cv is None:
        return default
    if isinstance(cv, numbers.Integral):
        return int(cv)
    if type(cv) is KFold and not cv.shuffle:
        return int(cv.n_splits)
    raise Decline("its folds are not consecutive rows (pass cv as a number)")


def fold_moments(
    rows: Rows, n_folds: int, who: str
) -> Generator[Ask, Any, tuple[CrossMoments, ...]]:
    """Second moments of consecutive folds, as `KFold` cuts them, in one sweep (two for unknown rows).

    Raises
    ------
    FitError
        Fewer rows than folds.
    """
    starts, part = None, (rows.left_out, rows.only)
    n_rows = rows.n_rows
    if n_rows is None or rows.left_out is not None or rows.only is not None:
        starts = yield rows.ask(RowPlaces(part))
        n_rows = starts[-1]
    if n_rows < n_folds:
        raise FitError.at("", who, f"{n_folds} folds need {n_folds} rows at least, found {n_rows}")
    sizes = np.full(n_folds, n_rows // n_folds)
    sizes[: n_rows % n_folds] += 1
    ends = tuple(int(e) for e in np.cumsum(sizes))
    asked = GramOfFolds(Gram(who=who), ends, starts, part)
    return (yield rows.ask(asked))


def all_but(folds: tuple[CrossMoments, ...], k: int) -> CrossMoments:
    """The moments of every fold but one."""
    return reduce(merged, (m for i, m in enumerate(folds) if i != k))


def all_of(folds: tuple[CrossMoments, ...]) -> CrossMoments:
    """The moments of every fold."""
    return reduce(merged, folds)
