"""Fitted LightGBM models for the conformance suite, one a parameter that changes a code path."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.catalog.lightgbm.objectives import ULP, WHY
from millrace.catalog.registry import Example

Floats = npt.NDArray[np.float64]
Made = tuple[Any, Any]

_SMALL: dict[str, Any] = {
    "num_leaves": 8,
    "min_data_in_leaf": 5,
    "min_data_per_group": 5,
    "cat_smooth": 1.0,
    "verbosity": -1,
    "num_threads": 1,
    "seed": 0,
    "deterministic": True,
}
_CLASS_PARAMETERS: dict[str, Any] = {
    "n_estimators": 8,
    "num_leaves": 8,
    "min_child_samples": 5,
    "min_data_per_group": 5,
    "cat_smooth": 1.0,
    "verbosity": -1,
    "n_jobs": 1,
    "random_state": 0,
}
_CATEGORICAL = 3


def _rows(*, nan: float = 0.0, zeros: float = 0.0, n: int = 200) -> tuple[Floats, Floats]:
    """Three numeric columns and one of 40 categories with some NaN and zeros, and a target."""
    rng = np.random.default_rng(7)
    x = np.round(rng.normal(size=(n, 4)), 2)
    x[:, _CATEGORICAL] = rng.integers(0, 40, n)
    y = x[:, 0] + np.abs(x[:, 1]) + np.sin(x[:, _CATEGORICAL]) + 0.1 * rng.normal(size=n)
    x[rng.random(x.shape) < zeros] = 0.0
    x[rng.random(x.shape) < nan] = np.nan
    return x, y


def _classes(y: Floats, k: int) -> npt.NDArray[np.int64]:
    return np.digitize(y, np.quantile(y, np.arange(1, k) / k))


def _target(objective: str, y: Floats, k: int) -> npt.NDArray[Any]:
    if objective in ("poisson", "gamma", "tweedie", "mape"):
        return np.exp(y / 3) + 0.1
    if objective.startswith("cross_entropy"):
        return 1 / (1 + np.exp(-y))
    if objective in ("binary", "lambdarank", "rank_xendcg") or k > 2:
        return _classes(y, max(2, k))
    return y


def _booster(
    objective: str = "regression",
    *,
    k: int = 2,
    rounds: int = 8,
    nan: float = 0.0,
    zeros: float = 0.0,
    categorical: tuple[int, ...] = (),
    **parameters: Any,
) -> Made:
    import lightgbm as lgb

    x, y = _rows(nan=nan, zeros=zeros)
    parameters = _SMALL | parameters | {"objective": objective}
    if k > 2:
        parameters["num_class"] = k
    group = [20] * 10 if "rank" in objective else None
    data = lgb.Dataset(
        x, _target(objective, y, k), group=group, categorical_feature=list(categorical)
    )
    return lgb.train(parameters, data, rounds), x


def _own_objective() -> Made:
    import lightgbm as lgb

    def squared_error(score: Floats, data: Any) -> tuple[Floats, Floats]:
        return score - data.get_label(), np.ones_like(score)

    x, y = _rows()
    return lgb.train(_SMALL | {"objective": squared_error}, lgb.Dataset(x, y), 5), x


def _early_stopping(model: str) -> Made:
    import lightgbm as lgb

    x, y = _rows(nan=0.1)
    noise = np.random.default_rng(1).normal(size=len(y))
    stop = [lgb.early_stopping(2, verbose=False)]
    if model == "Booster":
        train = lgb.Dataset(x, y)
        valid = lgb.Dataset(x, y + 3 * noise, reference=train)
        return lgb.train(
            _SMALL | {"objective": "regression", "learning_rate": 0.5},
            train,
            40,
            valid_sets=[valid],
            callbacks=stop,
        ), x
    settings: dict[str, Any] = _CLASS_PARAMETERS | {"n_estimators": 40, "learning_rate": 0.5}
    fitted = lgb.LGBMRegressor(**settings)
    fitted.fit(x, y, eval_X=x, eval_y=y + 3 * noise, callbacks=stop)
    return fitted, x


def _from_text() -> Made:
    import lightgbm as lgb

    fitted, x = _booster(nan=0.1, categorical=(_CATEGORICAL,))
    return lgb.Booster(model_str=fitted.model_to_string()), x


def _unsplit() -> Made:
    import lightgbm as lgb

    x, y = _rows()
    return lgb.train(_SMALL | {"min_data_in_leaf": 1000}, lgb.Dataset(x, y), 3), x


def _tiny_values() -> Made:
    """Values so near zero that LightGBM reads them as zero, and thresholds between them."""
    import lightgbm as lgb

    rng = np.random.default_rng(3)
    x = rng.choice([-1.0, -2e-35, -1e-35, -1e-36, 0.0, 1e-36, 1e-35, 2e-35, 1.0], size=(200, 2))
    y = np.sign(x[:, 0]) + 2 * np.sign(x[:, 1])
    return lgb.train(_SMALL | {"objective": "regression"}, lgb.Dataset(x, y), 5), x


def _frame(*, nan: float = 0.1) -> tuple[Any, Floats]:
    import pandas as pd

    x, y = _rows(nan=nan)
    city = pd.Categorical.from_codes(
        np.nan_to_num(x[:, _CATEGORICAL], nan=-1).astype(int) % 7, categories=list("gfedcba")
    )
    return pd.DataFrame(
        {
            "age": x[:, 0],
            "city": city,
            "pay": x[:, 1],
            "level": pd.Categorical(np.rint(np.nan_to_num(x[:, 2])).astype(int)),
        }
    ), y


def _frame_booster() -> Made:
    import lightgbm as lgb

    x, y = _frame()
    return lgb.train(_SMALL | {"objective": "regression"}, lgb.Dataset(x, y), 8), x


def _frame_classifier() -> Made:
    import lightgbm as lgb

    x, y = _frame()
    return lgb.LGBMClassifier(**_CLASS_PARAMETERS).fit(x, _classes(y, 2)), x


def _named_numbers() -> Made:
    import lightgbm as lgb
    import pandas as pd

    x, y = _rows(nan=0.1)
    frame = pd.DataFrame(x, columns=["age", "pay", "hours", "city"])
    return lgb.LGBMRegressor(**_CLASS_PARAMETERS).fit(frame, y), frame


def _model(name: str, *, nan: float = 0.1, **parameters: Any) -> Made:
    import lightgbm as lgb

    x, y = _rows(nan=nan)
    if name == "LGBMRanker":
        fitted = lgb.LGBMRanker(**_CLASS_PARAMETERS | parameters)
        return fitted.fit(x, _classes(y, 4), group=[20] * 10), x
    target = _target(parameters.get("objective", ""), y, 2)
    return getattr(lgb, name)(**_CLASS_PARAMETERS | parameters).fit(x, target), x


def _classifier(labels: npt.ArrayLike, dtype: Any = None, **parameters: Any) -> Made:
    import lightgbm as lgb

    x, y = _rows(nan=0.1)
    names = np.asarray(labels, dtype=dtype)
    fitted = lgb.LGBMClassifier(**_CLASS_PARAMETERS | parameters)
    return fitted.fit(x, names[_classes(y, len(names))]), x


def _pipeline(*, sparse_output: bool) -> Made:
    import lightgbm as lgb
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    x, y = _rows()
    x = np.column_stack([x[:, _CATEGORICAL] % 9, np.rint(x[:, 0])])
    encoder = OneHotEncoder(sparse_output=sparse_output, handle_unknown="ignore")
    fitted = make_pipeline(encoder, lgb.LGBMClassifier(**_CLASS_PARAMETERS))
    return fitted.fit(x, _classes(y, 2)), x


def _log_loss(y_true: Floats, score: Floats) -> tuple[Floats, Floats]:
    p = 1 / (1 + np.exp(-score))
    return p - y_true, p * (1 - p)


def _exact(prefix: str, makers: dict[str, Callable[[], Made]]) -> Iterator[Example]:
    for name, make in makers.items():
        yield Example(f"{prefix} {name}", make)


def _boosters() -> dict[str, Callable[[], Made]]:
    same = (
        "regression",
        "regression_l1",
        "huber",
        "fair",
        "quantile",
        "mape",
        "binary",
        "cross_entropy",
        "lambdarank",
        "rank_xendcg",
    )
    cat = (_CATEGORICAL,)
    return {
        **{name: partial(_booster, name, nan=0.1) for name in same},
        "binary sigmoid": partial(_booster, "binary", sigmoid=1.7),
        "multiclassova": partial(_booster, "multiclassova", k=3, rounds=4, sigmoid=0.8),
        "reg_sqrt": partial(_booster, reg_sqrt=True),
        "own objective": _own_objective,
        "dart": partial(_booster, boosting="dart", drop_rate=0.5, nan=0.1),
        "rf": partial(_booster, boosting="rf", bagging_freq=1, bagging_fraction=0.7, rounds=7),
        "rf binary": partial(
            _booster, "binary", boosting="rf", bagging_freq=1, bagging_fraction=0.7, rounds=7
        ),
        "no missing": partial(_booster),
        "use_missing=False": partial(_booster, nan=0.1, use_missing=False),
        "zero_as_missing": partial(_booster, nan=0.1, zeros=0.3, zero_as_missing=True),
        "tiny values": _tiny_values,
        "categorical": partial(_booster, categorical=cat),
        "categorical nan": partial(_booster, categorical=cat, nan=0.1),
        "categorical one-hot": partial(_booster, categorical=cat, max_cat_to_onehot=100),
        "categorical zero_as_missing": partial(
            _booster, categorical=cat, nan=0.1, zeros=0.2, zero_as_missing=True
        ),
        "linear_tree": partial(_booster, linear_tree=True),
        "linear_tree nan": partial(_booster, linear_tree=True, nan=0.1, categorical=cat),
        "linear_tree binary": partial(_booster, "binary", linear_tree=True, zeros=0.2),
        "extra_trees": partial(_booster, extra_trees=True, nan=0.1),
        "early stopping": partial(_early_stopping, "Booster"),
        "from text": _from_text,
        "without splits": _unsplit,
        "pandas categories": _frame_booster,
    }


def _models() -> dict[str, Callable[[], Made]]:
    return {
        "LGBMRegressor": partial(_model, "LGBMRegressor"),
        "LGBMRegressor reg_sqrt": partial(_model, "LGBMRegressor", reg_sqrt=True),
        "LGBMRegressor rf": partial(
            _model, "LGBMRegressor", boosting_type="rf", subsample=0.7, subsample_freq=1
        ),
        "LGBMRegressor early stopping": partial(_early_stopping, "LGBMRegressor"),
        "LGBMRegressor frame": _named_numbers,
        "LGBMModel": partial(_model, "LGBMModel", objective="regression"),
        "LGBMRanker": partial(_model, "LGBMRanker"),
        "LGBMClassifier": partial(_classifier, [0, 1]),
        "LGBMClassifier strings": partial(_classifier, ["no", "yes"]),
        "LGBMClassifier objects": partial(_classifier, ["no", "yes"], dtype=object),
        "LGBMClassifier bools": partial(_classifier, [False, True]),
        "LGBMClassifier int8": partial(_classifier, [-3, 5], dtype=np.int8),
        "LGBMClassifier dart": partial(_classifier, [0, 1], boosting_type="dart", drop_rate=0.5),
        "LGBMClassifier own objective": partial(_classifier, [0, 1], objective=_log_loss),
        "LGBMClassifier cross_entropy": partial(_classifier, [0, 1], objective="cross_entropy"),
        "LGBMClassifier multiclassova": partial(_classifier, [0, 1, 2], objective="multiclassova"),
        "LGBMClassifier frame": _frame_classifier,
        "LGBMClassifier after one-hot": partial(_pipeline, sparse_output=False),
        "LGBMClassifier after sparse one-hot": partial(_pipeline, sparse_output=True),
    }


def examples() -> Iterator[Example]:
    """Every objective, boosting type, missing type, kind of split and kind of label."""
    yield from _exact("Booster", _boosters())
    yield from _exact("class", _models())
    inexact = {
        name: partial(_booster, name, k=3 if name == "multiclass" else 2, nan=0.1) for name in ULP
    }
    for name, make in inexact.items():
        yield Example(f"Booster {name}", make, ulp=ULP[name], why=WHY)
    for name in ("LGBMModel", "LGBMRegressor"):
        make = partial(_model, name, objective="poisson")
        yield Example(f"class {name} poisson", make, ulp=ULP["poisson"], why=WHY)
    many = partial(_booster, "multiclass", k=10, rounds=2, num_leaves=4)
    yield Example("Booster multiclass 10", many, ulp=ULP["multiclass"], why=WHY)
    yield Example(
        "class LGBMClassifier multiclass",
        partial(_classifier, ["a", "b", "c"]),
        ulp=ULP["multiclass"],
        why=WHY,
    )
    yield Example(
        "class LGBMClassifier pred_early_stop",
        partial(_classifier, [0, 1], pred_early_stop=True),
        native=False,
    )
