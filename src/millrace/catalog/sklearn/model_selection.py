"""Searches, which answer by their best estimator, and classifiers with another threshold.

Semantics matched: ``sklearn/model_selection/_search.py``, ``_search_successive_halving.py`` and
``_classification_threshold.py`` of scikit-learn 1.9.1.

Exactness and missing values: those of the estimator inside. A label can differ only where a score that is
not exact stands at the threshold.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from millrace.catalog.registry import (
    BLAS_ORDER,
    Context,
    Example,
    Outputs,
    Result,
    converts,
    inverts,
    plain,
    vector,
)
from millrace.catalog.sklearn._examples import example_labels, example_rows, spelled
from millrace.catalog.sklearn._meta import CLASSIFIER_METHODS, offered, response, with_labels
from millrace.catalog.translate import input_columns
from millrace.errors import UnsupportedModelError
from millrace.ir.build import Value
from millrace.ir.program import Column

_SEARCHES = (
    "sklearn.model_selection.GridSearchCV",
    "sklearn.model_selection.RandomizedSearchCV",
    "sklearn.model_selection.HalvingGridSearchCV",
    "sklearn.model_selection.HalvingRandomSearchCV",
)


def _best(search: Any, path: str = "") -> Any:
    if not hasattr(search, "best_estimator_"):
        raise UnsupportedModelError.declined(
            path,
            type(search).__name__,
            "it was fitted with refit=False and so has no best estimator",
            "Fit it with refit=True, or compile the estimator that you choose.",
        )
    return search.best_estimator_


def _search_columns(search: Any) -> Sequence[Column]:
    return input_columns(_best(search))


@converts(*_SEARCHES, columns=_search_columns)
def search(source: Any, x: Value, context: Context) -> Outputs:
    """The methods of the best estimator of the search."""
    outputs = context.convert(_best(source, context.path), x, "best_estimator_")
    return offered(source, outputs, (*CLASSIFIER_METHODS, "transform", "score_samples"))


@inverts(*_SEARCHES)
def inverse_search(source: Any, y: Value, context: Context) -> Value | Result:
    """``inverse_transform`` of the best estimator."""
    return context.invert(_best(source, context.path), y, "best_estimator_")


def _inside(model: Any) -> Any:
    return getattr(model, "estimator_", model.estimator)


@converts(
    "sklearn.model_selection.FixedThresholdClassifier",
    columns=lambda source: input_columns(_inside(source)),
)
def fixed_threshold(model: Any, x: Value, context: Context) -> Outputs:
    """The second class where the score of the classifier inside reaches the given threshold."""
    threshold = model.threshold
    if threshold == "auto":
        threshold = 0.5 if _method(model) == "predict_proba" else 0.0
    return _by_threshold(model, x, context, threshold, model.pos_label)


@converts(
    "sklearn.model_selection.TunedThresholdClassifierCV",
    columns=lambda source: input_columns(_inside(source)),
)
def tuned_threshold(model: Any, x: Value, context: Context) -> Outputs:
    """The second class where the score of the classifier inside reaches the best threshold."""
    pos_label = model._curve_scorer._get_pos_label()
    return _by_threshold(model, x, context, model.best_threshold_, pos_label)


def _method(model: Any) -> str:
    """The method that gives the scores."""
    wanted = model._get_response_method()
    names = [wanted] if isinstance(wanted, str) else wanted
    return next(n for n in names if hasattr(_inside(model), n))


def _by_threshold(
    model: Any, x: Value, context: Context, threshold: Any, pos_label: Any
) -> Outputs:
    """``_threshold_scores_to_class_labels`` of the response, and the methods of the classifier."""
    inside, method = _inside(model), _method(model)
    outputs = context.convert(inside, x, "estimator")
    classes = inside.classes_
    first = pos_label is not None and pos_label == classes[0]
    score = response(inside, outputs, method, "estimator")
    if first and method == "predict_proba":
        score = plain(outputs[method]).column(0)
    elif first:
        score = score * score.scalar(-1.0)
    reached = score >= (threshold if isinstance(threshold, np.generic) else score.scalar(threshold))
    decoded = with_labels(reached.cast("int64"), classes[::-1] if first else classes)
    passed_on = offered(model, outputs, CLASSIFIER_METHODS[1:])
    return {"predict": vector(decoded), **passed_on}


# -- examples ------------------------------------------------------------------------------


_BOUND: dict[str, Any] = {
    "ulp": 64,
    "absolute": 1e-11,
    "why": f"the linear model inside: {BLAS_ORDER}",
}


def _search(class_name: str, inner: str, rows: str = "plain") -> Example:
    def make() -> tuple[Any, Any]:
        import sklearn.model_selection
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.tree import ExtraTreeRegressor

        importlib.import_module("sklearn.experimental.enable_halving_search_cv")
        x, signal = example_rows(3, rows, 100)
        tree: Any = ExtraTreeRegressor(random_state=0)
        estimator, values = tree, {"max_depth": [2, 6]}
        y = signal
        if inner == "pipeline":
            estimator = make_pipeline(StandardScaler(with_mean=False), LogisticRegression())
            values = {"logisticregression__C": [0.1, 1.0]}
            y = example_labels(signal, ["a", "bb", "c"])
        options: dict[str, Any] = {"cv": 2}
        if "Random" in class_name:
            options |= {
                "random_state": 0,
                "n_iter" if "Halving" not in class_name else "n_candidates": 2,
            }
        model = getattr(sklearn.model_selection, class_name)(estimator, values, **options)
        return model.fit(x, y), x

    bound = _BOUND if inner == "pipeline" else {}
    return Example(f"{class_name} of a {inner}, {rows} rows", make, **bound)


def _threshold(class_name: str, inner: str, rows: str = "plain", **params: Any) -> Example:
    def make() -> tuple[Any, Any]:
        import sklearn.model_selection
        from sklearn.linear_model import LogisticRegression
        from sklearn.svm import LinearSVC
        from sklearn.tree import ExtraTreeClassifier

        x, signal = example_rows(4, rows, 100)
        known: dict[str, Any] = {
            "tree": ExtraTreeClassifier(max_depth=6, random_state=0),
            "logistic": LogisticRegression(),
            "svc": LinearSVC(),
        }
        options = {"cv": 2} | params if "Tuned" in class_name else params
        model = getattr(sklearn.model_selection, class_name)(known[inner], **options)
        labels = [0, 1] if "Tuned" in class_name else ["no", "yes"]
        return model.fit(x, example_labels(signal, labels)), x

    options = spelled(params)
    bound: dict[str, Any] = {} if inner == "tree" else dict(_BOUND)
    if rows == "float32" and bound:
        bound["absolute"] = 1e-4
    return Example(f"{class_name} of {inner}, {rows} rows{options}", make, **bound)


def examples() -> Iterator[Example]:
    """Every search; thresholds on probabilities and decisions, for either class."""
    yield _search("GridSearchCV", "pipeline", "named")
    yield _search("GridSearchCV", "tree")
    yield _search("RandomizedSearchCV", "pipeline", "sparse")
    yield _search("HalvingGridSearchCV", "tree", "float32")
    yield _search("HalvingRandomSearchCV", "tree", "named")
    fixed, tuned = "FixedThresholdClassifier", "TunedThresholdClassifierCV"
    yield _threshold(fixed, "tree", "named")
    yield _threshold(fixed, "logistic", "float32", threshold=0.3)
    yield _threshold(fixed, "logistic", threshold=0.7, pos_label="no")
    yield _threshold(fixed, "svc", "sparse", threshold=0.2, pos_label="no")
    yield _threshold(tuned, "tree", "float32")
    yield _threshold(tuned, "logistic", "named", response_method="decision_function")
    yield _threshold(tuned, "svc", scoring="f1")
