"""A working copy of an estimator: scikit-learn's own `fit`, on rows that stand in for all rows.

Many estimators learn from a few numbers a column. Where a handful of rows has the same numbers (the
smallest and the largest value; every distinct value once), a clone is fitted on those, and its fitted
attributes are the answer. Validation, dtypes and private attributes are then the source's own.
"""

from __future__ import annotations

from collections.abc import Generator
from importlib import import_module
from typing import Any, TypeAlias

import numpy as np

Asking: TypeAlias = Generator[Any, Any, Any]
"""A generator of requests: a solver, or a part of one for ``yield from``."""


def library(name: str) -> Any:
    """A module of scikit-learn without its types, which are inferred from defaults and too narrow."""
    return import_module(name)


def working_copy(estimator: Any) -> Any:
    """An unfitted clone whose parameters are validated as scikit-learn validates them."""
    from sklearn.base import clone

    work: Any = clone(estimator)
    if hasattr(work, "_parameter_constraints"):
        work._validate_params()
    return work


def learned(work: Any) -> dict[str, Any]:
    """What an object holds beside its parameters: its fitted attributes, public and private."""
    params = set(work.get_params(deep=False))
    own = {"n_features_in_", "feature_names_in_"}
    return {
        name: value
        for name, value in vars(work).items()
        if name not in params and name not in own and name != "_sklearn_output_config"
    }


def float_dtype(head: Any) -> np.dtype:
    """The dtype that ``check_array(X, dtype=FLOAT_DTYPES)`` makes of the rows: float32 or float64."""
    if head is None:
        return np.dtype(np.float64)
    kinds = set(head.dtypes) if hasattr(head, "dtypes") else {head.dtype}
    return np.dtype(np.float32 if kinds == {np.dtype(np.float32)} else np.float64)


def is_sparse(head: Any) -> bool:
    """Whether the rows are a sparse matrix."""
    return hasattr(head, "indptr")
