"""The converters of XGBoost's booster and its scikit-learn classes.

Semantics matched: ``src/predictor/cpu_predictor.cc``, ``src/gbm/gbtree.cc``,
``src/gbm/gblinear.cc``, ``xgboost/core.py`` and ``xgboost/sklearn.py`` of XGBoost 3.2. Rows are
read as float32. The scikit-learn classes use the rounds up to ``best_iteration`` where early
stopping has set it, `Booster.predict` uses all.

`Booster.predict` and ``apply`` go through a ``DMatrix``, the scikit-learn ``predict`` through
``inplace_predict``. They differ in two ways, which are kept: the ``DMatrix`` refuses infinities,
and in dart ``inplace_predict`` adds a leaf's value to the base margin and subtracts that again.

Exactness: margins and leaves have the source's bits, predictions those that `objectives` states.
``predict_proba`` of the objective ``multi:softmax`` is SciPy's softmax, in NumPy's float32
exponential: within `SCIPY_SOFTMAX_ULP`.

Missing values: NaN, the value of the parameter ``missing`` and, where an earlier step makes the
rows sparse, the absent cells (zeros) follow the default directions; gblinear leaves such terms
out.

Categories of a data frame: a value that the model was not fitted on raises `UnknownCategoryError`.
XGBoost raises too, or takes the value for another one where the numbers of both lists agree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.catalog.registry import (
    Context,
    Decline,
    Outputs,
    Result,
    SparseValue,
    converts,
    squeezed,
    vector,
)
from millrace.catalog.xgboost.forest import categorical_features, forest
from millrace.catalog.xgboost.model import Model, read
from millrace.catalog.xgboost.objectives import WHY, transform, ulp
from millrace.ir.build import Value
from millrace.ir.ops import Forest
from millrace.ir.program import Column

Float32s = npt.NDArray[np.float32]

_MOST_TERMS = 512
"""gblinear adds its terms in order, a step or two each; wider ones call the original."""
SCIPY_SOFTMAX_ULP = 4
SCIPY_SOFTMAX_WHY = "NumPy's float32 exp depends on the machine's vector instructions"


@dataclass(frozen=True)
class _Answers:
    """What a booster can be asked for, all float32: (n_samples, n_groups), leaves (n, n_trees)."""

    prediction: Value
    margin: Value
    leaves: Value | None


def _rows(x: Value, missing: float) -> Value:
    """The table as float32 with NaN for all that is missing."""
    marks = [0.0] if isinstance(x, SparseValue) else []
    if not np.isnan(missing):
        marks.append(missing)
    x = x.cast("float32")
    for mark in marks:
        x = x.equals(np.float32(mark)).where(np.float32(np.nan), x)
    return x


def _answers(
    model: Model,
    x: Value,
    context: Context,
    *,
    missing: float = np.nan,
    best: int | None = None,
    inplace: bool = False,
) -> _Answers:
    """The booster's answers for the table `x`, as ``inplace_predict`` or on a ``DMatrix``."""
    if model.n_features != x.width:
        raise Decline(f"it was fitted on {model.n_features} columns and is given {x.width}")
    _number_categories(model, x)
    if places := ulp(model.objective):
        context.bound(places, 0.0, WHY)
    x = _rows(x, missing)
    matrix = x if np.isinf(missing) else x.guard("DMatrix", allow_nan=True)
    if model.booster == "gblinear":
        margin = _linear(model, matrix)
        return _Answers(transform(model.objective, margin), margin, None)
    trees = _forest(model, best, inplace=inplace)
    negative = categorical_features(model)
    margin = _categories_from_zero(x if inplace else matrix, negative).trees(trees)
    leaves = _categories_from_zero(matrix, negative).leaves(trees).cast("float32")
    return _Answers(transform(model.objective, margin), margin, leaves)


def _forest(model: Model, best: int | None, *, inplace: bool) -> Forest:
    n_trees = model.n_trees(best)
    if n_trees == 0:
        raise Decline("it holds no trees")
    base = model.base_margin()
    return forest(model, n_trees, base, _weigh(model, base, inplace=inplace))


def _weigh(
    model: Model, base: Float32s, *, inplace: bool
) -> Callable[[Float32s, npt.NDArray[np.int64]], Float32s]:
    """What the leaves add to the margins: their values, in dart times the tree's weight.

    ``Dart::InplacePredict`` adds a tree to the base margin and subtracts that again first.
    """
    if model.booster != "dart":
        return lambda value, tree: value
    group = np.asarray(model.body["tree_info"], np.int64)

    def weigh(value: Float32s, tree: npt.NDArray[np.int64]) -> Float32s:
        if inplace:
            start = base[group[tree]][:, None]
            value = (start + value) - start
        return value * model.tree_weights[tree][:, None]

    return weigh


def _categories_from_zero(x: Value, features: set[int]) -> Value:
    """Make all negative categories -1: the source knows none of them, not even -0.5."""
    if not features:
        return x
    least = np.full(x.width, -np.inf, np.float32)
    least[sorted(features)] = 0
    return (x < least).where(np.float32(-1), x)


def _linear(model: Model, x: Value) -> Value:
    """The margins of gblinear: terms are added to bias + base margin feature by feature."""
    k, n_features = model.n_groups, model.n_features
    weights = np.asarray(model.body["weights"], np.float32).reshape(n_features + 1, k)
    if n_features > _MOST_TERMS:
        raise Decline(f"gblinear adds its {n_features} terms one by one, native are {_MOST_TERMS}")
    if not np.isfinite(weights).all():
        raise Decline("its weights are not finite")
    start = weights[-1] + model.base_margin()[0]  # of the first group only, as in the source
    x = x.is_missing().where(np.float32(0), x)
    margin = x.builder.constant(start)
    for feature in range(n_features):
        margin = margin + x.column(feature) * weights[feature]
    return margin


def _number_categories(model: Model, x: Value) -> None:
    """Say which columns of the fitted data frame were categorical, and what their codes mean."""
    known = {i: values for i, values in enumerate(model.categories) if values}
    if known and x.step >= 0:
        raise Decline("the categories that it numbers are made by an earlier step")
    for column, values in known.items():
        if x.builder.columns[x.columns[column]].categories not in (None, values):
            raise Decline("another step numbers the categories of the same column differently")
    for column, values in known.items():
        x.builder.categorical(x.column(column), values, strict=True)


def _booster_columns(booster: Any) -> Sequence[Column]:
    names = booster.feature_names or [f"x{i}" for i in range(booster.num_features())]
    return [Column(name) for name in names]


def _ask_booster(booster: Any, method: str, rows: Any) -> Any:
    """``Booster.predict`` on a ``DMatrix`` of plain rows."""
    import xgboost

    names = None if hasattr(rows, "columns") else booster.feature_names
    types = None if hasattr(rows, "columns") else booster.feature_types
    matrix = xgboost.DMatrix(
        rows, feature_names=names, feature_types=types, enable_categorical=True
    )
    option = method.removeprefix("predict").strip("()")
    return booster.predict(matrix, **({option: True} if option else {}))


@converts("xgboost.Booster", columns=_booster_columns, call=_ask_booster)
def booster(booster: Any, x: Value, context: Context) -> Outputs:
    """``Booster.predict(DMatrix(X))`` with its keywords ``output_margin`` and ``pred_leaf``."""
    answers = _answers(read(booster), x, context)
    outputs = {
        "predict": squeezed(answers.prediction),
        "predict(output_margin)": squeezed(answers.margin),
    }
    if answers.leaves is not None:
        outputs["predict(pred_leaf)"] = squeezed(answers.leaves)
    return outputs


def _model_answers(
    model: Any, x: Value, context: Context
) -> tuple[_Answers, dict[str, Value | Result]]:
    """The answers of a scikit-learn class, and the methods that all of them share."""
    saved = read(model.get_booster())
    missing = np.nan if model.missing is None else float(model.missing)
    inplace = not (isinstance(x, SparseValue) and x.kind == "csr_array")  # TypeError in the source
    answers = _answers(
        saved, x, context, missing=missing, best=saved.best_iteration, inplace=inplace
    )
    outputs = {
        "predict": squeezed(answers.prediction),
        "predict(output_margin)": squeezed(answers.margin),
    }
    if answers.leaves is not None:
        outputs["apply"] = squeezed(answers.leaves)
    return answers, outputs


@converts("xgboost.XGBModel", "xgboost.XGBRegressor", "xgboost.XGBRFRegressor", "xgboost.XGBRanker")
def regressor(model: Any, x: Value, context: Context) -> Outputs:
    """``XGBModel.predict`` with its keyword ``output_margin``, and ``apply``."""
    return _model_answers(model, x, context)[1]


@converts("xgboost.XGBClassifier", "xgboost.XGBRFClassifier")
def classifier(model: Any, x: Value, context: Context) -> Outputs:
    """Labels (class numbers), probabilities, margins and leaves."""
    answers, outputs = _model_answers(model, x, context)
    outputs["predict"] = _classes(model, answers.prediction)
    outputs["predict_proba"] = _probabilities(model, answers, context)
    return outputs


def _classes(model: Any, value: Value) -> Value | Result:
    """``XGBClassifier.predict`` from the booster's predictions."""
    if value.width > 1 and model.n_classes_ != 2:
        return vector(value.reduce("argmax"))
    likely = value > np.float32(0.5)
    if value.width > 1:
        return likely.where(np.float64(1), np.float64(0))
    if model.objective == "multi:softmax":
        return vector(value.cast("int32"))
    return vector(likely.where(np.int64(1), np.int64(0)))


def _probabilities(model: Any, answers: _Answers, context: Context) -> Value:
    """``XGBClassifier.predict_proba``."""
    if model.objective == "multi:softmax":  # scipy.special.softmax
        context.bound(SCIPY_SOFTMAX_ULP, 0.0, SCIPY_SOFTMAX_WHY)
        power = (answers.margin - answers.margin.reduce("max")).apply("exp")
        return power / power.reduce("sum")
    value = answers.prediction
    if value.width == 1:
        return value.builder.concat([value.builder.constant(np.float32(1)) - value, value])
    if model.n_classes_ not in (2, value.width):
        raise Decline(f"it has {model.n_classes_} classes and {value.width} probabilities")
    return value
