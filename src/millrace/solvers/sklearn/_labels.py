"""What classifiers have in common: classes, their weights, and the source's own checks."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from millrace.errors import FitError
from millrace.statistics.classes import ClassCounts

_MOST_PASSED = 256

_passed: set[tuple[Any, ...]] = set()
"""Plain parameters with which scikit-learn fitted, without a word: a fit of few rows costs no more."""


def source_checks(estimator: Any, n_classes: int = 2) -> None:
    """Have scikit-learn check the parameters, by fitting a clone on one row a class.

    Its errors and its warnings about parameters come through; those about convergence do not.
    """
    from sklearn.base import clone
    from sklearn.exceptions import ConvergenceWarning

    changes = {"class_weight": None, "warm_start": False, "max_iter": 1, "verbose": 0}
    known = estimator.get_params(deep=False)
    changes = {k: v for k, v in changes.items() if k in known}
    key = _key(estimator, n_classes, {**known, **changes})
    if key in _passed:
        return
    trial: Any = clone(estimator)
    trial.set_params(**changes)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", ConvergenceWarning)
        X = np.arange(float(n_classes))[:, None]
        trial.fit(X, np.arange(n_classes))
    for word in said:
        warnings.warn_explicit(word.message, word.category, word.filename, word.lineno)
    if key is not None and not said:
        if len(_passed) >= _MOST_PASSED:
            _passed.clear()
        _passed.add(key)


def _key(estimator: Any, n_classes: int, params: dict[str, Any]) -> tuple[Any, ...] | None:
    """What the outcome depends on; None where parameters are more than words and numbers."""
    if not all(v is None or type(v) in (bool, int, float, str) for v in params.values()):
        return None
    return type(estimator), n_classes, tuple((k, type(v), v) for k, v in params.items())


def check_classes(estimator: Any, found: ClassCounts) -> None:
    """Refuse targets that are no classes, or of one class only."""
    from sklearn.utils.multiclass import check_classification_targets

    if found.classes.dtype.kind not in "biu":  # whole numbers always are classes
        # Several of each: labels all different would be taken for a mistake, with a warning.
        check_classification_targets(np.repeat(found.classes, 4))
    if len(found.classes) < 2:
        raise FitError.one_class(type(estimator).__name__, found.classes.tolist()[0])


def class_weights(class_weight: Any, found: ClassCounts) -> np.ndarray | None:
    """The weight of every class as ``compute_class_weight`` gives it (n_classes,); None for ones."""
    from sklearn.utils.class_weight import compute_class_weight

    if class_weight is None:
        return None
    if isinstance(class_weight, str):
        return found.weights.sum() / (len(found.classes) * found.weights)
    return compute_class_weight(class_weight, classes=found.classes, y=found.classes)
