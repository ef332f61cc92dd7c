"""Every example of every solver, fitted in small chunks of arrays and files, against scikit-learn."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from millrace.fitting import fit, source
from millrace.solvers import Example, examples

EXAMPLES = list(examples())
ANSWERS = ("predict", "predict_proba", "decision_function", "transform", "score_samples")


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut the data into many chunks, so that merging counts."""
    monkeypatch.setattr(source, "_FEWEST", 16)
    monkeypatch.setattr(source, "FEWEST_CHUNKS", 5)


@pytest.mark.parametrize(
    ("module", "example"), EXAMPLES, ids=[f"{m}-{e.name}" for m, e in EXAMPLES]
)
@pytest.mark.parametrize("form", ["given", "file", "weighted"])
def test_the_fitted_object_is_that_of_the_source(
    module: str, example: Example, form: str, tmp_path: Any
) -> None:
    if form == "weighted" and not example.weight:
        pytest.skip("takes no weights")
    estimator, X, y = example.make()
    n_rows = X.shape[0] if hasattr(X, "shape") else len(X)
    weight = np.random.default_rng(1).integers(1, 4, n_rows) / 2.0
    given: dict[str, Any] = {"weight": weight} if form == "weighted" else {}
    table, target = X, y
    if form == "file":
        X, y, table, target = as_file(X, y, tmp_path)
    expected, warned = noted(lambda: oracle(example, estimator, X, y, given.get("weight")))
    if module.startswith("resident."):
        given["in_memory"] = True
    _, ours_warned = noted(lambda: fit(estimator, table, target, progress=False, **given))
    assert ours_warned <= warned, "a warning that the source does not give"
    if example.quality is not None:
        ours, theirs = (example.quality(e, X, y) for e in (estimator, expected))
        assert ours >= theirs - example.quality_slack, (ours, theirs)
        return
    compare(estimator, expected, example, type(estimator).__name__)
    for method in ANSWERS:
        if hasattr(expected, method):
            ours, theirs = (answer(e, method, X) for e in (estimator, expected))
            same(ours, theirs, example, method)


def noted(work: Any) -> tuple[Any, set[type[Warning]]]:
    """What a call returns, and the kinds of warnings that it gave."""
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        return work(), {w.category for w in given}


def oracle(example: Example, estimator: Any, X: Any, y: Any, weight: Any) -> Any:
    from sklearn.base import clone

    reference = (example.oracle or clone)(estimator)
    target = () if y is None else (y,)
    if weight is None:
        return reference.fit(X, *target)
    last = f"{reference.steps[-1][0]}__" if hasattr(reference, "steps") else ""
    return reference.fit(X, *target, **{f"{last}sample_weight": weight})


def as_file(X: Any, y: Any, folder: Any) -> tuple[Any, Any, str, str | None]:
    """The example as a Parquet file: what pandas reads of it, the path, the target's name."""
    import pandas as pd

    if sp.issparse(X) or not hasattr(X, "shape") or X.ndim != 2 or np.ndim(y) == 2:
        pytest.skip("not a table")
    frame = (
        X
        if hasattr(X, "columns")
        else pd.DataFrame(X, columns=[f"c{j}" for j in range(X.shape[1])])
    )
    frame = frame.rename(columns=str)
    whole = frame if y is None else frame.assign(target=y)
    path = folder / "rows.parquet"
    try:
        whole.to_parquet(path)
    except (ValueError, TypeError):
        pytest.skip("objects that no file holds")
    read = pd.read_parquet(path)
    if y is None:
        return read, None, str(path), None
    return read.drop(columns="target"), read["target"], str(path), "target"


def answer(estimator: Any, method: str, X: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(estimator, method)(X)


def compare(ours: Any, theirs: Any, example: Example, path: str) -> None:
    """Every fitted attribute of the source's object, nested estimators too."""
    for name, value in vars(theirs).items():
        if not name.endswith("_") or name.startswith("_") or name in example.ignore:
            continue
        assert hasattr(ours, name), f"{path} lacks {name}"
        same(getattr(ours, name), value, example, f"{path}.{name}")


def same(ours: Any, theirs: Any, example: Example, path: str) -> None:
    if sp.issparse(theirs):
        assert sp.issparse(ours), path
        ours, theirs = ours.toarray(), theirs.toarray()
    if isinstance(theirs, np.ndarray) and theirs.dtype == object:
        assert isinstance(ours, np.ndarray), path
        assert ours.dtype == object, f"{path}: {ours.dtype} for objects"
        assert ours.shape == theirs.shape, path
        ours, theirs = ours.tolist(), theirs.tolist()
    if isinstance(theirs, (list, tuple)):
        assert len(ours) == len(theirs), path
        for i, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            same(one, other, example, f"{path}[{i}]")
    elif isinstance(theirs, dict):
        assert sorted(ours) == sorted(theirs), path  # the order of a vocabulary means nothing
        for name in theirs:
            same(ours[name], theirs[name], example, f"{path}[{name!r}]")
    elif hasattr(theirs, "get_params"):
        assert type(ours) is type(theirs), path
        compare(ours, theirs, example, path)
    elif isinstance(theirs, (np.ndarray, np.generic, float, int)) and not isinstance(theirs, bool):
        one, other = np.asarray(ours), np.asarray(theirs)
        assert one.shape == other.shape, f"{path}: {one.shape} for {other.shape}"
        assert one.dtype.kind == other.dtype.kind, f"{path}: {one.dtype} for {other.dtype}"
        if other.dtype.kind in "fc":
            np.testing.assert_allclose(
                one, other, rtol=example.rtol, atol=example.atol, err_msg=path
            )
        else:
            np.testing.assert_array_equal(one, other, err_msg=path)
    elif hasattr(theirs, "iloc"):
        same(ours.to_numpy(), theirs.to_numpy(), example, path)
    elif isinstance(theirs, (str, bool, type(None), slice)):
        assert ours == theirs, f"{path}: {ours!r} for {theirs!r}"
