"""Small fitted objects whose programs are the same on every machine: they hold round numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from millrace.catalog import translate
from millrace.ir import Program
from millrace.rewrites import rewrite, simplify


def scaled_logistic() -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    X = np.array([[0.0, 1.0], [2.0, 5.0], [4.0, 9.0], [6.0, 13.0]])
    fitted = make_pipeline(StandardScaler(), LogisticRegression()).fit(
        X, ["no", "no", "yes", "yes"]
    )
    scaler, logistic = fitted[0], fitted[1]
    scaler.mean_, scaler.scale_ = np.array([3.0, 7.0]), np.array([2.0, 4.0])
    logistic.coef_, logistic.intercept_ = np.array([[0.75, -1.5]]), np.array([0.25])
    return fitted


def people() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": [101, 102, 103, 104, 105, 106, 107, 108],
            "age": [20.0, 30.0, np.nan, 50.0, 60.0, 20.0, 40.0, 60.0],
            "hours": [40.0, 20.0, 40.0, 60.0, 40.0, 20.0, 60.0, 40.0],
            "work": ["private", "state", None, "own", "private", "own", "state", "private"],
        }
    )


def adult_like() -> Any:
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    words = make_pipeline(
        SimpleImputer(strategy="constant", fill_value="none"),
        OneHotEncoder(handle_unknown="ignore"),
    )
    columns = make_column_transformer((numbers, ["age", "hours"]), (words, ["work"]))
    forest = RandomForestClassifier(
        2, max_depth=2, bootstrap=False, max_features=None, random_state=0
    )
    return make_pipeline(columns, forest).fit(people(), [0, 0, 0, 1, 1, 0, 1, 1])


def lightgbm_categories() -> Any:
    import lightgbm as lgb

    work = pd.Categorical(["private", "state", "own", "private", "state", "own"] * 4)
    frame = pd.DataFrame({"age": np.repeat([20.0, 40.0, 60.0, np.nan], 6), "work": work})
    y = np.where(frame.age > 30, 8.0, 0.0) + np.where(frame.work == "own", 4.0, 0.0)
    options = {
        "objective": "regression",
        "boost_from_average": False,
        "learning_rate": 0.5,
        "num_leaves": 3,
        "min_data_in_leaf": 1,
        "min_sum_hessian_in_leaf": 0.0,
        "min_data_per_group": 1,
        "cat_smooth": 0.0,
        "cat_l2": 0.0,
        "deterministic": True,
        "num_threads": 1,
        "verbose": -1,
    }
    return lgb.train(options, lgb.Dataset(frame, y), num_boost_round=2)


def imputed_ordinals() -> Any:
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    words = make_pipeline(
        SimpleImputer(strategy="most_frequent"),
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
    )
    numbers = SimpleImputer(strategy="median", add_indicator=True)
    return make_column_transformer((words, ["work"]), (numbers, ["age", "hours"])).fit(people())


def tree() -> Any:
    from sklearn.tree import DecisionTreeRegressor

    X = np.array([[0, 0], [0, 1], [1, 0], [1, 1], [2, 0], [2, 1]], dtype=np.float32)
    return DecisionTreeRegressor(random_state=0).fit(X, [0.0, 0.0, 1.0, 2.0, 4.0, 4.0])


def written(make: Callable[[], Any]) -> Program:
    """As the converters write it."""
    return translate(make()).program


def rewritten(make: Callable[[], Any], *binding: str) -> Program:
    """As the backend gets it."""
    return rewrite(simplify(written(make)).bound(binding))


GOLDEN: dict[str, Callable[[], Program]] = {
    "scaled_logistic": lambda: written(scaled_logistic),
    "adult_like": lambda: written(adult_like),
    "adult_like_rewritten": lambda: rewritten(adult_like, "int64", "float64", "float64", "object"),
    "lightgbm_categories": lambda: written(lightgbm_categories),
    "imputed_ordinals": lambda: written(imputed_ordinals),
    "tree": lambda: written(tree),
    "tree_rewritten": lambda: rewritten(tree, "float32", "float32"),
}
