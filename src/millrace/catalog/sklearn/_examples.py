"""Rows and targets for the examples of converters, in the containers that a source takes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from string import ascii_lowercase
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_NAMES = ("age", "weight", "höhe", "class")


def as_frame(rows: npt.NDArray[Any], names: Sequence[str] = ascii_lowercase) -> Any:
    """Rows as a data frame, with the columns a, b, c ... where no names are given."""
    import pandas as pd

    return pd.DataFrame(rows, columns=list(names[: rows.shape[1]]))


def as_csr(rows: npt.NDArray[Any], least: float = 0.0) -> Any:
    """Rows as a CSR matrix without the cells of a smaller magnitude than `least`."""
    import scipy.sparse as sp

    return sp.csr_matrix(np.where(np.abs(rows) < least, 0, rows))


def example_rows(
    seed: int, kind: str = "plain", n_samples: int = 160, n_features: int = 4
) -> tuple[Any, Floats]:
    """Seeded rows whose values repeat, and a noisy signal.

    `kind` is the form of the rows: ``plain`` (float64), ``missing`` (some cells are NaN), ``float32``,
    ``int``, ``named`` (a data frame of four columns) or ``sparse`` (CSR).
    """
    rng = np.random.default_rng(seed)
    rows = np.round(rng.normal(size=(n_samples, n_features)), 2)
    signal = rows[:, 0] + np.abs(rows[:, 1]) * (rows[:, 2] > 0) + rng.normal(size=n_samples) / 4
    match kind:
        case "missing":
            rows[rng.random(rows.shape) < 0.15] = np.nan
        case "float32":
            return rows.astype(np.float32), signal
        case "int":
            return (4 * rows).astype(np.int64), signal
        case "named":
            return as_frame(rows, _NAMES), signal
        case "sparse":
            return as_csr(rows, 0.7), signal
        case _:
            pass
    return rows, signal


def example_labels(
    signal: Floats, names: Sequence[Any], dtype: npt.DTypeLike | None = None
) -> npt.NDArray[Any]:
    """The signal cut into equally frequent classes with these names."""
    cuts = np.quantile(signal, np.linspace(0, 1, len(names) + 1)[1:-1])
    return np.array(names, dtype=dtype)[np.searchsorted(cuts, signal)]


def small_estimator(name: str) -> Any:
    """A quickly fitted ``tree``, ``logistic``, ``svc`` or ``ridge`` to stand inside another estimator."""
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.svm import LinearSVC
    from sklearn.tree import ExtraTreeClassifier

    if name == "tree":
        return ExtraTreeClassifier(max_depth=6, random_state=0)
    return {"logistic": LogisticRegression, "svc": LinearSVC, "ridge": Ridge}[name]()


def fitted(model: Any, rows: Any, y: Any = None) -> tuple[Any, Any]:
    """A model fitted on few iterations, without the warning that says so, and its rows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(rows, y), rows


def spelled(params: Mapping[str, Any], between: str = ", ") -> str:
    """Parameters as the names of examples end in: ``", alpha=0.5, positive=True"``."""
    return "".join(f"{between}{k}={v}" for k, v in params.items())
