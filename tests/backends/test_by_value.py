"""Small trees by value: the bits of scikit-learn for every rule of missing values and shape of answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier

import millrace as mr
from millrace.backends.numba.by_value import ByValue
from millrace.backends.numba.columns import MatrixColumns
from millrace.backends.numba.trees import TreeEngine
from millrace.errors import NonFiniteError
from millrace.ir.ops import Trees

N_ROWS = 1_000
MODELS = {
    "classes": DecisionTreeClassifier(max_leaf_nodes=8, random_state=0),
    "random splits": ExtraTreeClassifier(max_leaf_nodes=8, random_state=0),
    "number": DecisionTreeRegressor(max_leaf_nodes=8, random_state=0),
    "forest": RandomForestRegressor(3, max_depth=2, random_state=0),
    "boosting": HistGradientBoostingRegressor(max_iter=4, max_leaf_nodes=4),
}


def rows(seed: int, missing: bool) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = np.round(rng.normal(size=(N_ROWS, 6)), 1)
    X[rng.random(X.shape) < 0.05] = -0.0
    y = np.digitize(X[:, 0] * X[:, 1] + X[:, 4], [-0.5, 0.5])
    if missing:
        X[rng.random(X.shape) < 0.2] = np.nan
    return X, y


def engines(model: mr.CompiledModel) -> list[TreeEngine]:
    prepared: list[Any] = list(model._runnables.values())
    return [engine for one in prepared for engine in one.engines.values()]


@pytest.mark.parametrize("missing", [False, True], ids=["full", "missing"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", list(MODELS))
def test_answers_are_those_of_the_source_and_of_ranks(name: str, dtype: str, missing: bool) -> None:
    X, y = rows(1, missing)
    X = X.astype(dtype)
    source = MODELS[name].fit(X, y)
    model = mr.compile(source, verify=False)
    method = "predict_proba" if hasattr(source, "predict_proba") else "predict"
    many = np.tile(X, (30, 1))  # more than one block
    answer = getattr(model, method)(many)
    expected = getattr(source, method)(many)
    assert answer.tobytes() == expected.tobytes()
    for engine in engines(model):
        direct = ByValue(engine.forest, engine.quantized, engine.target)
        block = np.ascontiguousarray(many.astype(engine.dtype))
        for n_rows in (64, 65, 127, 1_000):
            columns = MatrixColumns(block[:n_rows])
            by_value = direct.sums(columns, n_rows, None)
            assert by_value is not None
            by_rank = engine._sums_of_ranks(columns, n_rows)
            assert by_value.tobytes() == np.ascontiguousarray(by_rank).tobytes()


def test_one_small_tree_takes_this_way_and_a_big_one_does_not() -> None:
    X, y = rows(2, missing=False)
    rng = np.random.default_rng(3)
    many = {}
    for leaves in (8, 250):
        target = y if leaves == 8 else rng.normal(size=N_ROWS)
        source = DecisionTreeRegressor(max_leaf_nodes=leaves, random_state=0).fit(X[:, :2], target)
        model = mr.compile(source, verify=False)
        model.predict(X[:, :2].copy())
        many[leaves] = engines(model)[0].by_value
    assert many[8] is not None
    assert many[250] is None


def test_columns_in_another_order_and_few_rows_are_left_to_ranks() -> None:
    X, y = rows(4, missing=False)
    source = DecisionTreeClassifier(max_leaf_nodes=8, random_state=0).fit(X, y)
    model = mr.compile(source, verify=False)
    model.predict_proba(X)
    (engine,) = engines(model)
    direct = ByValue(engine.forest, engine.quantized, engine.target)
    assert any(isinstance(s.op, Trees) for s in model.program.steps)
    assert direct.sums(MatrixColumns(np.asfortranarray(X)), N_ROWS, None) is None
    assert direct.sums(MatrixColumns(X[:63]), 63, None) is None
    for awkward in (np.asfortranarray(np.tile(X, (30, 1))), np.tile(X, (60, 1))[::2]):
        expected = np.asarray(source.predict_proba(awkward))
        assert model.predict_proba(awkward).tobytes() == expected.tobytes()


def test_an_infinite_cell_is_refused_by_its_row() -> None:
    X, y = rows(5, missing=False)
    source = DecisionTreeClassifier(max_leaf_nodes=8, random_state=0).fit(X, y)
    model = mr.compile(source, verify=False)
    many = np.tile(X, (30, 1))
    many[20_001, source.tree_.feature[0]] = np.inf
    with pytest.raises(NonFiniteError, match="20001"):
        model.predict_proba(many)
