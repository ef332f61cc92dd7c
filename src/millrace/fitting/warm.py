"""Compile the kernels of fitting ahead of time."""

from __future__ import annotations

import warnings

import numpy as np

from millrace.fitting.fit import fit
from millrace.solvers import examples


def warm_fits() -> int:
    """Fit a small example of every class that has a solver, of float64 and of float32.

    Kernels are compiled for what they are called with, so this is what compiles them.

    Returns
    -------
    int
        How many were fitted.
    """
    seen: set[str] = set()
    for _, example in examples():
        estimator, X, y = example.make()
        name = type(estimator).__name__
        if name in seen:
            continue
        seen.add(name)
        kinds = [X]
        if isinstance(X, np.ndarray) and X.dtype == np.float64:
            kinds.append(X.astype(np.float32))
        for rows in kinds:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                fit(example.make()[0], rows, y, in_memory=True, progress=False)
    return len(seen)
