"""The classes of the target, and how many rows each has."""

# pyarrow ships no types.
# pyright: reportUnknownParameterType=false, reportUnknownVariableType=false

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from millrace.errors import FitError
from millrace.statistics.base import Batch, Statistic, codes_of

_CLOSE = 1 << 12
"""Span of whole numbers that are counted one by one."""


@dataclass(frozen=True)
class ClassCounts:
    """The answer of `Classes`.

    Attributes
    ----------
    classes : numpy.ndarray
        The labels, sorted, with the dtype that ``numpy.unique`` gives them (n_classes,).
    counts : numpy.ndarray of int64
        Rows of each class.
    weights : numpy.ndarray of float64
        Sum of the weights of each class; the counts where rows have no weights.
    """

    classes: np.ndarray
    counts: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class Classes(Statistic[ClassCounts, ClassCounts]):
    """Distinct values of the target. Missing values are refused with their row."""

    def of(self, batch: Batch) -> ClassCounts:
        if batch.weight is None and (found := _counted(batch.y)) is not None:
            return found
        classes = distinct(batch.y, batch.first)
        codes = codes_of(batch.y, classes)
        counts = np.bincount(codes, minlength=len(classes)).astype(np.int64)
        weights = (
            counts.astype(np.float64)
            if batch.weight is None
            else np.bincount(codes, batch.weight, len(classes))
        )
        return ClassCounts(classes, counts, weights)

    def merge(self, left: ClassCounts, right: ClassCounts) -> ClassCounts:
        if len(left.classes) == len(right.classes) and (left.classes == right.classes).all():
            return ClassCounts(
                left.classes, left.counts + right.counts, left.weights + right.weights
            )
        classes = np.unique(np.concatenate([left.classes, right.classes]))
        counts = np.zeros(len(classes), np.int64)
        weights = np.zeros(len(classes))
        for part in (left, right):
            places = codes_of(part.classes, classes)
            counts[places] += part.counts
            weights[places] += part.weights
        return ClassCounts(classes, counts, weights)

    def finish(self, state: ClassCounts) -> ClassCounts:
        return state


def _counted(y: Any) -> ClassCounts | None:
    """The classes of whole numbers that lie close together, by counting; None for any other target."""
    if isinstance(y, pa.Array) and pa.types.is_integer(y.type) and not y.null_count:
        y = y.to_numpy()
    if not isinstance(y, np.ndarray) or y.dtype.kind not in "iu" or y.ndim != 1:
        return None
    low, high = int(y.min()), int(y.max())
    if high - low > _CLOSE or high >= 1 << 62:
        return None
    whole = y.astype(np.int64, copy=False)
    counts = np.bincount(whole - low if low else whole)
    places = np.flatnonzero(counts)
    classes = (places + low).astype(y.dtype)
    return ClassCounts(classes, counts[places], counts[places].astype(np.float64))


def distinct(target: Any, first: int) -> np.ndarray:
    """The sorted distinct labels of one batch.

    Raises
    ------
    FitError
        A label is missing.
    """
    if isinstance(target, pa.ChunkedArray):
        target = target.combine_chunks()
    if isinstance(target, pa.Array):
        if target.null_count:
            missing = target.is_null().to_numpy(zero_copy_only=False)
            raise FitError.missing_target(first + int(np.argmax(missing)), int(missing.sum()))
        found = target.unique()
        if pa.types.is_dictionary(found.type):
            found = found.dictionary_decode()
        labels = found.to_numpy(zero_copy_only=False)
    else:
        labels = target
    if labels.dtype == object:
        missing = np.asarray([v != v or v is None for v in labels.tolist()], bool)
    else:
        missing = labels != labels
    if missing.any():
        raise FitError.missing_target(first + int(np.argmax(missing)), int(missing.sum()))
    return np.unique(labels)
