"""Dummy estimators: one answer for every row.

Semantics matched: ``sklearn/dummy.py`` of scikit-learn 1.9.1. The answer is taken from the fitted object
itself, on a made-up row. Exact. No cell is read, so any value passes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.catalog.registry import (
    Context,
    Decline,
    Example,
    Outputs,
    Result,
    converts,
    list_of,
    vector,
)
from millrace.catalog.sklearn._forest import labels
from millrace.catalog.sklearn.linear import example_rows
from millrace.catalog.translate import SeriesColumns, table_columns
from millrace.ir.build import Builder, Value
from millrace.ir.program import Column


def _columns(model: Any) -> Sequence[Column]:
    """The columns that it was fitted on; one of any kind where it was fitted on a list of cells."""
    columns = table_columns(model, getattr(model, "n_features_in_", None))
    return SeriesColumns([Column("x0", kind="any")]) if columns is None else columns


def _answer(builder: Builder, row: npt.NDArray[Any]) -> Value:
    """A row of the source's answer as a constant."""
    return builder.constant(row if row.dtype.kind in "biuf" else _text(row))


def _text(row: npt.NDArray[Any]) -> Any:
    return labels(np.asarray(row))


def _predicted(model: Any, x: Value) -> Value | Result:
    row = np.asarray(model.predict(np.zeros((1, 1))))
    return vector(_answer(x.builder, row)) if row.ndim == 1 else _answer(x.builder, row[0])


@converts("sklearn.dummy.DummyRegressor", columns=_columns)
def dummy_regressor(model: Any, x: Value, context: Context) -> Outputs:
    """The mean, a quantile or a constant, the same for every row."""
    return {"predict": _predicted(model, x)}


@converts("sklearn.dummy.DummyClassifier", columns=_columns)
def dummy_classifier(model: Any, x: Value, context: Context) -> Outputs:
    """One class and one row of probabilities for every row.

    Declines: the strategies that draw labels at random, and targets in a sparse matrix.
    """
    if model._strategy in ("stratified", "uniform"):
        raise Decline(f"with strategy={model._strategy!r} it draws labels at random")
    if model.sparse_output_:
        raise Decline("it was fitted on sparse targets and answers with a sparse matrix")
    proba = model.predict_proba(np.zeros((1, 1)))
    if model.n_outputs_ == 1:
        probabilities = x.builder.constant(proba[0])
        logs: Value | Result = probabilities.apply("log")
        return {
            "predict": _predicted(model, x),
            "predict_proba": probabilities,
            "predict_log_proba": logs,
        }
    parts = [x.builder.constant(p[0]) for p in proba]
    return {
        "predict": _predicted(model, x),
        "predict_proba": list_of(parts),
        "predict_log_proba": list_of([p.apply("log") for p in parts]),
    }


# -- examples ------------------------------------------------------------------------------


def _rows(kind: str) -> Any:
    if kind == "texts":
        return np.array(["a b", "c", "", "d e"] * 20, dtype=object)
    return example_rows(kind)


def _classifier(kind: str, targets: str = "text", **params: Any) -> tuple[Any, Any]:
    from sklearn.dummy import DummyClassifier

    n = np.arange(80)
    y = {
        "text": np.array(["no", "yes"])[n % 3 // 2],
        "object": np.array(["b", "a"], object)[n % 3 // 2],
        "number": n % 3 % 2,
        "bool": n % 3 == 1,
        "several": np.column_stack([n % 3, n % 5 // 2]),
        "several texts": np.column_stack(
            [np.array(["x", "yy"])[n % 2], np.array(list("abc"))[n % 3]]
        ),
    }[targets]
    rows = _rows(kind)
    return DummyClassifier(**params).fit(rows, y), rows


def _regressor(kind: str, targets: int = 0, **params: Any) -> tuple[Any, Any]:
    from sklearn.dummy import DummyRegressor

    y = np.random.default_rng(0).normal(size=(80, max(targets, 1)))
    rows = _rows(kind)
    return DummyRegressor(**params).fit(rows, y if targets else y[:, 0]), rows


def examples() -> Iterator[Example]:
    """Each strategy, each kind of label and of rows, one and more targets."""
    for kind in ("float64", "frame", "csr", "texts"):
        yield Example(f"DummyClassifier {kind}", partial(_classifier, kind))
        yield Example(f"DummyRegressor {kind}", partial(_regressor, kind))
    for targets in ("object", "number", "bool", "several", "several texts"):
        yield Example(f"DummyClassifier {targets}", partial(_classifier, "float64", targets))
    choices: list[tuple[str, dict[str, Any]]] = [
        ("text", {"strategy": "most_frequent"}),
        ("text", {"strategy": "constant", "constant": "yes"}),
        ("number", {"strategy": "constant", "constant": 1}),
        ("several", {"strategy": "constant", "constant": [1, 2]}),
        ("several", {"strategy": "most_frequent"}),
    ]
    for targets, params in choices:
        words = " ".join(str(v) for v in params.values())
        made = partial(_classifier, "float64", targets, **params)
        yield Example(f"DummyClassifier {targets} {words}", made)
    for strategy in ("stratified", "uniform"):
        made = partial(_classifier, "float64", strategy=strategy, random_state=0)
        yield Example(f"DummyClassifier {strategy}", made, native=False)
    for params in (
        {"strategy": "median"},
        {"strategy": "quantile", "quantile": 0.3},
        {"strategy": "constant", "constant": 7},
    ):
        yield Example(
            f"DummyRegressor {params['strategy']}", partial(_regressor, "float64", **params)
        )
    yield Example("DummyRegressor targets=2", partial(_regressor, "float64", 2))
    yield Example("DummyRegressor targets=1", partial(_regressor, "float64", 1))
