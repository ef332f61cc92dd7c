"""The classes of a target: those of `numpy.unique`, with their dtype and counts."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from millrace.statistics import Batch
from millrace.statistics.classes import Classes

TARGETS = {
    "two": np.array([0, 1, 1, 0, 1]),
    "below zero": np.array([-3, 4, -3, 0]),
    "the ends of a byte": np.array([-128, 127, 127], np.int8),
    "unsigned": np.array([7, 3, 7], np.uint16),
    "beyond signed": np.array([2**64 - 1, 2**64 - 2], np.uint64),
    "far apart": np.array([0, 10**12, 0]),
    "floats": np.array([0.5, -1.0, 0.5]),
    "truths": np.array([True, False, True]),
}


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("form", [np.asarray, pa.array], ids=["numpy", "arrow"])
def test_classes_and_counts_are_those_of_unique(name, form):
    y = TARGETS[name]
    found = Classes().of(Batch(0, np.zeros((len(y), 1)), form(y)))
    classes, counts = np.unique(y, return_counts=True)
    np.testing.assert_array_equal(found.classes, classes, strict=True)
    np.testing.assert_array_equal(found.counts, counts)
    np.testing.assert_array_equal(found.weights, counts.astype(float))
