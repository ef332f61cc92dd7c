"""An estimator with folds of its own inside a cross-validation: its folds are those of the rows left."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LassoCV
from sklearn.model_selection import KFold, cross_validate

import millrace as mr
from millrace.fitting import source


@pytest.mark.parametrize("form", ["file", "matrix"])
def test_folds_within_folds(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The inner folds are consecutive among the rows that the outer fold leaves, chunks or not."""
    monkeypatch.setattr(source, "_FEWEST", 64)
    monkeypatch.setattr(source, "FEWEST_CHUNKS", 8)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 4))
    y = X @ [1.0, 0.0, 2.0, 0.5] + np.sin(np.arange(600) / 60) + rng.normal(size=600)
    table, target = X, y
    if form == "file":
        path = tmp_path / "rows.parquet"
        pd.DataFrame(X, columns=list("abcd")).assign(y=y).to_parquet(path)
        table, target = mr.scan(path), "y"
    lasso, folds = LassoCV(cv=3, tol=1e-10), KFold(5, shuffle=True, random_state=0)
    ours = mr.cross_validate(
        lasso, table, target, folds=folds, return_estimator=True, progress=False
    )
    theirs = cross_validate(lasso, X, y, cv=folds, return_estimator=True)
    for a, b in zip(ours["estimator"], theirs["estimator"], strict=True):
        # The coordinates stop at a gap of 1e-10, relative to the target's scatter.
        np.testing.assert_allclose(a.mse_path_, b.mse_path_, rtol=1e-8)
        np.testing.assert_allclose(a.alpha_, b.alpha_, rtol=1e-12)
