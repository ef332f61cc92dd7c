"""The converters of CatBoost's four model classes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from millrace.catalog.catboost.formula import LOGARITHMS, MULTI_LABEL, Formula
from millrace.catalog.catboost.model import Features, read, read_forest, refuse
from millrace.catalog.registry import Context, Decline, Outputs, Result, converts, vector
from millrace.ir.arrays import Array
from millrace.ir.build import Value
from millrace.ir.ops import Encode
from millrace.ir.program import Column


def _block(x: Value, features: Features) -> Value:
    """What the splits look at: numbers as float32, then an indicator for each one-hot value."""
    parts = []
    if features.numbers:
        parts.append(x.take(features.numbers).cast("float32"))
    for column, hashes in features.categories:
        codes = Encode(
            Array(np.array(hashes, np.float64)),
            Array(np.arange(len(hashes), dtype=np.int32)),
            hashed=True,
        )
        parts.append(x.column(column).encode(codes).one_hot(len(hashes), "float32"))
    if not parts:  # no tree has a split, but the answer has as many rows as the input
        return x.column(0).is_missing()
    return x.builder.concat(parts)


def _formula(model: Any, x: Value, context: Context) -> Formula:
    document = read(model)
    refuse(document)
    features = Features.of(document["features_info"])
    raw = _block(x, features).trees(read_forest(document, features))
    scale, bias = document["scale_and_bias"]
    if scale != 1:
        raw = raw * np.float64(scale)
    if any(bias):
        raw = raw + np.array(bias, np.float64)
    info = document.get("model_info", {})
    loss = info.get("params", {}).get("loss_function", {}).get("type", "")
    classes = np.asarray(model.classes_)
    if len(classes) > 2 and loss not in MULTI_LABEL and len(classes) != raw.width:
        raise Decline("it was fitted on fewer classes than it names")
    if len(classes):
        context.bound(*LOGARITHMS)
    return Formula(raw, loss, classes if len(classes) else None, _threshold(model))


def _threshold(model: Any) -> float:
    """The raw value of the probability from which the second class is predicted."""
    text = model.get_metadata().get("binclass_probability_threshold")
    if text is None:
        return 0.0
    probability = float(text)
    if probability in (0.0, 1.0):
        return -math.inf if probability == 0.0 else math.inf
    return -math.log(1.0 / probability - 1.0)


def _columns(model: Any) -> list[Column]:
    """Names that are the positions stand for data without names."""
    names = [str(name) for name in model.feature_names_]
    if names == [str(i) for i in range(len(names))]:
        names = [f"x{i}" for i in range(len(names))]
    numbers = set(model._get_float_feature_indices())
    return [Column(n, "number" if i in numbers else "any") for i, n in enumerate(names)]


def _with_types(default: str, formula: Formula) -> dict[str, Value | Result]:
    types = formula.types()
    return {"predict": types[default], **{f"predict({name})": v for name, v in types.items()}}


@converts("catboost.CatBoostClassifier", columns=_columns)
def classifier(model: Any, x: Value, context: Context) -> Outputs:
    """Labels (n, 1) for several classes, as upstream; (n,) for two; 0/1 for multi-label."""
    outputs = _with_types("Class", _formula(model, x, context))
    outputs["predict_proba"] = outputs["predict(Probability)"]
    outputs["predict_log_proba"] = outputs["predict(LogProbability)"]
    return outputs


@converts("catboost.CatBoostRegressor", columns=_columns)
def regressor(model: Any, x: Value, context: Context) -> Outputs:
    """Raw values; exponents for Poisson and Tweedie, mean and variance for RMSEWithUncertainty."""
    return _with_types(model._get_default_prediction_type(), _formula(model, x, context))


@converts("catboost.CatBoostRanker", columns=_columns)
def ranker(model: Any, x: Value, context: Context) -> Outputs:
    """Raw values (n_samples,)."""
    formula = _formula(model, x, context)
    return {"predict": vector(formula.raw)}


@converts("catboost.CatBoost", columns=_columns)
def booster(model: Any, x: Value, context: Context) -> Outputs:
    """Raw values, whatever the loss; the other prediction types by name."""
    return _with_types("RawFormulaVal", _formula(model, x, context))
