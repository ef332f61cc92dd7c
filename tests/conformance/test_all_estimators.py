"""Every estimator that scikit-learn ships compiles, and answers as its source."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import is_classifier
from sklearn.utils import all_estimators
from sklearn.utils._test_common.instance_generator import _construct_instances

import millrace as mr
from millrace.catalog.translate import METHODS
from millrace.errors import UnsupportedModelError
from millrace.ir.arrays import dense_array
from tests.conformance.cases import outcome, quiet
from tests.conformance.compare import difference

ROWS = 40
CLASSES = dict(all_estimators())
TEXTS = ["the water turns the wheel", "a mill race", "wheel and water", "no race today"] * 10
SERIES: dict[str, Any] = {
    "CountVectorizer": TEXTS,
    "TfidfVectorizer": TEXTS,
    "HashingVectorizer": TEXTS,
    "DictVectorizer": [{"a": 1.0, "b": w} for w in TEXTS],
    "FeatureHasher": [{"a": 1.0, w: 2.0} for w in TEXTS],
    "LabelEncoder": TEXTS,
    "LabelBinarizer": TEXTS,
    "MultiLabelBinarizer": [set(t.split()) for t in TEXTS],
}
SETTINGS = {"random_state": 0, "n_estimators": 3, "max_iter": 20, "novelty": True}
REFUSED = {"PatchExtractor"}
"""It takes images, which are not rows of a table."""
TAKE_CLASSES = {"NeighborhoodComponentsAnalysis", "SequentialFeatureSelector"}
DRAWN = {("BernoulliRBM", "score_samples")}
"""Answers that the source draws at random."""
SLACK = 1e-7, 1e-9
"""Relative and absolute distance: the bounds themselves are held by the examples of each converter."""


def data(name: str, estimator: Any) -> tuple[Any, Any]:
    """Rows and a target that suit the estimator."""
    rng = np.random.default_rng(0)
    if name in SERIES:
        return SERIES[name], None
    X = rng.random((ROWS, 3 if name == "SparseCoder" else 4)) + 0.1
    tags = estimator.__sklearn_tags__()
    if name == "IsotonicRegression" or tags.input_tags.one_d_array:
        X = X[:, :1]
    if name == "KernelCenterer" or tags.input_tags.pairwise:
        X = X @ X.T
    y = (X[:, 0] > np.median(X[:, 0])).astype(int)
    if not is_classifier(estimator) and name not in TAKE_CLASSES:
        y = X[:, 0] * 2 + 1
    if tags.target_tags.single_output is False or "MultiTask" in name:
        y = np.column_stack([y, y[::-1]])
    if name in ("ClassifierChain", "RegressorChain", "MultiOutputClassifier"):
        y = np.column_stack([y, 1 - y])
    return X, y


def fitted(name: str) -> tuple[Any, Any]:
    with quiet():
        estimator = next(iter(_construct_instances(CLASSES[name])))
    for parameter, value in SETTINGS.items():
        if parameter in estimator.get_params() and name != "OrthogonalMatchingPursuitCV":
            estimator.set_params(**{parameter: value})
    X, y = data(name, estimator)
    with quiet():
        estimator.fit(X) if y is None else estimator.fit(X, y)
    return estimator, X


def near(expected: Any, got: Any) -> str | None:
    """The difference, where it is more than rounding."""
    found = difference(expected, got)
    if found is None:
        return None
    if isinstance(expected, list):
        return next((n for a, b in zip(expected, got, strict=True) if (n := near(a, b))), None)
    a, b = map(dense_array, (expected, got))
    if a.shape != b.shape or a.dtype != b.dtype or a.dtype.kind != "f":
        return found
    return None if np.allclose(a, b, *SLACK, equal_nan=True) else found


@pytest.mark.parametrize("name", CLASSES)
def test_compiles_and_answers_as_the_source(name: str) -> None:
    if not any(hasattr(CLASSES[name], m) for m in METHODS):
        pytest.skip("has none of the methods that a compiled model has")
    if name in REFUSED:
        with pytest.raises(UnsupportedModelError, match=f"Cannot compile .*{name}"):
            mr.compile(CLASSES[name]())
        return
    source, X = fitted(name)
    methods = [m for m in METHODS if hasattr(source, m) and (name, m) not in DRAWN]
    answers = {m: outcome(lambda m=m: getattr(source, m)(X)) for m in methods}
    with quiet():
        model = mr.compile(source, sample=X, verify=False)
    for method, (expected, refused) in answers.items():
        if refused is not None or isinstance(expected, tuple):
            continue
        got, error = outcome(lambda m=method: getattr(model, m)(X))
        assert error is None, f"{method}: {type(error).__name__}: {error}"
        assert near(expected, got) is None, f"{method}: {near(expected, got)}"
