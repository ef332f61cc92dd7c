"""The converters of LightGBM's booster and its scikit-learn classes.

Semantics matched: ``src/boosting/gbdt_prediction.cpp`` (``GBDT::Predict``, ``GBDT::PredictRaw``),
``lightgbm/basic.py`` and ``lightgbm/sklearn.py`` of LightGBM 4.7. The scores start at 0.0 and the
trees are added one by one in float64; a random forest divides the sum by the number of iterations.
The iterations up to ``best_iteration`` are used where early stopping has set it.

Exactness: scores and leaves have the source's bits, predictions those that `objectives` states.

Missing values: NaN and infinities are accepted everywhere; see `forest`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.catalog.lightgbm.forest import ZERO, forest
from millrace.catalog.lightgbm.objectives import ULP, WHY, convert_output
from millrace.catalog.lightgbm.text import ModelText, parse
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
from millrace.ir.arrays import Array, Text
from millrace.ir.build import Value
from millrace.ir.program import Column

Category = str | int | float | bool


@dataclass(frozen=True)
class _Answers:
    """What a booster can be asked for: float64 (n_samples, n_outputs), int32 (n, n_trees)."""

    prediction: Value
    score: Value
    leaves: Value

    def outputs(self, method: str) -> dict[str, Value | Result]:
        """The answers as a method with the keywords ``raw_score`` and ``pred_leaf``."""
        return {
            method: squeezed(self.prediction),
            f"{method}(raw_score)": squeezed(self.score),
            f"{method}(pred_leaf)": self.leaves,
        }


def _answers(booster: Any, x: Value, context: Context) -> _Answers:
    """The trees of a booster on the table `x`."""
    model = parse(booster.model_to_string())
    if model.n_features != x.width:
        raise Decline(f"it was fitted on {model.n_features} columns and is given {x.width}")
    _number_categories(booster, model, x)
    is_sparse = isinstance(x, SparseValue)
    trees = forest(model, tiny_is_zero=not is_sparse)
    x = x.cast("float")
    if trees.linear is not None and not is_sparse:  # so that its terms see tiny values as 0.0
        x = (x.apply("absolute") <= np.float64(ZERO)).where(np.float32(0), x)
    score = x.trees(trees)
    mean = score / np.float64(model.n_iterations) if model.averages else score
    if ulp := ULP.get(model.objective[0]):
        context.bound(ulp, 0.0, WHY)
    return _Answers(convert_output(model, mean), score, x.leaves(trees).cast("int32"))


def _number_categories(booster: Any, model: ModelText, x: Value) -> None:
    """Say which columns were pandas categoricals: LightGBM reads their codes in the fitted order.

    The model lists their categories in the order of the columns, but not which columns they were.
    """
    categories: Sequence[Sequence[Any]] = booster.pandas_categorical or ()
    if not categories:
        return
    for columns in (model.declared_categorical, tuple(model.categorical)):
        if len(columns) == len(categories) and all(
            model.categorical.get(c, -1) < len(known)
            for c, known in zip(columns, categories, strict=True)
        ):
            break
    else:
        raise Decline("the model does not tell which columns its pandas categories belong to")
    if x.step >= 0:
        raise Decline("the pandas categories that it numbers are made by an earlier step")
    plain = [_plain(known) for known in categories]
    for column, known in zip(columns, plain, strict=True):
        if x.builder.columns[x.columns[column]].categories not in (None, known):
            raise Decline("another step numbers the categories of the same column differently")
    for column, known in zip(columns, plain, strict=True):
        x.builder.categorical(x.column(column), known)


def _plain(categories: Sequence[Any]) -> tuple[Category, ...]:
    values = tuple(c.item() if isinstance(c, np.generic) else c for c in categories)
    if not all(isinstance(v, (str, int, float)) for v in values):
        raise Decline("its pandas categories are neither strings nor numbers")
    return values


def _booster_columns(booster: Any) -> Sequence[Column]:
    names = booster.feature_name()
    if names == [f"Column_{i}" for i in range(len(names))]:
        names = [f"x{i}" for i in range(len(names))]
    return [Column(name) for name in names]


@converts("lightgbm.Booster", columns=_booster_columns)
def booster(booster: Any, x: Value, context: Context) -> Outputs:
    """``Booster.predict`` with its keywords ``raw_score`` and ``pred_leaf``."""
    return _answers(booster, x, context).outputs("predict")


def _fitted_booster(model: Any) -> Any:
    """The booster of a scikit-learn class, whose parameters are also those of its predictions."""
    if model.get_params().get("pred_early_stop"):
        raise Decline("pred_early_stop leaves out trees, depending on the row")
    return model.booster_


@converts("lightgbm.LGBMModel", "lightgbm.LGBMRegressor", "lightgbm.LGBMRanker")
def regressor(model: Any, x: Value, context: Context) -> Outputs:
    """``LGBMModel.predict`` with its keywords ``raw_score`` and ``pred_leaf``."""
    return _answers(_fitted_booster(model), x, context).outputs("predict")


@converts("lightgbm.LGBMClassifier")
def classifier(model: Any, x: Value, context: Context) -> Outputs:
    """Labels, probabilities and scores; with an objective of the user's own all are the scores."""
    answers = _answers(_fitted_booster(model), x, context)
    outputs = answers.outputs("predict") | answers.outputs("predict_proba")
    outputs["decision_function"] = squeezed(answers.score)
    if callable(model.objective_):
        return outputs
    proba = answers.prediction
    if proba.width == 1 and not _is_multiclass(model):
        proba = x.builder.concat([x.builder.constant(np.float64(1)) - proba, proba])
    if proba.width != model.n_classes_:
        raise Decline(f"it has {model.n_classes_} classes and {proba.width} probabilities")
    outputs["predict_proba"] = proba
    outputs["predict"] = vector(proba.reduce("argmax").gather(_labels(model.classes_)))
    return outputs


def _is_multiclass(model: Any) -> bool:
    """``LGBMClassifier.__is_multiclass``."""
    return model.n_classes_ > 2 or model.objective_ in (
        "multiclass",
        "softmax",
        "multiclassova",
        "multiclass_ova",
        "ova",
        "ovr",
    )


def _labels(classes: npt.NDArray[Any]) -> Array | Text:
    """The table that turns class numbers into labels of the same dtype."""
    if classes.dtype.kind in "biuf":
        return Array(classes)
    if all(isinstance(c, str) for c in classes):
        return Text(tuple(str(c) for c in classes), str(classes.dtype))
    raise Decline(f"its class labels ({classes.dtype}) are neither all numbers nor all strings")
