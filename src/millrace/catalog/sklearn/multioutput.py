"""Several targets: one estimator a target, side by side or in a chain.

Semantics matched: ``sklearn/multioutput.py`` and ``sklearn/utils/_response.py`` of scikit-learn 1.9.1.
Side by side, the estimators get the rows as they are. In a chain the rows become float64, are refused
where they are not finite, and each estimator also gets the answers of those before it.

Exactness: that of the inner estimators; in a chain, what is not exact goes on to the next. Missing
values: as the inner estimators take them; chains refuse NaN and infinities.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from millrace.catalog.registry import (
    BLAS_ORDER,
    Context,
    Decline,
    Example,
    Outputs,
    Result,
    converts,
    list_of,
)
from millrace.catalog.sklearn._examples import (
    example_labels,
    example_rows,
    small_estimator,
    spelled,
)
from millrace.catalog.sklearn._meta import as_numbers, block, in_kind_of, response
from millrace.ir.arrays import Text
from millrace.ir.build import Value
from millrace.ir.ops import Gather


@converts("sklearn.multioutput.MultiOutputRegressor")
def multi_output_regressor(model: Any, x: Value, context: Context) -> Outputs:
    """A column for the prediction of each estimator."""
    return {"predict": _side_by_side(_inner(model, x, context))}


@converts("sklearn.multioutput.MultiOutputClassifier")
def multi_output_classifier(model: Any, x: Value, context: Context) -> Outputs:
    """A column of labels for each estimator, and a list of their probabilities.

    Declines: text labels beside numbers, which the source would make text too.
    """
    inner = _inner(model, x, context)
    outputs: dict[str, Value | Result] = {"predict": _side_by_side(inner)}
    if hasattr(model, "predict_proba"):
        outputs["predict_proba"] = list_of(
            [block(o, "predict_proba", f"estimators_[{i}]") for i, o in enumerate(inner)]
        )
    return outputs


def _inner(model: Any, x: Value, context: Context) -> list[Outputs]:
    return [context.convert(e, x, f"estimators_[{i}]") for i, e in enumerate(model.estimators_)]


def _side_by_side(inner: list[Outputs]) -> Value:
    columns = [block(o, "predict", f"estimators_[{i}]") for i, o in enumerate(inner)]
    if any(c.width != 1 for c in columns):
        raise Decline("its estimators predict several targets each")
    if len({_is_text(c) for c in columns}) > 1:
        raise Decline("some of its labels are text and some are numbers")
    return columns[0].builder.concat(columns)


def _is_text(value: Value) -> bool:
    op = value.builder.steps[value.at].op
    if isinstance(op, Gather) and isinstance(op.table, Text):
        return True
    return value.builder.blocks[value.at].dtype == "object"


# -- chains --------------------------------------------------------------------------------
@converts("sklearn.multioutput.RegressorChain")
def regressor_chain(model: Any, x: Value, context: Context) -> Outputs:
    """Each regressor gets the rows and the predictions of the regressors before it."""
    return {"predict": _chained(model, x, context, ["predict"])["predict"]}


@converts("sklearn.multioutput.ClassifierChain")
def classifier_chain(model: Any, x: Value, context: Context) -> Outputs:
    """Each classifier gets the rows and the answers (``chain_method``) of those before it.

    All answers are float64, also the labels. Declines: labels that are text.
    """
    methods = ["predict"]
    methods += [m for m in ("predict_proba", "decision_function") if hasattr(model, m)]
    outputs = _chained(model, x, context, methods)
    if "predict_proba" in outputs:
        outputs["predict_log_proba"] = outputs["predict_proba"].apply("log")
    return outputs


def _chained(model: Any, x: Value, context: Context, methods: list[str]) -> dict[str, Value]:
    """``_get_predictions`` for all methods at once."""
    numbers = as_numbers(x, type(model).__name__)
    rows = in_kind_of(x, numbers.cast("float64"))
    handed_down = getattr(model, "chain_method_", "predict")
    features: list[Value] = []
    found: dict[str, list[Value]] = {m: [] for m in methods}
    for i, estimator in enumerate(model.estimators_):
        name = f"estimators_[{i}]"
        wide = in_kind_of(x, x.builder.concat([rows, *features])) if features else rows
        outputs = context.convert(estimator, wide, name)
        for method in methods:
            found[method].append(_number(estimator, outputs, method, name))
        features.append(_number(estimator, outputs, handed_down, name))
    place = np.argsort(np.asarray(model.order_))
    return {m: x.builder.concat([values[p] for p in place]) for m, values in found.items()}


def _number(estimator: Any, outputs: Outputs, method: str, name: str) -> Value:
    value = response(estimator, outputs, method, name)
    if value.width != 1 or _is_text(value):
        raise Decline(f"{method} of its estimator {name!r} is not one number a row")
    return value.cast("float64")


# -- examples ------------------------------------------------------------------------------


def _targets(kind: str, signal: Any) -> Any:
    two, three = signal > 0, example_labels(-signal, [0, 1, 2])
    match kind:
        case "numbers":
            return np.column_stack([signal, -2.0 * signal, np.sin(signal)])
        case "labels":
            return np.column_stack([two, three > 0, three > 1]).astype(int)
        case "classes":
            return np.column_stack([two, three])
        case _:
            return np.column_stack([three.astype("U"), np.where(two, "yes", "no")])


_BOUND: dict[str, Any] = {
    "ulp": 1024,
    "absolute": 1e-10,
    "why": f"linear models inside: {BLAS_ORDER}",
}
_NARROW: dict[str, Any] = {**_BOUND, "absolute": 1e-4}


def _example(
    class_name: str, inner: str, targets: str, rows: str = "plain", **params: Any
) -> Example:
    def make() -> tuple[Any, Any]:
        import sklearn.multioutput

        x, signal = example_rows(len(targets), rows, 100)
        model = getattr(sklearn.multioutput, class_name)(small_estimator(inner), **params)
        return model.fit(x, _targets(targets, signal)), x

    options = spelled(params)
    bound = {} if inner == "tree" else _NARROW if rows == "float32" else _BOUND
    return Example(f"{class_name} of {inner}, {targets}, {rows} rows{options}", make, **bound)


def examples() -> Iterator[Example]:
    """Numbers, labels and text as targets; each order and method of a chain; every kind of row."""
    yield _example("MultiOutputRegressor", "ridge", "numbers", "named")
    yield _example("MultiOutputRegressor", "ridge", "numbers", "float32")
    yield _example("MultiOutputClassifier", "tree", "classes")
    yield _example("MultiOutputClassifier", "logistic", "text", "named")
    yield _example("MultiOutputClassifier", "svc", "labels", "sparse")
    yield _example("RegressorChain", "ridge", "numbers", "named", order=[2, 0, 1])
    yield _example("RegressorChain", "ridge", "numbers", "float32", order="random", random_state=1)
    yield _example("RegressorChain", "ridge", "numbers", "sparse", cv=2)
    chain = "ClassifierChain"
    yield _example(chain, "tree", "labels", order=[1, 2, 0])
    yield _example(chain, "logistic", "labels", "named", chain_method="predict_proba")
    yield _example(chain, "logistic", "labels", "int", chain_method="decision_function", cv=2)
    yield _example(chain, "svc", "labels", "sparse", order="random", random_state=0)
