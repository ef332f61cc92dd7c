"""Fitted XGBoost models for the conformance suite, one a parameter that changes a code path."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from millrace.catalog.registry import Example
from millrace.catalog.xgboost.converters import SCIPY_SOFTMAX_ULP, SCIPY_SOFTMAX_WHY
from millrace.catalog.xgboost.objectives import WHY, ulp

Floats = npt.NDArray[np.float64]
Made = tuple[Any, Any]

_SMALL: dict[str, Any] = {"max_depth": 3, "nthread": 1, "seed": 0, "eta": 0.5, "verbosity": 0}
_CLASS_PARAMETERS: dict[str, Any] = {
    "n_estimators": 6,
    "max_depth": 3,
    "n_jobs": 1,
    "random_state": 0,
    "learning_rate": 0.5,
    "verbosity": 0,
}


def _rows(*, nan: float = 0.0, zeros: float = 0.0, n: int = 200) -> tuple[Floats, Floats]:
    """Four numeric columns with a share of NaN and of zeros, and a target."""
    rng = np.random.default_rng(11)
    x = np.round(rng.normal(size=(n, 4)), 2)
    y = x[:, 0] + np.abs(x[:, 1]) + np.sin(2 * x[:, 2]) + 0.1 * rng.normal(size=n)
    x[rng.random(x.shape) < zeros] = 0.0
    x[rng.random(x.shape) < nan] = np.nan
    return x, y


def _classes(y: Floats, k: int) -> npt.NDArray[np.int64]:
    return np.digitize(y, np.quantile(y, np.arange(1, k) / k))


def _several(y: Floats) -> Floats:
    return np.column_stack([y, -2 * y + 1, np.abs(y)])


def _target(objective: str, y: Floats, k: int) -> npt.NDArray[Any]:
    if objective.startswith(("binary", "rank", "multi")) or objective == "reg:logistic":
        return _classes(y, k)
    if objective.startswith(("reg:squared", "reg:abs", "reg:pseudo", "reg:quantile")):
        return np.abs(y) if "log" in objective else y
    return np.exp(y / 3) + 0.1


def _booster(
    objective: str = "reg:squarederror",
    *,
    k: int = 2,
    rounds: int = 6,
    nan: float = 0.0,
    several: bool = False,
    **parameters: Any,
) -> Made:
    import xgboost as xgb

    x, y = _rows(nan=nan)
    parameters = _SMALL | parameters | {"objective": objective}
    if k > 2:
        parameters["num_class"] = k
    target = _several(y) if several else _target(objective, y, k)
    if several and objective.startswith("binary"):
        target = target > 0.5
    data = xgb.DMatrix(x, target)
    if objective.startswith("rank"):
        data.set_info(group=[20] * 10)
    if objective == "survival:aft":
        data.set_info(label_lower_bound=target, label_upper_bound=target + 1)
    return xgb.train(parameters, data, rounds), x


def _own_objective() -> Made:
    import xgboost as xgb

    def squared_error(margin: Floats, data: Any) -> tuple[Floats, Floats]:
        return margin - data.get_label(), np.ones_like(margin)

    x, y = _rows()
    return xgb.train(_SMALL, xgb.DMatrix(x, y), 5, obj=squared_error), x


def _stopped_booster() -> Made:
    import xgboost as xgb

    x, y = _rows(nan=0.1)
    noise = np.random.default_rng(1).normal(size=len(y))
    valid = xgb.DMatrix(x, y + 3 * noise)
    return xgb.train(
        _SMALL,
        xgb.DMatrix(x, y),
        40,
        evals=[(valid, "valid")],
        early_stopping_rounds=2,
        verbose_eval=False,
    ), x


def _from_file() -> Made:
    import xgboost as xgb

    fitted, x = _booster("multi:softmax", k=3, nan=0.1)
    return xgb.Booster(model_file=fitted.save_raw("json")), x


def _codes(x: Floats, n_codes: int) -> npt.NDArray[np.int64]:
    return np.rint(np.abs(np.nan_to_num(x)) * 7).astype(int) % n_codes


def _numeric_categories(**parameters: Any) -> Made:
    """Categories that are numbers in a NumPy array, marked by ``feature_types``."""
    import xgboost as xgb

    x, y = _rows(nan=0.1)
    missing = np.isnan(x[:, 3])
    x[:, 3] = _codes(x[:, 3], 40)
    y = y + np.sin(x[:, 3])
    x[missing, 3] = np.nan
    data = xgb.DMatrix(x, y, feature_types=["q", "q", "q", "c"], enable_categorical=True)
    return xgb.train(_SMALL | parameters, data, 6), x


def _frame(*, nan: float = 0.1) -> tuple[Any, Floats]:
    import pandas as pd

    x, y = _rows(nan=nan)
    code = np.where(np.isnan(x[:, 3]), -1, _codes(x[:, 3], 7))
    city = pd.Categorical.from_codes(code, categories=list("gfedcba"))
    level = pd.Categorical(_codes(x[:, 2], 5))
    frame = pd.DataFrame({"age": x[:, 0], "city": city, "pay": x[:, 1], "level": level})
    return frame, y + np.sin(code)


def _frame_model(name: str, k: int = 0, **parameters: Any) -> Made:
    import xgboost as xgb

    frame, y = _frame()
    fitted = getattr(xgb, name)(**_CLASS_PARAMETERS, enable_categorical=True, **parameters)
    return fitted.fit(frame, _classes(y, k) if k else y), frame


def _frame_booster() -> Made:
    import xgboost as xgb

    frame, y = _frame()
    data = xgb.DMatrix(frame, y, enable_categorical=True)
    return xgb.train(_SMALL | {"max_cat_to_onehot": 1}, data, 6), frame


def _named_numbers() -> Made:
    import pandas as pd
    import xgboost as xgb

    x, y = _rows(nan=0.1)
    frame = pd.DataFrame(x, columns=["age", "pay", "hours", "city"])
    return xgb.XGBRegressor(**_CLASS_PARAMETERS).fit(frame, y), frame


def _model(name: str, *, nan: float = 0.1, several: bool = False, **parameters: Any) -> Made:
    import xgboost as xgb

    missing = parameters.get("missing", np.nan)
    x, y = _rows(nan=nan, zeros=0.2 if missing == 0 else 0.0)
    if np.isinf(missing):
        x[np.isnan(x)] = missing
    fitted = getattr(xgb, name)(**_CLASS_PARAMETERS | parameters)
    target = _target(parameters.get("objective", "reg:squarederror"), y, 2)
    return fitted.fit(x, _several(y) if several else target), x


def _ranker() -> Made:
    import xgboost as xgb

    x, y = _rows(nan=0.1)
    fitted = xgb.XGBRanker(**_CLASS_PARAMETERS)
    return fitted.fit(x, _classes(y, 4), group=[20] * 10), x


def _classifier(k: int, name: str = "XGBClassifier", **parameters: Any) -> Made:
    import xgboost as xgb

    x, y = _rows(nan=0.1)
    return getattr(xgb, name)(**_CLASS_PARAMETERS | parameters).fit(x, _classes(y, k)), x


def _pipeline(*, sparse_output: bool, **parameters: Any) -> Made:
    """XGBoost reads the absent cells of sparse rows as missing, the zeros of dense ones not."""
    import xgboost as xgb
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    x, y = _rows()
    x = np.rint(x[:, :2])
    encoder = OneHotEncoder(sparse_output=sparse_output, handle_unknown="ignore")
    fitted = make_pipeline(encoder, xgb.XGBClassifier(**_CLASS_PARAMETERS | parameters))
    return fitted.fit(x, _classes(y, 2)), x


def _multi_label(**parameters: Any) -> Made:
    import xgboost as xgb

    x, y = _rows(nan=0.1)
    labels = (_several(y) > 0.5).astype(int)
    return xgb.XGBClassifier(**_CLASS_PARAMETERS | parameters).fit(x, labels), x


def _stopped_model(name: str = "XGBRegressor", k: int = 0, **parameters: Any) -> Made:
    import xgboost as xgb

    x, y = _rows(nan=0.1)
    noise = np.random.default_rng(1).normal(size=len(y))
    target, other = (_classes(v, k) if k else v for v in (y, y + 3 * noise))
    settings = _CLASS_PARAMETERS | parameters | {"n_estimators": 40, "early_stopping_rounds": 2}
    fitted = getattr(xgb, name)(**settings)
    return fitted.fit(x, target, eval_set=[(x, other)], verbose=False), x


def _boosters() -> dict[str, Callable[[], Made]]:
    same = (
        "reg:squarederror",
        "reg:squaredlogerror",
        "reg:pseudohubererror",
        "reg:absoluteerror",
        "reg:logistic",
        "binary:logistic",
        "binary:logitraw",
        "binary:hinge",
        "rank:ndcg",
        "rank:pairwise",
        "rank:map",
    )
    vectors = {"several": True, "multi_strategy": "multi_output_tree"}
    return {
        **{name: partial(_booster, name, nan=0.1) for name in same},
        "reg:quantileerror": partial(_booster, "reg:quantileerror", quantile_alpha=[0.1, 0.5, 0.9]),
        "multi:softmax": partial(_booster, "multi:softmax", k=3, nan=0.1),
        "without NaN": partial(_booster),
        "base_score": partial(_booster, "binary:logistic", base_score=0.2),
        "own objective": _own_objective,
        "one tree": partial(_booster, rounds=1),
        "parallel trees": partial(_booster, num_parallel_tree=3, subsample=0.7),
        "exact, pruned": partial(_booster, tree_method="exact", gamma=2.0, max_depth=6),
        "lossguide": partial(_booster, grow_policy="lossguide", max_leaves=9, max_depth=0),
        "dart": partial(_booster, booster="dart", rate_drop=0.5, rounds=10),
        "dart multi": partial(_booster, "multi:softmax", k=3, booster="dart", rate_drop=0.5),
        "gblinear": partial(_booster, "binary:logistic", booster="gblinear", nan=0.1),
        "gblinear multi": partial(_booster, "multi:softmax", k=3, booster="gblinear"),
        "multi-output": partial(_booster, several=True, nan=0.1),
        "vector leaves": partial(_booster, nan=0.1, **vectors),
        "multi-label vector leaves": partial(_booster, "binary:logistic", **vectors),
        "early stopping": _stopped_booster,
        "from file": _from_file,
        "categories": partial(_numeric_categories, max_cat_to_onehot=1),
        "categories one-hot": partial(_numeric_categories, max_cat_to_onehot=100),
        "categories approx": partial(_numeric_categories, tree_method="approx"),
        "frame": _frame_booster,
    }


def _models() -> dict[str, Callable[[], Made]]:
    return {
        "XGBRegressor": partial(_model, "XGBRegressor"),
        "XGBRegressor missing=0": partial(_model, "XGBRegressor", missing=0.0),
        "XGBRegressor missing=inf": partial(_model, "XGBRegressor", missing=np.inf),
        "XGBRegressor one tree": partial(_model, "XGBRegressor", n_estimators=1),
        "XGBRegressor multi-output": partial(_model, "XGBRegressor", several=True),
        "XGBRegressor dart": partial(_model, "XGBRegressor", booster="dart", rate_drop=0.5),
        "XGBRegressor gblinear": partial(_model, "XGBRegressor", booster="gblinear"),
        "XGBRegressor early stopping": _stopped_model,
        "XGBRegressor frame": _named_numbers,
        "XGBRegressor categories": partial(_frame_model, "XGBRegressor", max_cat_to_onehot=1),
        "XGBRegressor categories one-hot": partial(
            _frame_model, "XGBRegressor", max_cat_to_onehot=100
        ),
        "XGBModel": partial(_model, "XGBModel", objective="reg:squarederror"),
        "XGBRFRegressor": partial(_model, "XGBRFRegressor"),
        "XGBRanker": _ranker,
        "XGBClassifier": partial(_classifier, 2),
        "XGBClassifier dart": partial(_classifier, 2, booster="dart", rate_drop=0.5),
        "XGBClassifier gblinear": partial(_classifier, 2, booster="gblinear"),
        "XGBClassifier hinge": partial(_classifier, 2, objective="binary:hinge"),
        "XGBClassifier multi-label": _multi_label,
        "XGBClassifier early stopping": partial(_stopped_model, "XGBClassifier", k=2),
        "XGBClassifier categories": partial(_frame_model, "XGBClassifier", 2, max_cat_to_onehot=1),
        "XGBClassifier after one-hot": partial(_pipeline, sparse_output=False),
        "XGBClassifier after sparse one-hot": partial(_pipeline, sparse_output=True),
        "XGBClassifier dart after sparse one-hot": partial(
            _pipeline, sparse_output=True, booster="dart", rate_drop=0.5
        ),
        "XGBRFClassifier": partial(_classifier, 2, "XGBRFClassifier"),
    }


def examples() -> Iterator[Example]:
    """Every objective, booster, kind of leaf and split, and way to mark missing values."""
    for name, make in _boosters().items():
        yield Example(f"Booster {name}", make)
    for name, make in _models().items():
        yield Example(f"class {name}", make)
    for objective in ("count:poisson", "reg:gamma", "reg:tweedie", "survival:cox", "survival:aft"):
        make = partial(_booster, objective, nan=0.1)
        yield Example(f"Booster {objective}", make, ulp=ulp(objective), why=WHY)
    for name in ("XGBModel", "XGBRegressor", "XGBRFRegressor"):
        make = partial(_model, name, objective="count:poisson")
        yield Example(f"class {name} count:poisson", make, ulp=ulp("count:poisson"), why=WHY)
    softprob = {
        "Booster multi:softprob": partial(_booster, "multi:softprob", k=3),
        "Booster multi:softprob 10": partial(_booster, "multi:softprob", k=10, rounds=2),
        "class XGBClassifier multi:softprob": partial(_classifier, 3),
        "class XGBClassifier multi:softprob dart": partial(
            _classifier, 3, booster="dart", rate_drop=0.5
        ),
        "class XGBClassifier early stopping multi": partial(_stopped_model, "XGBClassifier", k=3),
        "class XGBClassifier categories multi": partial(_frame_model, "XGBClassifier", 3),
        "class XGBRFClassifier multi": partial(_classifier, 3, "XGBRFClassifier"),
    }
    for name, make in softprob.items():
        yield Example(name, make, ulp=ulp("multi:softprob"), why=WHY)
    yield Example(
        "class XGBClassifier multi:softmax",
        partial(_classifier, 3, objective="multi:softmax"),
        ulp=SCIPY_SOFTMAX_ULP,
        why=SCIPY_SOFTMAX_WHY,
    )
