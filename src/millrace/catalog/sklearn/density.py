"""Kernel density estimates: called as they are.

``KernelDensity`` walks a tree and keeps a lower bound and a spread of the density as logarithms, to which
it adds and from which it subtracts the bounds of each node (``sklearn/neighbors/_binary_tree.pxi.tp``,
1.9.1). The subtractions cancel: for 300 rows of three standard normal columns and a bandwidth of 0.05 a
log density comes out 100 away from the sum over all rows, with ``rtol=0`` too. The answer thus depends
on the shape of the tree and the order of the walk, and no sum over the rows is within a bound of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from millrace.catalog.registry import Context, Decline, Example, Outputs, converts
from millrace.ir.build import Value


@converts("sklearn.neighbors.KernelDensity")
def kernel_density(model: Any, x: Value, context: Context) -> Outputs:
    """The log density of each row, from a tree of the training rows: always called."""
    raise Decline("its answer depends on the order in which it walks its tree")


def _fitted() -> tuple[Any, Any]:
    from sklearn.neighbors import KernelDensity

    X = np.random.default_rng(0).normal(0, 1, (120, 3))
    return KernelDensity(bandwidth=0.4).fit(X), X


def examples() -> Iterator[Example]:
    """One that is called."""
    yield Example("KernelDensity", _fitted, native=False)
