"""Ensembles whose estimators were each fitted on a balanced sample; they predict as scikit-learn's do.

Semantics matched: ``imblearn/ensemble`` of imbalanced-learn 0.14.2. Its classes inherit the methods of
scikit-learn's bagging, AdaBoost and forests; the estimators of a bag are pipelines whose first step is
the sampler, which a prediction passes over.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from copy import copy
from typing import Any

from millrace.catalog.imblearn.pipeline import is_sampler
from millrace.catalog.registry import BLAS_ORDER, Context, Example, Outputs, converts
from millrace.catalog.sklearn._examples import example_labels, example_rows
from millrace.catalog.sklearn.adaboost import ada_boost_classifier
from millrace.catalog.sklearn.bagging import bagging_classifier
from millrace.catalog.sklearn.forests import forest_classifier
from millrace.ir.build import Value


@converts("imblearn.ensemble.BalancedBaggingClassifier", "imblearn.ensemble.EasyEnsembleClassifier")
def balanced_bagging(model: Any, x: Value, context: Context) -> Outputs:
    """The mean of classifiers that were fitted on balanced samples, as ``BaggingClassifier``."""
    bare = copy(model)
    bare.estimators_ = [_behind_the_sampler(e) for e in model.estimators_]
    return bagging_classifier(bare, x, context)


def _behind_the_sampler(estimator: Any) -> Any:
    steps = getattr(estimator, "steps", [])
    if len(steps) > 1 and all(is_sampler(step) for _, step in steps[:-1]):
        return steps[-1][1]
    return estimator


@converts("imblearn.ensemble.RUSBoostClassifier")
def rus_boost(model: Any, x: Value, context: Context) -> Outputs:
    """Weighted votes of classifiers that were fitted on balanced samples, as ``AdaBoostClassifier``."""
    return ada_boost_classifier(model, x, context)


@converts("imblearn.ensemble.BalancedRandomForestClassifier")
def balanced_random_forest(model: Any, x: Value, context: Context) -> Outputs:
    """The mean of trees that were fitted on balanced samples, as ``RandomForestClassifier``."""
    return forest_classifier(model, x, context)


# -- examples ------------------------------------------------------------------------------


def _example(
    class_name: str, names: Sequence[Any], inner: str = "default", **params: Any
) -> Example:
    def make() -> tuple[Any, Any]:
        import imblearn.ensemble
        from sklearn.linear_model import LogisticRegression

        x, signal = example_rows(len(names))
        y = example_labels(signal, names)
        keep = (y != names[-1]) | (x[:, 3] > 0.5)
        options: dict[str, Any] = {"n_estimators": 4, "random_state": 0} | params
        if inner == "logistic":
            options["estimator"] = LogisticRegression()
        model = getattr(imblearn.ensemble, class_name)(**options)
        return model.fit(x[keep], y[keep]), x

    why = f"the linear models inside: {BLAS_ORDER}"
    bound = (64, 1e-12, why) if inner == "logistic" else (0, 0.0, "")
    return Example(f"{class_name} of {inner}, {len(names)} classes", make, *bound)


def examples() -> Iterator[Example]:
    """Each class on two and three classes; a bag of linear models."""
    if importlib.util.find_spec("imblearn") is None:
        return
    yield _example("BalancedBaggingClassifier", ["a", "bb", "c"])
    yield _example("BalancedBaggingClassifier", [0, 1], "logistic", max_features=0.6)
    yield _example("EasyEnsembleClassifier", [0, 1])
    yield _example("RUSBoostClassifier", ["a", "bb", "c"])
    forest: dict[str, Any] = {"sampling_strategy": "all", "replacement": True, "bootstrap": False}
    yield _example("BalancedRandomForestClassifier", ["a", "bb", "c"], **forest)
