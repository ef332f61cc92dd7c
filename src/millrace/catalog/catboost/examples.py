"""Fitted CatBoost models for the conformance suite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.catalog.catboost.formula import LOGARITHMS
from millrace.catalog.registry import Example

_LOGARITHMS: dict[str, Any] = dict(zip(("ulp", "absolute", "why"), LOGARITHMS, strict=True))


def examples() -> Iterator[Example]:
    """Losses, growth policies, missing values, categories, labels and depths."""
    for name, parameters in {
        "defaults": {},
        "depthwise": {"grow_policy": "Depthwise"},
        "lossguide": {"grow_policy": "Lossguide", "max_leaves": 9},
        "deep": {"depth": 11, "iterations": 3},
        "stumps": {"depth": 1, "iterations": 40},
        "nan-max": {"nan_mode": "Max"},
        "nan-max-lossguide": {"nan_mode": "Max", "grow_policy": "Lossguide"},
        "two-trees-shrunk": {"model_shrink_rate": 0.2, "learning_rate": 0.3},
        "quantile": {"loss_function": "Quantile:alpha=0.3"},
        "poisson": {"loss_function": "Poisson"},
        "tweedie": {"loss_function": "Tweedie:variance_power=1.5"},
        "uncertainty": {"loss_function": "RMSEWithUncertainty"},
        "few-borders": {"border_count": 3},
    }.items():
        yield Example(f"regressor-{name}", _maker("CatBoostRegressor", "count", **parameters))
    for name, loss in {"rmse": "MultiRMSE", "quantiles": "MultiQuantile:alpha=0.1,0.9"}.items():
        target = "pair" if name == "rmse" else "count"
        yield Example(
            f"regressor-multi-{name}", _maker("CatBoostRegressor", target, loss_function=loss)
        )
    yield Example("regressor-no-nan", _maker("CatBoostRegressor", "count", missing=False))
    yield Example(
        "regressor-forbidden",
        _maker("CatBoostRegressor", "count", missing=False, nan_mode="Forbidden"),
    )
    yield Example(
        "regressor-constant",
        _maker("CatBoostRegressor", "constant", allow_const_label=True, bootstrap_type="No"),
    )
    yield Example("regressor-scaled", _scaled)
    yield Example(
        "ranker", _maker("CatBoostRanker", "grades", loss_function="YetiRank", bootstrap_type="No")
    )
    yield Example("booster", _maker("CatBoost", "count"))
    yield Example(
        "booster-classes", _maker("CatBoost", "words3", loss_function="MultiClass"), **_LOGARITHMS
    )
    yield from _classifier_examples()
    yield from _frame_examples()


def _classifier_examples() -> Iterator[Example]:
    for name, target, parameters in (
        ("integers", "integers2", {}),
        ("strings", "words2", {}),
        ("floats", "floats2", {}),
        ("booleans", "booleans", {}),
        ("cross-entropy", "shares", {"loss_function": "CrossEntropy"}),
        ("weights", "words2", {"auto_class_weights": "Balanced"}),
        ("lossguide", "words2", {"grow_policy": "Lossguide"}),
        ("many-integers", "integers3", {}),
        ("many-strings", "words3", {}),
        ("many-floats", "floats3", {}),
        ("many-depthwise", "words3", {"grow_policy": "Depthwise"}),
        ("one-versus-all", "words3", {"loss_function": "MultiClassOneVsAll"}),
        ("deep", "words3", {"depth": 10, "iterations": 2}),
        ("ten-classes", "integers10", {}),
        ("labels", "labels", {"loss_function": "MultiLogloss"}),
        ("labels-entropy", "labels", {"loss_function": "MultiCrossEntropy"}),
    ):
        yield Example(
            f"classifier-{name}", _maker("CatBoostClassifier", target, **parameters), **_LOGARITHMS
        )
    yield Example("classifier-threshold", _with_threshold, **_LOGARITHMS)
    yield Example(
        "classifier-absent-class",
        _maker("CatBoostClassifier", "integers3", class_names=[0, 1, 2, 3]),
        native=False,
    )


def _frame_examples() -> Iterator[Example]:
    whole = {"one_hot_max_size": 20}
    yield Example("frame", _maker("CatBoostRegressor", "count", frame="numbers"))
    for policy in ("SymmetricTree", "Depthwise", "Lossguide"):
        yield Example(
            f"frame-categories-{policy.lower()}",
            _maker("CatBoostRegressor", "count", frame="categories", grow_policy=policy, **whole),
        )
    yield Example(
        "frame-categories-classes",
        _maker("CatBoostClassifier", "words3", frame="categories", **whole),
        **_LOGARITHMS,
    )
    yield Example(
        "frame-only-categories",
        _maker("CatBoostRegressor", "by-category", frame="only-categories", **whole),
    )
    yield Example(
        "frame-target-statistics",
        _maker("CatBoostRegressor", "by-category", frame="categories", one_hot_max_size=2),
        native=False,
    )


def _maker(class_name: str, target: str, **options: Any) -> Callable[[], tuple[Any, Any]]:
    return lambda: _fit(class_name, target, **options)


def _fit(
    class_name: str, target: str, missing: bool = True, frame: str = "", **parameters: Any
) -> tuple[Any, Any]:
    import catboost

    rng = np.random.default_rng(7)
    X = rng.normal(size=(240, 5)).round(2)
    y = _target(target, X, rng)
    if missing:
        X[rng.random(X.shape) < [0.1, 0.1, 0.1, 0.0, 0.0]] = np.nan
    settings = {
        "iterations": 12,
        "depth": 4,
        "learning_rate": 0.4,
        "random_seed": 1,
        "thread_count": 1,
        "verbose": False,
        "allow_writing_files": False,
        **parameters,
    }
    rows, named = _rows(X, frame, rng)
    fitting: dict[str, Any] = {"cat_features": named} if named else {}
    if class_name == "CatBoostRanker":
        fitting["group_id"] = np.repeat(np.arange(24), 10)
    if class_name == "CatBoost":  # takes its parameters as one dict
        return catboost.CatBoost(settings).fit(rows, y, **fitting), rows
    return getattr(catboost, class_name)(**settings).fit(rows, y, **fitting), rows


def _target(name: str, X: npt.NDArray[np.float64], rng: np.random.Generator) -> Any:
    signal = X[:, 0] + X[:, 1] * X[:, 2] + 0.3 * rng.normal(size=len(X))
    order = np.argsort(np.argsort(signal)) / len(X)
    if name.startswith(("integers", "words", "floats")):
        kind, n_classes = name.rstrip("0123456789"), int(name.lstrip("abcdefghijklmnopqrstuvwxyz"))
        labels = {
            "integers": np.arange(n_classes),
            "floats": np.arange(n_classes) + 0.5,
            "words": np.array([f"class {i}" for i in range(n_classes)], dtype=object),
        }[kind]
        return labels[(order * n_classes).astype(int)]
    return {
        "count": np.floor(6 * order),
        "grades": np.floor(4 * order),
        "by-category": rng.normal(size=len(X)) + np.arange(len(X)) % 5,
        "constant": np.ones(len(X)),
        "pair": np.column_stack([signal, -signal * X[:, 3]]),
        "booleans": order > 0.4,
        "shares": order,
        "labels": (np.column_stack([signal, X[:, 1], -signal]) > 0).astype(int),
    }[name]


def _rows(
    X: npt.NDArray[np.float64], frame: str, rng: np.random.Generator
) -> tuple[Any, list[str]]:
    if not frame:
        return X, []
    import pandas as pd

    if frame == "numbers":
        return pd.DataFrame(X, columns=["a", "b c", "d", "e", "f"]), []
    at = np.arange(len(X)) % 5
    towns = np.array(
        [
            "Rome",
            "Zürich",
            "",
            "a town with a name of more than sixty-four letters, as some forms allow",
            "x" * 150,
        ],
        dtype=object,
    )
    categories = pd.DataFrame(
        {"town": towns[at], "floor": rng.integers(-1, 3, len(X)), "lift": rng.random(len(X)) < 0.5}
    )
    if frame == "only-categories":
        return categories, list(categories)
    numbers = pd.DataFrame(X[:, :2], columns=["a", "b"])
    return pd.concat([categories[["town"]], numbers, categories[["floor", "lift"]]], axis=1), [
        "town",
        "floor",
        "lift",
    ]


def _with_threshold() -> tuple[Any, Any]:
    model, rows = _fit("CatBoostClassifier", "words2")
    model.set_probability_threshold(0.7)
    return model, rows


def _scaled() -> tuple[Any, Any]:
    model, rows = _fit("CatBoostRegressor", "count")
    model.set_scale_and_bias(0.3, 0.1)
    return model, rows
